//! What runs ask for beyond records: granted or not, delivered at least once, never for a run that
//! failed; and what comes back.

use crate::crash::{Worker, start_worker_with};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use chrono::{TimeDelta, Utc};
use crm_engine::effects::{EffectSettings, SmtpSettings};
use crm_tests::app::{TestApp, eager_worker, effects};
use crm_tests::client::{Client, wait_until};
use crm_tests::cluster::cluster;
use crm_tests::sink::{MailSink, Sink};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

/// A host that may ask this machine, and whose mails go there.
pub(crate) async fn reaching(smtp: Option<&MailSink>) -> TestApp {
    let settings = EffectSettings {
        private_addresses: true,
        smtp: smtp.map(|sink| SmtpSettings {
            url: sink.url.clone(),
            from: "CRM <crm@example.com>".to_owned(),
            sender_domains: vec!["acme.example".to_owned()],
        }),
        public_url: "https://crm.example.com/".parse().ok(),
        ..effects()
    };
    TestApp::reaching(cluster().database().await, Some(eager_worker()), settings).await
}

pub(crate) async fn ask(owner: &Client, effects: Value) -> String {
    let ask = json!({ "effects": effects }).to_string();
    owner.create("tickets", json!({ "ask": ask })).await
}

/// What is looked for, once it is there.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "it did not happen: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// The first effect of a ticket's run, when this holds for it.
pub(crate) async fn effect(owner: &Client, ticket: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let run = owner.run("ask", ticket, &["done"]).await;
    let path = &format!("runs/{}", run["id"].as_str().unwrap());
    let holds = &holds;
    until("the effect gets there", || async move {
        let effect = owner.get(path).await.expect(200)["effects"][0].clone();
        holds(&effect).then_some(effect)
    })
    .await
}

/// What a ticket was told, when there are so many lines of it.
async fn told(owner: &Client, ticket: &str, lines: usize) -> Vec<String> {
    let path = &format!("records/tickets/{ticket}");
    until("the ticket is told", || async move {
        let record = owner.get(path).await.expect(200);
        let text = record["data"]["told"].as_str().unwrap_or_default();
        let told: Vec<String> = text.lines().map(str::to_owned).collect();
        (told.len() >= lines).then_some(told)
    })
    .await
}

fn http(sink: &Sink, headers: Value) -> Value {
    json!({"kind": "http", "key": "k", "method": "POST", "url": format!("{}/in?x", sink.base),
        "headers": headers, "body": "{\"a\":1}", "wants_answer": true})
}

#[tokio::test]
async fn an_answer_comes_back_and_starts_the_action_again() {
    let app = reaching(None).await;
    let (_, owner) = app.owner_of("sending").await;
    let sink = Sink::echo().await;
    let ticket = ask(&owner, json!([http(&sink, json!([["x-a", "b"]]))])).await;
    let lines = told(&owner, &ticket, 1).await;
    let payload = lines[0].strip_prefix("AnswerReceived ").unwrap();
    let payload: Value = serde_json::from_str(payload).unwrap();
    assert_eq!(payload["key"], "k");
    assert_eq!(payload["status"], 200);
    assert_eq!(payload["body"], "{\"a\":1}");
    assert!(payload["headers"]["content-length"].is_string());
    let got = sink.got();
    assert_eq!(got.len(), 1);
    assert_eq!(
        (got[0].method.as_str(), got[0].path.as_str()),
        ("POST", "/in?x")
    );
    assert_eq!(got[0].header("x-a"), "b");
    let sent = effect(&owner, &ticket, |effect| effect["state"] == "done").await;
    assert_eq!(sent["key"], got[0].header("idempotency-key"));
    assert_eq!(sent["status"], 200);
    // The second run stands in the chain of the first, and the first asked as the person.
    let path = format!("runs?record_id={ticket}");
    let runs = owner.get(&path).await.expect(200);
    assert_eq!(runs["data"].as_array().unwrap().len(), 2);
    let second = runs["data"][0]["id"].as_str().unwrap();
    let event = &owner.get(&format!("runs/{second}")).await.expect(200)["log"][0]["input"]["event"];
    assert_eq!(event["kind"], "answer_received");
    assert_eq!(event["depth"], 1);
    assert_eq!(event["cause"]["workflow"], "ask");
    assert_eq!(event["actor"]["user_id"], "owner-1");
}

