//! Webhooks beyond one signed message: told of records in order, tried for a day, paused, told once
//! more, and signed with two secrets while one is replaced.

use crate::effects::{ask, effect, reaching, tables_with, until};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use crm_model::limits::DELIVERY_PAUSES;
use crm_tests::app::TestApp;
use crm_tests::client::Client;
use crm_tests::sink::{Got, Sink};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

/// What is sent to a webhook called `shipping`.
fn message(topic: &str) -> Value {
    json!({"kind": "webhook", "endpoint": "shipping", "topic": topic, "payload": {}})
}

/// A sink that answers with whatever status is in here.
async fn moody(status: u16) -> (Sink, Arc<AtomicU16>) {
    let mood = Arc::new(AtomicU16::new(status));
    let now = Arc::clone(&mood);
    let sink = Sink::start(move |_, _| {
        let status = StatusCode::from_u16(now.load(Ordering::SeqCst)).unwrap();
        status.into_response()
    });
    (sink.await, mood)
}

async fn webhook(owner: &Client, sink: &Sink, events: Value) -> Value {
    let hook = json!({"name": "shipping", "url": format!("{}/hook", sink.base), "events": events});
    owner.post("webhooks", hook).await.expect(201)
}

/// What came, when there is so much of it.
async fn came(sink: &Sink, messages: usize) -> Vec<Got> {
    until("the messages come", || async move {
        let got = sink.got();
        (got.len() >= messages).then_some(got)
    })
    .await
}

fn body(got: &Got) -> Value {
    serde_json::from_slice(&got.body).unwrap()
}

/// Kinds and versions in the order in which they came.
fn told(got: &[Got]) -> Vec<(String, i64)> {
    let told = |got: &Got| {
        let body = body(got);
        let kind = body["type"].as_str().unwrap().to_owned();
        (kind, body["data"]["version"].as_i64().unwrap())
    };
    got.iter().map(told).collect()
}

fn path(hook: &Value) -> String {
    format!("webhooks/{}", hook["id"].as_str().unwrap())
}

async fn ended(owner: &Client, topic: &str) -> Value {
    let ticket = ask(owner, json!([message(topic)])).await;
    let ended = |effect: &Value| ["done", "dead"].map(Value::from).contains(&effect["state"]);
    effect(owner, &ticket, ended).await
}

#[tokio::test]
async fn a_webhook_is_told_of_records_in_the_order_of_their_versions() {
    let app = reaching(None).await;
    let (tenant, owner) = app.owner_of("sending").await;
    // The first messages of each record are refused, so that the later ones have to wait.
    let sink = Sink::start(|before, _| match before {
        0..3 => StatusCode::BAD_GATEWAY.into_response(),
        _ => StatusCode::OK.into_response(),
    })
    .await;
    let on = json!([
        "record_created",
        "record_updated",
        "record_deleted",
        "record_restored"
    ]);
    let hook = webhook(&owner, &sink, json!([{"module": "tickets", "on": on}])).await;
    let ticket = owner.create("tickets", json!({"told": "1"})).await;
    let record = format!("records/tickets/{ticket}");
    for version in 2..=5 {
        let change = json!({"data": {"told": version.to_string()}});
        owner.patch(&record, change).await.expect(200);
    }
    assert_eq!(owner.delete(&record).await.status, 204);
    let restore = format!("{record}/restore");
    owner.post(&restore, json!({})).await.expect(200);
    let got = came(&sink, 10).await;
    let expected = [
        ("record_created", 1),
        ("record_created", 1),
        ("record_created", 1),
        ("record_created", 1),
        ("record_updated", 2),
        ("record_updated", 3),
        ("record_updated", 4),
        ("record_updated", 5),
        ("record_deleted", 6),
        ("record_restored", 7),
    ];
    assert_eq!(
        told(&got),
        expected.map(|(kind, version)| (kind.to_owned(), version))
    );
    let verifier = standardwebhooks::Webhook::new(hook["secret"].as_str().unwrap()).unwrap();
    for got in &got {
        verifier.verify(&got.body, &got.headers).unwrap();
    }
    let data = &body(&got[4])["data"];
    assert_eq!(data["module"], "tickets");
    assert_eq!(data["record_id"], json!(ticket));
    assert_eq!(data["changed_fields"], json!(["told"]));
    assert_eq!(data["record"]["told"], "2");
    assert_eq!(data["by"], "owner-1");
    assert_eq!(body(&got[8])["data"]["record"], json!(null));
    let deliveries = format!("{}/deliveries", path(&hook));
    let sent = owner.get(&deliveries).await.expect(200);
    assert_eq!(sent["data"].as_array().unwrap().len(), 7, "{sent}");

    // Another tenant's records are none of its business, nor is what others are told.
    let (_, other) = app.owner_of("sending").await;
    other.create("tickets", json!({"told": "theirs"})).await;
    let desk = app.client(tenant, "desk");
    assert_eq!(desk.get(&deliveries).await.status, 403);
    // Told of nothing, it hears nothing.
    let none = owner.patch(&path(&hook), json!({"events": []})).await;
    assert_eq!(none.expect(200)["events"], json!([]));
    owner.create("tickets", json!({})).await;
    ended(&owner, "last").await;
    let got = sink.got();
    assert_eq!((got.len(), &body(&got[10])["type"]), (11, &json!("last")));
}

