//! Workers that die in the middle: no job is lost, none is done twice.

mod kills;
mod load;
mod rolling;
mod stopped;
pub(crate) mod turns;

use chrono::{DateTime, Utc};
use crm_model::TenantId;
use crm_store::commit::{AttemptLog, AttemptStatus, Commit, Completion, JobState};
use crm_store::jobs::LoadedJob;
use crm_store::{Store, StoreError, StoreSettings, TenantTx};
use crm_tests::app::{TestApp, eager_worker};
use crm_tests::client::{Client, wait_until};
use crm_tests::cluster::cluster;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::process::{Child, Stdio};
use std::time::Duration;

const RECORDS: usize = 150;

pub(crate) struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_worker(url: &str) -> Worker {
    start_worker_with(url, &[])
}

/// A worker process with these variables.
pub(crate) fn start_worker_with(url: &str, variables: &[(&str, &str)]) -> Worker {
    let child = crate::command::crm()
        .args(["serve", "--role", "worker", "--lease-seconds", "1"])
        .env("DATABASE_URL", url)
        .envs(variables.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Worker(child)
}

async fn done(owner: &Client) -> usize {
    let mut done = 0;
    let mut path = "runs?status=done&limit=200".to_owned();
    loop {
        let page = owner.get(&path).await.expect(200);
        done += page["data"].as_array().unwrap().len();
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("runs?status=done&limit=200&cursor={cursor}"),
            None => return done,
        }
    }
}

/// Writes down that a leased job's attempt ended so, and when it is due again.
pub(crate) async fn finish_as(
    store: &Store,
    (tenant, model_version): (TenantId, i64),
    job: &LoadedJob,
    (lease_token, state, available_at): (uuid::Uuid, JobState, Option<DateTime<Utc>>),
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let completion = Completion {
        job_id: job.id,
        lease_token,
        state,
        available_at,
        error: None,
        place: None,
        outputs: None,
        effects: Vec::new(),
        log: Some(AttemptLog {
            id: crm_model::RunId::new(uuid::Uuid::now_v7()),
            workflow: job.workflow.clone(),
            attempt: job.attempt,
            status: AttemptStatus::Done,
            input: serde_json::value::to_raw_value(&json!({})).unwrap(),
            steps: json!([]),
            mutations: Vec::new(),
            fuel: 0,
            memory_bytes: 0,
            duration_us: 0,
            error: None,
            started_at: now,
            step: None,
        }),
        keeps: Vec::new(),
        root: None,
    };
    let commit = Commit {
        tenant,
        model_version,
        at: now,
        actor: &job.event.actor,
        cause: &job.event.cause,
        depth: 0,
        changes: Vec::new(),
        clear: &[],
        jobs: &[],
        activities: &[],
        completion: Some(completion),
        receipt: None,
    };
    crm_store::commit::commit(store, &commit).await
}

#[tokio::test]
async fn a_killed_workers_jobs_are_done_exactly_once() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (_, owner) = app.owner_of("jewellery").await;
    let mut items = Vec::new();
    for number in 0..RECORDS {
        let data = json!({"sku": format!("D-{number}"), "carat": "0.5", "cut": "Ideal",
            "price": {"amount": "1000", "currency": "USD"}});
        items.push(owner.create("items", data).await);
    }
    // Kill worker processes as soon as each has done something, in the middle of the rest.
    let url = app.database.url();
    for _ in 0..2 {
        let before = done(&owner).await;
        let worker = start_worker(&url);
        wait_until("the worker has done something", || async {
            done(&owner).await > before
        })
        .await;
        drop(worker);
    }
    let _last = start_worker(&url);
    wait_until("every job is done", || async {
        done(&owner).await == RECORDS
    })
    .await;

    for item in &items {
        let path = format!("records/items/{item}");
        let record = owner.get(&path).await.expect(200);
        assert_eq!(record["version"], 2, "created, and valued once");
        let activities = owner.get(&format!("{path}/activities")).await.expect(200);
        assert_eq!(
            activities["data"].as_array().unwrap().len(),
            1,
            "noted once"
        );
    }
    let runs = owner.get("runs?limit=200").await.expect(200);
    for run in runs["data"].as_array().unwrap() {
        let run = owner
            .get(&format!("runs/{}", run["id"].as_str().unwrap()))
            .await
            .expect(200);
        let successes = run["log"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|a| a["status"] == "done");
        assert_eq!(successes.count(), 1);
    }
}