#[tokio::test]
async fn a_request_is_tried_again_under_its_key_and_then_told_of() {
    let app = reaching(None).await;
    let (_, owner) = app.owner_of("sending").await;
    let moody = Sink::start(|before, _| match before {
        0 | 1 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => "at last\0".into_response(),
    })
    .await;
    let ticket = ask(&owner, json!([http(&moody, json!([]))])).await;
    let lines = told(&owner, &ticket, 1).await;
    assert!(lines[0].contains("at last\u{fffd}"), "{lines:?}");
    let keys: Vec<String> = moody
        .got()
        .iter()
        .map(|got| got.header("idempotency-key").to_owned())
        .collect();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0] && !key.is_empty()));
    let done = effect(&owner, &ticket, |effect| effect["state"] == "done").await;
    assert_eq!(done["attempts"], 3);

    // Whoever has nobody to answer is told so, once it is certain.
    let url = "http://127.0.0.1:9/";
    let nobody = json!({"kind": "http", "key": "gone", "method": "GET", "url": url,
        "wants_answer": true});
    let ticket = ask(&owner, json!([nobody])).await;
    let dead = effect(&owner, &ticket, |effect| effect["state"] == "dead").await;
    assert_eq!(dead["attempts"], crm_model::limits::EFFECT_MAX_ATTEMPTS);
    let lines = told(&owner, &ticket, 1).await;
    assert!(lines[0].contains("cannot be reached"), "{lines:?}");

    // Nobody is followed anywhere.
    let elsewhere = Sink::echo().await;
    let location = elsewhere.base.clone();
    let lost = Sink::start(move |_, _| {
        let head = [("location", location.clone())];
        (StatusCode::FOUND, head).into_response()
    })
    .await;
    let ticket = ask(&owner, json!([http(&lost, json!([]))])).await;
    let lines = told(&owner, &ticket, 1).await;
    assert!(lines[0].contains("\"status\":302"), "{lines:?}");
    assert_eq!(elsewhere.got().len(), 0);

    let endless = Sink::start(|_, _| "x".repeat(1 << 20).into_response()).await;
    let ticket = ask(&owner, json!([http(&endless, json!([]))])).await;
    let lines = told(&owner, &ticket, 1).await;
    assert!(lines[0].contains("the answer has more than"), "{lines:?}");
}

#[tokio::test]
async fn what_is_not_granted_fails_the_run_and_a_failed_run_sends_nothing() {
    let app = reaching(None).await;
    let (_, owner) = app.owner_of("sending").await;
    let sink = Sink::echo().await;
    let foreign = json!({"kind": "http", "key": "k", "method": "GET",
        "url": "https://other.example/"});
    let ticket = ask(&owner, json!([http(&sink, json!([])), foreign])).await;
    let run = owner.run("ask", &ticket, &["done", "dead"]).await;
    assert_eq!(run["status"], "dead", "{run}");
    let error = run["error"].as_str().unwrap();
    assert!(
        error.contains("may not send requests to “other.example”"),
        "{error}"
    );
    assert_eq!(run["effects"], json!([]));

    // What the run asks for is granted, and what it does to the record is not.
    let spoilt = json!({"effects": [http(&sink, json!([]))], "spoil": true}).to_string();
    let ticket = owner.create("tickets", json!({ "ask": spoilt })).await;
    let run = owner.run("ask", &ticket, &["done", "dead"]).await;
    assert_eq!(run["status"], "dead", "{run}");
    assert_eq!(run["effects"], json!([]));

    // What comes after is sent, so the others would have been.
    let ticket = ask(&owner, json!([http(&sink, json!([]))])).await;
    told(&owner, &ticket, 1).await;
    assert_eq!(sink.got().len(), 1);
}