#[tokio::test]
async fn a_webhook_is_told_of_the_fields_that_it_asks_for() {
    let app = reaching(None).await;
    let (_, owner) = app.owner_of("sending").await;
    let (sink, _) = moody(200).await;
    let on = json!(["record_created", "record_updated"]);
    let watch = json!({"module": "tickets", "on": on, "fields": ["locked"]});
    let hook = webhook(&owner, &sink, json!([watch])).await;
    assert_eq!(hook["events"], json!([watch]));
    let ticket = owner
        .create("tickets", json!({"told": "hush", "locked": "a"}))
        .await;
    let record = format!("records/tickets/{ticket}");
    for data in [
        json!({"told": "hush hush"}),
        json!({"told": "hush", "locked": "b"}),
    ] {
        let change = json!({ "data": data });
        owner.patch(&record, change).await.expect(200);
    }
    let got = came(&sink, 2).await;
    assert_eq!(
        told(&got),
        [
            ("record_created".to_owned(), 1),
            ("record_updated".to_owned(), 3)
        ]
    );
    let data = body(&got[1])["data"].clone();
    assert_eq!(data["record"], json!({"locked": "b"}));
    assert_eq!(data["changed_fields"], json!(["locked"]));
    for got in &got {
        assert!(!body(got).to_string().contains("hush"));
    }
    for (events, pointer) in [
        (
            json!([{"module": "no", "on": ["record_created"]}]),
            "/events/0/module",
        ),
        (
            json!([{"module": "tickets", "on": ["called"]}]),
            "/events/0/on",
        ),
        (
            json!([{"module": "tickets", "on": ["record_created"], "fields": ["no"]}]),
            "/events/0/fields",
        ),
    ] {
        let refused = owner.patch(&path(&hook), json!({ "events": events })).await;
        assert_eq!(refused.violations()[0].0, pointer);
    }
    // A field that is deleted is told of no more, whatever was asked for.
    let untold = json!({"ask": "{}"});
    let untold = owner.patch(&record, json!({ "data": untold })).await;
    untold.expect(200);
    assert_eq!(owner.delete(&path(&hook)).await.status, 204);
    owner.create("tickets", json!({"locked": "c"})).await;
    let runs = owner.get("runs").await.expect(200);
    let source = format!("webhook:{}", hook["id"].as_str().unwrap());
    let told = runs["data"].as_array().unwrap().iter();
    let told = told.filter(|run| run["workflow"] == json!(source));
    assert_eq!(told.count(), 2, "none for what it is not told of");
}

