//! Workflows of more than one step, over HTTP: a run goes from step to step, waits, takes one way
//! or another, and says of each step what it did.

use crm_tests::app::TestApp;
use crm_tests::client::Client;
use crm_tests::cluster::cluster;
use serde_json::{Value, json};

use crate::crash::start_worker_with;

const ENDED: &[&str] = &["done", "dead"];

/// An office where new contacts go through these steps.
async fn office(steps: Value) -> (TestApp, Client) {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("office").await;
    let workflow = json!({
        "slug": "flow", "name": "Flow", "module": "contacts",
        "trigger": { "on": "record_created" }, "steps": steps,
    });
    owner.post("workflows", workflow).await.expect(201);
    (app, owner)
}

fn set(id: &str, set: Value) -> Value {
    json!({ "id": id, "action": "field-set", "config": { "set": set } })
}

/// A step that no record takes: there is no such field.
fn breaks(id: &str) -> Value {
    let mut step = set(id, json!({ "no_such_field": "1" }));
    step["retry"] = json!({ "attempts": 1 });
    step
}

/// The steps of a run, each with how it ended.
fn steps(run: &Value) -> Vec<(&str, &str)> {
    let log = run["log"].as_array().unwrap().iter();
    log.map(|one| {
        (
            one["step"].as_str().unwrap(),
            one["status"].as_str().unwrap(),
        )
    })
    .collect()
}

async fn found(owner: &Client, module: &str, id: &str) -> Value {
    let path = format!("records/{module}/{id}");
    owner.get(&path).await.expect(200)["data"].clone()
}

#[tokio::test]
async fn a_run_goes_from_step_to_step() {
    let (_app, owner) = office(json!([
        set("greet", json!({ "status": "'new'", "score": "1" })),
        { "if": "record.score > 0", "then": [
            { "id": "visit", "action": "record-create", "config": { "module": "visits",
                "set": { "reason": "'first of ' + after.name + ', ' + after.status" },
                "link": "contact" } },
        ], "else": [set("never", json!({ "status": "'cold'" }))] },
        // What a step made, as its component is told; and what a step says, as the host knows it.
        set("note", json!({ "next_step": "payload.steps.visit.created[0].id",
            "reasons": { "$expression": "'\"' + steps.greet.status + '\"'" } })),
    ]))
    .await;
    let contact = owner.create("contacts", json!({ "name": "Ada" })).await;
    let run = owner.run("flow", &contact, ENDED).await;
    assert_eq!(run["status"], "done", "{run}");
    let expected = [("greet", "done"), ("visit", "done"), ("note", "done")];
    assert_eq!(steps(&run), expected);
    let visits = owner.get("records/visits").await.expect(200);
    let visit = &visits["data"][0];
    assert_eq!(
        visit["data"]["reason"], "first of Ada, new",
        "a step sees the one before"
    );
    let contact = found(&owner, "contacts", &contact).await;
    assert_eq!(contact["next_step"], visit["id"]);
    assert_eq!(contact["reasons"], "done");
}

#[tokio::test]
async fn a_run_waits_in_between() {
    let (_app, owner) = office(json!([
        set("first", json!({ "status": "'waits'" })),
        { "delay": { "seconds": 4 } },
        set("last", json!({ "status": "'over'" })),
    ]))
    .await;
    let contact = owner.create("contacts", json!({ "name": "Ada" })).await;
    let seen = owner.run_at_rest("flow", &contact).await;
    assert_eq!(found(&owner, "contacts", &contact).await["status"], "waits");
    let run = owner.run("flow", &contact, ENDED).await;
    assert_eq!(steps(&run), [("first", "done"), ("last", "done")]);
    assert_eq!(found(&owner, "contacts", &contact).await["status"], "over");
    let (due, began) = (&seen["due_at"], &run["log"][1]["started_at"]);
    assert!(due.as_str() <= began.as_str(), "{due} {began}");
}

