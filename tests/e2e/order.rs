//! Workflows that one event starts run in their declared order, each in a commit of its own; what
//! fails, or does not run at the moment, holds up nobody.

use chrono::{DateTime, TimeDelta, Utc};
use crm_model::JobId;
use crm_model::limits::WORKFLOW_MAX_ORDER;
use crm_store::commit::JobState;
use crm_store::jobs::{jobs_lease, jobs_load, jobs_postpone};
use crm_store::{Store, StoreSettings};
use crm_tests::app::TestApp;
use crm_tests::client::{Answer, Client};
use crm_tests::cluster::cluster;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::crash::finish_as;

/// A workflow on new victims of the mode `line`.
async fn workflow(owner: &Client, slug: &str, order: Option<u32>, step: Value) -> Answer {
    let mut body = json!({
        "slug": slug, "name": slug, "module": "victims",
        "trigger": { "on": "record_created" }, "condition": "after.mode == 'line'",
        "steps": [step],
    });
    if let Some(order) = order {
        body["order"] = order.into();
    }
    owner.post("workflows", body).await
}

/// Counts whose turn it was, and writes that down.
fn counts() -> Value {
    json!({ "action": "asks", "config": { "ask": [{ "count": "turn" }] } })
}

fn traps() -> Value {
    json!({ "action": "misbehave", "config": { "how": "trap" } })
}

async fn victim(owner: &Client) -> String {
    let data = json!({ "name": "v", "mode": "line" });
    owner.create("victims", data).await
}

/// Whose turn it was when this workflow ran on the record, at its first attempt.
async fn turn(owner: &Client, slug: &str, record: &str) -> String {
    let run = owner.run(slug, record, &["done", "dead"]).await;
    assert_eq!(run["attempts"], 1, "{run}");
    let note = &run["log"][0]["mutations"][0]["patch"]["note"];
    note.as_str().unwrap_or_else(|| panic!("{run}")).to_owned()
}

