//! Whose turn it is among a tenant's runs: the more urgent ones first, and no more at once than may
//! be.

use chrono::{DateTime, TimeDelta, Utc};
use crm_engine::QuotaSettings;
use crm_store::jobs::{JobTurn, jobs_lease};
use crm_store::{Store, StoreSettings};
use crm_tests::app::TestApp;
use crm_tests::client::{Answer, Client, wait_until};
use crm_tests::cluster::cluster;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::crash::turns::{give_back, work_until};

/// A workflow on new victims of the mode `line`, with `more` in its definition.
async fn workflow(owner: &Client, slug: &str, step: Value, more: Value) -> Answer {
    let mut body = json!({
        "slug": slug, "name": slug, "module": "victims",
        "trigger": { "on": "record_created" }, "condition": "after.mode == 'line'",
        "steps": [step],
    });
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    owner.post("workflows", body).await
}

fn asks() -> Value {
    json!({ "action": "asks", "config": { "ask": [{ "count": "turn" }] } })
}

/// Counts under the key that this expression says.
fn counts(key: &str) -> Value {
    json!({ "action": "asks", "config": { "ask": [{ "count": { "$expression": key } }] } })
}

async fn rename(owner: &Client, record: &str, name: &str) {
    let path = format!("records/victims/{record}");
    let data = json!({ "data": { "name": name } });
    owner.patch(&path, data).await.expect(200);
}

/// Calls no plugin.
fn nothing() -> Value {
    json!({ "stop": { "as": "done", "message": "nothing to do" } })
}

fn victim() -> Value {
    json!({ "name": "v", "mode": "line" })
}

async fn runs(owner: &Client, workflow: &str) -> Vec<Value> {
    let runs = owner.get(&format!("runs?workflow={workflow}")).await;
    runs.expect(200)["data"].as_array().unwrap().clone()
}

async fn priorities(owner: &Client, workflow: &str) -> Vec<String> {
    let runs = runs(owner, workflow).await.into_iter();
    runs.map(|run| run["priority"].as_str().unwrap().to_owned())
        .collect()
}

/// What the runs of a workflow wait for, the first one first.
async fn waits(owner: &Client, workflow: &str) -> Vec<Value> {
    let runs = runs(owner, workflow).await.into_iter().rev();
    runs.map(|run| run["waits_for"].clone()).collect()
}

async fn store(app: &TestApp) -> Store {
    let settings = StoreSettings::default();
    let store = Store::connect(app.database.runtime(), settings).await;
    store.unwrap()
}

/// Leases for ten seconds, with no place for what has waited longest unless `aged`.
async fn lease(store: &Store, now: DateTime<Utc>, limit: i32, aged: bool) -> Vec<JobTurn> {
    let until = now + TimeDelta::seconds(10);
    let mut token = *Uuid::new_v4().as_bytes();
    token[15] = if aged { 3 } else { 0 };
    let token = Uuid::from_bytes(token);
    let leased = jobs_lease(store, (now, until), token, limit, None, None);
    leased.await.unwrap()
}

#[tokio::test]
async fn runs_are_as_urgent_as_what_starts_them() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (_, owner) = app.owner_of("hostile").await;
    let none = json!({});
    workflow(&owner, "plain", nothing(), none).await.expect(201);
    let said = json!({ "priority": "bulk" });
    workflow(&owner, "slow", nothing(), said).await.expect(201);
    let first = owner.create("victims", victim()).await;
    assert_eq!(priorities(&owner, "plain").await, ["normal"]);
    assert_eq!(priorities(&owner, "slow").await, ["bulk"]);

    let create = json!({ "op": "create", "data": victim() });
    let bulk = json!({ "operations": [create, create] });
    owner.post("records/victims/bulk", bulk).await.expect(200);
    assert_eq!(
        priorities(&owner, "plain").await,
        ["bulk", "bulk", "normal"]
    );

    let second = owner.create("victims", victim()).await;
    let start = async |slug: &str, records: Value| {
        let body = json!({ "record_ids": records });
        let path = format!("workflows/{slug}/start");
        owner.post(&path, body).await.expect(202);
    };
    start("plain", json!([first])).await;
    start("plain", json!([first, second])).await;
    let started = priorities(&owner, "plain").await;
    assert_eq!(started[..3], ["bulk", "bulk", "interactive"]);
    start("slow", json!([first])).await;
    assert_eq!(priorities(&owner, "slow").await[0], "bulk");

    let wrong = json!({ "priority": "urgent" });
    let refused = workflow(&owner, "wrong", nothing(), wrong).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
}

