//! The `crm` command, as a process of its own.

use crm_tests::cluster::{cluster, target_dir};
use std::path::PathBuf;
use std::process::{Command, Output};

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
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command
        .current_dir(std::env::temp_dir())
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