#[tokio::test]
async fn a_run_does_the_same_for_each_of_many_records() {
    let (_app, owner) = office(json!([
        { "for_each": { "module": "visits",
            "filter": { "field": "status", "op": "eq", "value": { "$expression": "after.country" } } },
            "do": [
                { "if": "item.reason != 'later'", "then": [
                    set("close", json!({ "status": "after.reason + ' done'" }))] },
            ] },
        set("end", json!({ "status": "'all'" })),
    ]))
    .await;
    let mut visits = Vec::new();
    for (number, status) in (0..150)
        .map(|number| (number, "open"))
        .chain([(150, "other")])
    {
        let reason = if number == 7 { "later" } else { "now" };
        visits.push(json!({ "op": "create", "data": { "reason": reason, "status": status } }));
    }
    let bulk = json!({ "atomic": true, "operations": visits });
    owner.post("records/visits/bulk", bulk).await.expect(200);
    let data = json!({ "name": "Ada", "country": "open" });
    let contact = owner.create("contacts", data).await;
    let run = owner.run("flow", &contact, ENDED).await;
    assert_eq!(run["status"], "done", "{}", run["error"]);
    assert_eq!(steps(&run).len(), 150, "149 visits, and the end");
    let count = async |status: &str| {
        let path = format!("records/visits?status=eq.{status}&include=total&limit=1");
        let page = owner.get(&path).await.expect(200);
        page["total"]["value"].as_u64().unwrap()
    };
    assert_eq!(count("now%20done").await, 149);
    assert_eq!(count("open").await, 1);
    assert_eq!(count("other").await, 1);
}

#[tokio::test]
async fn what_was_done_is_taken_back_where_the_run_fails() {
    let mut first = set("first", json!({ "status": "'booked'" }));
    first["undo"] = json!([set("undo_first", json!({ "status": "'free'" }))]);
    let mut care = breaks("care");
    care["on_error"] = json!({ "steps": [set("cared", json!({ "next_step": "'cared for'" }))] });
    let (_app, owner) = office(json!([first, care, breaks("last")])).await;
    let contact = owner.create("contacts", json!({ "name": "Ada" })).await;
    let run = owner.run("flow", &contact, ENDED).await;
    assert_eq!(run["status"], "dead");
    let error = run["error"].as_str().unwrap();
    assert!(
        error.starts_with("last: the mutations are refused"),
        "{error}"
    );
    assert_eq!(
        steps(&run),
        [
            ("first", "done"),
            ("care", "failed"),
            ("cared", "done"),
            ("last", "failed"),
            ("undo_first", "done"),
        ]
    );
    let contact = found(&owner, "contacts", &contact).await;
    assert_eq!(contact["status"], "free");
    assert_eq!(contact["next_step"], "cared for");
}

#[tokio::test]
async fn a_step_that_cannot_be_right_is_named() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("office").await;
    let add = async |steps: Value| {
        let workflow = json!({
            "slug": "flow", "name": "Flow", "module": "contacts",
            "trigger": { "on": "record_created" }, "steps": steps,
        });
        owner.post("workflows", workflow).await
    };
    let unknown = json!([{ "if": "true", "then": [{ "action": "nobody" }] }]);
    let message = add(unknown).await.expect(422).to_string();
    assert!(
        message.contains("steps/0/then/0: the action “nobody” is not installed"),
        "{message}"
    );
    let both = json!([{ "action": "field-set", "stop": { "as": "done" } }]);
    let message = add(both).await.expect(422).to_string();
    assert!(message.contains("a step has exactly one of"), "{message}");
    // The action's schema holds inside of others too, but for what an expression will give.
    let open = json!({ "set": { "status": { "$expression": "'1'" } } });
    let wrong = json!([{ "if": "true", "then": [
        { "action": "field-set", "config": open }, { "action": "field-set", "config": {} }] }]);
    let refused = add(wrong).await;
    let places: Vec<String> = refused.violations().into_iter().map(|(at, _)| at).collect();
    assert_eq!(places, ["/steps/0/then/1/config"]);
}

