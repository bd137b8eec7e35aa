//! Versions of workflows over HTTP: what is published stays as it is, a run keeps to the version
//! that its event met, and goes over where that is asked for.

use crm_tests::app::TestApp;
use crm_tests::client::Client;
use serde_json::{Value, json};

const ENDED: &[&str] = &["done", "dead"];

fn sets(value: &str) -> Value {
    json!({ "id": "set", "action": "field-set", "config": { "set": { "status": value } } })
}

fn definition(steps: Value) -> Value {
    json!({
        "slug": "flow", "name": "Flow", "module": "contacts",
        "trigger": { "on": "record_created" }, "steps": steps,
    })
}

async fn office() -> (TestApp, Client) {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("office").await;
    (app, owner)
}

/// Saves the next draft, or the first.
async fn save(owner: &Client, steps: Value) -> Value {
    let saved = owner
        .put("workflows/flow/draft", definition(steps.clone()))
        .await;
    if saved.status == 404 {
        let first = owner.post("workflows?draft=true", definition(steps)).await;
        return first.expect(201);
    }
    saved.expect(200)
}

async fn publish(owner: &Client, how: Value) -> Value {
    owner.post("workflows/flow/publish", how).await.expect(200)
}

/// What a contact that comes now is set to.
async fn status_of_next(owner: &Client) -> Value {
    let contact = owner.create("contacts", json!({ "name": "Ada" })).await;
    let run = owner.run("flow", &contact, ENDED).await;
    assert_eq!(run["status"], "done", "{run}");
    status_of(owner, &contact).await
}

async fn status_of(owner: &Client, contact: &str) -> Value {
    let path = format!("records/contacts/{contact}");
    owner.get(&path).await.expect(200)["data"]["status"].clone()
}

#[tokio::test]
async fn a_draft_is_published_and_a_version_put_back() {
    let (_app, owner) = office().await;
    save(&owner, json!([sets("'new'")])).await;
    let listed = owner.get("workflows/flow").await.expect(200);
    assert_eq!(
        (&listed["version"], &listed["has_draft"]),
        (&Value::Null, &json!(true))
    );
    let contact = owner.create("contacts", json!({ "name": "Ada" })).await;
    assert_eq!(status_of(&owner, &contact).await, Value::Null, "not live");

    let first = publish(&owner, json!({})).await;
    assert_eq!(
        (&first["version"], &first["has_draft"]),
        (&json!(1), &json!(false))
    );
    assert_eq!(owner.get("workflows/flow/draft").await.status, 404);
    assert_eq!(status_of_next(&owner).await, "new");

    save(&owner, json!([sets("'warm'")])).await;
    assert_eq!(status_of_next(&owner).await, "new", "the draft is not live");
    let note = json!({ "note": "Warmer" });
    assert_eq!(publish(&owner, note).await["version"], 2);
    assert_eq!(status_of_next(&owner).await, "warm");
    let again = publish(&owner, json!({})).await;
    assert_eq!(again["version"], 2, "nothing is left to publish");

    let diff = owner
        .get("workflows/flow/diff?from=1&to=2")
        .await
        .expect(200);
    let path = "/steps/0/config/set/status";
    let expected = json!([{ "op": "replace", "path": path, "value": "'warm'" }]);
    assert_eq!(diff["patch"], expected);

    let back = json!({ "version": 1, "note": "Back" });
    assert_eq!(publish(&owner, back).await["version"], 3);
    assert_eq!(status_of_next(&owner).await, "new");
    let versions = owner.get("workflows/flow/versions").await.expect(200);
    let told: Vec<(u64, bool, &Value)> = versions["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| {
            let live = version["live"].as_bool().unwrap();
            (version["version"].as_u64().unwrap(), live, &version["note"])
        })
        .collect();
    let (back, warmer) = (json!("Back"), json!("Warmer"));
    let expected = [
        (3, true, &back),
        (2, false, &warmer),
        (1, false, &Value::Null),
    ];
    assert_eq!(told, expected);
    let kept = &versions["data"][2]["definition"];
    assert_eq!(*kept, definition(json!([sets("'new'")])), "as it was sent");
}

