//! What can go wrong with the private PostgreSQL, one variant per decision that the caller can
//! take. Every message says what to do next. Never holds a password.

use std::io;
use std::path::{Path, PathBuf};

use super::find::install_command;

/// Why there is no private PostgreSQL to connect to.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// Install a server.
    #[error(
        "no PostgreSQL server was found on this machine; install one with `{}`, \
         or name the directory of its programs in CRM_POSTGRES_BIN, \
         or set DATABASE_URL to a server that runs elsewhere, \
         or build crm with `--features download-postgres`",
        install_command()
    )]
    NotInstalled,

    /// Install a newer server.
    #[error(
        "PostgreSQL {found} in {} is too old, CRM Pro needs {minimum} or newer; \
         install a newer one beside it, or set DATABASE_URL to one that runs elsewhere",
        place.display()
    )]
    TooOld {
        found: u32,
        minimum: u32,
        place: PathBuf,
    },

    /// Correct the environment variable.
    #[error(
        "CRM_POSTGRES_BIN is {}, but {reason}; \
         point it to the directory that holds `postgres` and `initdb`, or unset it",
        place.display()
    )]
    BadOverride { place: PathBuf, reason: String },

    /// Install the version that wrote the data.
    #[error(
        "the data in {} was written by PostgreSQL {wrote}, and only PostgreSQL {found} was found; \
         install PostgreSQL {wrote} again (its programs can be named in CRM_POSTGRES_BIN), \
         or dump the data with it before you move to {found}",
        cluster.display()
    )]
    OtherVersion {
        wrote: u32,
        found: u32,
        cluster: PathBuf,
    },

    /// Make an account for the server.
    #[error(
        "PostgreSQL refuses to run as root and there is no account named `postgres` to run it as; \
         make one with `useradd --system --user-group postgres`, or run crm as an ordinary user"
    )]
    NoAccount,

    /// Give the directory to an account that PostgreSQL accepts.
    #[error(
        "{} belongs to root, and PostgreSQL refuses to run as root; \
         give it back with `chown -R postgres: {}`",
        cluster.display(), cluster.display()
    )]
    OwnedByRoot { cluster: PathBuf },

    /// Run as the user who made the data.
    #[error(
        "{} may not be opened by this user; run crm as the user who made it, or as root, \
         or choose another directory with --data-dir",
        path.display()
    )]
    NotOurs { path: PathBuf },

    /// Move the data to where the server's account can reach it.
    #[error(
        "the account that runs PostgreSQL (user id {uid}) may not enter {}; \
         allow it with `chmod o+x` on the directories above, or move the data directory",
        path.display()
    )]
    OutOfReach { path: PathBuf, uid: u32 },

    /// Look at the directory.
    #[error("could not {doing} {}: {source}", path.display())]
    Files {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },

    /// Look at the program.
    #[error("could not run {}: {source}", program.display())]
    Spawn { program: PathBuf, source: io::Error },

    /// Read what `initdb` said.
    #[error("{} could not make a database cluster in {}: {said}", program.display(), cluster.display())]
    Initialise {
        program: PathBuf,
        cluster: PathBuf,
        said: String,
    },

    /// Read what the server said.
    #[error("PostgreSQL did not start; the end of {} says:\n{tail}", log.display())]
    Start { log: PathBuf, tail: String },

    /// Wait, then try again.
    #[error(
        "PostgreSQL (process {pid}) is still recovering after {seconds} s; it goes on by itself, \
         try again in a while (its log is {})",
        log.display()
    )]
    StillStarting {
        pid: i32,
        seconds: u64,
        log: PathBuf,
    },

    /// Restore the password, or begin with an empty data directory.
    #[error(
        "the password of the database in {} is gone; put back {}, \
         or move the directory away to begin with an empty one",
        cluster.display(), password_file.display()
    )]
    PasswordLost {
        cluster: PathBuf,
        password_file: PathBuf,
    },

    /// Restore the password, or begin with an empty data directory.
    #[error(
        "the PostgreSQL of {} runs on port {port} but does not let us in: {source}; \
         put back the password file {}, or move the directory away to begin with an empty one",
        cluster.display(), password_file.display()
    )]
    Refused {
        cluster: PathBuf,
        password_file: PathBuf,
        port: u16,
        source: sqlx::Error,
    },

    /// Stop it by hand.
    #[error(
        "PostgreSQL (process {pid}) did not stop within {seconds} s; \
         stop it with `kill -QUIT {pid}`, nothing committed is lost by that"
    )]
    DidNotStop { pid: i32, seconds: u64 },

    /// Install it by hand instead.
    #[error(
        "could not download PostgreSQL: {said}; install one with `{}`",
        install_command()
    )]
    Download { said: String },
}

/// Turns an I/O error into the decision that it asks for.
pub(crate) fn files(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PostgresError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::PermissionDenied => PostgresError::NotOurs { path },
        _ => PostgresError::Files {
            doing,
            path,
            source,
        },
    }
}
