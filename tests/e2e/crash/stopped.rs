//! Workers that are stopped in the middle and go on when their leases are over: what they commit
//! then comes to nothing, because others have the jobs by now.

use chrono::Utc;
use crm_store::models::model_advance;
use crm_store::{Store, StoreError, StoreSettings, TenantTx};
use crm_tests::app::TestApp;
use crm_tests::client::{Client, wait_until};
use crm_tests::cluster::cluster;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::Duration;

use super::load::Office;
use crate::command::{Serving, serving_only};

/// Jobs that a worker has in hand when it is stopped, of all rounds together.
const CASES: u64 = 100;
/// Of either kind at least one.
const ROUNDS: u32 = 2;
/// Jobs of a round: as many as a worker takes in hand.
const JOBS: u64 = 100;

/// How many attempts this server has made in vain.
async fn lost(client: &Client) -> u64 {
    let Value::String(metrics) = client.get("/metrics").await.expect(200) else {
        return 0;
    };
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("crm_runs_total{status=\"lease_lost\"} "));
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_goes_on_after_its_lease_commits_nothing() {
    let database = cluster().database().await;
    let office = Office::new(database.owner(), database.runtime()).await;
    let start = || -> Serving {
        tokio::task::block_in_place(|| serving_only(&office.url, &["--lease-seconds", "1"]))
    };
    let mut servers = [start(), start()];
    let mut look = office.look().await.unwrap();
    let (mut cases, mut created) = (0, 0);
    for round in 0.. {
        if round >= ROUNDS && cases >= CASES {
            break;
        }
        let [holder, other] = &servers;
        let client = office.at(&holder.base);
        let lost_before = lost(&client).await;
        other.signal(Signal::STOP);
        let create = |number| json!({ "op": "create", "data": { "name": format!("{round}-{number}"), "score": 0 } });
        let operations: Vec<Value> = (0..JOBS).map(create).collect();
        let bulk = json!({ "atomic": true, "operations": operations });
        client.post("records/contacts/bulk", bulk).await.expect(200);
        created += JOBS;
        wait_until("jobs are in hand", async || look.held().await.jobs > 0).await;
        holder.signal(Signal::STOP);
        // What it had sent by then is done by now.
        wait_until("the leases are over", async || {
            let held = look.held().await;
            held.until.is_none_or(|until| until < Utc::now())
        })
        .await;
        let held = look.held().await;
        other.signal(Signal::CONT);
        wait_until("somebody else has the jobs", async || {
            look.are_over(&held).await
        })
        .await;
        // In every other round they run when the first one goes on; else they have ended.
        let is_late = round % 2 == 0;
        if is_late {
            wait_until("all runs end", async || look.ended().await == created).await;
        }
        holder.signal(Signal::CONT);
        wait_until("all commits come to nothing", async || {
            lost(&client).await >= lost_before + held.jobs
        })
        .await;
        wait_until("all runs end", async || look.ended().await == created).await;
        if is_late {
            assert_eq!(lost(&client).await, lost_before + held.jobs);
        }
        eprintln!(
            "round {round}: {} jobs in the hand of a worker that was stopped",
            held.jobs
        );
        cases += held.jobs;
        servers.reverse();
    }
    assert_eq!(look.contacts_are_done().await, created);
}

#[tokio::test]
async fn a_transaction_that_nobody_goes_on_with_lets_others_by() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let settings = StoreSettings {
        transaction_pause_max: Duration::from_millis(100),
        ..StoreSettings::default()
    };
    let store = Store::connect(app.database.runtime(), settings)
        .await
        .unwrap();
    let mut stopped = TenantTx::begin(&store, tenant).await.unwrap();
    model_advance(&mut stopped).await.unwrap();
    // It changes what the other one has locked.
    let change = json!({ "time_zone": "Europe/Berlin" });
    owner.patch("settings", change).await.expect(200);
    let late = stopped.commit().await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    // The connection is not lent again.
    TenantTx::begin(&store, tenant).await.unwrap();
}
