//! The private PostgreSQL: a server of crm's own in its data directory, for everybody who has not
//! set `DATABASE_URL`. Finds the programs, makes the cluster, starts it or joins the one that
//! another crm process started, and stops it when the last of them leaves. Holds no SQL and knows
//! nothing of what is in the database; never touches a server or a cluster that is not its own.
//!
//! The crate `postgresql_embedded` could do most of this, and is used for its download, but not to
//! run the server: it cannot give up root, which PostgreSQL insists on; it starts every server with
//! `-F`, which turns fsync off; and it takes a `postmaster.pid` for a running server without
//! looking whether there is one.
//!
//! Who may do what is settled by two locks, which the system gives back when a process dies:
//! `postgres.lock` in the data directory is held while anything starts or stops, and
//! `postgres.users` is shared by all who use the server, so that nobody's exit stops it under
//! somebody else.

mod account;
#[cfg(feature = "download-postgres")]
mod download;
mod error;
mod find;
mod initialise;
mod locks;
mod pidfile;
mod place;
mod port;
mod server;
mod temporary;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection};

pub use error::PostgresError;
pub use find::{
    MINIMUM_MAJOR_VERSION, OVERRIDE_VARIABLE, ServerBinaries, find_server, install_command,
};

use account::Account;
use pidfile::PidFile;
use place::Place;
use temporary::Watcher;

/// The superuser's name. The store's migrations expect it.
const SUPERUSER: &str = "postgres";

/// How long a server that says it is ready may take to let us in.
const CONNECT_TIMEOUT_SECONDS: u64 = 15;

/// How a server is started. Has no effect on one that is joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether a commit survives a power cut. Without it everything is faster, and only tests may
    /// do without.
    pub durable: bool,
    /// How many connections the server takes.
    pub max_connections: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            durable: true,
            max_connections: 100,
        }
    }
}

/// A private server that is running, and this process's share in it.
pub struct PrivatePostgres {
    data_dir: PathBuf,
    place: Place,
    port: u16,
    password: String,
    joined: bool,
    share: Mutex<Option<Share>>,
}

/// What a process holds as long as it uses a server.
struct Share {
    /// Keeps the others from stopping the server; released by the system at the latest.
    users: File,
    /// Waited for after a stop, so that it does not stay in the process table.
    child: Option<Child>,
    watcher: Option<Watcher>,
}