#[tokio::test]
async fn a_draft_that_could_not_be_live_is_not_kept() {
    let (_app, owner) = office().await;
    save(&owner, json!([sets("'new'")])).await;
    let path = "workflows/flow/draft";
    let missing = json!([{ "action": "no-such-action" }]);
    let refused = owner.put(path, definition(missing)).await;
    assert_eq!(refused.status, 422);
    assert!(
        refused.body.to_string().contains("no-such-action"),
        "{refused:?}"
    );
    let wrong = json!([{ "action": "field-set", "config": { "sets": {} } }]);
    assert_eq!(owner.put(path, definition(wrong)).await.status, 422);
    let mut other = definition(json!([sets("'new'")]));
    other["slug"] = json!("other");
    let refused = owner.put(path, other).await;
    assert_eq!(
        refused.violations(),
        [("/slug".to_owned(), "fixed".to_owned())]
    );
    publish(&owner, json!({})).await;
    let mut elsewhere = definition(json!([sets("'new'")]));
    elsewhere["module"] = json!("visits");
    let refused = owner.put(path, elsewhere).await;
    assert_eq!(
        refused.violations(),
        [("/module".to_owned(), "fixed".to_owned())]
    );
    assert_eq!(owner.get(path).await.status, 404);
    let again = owner
        .post("workflows?draft=true", definition(json!([sets("'x'")])))
        .await;
    assert_eq!(again.status, 409);
    let nothing = owner.post("workflows/none/publish", json!({})).await;
    assert_eq!(nothing.status, 404);
    let version = json!({ "version": 9 });
    let nothing = owner.post("workflows/flow/publish", version).await;
    assert_eq!(nothing.status, 404);
}

/// A flow that rests for a day before it sets something.
fn rests(value: &str) -> Value {
    json!([{ "delay": { "seconds": 86_400 } }, sets(value)])
}

#[tokio::test]
async fn a_run_finishes_on_the_version_that_it_began_on() {
    let (_app, owner) = office().await;
    save(
        &owner,
        json!([{ "delay": { "seconds": 2 } }, sets("'new'")]),
    )
    .await;
    publish(&owner, json!({})).await;
    let contact = owner.create("contacts", json!({ "name": "Ada" })).await;
    owner.run_at_rest("flow", &contact).await;
    save(
        &owner,
        json!([{ "id": "other", "action": "field-set",
        "config": { "set": { "status": "'warm'" } } }]),
    )
    .await;
    publish(&owner, json!({})).await;
    let versions = owner.get("workflows/flow/versions").await.expect(200);
    assert_eq!(versions["data"][1]["open_runs"], 1);
    let run = owner.run("flow", &contact, ENDED).await;
    assert_eq!(
        (&run["status"], &run["workflow_version"]),
        (&json!("done"), &json!(1))
    );
    assert_eq!(status_of(&owner, &contact).await, "new");

    // Also when it was taken away.
    save(
        &owner,
        json!([{ "delay": { "seconds": 2 } }, sets("'hot'")]),
    )
    .await;
    publish(&owner, json!({})).await;
    let contact = owner.create("contacts", json!({ "name": "Bob" })).await;
    owner.run_at_rest("flow", &contact).await;
    assert_eq!(owner.delete("workflows/flow").await.status, 204);
    let run = owner.run("flow", &contact, ENDED).await;
    assert_eq!(run["status"], "done", "{run}");
    assert_eq!(status_of(&owner, &contact).await, "hot");
    owner
        .post("workflows", definition(json!([sets("'cold'")])))
        .await
        .expect(201);
    let again = owner.get("workflows/flow").await.expect(200);
    assert_eq!(again["version"], 4, "a number is not used again");
}

