//! The locks between crm processes. The system gives a lock back when its holder dies, so none of
//! them can be stale; what the files hold means nothing.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::error::{PostgresError, files};
use super::place::Place;

/// Creates a data directory if need be, and finds its true name.
pub(crate) fn make_directory(data_dir: &Path) -> Result<PathBuf, PostgresError> {
    fs::create_dir_all(data_dir).map_err(files("create", data_dir))?;
    data_dir.canonicalize().map_err(files("open", data_dir))
}

/// Waits until no other process starts or stops the server of this data directory, and keeps the
/// others waiting until the answer is dropped.
pub(crate) async fn guard(
    data_dir: &Path,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<File, PostgresError> {
    let path = data_dir.join("postgres.lock");
    let file = open(&path)?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {
            progress("waiting for another crm that starts or stops PostgreSQL here");
        }
        Err(TryLockError::Error(error)) => return Err(files("lock", &path)(error)),
    }
    let waiting = tokio::task::spawn_blocking(move || file.lock().map(|()| file));
    let locked = waiting.await.unwrap_or_else(|error| Err(error.into()));
    locked.map_err(files("lock", &path))
}

/// Takes a share in the server. The caller holds the guard.
pub(crate) fn share(place: &Place) -> Result<File, PostgresError> {
    let file = open(&place.users)?;
    file.lock_shared().map_err(files("lock", &place.users))?;
    Ok(file)
}

/// Whether nobody has a share in the server. The caller holds the guard and has given up its own.
pub(crate) fn is_last(place: &Place) -> Result<bool, PostgresError> {
    match open(&place.users)?.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(files("lock", &place.users)(error)),
    }
}

fn open(path: &Path) -> Result<File, PostgresError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(files("open", path))
}