#[tokio::test]
async fn people_start_runs_end_them_and_have_them_tried_again() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("office").await;
    let add = async |slug: &str, on: &str, steps: Value| {
        let workflow = json!({ "slug": slug, "name": slug, "module": "contacts",
            "trigger": { "on": on }, "steps": steps });
        owner.post("workflows", workflow).await.expect(201);
    };
    let waits = json!([{ "delay": { "seconds": 3600 } }, set("late", json!({ "score": "9" }))]);
    add(
        "hand",
        "started_by_hand",
        json!([set("one", json!({ "status": "'by hand'" }))]),
    )
    .await;
    add("waits", "started_by_hand", waits).await;
    let tried = json!([
        set("one", json!({ "score": "after.score + 1" })),
        { "id": "two", "action": "field-set", "retry": { "attempts": 1 },
            "config": { "set": { "duplicate_of": "after.next_step" } } },
    ]);
    add("tried", "started_by_hand", tried).await;
    let data = json!({ "name": "Ada", "score": 1, "next_step": "nobody" });
    let contact = owner.create("contacts", data).await;
    let start = async |slug: &str, ids: Value| {
        let path = format!("workflows/{slug}/start");
        owner.post(&path, json!({ "record_ids": ids })).await
    };

    let started = start("hand", json!([contact])).await.expect(202);
    let run = owner.run("hand", &contact, ENDED).await;
    assert_eq!(started["runs"], json!([run["id"]]));
    assert_eq!(run["status"], "done", "{run}");
    assert_eq!(
        found(&owner, "contacts", &contact).await["status"],
        "by hand"
    );
    let nobody = uuid::Uuid::now_v7();
    let refused = start("hand", json!([contact, nobody])).await;
    let missing = [("/record_ids/1".to_owned(), "reference".to_owned())];
    assert_eq!(refused.violations(), missing);
    assert_eq!(start("nothing", json!([contact])).await.status, 404);
    assert_eq!(start("hand", json!([])).await.status, 422);
    let nobodys = app.client(tenant, "nobody");
    let body = json!({ "record_ids": [contact] });
    assert_eq!(nobodys.post("workflows/hand/start", body).await.status, 404);

    // Under one key it starts once.
    let body = json!({ "record_ids": [contact] });
    let first = owner
        .post_once("workflows/waits/start", "k", body.clone())
        .await;
    let again = owner.post_once("workflows/waits/start", "k", body).await;
    let (first, again) = (first.expect(202), again.expect(202));
    assert_eq!(first, again);
    let run = owner.run("waits", &contact, &["queued"]).await;
    let path = format!("runs/{}", run["id"].as_str().unwrap());
    owner
        .post(&format!("{path}/cancel"), json!({}))
        .await
        .expect(204);
    let cancelled = owner.get(&path).await.expect(200);
    assert_eq!(cancelled["status"], "cancelled");
    assert!(
        cancelled["error"]
            .as_str()
            .unwrap()
            .starts_with("cancelled by ")
    );
    assert_eq!(
        owner
            .post(&format!("{path}/cancel"), json!({}))
            .await
            .status,
        409
    );
    assert_eq!(
        owner.post(&format!("{path}/retry"), json!({})).await.status,
        409
    );

    start("tried", json!([contact])).await.expect(202);
    let run = owner.run("tried", &contact, ENDED).await;
    assert_eq!(steps(&run), [("one", "done"), ("two", "failed")], "{run}");
    let path = format!("runs/{}", run["id"].as_str().unwrap());
    let other = owner.create("contacts", json!({ "name": "Grace" })).await;
    let mend = json!({ "data": { "next_step": other } });
    let record = format!("records/contacts/{contact}");
    owner.patch(&record, mend).await.expect(200);
    owner
        .post(&format!("{path}/retry"), json!({}))
        .await
        .expect(204);
    let run = owner.run("tried", &contact, &["done"]).await;
    let expected = [("one", "done"), ("two", "failed"), ("two", "done")];
    assert_eq!(steps(&run), expected, "it goes on at the step that failed");
    assert_eq!(
        found(&owner, "contacts", &contact).await["score"],
        2,
        "done once"
    );
}

#[tokio::test]
async fn a_paused_workflow_keeps_its_runs() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (_, owner) = app.owner_of("office").await;
    let workflow = json!({ "slug": "flow", "name": "Flow", "module": "contacts",
        "trigger": { "on": "record_created" }, "steps": [set("one", json!({ "score": "1" }))] });
    owner.post("workflows", workflow).await.expect(201);
    let before = owner.create("contacts", json!({ "name": "Ada" })).await;
    let pause = async |paused: bool| {
        let patch = json!({ "paused": paused });
        let body = owner.patch("workflows/flow", patch).await.expect(200);
        assert_eq!(body["paused"], paused);
    };
    pause(true).await;
    let audit = owner.get("audit").await.expect(200);
    assert_eq!(audit["data"][0]["after"]["paused"], true, "{audit}");
    let while_paused = owner.create("contacts", json!({ "name": "Grace" })).await;
    let _worker = start_worker_with(&app.database.url(), &[]);
    let waits = |run: &Value| run["status"] == "queued" && run["error"] == "the workflow is paused";
    let run = owner.run_that("flow", &before, "paused", waits).await;
    assert_eq!(run["attempts"], 0, "it is not held against it");
    pause(false).await;
    let run = owner.run("flow", &before, ENDED).await;
    assert_eq!(run["status"], "done", "{run}");
    let path = format!("runs?workflow=flow&record_id={while_paused}");
    assert_eq!(
        owner.get(&path).await.expect(200)["data"],
        json!([]),
        "nothing started"
    );
}

