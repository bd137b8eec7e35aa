//! A real Redis of a test's own, on a socket that nobody else knows.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long it may take to begin.
const START_MAX: Duration = Duration::from_secs(20);

/// A server; gone when it is dropped.
pub struct TestRedis {
    directory: TempDir,
    server: Option<Child>,
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

impl TestRedis {
    /// Starts one. `.ci/setup test` installs it.
    pub fn start() -> Self {
        let mut redis = Self {
            directory: tempfile::tempdir().expect("a directory"),
            server: None,
        };
        redis.restart();
        redis
    }

    fn socket(&self) -> String {
        let socket = self.directory.path().join("redis.sock");
        socket.to_str().expect("a path").to_owned()
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket())
    }

    /// Ends it at once, with all that it holds.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// Starts it at the same place, empty.
    pub fn restart(&mut self) {
        self.kill();
        let socket = self.socket();
        let _ = std::fs::remove_file(&socket);
        let server = program()
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .args(["--unixsocket", &socket])
            .current_dir(self.directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("Redis, which `.ci/setup test` installs");
        self.server = Some(server);
        let began = Instant::now();
        while self.command(&["ping"]) != "PONG" {
            assert!(began.elapsed() < START_MAX, "redis does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it answers to a command, as text.
    pub fn command(&self, words: &[&str]) -> String {
        let answer = Command::new("redis-cli")
            .args(["-s", &self.socket()])
            .args(words)
            .output()
            .expect("redis-cli, which comes with redis-server");
        String::from_utf8_lossy(&answer.stdout).trim().to_owned()
    }
}

/// The server's program: which one it is, it tells by its name. Debian has it under another one
/// where no service is wanted.
fn program() -> Command {
    let name = "redis-server";
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|place| place.join(name).exists());
    let mut program = Command::new(if found { name } else { "redis-check-rdb" });
    program.arg0(name);
    program
}