/// What a run starts in turn is as urgent as it is itself.
#[tokio::test]
async fn runs_hand_their_priority_on() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    let create = json!({ "op": "create", "data": { "name": "v", "mode": "chain" } });
    let bulk = json!({ "operations": [create, create] });
    owner.post("records/victims/bulk", bulk).await.expect(200);
    wait_until("the chains have begun", async || {
        !runs(&owner, "chain_on").await.is_empty()
    })
    .await;
    let mut started = priorities(&owner, "chain_on").await;
    started.dedup();
    assert_eq!(started, ["bulk"]);
}

#[tokio::test]
async fn urgent_runs_come_first_and_nothing_waits_for_ever() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (_, owner) = app.owner_of("hostile").await;
    workflow(&owner, "one", nothing(), json!({}))
        .await
        .expect(201);
    let create = json!({ "op": "create", "data": victim() });
    let bulk = json!({ "operations": [create, create, create] });
    owner.post("records/victims/bulk", bulk).await.expect(200);
    let record = owner.create("victims", victim()).await;
    let body = json!({ "record_ids": [record] });
    for _ in 0..2 {
        let start = owner.post("workflows/one/start", body.clone()).await;
        start.expect(202);
    }
    let (store, now) = (store(&app).await, Utc::now());
    let names = |leased: Vec<JobTurn>| -> Vec<&str> {
        leased.iter().map(|turn| turn.priority.name()).collect()
    };
    assert_eq!(names(lease(&store, now, 1, true).await), ["bulk"]);
    let urgent = lease(&store, now, 3, false).await;
    assert_eq!(names(urgent), ["interactive", "interactive", "normal"]);
    // When those leases have ended all are due again.
    let later = now + TimeDelta::seconds(11);
    let four = lease(&store, later, 4, false).await;
    let expected = ["bulk", "interactive", "interactive", "normal"];
    assert_eq!(
        names(four),
        expected,
        "one place of four, the first to begin"
    );
}

#[tokio::test]
async fn as_many_runs_of_a_workflow_are_under_way_as_it_says() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (_, owner) = app.owner_of("hostile").await;
    let two = json!({ "concurrency": 2 });
    workflow(&owner, "narrow", nothing(), two).await.expect(201);
    for _ in 0..4 {
        owner.create("victims", victim()).await;
    }
    workflow(&owner, "wide", nothing(), json!({}))
        .await
        .expect(201);
    owner.create("victims", victim()).await;
    let (store, now) = (store(&app).await, Utc::now());
    let leased = lease(&store, now, 50, false).await;
    assert_eq!(
        leased.len(),
        2,
        "its second waits for its turn in the order too"
    );
    let full = json!("workflow_limit");
    let expected = [Value::Null, Value::Null, full.clone(), full.clone(), full];
    assert_eq!(waits(&owner, "narrow").await, expected);
    // Nobody of the others is held up.
    let wide = runs(&owner, "wide").await;
    let body = json!({ "record_ids": [wide[0]["record_id"]] });
    let start = owner.post("workflows/wide/start", body).await;
    start.expect(202);
    let others = lease(&store, Utc::now(), 50, false).await;
    assert_eq!(others.len(), 1);
    assert_eq!(others[0].lane.as_str(), "");
    // Leases that end leave their room.
    let again = lease(&store, now + TimeDelta::seconds(10), 50, false).await;
    let again = again.iter().filter(|turn| !turn.lane.is_free());
    assert_eq!(again.count(), 2);

    // More may be under way as soon as its next version says so.
    let draft = json!({
        "slug": "narrow", "name": "narrow", "module": "victims",
        "trigger": { "on": "record_created" }, "condition": "after.mode == 'line'",
        "steps": [nothing()], "concurrency": 4,
    });
    owner.put("workflows/narrow/draft", draft).await.expect(200);
    owner
        .post("workflows/narrow/publish", json!({}))
        .await
        .expect(200);
    let more = lease(&store, now + TimeDelta::seconds(11), 50, false).await;
    let more = more.iter().filter(|turn| turn.lane.as_str() != "");
    assert_eq!(more.count(), 2);

    let none = json!({ "concurrency": 0 });
    let refused = workflow(&owner, "none", nothing(), none).await.expect(422);
    assert!(
        refused.to_string().contains("1 to 10000, not 0"),
        "{refused}"
    );
}

