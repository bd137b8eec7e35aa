//! Mail of a tenant's own: whom it is from, whom it does not go to, and what comes back of it.

use crate::effects::{ask, effect, reaching};
use crm_tests::app::TestApp;
use crm_tests::client::{Answer, Client};
use crm_tests::sink::MailSink;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

fn letter(to: &str, cc: &[&str]) -> Value {
    json!([{"kind": "email", "to": to, "cc": cc, "subject": "Hello", "text": "Hello"}])
}

/// What becomes of a mail.
async fn sent(owner: &Client, to: &str, cc: &[&str]) -> Value {
    let ticket = ask(owner, letter(to, cc)).await;
    let ended = |effect: &Value| ["done", "dead"].map(Value::from).contains(&effect["state"]);
    effect(owner, &ticket, ended).await
}

fn newest(sink: &MailSink) -> String {
    sink.got().pop().expect("a mail")
}

/// The code of the mail that came last.
fn code(sink: &MailSink) -> String {
    let mail = newest(sink);
    let mut lines = mail.lines().map(str::trim);
    let is_code = |line: &&str| line.len() == 16 && line.chars().all(|c| c.is_ascii_hexdigit());
    lines.find(is_code).expect("a code").to_owned()
}

async fn as_owner(app: &TestApp, sql: &'static str) {
    let owner = app.database.owner();
    let mut admin = PgConnection::connect_with(&owner).await.unwrap();
    sqlx::query(sql).execute(&mut admin).await.unwrap();
}

#[tokio::test]
async fn files_go_with_a_mail() {
    let sink = MailSink::start().await;
    let app = reaching(Some(&sink)).await;
    let (_, owner) = app.owner_of("sending").await;
    let calendar = "text/calendar; method=REQUEST";
    let wanted = json!([{"kind": "email", "to": "ada@example.com", "subject": "Your visit",
    "text": "See you", "files": [
        ["Besuch – Ärztin.ics", calendar, "BEGIN:VCALENDAR\nEND:VCALENDAR\n"],
        ["prices.csv", "text/csv", "sku;price\n"],
    ]}]);
    let ticket = ask(&owner, wanted).await;
    effect(&owner, &ticket, |effect| effect["state"] == "done").await;
    let mail = newest(&sink);
    let parts = [
        "Content-Type: multipart/mixed;",
        "Content-Type: multipart/alternative;",
        "<p>hello</p>",
        // RFC 2231, as mail programs read names.
        "filename*0*=utf-8''Besuch%20%E2%80%93%20%C3%84rztin.ics",
        "Content-Type: text/calendar; method=REQUEST",
        // `BEGIN:VCALENDAR`, the line ends as they were.
        "QkVHSU46VkNBTEVOREFSCkVORDpWQ0FMRU5EQVIK",
        "filename=\"prices.csv\"",
        "c2t1O3ByaWNlCg==",
    ];
    for part in parts {
        assert!(mail.contains(part), "{part}: {mail}");
    }
}

