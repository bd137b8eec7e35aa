//! API8:2023 Security Misconfiguration: what the server says of itself, to whom, and what it
//! lets browsers and caches do, as it comes. Policies for pages, HTTPS and other origins are
//! `edges.rs`'s; the database's role and policies `isolation.rs`'s; TLS to issuers `identity.rs`'s.

use super::{of_nothing, operations, quiet, raw, request, status};
use crm_tests::app::TestApp;
use crm_tests::client::Answer;
use reqwest::Method;
use serde_json::json;

/// What the inside would say.
const INSIDE: [&str; 22] = [
    "panicked",
    "sqlx",
    "postgres",
    "sqlstate",
    "pg_",
    "crm_records",
    "crm_index",
    "syntax error at",
    "duplicate key value",
    "violates",
    "relation \"",
    "unterminated",
    "invalid input syntax",
    "invalid byte sequence",
    "stack backtrace",
    ".rs:",
    "runtime/",
    "/home/",
    "/root/",
    "wasmtime",
    "tokio",
    "axum",
];
const BANNERS: [&str; 7] = [
    "server",
    "x-powered-by",
    "via",
    "x-runtime",
    "x-aspnet-version",
    "x-debug",
    "set-cookie",
];

#[track_caller]
fn says_nothing_of_the_inside(what: &str, answer: &Answer) {
    let status = answer.status.as_u16();
    assert!(status < 500, "{what}: {status} {}", answer.body);
    let told = format!("{:?} {}", answer.headers, answer.body).to_lowercase();
    for word in INSIDE {
        // What the caller said themselves is no news to them.
        assert!(
            !told.contains(word) || what.to_lowercase().contains(word),
            "{what}: {told}"
        );
    }
    for name in BANNERS {
        assert_eq!(answer.header(name), None, "{what}");
    }
    if status >= 400 {
        let kind = answer.header("content-type").unwrap_or_default();
        assert_eq!(kind, "application/problem+json", "{what}");
    }
}

#[tokio::test]
async fn nothing_that_is_sent_brings_the_inside_out() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    let patient = owner.create("patients", json!({"full_name": "Ada"})).await;
    let odd = [
        "'",
        "' or '1'='1",
        "1; select 1--",
        "\"",
        "\\",
        "%00",
        "%ff%fe",
        "%f0%9f%92%a9",
        "$1",
        "{}",
        "[]",
        "null",
        "-1",
        "99999999999999999999999999",
        "1e400",
        "NaN",
        "../../etc/passwd",
        "%252e%252e",
        "${jndi:x}",
        "{{7*7}}",
        "<script>alert(1)</script>",
        "0000-00-00T00:00:00Z",
        "00000000-0000-0000-0000-000000000000",
    ];
    let encoded = |text: &str| match text.starts_with('%') {
        true => text.to_owned(),
        false => text.bytes().map(|byte| format!("%{byte:02X}")).collect(),
    };
    let mut operations = operations(&owner).await;
    // A page for whoever follows a link in a mail.
    operations.retain(|(_, path)| path != "/mail/unsubscribe/{token}");
    for text in odd {
        let value = encoded(text);
        for (method, path) in operations.iter().filter(|(_, path)| path.contains('{')) {
            let asked: String = path
                .split('/')
                .map(|part| if part.starts_with('{') { &value } else { part })
                .collect::<Vec<_>>()
                .join("/");
            let body = (*method != Method::GET).then(|| json!({"data": {}}).to_string());
            let answer = owner.call(method.clone(), &asked, &[], body).await;
            says_nothing_of_the_inside(&format!("{method} {path} {text}"), &answer);
        }
        for path in [
            format!("records/patients?full_name=eq.{value}"),
            format!("records/patients?created_at=gte.{value}"),
            format!("records/patients?date_of_birth=eq.{value}"),
            format!("records/patients?filter={value}"),
            format!("records/patients?sort={value}"),
            format!("records/patients?fields={value}"),
            format!("records/patients?expand={value}"),
            format!("records/patients?cursor={value}"),
            format!("records/patients?q={value}"),
            format!("records/patients?{value}={value}"),
            format!("search?q={value}"),
            format!("audit?from={value}"),
            format!("audit?cursor={value}"),
            format!("runs?record_id={value}"),
            format!("permissions/explain?module={value}&action={value}"),
        ] {
            let answer = owner.get(&path).await;
            says_nothing_of_the_inside(&format!("{path} {text}"), &answer);
        }
        let text = text.to_owned();
        for body in [
            json!({"data": {"full_name": text}}),
            json!({"data": {"date_of_birth": text}}),
            json!({"data": {"gender": text}}),
            json!({"data": {(&text): text}}),
            json!({"data": text}),
        ] {
            let what = body.to_string();
            let answer = owner.post("records/patients", body.clone()).await;
            says_nothing_of_the_inside(&what, &answer);
            let answer = owner
                .patch(&format!("records/patients/{patient}"), body)
                .await;
            says_nothing_of_the_inside(&what, &answer);
        }
        for name in [
            "if-match",
            "idempotency-key",
            "x-request-id",
            "x-tenant-id",
            "accept",
        ] {
            let headers = [(name, text.as_str())];
            let body = Some(json!({"data": {"full_name": "x"}}).to_string());
            let path = format!("records/patients/{patient}");
            let answer = owner.call(Method::PATCH, &path, &headers, body).await;
            says_nothing_of_the_inside(&format!("{name}: {text}"), &answer);
        }
    }
    owner
        .get(&format!("records/patients/{patient}"))
        .await
        .expect(200);
}