#[tokio::test]
async fn as_many_runs_are_at_a_plugin_as_the_tenant_says() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (_, owner) = app.owner_of("hostile").await;
    workflow(&owner, "ask", asks(), json!({})).await.expect(201);
    let before = owner.create("victims", victim()).await;
    let refused = owner
        .patch("plugins/asks", json!({ "concurrency": 0 }))
        .await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.violations()[0].0, "/concurrency");
    let one = json!({ "concurrency": 1 });
    let plugin = owner.patch("plugins/asks", one).await.expect(200);
    assert_eq!(plugin["concurrency"], 1);
    let other = json!({ "enabled": true });
    let plugin = owner.patch("plugins/asks", other).await.expect(200);
    assert_eq!(plugin["concurrency"], 1, "what is not said stays");
    let after = [
        owner.create("victims", victim()).await,
        owner.create("victims", victim()).await,
    ];
    let (store, now) = (store(&app).await, Utc::now());
    let leased = lease(&store, now, 50, false).await;
    let lanes: Vec<&str> = leased.iter().map(|turn| turn.lane.as_str()).collect();
    assert_eq!(lanes, ["", "plugin:asks"], "one was there before");
    let expected = [Value::Null, Value::Null, json!("plugin_limit")];
    assert_eq!(waits(&owner, "ask").await, expected);

    // A worker finds out what nobody knew, and all come to their end.
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    give_back(&mut admin).await;
    work_until(&app, async {
        for record in after.iter().chain([&before]) {
            let run = owner.run("ask", record, &["done", "dead"]).await;
            assert_eq!(run["status"], "done", "{run}");
            assert_eq!(run["attempts"], 1, "{run}");
        }
    })
    .await;
    let lanes: Vec<String> =
        sqlx::query_scalar("select distinct lane from crm_jobs where workflow_slug = 'ask'")
            .fetch_all(&mut admin)
            .await
            .unwrap();
    assert_eq!(lanes, ["plugin:asks"], "the first had lined up");

    let any = json!({ "concurrency": null });
    let plugin = owner.patch("plugins/asks", any).await.expect(200);
    assert_eq!(plugin["concurrency"], Value::Null);
    let left = "select count(*) from crm_concurrency";
    let left: i64 = sqlx::query_scalar(left)
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

/// Runs whose limits came later than they did go on one at a time, through all of their steps.
#[tokio::test]
async fn runs_of_a_narrow_workflow_all_come_to_their_end() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    let body = json!({
        "slug": "steps", "name": "steps", "module": "victims", "concurrency": 1,
        "trigger": { "on": "record_created" }, "condition": "after.mode == 'line'",
        "steps": [{ "delay": { "seconds": 0 } }, asks(), asks()],
    });
    owner.post("workflows", body).await.expect(201);
    let one = json!({ "concurrency": 1 });
    owner.patch("plugins/asks", one).await.expect(200);
    let create = json!({ "op": "create", "data": victim() });
    let bulk = json!({ "operations": vec![create; 8] });
    owner.post("records/victims/bulk", bulk).await.expect(200);
    for run in runs(&owner, "steps").await {
        let record = run["record_id"].as_str().unwrap();
        let run = owner.run("steps", record, &["done", "dead"]).await;
        assert_eq!(run["status"], "done", "{run}");
    }
}

#[tokio::test]
async fn as_many_runs_of_a_tenant_are_under_way_as_it_may() {
    let mut quotas = QuotaSettings::default();
    quotas.defaults.running = Some(1);
    let app = TestApp::metered(cluster().database().await, None, quotas).await;
    let (_, owner) = app.owner_of("hostile").await;
    let (free, other) = app.owner_of("hostile").await;
    for owner in [&owner, &other] {
        workflow(owner, "one", nothing(), json!({}))
            .await
            .expect(201);
        for _ in 0..3 {
            owner.create("victims", victim()).await;
        }
    }
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    sqlx::query("select crm_quota_set($1, 'running', true, 2, now(), 'ada')")
        .bind(free.uuid())
        .execute(&mut admin)
        .await
        .unwrap();
    let (store, now) = (store(&app).await, Utc::now());
    let until = now + TimeDelta::seconds(10);
    let token = Uuid::new_v4();
    let leased = jobs_lease(&store, (now, until), token, 50, None, Some(1));
    let leased = leased.await.unwrap();
    let of_free = leased.iter().filter(|turn| turn.tenant == free).count();
    assert_eq!((leased.len(), of_free), (3, 2), "{leased:?}");
    let full = json!("tenant_limit");
    assert_eq!(
        waits(&owner, "one").await,
        [Value::Null, full.clone(), full]
    );
    let usage = owner.get("usage").await.expect(200);
    let mut usage = usage["data"].as_array().unwrap().iter();
    let running = usage.find(|quota| quota["quota"] == "running").unwrap();
    assert_eq!(
        (&running["used"], &running["limit"]),
        (&json!(1), &json!(1))
    );
}

