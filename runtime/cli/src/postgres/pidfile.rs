//! Reads `postmaster.pid`, by which PostgreSQL tells who runs a cluster, and decides whether it
//! speaks of a living server. Removes it only when the process that it names is certainly another
//! program; every other stale file is left to PostgreSQL, which also checks its shared memory.

use std::path::Path;
use std::process::Command;

use rustix::process::Pid;

use super::error::{PostgresError, files};

/// What the lines of `postmaster.pid` say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PidFile {
    pub(crate) pid: i32,
    pub(crate) port: u16,
    /// Whether the server takes connections yet.
    pub(crate) ready: bool,
}

impl PidFile {
    /// Reads the file of a cluster; `None` where there is none, or none that makes sense yet.
    pub(crate) fn read(cluster: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Option<Self> {
        // pid, data directory, start time, port, socket directory, address, memory, status
        let mut lines = text.lines().map(str::trim);
        Some(Self {
            pid: lines.next()?.parse().ok().filter(|pid| *pid > 0)?,
            port: lines.nth(2)?.parse().ok()?,
            ready: lines.nth(3) == Some("ready"),
        })
    }
}

/// The server that runs a cluster now, if one does. A file that a killed server left behind does
/// not count.
pub(crate) fn running(cluster: &Path) -> Option<PidFile> {
    PidFile::read(cluster).filter(|file| is_server_of(file.pid, cluster))
}

/// Removes the file when another program got the process id of a server that is gone: PostgreSQL
/// would take that program for the server and refuse to start.
pub(crate) fn forget_stranger(cluster: &Path) -> Result<(), PostgresError> {
    let Some(file) = PidFile::read(cluster) else {
        return Ok(());
    };
    if is_alive(file.pid) && !is_server_of(file.pid, cluster) {
        let path = cluster.join("postmaster.pid");
        std::fs::remove_file(&path).map_err(files("remove", &path))?;
    }
    Ok(())
}

/// Whether a process exists. One that belongs to somebody else does too.
pub(crate) fn is_alive(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| {
        !matches!(
            rustix::process::test_kill_process(pid),
            Err(rustix::io::Errno::SRCH)
        )
    })
}

/// Whether a living process is the server of this very cluster. Process ids come round again,
/// quickly so in containers, and then name anything, another PostgreSQL included.
fn is_server_of(pid: i32, cluster: &Path) -> bool {
    if !is_alive(pid) {
        return false;
    }
    // A server works in its data directory, however it was started.
    if let Ok(directory) = std::fs::read_link(format!("/proc/{pid}/cwd")) {
        return directory == cluster;
    }
    if let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) {
        // Empty for a process that has ended but was not waited for.
        return line
            .split(|byte| *byte == 0)
            .any(|argument| argument == cluster.as_os_str().as_encoded_bytes());
    }
    let Ok(output) = Command::new("ps")
        .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .output()
    else {
        // Nothing can be asked: rather believe the file than start a second server.
        return true;
    };
    let line = String::from_utf8_lossy(&output.stdout);
    line.contains("postgres") || line.contains("postmaster")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_in_every_state_of_the_server() {
        let starting = "812\n/data/postgres\n1700000000\n54321\n";
        assert_eq!(
            PidFile::parse(starting),
            Some(PidFile {
                pid: 812,
                port: 54321,
                ready: false
            })
        );
        let ready = format!("{starting}\n127.0.0.1\n   123 456\nready   \n");
        assert!(PidFile::parse(&ready).unwrap().ready);
        let stopping = format!("{starting}\n127.0.0.1\n   123 456\nstopping\n");
        assert!(!PidFile::parse(&stopping).unwrap().ready);
    }

    #[test]
    fn nonsense_is_no_server() {
        for text in [
            "",
            "812\n",
            "-812\n/x\n1\n5432\n",
            "0\n/x\n1\n5432\n",
            "a\nb\nc\nd\n",
        ] {
            assert_eq!(PidFile::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_process_that_is_another_program_is_forgotten() {
        let cluster = tempfile::tempdir().unwrap();
        let file = cluster.path().join("postmaster.pid");
        // This test's own process is alive and is not a PostgreSQL.
        let text = format!("{}\n/x\n1700000000\n5432\n", std::process::id());
        std::fs::write(&file, text).unwrap();
        assert_eq!(running(cluster.path()), None);
        forget_stranger(cluster.path()).unwrap();
        assert!(!file.exists());
    }
}
