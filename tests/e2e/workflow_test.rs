//! Trying workflows over HTTP: each step says what it would do, and nothing stays.

use crm_tests::app::TestApp;
use crm_tests::client::Client;
use serde_json::{Value, json};

async fn office(steps: Value, condition: Option<&str>) -> (TestApp, Client) {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("office").await;
    let mut workflow = json!({
        "slug": "flow", "name": "Flow", "module": "contacts",
        "trigger": { "on": "record_created" }, "steps": steps,
    });
    if let Some(condition) = condition {
        workflow["condition"] = json!(condition);
    }
    let saved = owner.post("workflows?draft=true", workflow).await;
    saved.expect(201);
    (app, owner)
}

fn set(id: &str, set: Value) -> Value {
    json!({ "id": id, "action": "field-set", "config": { "set": set } })
}

async fn test(owner: &Client, what: Value) -> Value {
    owner.post("workflows/flow/test", what).await.expect(200)
}

async fn count(owner: &Client, path: &str) -> usize {
    let listed = owner.get(path).await.expect(200);
    listed["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn each_step_says_what_it_would_do_and_nothing_stays() {
    let (_app, owner) = office(
        json!([
            set("greet", json!({ "status": "'new'", "score": "60" })),
            { "if": "record.score > 50", "then": [
                { "id": "visit", "action": "record-create", "config": { "module": "visits",
                    "set": { "reason": "'first of ' + after.name + ', ' + after.status" },
                    "link": "contact" } },
                { "delay": { "seconds": 86_400 } },
            ] },
            { "id": "tell", "action": "notify",
                "config": { "to": ["role:manager"], "title": "A day has passed" } },
            set("note", json!({ "next_step": "payload.steps.visit.created[0].id" })),
        ]),
        Some("after.name == 'Ada'"),
    )
    .await;
    let trial = test(&owner, json!({ "create": { "name": "Ada" } })).await;
    assert_eq!(
        (&trial["starts"], &trial["status"]),
        (&json!(true), &json!("done"))
    );
    let steps = trial["steps"].as_array().unwrap();
    let told: Vec<&str> = steps
        .iter()
        .map(|step| {
            step["step"]
                .as_str()
                .unwrap_or(step["kind"].as_str().unwrap())
        })
        .collect();
    assert_eq!(told, ["greet", "visit", "delay", "tell", "note"], "{trial}");
    assert_eq!(steps[0]["changes"][0]["after"]["score"], 60);
    let visit = &steps[1]["changes"][0]["after"];
    assert_eq!(
        visit["reason"], "first of Ada, new",
        "it sees the step before"
    );
    assert_eq!(visit["contact"], steps[0]["record_id"]);
    assert_eq!(steps[3]["effects"][0]["kind"], "notify", "{trial}");
    let next = &steps[4]["changes"][0]["after"]["next_step"];
    assert!(
        next.is_string(),
        "the record that would have been made: {trial}"
    );
    assert!(steps[0]["fuel"].as_u64().unwrap() > 0);

    for path in [
        "records/contacts",
        "records/visits",
        "runs",
        "notifications",
    ] {
        assert_eq!(count(&owner, path).await, 0, "{path}");
    }
    let other = test(&owner, json!({ "create": { "name": "Bob" } })).await;
    assert_eq!(other["starts"], false);
    assert_eq!(other["reason"], "its condition does not hold");
}

#[tokio::test]
async fn what_would_be_refused_is_told_at_its_step() {
    let (_app, owner) = office(
        json!([
            { "id": "bad", "action": "field-set", "config": { "set": { "no_such_field": "1" } },
                "on_error": "continue" },
            { "for_each": { "module": "contacts" }, "do": [set("each", json!({ "status": "'new'" }))] },
            { "stop": { "as": "failed", "message": "no more" } },
        ]),
        None,
    )
    .await;
    let mut contacts = Vec::new();
    for n in 0..7 {
        contacts.push(
            owner
                .create("contacts", json!({ "name": format!("C{n}") }))
                .await,
        );
    }
    let path = format!("records/contacts/{}", contacts[0]);
    let before = owner.get(&path).await.expect(200);
    let what = json!({ "record_id": contacts[0], "update": { "name": "Changed" } });
    let trial = test(&owner, what).await;
    assert_eq!(
        (&trial["starts"], &trial["reason"]),
        (
            &json!(false),
            &json!("it starts on `record_created`, and this is `record_updated`")
        )
    );
    assert_eq!(
        (&trial["status"], &trial["error"]),
        (&json!("failed"), &json!("no more"))
    );
    let steps = trial["steps"].as_array().unwrap();
    assert_eq!(steps[0]["status"], "failed");
    assert!(
        steps[0]["error"]
            .as_str()
            .unwrap()
            .contains("no_such_field"),
        "{trial}"
    );
    assert_eq!(
        steps.len(),
        1 + 5,
        "the first records of a loop stand for all"
    );
    assert_eq!(owner.get(&path).await.expect(200), before);

    let invalid = json!({ "create": { "name": 7 } });
    let refused = owner.post("workflows/flow/test", invalid).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    for wrong in [
        json!({}),
        json!({ "create": {}, "last": 3 }),
        json!({ "record_id": contacts[0], "update": {}, "delete": true }),
        json!({ "last": 0 }),
        json!({ "last": 5, "edition": "newest" }),
    ] {
        let refused = owner.post("workflows/flow/test", wrong.clone()).await;
        assert_eq!(refused.status, 422, "{wrong}");
    }
    let nobody = json!({ "record_id": uuid::Uuid::nil() });
    assert_eq!(owner.post("workflows/flow/test", nobody).await.status, 404);
    let missing = json!({ "last": 5, "edition": "3" });
    assert_eq!(owner.post("workflows/flow/test", missing).await.status, 404);
}

#[tokio::test]
async fn a_back_test_says_which_events_would_have_started_it() {
    let steps = json!([set("greet", json!({ "status": "'new'" }))]);
    let (app, owner) = office(steps, Some("after.score > 10")).await;
    let low = json!({ "name": "Low", "score": 1 });
    owner.create("contacts", low).await;
    let high = owner
        .create("contacts", json!({ "name": "High", "score": 20 }))
        .await;
    let path = format!("records/contacts/{high}");
    let changed = json!({ "data": { "score": 30 } });
    owner.patch(&path, changed).await.expect(200);
    let found = test(&owner, json!({ "last": 20 })).await;
    assert_eq!(found["events"], 3);
    let started = found["would_start"].as_array().unwrap();
    assert_eq!(started.len(), 1, "{found}");
    assert_eq!(started[0]["record_id"], json!(high));

    let (tenant, _) = app.owner_of("office").await;
    let stranger = app.client(tenant, "owner");
    let asked = stranger
        .post("workflows/flow/test", json!({ "last": 20 }))
        .await;
    assert_eq!(asked.status, 404);
}
