//! `crm doctor`: looks at everything that CRM Pro needs on a machine and says, for each, whether it
//! is there and how to get it. Changes nothing (it tries the data directory with a file that it
//! removes again) and never shows a password.

mod port;

use std::ffi::OsStr;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Serialize;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};

use crate::postgres::{MINIMUM_MAJOR_VERSION, PrivatePostgres, find_server};

/// How long a database may take to answer.
const CONNECT_TIMEOUT_SECONDS: u64 = 5;
/// Below this much free space an import of a few hundred thousand records may not fit.
const MINIMUM_FREE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// What to look at.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// Where `crm serve` would keep its files.
    pub data_dir: &'a Path,
    /// Where `crm serve` would listen.
    pub listen: SocketAddr,
    /// The database, if it is not the private one.
    pub database_url: Option<&'a str>,
}

/// One thing that CRM Pro needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is.
    pub name: String,
    /// Whether it is there.
    pub found: bool,
    /// Whether `crm serve` can do without; building from source may not.
    pub optional: bool,
    /// What was found, or what is wrong.
    pub detail: String,
    /// How to get it; none where it is there.
    pub remedy: Option<String>,
}

impl Check {
    /// Something that is there.
    pub fn found(name: &str, detail: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            found: true,
            optional: false,
            detail: detail.into(),
            remedy: None,
        }
    }

    /// Something that is missing or does not work.
    pub fn missing(name: &str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            found: false,
            optional: false,
            detail: detail.into(),
            remedy: Some(remedy.into()),
        }
    }

    /// The same, but the host runs without it.
    #[must_use]
    pub fn optional(self) -> Self {
        Self {
            optional: true,
            ..self
        }
    }
}

/// Looks at everything, in the order in which a newcomer needs it.
pub async fn checks(subject: &Subject<'_>) -> Vec<Check> {
    let database = match subject.database_url {
        Some(url) => database(url).await,
        None => private_database(subject.data_dir).await,
    };
    vec![
        rust(),
        guest_target(),
        database,
        port::check(subject.listen).await,
        data_dir(subject.data_dir),
        disk(subject.data_dir),
        mail(),
    ]
}

/// Whether `crm serve` has all that it cannot do without.
pub fn is_ready(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.found || check.optional)
}