#[tokio::test]
async fn requests_do_not_go_to_this_machine_or_its_network() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("sending").await;
    let sink = Sink::echo().await;
    let port = sink.base.rsplit(':').next().unwrap();
    for (url, why) in [
        (sink.base.clone(), "does not go over https"),
        (format!("https://127.0.0.1:{port}/"), "private address"),
        (
            format!("https://user@127.0.0.1:{port}/"),
            "name or a password",
        ),
    ] {
        let asked = json!({"kind": "http", "key": "k", "method": "GET", "url": url});
        let ticket = ask(&owner, json!([asked])).await;
        let run = owner.run("ask", &ticket, &["done", "dead"]).await;
        assert_eq!(run["status"], "dead", "{url}: {run}");
        assert!(run["error"].as_str().unwrap().contains(why), "{url}: {run}");
    }
    // A name is looked up first, and then it is too late to fail the run.
    let url = format!("https://localhost:{port}/");
    let asked = json!({"kind": "http", "key": "k", "method": "GET", "url": url});
    let ticket = ask(&owner, json!([asked])).await;
    let dead = effect(&owner, &ticket, |effect| effect["state"] == "dead").await;
    assert_eq!(dead["attempts"], 1);
    let error = dead["error"].as_str().unwrap();
    assert!(error.contains("private address"), "{error}");
    let hook = json!({"name": "here", "url": format!("https://127.0.0.1:{port}/")});
    owner.post("webhooks", hook).await.expect(422);
    assert_eq!(sink.got().len(), 0);
}

#[tokio::test]
async fn a_secret_is_in_the_header_that_goes_out_and_nowhere_else() {
    let app = reaching(None).await;
    let (tenant, owner) = app.owner_of("sending").await;
    const HUSH: &str = "sk_live_Zanzibar+42";
    // The other side repeats it, which is its right.
    let sink = Sink::start(|_, got| got.header("authorization").to_owned().into_response()).await;
    for (name, hosts) in [("token", "127.0.0.1"), ("elsewhere", "api.example.com")] {
        let secret = json!({"name": name, "value": HUSH, "hosts": [hosts]});
        let kept = owner.post("secrets", secret).await.expect(201);
        assert!(!kept.to_string().contains(HUSH));
    }
    let bearer = json!([["authorization", "Bearer {secret:token}"]]);
    let ticket = ask(&owner, json!([http(&sink, bearer.clone())])).await;
    let lines = told(&owner, &ticket, 1).await;
    assert!(lines[0].contains("Bearer crm-secret-"), "{lines:?}");
    assert_eq!(
        sink.got()[0].header("authorization"),
        format!("Bearer {HUSH}")
    );

    let listed = owner.get("secrets").await.expect(200);
    assert_eq!(listed["data"][1]["name"], "token");
    let runs = owner.get("runs").await.expect(200);
    let mut paths = ["secrets", "audit", "runs", "records/tickets"]
        .map(str::to_owned)
        .to_vec();
    for run in runs["data"].as_array().unwrap() {
        let run = run["id"].as_str().unwrap();
        paths.extend([format!("runs/{run}"), format!("runs/{run}/bundle")]);
    }
    for path in paths {
        let text = owner.get(&path).await.expect(200).to_string();
        assert!(!text.contains(HUSH), "{path}");
    }
    assert_eq!(tables_with(&app, HUSH).await, [""; 0]);

    // One that was not granted has no handle.
    let other = json!([["authorization", "{secret:elsewhere}"]]);
    let ticket = ask(&owner, json!([http(&sink, other)])).await;
    let run = owner.run("ask", &ticket, &["done", "dead"]).await;
    assert!(
        run["error"].as_str().unwrap().contains("may not send"),
        "{run}"
    );
    // One for other hosts is not sent here.
    let moved = json!({"name": "token", "value": HUSH, "hosts": ["api.example.com"]});
    owner.post("secrets", moved).await.expect(201);
    let ticket = ask(&owner, json!([http(&sink, bearer.clone())])).await;
    let run = owner.run("ask", &ticket, &["done", "dead"]).await;
    assert!(
        run["error"]
            .as_str()
            .unwrap()
            .contains("is not for 127.0.0.1"),
        "{run}"
    );
    // One that is gone has no handle either.
    assert_eq!(owner.delete("secrets/token").await.status, 204);
    assert_eq!(owner.delete("secrets/token").await.status, 404);
    let ticket = ask(&owner, json!([http(&sink, bearer)])).await;
    let run = owner.run("ask", &ticket, &["done", "dead"]).await;
    assert!(
        run["error"].as_str().unwrap().contains("no secret"),
        "{run}"
    );
    assert_eq!(sink.got().len(), 1);

    let desk = app.client(tenant, "desk");
    assert_eq!(desk.get("secrets").await.status, 403);
    let secret = json!({"name": "mine", "value": "not mine", "hosts": ["a.example"]});
    assert_eq!(desk.post("secrets", secret).await.status, 403);
}

