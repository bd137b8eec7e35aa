//! Makes a cluster: `initdb`, the superuser's password, crm's own settings. A cluster appears
//! under its name only when it is whole. Never touches one that exists, except for rewriting
//! `crm.conf`.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rand::Rng;

use super::Settings;
use super::account::Account;
use super::error::{PostgresError, files};
use super::find::ServerBinaries;
use super::place::Place;

/// The settings file that crm writes at every start, included by `postgresql.conf`.
const SETTINGS_FILE: &str = "crm.conf";

/// Random bytes in the superuser's password.
const PASSWORD_BYTES: usize = 24;

/// Makes the cluster of a place that has none.
pub(crate) async fn initialise(
    server: &ServerBinaries,
    place: &Place,
    account: Account,
    settings: &Settings,
) -> Result<(), PostgresError> {
    // A run that was killed half-way leaves this; what counts is only what has been renamed.
    let unfinished = place.home.join("postgres.new");
    remove_all(&unfinished)?;

    let mut locales = LOCALES.iter();
    loop {
        DirBuilder::new()
            .mode(0o700)
            .create(&unfinished)
            .map_err(files("create", &unfinished))?;
        account.own(&unfinished)?;
        let Some(locale) = locales.next() else {
            return initdb(server, place, account, settings, &unfinished, "C").await;
        };
        match initdb(server, place, account, settings, &unfinished, locale).await {
            // Not every system has every locale; C is always there.
            Err(PostgresError::Initialise { said, .. }) if said.contains("locale") => {
                remove_all(&unfinished)?;
            }
            other => return other,
        }
    }
}

/// Character types that know all of Unicode, tried in turn. The order of strings is C's in any
/// case: the same on every system, and the fastest for indexes.
const LOCALES: &[&str] = if cfg!(target_os = "macos") {
    &["en_US.UTF-8"]
} else {
    &["C.UTF-8"]
};

async fn initdb(
    server: &ServerBinaries,
    place: &Place,
    account: Account,
    settings: &Settings,
    unfinished: &Path,
    character_type: &str,
) -> Result<(), PostgresError> {
    let program = server.program("initdb");
    // The lasting file is closed to the account, so initdb gets a copy of its own.
    let copy = place.home.join("postgres.password.new");
    write_private(&copy, &new_password(place)?)?;
    account.own(&copy)?;

    let mut command = account.command(&program);
    command
        .args(["--username=postgres", "--auth=scram-sha-256"])
        .args(["--encoding=UTF8", "--locale=C", "--no-instructions"])
        .arg(format!("--lc-ctype={character_type}"))
        .arg(option("--pwfile", &copy))
        .arg(option("--pgdata", unfinished));
    if !settings.durable {
        command.arg("--no-sync");
    }
    let output = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .output()
        .await;
    fs::remove_file(&copy).map_err(files("remove", &copy))?;
    let output = output.map_err(|source| PostgresError::Spawn {
        program: program.clone(),
        source,
    })?;
    if !output.status.success() {
        return Err(PostgresError::Initialise {
            program,
            cluster: place.cluster.clone(),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }

    include_settings(unfinished)?;
    fs::rename(unfinished, &place.cluster).map_err(files("create", &place.cluster))
}

fn option(name: &str, path: &Path) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from(name);
    option.push("=");
    option.push(path);
    option
}

fn include_settings(cluster: &Path) -> Result<(), PostgresError> {
    let path = cluster.join("postgresql.conf");
    let line = format!(
        "\n# Written by crm at every start. Settings below this line win over it.\n\
         include_if_exists = '{SETTINGS_FILE}'\n"
    );
    OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .map_err(files("write", &path))
}

/// The superuser's password of a cluster that exists.
pub(crate) fn password(place: &Place) -> Result<String, PostgresError> {
    kept_password(place)?.ok_or_else(|| PostgresError::PasswordLost {
        cluster: place.cluster.clone(),
        password_file: place.password.clone(),
    })
}

fn kept_password(place: &Place) -> Result<Option<String>, PostgresError> {
    match fs::read_to_string(&place.password) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(files("read", &place.password)(error)),
    }
}

/// The password of a cluster that is about to be made: one that an earlier attempt left, or a new
/// one.
fn new_password(place: &Place) -> Result<String, PostgresError> {
    if let Some(password) = kept_password(place)? {
        return Ok(password);
    }
    let bytes: [u8; PASSWORD_BYTES] = rand::rng().random();
    let password: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    write_private(&place.password, &password)?;
    Ok(password)
}

/// Writes a file that nobody else may read, in one piece even if the machine stops.
fn write_private(path: &Path, text: &str) -> Result<(), PostgresError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push("~");
    let beside = Path::new(&beside);
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(files("replace", beside)(error));
        }
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(beside)
        .and_then(|mut file| {
            writeln!(file, "{text}")?;
            file.sync_all()
        })
        .map_err(files("write", beside))?;
    fs::rename(beside, path).map_err(files("write", path))
}

/// Writes the settings with which the server starts next.
pub(crate) fn write_settings(
    place: &Place,
    account: Account,
    settings: &Settings,
    port: u16,
) -> Result<(), PostgresError> {
    let durable = if settings.durable { "on" } else { "off" };
    let max_connections = settings.max_connections;
    let path = place.cluster.join(SETTINGS_FILE);
    let text = format!(
        "# Written by crm at every start; put your own settings into postgresql.conf.\n\
         listen_addresses = '127.0.0.1'\n\
         port = {port}\n\
         unix_socket_directories = ''\n\
         max_connections = {max_connections}\n\
         fsync = {durable}\n\
         synchronous_commit = {durable}\n\
         full_page_writes = {durable}\n\
         max_wal_size = '2GB'\n\
         # Compiling a plan costs more than our short statements do.\n\
         jit = off\n\
         timezone = 'UTC'\n\
         log_timezone = 'UTC'\n\
         # Records stay out of the log: neither failed statements nor the values in their errors.\n\
         log_min_error_statement = panic\n\
         log_error_verbosity = terse\n\
         log_checkpoints = off\n"
    );
    write_private(&path, text.trim_end())?;
    account.own(&path)
}

/// The port with which the server was started last.
pub(crate) fn remembered_port(cluster: &Path) -> Option<u16> {
    let text = fs::read_to_string(cluster.join(SETTINGS_FILE)).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("port = "))?;
    line.trim().parse().ok()
}

/// The major version of PostgreSQL that wrote a cluster.
pub(crate) fn written_by(cluster: &Path) -> Option<u32> {
    let text = fs::read_to_string(cluster.join("PG_VERSION")).ok()?;
    text.trim().parse().ok()
}

fn remove_all(directory: &Path) -> Result<(), PostgresError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(files("remove", directory)(error))
        }
        _ => Ok(()),
    }
}
