//! `crm plugin install` and `dev`, against something that answers as a host's API does.

use axum::Router;
use axum::extract::{Multipart, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use crm_tests::cluster::target_dir;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::command::crm;

/// How long a build may take on a machine that has never made one.
const DEADLINE: Duration = Duration::from_secs(600);

/// What one installation sent.
#[derive(Clone, Debug)]
struct Sent {
    authorization: String,
    tenant: Option<String>,
    parts: BTreeMap<String, Vec<u8>>,
}

impl Sent {
    fn json(&self, part: &str) -> Value {
        serde_json::from_slice(&self.parts[part]).unwrap()
    }
}

#[derive(Clone, Default)]
struct Host {
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Host {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new()
            .route("/api/crm/plugins", post(take))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("http://{address}")
    }

    fn all(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    async fn wait_for(&self, count: usize) -> Vec<Sent> {
        let started = Instant::now();
        while self.all().len() < count {
            assert!(started.elapsed() < DEADLINE, "{count} installations");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.all()
    }
}

async fn take(State(host): State<Host>, headers: HeaderMap, mut form: Multipart) -> Response {
    let header = |name: &str| Some(headers.get(name)?.to_str().unwrap().to_owned());
    let mut sent = Sent {
        authorization: header("authorization").unwrap_or_default(),
        tenant: header("x-tenant-id"),
        parts: BTreeMap::new(),
    };
    while let Some(part) = form.next_field().await.unwrap() {
        let name = part.name().unwrap().to_owned();
        sent.parts
            .insert(name, part.bytes().await.unwrap().to_vec());
    }
    if sent.authorization != "Bearer good" {
        let problem = json!({
            "title": "Invalid",
            "detail": "the grant is more than the plugin asks for",
            "errors": [{ "pointer": "/grants/reads", "message": "is too much" }],
        });
        return (StatusCode::UNPROCESSABLE_ENTITY, problem.to_string()).into_response();
    }
    host.sent.lock().unwrap().push(sent);
    (StatusCode::CREATED, "{\"installed\": true}").into_response()
}

async fn finished(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_goes_to_a_tenant_with_what_it_is_granted() {
    let host = Host::default();
    let base = host.start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut components = crm_cli::bundled::components().iter();
    let component = components.find(|(name, _)| *name == "jewellery-valuation");
    let component = component.unwrap().1;
    std::fs::write(folder.path().join("valuation.wasm"), component).unwrap();
    let grant = json!({ "reads": ["items(carat)"] });
    std::fs::write(folder.path().join("grant.json"), grant.to_string()).unwrap();
    let install = |token: &str, more: &[&str]| {
        let mut command = crm();
        command
            .current_dir(folder.path())
            .args(["plugin", "install", "valuation.wasm", "--host", &base])
            .args(more)
            .env("CRM_TOKEN", token);
        finished(command)
    };
    let output = install("good", &["--json"]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "{\n  \"installed\": true\n}"
    );
    let tenant = "018f4e6a-7c1e-7000-8000-000000000001";
    let output = install("good", &["--grant", "grant.json", "--tenant", tenant]).await;
    assert!(output.status.success(), "{output:?}");

    let sent = host.all();
    assert_eq!(sent[0].parts["component"], component);
    assert_eq!(sent[0].json("grants")["activities"], json!(["items"]));
    assert_eq!(sent[0].json("config"), json!({}));
    assert_eq!(sent[0].tenant, None);
    assert_eq!(sent[1].json("grants"), grant);
    assert_eq!(sent[1].tenant.as_deref(), Some(tenant));

    let refused = install("bad", &[]).await;
    assert_eq!(refused.status.code(), Some(1));
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        error.contains("jewellery-valuation 0.1.0 is not installed"),
        "{error}"
    );
    assert!(
        error.contains("more than the plugin asks for; /grants/reads is too much"),
        "{error}"
    );
}

/// Gone when it is dropped.
struct Developing(Child);

impl Drop for Developing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_built_and_installed_as_they_are_made() {
    let host = Host::default();
    let base = host.start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut new = crm();
    new.current_dir(folder.path())
        .args(["plugin", "new", "greeter"]);
    let made = finished(new).await;
    assert!(made.status.success(), "{made:?}");

    let developing = crm()
        .current_dir(folder.path().join("greeter"))
        .args(["plugin", "dev", "--host", &base, "--token", "good"])
        .env("CARGO_TARGET_DIR", target_dir().join("test-data/author"))
        .env("CARGO_NET_OFFLINE", "true")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut developing = Developing(developing);
    let said = BufReader::new(developing.0.stderr.take().unwrap()).lines();
    let (heard, mut lines) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        said.map_while(Result::ok)
            .for_each(|line| drop(heard.send(line)))
    });
    host.wait_for(1).await;
    let source = folder.path().join("greeter/src/lib.rs");
    let text = std::fs::read_to_string(&source).unwrap();
    // What does not compile is not installed, and not the end either.
    std::fs::write(&source, "nonsense").unwrap();
    while !lines
        .recv()
        .await
        .unwrap()
        .contains("cargo could not build")
    {}
    std::fs::write(&source, text.replace("\"{}, {name}\"", "\"{}! {name}\"")).unwrap();
    let sent = host.wait_for(2).await;
    assert_ne!(sent[0].parts["component"], sent[1].parts["component"]);

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
}
