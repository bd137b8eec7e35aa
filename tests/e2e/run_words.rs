//! Runs that failed are passed on behind the step that failed, and many are taken up or ended by
//! one request.

use crm_tests::app::TestApp;
use crm_tests::client::Client;
use serde_json::{Value, json};

const ENDED: &[&str] = &["done", "dead"];

fn set(id: &str, set: Value) -> Value {
    json!({ "id": id, "action": "field-set", "config": { "set": set } })
}

/// A step that no record takes: there is no such field.
fn breaks(id: &str) -> Value {
    let mut step = set(id, json!({ "no_such_field": "1" }));
    step["retry"] = json!({ "attempts": 1 });
    step
}

/// An office, and a workflow of these steps that is started by hand.
async fn office(steps: Value) -> (TestApp, Client) {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("office").await;
    add(&owner, "flow", steps).await;
    (app, owner)
}

async fn add(owner: &Client, slug: &str, steps: Value) {
    let workflow = json!({ "slug": slug, "name": slug, "module": "contacts",
        "trigger": { "on": "started_by_hand" }, "steps": steps });
    owner.post("workflows", workflow).await.expect(201);
}

async fn contact(owner: &Client) -> String {
    let data = json!({ "name": "Ada", "score": 1 });
    owner.create("contacts", data).await
}

/// Starts it on a record, and waits for the end.
async fn start(owner: &Client, slug: &str, contact: &str) -> Value {
    let body = json!({ "record_ids": [contact] });
    let path = format!("workflows/{slug}/start");
    owner.post(&path, body).await.expect(202);
    owner.run(slug, contact, ENDED).await
}

fn at(run: &Value, verb: &str) -> String {
    format!("runs/{}{verb}", run["id"].as_str().unwrap())
}

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

#[tokio::test]
async fn a_dead_run_goes_on_behind_the_step_that_failed() {
    let told = json!({ "status": { "$expression": "'\"' + steps.two.status + '\"'" } });
    let (_app, owner) = office(json!([
        set("one", json!({ "score": "after.score + 1" })),
        breaks("two"),
        set("three", told),
    ]))
    .await;
    let ada = contact(&owner).await;
    let run = start(&owner, "flow", &ada).await;
    assert_eq!(run["status"], "dead", "{run}");
    let skip = owner.post_once(&at(&run, "/skip"), "k", json!({})).await;
    skip.expect(204);
    let run = owner.run("flow", &ada, &["done"]).await;
    let expected = [
        ("one", "done"),
        ("two", "failed"),
        ("two", "skipped"),
        ("three", "done"),
    ];
    assert_eq!(steps(&run), expected, "{run}");
    let entry = &run["log"][2];
    assert_eq!(entry["input"], json!({ "skipped_by": "owner-1" }));
    let error = entry["error"].as_str().unwrap();
    assert!(
        error.starts_with("skipped by owner-1; it had failed: "),
        "{error}"
    );
    let path = format!("records/contacts/{ada}");
    let data = owner.get(&path).await.expect(200)["data"].clone();
    assert_eq!(data["status"], "failed", "as `on_error` would have it");
    assert_eq!(data["score"], 2, "what was done is not done again");
    let audit = owner.get("audit?action=run.skipped").await.expect(200);
    assert_eq!(audit["data"][0]["target"], json!(at(&run, "")));
    // Sent again it is the same; said again it is over.
    let again = owner.post_once(&at(&run, "/skip"), "k", json!({})).await;
    again.expect(204);
    let over = owner.post(&at(&run, "/skip"), json!({})).await;
    assert_eq!(over.status, 409, "{}", over.body);
}

#[tokio::test]
async fn a_run_whose_last_step_is_skipped_is_done() {
    let (_app, owner) = office(json!([breaks("only")])).await;
    let ada = contact(&owner).await;
    let run = start(&owner, "flow", &ada).await;
    owner.post(&at(&run, "/skip"), json!({})).await.expect(204);
    let run = owner.get(&at(&run, "")).await.expect(200);
    assert_eq!(run["status"], "done", "{run}");
    assert_eq!(steps(&run), [("only", "failed"), ("only", "skipped")]);
    assert_eq!(run["error"], Value::Null);
}

#[tokio::test]
async fn what_did_not_fail_at_a_step_is_not_skipped() {
    let mut booked = set("one", json!({ "status": "'booked'" }));
    booked["undo"] = json!([set("undo", json!({ "status": "'free'" }))]);
    let (_app, owner) = office(json!([booked, breaks("two")])).await;
    let stopped = json!([set("one", json!({ "score": "9" })), { "stop": { "as": "failed" } }]);
    add(&owner, "stopped", stopped).await;
    for slug in ["flow", "stopped"] {
        let ada = contact(&owner).await;
        let run = start(&owner, slug, &ada).await;
        assert_eq!(run["status"], "dead", "{run}");
        let refused = owner.post(&at(&run, "/skip"), json!({})).await;
        assert_eq!(refused.status, 409, "{slug}: {}", refused.body);
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains("did not fail at a step"), "{detail}");
        let still = owner.get(&at(&run, "")).await.expect(200);
        assert_eq!(
            (&still["status"], &still["log"]),
            (&run["status"], &run["log"])
        );
    }
    let left = owner.post("runs/skip", json!({ "status": "dead" })).await;
    let expected = json!({ "taken": 0, "left": 2, "next_cursor": null });
    assert_eq!(left.expect(200), expected);
}