/// Tables that have a text in some row.
pub(crate) async fn tables_with(app: &TestApp, text: &str) -> Vec<String> {
    use sqlx::{AssertSqlSafe, Connection, PgConnection};
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = 'public'",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    let mut found = Vec::new();
    for table in tables {
        let sql = format!("select exists (select from {table} t where strpos(t::text, $1) > 0)");
        let held: bool = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(text)
            .fetch_one(&mut admin)
            .await
            .unwrap();
        if held {
            found.push(table);
        }
    }
    found
}

#[tokio::test]
async fn a_time_that_was_scheduled_comes_and_the_last_word_counts() {
    let app = reaching(None).await;
    let (_, owner) = app.owner_of("sending").await;
    let at = |milliseconds| (Utc::now() + TimeDelta::milliseconds(milliseconds)).to_rfc3339();
    let scheduled = json!([
        {"kind": "schedule", "key": "remind", "at": at(3_600_000), "payload": {"n": "first"}},
        {"kind": "schedule", "key": "remind", "at": at(300), "payload": {"n": "second"}},
        {"kind": "schedule", "key": "later", "at": at(3_600_000), "payload": {"n": "third"}},
    ]);
    let ticket = ask(&owner, scheduled).await;
    let lines = told(&owner, &ticket, 1).await;
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("TimeReached "), "{lines:?}");
    assert!(lines[0].contains("second"), "{lines:?}");
    let runs = owner
        .get(&format!("runs?record_id={ticket}"))
        .await
        .expect(200);
    let first = runs["data"].as_array().unwrap().last().unwrap()["id"].clone();
    let first = owner
        .get(&format!("runs/{}", first.as_str().unwrap()))
        .await
        .expect(200);
    let states: Vec<&str> = first["effects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|effect| effect["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["replaced", "done", "queued"]);
}

