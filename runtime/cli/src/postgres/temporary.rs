//! Ties a server to the life of this process, for tests and benches: a watcher waits until this
//! process is gone, however it ended, then stops the server and removes its files.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::error::{PostgresError, files};
use super::place::Place;

/// Waits for the end of its input, which comes when the other end of the pipe is closed, by us or
/// by the system. `$1` is the cluster; everything after it is removed.
const SCRIPT: &str = r#"
read -r _
if read -r pid < "$1/postmaster.pid"; then
    kill -QUIT "$pid"
    tries=0
    while [ -e "$1/postmaster.pid" ] && [ "$tries" -lt 100 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
fi
shift
rm -rf "$@"
"#;

/// Makes a new directory that the server's account can go through.
pub(crate) fn directory(parent: &Path) -> Result<PathBuf, PostgresError> {
    tempfile::Builder::new()
        .prefix("crm-postgres-")
        .permissions(Permissions::from_mode(0o711))
        .tempdir_in(parent)
        .map(tempfile::TempDir::keep)
        .map_err(files("create a directory in", parent))
}

/// The watcher of one server. Dropping it stops the server.
#[derive(Debug)]
pub(crate) struct Watcher(Child);

impl Watcher {
    /// Starts to watch.
    pub(crate) fn start(place: &Place, data_dir: &Path) -> Result<Self, PostgresError> {
        Command::new("/bin/sh")
            .args(["-c", SCRIPT, "sh"])
            .args([&place.cluster, &place.home])
            .arg(data_dir)
            .current_dir("/")
            // Ctrl-C must not reach it before it has done its work.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Self)
            .map_err(|source| PostgresError::Spawn {
                program: "/bin/sh".into(),
                source,
            })
    }

    /// Stops the server, removes its files and waits until that is done.
    pub(crate) async fn finish(self) {
        let Self(mut child) = self;
        drop(child.stdin.take());
        // A thread, because the watcher may outlive the runtime that this was started on.
        let _ = tokio::task::spawn_blocking(move || child.wait()).await;
    }
}