#[tokio::test]
async fn many_runs_are_taken_up_and_ended_by_filter() {
    let (app, owner) = office(json!([breaks("one"), set("two", json!({ "score": "7" }))])).await;
    let late = json!([{ "delay": { "seconds": 3600 } }, set("late", json!({ "score": "9" }))]);
    add(&owner, "late", late).await;
    add(&owner, "other", json!([breaks("one")])).await;
    let mut runs = Vec::new();
    for _ in 0..5 {
        let ada = contact(&owner).await;
        runs.push(start(&owner, "flow", &ada).await);
    }
    let ada = contact(&owner).await;
    let other = start(&owner, "other", &ada).await;
    let listed = async |query: &str| {
        let page = owner.get(&format!("runs?{query}")).await.expect(200);
        page["data"].as_array().unwrap().len()
    };
    let from = runs[3]["created_at"].as_str().unwrap().replace('+', "%2B");
    for (query, count) in [
        ("status=dead".to_owned(), 6),
        ("module=contacts&status=dead".to_owned(), 6),
        ("module=visits".to_owned(), 0),
        ("error_contains=no_such_field".to_owned(), 6),
        ("error_contains=nothing".to_owned(), 0),
        (format!("from={from}"), 3),
        (format!("to={from}"), 3),
        ("stuck=true".to_owned(), 0),
    ] {
        assert_eq!(listed(&query).await, count, "{query}");
    }

    // Page by page, oldest first, and once for each key.
    let mut body = json!({ "workflow": "flow", "status": "dead", "limit": 2 });
    let mut taken = Vec::new();
    loop {
        let key = format!("skip-{}", taken.len());
        let answer = owner.post_once("runs/skip", &key, body.clone()).await;
        let again = owner.post_once("runs/skip", &key, body.clone()).await;
        let answer = answer.expect(200);
        assert_eq!(again.expect(200), answer);
        taken.push(answer["taken"].as_u64().unwrap());
        assert_eq!(answer["left"], 0);
        match answer["next_cursor"].as_str() {
            Some(cursor) => body["cursor"] = json!(cursor),
            None => break,
        }
    }
    assert_eq!(taken, [2, 2, 1]);
    for run in &runs {
        let record = run["record_id"].as_str().unwrap();
        let run = owner.run("flow", record, &["done"]).await;
        let expected = [("one", "failed"), ("one", "skipped"), ("two", "done")];
        assert_eq!(steps(&run), expected);
    }
    let audit = owner.get("audit?action=runs.skipped").await.expect(200);
    let entries = audit["data"].as_array().unwrap();
    let told: Vec<usize> = entries
        .iter()
        .map(|entry| entry["after"]["runs"].as_array().unwrap().len())
        .collect();
    assert_eq!(told, [1, 2, 2]);
    let untouched = owner.get(&at(&other, "")).await.expect(200);
    assert_eq!(untouched["status"], "dead", "of another workflow");

    let body = json!({ "error_contains": "no_such_field", "record_id": ada });
    let answer = owner.post("runs/retry", body).await.expect(200);
    assert_eq!(answer["taken"], 1);
    let path = at(&other, "");
    crm_tests::client::wait_until("it was tried again", async || {
        let run = owner.get(&path).await.expect(200);
        run["status"] == "dead" && run["log"].as_array().unwrap().len() == 2
    })
    .await;

    for _ in 0..3 {
        let ada = contact(&owner).await;
        let body = json!({ "record_ids": [ada] });
        owner.post("workflows/late/start", body).await.expect(202);
    }
    let body = json!({ "workflow": "late" });
    let answer = owner.post("runs/cancel", body.clone()).await.expect(200);
    assert_eq!(
        answer,
        json!({ "taken": 3, "left": 0, "next_cursor": null })
    );
    assert_eq!(listed("workflow=late&status=cancelled").await, 3);
    let answer = owner.post("runs/cancel", body).await.expect(200);
    assert_eq!(answer["taken"], 0, "there is nothing left");

    for (wrong, place) in [
        (json!({}), ""),
        (json!({ "limit": 5 }), ""),
        (json!({ "status": "ended" }), "/status"),
        (json!({ "module": "No Such" }), "/module"),
        (json!({ "status": "dead", "limit": 501 }), "/limit"),
        (json!({ "status": "dead", "cursor": "x" }), "/cursor"),
    ] {
        let refused = owner.post("runs/retry", wrong.clone()).await;
        assert_eq!(refused.status, 422, "{wrong}");
        assert_eq!(refused.violations()[0].0, place, "{wrong}");
    }
    let (_, stranger) = app.owner_of("office").await;
    let body = json!({ "status": "dead" });
    let answer = stranger.post("runs/retry", body).await.expect(200);
    assert_eq!(answer["taken"], 0, "another tenant's are not there");
}