#[tokio::test]
async fn people_get_notes_and_read_their_own() {
    let app = reaching(None).await;
    let (tenant, owner) = app.owner_of("sending").await;
    for user in ["desk-1", "desk-2"] {
        let member = json!({"user_id": user, "roles": ["desk"]});
        owner.post("members", member).await.expect(201);
    }
    let note = json!({"kind": "notify", "to": ["role:desk", "desk-1", "owner-1"], "title": "Look"});
    let ticket = ask(&owner, json!([note])).await;
    effect(&owner, &ticket, |effect| effect["state"] == "done").await;
    let desk = app.client(tenant, "desk");
    let notes = desk.get("notifications").await.expect(200);
    assert_eq!(
        notes["data"].as_array().unwrap().len(),
        1,
        "once each: {notes}"
    );
    let note = &notes["data"][0];
    assert_eq!(
        (&note["title"], &note["record_id"]),
        (&json!("Look"), &json!(ticket))
    );
    let path = format!("notifications/{}/read", note["id"].as_str().unwrap());
    // Not even the owner reads somebody else's.
    assert_eq!(owner.post(&path, json!({})).await.status, 404);
    let unread = "notifications?unread=true";
    assert_eq!(
        desk.get(unread).await.expect(200)["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let read = desk.post(&path, json!({})).await.expect(200);
    assert_eq!(desk.post(&path, json!({})).await.expect(200), read);
    assert!(read["read_at"].is_string());
    assert_eq!(desk.get(unread).await.expect(200)["data"], json!([]));
    assert_eq!(
        owner.get(unread).await.expect(200)["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    // Who logs in here with a role has it without being a member; who cannot log in has none.
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let mut transaction = admin.begin().await.unwrap();
    let local = "insert into crm_users (tenant_id, id, email, email_key, name, roles, password,
            disabled_at, created_at, created_by)
        select set_config('crm.tenant_id', $1, true)::uuid, gen_random_uuid(), u.name, u.name,
            u.name, to_jsonb(array[u.role]), 'x', u.disabled, now(), 'x'
        from (values ('a', 'clerk', null), ('b', 'clerk', now()), ('c', 'desk', null))
            as u (name, role, disabled)";
    let insert = sqlx::query(local).bind(tenant.to_string());
    insert.execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    let clerks = json!({"kind": "notify", "to": ["role:clerk"], "title": "Clerks"});
    let ticket = ask(&owner, json!([clerks])).await;
    effect(&owner, &ticket, |effect| effect["state"] == "done").await;
    let mut transaction = admin.begin().await.unwrap();
    sqlx::query("select set_config('crm.tenant_id', $1, true)")
        .bind(tenant.to_string())
        .execute(&mut *transaction)
        .await
        .unwrap();
    let told: Vec<String> = sqlx::query_scalar(
        "select u.name from crm_notifications n join crm_users u on n.user_id = 'local:' || u.id
        where n.title = 'Clerks'",
    )
    .fetch_all(&mut *transaction)
    .await
    .unwrap();
    assert_eq!(told, ["a"]);
    drop(transaction);

    let nobody = json!({"kind": "notify", "to": ["role:nobody"], "title": "Look"});
    let ticket = ask(&owner, json!([nobody])).await;
    let dead = effect(&owner, &ticket, |effect| effect["state"] == "dead").await;
    assert!(
        dead["error"].as_str().unwrap().contains("nobody has"),
        "{dead}"
    );
}

#[tokio::test]
async fn a_webhook_is_signed_and_listed() {
    let app = reaching(None).await;
    let (_, owner) = app.owner_of("sending").await;
    let sink = Sink::start(|before, _| match before {
        0 => StatusCode::BAD_GATEWAY.into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    })
    .await;
    let hook = json!({"name": "shipping", "url": format!("{}/hook", sink.base)});
    let hook = owner.post("webhooks", hook).await.expect(201);
    let id = hook["id"].as_str().unwrap();
    let secret = hook["secret"].as_str().unwrap();
    let path = format!("webhooks/{id}");
    assert_eq!(owner.get(&path).await.expect(200)["secret"], json!(null));
    assert_eq!(tables_with(&app, secret).await, [""; 0]);

    let send = json!([{"kind": "webhook", "endpoint": "shipping", "topic": "order.paid",
        "payload": {"total": "12.50"}}]);
    let ticket = ask(&owner, send.clone()).await;
    let done = effect(&owner, &ticket, |effect| effect["state"] == "done").await;
    assert_eq!(
        (&done["attempts"], &done["status"]),
        (&json!(2), &json!(204))
    );
    let got = sink.got();
    assert_eq!(got[0].header("webhook-id"), got[1].header("webhook-id"));
    assert_eq!(done["key"], got[1].header("webhook-id"));
    let verifier = standardwebhooks::Webhook::new(secret).unwrap();
    for got in &got {
        verifier.verify(&got.body, &got.headers).unwrap();
    }
    let mut forged = got[0].body.to_vec();
    forged[0] ^= 1;
    assert!(verifier.verify(&forged, &got[0].headers).is_err());
    let body: Value = serde_json::from_slice(&got[0].body).unwrap();
    assert_eq!(
        (&body["type"], &body["data"]["total"]),
        (&json!("order.paid"), &json!("12.50"))
    );

    let sent = owner.get(&format!("{path}/deliveries")).await.expect(200);
    assert_eq!(sent["data"][0]["topic"], "order.paid");
    assert_eq!(sent["data"][0]["state"], "done");
    assert_eq!(sent["next_cursor"], json!(null));
    let off = owner
        .patch(&path, json!({"enabled": false}))
        .await
        .expect(200);
    assert_eq!(off["enabled"], false);
    let ticket = ask(&owner, send).await;
    let dead = effect(&owner, &ticket, |effect| effect["state"] == "dead").await;
    assert!(dead["error"].as_str().unwrap().contains("is off"), "{dead}");
    let first = owner
        .get(&format!("{path}/deliveries?limit=1"))
        .await
        .expect(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    let next = format!("{path}/deliveries?limit=1&cursor={cursor}");
    let second = owner.get(&next).await.expect(200);
    assert_eq!(second["data"][0]["key"], done["key"]);
    let again = json!({"name": "shipping", "url": "https://example.com/"});
    owner.post("webhooks", again).await.expect(409);
    assert_eq!(owner.delete(&path).await.status, 204);
    assert_eq!(owner.get(&path).await.status, 404);
    assert_eq!(sink.got().len(), 2);
}

#[tokio::test]
async fn a_mail_arrives_once_there_is_a_server_for_it() {
    let sink = MailSink::start().await;
    let app = reaching(Some(&sink)).await;
    let (_, owner) = app.owner_of("sending").await;
    let mail = json!([{"kind": "email", "to": "ada@example.com", "subject": "Grüße",
        "text": "Hello Ada"}]);
    let ticket = ask(&owner, mail.clone()).await;
    let done = effect(&owner, &ticket, |effect| effect["state"] == "done").await;
    let got = sink.got();
    assert_eq!(got.len(), 1);
    for part in [
        "MAIL FROM:<crm@example.com>",
        "RCPT TO:<ada@example.com>",
        "Hello Ada",
        "<p>",
    ] {
        assert!(got[0].contains(part), "{part}: {}", got[0]);
    }
    let id = done["key"].as_str().unwrap().replace(':', ".");
    assert!(
        got[0].contains(&format!("Message-ID: <{id}@example.com>")),
        "{}",
        got[0]
    );

    let app = reaching(None).await;
    let (_, owner) = app.owner_of("sending").await;
    let ticket = ask(&owner, mail).await;
    let waits = effect(&owner, &ticket, |effect| !effect["error"].is_null()).await;
    assert_eq!(
        (&waits["state"], &waits["attempts"]),
        (&json!("queued"), &json!(0))
    );
    assert!(
        waits["error"].as_str().unwrap().contains("CRM_SMTP_URL"),
        "{waits}"
    );
}

#[tokio::test]
async fn what_a_killed_worker_was_sending_is_sent_after_all() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (_, owner) = app.owner_of("sending").await;
    // The first one is never answered.
    let sink = Sink::start_moody(|before, _| (before > 0).then(|| "there".into_response())).await;
    let ticket = ask(&owner, json!([http(&sink, json!([]))])).await;
    let environment = [
        ("CRM_PRIVATE_ADDRESSES", "1"),
        ("CRM_EFFECT_LEASE_SECONDS", "1"),
    ];
    let url = app.database.url();
    let first: Worker = start_worker_with(&url, &environment);
    wait_until("the request is on its way", async || sink.got().len() == 1).await;
    drop(first);
    let _second = start_worker_with(&url, &environment);
    let lines = told(&owner, &ticket, 1).await;
    assert!(lines[0].contains("there"), "{lines:?}");
    let keys: Vec<String> = sink
        .got()
        .iter()
        .map(|got| got.header("idempotency-key").to_owned())
        .collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(
        keys[0], keys[1],
        "the other side can tell that it is the same"
    );
}
