//! The edges: what browsers are told, whose pages may read answers, who takes too long and who
//! asks too often.

use crm_server::auth::Issuers;
use crm_server::edges::{Edges, Rates};
use crm_tests::app::TestApp;
use crm_tests::client::{Answer, Client};
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn serving(app: &TestApp, edges: Edges) -> Client {
    let issuers = Issuers::new(Some(app.issuer.clone()));
    let base = app.serve(|app| app.with_edges(edges), issuers).await;
    Client::new(&base, None)
}

async fn asked(client: &Client, method: Method, path: &str, origin: &str) -> Answer {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,idempotency-key",
        ),
    ];
    client.call(method, path, &headers, None).await
}

#[tokio::test]
async fn every_answer_tells_browsers_to_be_careful() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let https = Edges {
        https: true,
        ..Edges::default()
    };
    let public = serving(&app, https).await;
    for path in [
        "/healthz",
        "/openapi.json",
        "/nowhere",
        "bootstrap",
        "/problems/stale",
    ] {
        for (client, https) in [(&owner, false), (&public, true)] {
            let answer = client.get(path).await;
            let policy = answer.header("content-security-policy").unwrap();
            assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
            assert!(!policy.contains("unsafe"), "{path}: {policy}");
            assert_eq!(
                answer.header("x-content-type-options"),
                Some("nosniff"),
                "{path}"
            );
            assert_eq!(
                answer.header("referrer-policy"),
                Some("no-referrer"),
                "{path}"
            );
            let stays = answer.header("strict-transport-security").is_some();
            assert_eq!(stays, https, "{path}");
        }
    }
}

#[tokio::test]
async fn pages_of_listed_origins_read_answers_and_no_others() {
    let app = TestApp::start().await;
    let listed = "https://app.example.com";
    let edges = Edges {
        cors_origins: vec![
            listed.parse().unwrap(),
            "http://localhost:5173".parse().unwrap(),
        ],
        ..Edges::default()
    };
    let client = serving(&app, edges).await;
    let allowed = "access-control-allow-origin";
    for path in ["bootstrap", "/nowhere", "/healthz"] {
        let answer = asked(&client, Method::GET, path, listed).await;
        assert_eq!(answer.header(allowed), Some(listed), "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        let exposed = answer.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("etag"), "{exposed}");
    }
    let preflight = asked(&client, Method::OPTIONS, "records/patients", listed).await;
    assert_eq!(preflight.status, 200);
    assert_eq!(preflight.header(allowed), Some(listed));
    let headers = preflight.header("access-control-allow-headers").unwrap();
    assert!(headers.contains("authorization") && headers.contains("idempotency-key"));

    for other in [
        "https://app.example.com.evil.com",
        "http://app.example.com",
        "https://example.com",
        "https://app.example.com:8443",
        "null",
    ] {
        for method in [Method::GET, Method::OPTIONS] {
            let answer = asked(&client, method, "bootstrap", other).await;
            assert_eq!(answer.header(allowed), None, "{other}");
        }
    }
    // Without a list there are none.
    let answer = asked(&app.anonymous(), Method::GET, "/healthz", listed).await;
    assert_eq!(answer.header(allowed), None);
}

/// Opens a connection, sends this, and says what came until the server closed it.
async fn until_closed(base: &str, sent: &str) -> String {
    let address = base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut received));
    let _ = closed.await.expect("the server closes the connection");
    String::from_utf8_lossy(&received).into_owned()
}

