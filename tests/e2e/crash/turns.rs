//! One tenant's backlog holds up nobody else: tenants take turns.

use chrono::{TimeDelta, Utc};
use crm_model::limits::LEASE_MAX_JOBS;
use crm_store::{Store, StoreSettings};
use crm_tests::app::{TestApp, eager_worker};
use crm_tests::client::wait_until;
use crm_tests::cluster::cluster;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::collections::HashSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const BACKLOG: usize = 5_000;
const BULK: usize = 1_000;
const OTHERS: usize = 50;
/// Each round of leases has so many places, one of them for the backlog.
const ROUNDS: usize = 2;
/// Of the backlog, what may have begun before all others have. They have their models to load,
/// while the backlog goes on.
const BEFORE_MAX: usize = BACKLOG / 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_one_tenant_holds_up_no_other() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (big, owner) = app.owner_of("hostile").await;
    let create = json!({ "op": "create", "data": { "name": "v", "mode": "tell" } });
    let bulk = json!({ "atomic": true, "operations": vec![create.clone(); BULK] });
    for _ in 0..BACKLOG / BULK {
        owner
            .post("records/victims/bulk", bulk.clone())
            .await
            .expect(200);
    }
    let mut others = HashSet::new();
    for _ in 0..OTHERS {
        let (tenant, other) = app.owner_of("hostile").await;
        other.create("victims", create["data"].clone()).await;
        others.insert(tenant);
    }

    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let mut leased = HashSet::new();
    let mut last = None;
    let store = Store::connect(app.database.runtime(), StoreSettings::default())
        .await
        .unwrap();
    for _ in 0..ROUNDS {
        let (now, token) = (Utc::now(), Uuid::new_v4());
        let until = now + TimeDelta::hours(1);
        let (times, most) = ((now, until), LEASE_MAX_JOBS);
        let jobs = crm_store::jobs::jobs_lease(&store, times, token, most, last, None);
        let jobs = jobs.await.unwrap();
        // As the worker goes round.
        last = jobs.iter().map(|turn| turn.tenant).max();
        leased.extend(jobs.into_iter().map(|turn| turn.tenant));
    }
    assert!(
        others.is_subset(&leased),
        "all others are in the first rounds"
    );
    give_back(&mut admin).await;

    let are_done = wait_until("all others are done", async || {
        let open =
            "select not exists (select from crm_jobs where tenant_id <> $1 and state <> 'done')";
        let open = sqlx::query_scalar(open).bind(big.uuid());
        open.fetch_one(&mut admin).await.unwrap()
    });
    work_until(&app, are_done).await;
    let begun: Vec<Uuid> =
        sqlx::query_scalar("select tenant_id from crm_workflow_logs order by started_at")
            .fetch_all(&mut admin)
            .await
            .unwrap();
    let last = begun
        .iter()
        .rposition(|tenant| *tenant != big.uuid())
        .unwrap();
    let before = last + 1 - OTHERS;
    eprintln!("{before} of {BACKLOG} had begun when the last of {OTHERS} others did");
    assert!(before < BEFORE_MAX, "{before} of the backlog came before");
}

/// Gives back all that is leased, as if nobody had taken it.
pub(crate) async fn give_back(admin: &mut PgConnection) {
    let back = "update crm_jobs set state = 'queued', lease_token = null, attempts = 0,
        available_at = created_at where state = 'leased'";
    sqlx::query(back).execute(admin).await.unwrap();
}

/// Has a worker of this process at work until that has come.
pub(crate) async fn work_until(app: &TestApp, has_come: impl Future<Output = ()>) {
    let stop = CancellationToken::new();
    let (engine, stopped) = (app.engine.clone(), stop.clone());
    let working = tokio::spawn(async move { engine.work(eager_worker(), stopped).await });
    has_come.await;
    stop.cancel();
    working.await.unwrap();
}