#[tokio::test]
async fn workflows_of_one_event_run_in_their_declared_order() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    for (slug, order) in [("a", Some(200)), ("m", None), ("b", None), ("z", Some(0))] {
        workflow(&owner, slug, order, counts()).await.expect(201);
    }
    let listed = owner.get("workflows").await.expect(200);
    let ours = listed["data"].as_array().unwrap().iter();
    let places: Vec<(&str, u64)> = ours
        .filter(|workflow| workflow["condition"] == "after.mode == 'line'")
        .map(|workflow| {
            (
                workflow["id"].as_str().unwrap(),
                workflow["order"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(places, [("z", 0), ("b", 100), ("m", 100), ("a", 200)]);
    let record = victim(&owner).await;
    for (slug, nth) in [("z", "[1]"), ("b", "[2]"), ("m", "[3]"), ("a", "[4]")] {
        assert_eq!(turn(&owner, slug, &record).await, nth, "{slug}");
    }
    // The tenant's word counts, and what it does not say stays.
    let first = owner
        .patch("workflows/a", json!({ "order": 0 }))
        .await
        .expect(200);
    assert_eq!(
        (&first["order"], &first["run_as"]),
        (&json!(0), &json!("person"))
    );
    owner
        .patch("workflows/a", json!({ "run_as": "itself" }))
        .await
        .expect(200);
    let record = victim(&owner).await;
    for (slug, nth) in [("a", "[5]"), ("z", "[6]"), ("b", "[7]"), ("m", "[8]")] {
        assert_eq!(turn(&owner, slug, &record).await, nth, "{slug}");
    }
    let (last, beyond) = (WORKFLOW_MAX_ORDER, WORKFLOW_MAX_ORDER + 1);
    owner
        .patch("workflows/a", json!({ "order": last }))
        .await
        .expect(200);
    let refused = owner
        .patch("workflows/a", json!({ "order": beyond }))
        .await
        .expect(422);
    assert!(
        refused.to_string().contains("at most 10000, not 10001"),
        "{refused}"
    );
    workflow(&owner, "far", Some(beyond), counts())
        .await
        .expect(422);
}

#[tokio::test]
async fn a_run_that_fails_or_does_not_run_holds_up_nobody() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    workflow(&owner, "bad", Some(1), traps()).await.expect(201);
    workflow(&owner, "good", Some(2), counts())
        .await
        .expect(201);
    let record = victim(&owner).await;
    let good = owner.run("good", &record, &["done"]).await;
    let bad = owner.run("bad", &record, &["dead"]).await;
    let began = |run: &Value| -> DateTime<Utc> {
        let at = run["log"][0]["started_at"].as_str().unwrap();
        at.parse().unwrap()
    };
    assert!(began(&bad) <= began(&good), "{bad} {good}");
    assert!(bad["log"].as_array().unwrap().len() > 1, "{bad}");

    owner
        .patch("plugins/misbehave", json!({ "enabled": false }))
        .await
        .expect(200);
    let record = victim(&owner).await;
    owner.run("good", &record, &["done"]).await;
    let waits = owner.run("bad", &record, &["queued"]).await;
    assert!(
        waits["error"].as_str().unwrap().contains("is switched off"),
        "{waits}"
    );
}

/// Any process may lease; none gets a job before the one before it has ended an attempt.
#[tokio::test]
async fn the_next_is_leased_when_the_one_before_it_has_ended_an_attempt() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (tenant, owner) = app.owner_of("hostile").await;
    for (slug, order) in [("third", 3), ("first", 1), ("second", 2)] {
        workflow(&owner, slug, Some(order), counts())
            .await
            .expect(201);
    }
    let record = victim(&owner).await;
    let runs = owner
        .get(&format!("runs?record_id={record}&status=queued"))
        .await
        .expect(200);
    let waits = |run: &Value| (run["workflow"].clone(), run["waits_for"].clone());
    let mut waiting: Vec<_> = runs["data"].as_array().unwrap().iter().map(waits).collect();
    waiting.sort_by_key(|(slug, _)| slug.to_string());
    let expected = [
        ("first", Value::Null),
        ("second", json!("order")),
        ("third", json!("order")),
    ];
    assert_eq!(waiting, expected.map(|(slug, waits)| (json!(slug), waits)));

    let settings = StoreSettings::default();
    let store = Store::connect(app.database.runtime(), settings)
        .await
        .unwrap();
    let token = Uuid::new_v4();
    let now = Utc::now();
    let later = |seconds| now + TimeDelta::seconds(seconds);
    let lease = async |now: DateTime<Utc>| -> Vec<JobId> {
        let until = now + TimeDelta::seconds(10);
        let leased = jobs_lease(&store, (now, until), token, 10, None, None)
            .await
            .unwrap();
        leased.into_iter().map(|turn| turn.job).collect()
    };
    let model = owner.get("bootstrap").await.expect(200)["model_version"].clone();
    let model = (tenant, model.as_i64().unwrap());
    let load = async |jobs: &[JobId]| {
        let (_, mut loaded) = jobs_load(&store, tenant, jobs).await.unwrap();
        assert_eq!(loaded.len(), 1, "one at a time");
        loaded.remove(0)
    };
    let first = lease(now).await;
    assert_eq!(load(&first).await.workflow.to_string(), "first");
    assert_eq!(lease(later(9)).await, [], "the others wait");
    assert_eq!(
        lease(later(11)).await,
        first,
        "also for one whose worker died"
    );

    // It is to be tried again, in a minute: the next may go, the one after that may not.
    let job = load(&first).await;
    let again = (token, JobState::Queued, Some(later(60)));
    finish_as(&store, model, &job, again, now).await.unwrap();
    let second = lease(later(12)).await;
    assert_eq!(load(&second).await.workflow.to_string(), "second");
    let gone = (&second[..], token);
    jobs_postpone(&store, tenant, gone, later(60), "it is left alone")
        .await
        .unwrap();
    let third = lease(later(12)).await;
    let job = load(&third).await;
    assert_eq!(job.workflow.to_string(), "third");
    finish_as(&store, model, &job, (token, JobState::Done, None), now)
        .await
        .unwrap();
    assert_eq!(
        lease(later(61)).await.len(),
        2,
        "what was put off comes back"
    );
}

/// Whoever is cancelled while waiting does not let the one behind it go before its turn.
#[tokio::test]
async fn the_next_of_one_that_is_cancelled_while_waiting_waits_on() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (tenant, owner) = app.owner_of("hostile").await;
    for (slug, order) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        workflow(&owner, slug, Some(order), counts())
            .await
            .expect(201);
    }
    let record = victim(&owner).await;
    let cancel = async |slug: &str| {
        let filter = json!({ "workflow": slug });
        let taken = owner.post("runs/cancel", filter).await.expect(200);
        assert_eq!(taken["taken"], 1, "{taken}");
    };
    // One after the other, so that the one before is no longer the one that it was born behind.
    cancel("c").await;
    cancel("b").await;
    let last = owner.run("d", &record, &["queued"]).await;
    assert_eq!(last["waits_for"], "order", "{last}");

    let store = Store::connect(app.database.runtime(), StoreSettings::default())
        .await
        .unwrap();
    let (token, now) = (Uuid::new_v4(), Utc::now());
    let until = now + TimeDelta::seconds(10);
    let lease = async || -> Vec<JobId> {
        let leased = jobs_lease(&store, (now, until), token, 10, None, None);
        let leased = leased.await.unwrap().into_iter();
        leased.map(|turn| turn.job).collect()
    };
    let first = lease().await;
    assert_eq!(first.len(), 1);
    assert_eq!(lease().await, []);
    let (_, loaded) = jobs_load(&store, tenant, &first).await.unwrap();
    assert_eq!(loaded[0].workflow.to_string(), "a");
    let model = owner.get("bootstrap").await.expect(200)["model_version"].clone();
    let model = (tenant, model.as_i64().unwrap());
    finish_as(
        &store,
        model,
        &loaded[0],
        (token, JobState::Done, None),
        now,
    )
    .await
    .unwrap();
    let (_, loaded) = jobs_load(&store, tenant, &lease().await).await.unwrap();
    assert_eq!(loaded[0].workflow.to_string(), "d");
}