#[tokio::test]
async fn mails_are_from_the_tenants_sender_once_it_is_confirmed() {
    let sink = MailSink::start().await;
    let app = reaching(Some(&sink)).await;
    let (tenant, owner) = app.owner_of("sending").await;
    let path = "mail/sender";
    let none = owner.get(path).await.expect(200);
    assert_eq!(
        none,
        json!({"default": "CRM <crm@example.com>", "sender": null, "domains": ["acme.example"]})
    );
    let sender =
        |address: &str| json!({"name": "Acme", "address": address, "reply_to": "in@acme.example"});
    // Others' domains are not for the taking, not even with a code.
    let refused = owner.put(path, sender("desk@other.example")).await;
    let violations = refused.violations();
    assert_eq!(violations[0].0, "/address", "{violations:?}");
    let said = refused.expect(422).to_string();
    assert!(said.contains("CRM_SMTP_SENDER_DOMAINS"), "{said}");
    assert!(sink.got().is_empty());

    let put = owner
        .put(path, sender("desk@acme.example"))
        .await
        .expect(200);
    assert_eq!(put["confirmed_at"], json!(null));
    let mail = newest(&sink);
    assert!(mail.contains("RCPT TO:<desk@acme.example>"), "{mail}");
    assert!(mail.contains("From: CRM <crm@example.com>"), "{mail}");
    let first = code(&sink);
    // Until then mails are from the operator.
    sent(&owner, "ada@example.com", &[]).await;
    assert!(newest(&sink).contains("From: CRM <crm@example.com>"));
    let again = owner.put(path, sender("desk@acme.example")).await;
    assert!(again.expect(409).to_string().contains("60 seconds"));

    let confirm = "mail/sender/confirm";
    let wrong = owner.post(confirm, json!({"code": "0000000000000000"}));
    assert_eq!(wrong.await.violations()[0].0, "/code");
    // A code is good for a day, and of the newest mail alone.
    as_owner(
        &app,
        "update crm_mail_senders set code_sent_at = code_sent_at - interval '25 hours'",
    )
    .await;
    owner
        .post(confirm, json!({"code": first}))
        .await
        .expect(422);
    owner
        .put(path, sender("desk@acme.example"))
        .await
        .expect(200);
    let second = code(&sink);
    assert_ne!(first, second);
    owner
        .post(confirm, json!({"code": first}))
        .await
        .expect(422);
    // Another tenant does not confirm this one's.
    let (_, other) = app.owner_of("sending").await;
    other
        .post(confirm, json!({"code": second}))
        .await
        .expect(422);
    let confirmed = owner
        .post(confirm, json!({"code": second}))
        .await
        .expect(200);
    assert!(confirmed["confirmed_at"].is_string());
    owner
        .post(confirm, json!({"code": second}))
        .await
        .expect(422);

    sent(&owner, "ada@example.com", &[]).await;
    let mail = newest(&sink);
    for part in [
        "MAIL FROM:<crm@example.com>",
        "From: Acme <desk@acme.example>",
        "Reply-To: in@acme.example",
    ] {
        assert!(mail.contains(part), "{part}: {mail}");
    }
    sent(&other, "ada@example.com", &[]).await;
    assert!(newest(&sink).contains("From: CRM <crm@example.com>"));
    // The same address under another name needs no other code.
    let mails = sink.got().len();
    let renamed = json!({"name": "Acme Ltd", "address": "desk@acme.example"});
    let renamed = owner.put(path, renamed).await.expect(200);
    assert_eq!(renamed["confirmed_at"], confirmed["confirmed_at"]);
    assert_eq!(sink.got().len(), mails);
    // Another address does.
    let moved = owner
        .put(path, sender("new@acme.example"))
        .await
        .expect(200);
    assert_eq!(moved["confirmed_at"], json!(null));
    sent(&owner, "ada@example.com", &[]).await;
    assert!(newest(&sink).contains("From: CRM <crm@example.com>"));

    let desk = app.client(tenant, "desk");
    desk.get(path).await.expect(403);
    desk.put(path, sender("desk@acme.example"))
        .await
        .expect(403);
    assert_eq!(owner.delete(path).await.status, 204);
    assert_eq!(owner.get(path).await.expect(200)["sender"], json!(null));
    let acts = owner.get("audit").await.expect(200).to_string();
    for act in ["sender_put", "sender_confirmed", "sender_removed"] {
        assert!(acts.contains(&format!("mail.{act}")), "{act}");
    }
}

#[tokio::test]
async fn what_the_operator_no_longer_sends_for_is_from_the_operator() {
    let sink = MailSink::start().await;
    let app = reaching(Some(&sink)).await;
    let (tenant, owner) = app.owner_of("sending").await;
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    sqlx::query(
        "insert into crm_mail_senders (
            tenant_id, name, address, confirmed_at, updated_at, updated_by)
        values ($1, 'Acme', 'desk@was.example', now(), now(), 'x')",
    )
    .bind(tenant.uuid())
    .execute(&mut admin)
    .await
    .unwrap();
    sent(&owner, "ada@example.com", &[]).await;
    assert!(newest(&sink).contains("From: CRM <crm@example.com>"));
}