#[tokio::test]
async fn every_answer_is_kept_by_nobody_and_framed_by_nobody() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    owner.create("patients", json!({"full_name": "Ada"})).await;
    for path in [
        "bootstrap",
        "records/patients",
        "records/patients/export?format=csv",
        "records/patients/export?format=ndjson",
        "audit",
        "records/nowhere",
    ] {
        for client in [&owner, &app.anonymous()] {
            let answer = client.get(path).await;
            // What one person may see stays in no cache, a browser's on a shared desk included.
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
            let policy = answer.header("content-security-policy").unwrap();
            assert!(
                policy.contains("frame-ancestors 'none'"),
                "{path}: {policy}"
            );
            assert_eq!(
                answer.header("x-content-type-options"),
                Some("nosniff"),
                "{path}"
            );
            for name in BANNERS {
                assert_eq!(answer.header(name), None, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn methods_that_only_debug_are_refused() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    for method in ["TRACE", "TRACK", "DEBUG", "CONNECT", "OPTIONS"] {
        for path in [
            "/healthz",
            "/api/crm/bootstrap",
            "/api/crm/records/patients",
            "/nowhere",
        ] {
            let line = format!("{method} {path}");
            let headers = "x-secret-header: echo-me\r\n";
            let answer = raw(&app.base, request(&owner, &line, headers).as_bytes()).await;
            assert!((400..500).contains(&status(&answer)), "{line}: {answer}");
            assert!(!answer.contains("echo-me"), "{line}: {answer}");
            assert!(!answer.contains(owner.token().unwrap()), "{line}");
        }
    }
}

#[tokio::test]
async fn nothing_is_left_lying_about() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    for path in [
        "/debug",
        "/debug/pprof",
        "/debug/vars",
        "/actuator",
        "/actuator/env",
        "/status",
        "/server-status",
        "/info",
        "/env",
        "/.env",
        "/.git/config",
        "/.git/HEAD",
        "/config",
        "/crm.toml",
        "/Cargo.toml",
        "/backup.sql",
        "/phpinfo.php",
        "/wp-login.php",
        "/graphql",
        "/graphiql",
        "/console/../Cargo.toml",
        "/static/..%2f..%2fCargo.toml",
        "/api",
        "/api/crm",
        "/api/crm/debug",
        "/api/crm/admin",
        "/api/crm/sql",
        "/api/crm/eval",
    ] {
        for client in [&owner, &app.anonymous()] {
            let answer = client.get(path).await;
            assert_eq!(answer.status, 404, "{path}");
            says_nothing_of_the_inside(path, &answer);
        }
    }
}

/// What those who watch the server read without a credential tells nobody whose it is.
#[tokio::test]
async fn metrics_name_no_tenant_and_no_record() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let patient = owner
        .create("patients", json!({"full_name": "Zebulon"}))
        .await;
    owner
        .get(&format!("records/patients/{patient}"))
        .await
        .expect(200);
    owner
        .get("records/patients?full_name=eq.Zebulon")
        .await
        .expect(200);
    owner.get("/a-path-of-an-attacker").await;
    let metrics = app
        .anonymous()
        .get("/metrics")
        .await
        .expect(200)
        .to_string();
    assert!(
        metrics.contains("/api/crm/records/{module}/{id}"),
        "by route"
    );
    for secret in [
        patient.as_str(),
        &tenant.to_string(),
        "Zebulon",
        "owner-1",
        "a-path-of-an-attacker",
    ] {
        assert!(!metrics.contains(secret), "{secret} is in the metrics");
    }
    for (_, path) in operations(&owner).await {
        let answer = app.anonymous().get(&of_nothing(&path)).await;
        let told = answer.body.to_string();
        assert!(!told.contains(&tenant.to_string()), "{path}");
    }
}
