//! What one tenant's backlog costs all others: how long their first runs wait to begin, while a
//! worker is busy with it. The reference is the time that it may take; what counts is the slowest
//! of a hundred.
//!
//! `BENCH_FULL=1` takes a backlog of 100,000 and 999 others; without it there is a fifth of either.

use anyhow::{Context, Result, ensure};
use crm_cli::postgres::PrivatePostgres;
use crm_engine::worker::WorkerSettings;
use crm_store::admin::Admin;
use crm_tests::client::Client;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::beside::tenants;
use crate::load::{Connection, Request, on_a_thread, quantile};
use crate::report::{Aim, Measure};
use crate::scale::stones;
use crate::serving::{Serving, database, on_postgres};
use crate::{is_full, say};

pub(crate) const NAME: &str = "queue_delay";

const DATABASE: &str = "bench_queue_delay";
const BACKLOG: usize = 100_000;
const OTHERS: usize = 999;
/// What is left of them where the full sizes are not asked for.
const PART: usize = 5;
/// Operations of a bulk request.
const BULK: usize = 1_000;
/// One of the others writes after the other, so that the backlog outlasts them.
const PAUSE: Duration = Duration::from_millis(5);
const LOOK: Duration = Duration::from_millis(20);
const LIMIT_MILLISECONDS: f64 = 2000.0;
const OTHERS_MAX: Duration = Duration::from_secs(300);

pub(crate) async fn measure() -> Result<Measure> {
    on_postgres(on).await
}

async fn on(postgres: &PrivatePostgres) -> Result<Measure> {
    let part = if is_full() { 1 } else { PART };
    let (backlog, others) = (BACKLOG / part, OTHERS / part);
    let options = database(postgres, DATABASE).await?;
    let serving = Serving::start(&options).await?;
    let mut admin = Admin::connect(&options).await?;
    let mut asked = tenants(&serving, &mut admin, others + 1).await?;
    let big = asked.swap_remove(0);
    fill(serving.address, &big, backlog).await;
    let mut look = PgConnection::connect_with(&options).await?;
    sqlx::query("vacuum analyze").execute(&mut look).await?;
    say(&format!("a backlog of {backlog} jobs is there"));

    let stop = CancellationToken::new();
    let working = tokio::spawn({
        let (engine, stop) = (serving.host.engine.clone(), stop.clone());
        async move { engine.work(WorkerSettings::default(), stop).await }
    });
    let big = stones::tenant(0).uuid();
    let done = "select count(*) from crm_jobs where tenant_id = $1 and state = 'done'";
    wait(&mut look, done, big, 1).await?;
    write(serving.address, asked).await?;
    let done = "select count(*) from crm_jobs where tenant_id <> $1 and state = 'done'";
    wait(&mut look, done, big, i64::try_from(others)?).await?;
    let left: i64 = sqlx::query_scalar(
        "select count(*) from crm_jobs where tenant_id = $1 and state = 'queued'",
    )
    .bind(big)
    .fetch_one(&mut look)
    .await?;
    ensure!(
        left > 0,
        "the backlog was gone before all others had their turn"
    );
    stop.cancel();
    working.await?;
    let mut delays: Vec<i64> = sqlx::query_scalar(
        "select (extract(epoch from l.started_at - j.created_at) * 1000000)::bigint
        from crm_jobs j
        join crm_workflow_logs l on l.tenant_id = j.tenant_id and l.job_id = j.id
        where j.tenant_id <> $1",
    )
    .bind(big)
    .fetch_all(&mut look)
    .await?;
    look.close().await?;
    serving.end().await?;

    delays.sort_unstable();
    let sorted: Vec<u32> = delays
        .iter()
        .map(|delay| u32::try_from(*delay).unwrap_or_default())
        .collect();
    let milliseconds = |share| quantile(&sorted, share) / 1000.0;
    let slowest = sorted.last().context("nobody had a turn")?;
    Ok(Measure {
        name: NAME,
        unit: "milliseconds_p99",
        ours: milliseconds(0.99),
        reference: LIMIT_MILLISECONDS,
        aim: Aim::AtMost(1.0),
        details: json!({
            "figure": "from the commit that made the job to the begin of its first attempt; the \
                reference is what it may take",
            "backlog_jobs": backlog,
            "backlog_jobs_left": left,
            "other_tenants": others,
            "milliseconds_p50": milliseconds(0.5),
            "milliseconds_most": f64::from(*slowest) / 1000.0,
        }),
        took: Duration::ZERO,
    })
}

/// An item whose number nobody else has.
fn item(number: usize) -> Value {
    json!({ "sku": format!("Q-{number}"), "carat": "0.5", "cut": "Ideal",
        "price": { "amount": "1000", "currency": "USD" } })
}

async fn fill(address: SocketAddr, big: &Request, backlog: usize) {
    let owner = Client::new(&format!("http://{address}"), Some(big.token.to_string()));
    for first in (0..backlog).step_by(BULK) {
        let create = |number| json!({ "op": "create", "data": item(number) });
        let operations: Vec<Value> = (first..backlog.min(first + BULK)).map(create).collect();
        let bulk = json!({ "atomic": true, "operations": operations });
        owner.post("records/items/bulk", bulk).await.expect(200);
    }
}

/// An item of each of the others.
async fn write(address: SocketAddr, others: Vec<Request>) -> Result<()> {
    on_a_thread(async move || {
        let mut connection = Connection::open(address).await?;
        for (number, other) in others.into_iter().enumerate() {
            let create = Request {
                method: "POST",
                path: "/api/crm/records/items".to_owned(),
                body: json!({ "data": item(number) }).to_string(),
                status: 201,
                ..other
            };
            connection.send(&create).await?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    })
    .await
}

/// Waits until a count is this.
async fn wait(look: &mut PgConnection, count: &'static str, big: Uuid, least: i64) -> Result<()> {
    let began = Instant::now();
    loop {
        let found: i64 = sqlx::query_scalar(count)
            .bind(big)
            .fetch_one(&mut *look)
            .await?;
        if found >= least {
            return Ok(());
        }
        ensure!(
            began.elapsed() < OTHERS_MAX,
            "{found} of {least} jobs after {OTHERS_MAX:?}"
        );
        tokio::time::sleep(LOOK).await;
    }
}