#[tokio::test]
async fn no_mail_goes_to_suppressed_addresses_and_its_effect_says_why() {
    let sink = MailSink::start().await;
    let app = reaching(Some(&sink)).await;
    let (tenant, owner) = app.owner_of("sending").await;
    let list = "mail/suppressions";
    let added = json!({"address": " Ada@Example.com", "note": "asked on the phone"});
    let added = owner.post(list, added).await.expect(201);
    assert_eq!(
        (&added["address"], &added["reason"]),
        (&json!("ada@example.com"), &json!("added"))
    );
    owner
        .post(list, json!({"address": "ada@example.com"}))
        .await
        .expect(409);
    owner
        .post(list, json!({"address": "nobody"}))
        .await
        .expect(422);
    owner
        .post(list, json!({"address": "zoe@example.com"}))
        .await
        .expect(201);

    let dead = sent(&owner, "ADA@example.com", &["zoe@example.com"]).await;
    assert_eq!(
        (&dead["state"], &dead["attempts"]),
        (&json!("dead"), &json!(1))
    );
    let why = dead["error"].as_str().unwrap();
    assert!(why.contains("not sent to ada@example.com (added)"), "{why}");
    assert!(sink.got().is_empty());
    // Whoever else it is for gets it.
    let done = sent(&owner, "bob@example.com", &["ada@example.com"]).await;
    assert_eq!(done["state"], "done");
    assert!(done["error"].as_str().unwrap().contains("ada@example.com"));
    let mail = newest(&sink);
    assert!(mail.contains("RCPT TO:<bob@example.com>"), "{mail}");
    assert!(!mail.to_lowercase().contains("ada@example.com"), "{mail}");
    // Another tenant's list is its own.
    let (_, other) = app.owner_of("sending").await;
    assert_eq!(sent(&other, "ada@example.com", &[]).await["state"], "done");
    let one = "mail/suppressions/ada@example.com";
    assert_eq!(other.get(one).await.status, 404);
    assert_eq!(other.delete(one).await.status, 404);

    let first = owner.get("mail/suppressions?limit=1").await.expect(200);
    assert_eq!(first["data"][0]["address"], "ada@example.com");
    let cursor = first["next_cursor"].as_str().unwrap();
    let next = format!("mail/suppressions?limit=1&cursor={cursor}");
    let second = owner.get(&next).await.expect(200);
    assert_eq!(second["data"][0]["address"], "zoe@example.com");
    assert_eq!(second["next_cursor"], json!(null));
    assert_eq!(
        owner.get(one).await.expect(200)["note"],
        "asked on the phone"
    );
    let desk = app.client(tenant, "desk");
    desk.get(list).await.expect(403);
    assert_eq!(desk.delete(one).await.status, 403);
    assert_eq!(
        owner
            .delete("mail/suppressions/ADA@example.com")
            .await
            .status,
        204
    );
    assert_eq!(owner.get(one).await.status, 404);
    assert_eq!(sent(&owner, "ada@example.com", &[]).await["state"], "done");
}

/// Somebody without a login.
async fn ask_outside(app: &TestApp, method: Method, path: &str, body: Option<Value>) -> Answer {
    let body = body.map(|body| body.to_string());
    app.anonymous().call(method, path, &[], body).await
}

