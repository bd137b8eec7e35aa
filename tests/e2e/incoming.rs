//! Requests from outside that start workflows, at an address with a secret in it.

use crm_tests::app::TestApp;
use crm_tests::client::{Client, wait_until};
use serde_json::{Value, json};

const ENDED: &[&str] = &["done", "dead"];

fn flow(on: &str) -> Value {
    json!({
        "slug": "flow", "name": "Flow", "module": "contacts", "trigger": { "on": on },
        "condition": "payload.body.kind == 'lead'",
        "steps": [
            { "id": "make", "action": "record-create", "config": { "module": "contacts",
                "set": { "name": "payload.body.name", "status": "'new'" } } },
        ],
    })
}

async fn office() -> (TestApp, Client, String) {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("office").await;
    owner
        .post("workflows", flow("request_received"))
        .await
        .expect(201);
    let path = address(&owner).await;
    (app, owner, path)
}

async fn address(owner: &Client) -> String {
    let made = owner.post("workflows/flow/address", json!({})).await;
    made.expect(201)["path"].as_str().unwrap().to_owned()
}

/// What comes of a request that somebody sends without any token.
async fn send(app: &TestApp, path: &str, message: Option<&str>, body: String) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client
        .post(format!("{}{path}", app.base))
        .header("content-type", "application/json")
        .body(body);
    if let Some(message) = message {
        request = request.header("webhook-id", message);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}

async fn names(owner: &Client) -> Vec<String> {
    let contacts = owner.get("records/contacts").await.expect(200);
    let contacts = contacts["data"].as_array().unwrap().iter();
    let name = |contact: &Value| contact["data"]["name"].as_str().unwrap().to_owned();
    let mut names: Vec<String> = contacts.map(name).collect();
    names.sort();
    names
}

fn lead(name: &str) -> String {
    json!({ "kind": "lead", "name": name }).to_string()
}

#[tokio::test]
async fn a_request_starts_one_run_for_each_message() {
    let (app, owner, path) = office().await;
    let (status, first) = send(&app, &path, Some("m-1"), lead("Ada")).await;
    assert_eq!(status, 202, "{first}");
    let (_, again) = send(&app, &path, Some("m-1"), lead("Ada")).await;
    assert_eq!(again, first, "the same message");
    let (_, other) = send(&app, &path, None, lead("Bob")).await;
    assert_ne!(other, first);
    let (status, none) = send(&app, &path, None, json!({ "kind": "spam" }).to_string()).await;
    assert_eq!((status, none), (202, json!({ "run": null })));
    let nobody = uuid::Uuid::nil().to_string();
    let run = owner.run("flow", &nobody, ENDED).await;
    assert_eq!(run["status"], "done", "{run}");
    wait_until("both are there", async || {
        names(&owner).await == ["Ada", "Bob"]
    })
    .await;
}

#[tokio::test]
async fn a_request_is_tried_before_it_comes() {
    let (_app, owner, _) = office().await;
    let what = json!({ "payload": { "body": { "kind": "lead", "name": "Ada" } } });
    let trial = owner.post("workflows/flow/test", what).await.expect(200);
    assert_eq!(
        (&trial["starts"], &trial["status"]),
        (&json!(true), &json!("done"))
    );
    assert_eq!(trial["steps"][0]["changes"][0]["after"]["name"], "Ada");
    assert_eq!(names(&owner).await, [""; 0]);
}

#[tokio::test]
async fn only_the_newest_address_works_and_only_for_a_while() {
    let (app, owner, first) = office().await;
    let second = address(&owner).await;
    assert_eq!(send(&app, &first, None, lead("Ada")).await.0, 404);
    assert_eq!(send(&app, &second, None, lead("Ada")).await.0, 202);
    let told = owner.get("workflows/flow/address").await.expect(200);
    assert_eq!(told["path"], Value::Null, "told once");
    assert!(second.contains(told["prefix"].as_str().unwrap()));

    let pause = json!({ "paused": true });
    owner.patch("workflows/flow", pause).await.expect(200);
    assert_eq!(send(&app, &second, None, lead("Ada")).await.0, 404);
    let wake = json!({ "paused": false });
    owner.patch("workflows/flow", wake).await.expect(200);
    assert_eq!(owner.delete("workflows/flow/address").await.status, 204);
    assert_eq!(send(&app, &second, None, lead("Ada")).await.0, 404);
    assert_eq!(owner.get("workflows/flow/address").await.status, 404);
}

#[tokio::test]
async fn what_is_no_address_or_too_much_is_refused() {
    let (app, owner, path) = office().await;
    let (start, tenant) = path.rsplit_once('_').unwrap();
    let other = format!("{start}_{}", "0".repeat(tenant.len()));
    for wrong in [
        "/hooks/none",
        "/hooks/hook_00_00",
        &other,
        &path[..path.len() - 1],
    ] {
        assert_eq!(send(&app, wrong, None, lead("Ada")).await.0, 404, "{wrong}");
    }
    let large = json!({ "kind": "lead", "name": "x".repeat(200_000) });
    assert_eq!(send(&app, &path, None, large.to_string()).await.0, 413);
    assert_eq!(send(&app, &path, None, "{".to_owned()).await.0, 400);
    let long = "m".repeat(201);
    assert_eq!(send(&app, &path, Some(&long), lead("Ada")).await.0, 422);
    let nothing = owner.get("records/contacts").await.expect(200);
    assert_eq!(nothing["data"], json!([]));

    let mut by_hand = flow("started_by_hand");
    by_hand["slug"] = json!("by_hand");
    by_hand.as_object_mut().unwrap().remove("condition");
    owner.post("workflows", by_hand).await.expect(201);
    let refused = owner.post("workflows/by_hand/address", json!({})).await;
    assert_eq!(refused.status, 409);
}
