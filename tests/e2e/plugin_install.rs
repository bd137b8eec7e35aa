//! `crm plugin install` and `dev` against `crm serve`: what an author brings to a tenant runs there
//! with the next event.

use crm_tests::client::{Client, wait_until};
use crm_tests::cluster::{TestDatabase, cluster, target_dir};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::command::{Serving, crm, serving};

/// A host, a tenant of it, and somebody who decides there.
struct Host {
    database: TestDatabase,
    serving: Serving,
    token: String,
    owner: Client,
}

impl Host {
    async fn start() -> Self {
        let database = cluster().database().await;
        let said = |arguments: &[&str]| {
            let mut command = crm();
            command
                .args(arguments)
                .env("DATABASE_URL", database.url())
                .env("CRM_DEV_ISSUER", "1");
            let output = command.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        said(&[
            "tenant",
            "create",
            "--name",
            "Acme",
            "--template",
            "hospital",
        ]);
        let token = said(&["token", "--tenant", "Acme", "--role", "owner"]);
        let serving = serving(&database.url(), &[]);
        let owner = Client::new(&serving.base, Some(token.clone()));
        Self {
            database,
            serving,
            token,
            owner,
        }
    }

    /// `crm plugin …` in this folder, with this host.
    fn plugin(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = crm();
        command
            .current_dir(folder)
            .arg("plugin")
            .args(arguments)
            .env("CRM_HOST", &self.serving.base)
            .env("CRM_TOKEN", &self.token)
            .env("CARGO_TARGET_DIR", target_dir().join("test-data/author"))
            .env("CARGO_NET_OFFLINE", "true");
        command
    }

    /// Titles of what stands on a new patient's timeline when the run has ended.
    async fn greeting(&self, name: &str) -> String {
        let owner = &self.owner;
        let patient = owner.create("patients", json!({ "full_name": name })).await;
        let run = owner.run("greet", &patient, &["done", "dead"]).await;
        assert_eq!(run["status"], "done", "{run}");
        let path = format!("records/patients/{patient}/activities");
        let activities = owner.get(&path).await.expect(200);
        let titles = activities["data"].as_array().unwrap().iter();
        let mut titles = titles.map(|activity| activity["title"].as_str().unwrap());
        let found = titles.find(|title| title.contains(name));
        found.unwrap_or_else(|| panic!("{activities}")).to_owned()
    }
}

async fn finished(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

/// Gone when it is dropped.
struct Developing(Child);

impl Drop for Developing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn heard(developing: &mut Developing) -> UnboundedReceiver<String> {
    let said = BufReader::new(developing.0.stderr.take().unwrap()).lines();
    let (send, lines) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        said.map_while(Result::ok)
            .for_each(|line| drop(send.send(line)))
    });
    lines
}

async fn wait_for(lines: &mut UnboundedReceiver<String>, words: &str) {
    let mut all = String::new();
    loop {
        let line = lines.recv().await;
        let line = line.unwrap_or_else(|| panic!("it never says {words}: {all}"));
        if line.contains(words) {
            return;
        }
        all.push_str(&line);
        all.push('\n');
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_author_makes_runs_at_a_tenant_and_changes_as_it_is_written() {
    let host = Host::start().await;
    let owner = &host.owner;
    let folder = tempfile::tempdir().unwrap();
    let new = [
        "new",
        "greeter",
        "--template",
        "hospital",
        "--module",
        "patients",
    ];
    let made = finished(host.plugin(folder.path(), &new)).await;
    assert!(made.status.success(), "{made:?}");
    let directory = folder.path().join("greeter");

    // Installed with what it is granted, refused with the reason, and only replaced where asked to.
    let grant = json!({ "reads": ["patients(full_name)"], "activities": ["patients"] });
    std::fs::write(directory.join("grant.json"), grant.to_string()).unwrap();
    std::fs::write(
        directory.join("more.json"),
        json!({ "reads": ["patients"] }).to_string(),
    )
    .unwrap();
    let install = |more: &[&str]| {
        let arguments = [["install", "--grant"].as_slice(), more].concat();
        finished(host.plugin(&directory, &arguments))
    };
    let refused = install(&["more.json"]).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let installed = install(&["grant.json", "--json"]).await;
    assert!(installed.status.success(), "{installed:?}");
    let answer: Value = serde_json::from_slice(&installed.stdout).unwrap();
    assert_eq!(answer["grants"]["activities"], json!(["patients"]));
    assert_eq!(answer["takes"]["class"], "standard");
    let again = install(&["grant.json"]).await;
    let error = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(again.status.code(), Some(1), "{error}");
    assert!(
        error.contains("greeter 0.1.0 is not installed") && error.contains("is installed already"),
        "{error}"
    );
    let replaced = install(&["grant.json", "--replace"]).await;
    assert!(replaced.status.success(), "{replaced:?}");
    let workflow = json!({
        "slug": "greet", "name": "Greet", "module": "patients",
        "trigger": { "on": "record_created" },
        "steps": [{ "action": "greeter", "config": { "greeting": "Welcome" } }],
    });
    owner.post("workflows", workflow).await.expect(201);
    assert_eq!(host.greeting("Ada").await, "Welcome, Ada");

    // While it is written, each build that differs is there with the next event.
    let developing = host
        .plugin(&directory, &["dev"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut developing = Developing(developing);
    let mut lines = heard(&mut developing);
    wait_for(&mut lines, "waiting for changes").await;
    let first = owner.get("plugins/greeter").await.expect(200)["version"].clone();
    assert!(
        first.as_str().unwrap().starts_with("0.1.0-dev.h"),
        "{first}"
    );
    let source = directory.join("src/lib.rs");
    let text = std::fs::read_to_string(&source).unwrap();
    // What does not compile is not installed, and not the end either.
    std::fs::write(&source, "nonsense").unwrap();
    wait_for(&mut lines, "cargo could not build").await;
    assert_eq!(host.greeting("Bea").await, "Welcome, Bea");
    std::fs::write(&source, text.replace("\"{}, {name}\"", "\"{}! {name}\"")).unwrap();
    wait_until("it is installed", async || {
        owner.get("plugins/greeter").await.expect(200)["version"] != first
    })
    .await;
    assert_eq!(host.greeting("Cy").await, "Welcome! Cy");

    let id = developing.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let ended = tokio::task::spawn_blocking(move || developing.0.wait().unwrap());
    assert_eq!(ended.await.unwrap().code(), Some(0));
    drop(host.database);
}