/// Runs of three steps, each of which counts.
#[tokio::test]
async fn a_killed_workers_runs_take_each_step_exactly_once() {
    const RUNS: usize = 60;
    let app = TestApp::on(cluster().database().await, None).await;
    let (_, owner) = app.owner_of("office").await;
    let count = |id: &str| json!({"id": id, "action": "field-set", "config": {"set": {"score": "after.score + 1"}}});
    let workflow = json!({
        "slug": "count", "name": "Count", "module": "contacts",
        "trigger": {"on": "record_created"},
        "steps": [count("a"), {"parallel": [[count("b")], [count("c")]]}],
    });
    owner.post("workflows", workflow).await.expect(201);
    let mut contacts = Vec::new();
    for number in 0..RUNS {
        let data = json!({"name": format!("{number}"), "score": 0});
        contacts.push(owner.create("contacts", data).await);
    }
    let counted = async || {
        let metrics = json!({"metrics": [{"op": "sum", "field": "score", "as": "n"}]});
        let sum = owner.post("records/contacts/aggregate", metrics).await;
        sum.expect(200)["data"][0]["n"].to_string()
    };
    let url = app.database.url();
    for _ in 0..6 {
        let before = counted().await;
        let worker = start_worker(&url);
        wait_until("the worker has counted", || async {
            counted().await != before
        })
        .await;
        drop(worker);
    }
    let _last = start_worker(&url);
    wait_until("every run is done", || async { done(&owner).await == RUNS }).await;
    for contact in contacts {
        let record = owner.get(&format!("records/contacts/{contact}")).await;
        let record = record.expect(200);
        assert_eq!(
            (&record["data"]["score"], &record["version"]),
            (&json!(3), &json!(4))
        );
        let run = owner.run("count", &contact, &["done"]).await;
        let log = run["log"].as_array().unwrap().iter();
        let log: Vec<_> = log.map(|one| (&one["step"], &one["status"])).collect();
        let (a, b, c, end) = (json!("a"), json!("b"), json!("c"), json!("done"));
        assert_eq!(log, [(&a, &end), (&b, &end), (&c, &end)], "{run}");
    }
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_writes_nothing() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (tenant, owner) = app.owner_of("hostile").await;
    let record = owner
        .create("victims", json!({"name": "v", "mode": "tell"}))
        .await;
    let store = Store::connect(app.database.runtime(), StoreSettings::default())
        .await
        .unwrap();
    let now = chrono::Utc::now();
    let (first, second) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    let lease = |token, now: chrono::DateTime<chrono::Utc>| {
        let until = now + chrono::TimeDelta::seconds(10);
        crm_store::jobs::jobs_lease(&store, (now, until), token, 10, None, None)
    };
    let leased = lease(first, now).await.unwrap();
    assert_eq!(leased.len(), 1);
    assert_eq!(
        lease(second, now).await.unwrap(),
        [],
        "leased jobs are not leased again"
    );
    let later = now + chrono::TimeDelta::seconds(11);
    assert_eq!(
        lease(second, later).await.unwrap(),
        leased,
        "but for when the lease ran out"
    );

    let (_, loaded) = crm_store::jobs::jobs_load(&store, tenant, &[leased[0].job])
        .await
        .unwrap();
    let job = &loaded[0];
    assert_eq!(job.attempt, 2);
    let finish = async |token| {
        let model = (tenant, 1);
        finish_as(&store, model, job, (token, JobState::Done, None), now).await
    };
    assert!(matches!(finish(first).await, Err(StoreError::LeaseLost)));
    assert_eq!(
        owner.run("tell", &record, &["running"]).await["log"],
        json!([])
    );
    finish(second).await.unwrap();
    assert!(
        matches!(finish(second).await, Err(StoreError::LeaseLost)),
        "once is all"
    );
    let run = owner.run("tell", &record, &["done"]).await;
    assert_eq!(run["log"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn small_tenants_do_not_queue_behind_big_ones() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (big, owner) = app.owner_of("hostile").await;
    for _ in 0..60 {
        owner
            .create("victims", json!({"name": "v", "mode": "tell"}))
            .await;
    }
    let (small, other) = app.owner_of("hostile").await;
    other
        .create("victims", json!({"name": "v", "mode": "tell"}))
        .await;
    let store = Store::connect(app.database.runtime(), StoreSettings::default())
        .await
        .unwrap();
    let now = chrono::Utc::now() + chrono::TimeDelta::seconds(1);
    let until = now + chrono::TimeDelta::seconds(10);
    let token = uuid::Uuid::new_v4();
    let leased = crm_store::jobs::jobs_lease(&store, (now, until), token, 10, None, None)
        .await
        .unwrap();
    let of = |tenant| leased.iter().filter(|turn| turn.tenant == tenant).count();
    assert_eq!(
        of(small),
        1,
        "the small tenant's only job is in the first batch"
    );
    assert!(of(big) >= 5);
    let next = crm_store::jobs::jobs_lease(&store, (now, until), token, 10, Some(big), None)
        .await
        .unwrap();
    assert_eq!(next.len(), 10, "a lone tenant gets the whole batch");
}

#[tokio::test]
async fn a_worker_stops_when_told_and_leaves_no_job_behind() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (_, owner) = app.owner_of("hostile").await;
    for _ in 0..20 {
        owner
            .create("victims", json!({"name": "v", "mode": "tell"}))
            .await;
    }
    let stop = tokio_util::sync::CancellationToken::new();
    let working = tokio::spawn({
        let (engine, stop) = (app.engine.clone(), stop.clone());
        async move { engine.work(eager_worker(), stop).await }
    });
    wait_until("something is done", || async { done(&owner).await > 0 }).await;
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(30), working)
        .await
        .unwrap()
        .unwrap();
    let running = owner.get("runs?status=running").await.expect(200);
    assert_eq!(running["data"], json!([]), "what was begun was ended");
}

/// As after a query whose time ran out as it ended: the next one on its connection is cancelled.
#[tokio::test]
async fn who_is_told_of_the_time_of_others_begins_once_more() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (tenant, _) = app.owner_of("hospital").await;
    let store = Store::connect(app.database.runtime(), StoreSettings::default())
        .await
        .unwrap();
    let mut owner = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let mut same_role = PgConnection::connect_with(&app.database.runtime())
        .await
        .unwrap();
    let mut held = owner.begin().await.unwrap();
    sqlx::query("lock table crm_suspensions in access exclusive mode")
        .execute(&mut *held)
        .await
        .unwrap();
    let begin = tokio::spawn(async move { TenantTx::begin(&store, tenant).await });
    wait_until("it is cancelled", async || {
        let cancelled: Option<bool> = sqlx::query_scalar(
            "select pg_cancel_backend(pid) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'
                and query like 'begin; select crm_tenant_begin%'",
        )
        .fetch_optional(&mut same_role)
        .await
        .unwrap();
        cancelled == Some(true)
    })
    .await;
    held.rollback().await.unwrap();
    let tx = begin.await.unwrap().unwrap();
    assert!(tx.model_version().is_some());
}
