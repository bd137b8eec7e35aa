//! The surface as a whole: every documented path, what it says to strangers, and bodies that are
//! none.

use crm_tests::app::TestApp;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn every_documented_path_asks_who_you_are() {
    let app = TestApp::start().await;
    let anonymous = app.anonymous();
    let document = anonymous.get("/openapi.json").await.expect(200);
    assert_eq!(document["openapi"], "3.1.0");
    let mut calls = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            calls.push((method.to_uppercase(), path.clone()));
        }
    }
    calls.sort_by_key(|(method, path)| (path.clone(), method.clone()));
    let listed: Vec<String> = calls
        .iter()
        .map(|(method, path)| format!("{method} {path}"))
        .collect();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/surface.txt");
    if std::env::var_os("CRM_WRITE_DOCS").is_some() {
        std::fs::write(file, listed.join("\n") + "\n").unwrap();
    }
    assert_eq!(
        listed.join("\n"),
        std::fs::read_to_string(file).unwrap().trim_end(),
        "tests/e2e/surface.txt is not the surface; run: \
         CRM_WRITE_DOCS=1 cargo test -p crm-tests every_documented_path"
    );
    for (method, path) in calls
        .iter()
        .filter(|(_, path)| path.starts_with("/api/crm/"))
    {
        let path = path.replace(['{', '}'], "");
        let method: Method = method.parse().unwrap();
        let answer = anonymous
            .call(method.clone(), &path, &[], Some("{}".to_owned()))
            .await;
        assert_eq!(answer.status, 401, "{method} {path}");
    }
}

/// POSTs that change nothing, or the same however often.
const WITHOUT_KEY: [&str; 9] = [
    // They take the sender's `webhook-id`.
    "/hooks/{secret}",
    // The same however often.
    "/mail/unsubscribe/{token}",
    "/mail/feedback/{secret}",
    // It changes nothing.
    "/api/crm/workflows/{id}/test",
    "/api/crm/plugins/{name}/preview",
    "/auth/logout",
    "/auth/logout-everywhere",
    "/api/crm/records/{module}/query",
    "/api/crm/records/{module}/aggregate",
];

#[tokio::test]
async fn every_post_that_changes_something_takes_a_key() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let document = owner.get("/openapi.json").await.expect(200);
    let too_long = "k".repeat(256);
    for (path, methods) in document["paths"].as_object().unwrap() {
        let Some(post) = methods.get("post") else {
            continue;
        };
        if WITHOUT_KEY.contains(&path.as_str()) {
            continue;
        }
        let parameters = post["parameters"].as_array().cloned().unwrap_or_default();
        let documented = parameters
            .iter()
            .any(|parameter| parameter["name"] == "Idempotency-Key" && parameter["in"] == "header");
        assert!(documented, "POST {path} does not document Idempotency-Key");
        // Who refuses a key has looked for one.
        let path = path.replace(['{', '}'], "");
        let answer = owner.post_once(&path, &too_long, json!({})).await;
        assert_eq!(answer.status, 400, "POST {path}: {}", answer.body);
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(
            detail.starts_with("Idempotency-Key"),
            "POST {path}: {detail}"
        );
    }
}

#[tokio::test]
async fn every_reference_of_the_document_points_somewhere() {
    let app = TestApp::start().await;
    let document = app.anonymous().get("/openapi.json").await.expect(200);
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        if let Some(reference) = value.get("$ref").and_then(serde_json::Value::as_str) {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        open.extend(value.as_array().into_iter().flatten());
        open.extend(
            value
                .as_object()
                .into_iter()
                .flat_map(|members| members.values()),
        );
    }
}

#[tokio::test]
async fn operators_get_answers() {
    let app = TestApp::start().await;
    let anonymous = app.anonymous();
    assert_eq!(anonymous.get("/healthz").await.expect(200), "ok");
    assert_eq!(anonymous.get("/readyz").await.expect(200), "ready");
    let metrics = anonymous.get("/metrics").await.expect(200);
    assert!(
        metrics
            .as_str()
            .unwrap()
            .contains("crm_http_requests_total")
    );
    let problem = anonymous.get("/problems/stale").await.expect(200);
    assert!(problem.as_str().unwrap().contains("412"));
    assert_eq!(anonymous.get("/problems/nothing").await.status, 404);
    let nowhere = anonymous.get("/nowhere").await;
    assert_eq!(nowhere.status, 404);
    assert_eq!(nowhere.body["type"], "/problems/not-found");
    let wrong = anonymous.delete("/healthz").await;
    assert_eq!(wrong.status, 405);
    assert_eq!(wrong.body["type"], "/problems/method-not-allowed");
    assert!(wrong.header("allow").unwrap().contains("GET"));
}

#[tokio::test]
async fn bodies_that_are_none_are_refused_clearly() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    let post = |body: String| {
        let owner = owner.clone();
        async move {
            owner
                .call(Method::POST, "records/victims", &[], Some(body))
                .await
        }
    };
    for (body, status) in [
        ("{".to_owned(), 400),
        ("".to_owned(), 400),
        ("{\"data\": [1]}".to_owned(), 422),
        ("{\"date\": {}}".to_owned(), 422),
        ("[]".to_owned(), 422),
        (
            format!(
                "{{\"data\": {{\"name\": {}1{}}}}}",
                "[".repeat(5_000),
                "]".repeat(5_000)
            ),
            400,
        ),
        ("{\"data\": {\"name\": \"\\ud800\"}}".to_owned(), 400),
        ("{\"data\": {\"name\": \"a\\u0000b\"}}".to_owned(), 422),
        (
            format!("{{\"data\": {{\"name\": \"{}\"}}}}", "x".repeat(10 << 20)),
            413,
        ),
        (
            format!("{{\"data\": {{\"name\": \"{}\"}}}}", "x".repeat(900_000)),
            422,
        ),
    ] {
        let shown: String = body.chars().take(40).collect();
        let answer = post(body).await;
        assert_eq!(answer.status, status, "{shown}: {}", answer.body);
        assert!(
            answer.body["type"]
                .as_str()
                .unwrap()
                .starts_with("/problems/"),
            "{shown}"
        );
    }
    let form = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = form.post(format!("{}/api/crm/records/victims", app.base));
    let token = owner_token(&app).await;
    let answer = request
        .bearer_auth(token)
        .header("content-type", "text/plain")
        .body("{}");
    assert_eq!(answer.send().await.unwrap().status(), 415);
    let left = owner.get("records/victims?include=total").await.expect(200);
    assert_eq!(left["total"], json!({"value": 0, "exact": true}));
}

async fn owner_token(app: &TestApp) -> String {
    let tenant = app.tenant("another").await;
    app.token(tenant, "owner")
}