#[tokio::test]
async fn messages_of_a_record_do_not_overtake_each_other() {
    let app = reaching(None).await;
    let (_, owner) = app.owner_of("sending").await;
    let sink = Sink::start(|before, _| match before {
        0..2 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => StatusCode::OK.into_response(),
    })
    .await;
    webhook(&owner, &sink, json!([])).await;
    let topics = ["a", "b", "c"];
    let ticket = ask(&owner, json!(topics.map(message))).await;
    let got = came(&sink, 5).await;
    let came: Vec<String> = got
        .iter()
        .map(|got| body(got)["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(came, ["a", "a", "a", "b", "c"]);
    effect(&owner, &ticket, |effect| effect["state"] == "done").await;
}

#[tokio::test]
async fn an_endpoint_is_tried_for_a_day_and_then_paused() {
    let app = reaching(None).await;
    let (_, owner) = app.owner_of("sending").await;
    let day: std::time::Duration = DELIVERY_PAUSES.iter().sum();
    assert!(day.as_secs() >= 24 * 3600);
    let (sink, mood) = moody(500).await;
    let hook = webhook(&owner, &sink, json!([])).await;
    let path = path(&hook);
    let dead = ended(&owner, "first").await;
    assert_eq!(dead["state"], "dead");
    assert_eq!(dead["attempts"], json!(DELIVERY_PAUSES.len() + 1));
    let failing = owner.get(&path).await.expect(200);
    assert_eq!(failing["enabled"], true);
    assert!(failing["failing_since"].is_string());
    // What is taken in between makes all well.
    mood.store(200, Ordering::SeqCst);
    assert_eq!(ended(&owner, "second").await["state"], "done");
    assert_eq!(
        owner.get(&path).await.expect(200)["failing_since"],
        json!(null)
    );
    // A day of nothing is the end of it.
    mood.store(500, Ordering::SeqCst);
    ended(&owner, "third").await;
    age(&app, "23 hours").await;
    ended(&owner, "fourth").await;
    assert_eq!(owner.get(&path).await.expect(200)["enabled"], true);
    age(&app, "2 hours").await;
    let dead = ended(&owner, "fifth").await;
    assert_eq!(
        dead["attempts"], 2,
        "paused by the first, which the second finds: {dead}"
    );
    let paused = owner.get(&path).await.expect(200);
    assert_eq!(paused["enabled"], false);
    assert!(paused["paused_at"].is_string());
    let why = paused["paused_reason"].as_str().unwrap();
    assert!(why.contains("500"), "{why}");
    let notes = owner.get("notifications").await.expect(200);
    let note = &notes["data"][0];
    assert_eq!(note["title"], "The webhook “shipping” is paused", "{notes}");
    assert_eq!(note["body"], why);
    let before = sink.got().len();
    let dead = ended(&owner, "sixth").await;
    assert!(
        dead["error"].as_str().unwrap().contains("is paused"),
        "{dead}"
    );
    assert_eq!(sink.got().len(), before);
    // Somebody's say ends the pause, and what failed is sent once more, under its id.
    mood.store(200, Ordering::SeqCst);
    let on = owner
        .patch(&path, json!({"enabled": true}))
        .await
        .expect(200);
    assert_eq!(
        (&on["paused_at"], &on["paused_reason"], &on["failing_since"]),
        (&json!(null), &json!(null), &json!(null))
    );
    let redeliver = format!("{path}/redeliver");
    let one = json!({"deliveries": [dead["key"]]});
    assert_eq!(owner.post(&redeliver, one).await.expect(200)["queued"], 1);
    let got = came(&sink, before + 1).await;
    assert_eq!(got[before].header("webhook-id"), dead["key"]);
    let since = json!({"failed_since": "2020-01-01T00:00:00Z"});
    let again = owner.post(&redeliver, since).await.expect(200);
    assert_eq!(again["queued"], 4, "first, third, fourth and fifth");
    let got = came(&sink, before + 5).await;
    let topics: Vec<String> = got[before + 1..]
        .iter()
        .map(|got| body(got)["type"].as_str().unwrap().to_owned())
        .collect();
    for topic in ["first", "third", "fourth", "fifth"] {
        assert!(topics.contains(&topic.to_owned()), "{topics:?}");
    }
    let nothing = owner.post(&redeliver, json!({})).await;
    assert_eq!(nothing.violations()[0].0, "/deliveries");
    let foreign = json!({"deliveries": [format!("{}:1", uuid::Uuid::now_v7())]});
    assert_eq!(
        owner.post(&redeliver, foreign).await.expect(200)["queued"],
        0
    );
    let malformed = owner.post(&redeliver, json!({"deliveries": ["x"]})).await;
    assert_eq!(malformed.violations()[0].0, "/deliveries/0");
}

/// Makes it longer ago that the endpoints began to fail.
async fn age(app: &TestApp, by: &'static str) {
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    sqlx::query("update crm_webhooks set failing_since = failing_since - $1::text::interval")
        .bind(by)
        .execute(&mut admin)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_paused_at_once() {
    let app = reaching(None).await;
    let (_, owner) = app.owner_of("sending").await;
    let (sink, mood) = moody(410).await;
    let on = json!(["record_created"]);
    let events = json!([{"module": "tickets", "on": on}]);
    let hook = webhook(&owner, &sink, events).await;
    owner.create("tickets", json!({})).await;
    let (path, owner) = (&path(&hook), &owner);
    let paused = until("the webhook is paused", || async move {
        let hook = owner.get(path).await.expect(200);
        (hook["enabled"] == false).then_some(hook)
    })
    .await;
    assert!(paused["paused_reason"].as_str().unwrap().contains("410"));
    // What it was not told of meanwhile can be told it later, in order.
    let ticket = owner.create("tickets", json!({})).await;
    let deliveries = &format!("{path}/deliveries");
    until("it fails", || async move {
        let sent = owner.get(deliveries).await.expect(200);
        let dead = sent["data"].as_array().unwrap().iter();
        (dead.filter(|one| one["state"] == "dead").count() == 2).then_some(())
    })
    .await;
    assert_eq!(sink.got().len(), 1);
    mood.store(204, Ordering::SeqCst);
    owner
        .patch(path, json!({"enabled": true}))
        .await
        .expect(200);
    let since = json!({"failed_since": paused["paused_at"]});
    let again = owner.post(&format!("{path}/redeliver"), since).await;
    let queued = again.expect(200)["queued"].as_u64().unwrap();
    assert!(queued >= 1);
    let got = came(&sink, 1 + usize::try_from(queued).unwrap()).await;
    let told: Vec<Value> = got[1..]
        .iter()
        .map(|got| body(got)["data"]["record_id"].clone())
        .collect();
    assert!(told.contains(&json!(ticket)), "{told:?}");
}

#[tokio::test]
async fn both_secrets_sign_while_one_is_replaced() {
    let app = reaching(None).await;
    let (_, owner) = app.owner_of("sending").await;
    let (sink, _) = moody(200).await;
    let hook = webhook(&owner, &sink, json!([])).await;
    let rotate = format!("{}/rotate", path(&hook));
    let verifier =
        |hook: &Value| standardwebhooks::Webhook::new(hook["secret"].as_str().unwrap()).unwrap();
    let second = owner.post(&rotate, json!({})).await.expect(200);
    assert_ne!(hook["secret"], second["secret"]);
    assert!(second["previous_signs_until"].is_string());
    ended(&owner, "both").await;
    let got = sink.got();
    for hook in [&hook, &second] {
        verifier(hook)
            .verify(&got[0].body, &got[0].headers)
            .unwrap();
    }
    // Without an overlap the one before ends at once.
    let now = json!({"overlap_seconds": 0});
    let third = owner.post_once(&rotate, "k", now.clone()).await.expect(200);
    assert_eq!(third["previous_signs_until"], json!(null));
    ended(&owner, "one").await;
    let got = sink.got();
    verifier(&third)
        .verify(&got[1].body, &got[1].headers)
        .unwrap();
    for hook in [&hook, &second] {
        assert!(
            verifier(hook)
                .verify(&got[1].body, &got[1].headers)
                .is_err()
        );
    }
    // The same request again makes no other, and tells no secret.
    let again = owner.post_once(&rotate, "k", now).await.expect(200);
    assert_eq!(again["secret"], json!(null));
    let long = json!({"overlap_seconds": 31 * 24 * 3600});
    assert_eq!(
        owner.post(&rotate, long).await.violations()[0].0,
        "/overlap_seconds"
    );
    for hook in [&hook, &second, &third] {
        let secret = hook["secret"].as_str().unwrap();
        assert_eq!(tables_with(&app, secret).await, [""; 0]);
    }
}

#[tokio::test]
async fn a_webhook_does_not_go_to_this_machine_or_its_network() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("sending").await;
    for url in [
        "https://127.1/",
        "https://0x7f000001/",
        "https://017700000001/",
        "https://１２７.０.０.１/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::169.254.169.254]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://168.63.129.16/machine",
        "https://[fd00:ec2::254]/",
        "https://example.com@127.0.0.1/",
        "http://example.com/",
    ] {
        let refused = owner
            .post("webhooks", json!({"name": "x", "url": url}))
            .await;
        assert_eq!(refused.violations()[0].0, "/url", "{url}");
    }
    assert_eq!(owner.get("webhooks").await.expect(200)["data"], json!([]));
}