/// The path of the way to unsubscribe in a mail.
fn way_out(mail: &str) -> Option<String> {
    let (_, rest) = mail.split_once("List-Unsubscribe: <https://crm.example.com")?;
    let (path, _) = rest.split_once('>')?;
    assert!(mail.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click"));
    Some(path.to_owned())
}

#[tokio::test]
async fn whoever_unsubscribes_gets_no_more() {
    let sink = MailSink::start().await;
    let app = reaching(Some(&sink)).await;
    let (tenant, owner) = app.owner_of("sending").await;
    sent(&owner, "Ada@example.com", &[]).await;
    let path = way_out(&newest(&sink)).expect("a way out");
    assert!(!path.to_lowercase().contains("ada"), "{path}");
    // Programs look at links before people do.
    let page = ask_outside(&app, Method::GET, &path, None).await;
    let page = page.expect(200);
    assert!(page.as_str().unwrap().contains("ada@example.com"), "{page}");
    assert_eq!(sent(&owner, "ada@example.com", &[]).await["state"], "done");

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for _ in 0..2 {
        let clicked = client
            .post(format!("{}{path}", app.base))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("List-Unsubscribe=One-Click");
        assert_eq!(clicked.send().await.unwrap().status(), 200);
    }
    let dead = sent(&owner, "ada@example.com", &[]).await;
    let why = dead["error"].as_str().unwrap();
    assert!(why.contains("ada@example.com (unsubscribed)"), "{why}");
    assert_eq!(
        app.client(tenant, "owner")
            .get("mail/suppressions")
            .await
            .expect(200)["data"][0]["created_by"],
        "reader"
    );
    // Nobody makes up one of these.
    let (way, token) = path.rsplit_once('/').unwrap();
    let reversed: String = token.chars().rev().collect();
    for made_up in [&token[1..], reversed.as_str(), "x", "%00"] {
        let made_up = format!("{way}/{made_up}");
        for method in [Method::GET, Method::POST] {
            let answer = ask_outside(&app, method, &made_up, None).await;
            assert_eq!(answer.status, 404, "{made_up}");
        }
    }

    // Of a mail to several, nobody speaks for the others; colleagues get what they get.
    sent(&owner, "bob@example.com", &["zoe@example.com"]).await;
    assert_eq!(way_out(&newest(&sink)), None);
    let colleague = json!({"email": "Col@example.com", "roles": ["desk"]});
    owner.post("users", colleague).await.expect(201);
    sent(&owner, "col@example.com", &[]).await;
    assert_eq!(way_out(&newest(&sink)), None);
}

#[tokio::test]
async fn mail_services_tell_what_came_back() {
    let sink = MailSink::start().await;
    let app = reaching(Some(&sink)).await;
    let (tenant, owner) = app.owner_of("sending").await;
    let (_, other) = app.owner_of("sending").await;
    let made = owner
        .post("mail/feedback-address", json!({}))
        .await
        .expect(201);
    let path = made["path"].as_str().unwrap();
    assert!(path.starts_with("/mail/feedback/mail_"), "{path}");
    let shown = owner.get("mail/feedback-address").await.expect(200);
    assert_eq!(
        (&shown["path"], &shown["prefix"]),
        (&json!(null), &made["prefix"])
    );

    for (slug, kind) in [("came_back", "bounce"), ("cross", "complaint")] {
        let workflow = json!({
            "slug": slug, "name": slug, "module": "tickets",
            "trigger": { "on": "mail_feedback" }, "condition": format!("payload.kind == '{kind}'"),
            "steps": [{ "stop": { "as": "done", "message": "nothing to do" } }],
        });
        owner.post("workflows", workflow).await.expect(201);
    }
    let mail = sent(&owner, "gone@example.com", &[]).await;
    let theirs = sent(&other, "gone@example.com", &[]).await;
    let id = |effect: &Value| {
        let key = effect["key"].as_str().unwrap().replace(':', ".");
        format!("<{key}@example.com>")
    };
    let news = json!({"events": [
        {"type": "bounce", "address": "Gone@example.com", "message_id": id(&mail),
            "note": "550 no such user"},
        {"type": "complaint", "address": "cross@example.com", "message_id": id(&theirs)},
        {"type": "bounce", "address": "full@example.com", "permanent": false},
    ]});
    let told = ask_outside(&app, Method::POST, path, Some(news.clone())).await;
    assert_eq!(told.expect(200), json!({"suppressed": 2}));
    // What is told again changes nothing.
    let told = ask_outside(&app, Method::POST, path, Some(news)).await;
    assert_eq!(told.expect(200), json!({"suppressed": 0}));
    let list = owner.get("mail/suppressions").await.expect(200);
    let list: Vec<(&str, &str)> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["address"].as_str().unwrap(),
                one["reason"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        list,
        [
            ("cross@example.com", "complained"),
            ("gone@example.com", "bounced")
        ]
    );
    let run = mail["key"].as_str().unwrap().split(':').next().unwrap();
    let effect = &owner.get(&format!("runs/{run}")).await.expect(200)["effects"][0];
    assert_eq!(
        effect["feedback"],
        json!([{"kind": "bounce", "address": "gone@example.com", "permanent": true,
            "note": "550 no such user", "at": null}])
    );
    // Each piece of news starts what is for it once, on what the mail was about.
    let all = owner.get("runs?workflow=came_back").await.expect(200);
    assert_eq!(all["data"].as_array().unwrap().len(), 1, "{all}");
    let about = owner.get(&format!("runs/{run}")).await.expect(200)["record_id"].clone();
    let started = owner
        .run("came_back", about.as_str().unwrap(), &["done"])
        .await;
    assert_eq!(started["status"], "done", "{started}");
    let others = owner.get("runs?workflow=cross").await.expect(200);
    assert_eq!(others["data"], json!([]));
    // Nobody tells of another tenant's mails.
    let run = theirs["key"].as_str().unwrap().split(':').next().unwrap();
    let effect = &other.get(&format!("runs/{run}")).await.expect(200)["effects"][0];
    assert_eq!(effect["feedback"], json!(null));
    assert_eq!(
        other.get("mail/suppressions").await.expect(200)["data"],
        json!([])
    );

    // All of it or nothing.
    let half = json!({"events": [{"type": "unsubscribe", "address": "fine@example.com"},
        {"type": "bounce", "address": "nobody"}]});
    let refused = ask_outside(&app, Method::POST, path, Some(half)).await;
    assert_eq!(refused.violations()[0].0, "/events/1/address");
    assert_eq!(
        owner.get("mail/suppressions/fine@example.com").await.status,
        404
    );
    let none = json!({"events": []});
    ask_outside(&app, Method::POST, path, Some(none.clone()))
        .await
        .expect(422);
    let wrong = path.replace("mail_", "mail_0");
    for wrong in [wrong.as_str(), "/mail/feedback/x"] {
        let answer = ask_outside(&app, Method::POST, wrong, Some(none.clone())).await;
        assert_eq!(answer.status, 404, "{wrong}");
    }
    let desk = app.client(tenant, "desk");
    desk.post("mail/feedback-address", json!({}))
        .await
        .expect(403);
    // One that takes its place, or none.
    let second = owner
        .post("mail/feedback-address", json!({}))
        .await
        .expect(201);
    ask_outside(&app, Method::POST, path, Some(none.clone()))
        .await
        .expect(404);
    assert_eq!(owner.delete("mail/feedback-address").await.status, 204);
    let path = second["path"].as_str().unwrap();
    ask_outside(&app, Method::POST, path, Some(none))
        .await
        .expect(404);
    assert_eq!(owner.get("mail/feedback-address").await.status, 404);
}