#[tokio::test]
async fn the_workflow_of_the_documentation_is_taken_as_it_stands() {
    let document = include_str!("../../runtime/model/WORKFLOWS.md");
    let (_, rest) = document.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let app = TestApp::on(cluster().database().await, None).await;
    let (_, owner) = app.owner_of("office").await;
    let example = serde_json::from_str(example).unwrap();
    owner.post("workflows", example).await.expect(201);
}

#[tokio::test]
async fn a_workflow_is_started_with_a_form_and_on_what_a_filter_finds() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (_, owner) = app.owner_of("office").await;
    let form = json!({ "type": "object", "required": ["reason"], "additionalProperties": false,
        "properties": { "reason": { "type": "string", "title": "Why?" } } });
    let mut workflow = json!({
        "slug": "hand", "name": "By hand", "module": "contacts",
        "trigger": { "on": "started_by_hand", "form": form },
        "steps": [set("one", json!({ "reasons": "payload.inputs.reason" }))],
    });
    owner.post("workflows", workflow.clone()).await.expect(201);
    let kept = owner.get("workflows/hand").await.expect(200);
    assert_eq!(kept["trigger"]["form"], form);
    let mut warm = Vec::new();
    for status in ["warm", "cold", "warm"] {
        let data = json!({ "name": "Ada", "status": status });
        let contact = owner.create("contacts", data).await;
        if status == "warm" {
            warm.insert(0, contact);
        }
    }
    let start = async |body: Value| owner.post("workflows/hand/start", body).await;
    let meets = json!({ "field": "status", "op": "eq", "value": "warm" });
    let why = json!({ "reason": "spring" });
    let started = start(json!({ "filter": meets, "inputs": why })).await;
    let started = started.expect(202);
    assert_eq!(
        (
            started["runs"].as_array().unwrap().len(),
            &started["next_cursor"]
        ),
        (2, &Value::Null)
    );
    let runs = owner.get("runs?workflow=hand").await.expect(200);
    let on = runs["data"].as_array().unwrap().iter();
    let mut on: Vec<&str> = on.map(|run| run["record_id"].as_str().unwrap()).collect();
    on.sort_unstable();
    warm.sort_unstable();
    assert_eq!(on, warm);
    let none = json!({ "field": "status", "op": "eq", "value": "hot" });
    let none = start(json!({ "filter": none, "inputs": why })).await;
    assert_eq!(none.expect(202)["runs"], json!([]));

    let at = |answer: crm_tests::client::Answer| {
        assert_eq!(answer.status, 422, "{}", answer.body);
        answer.violations()[0].0.clone()
    };
    let ids = json!([warm[0]]);
    assert_eq!(at(start(json!({ "record_ids": ids })).await), "/inputs");
    let wrong = json!({ "record_ids": ids, "inputs": { "reason": 7 } });
    assert_eq!(at(start(wrong).await), "/inputs/reason");
    assert_eq!(at(start(json!({ "inputs": why })).await), "");
    let both = json!({ "record_ids": ids, "filter": {}, "inputs": why });
    assert_eq!(at(start(both).await), "");
    let odd = json!({ "filter": { "field": "no", "op": "eq", "value": 1 }, "inputs": why });
    assert!(at(start(odd).await).starts_with("/filter"));
    workflow["slug"] = json!("wrong");
    workflow["trigger"]["form"] = json!({ "type": "string" });
    let refused = owner.post("workflows", workflow.clone()).await;
    assert!(
        refused.body.to_string().contains("trigger/form"),
        "{}",
        refused.body
    );
    workflow["trigger"] = json!({ "on": "record_created", "form": form });
    let refused = owner.post("workflows", workflow).await;
    assert!(
        refused
            .body
            .to_string()
            .contains("goes with started_by_hand"),
        "{}",
        refused.body
    );
}

#[tokio::test]
async fn a_step_that_changes_nothing_any_more_is_done() {
    let (_app, owner) = office(json!([set("same", json!({ "status": "'new'" }))])).await;
    // It is told of the same event, and runs when the first one has made the change.
    let second = json!({
        "slug": "second", "name": "Second", "module": "contacts",
        "trigger": { "on": "record_created" }, "steps": [set("same", json!({ "status": "'new'" }))],
    });
    owner.post("workflows", second).await.expect(201);
    let contact = owner.create("contacts", json!({ "name": "Ada" })).await;
    let run = owner.run("second", &contact, ENDED).await;
    assert_eq!(steps(&run), [("same", "done")], "{run}");
    let path = format!("records/contacts/{contact}");
    assert_eq!(owner.get(&path).await.expect(200)["version"], 2);
}
