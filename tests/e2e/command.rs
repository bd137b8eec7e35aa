//! The `crm` command, as a process of its own.

use crm_tests::browser::{Browser, PASSWORD};
use crm_tests::cluster::{cluster, target_dir};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

/// The binary beside these tests; `make test` builds it first.
pub(crate) fn crm() -> Command {
    let executable = std::env::current_exe().unwrap();
    let binary: PathBuf = executable.ancestors().nth(2).unwrap().join("crm");
    assert!(
        binary.exists(),
        "{} is missing: run `cargo build --bin crm`",
        binary.display()
    );
    let mut command = Command::new(binary);
    for name in [
        "DATABASE_URL",
        "CRM_DEV_ISSUER",
        "CRM_DATA_DIR",
        "CRM_LISTEN",
        "CRM_ISSUERS",
        "CRM_PUBLIC_URL",
        "CRM_CORS_ORIGINS",
        "CRM_LOCAL_ISSUER",
        "CRM_COOKIE_KEY",
        "REDIS_URL",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command
        .current_dir(std::env::temp_dir())
        .env("XDG_CACHE_HOME", target_dir().join("test-data"))
        .arg("--data-dir")
        .arg(target_dir().join("test-data"));
    command
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn tenants_and_tokens_come_from_the_command_line() {
    let database = cluster().database().await;
    let run = |arguments: &[&str], dev_issuer: bool| {
        let mut command = crm();
        command.args(arguments).env("DATABASE_URL", database.url());
        if dev_issuer {
            command.env("CRM_DEV_ISSUER", "1");
        }
        command.output().unwrap()
    };
    let created = run(
        &[
            "tenant",
            "create",
            "--name",
            "Acme",
            "--template",
            "hospital",
        ],
        false,
    );
    let (id, progress) = said(&created);
    assert!(created.status.success(), "{progress}");
    assert!(
        id.parse::<uuid::Uuid>().is_ok(),
        "the id alone on standard output: {id}"
    );

    let refused = run(&["token", "--tenant", "Acme", "--role", "owner"], false);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).1.contains("CRM_DEV_ISSUER=1"));
    assert_eq!(said(&refused).0, "");

    let token = run(&["token", "--tenant", "Acme", "--role", "owner"], true);
    let (token_text, progress) = said(&token);
    assert!(token.status.success(), "{progress}");
    assert_eq!(
        token_text.split('.').count(),
        3,
        "the token alone on standard output"
    );
    let unknown = run(&["token", "--tenant", "Nobody", "--role", "owner"], true);
    assert_eq!(unknown.status.code(), Some(1));

    let wrong = run(
        &["tenant", "create", "--name", "X", "--template", "nowhere"],
        false,
    );
    assert_eq!(wrong.status.code(), Some(1));
    let (listed, _) = said(&run(&["tenant", "list"], false));
    assert_eq!(
        listed,
        format!("{id}  Acme"),
        "a wrong template leaves no tenant behind"
    );

    let migrated = run(&["migrate"], false);
    assert!(migrated.status.success(), "{}", said(&migrated).1);
    let misused = run(&["tenant", "create"], false);
    assert_eq!(misused.status.code(), Some(2));
}

#[tokio::test]
async fn without_postgresql_a_sentence_and_status_1() {
    let output = crm()
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nowhere")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let (_, error) = said(&output);
    assert!(error.contains("PostgreSQL at 127.0.0.1:1"), "{error}");
    assert!(!error.contains("panicked"), "{error}");
}

#[tokio::test]
async fn doctor_says_what_is_there() {
    let database = cluster().database().await;
    let output = crm()
        .args(["doctor", "--json", "--listen", "127.0.0.1:0"])
        .env("DATABASE_URL", database.url())
        .output()
        .unwrap();
    let (report, _) = said(&output);
    let checks: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert!(checks.as_array().unwrap().len() >= 5, "{report}");
}

const LOOK: Duration = Duration::from_millis(10);

