//! pgbench, PostgreSQL's own load generator: what the server does when nobody thinks about the
//! data. Runs as the runtime's role.

use anyhow::{Context, Result, ensure};
use crm_cli::postgres::{PrivatePostgres, ServerBinaries};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// A script, and all that it is run with.
#[derive(Debug)]
pub(crate) struct Pgbench {
    pub(crate) program: PathBuf,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) database: String,
    /// Values that the script names, sent as parameters.
    pub(crate) variables: Vec<(&'static str, String)>,
    pub(crate) clients: usize,
}

/// What a run of pgbench saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) per_second: f64,
    pub(crate) transactions: u64,
}

/// pgbench beside the server's programs, else the one on the PATH.
pub(crate) fn find(server: &ServerBinaries) -> Result<PathBuf> {
    let beside = server.program("pgbench");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(beside)
        .chain(std::env::split_paths(&path).map(|place| place.join("pgbench")))
        .find(|program| program.is_file())
        .with_context(|| {
            format!(
                "pgbench is neither in {} nor on the PATH; on Debian it is in the package \
                 postgresql-contrib",
                server.directory.display()
            )
        })
}

impl Pgbench {
    /// For a database of a private server.
    pub(crate) fn new(program: PathBuf, server: &PrivatePostgres, database: &str) -> Self {
        Self {
            program,
            port: server.port(),
            user: server.connect_options().get_username().to_owned(),
            password: server.password().to_owned(),
            database: database.to_owned(),
            variables: Vec::new(),
            clients: 1,
        }
    }

    /// Runs a script for a time. Any failed transaction is an error.
    pub(crate) async fn run(&self, script: &str, time: Duration) -> Result<Seen> {
        self.run_for(script, &format!("--time={}", time.as_secs()))
            .await
    }

    /// Runs a script so many times by each client.
    pub(crate) async fn run_each(&self, script: &str, times: u64) -> Result<Seen> {
        self.run_for(script, &format!("--transactions={times}"))
            .await
    }

    async fn run_for(&self, script: &str, length: &str) -> Result<Seen> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), script)?;
        let mut command = Command::new(&self.program);
        command
            .args([
                "--no-vacuum",
                "--protocol=prepared",
                "--jobs=2",
                "--host=127.0.0.1",
            ])
            .arg(format!("--port={}", self.port))
            .arg(format!("--username={}", self.user))
            .arg(format!("--client={}", self.clients))
            .arg(length)
            .arg("--file")
            .arg(file.path())
            .args(
                self.variables
                    .iter()
                    .map(|(name, value)| format!("--define={name}={value}")),
            )
            .arg(&self.database)
            .env("PGPASSWORD", &self.password)
            .env("PGOPTIONS", "-c role=crm_runtime")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = command.output().await.context("pgbench cannot be run")?;
        let (said, complained) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        ensure!(output.status.success(), "pgbench failed: {complained}");
        let figure = |before: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(before));
            let word = line.and_then(|rest| rest.split([' ', '/']).next());
            word.with_context(|| format!("pgbench did not say “{before}”: {said}"))
        };
        let failed: u64 = figure("number of failed transactions: ")?.parse()?;
        ensure!(
            failed == 0,
            "{failed} of pgbench's transactions failed: {complained}"
        );
        Ok(Seen {
            per_second: figure("tps = ")?.parse()?,
            transactions: figure("number of transactions actually processed: ")?.parse()?,
        })
    }
}