/// Each run of a record begins when the one before it has ended, also where that waits itself.
#[tokio::test]
async fn runs_of_one_record_go_in_order() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    let more = json!({
        "in_order": true, "trigger": { "on": "record_updated", "fields": ["name"] },
        // Each record counts for itself: of two who do so at once, one has to do it again.
        "steps": [{ "delay": { "seconds": 3 } }, counts("record.name")],
    });
    let added = workflow(&owner, "one_by_one", nothing(), more.clone()).await;
    added.expect(201);
    let record = owner.create("victims", victim()).await;
    let other = owner.create("victims", victim()).await;
    for name in ["first", "second", "third", "fourth"] {
        rename(&owner, &record, name).await;
    }
    rename(&owner, &other, "other").await;
    let held = "earlier_run";
    wait_until("all have looked where they stand", async || {
        waits(&owner, "one_by_one").await == ["delay", held, held, held, "delay"]
    })
    .await;
    let mut database = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let earlier = "update crm_jobs set error = 'it was off' where line = 'held'";
    sqlx::query(earlier).execute(&mut database).await.unwrap();
    let first = waits(&owner, "one_by_one").await;
    assert_eq!(first[1..4], [held, held, held], "whatever was before");
    let all = runs(&owner, "one_by_one").await;
    let path = format!("runs/{}/cancel", all[3]["id"].as_str().unwrap());
    owner.post(&path, json!({})).await.expect(204);
    wait_until("all have ended", async || {
        let runs = runs(&owner, "one_by_one").await;
        runs.iter().all(|run| !run["finished_at"].is_null())
    })
    .await;
    let mut before: Option<Value> = None;
    for run in runs(&owner, "one_by_one").await.iter().rev() {
        if run["status"] == "cancelled" || run["record_id"] != json!(record) {
            continue;
        }
        let path = format!("runs/{}", run["id"].as_str().unwrap());
        let run = owner.get(&path).await.expect(200);
        assert_eq!(run["status"], "done", "{run}");
        assert_eq!(
            run["attempts"], 1,
            "what is held has made no attempt: {run}"
        );
        if let Some(before) = before.replace(run.clone()) {
            let (ended, began) = (&before["finished_at"], &run["log"][0]["started_at"]);
            assert!(ended.as_str() <= began.as_str(), "{ended} {began}");
        }
    }

    let mut of_nothing = more;
    of_nothing["trigger"] = json!({ "on": "request_received" });
    of_nothing["condition"] = Value::Null;
    let refused = workflow(&owner, "of_nothing", nothing(), of_nothing).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.body.to_string().contains("in_order"));
}

/// Whoever has begun goes on to its end first, also where an earlier one is tried again meanwhile.
#[tokio::test]
async fn what_is_tried_again_waits_for_the_run_that_has_begun() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    let bad = json!({
        "if": "record.name == 'bad'", "then": [{ "stop": { "as": "failed", "message": "bad" } }],
    });
    let more = json!({
        "in_order": true, "trigger": { "on": "record_updated", "fields": ["name"] },
        "condition": null, "steps": [bad, { "delay": { "seconds": 3_600 } }],
    });
    let added = workflow(&owner, "one_by_one", nothing(), more).await;
    added.expect(201);
    let record = owner.create("victims", victim()).await;
    rename(&owner, &record, "bad").await;
    let dead = owner.run("one_by_one", &record, &["dead"]).await;
    rename(&owner, &record, "good").await;
    wait_until("the second rests", async || {
        waits(&owner, "one_by_one").await == [Value::Null, json!("delay")]
    })
    .await;
    let path = format!("runs/{}/retry", dead["id"].as_str().unwrap());
    owner.post(&path, json!({})).await.expect(204);
    wait_until("the first waits behind it", async || {
        waits(&owner, "one_by_one").await == ["earlier_run", "delay"]
    })
    .await;
    let second = &runs(&owner, "one_by_one").await[0];
    let path = format!("runs/{}/cancel", second["id"].as_str().unwrap());
    owner.post(&path, json!({})).await.expect(204);
    wait_until("the first goes on", async || {
        waits(&owner, "one_by_one").await == [json!("delay"), Value::Null]
    })
    .await;
}