/// A `crm serve`; gone when it is dropped.
pub(crate) struct Serving {
    process: Child,
    pub(crate) base: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve(url: &str) -> Serving {
    serving(url, &["--local-issuer", "--role", "api"])
}

impl Serving {
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn serve_command(url: &str, arguments: &[&str]) -> Command {
    let mut command = crm();
    command
        .arg("serve")
        .args(arguments)
        .args(["--listen", "127.0.0.1:0"])
        .env("DATABASE_URL", url)
        .stderr(Stdio::piped());
    command
}

/// A `crm serve` that is killed after so long, whatever it has come to.
pub(crate) async fn serving_for(url: &str, time: Duration) {
    let mut process = serve_command(url, &[]).spawn().unwrap();
    tokio::time::sleep(time).await;
    process.kill().unwrap();
    process.wait().unwrap();
}

/// `crm serve` on this database.
pub(crate) fn serving(url: &str, arguments: &[&str]) -> Serving {
    listening(serve_command(url, arguments).env("CRM_DEV_ISSUER", "1"))
}

/// The same as the runtime's role, which may serve and no more.
pub(crate) fn serving_only(url: &str, arguments: &[&str]) -> Serving {
    listening(&mut serve_command(url, arguments))
}

fn listening(command: &mut Command) -> Serving {
    let mut process = command.spawn().unwrap();
    let mut said = BufReader::new(process.stderr.take().unwrap()).lines();
    let base = said.find_map(|line| {
        let line = line.unwrap();
        Some(line.split_once("serving on ")?.1.to_owned())
    });
    // Whoever says more is heard to the end.
    std::thread::spawn(move || said.for_each(drop));
    Serving {
        process,
        base: base.expect("an address"),
    }
}

#[tokio::test]
async fn people_are_invited_from_the_command_line_and_log_in_at_any_instance() {
    let database = cluster().database().await;
    let run = |arguments: &[&str]| {
        let mut command = crm();
        command.args(arguments).env("DATABASE_URL", database.url());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", said(&output).1);
        said(&output).0
    };
    let tenant = run(&[
        "tenant",
        "create",
        "--name",
        "Acme",
        "--template",
        "hospital",
    ]);
    let (first, second) = (serve(&database.url()), serve(&database.url()));
    let invite = [
        "user",
        "invite",
        "--tenant",
        "Acme",
        "--email",
        "ada@example.com",
        "--role",
        "owner",
        "--public-url",
        &first.base,
    ];
    let replaced = run(&invite);
    let link = run(&invite);
    assert!(
        link.starts_with(&first.base) && !link.contains('\n'),
        "{link}"
    );
    let list = ["user", "list", "--tenant", "Acme"];
    assert_eq!(run(&list), "ada@example.com  owner  invited");

    let mut browser = Browser::new(&first.base);
    // The only tenant is the one whose people log in.
    assert_eq!(browser.open("/auth/local").await.field("tenant"), tenant);
    for (link, status) in [(&replaced, 404), (&link, 303)] {
        let invited = json!({ "invitation_url": link });
        assert_eq!(browser.accept(&invited, PASSWORD).await.status, status);
    }
    assert_eq!(
        browser.session().await.expect(200)["roles"],
        json!(["owner"])
    );
    // The key of cookies is the database's, and not for the role that serves.
    browser.base = second.base.clone();
    assert_eq!(browser.session().await.status, 200);
    let mut runtime = PgConnection::connect_with(&database.runtime())
        .await
        .unwrap();
    let key = sqlx::query("select key from crm_cookie_key")
        .fetch_one(&mut runtime)
        .await
        .unwrap_err();
    let code = key.as_database_error().unwrap().code();
    assert_eq!(code.as_deref(), Some("42501"));

    let name = ["--tenant", "Acme", "--email", "Ada@Example.com"];
    run(&[["user", "disable"].as_slice(), &name].concat());
    assert_eq!(browser.session().await.status, 401);
    let listed = run(&[["--json"].as_slice(), &list].concat());
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["state"], "disabled");
    run(&[["user", "enable"].as_slice(), &name].concat());
    let tenant = tenant.parse().unwrap();
    let shown = browser.log_in(tenant, "ada@example.com", PASSWORD).await;
    assert_eq!(shown.status, 303);
}

#[tokio::test]
async fn a_key_of_cookies_that_is_too_short_is_refused() {
    let database = cluster().database().await;
    let output = crm()
        .args(["serve", "--local-issuer", "--listen", "127.0.0.1:0"])
        .env("DATABASE_URL", database.url())
        .env("CRM_COOKIE_KEY", "too short")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let (_, error) = said(&output);
    assert!(error.contains("CRM_COOKIE_KEY"), "{error}");
    assert!(!error.contains("too short"), "{error}");
}