/// A private server that answers on this machine, whoever started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// The process id of the server.
    pub pid: i32,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl PrivatePostgres {
    /// Joins the server of a data directory, or starts it, after making the cluster if there is
    /// none. `progress` gets a line for whatever takes a while or might surprise.
    ///
    /// # Errors
    ///
    /// Any [`PostgresError`]; nothing that this call started is left running.
    pub async fn join_or_start(
        data_dir: &Path,
        settings: Settings,
        mut progress: impl FnMut(&str) + Send,
    ) -> Result<Self, PostgresError> {
        Self::open(data_dir, &settings, false, &mut progress).await
    }

    /// Starts a server for this process only, in a new directory under `parent`. When this process
    /// ends, even by a signal, the server is stopped and all its files are removed.
    ///
    /// # Errors
    ///
    /// As [`Self::join_or_start`].
    pub async fn temporary(
        parent: &Path,
        settings: Settings,
        mut progress: impl FnMut(&str) + Send,
    ) -> Result<Self, PostgresError> {
        let data_dir = temporary::directory(parent)?;
        Self::open(&data_dir, &settings, true, &mut progress).await
    }

    /// The server that runs in a data directory now, if one does. Starts nothing.
    pub fn running(data_dir: &Path) -> Option<Running> {
        let place = Place::existing(data_dir)?;
        pidfile::running(&place.cluster).map(|PidFile { pid, port, .. }| Running { pid, port })
    }

    async fn open(
        data_dir: &Path,
        settings: &Settings,
        temporary: bool,
        progress: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Self, PostgresError> {
        let data_dir = locks::make_directory(data_dir)?;
        let _guard = locks::guard(&data_dir, progress).await?;
        let (place, account) = match Place::settle(&data_dir, progress) {
            Err(PostgresError::NoAccount) => {
                // Installing a server usually makes the account, so that is to be said first.
                find::find_server_for(None, progress).await?;
                return Err(PostgresError::NoAccount);
            }
            settled => settled?,
        };
        let watcher = if temporary {
            Some(Watcher::start(&place, &data_dir)?)
        } else {
            None
        };
        let users = locks::share(&place)?;
        let share = |child| Share {
            users,
            child,
            watcher,
        };

        if let Some(file) = join(&place, progress).await? {
            match Self::enter(&data_dir, &place, file).await {
                Ok(postgres) => return Ok(postgres.with(share(None), true)),
                Err(error) if pidfile::running(&place.cluster).is_some() => return Err(error),
                // It ended while we came in.
                Err(_) => {}
            }
        }
        let (file, mut child) = start(&place, account, settings, progress).await?;
        match Self::enter(&data_dir, &place, file).await {
            Ok(postgres) => Ok(postgres.with(share(Some(child)), false)),
            Err(error) => {
                server::stop(&place.cluster, file.pid).await?;
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Makes sure that a server lets us in.
    async fn enter(data_dir: &Path, place: &Place, file: PidFile) -> Result<Self, PostgresError> {
        let postgres = Self {
            port: file.port,
            password: initialise::password(place)?,
            joined: false,
            share: Mutex::new(None),
            data_dir: data_dir.to_owned(),
            place: place.clone(),
        };
        match postgres.knock().await {
            Ok(()) => Ok(postgres),
            Err(source) => Err(PostgresError::Refused {
                cluster: place.cluster.clone(),
                password_file: place.password.clone(),
                port: file.port,
                source,
            }),
        }
    }

    fn with(self, share: Share, joined: bool) -> Self {
        Self {
            joined,
            share: Mutex::new(Some(share)),
            ..self
        }
    }

    /// Connects once. The password is random and the server must prove that it knows it too, so
    /// this also makes sure that it is the server of this cluster.
    async fn knock(&self) -> Result<(), sqlx::Error> {
        let options = self.connect_options();
        let connect = PgConnection::connect_with(&options);
        let limit = Duration::from_secs(CONNECT_TIMEOUT_SECONDS);
        match tokio::time::timeout(limit, connect).await {
            Ok(connection) => connection?.close().await,
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// How to connect as the superuser, to the database `postgres`.
    pub fn connect_options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(SUPERUSER)
            .password(&self.password)
            .database("postgres")
            .ssl_mode(PgSslMode::Disable)
    }

    /// The same as a URL, for programs such as `psql`. Holds the password.
    pub fn url(&self) -> String {
        self.connect_options().to_url_lossy().to_string()
    }

    /// The superuser's password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the server ran already when this process came.
    pub fn joined(&self) -> bool {
        self.joined
    }

    /// The data directory, absolute and without links.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The server's log.
    pub fn log_file(&self) -> &Path {
        &self.place.log
    }

    /// Gives up this process's share in the server, and stops it if that was the last one. A
    /// server that somebody started by hand is left alone. Answers whether it is stopped now;
    /// does nothing when called again.
    ///
    /// # Errors
    ///
    /// [`PostgresError::DidNotStop`], or an error with the files of the locks.
    pub async fn stop(&self) -> Result<bool, PostgresError> {
        let share = self
            .share
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(share) = share else {
            return Ok(pidfile::running(&self.place.cluster).is_none());
        };
        if let Some(watcher) = share.watcher {
            watcher.finish().await;
        } else {
            let _guard = locks::guard(&self.data_dir, &mut |_| {}).await?;
            drop(share.users);
            if !locks::is_last(&self.place)? {
                return Ok(false);
            }
            if let Some(file) = pidfile::running(&self.place.cluster) {
                if server::started(&self.place) != Some(file.pid) {
                    return Ok(false);
                }
                server::stop(&self.place.cluster, file.pid).await?;
            }
        }
        if let Some(mut child) = share.child {
            // It has removed its files and ends within milliseconds.
            let _ = tokio::task::spawn_blocking(move || child.wait()).await;
        }
        Ok(true)
    }
}

/// The password stays out of logs.
impl std::fmt::Debug for PrivatePostgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivatePostgres")
            .field("data_dir", &self.data_dir)
            .field("port", &self.port)
            .field("joined", &self.joined)
            .finish_non_exhaustive()
    }
}

/// The server that runs already, once it takes connections.
async fn join(
    place: &Place,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<Option<PidFile>, PostgresError> {
    match pidfile::running(&place.cluster) {
        None => return Ok(None),
        Some(file) if file.ready => return Ok(Some(file)),
        Some(_) => progress("waiting for the PostgreSQL that is starting or stopping here"),
    }
    match server::wait_until_ready(place, None, 0).await {
        Ok(file) => Ok(Some(file)),
        // It was stopping, or it gave up: then the next one is ours to start.
        Err(PostgresError::Start { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn start(
    place: &Place,
    account: Account,
    settings: &Settings,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<(PidFile, Child), PostgresError> {
    let wrote = initialise::written_by(&place.cluster).map(|major| (major, &*place.cluster));
    let server = find::find_server_for(wrote, progress).await?;
    if place.cluster.exists() {
        // Without it there is no use in starting.
        initialise::password(place)?;
    } else {
        progress(&format!(
            "making a PostgreSQL {} database in {}",
            server.version,
            place.cluster.display()
        ));
        initialise::initialise(&server, place, account, settings).await?;
    }
    server::start(&server, place, account, settings).await
}