#[tokio::test]
async fn who_takes_too_long_is_let_go() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let patience = Duration::from_millis(300);
    let edges = Edges {
        head_max: patience,
        body_pause_max: patience,
        ..Edges::default()
    };
    let issuers = Issuers::new(Some(app.issuer.clone()));
    let base = app.serve(|app| app.with_edges(edges), issuers).await;

    let started = Instant::now();
    assert_eq!(until_closed(&base, "").await, "", "says nothing");
    let head = "GET /healthz HTTP/1.1\r\nhost: x\r\n";
    let half = until_closed(&base, head).await;
    assert!(!half.contains("200 OK"), "half a head: {half}");
    let kept = until_closed(&base, &format!("{head}\r\n")).await;
    assert!(kept.contains("200 OK"), "then nothing more: {kept}");

    let token = owner.token().unwrap();
    let body = format!(
        "POST /api/crm/records/patients HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: 1000\r\n\r\n{{\"data\":"
    );
    let broken = until_closed(&base, &body).await;
    assert!(broken.starts_with("HTTP/1.1 400"), "half a body: {broken}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

fn limited(answer: &Answer, policy: &str) {
    assert_eq!(answer.status, 429, "{}", answer.body);
    assert_eq!(answer.body["type"], "/problems/too-many-requests");
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    let told = answer.header("ratelimit-policy").unwrap();
    assert!(told.starts_with(&format!("\"{policy}\";q=3;w=")), "{told}");
    let told = answer.header("ratelimit").unwrap();
    assert!(told.starts_with(&format!("\"{policy}\";r=0;t=")), "{told}");
}

fn rates(which: &str) -> Edges {
    let rate = |name| (which == name).then(|| "1/3".parse().unwrap());
    Edges {
        rates: Rates {
            credential: rate("credential"),
            tenant: rate("tenant"),
            address: rate("address"),
        },
        ..Edges::default()
    }
}

/// Asks until it is refused, at most so often.
async fn exhaust(client: &Client) -> Answer {
    for _ in 0..20 {
        let answer = client.get("bootstrap").await;
        if answer.status == 429 {
            return answer;
        }
    }
    panic!("never refused");
}

#[tokio::test]
async fn a_credential_that_asks_too_often_stops_nobody_else() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let key = owner
        .post("api-keys", json!({"name": "k"}))
        .await
        .expect(201);
    let server = serving(&app, rates("credential")).await;
    let busy = server.with_token(&app.token(tenant, "owner"));
    limited(&exhaust(&busy).await, "credential");
    // Another token of the same person is no other credential.
    limited(
        &server
            .with_token(&app.token(tenant, "owner"))
            .get("bootstrap")
            .await,
        "credential",
    );
    let other = server.with_token(&app.token(tenant, "viewer"));
    assert_eq!(other.get("bootstrap").await.status, 200);
    let program = server.with_token(key["key"].as_str().unwrap());
    assert_eq!(program.get("bootstrap").await.status, 200);
    limited(&exhaust(&program).await, "credential");
    crm_tests::client::wait_until("it may ask again", || async {
        busy.get("bootstrap").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_key_that_asked_too_often_costs_the_database_nothing() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let key = owner
        .post("api-keys", json!({"name": "k"}))
        .await
        .expect(201);
    let server = serving(&app, rates("credential")).await;
    let program = server.with_token(key["key"].as_str().unwrap());
    limited(&exhaust(&program).await, "credential");
    // The database would say that there is no such key any more.
    let path = format!("api-keys/{}", key["id"].as_str().unwrap());
    assert!(owner.delete(&path).await.status.is_success());
    limited(&program.get("bootstrap").await, "credential");
    crm_tests::client::wait_until("it is asked again", || async {
        program.get("bootstrap").await.status == 401
    })
    .await;
}

#[tokio::test]
async fn a_tenant_that_asks_too_often_stops_no_other() {
    let app = TestApp::start().await;
    let (tenant, _) = app.owner_of("hospital").await;
    let (quiet, _) = app.owner_of("hospital").await;
    let server = serving(&app, rates("tenant")).await;
    limited(
        &exhaust(&server.with_token(&app.token(tenant, "owner"))).await,
        "tenant",
    );
    let colleague = server.with_token(&app.token(tenant, "viewer"));
    limited(&colleague.get("bootstrap").await, "tenant");
    let other = server.with_token(&app.token(quiet, "owner"));
    assert_eq!(other.get("bootstrap").await.status, 200);
}

#[tokio::test]
async fn an_address_that_guesses_too_often_is_refused_and_tokens_are_not() {
    let app = TestApp::start().await;
    let (tenant, _) = app.owner_of("hospital").await;
    let server = serving(&app, rates("address")).await;
    let known = server.with_token(&app.token(tenant, "owner"));
    limited(&exhaust(&server).await, "address");
    limited(&exhaust(&server.with_token("guess")).await, "address");
    for _ in 0..10 {
        assert_eq!(known.get("bootstrap").await.status, 200);
    }
    assert_eq!(
        server.get("/healthz").await.status,
        200,
        "it is alive even so"
    );
}
