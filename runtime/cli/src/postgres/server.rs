//! Starts and stops the server of a cluster. Speaks to the process only: it knows of no locks and
//! of no other crm.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Settings;
use super::account::Account;
use super::error::{PostgresError, files};
use super::find::ServerBinaries;
use super::initialise::{remembered_port, write_settings};
use super::pidfile::{self, PidFile};
use super::place::Place;
use super::port;

/// How long a server may take to become ready; after a crash it reads its log again first.
const START_TIMEOUT_SECONDS: u64 = 120;
/// How long a server may take to stop; it writes a checkpoint before it ends.
const STOP_TIMEOUT_SECONDS: u64 = 60;
/// How often we look whether it has.
const POLL_MILLISECONDS: u64 = 20;
/// How often a start is tried again when a port was taken, or when processes of a killed server
/// still hold its memory.
const START_ATTEMPTS: u32 = 20;
/// How long those processes are given between two attempts.
const RETRY_MILLISECONDS: u64 = 500;
/// How much of the log an error shows.
const TAIL_LINES: usize = 12;
/// A log that is larger is set aside at the next start; one old log is kept.
const LOG_LIMIT_BYTES: u64 = 8 * 1024 * 1024;

/// Starts the server and waits until it takes connections.
pub(crate) async fn start(
    server: &ServerBinaries,
    place: &Place,
    account: Account,
    settings: &Settings,
) -> Result<(PidFile, Child), PostgresError> {
    let mut remembered = remembered_port(&place.cluster);
    let mut attempt = 0;
    loop {
        attempt += 1;
        pidfile::forget_stranger(&place.cluster)?;
        let port = port::choose(remembered).map_err(|source| PostgresError::Files {
            doing: "find a free port for",
            path: place.cluster.clone(),
            source,
        })?;
        write_settings(place, account, settings, port)?;
        match start_once(server, place, account).await {
            Err(PostgresError::Start { tail, .. }) if attempt < START_ATTEMPTS => {
                if tail.contains("could not bind") || tail.contains("could not create any TCP") {
                    // Somebody was quicker than we.
                    remembered = None;
                } else if tail.contains("still in use") {
                    tokio::time::sleep(Duration::from_millis(RETRY_MILLISECONDS)).await;
                } else {
                    return Err(failed(place, tail));
                }
            }
            other => return other,
        }
    }
}

async fn start_once(
    server: &ServerBinaries,
    place: &Place,
    account: Account,
) -> Result<(PidFile, Child), PostgresError> {
    let (log, before) = open_log(place, account)?;
    let program = server.program("postgres");
    let spawned = log.try_clone().and_then(|errors| {
        account
            .command(&program)
            // An argument of its own, by which a living server is told from any other process.
            .arg("-D")
            .arg(&place.cluster)
            .stdout(log)
            .stderr(errors)
            .spawn()
    });
    let mut child = spawned.map_err(|source| PostgresError::Spawn { program, source })?;
    // At once, so that a server whose starter is interrupted now is still known as crm's.
    if let Err(error) = fs::write(&place.started, format!("{}\n", child.id())) {
        let _ = child.kill();
        return Err(files("write", &place.started)(error));
    }
    let file = wait_until_ready(place, Some(&mut child), before).await?;
    Ok((file, child))
}

/// The process id of the last server that crm started; any other was started by hand.
pub(crate) fn started(place: &Place) -> Option<i32> {
    let text = fs::read_to_string(&place.started).ok()?;
    text.trim().parse().ok()
}

/// Waits until a server takes connections: one of ours, or one that somebody else started.
pub(crate) async fn wait_until_ready(
    place: &Place,
    mut child: Option<&mut Child>,
    log_from: u64,
) -> Result<PidFile, PostgresError> {
    let deadline = Instant::now() + Duration::from_secs(START_TIMEOUT_SECONDS);
    loop {
        let file = PidFile::read(&place.cluster);
        let ended = match (&mut child, file) {
            (Some(child), _) => !matches!(child.try_wait(), Ok(None)),
            (None, Some(file)) => !pidfile::is_alive(file.pid),
            (None, None) => true,
        };
        if ended {
            return Err(failed(place, tail(&place.log, log_from)));
        }
        let pid = child.as_ref().map(|child| child.id().cast_signed());
        // A file that a killed server left behind may call itself ready too.
        let of_this_server = file.filter(|file| pid.is_none_or(|pid| pid == file.pid));
        match of_this_server {
            Some(file) if file.ready => return Ok(file),
            _ if Instant::now() >= deadline => {
                return Err(PostgresError::StillStarting {
                    pid: pid.or(file.map(|file| file.pid)).unwrap_or_default(),
                    seconds: START_TIMEOUT_SECONDS,
                    log: place.log.clone(),
                });
            }
            _ => tokio::time::sleep(Duration::from_millis(POLL_MILLISECONDS)).await,
        }
    }
}

/// Stops a server: open transactions are rolled back, what is committed is kept.
pub(crate) async fn stop(cluster: &Path, pid: i32) -> Result<(), PostgresError> {
    let Some(process) = Pid::from_raw(pid) else {
        return Ok(());
    };
    // What `pg_ctl stop -m fast` sends; a process that is gone already needs no signal.
    let _ = kill_process(process, Signal::INT);
    let deadline = Instant::now() + Duration::from_secs(STOP_TIMEOUT_SECONDS);
    // Its file is the last thing that a server removes. The process itself may linger as our
    // child that nobody has waited for.
    while pidfile::running(cluster).is_some_and(|file| file.pid == pid) {
        if Instant::now() >= deadline {
            return Err(PostgresError::DidNotStop {
                pid,
                seconds: STOP_TIMEOUT_SECONDS,
            });
        }
        tokio::time::sleep(Duration::from_millis(POLL_MILLISECONDS)).await;
    }
    Ok(())
}

/// Opens the log for the server to write to, and tells where its new lines will begin.
fn open_log(place: &Place, account: Account) -> Result<(File, u64), PostgresError> {
    let path = &place.log;
    let length = fs::metadata(path).map_or(0, |data| data.len());
    if length > LOG_LIMIT_BYTES {
        let old = path.with_extension("log.1");
        fs::rename(path, &old).map_err(files("set aside", path))?;
    }
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(files("write", path))?;
    account.own(path)?;
    let before = log.metadata().map_or(0, |data| data.len());
    Ok((log, before))
}

fn failed(place: &Place, tail: String) -> PostgresError {
    PostgresError::Start {
        log: place.log.clone(),
        tail,
    }
}

/// The last lines of the log, of those that were written since a start.
fn tail(log: &Path, from: u64) -> String {
    let mut bytes = Vec::new();
    let read = File::open(log).and_then(|mut file| {
        file.seek(SeekFrom::Start(from))?;
        file.take(LOG_LIMIT_BYTES).read_to_end(&mut bytes)
    });
    if let Err(error) = read {
        return format!("(the log cannot be read: {error})");
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(TAIL_LINES);
    lines
        .into_iter()
        .skip(skipped)
        .collect::<Vec<_>>()
        .join("\n")
}