/// The checks as lines of text: ✓ there, ✗ missing, – missing but optional; remedies below.
pub fn render(checks: &[Check]) -> String {
    let width = checks.iter().map(|c| c.name.chars().count()).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    for check in checks {
        let mark = match (check.found, check.optional) {
            (true, _) => '✓',
            (false, true) => '–',
            (false, false) => '✗',
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{mark} {:width$}  {}", check.name, check.detail);
        if let Some(remedy) = &check.remedy {
            let _ = writeln!(text, "  {:width$}  → {remedy}", "");
        }
    }
    text
}

fn rust() -> Check {
    const NAME: &str = "Rust";
    let versions: Vec<_> = ["cargo", "rustc"]
        .into_iter()
        .filter_map(|program| said(program, ["--version"]))
        .collect();
    match versions.len() {
        2 => Check::found(NAME, versions.join(", ")),
        _ => Check::missing(
            NAME,
            "cargo and rustc are not on the PATH; only building from source needs them",
            "install them from https://rustup.rs",
        ),
    }
    .optional()
}

fn guest_target() -> Check {
    const NAME: &str = "wasm32-unknown-unknown";
    let arguments = ["--print", "target-libdir", "--target", NAME];
    let installed = said("rustc", arguments).is_some_and(|place| Path::new(&place).is_dir());
    if installed {
        Check::found(NAME, "installed; templates and actions can be built")
    } else {
        Check::missing(
            NAME,
            "not installed; only building templates and actions needs it",
            "rustup target add wasm32-unknown-unknown",
        )
    }
    .optional()
}

/// What a program prints, if it runs and succeeds.
fn said<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

async fn private_database(data_dir: &Path) -> Check {
    const NAME: &str = "PostgreSQL";
    match find_server().await {
        Ok(server) => {
            let state = match PrivatePostgres::running(data_dir) {
                Some(running) => format!("running on port {}", running.port),
                None => "not running now".to_owned(),
            };
            Check::found(
                NAME,
                format!(
                    "{} in {}, {state}",
                    server.version,
                    server.directory.display()
                ),
            )
        }
        Err(error) => {
            let message = error.to_string();
            let (what, remedy) = message.split_once("; ").unwrap_or((&message, ""));
            Check::missing(NAME, what, remedy)
        }
    }
}

async fn database(url: &str) -> Check {
    const NAME: &str = "DATABASE_URL";
    let options: PgConnectOptions = match url.parse() {
        Ok(options) => options,
        // The error could repeat the URL, and with it a password.
        Err(_) => {
            return Check::missing(
                NAME,
                "is not a PostgreSQL URL",
                "write it as postgres://user:password@host:5432/database",
            );
        }
    };
    let options = options.disable_statement_logging();
    let place = format!("{}:{}", options.get_host(), options.get_port());
    let limit = Duration::from_secs(CONNECT_TIMEOUT_SECONDS);
    match tokio::time::timeout(limit, PgConnection::connect_with(&options)).await {
        Ok(Ok(connection)) => {
            let number = connection.server_version_num().unwrap_or_default();
            let _ = connection.close().await;
            let (major, minor) = (number / 10_000, number % 10_000);
            if major >= MINIMUM_MAJOR_VERSION {
                Check::found(NAME, format!("PostgreSQL {major}.{minor} on {place}"))
            } else {
                Check::missing(
                    NAME,
                    format!("PostgreSQL {major}.{minor} on {place} is too old"),
                    format!("use a server of version {MINIMUM_MAJOR_VERSION} or newer"),
                )
            }
        }
        Ok(Err(error)) => Check::missing(
            NAME,
            format!("{place} does not let us in: {error}"),
            "start that server or correct the URL; unset it to use a private PostgreSQL",
        ),
        Err(_) => Check::missing(
            NAME,
            format!("{place} did not answer within {CONNECT_TIMEOUT_SECONDS} s"),
            "start that server or correct the URL; unset it to use a private PostgreSQL",
        ),
    }
}

fn data_dir(directory: &Path) -> Check {
    const NAME: &str = "data directory";
    let (existing, detail) = match nearest(directory) {
        place if place == directory => (place, format!("{} can be written", directory.display())),
        place => (place, format!("{} will be created", directory.display())),
    };
    // Trying is the only way to know: modes do not tell of access lists and read-only mounts.
    match tempfile::tempfile_in(existing) {
        Ok(_) => Check::found(NAME, detail),
        Err(error) => Check::missing(
            NAME,
            format!("cannot write to {}: {error}", existing.display()),
            "give it to this user, or choose another one with --data-dir",
        ),
    }
}

/// Whether what workflows mail can go anywhere; the address, which may hold a password, is not shown.
fn mail() -> Check {
    let name = "mail";
    match std::env::var_os("CRM_SMTP_URL").is_some_and(|url| !url.is_empty()) {
        true => Check::found(name, "CRM_SMTP_URL is set"),
        false => Check::missing(
            name,
            "no mail server: what workflows mail waits",
            "set CRM_SMTP_URL, such as smtps://user:password@mail.example.com, and CRM_SMTP_FROM",
        )
        .optional(),
    }
}

fn disk(directory: &Path) -> Check {
    const NAME: &str = "free disk";
    let place = nearest(directory);
    match rustix::fs::statvfs(place) {
        Ok(statistics) => {
            let free = statistics.f_bavail.saturating_mul(statistics.f_frsize);
            let detail = format!("{} MB at {}", free / 1_000_000, place.display());
            if free >= MINIMUM_FREE_BYTES {
                Check::found(NAME, detail)
            } else {
                let need = MINIMUM_FREE_BYTES / 1_000_000;
                let remedy = format!("make room, {need} MB at least, or move --data-dir");
                Check::missing(NAME, detail, remedy).optional()
            }
        }
        Err(error) => Check::missing(
            NAME,
            format!("cannot be told for {}: {error}", place.display()),
            "choose another directory with --data-dir",
        )
        .optional(),
    }
}

/// The directory itself, or the first one above it that exists.
fn nearest(directory: &Path) -> &Path {
    directory
        .ancestors()
        .find(|place| place.is_dir())
        .unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn subject(data_dir: &Path, listen: SocketAddr) -> Subject<'_> {
        Subject {
            data_dir,
            listen,
            database_url: None,
        }
    }

    #[tokio::test]
    async fn a_taken_port_names_its_holder() {
        let data = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = taken.local_addr().unwrap();
        let checks = checks(&subject(data.path(), listen)).await;
        let port = checks.iter().find(|c| c.name.starts_with("port")).unwrap();
        assert!(!port.found);
        let process = format!("process {}", std::process::id());
        assert!(port.detail.contains(&process), "{}", port.detail);
        assert!(!is_ready(&checks));
        let text = render(&checks);
        assert!(text.contains("✗ port 127.0.0.1:"), "{text}");
        assert!(text.contains("→ stop that program"), "{text}");
    }

    #[tokio::test]
    async fn a_database_url_is_tried_and_its_password_is_not_shown() {
        let data = tempfile::tempdir().unwrap();
        for url in [
            "postgres://crm:geheim@127.0.0.1:1/crm",
            "mysql://crm:geheim@127.0.0.1/crm",
            "postgres://crm:geheim@127.0.0.1:nine/crm",
        ] {
            let subject = Subject {
                database_url: Some(url),
                ..subject(data.path(), "127.0.0.1:0".parse().unwrap())
            };
            let checks = checks(&subject).await;
            let database = checks.iter().find(|c| c.name == "DATABASE_URL").unwrap();
            assert!(!database.found, "{url}");
            let shown = serde_json::to_string(&checks).unwrap();
            assert!(!shown.contains("geheim"), "{shown}");
        }
    }

    #[tokio::test]
    async fn a_directory_that_does_not_exist_yet_is_fine() {
        let data = tempfile::tempdir().unwrap();
        let deep = data.path().join("a/b");
        let checks = checks(&subject(&deep, "127.0.0.1:0".parse().unwrap())).await;
        let check = checks.iter().find(|c| c.name == "data directory").unwrap();
        assert!(check.found && check.detail.contains("will be created"));
        assert!(!deep.exists());
    }
}