#[tokio::test]
async fn runs_go_over_where_that_is_asked_for() {
    let (_app, owner) = office().await;
    save(&owner, rests("'new'")).await;
    publish(&owner, json!({})).await;
    let contact = owner.create("contacts", json!({ "name": "Ada" })).await;
    owner.run_at_rest("flow", &contact).await;
    let bound = json!([
        { "delay": { "seconds": 86_400 } },
        { "for_each": { "module": "visits" }, "do": [sets("'new'")] }
    ]);
    save(&owner, bound).await;
    publish(&owner, json!({})).await;
    let moved = owner.post("workflows/flow/runs/move", json!({})).await;
    let expected = json!({ "moved": 0, "finishing": 1 });
    assert_eq!(moved.expect(200), expected, "its step is in a loop now");
    save(
        &owner,
        json!([sets("'warm'"), { "id": "then", "action": "field-set",
            "config": { "set": { "next_step": "'called'" } } }]),
    )
    .await;
    publish(&owner, json!({})).await;
    let moved = owner.post("workflows/flow/runs/move", json!({})).await;
    assert_eq!(moved.expect(200), json!({ "moved": 1, "finishing": 0 }));
    let run = owner.run_at_rest("flow", &contact).await;
    assert_eq!(
        run["workflow_version"], 3,
        "it rests as long as it meant to"
    );
}

#[tokio::test]
async fn a_templates_workflow_is_adapted_and_put_back() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let welcome = owner.get("workflows/welcome").await.expect(200);
    assert_eq!(welcome["version"], 0);
    let note = |text: &str| {
        json!({ "slug": "welcome", "name": "Welcome", "module": "patients",
            "trigger": { "on": "record_created" },
            "steps": [{ "action": "field-set",
                "config": { "set": { "welcome_note": format!("'{text}'") } } }] })
    };
    let saved = owner.put("workflows/welcome/draft", note("Good day")).await;
    saved.expect(200);
    let published = owner.post("workflows/welcome/publish", json!({})).await;
    assert_eq!(published.expect(200)["version"], 1);
    let ada = owner
        .create("patients", json!({ "full_name": "Ada" }))
        .await;
    owner.run("welcome", &ada, &["done"]).await;
    let path = format!("records/patients/{ada}");
    let told = owner.get(&path).await.expect(200)["data"]["welcome_note"].clone();
    assert_eq!(told, "Good day");
    let back = owner
        .post("workflows/welcome/publish", json!({ "version": 0 }))
        .await;
    assert_eq!(back.expect(200)["version"], 0);
    let refused = owner.delete("workflows/welcome").await;
    assert_eq!(refused.status, 409, "{refused:?}");
}

#[tokio::test]
async fn what_is_not_live_is_for_those_who_manage_the_module() {
    let (app, owner) = office().await;
    save(&owner, json!([sets("'new'")])).await;
    publish(&owner, json!({})).await;
    save(&owner, json!([sets("'warm'")])).await;
    let (other, _) = app.owner_of("office").await;
    for client in [app.client(other, "owner")] {
        for path in ["draft", "versions", "diff?from=1&to=draft"] {
            let path = format!("workflows/flow/{path}");
            assert_eq!(client.get(&path).await.status, 404, "{path}");
        }
        for path in ["publish", "runs/move"] {
            let path = format!("workflows/flow/{path}");
            assert_eq!(client.post(&path, json!({})).await.status, 404, "{path}");
        }
    }
    let audit = owner.get("audit").await.expect(200);
    let acts: Vec<&str> = audit["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|act| act["target"] == "workflows/flow")
        .map(|act| act["action"].as_str().unwrap())
        .collect();
    let expected = [
        "workflow.draft_saved",
        "workflow.published",
        "workflow.draft_saved",
    ];
    assert_eq!(acts, expected);
}
