//! Under which account PostgreSQL's programs run. PostgreSQL refuses to run as root, so root lends
//! it another account: the owner of the cluster, or `postgres` for a new one. Everybody else runs
//! it as themselves. Never changes the account of this process.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::error::{PostgresError, files};

/// Who runs the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// The user of this process.
    Ourselves,
    /// Another one, because we are root.
    Lent { uid: u32, gid: u32 },
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Account {
    /// The account for a cluster that does not exist yet.
    pub(crate) fn for_new_cluster() -> Result<Self, PostgresError> {
        if !is_root() {
            return Ok(Self::Ourselves);
        }
        // `id` asks whatever directory service the machine uses; /etc/passwd is only one of them.
        match (id("-u"), id("-g")) {
            (Some(uid), Some(gid)) if uid != 0 => Ok(Self::Lent { uid, gid }),
            _ => Err(PostgresError::NoAccount),
        }
    }

    /// The account for a cluster that exists: root takes the owner's, whoever that is, so that
    /// `sudo crm …` and `crm …` can take turns on one data directory.
    pub(crate) fn for_cluster(cluster: &Path) -> Result<Self, PostgresError> {
        if !is_root() {
            return Ok(Self::Ourselves);
        }
        let owner = std::fs::metadata(cluster).map_err(files("look at", cluster))?;
        match owner.uid() {
            0 => Err(PostgresError::OwnedByRoot {
                cluster: cluster.to_owned(),
            }),
            uid => Ok(Self::Lent {
                uid,
                gid: owner.gid(),
            }),
        }
    }

    /// A command that runs under this account: in a process group of its own, so that Ctrl-C in
    /// the terminal reaches crm alone, and without the environment that PostgreSQL would obey.
    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            // PGDATA, PGPORT, PGOPTIONS… are meant for some other server.
            if name.as_encoded_bytes().starts_with(b"PG") {
                command.env_remove(name);
            }
        }
        command
            .env("LC_ALL", "C")
            // The working directory may be closed to the account.
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null());
        if let Self::Lent { uid, gid } = self {
            // The standard library drops root's supplementary groups along with its user id.
            command.gid(gid).uid(uid);
        }
        command
    }

    /// Gives a file or directory to this account.
    pub(crate) fn own(self, path: &Path) -> Result<(), PostgresError> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Lent { uid, gid } => {
                chown(path, Some(uid), Some(gid)).map_err(files("change the owner of", path))
            }
        }
    }

    /// Whether this account may go through a directory and everything above it.
    pub(crate) fn can_enter(self, directory: &Path) -> bool {
        // Asked by trying: modes alone do not know of access lists or of mounts.
        self.command("/bin/sh")
            .args(["-c", "cd \"$1\"", "sh"])
            .arg(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

/// What `id` says of the account `postgres`.
fn id(flag: &str) -> Option<u32> {
    let output = Command::new("id").args([flag, "postgres"]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
