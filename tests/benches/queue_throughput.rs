//! Runs of a workflow of one step, from a backlog, by one worker in this process: leased, called,
//! its mutation committed with its history, its event, its log and its end. The reference: pgbench
//! with the same claim, fifty jobs at once, and for each job the same changes of the same tables,
//! pipelined, under the same row-level security, on the same server, in a copy of the same
//! database. And what the table of jobs keeps of a backlog that is gone.
//!
//! `BENCH_JOBS` says how long the backlog is.

use anyhow::{Context, Result, ensure};
use crm_cli::postgres::{PrivatePostgres, find_server};
use crm_engine::worker::WorkerSettings;
use crm_store::admin::Admin;
use crm_tests::client::Client;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use crate::pgbench::{self, Pgbench};
use crate::report::{Aim, Measure, median};
use crate::scale::stones;
use crate::serving::{Serving, copy_of, database, on_postgres};
use crate::{say, size};

pub(crate) const NAME: &str = "queue_throughput";

const FULL: &str = "bench_queue";
const OURS: &str = "bench_queue_ours";
const REFERENCE: &str = "bench_queue_reference";
const JOBS: u64 = 20_000;
/// Operations of a bulk request.
const BULK: u64 = 1_000;
const ROUNDS: u32 = 5;
/// As many as a worker has attempts side by side.
const CLIENTS: u64 = 16;
/// Jobs that are leased at once.
const BATCH: u64 = 50;
/// The part of a backlog after which the model, the component and all connections are there.
const WARM_UP: u64 = 20;
/// How often it is looked whether all is done: what that costs is taken from ours alone.
const LOOK: Duration = Duration::from_millis(50);
/// A backlog of which nothing is left after so long is a queue that stands still.
const DRAIN_MAX: Duration = Duration::from_secs(1800);
/// What a backlog may leave behind, to what its rows take. Each job is changed twice, so that both of
/// the indexes that have all jobs are half full of what was, and their keys only grow.
const SPACE_MOST: f64 = 1.5;

/// A job: claimed with others when the ones before are done.
const PIPELINE: &str = r"\set k :k + 1
\if :k > 50
select '{' || string_agg(job_id::text, ',') || '}' as jobs from crm_jobs_lease(now(), now() + interval '30 s', gen_random_uuid(), 50, null) \gset
\set k 1
\endif
\startpipeline
begin;
select set_config('crm.tenant_id', :tenant, true);
select language::regconfig from tenant_crm_configs where tenant_id = :tenant::uuid and model_version = :model_version::bigint;
update crm_jobs set state = 'done', available_at = now(), lease_token = null, finished_at = now() where tenant_id = :tenant::uuid and id = (:jobs::uuid[])[:k::integer] and state = 'leased';
update crm_records r set data = :after::jsonb, version = r.version + 1, updated_at = now(), updated_by = :person from crm_jobs j where j.tenant_id = :tenant::uuid and j.id = (:jobs::uuid[])[:k::integer] and r.tenant_id = :tenant::uuid and r.id = j.record_id and r.version = 1;
insert into crm_record_history (tenant_id, record_id, version, kind, changed_before, changed_after, changed_at, changed_by, cause, event_id) values (:tenant::uuid, gen_random_uuid(), 2, 'record_updated', :changed_before::jsonb, :changed_after::jsonb, now(), :person, :cause::jsonb, gen_random_uuid());
insert into crm_events (tenant_id, id, kind, module_slug, record_id, record_version, before, after, changed_fields, actor, cause, depth, occurred_at) values (:tenant::uuid, gen_random_uuid(), 'record_updated', 'things', gen_random_uuid(), 2, :before::jsonb, :after::jsonb, :changed_fields::jsonb, :actor::jsonb, :cause::jsonb, 1, now());
insert into crm_workflow_logs (tenant_id, id, job_id, workflow_slug, attempt, status, input, steps, mutations, fuel, memory_bytes, duration_us, started_at, step) values (:tenant::uuid, gen_random_uuid(), (:jobs::uuid[])[:k::integer], 'count', 1, 'done', :input::jsonb, :steps::jsonb, :mutations::jsonb, 1, 1, 1, now(), 'count');
commit;
\endpipeline
";

pub(crate) async fn measure() -> Result<Vec<Measure>> {
    let server = find_server().await?;
    let pgbench = pgbench::find(&server)?;
    // Each client of the reference claims whole batches.
    let jobs = size("BENCH_JOBS", JOBS)?.next_multiple_of(CLIENTS * BATCH);
    on_postgres(async |postgres| on(postgres, pgbench, jobs).await).await
}

async fn on(postgres: &PrivatePostgres, pgbench: PathBuf, jobs: u64) -> Result<Vec<Measure>> {
    let full = database(postgres, FULL).await?;
    let serving = Serving::start(&full).await?;
    Admin::connect(&full)
        .await?
        .tenant_create(stones::tenant(0), "Bench")
        .await?;
    let owner = owner(&serving)?;
    define(&owner).await;
    // One run, so that the reference writes just what ours stores.
    fill(&owner, 1).await;
    let mut look = PgConnection::connect_with(&full).await?;
    drain(&serving, &mut look, 1).await?;
    let variables = variables(&mut look).await?;
    fill(&owner, jobs).await;
    sqlx::query("vacuum analyze").execute(&mut look).await?;
    look.close().await?;
    serving.end().await?;
    say(&format!("a backlog of {jobs} jobs is there"));

    let (mut ours, mut reference, mut space) = (Vec::new(), Vec::new(), None);
    for round in 1..=ROUNDS {
        let options = copy_of(postgres, FULL, OURS).await?;
        let serving = Serving::start(&options).await?;
        let mut look = PgConnection::connect_with(&options).await?;
        ours.push(drain(&serving, &mut look, jobs + 1).await?);
        if round == ROUNDS {
            space = Some(measure_space(&serving, &mut look, jobs).await?);
        }
        look.close().await?;
        serving.end().await?;

        let options = copy_of(postgres, FULL, REFERENCE).await?;
        let pgbench = Pgbench {
            variables: variables.clone(),
            clients: usize::try_from(CLIENTS)?,
            ..Pgbench::new(pgbench.clone(), postgres, REFERENCE)
        };
        let seen = pgbench.run_each(PIPELINE, jobs / CLIENTS).await?;
        reference.push(seen.per_second);
        let mut look = PgConnection::connect_with(&options).await?;
        let (done, changed) = ended(&mut look).await?;
        ensure!(
            done == jobs + 1 && changed == jobs + 1,
            "pgbench ended {done} of {jobs} jobs and changed {changed} records"
        );
        look.close().await?;
        if let (Some(ours), Some(reference)) = (ours.last(), reference.last()) {
            say(&format!(
                "round {round}: ours {ours:.0} jobs/s, pgbench {reference:.0} jobs/s"
            ));
        }
    }
    let throughput = Measure {
        name: NAME,
        unit: "jobs_per_second",
        ours: median(&ours),
        reference: median(&reference),
        aim: Aim::AtLeast(0.5),
        details: json!({
            "fsync": true,
            "backlog_jobs": jobs,
            "worker_processes": 1,
            "attempts_side_by_side": WorkerSettings::default().concurrency,
            "pgbench_clients": CLIENTS,
            "jobs_claimed_at_once": BATCH,
            "figure": "the median of the rounds, which took turns, each with a copy of the same \
                database; ours without the first twentieth",
            "ours_jobs_per_second_by_round": ours,
            "reference_jobs_per_second_by_round": reference,
        }),
        took: Duration::ZERO,
    };
    Ok(vec![throughput, space.context("there was no round")?])
}

fn owner(serving: &Serving) -> Result<Client> {
    let token = serving.token(stones::tenant(0))?;
    let base = format!("http://{}", serving.address);
    Ok(Client::new(&base, Some(token.to_string())))
}

/// A module of a few fields, and a workflow that changes one of them.
async fn define(owner: &Client) {
    let template = json!({ "template_id": "jewellery" });
    owner.post("templates/select", template).await.expect(201);
    let fields = json!([
        { "key": "name", "label": "Name", "type": "text" },
        { "key": "notes", "label": "Notes", "type": "long_text" },
        { "key": "score", "label": "Score", "type": "integer" },
    ]);
    owner.module("things", fields).await;
    let grants = json!({ "reads": ["things(*)"], "writes": ["things(update; score)"] });
    let form = reqwest::multipart::Form::new()
        .text("name", "field-set")
        .text("grants", grants.to_string());
    owner.send_form("plugins", None, form).await.expect(201);
    let workflow = json!({
        "slug": "count", "name": "Count", "module": "things",
        "trigger": { "on": "record_created" },
        "steps": [{ "id": "count", "action": "field-set",
            "config": { "set": { "score": "after.score + 1" } } }],
    });
    owner.post("workflows", workflow).await.expect(201);
}

/// So many jobs more, each of a record of its own.
async fn fill(owner: &Client, jobs: u64) {
    let thing = json!({
        "name": "A thing among many others",
        "notes": "Bought at auction, with a certificate of its grading.",
        "score": 1,
    });
    let operation = json!({ "op": "create", "data": thing });
    let mut left = jobs;
    while left > 0 {
        let count = left.min(BULK);
        let operations = vec![&operation; usize::try_from(count).unwrap_or_default()];
        let bulk = json!({ "atomic": true, "operations": operations });
        owner.post("records/things/bulk", bulk).await.expect(200);
        left -= count;
    }
}

/// Lets a worker work until so many jobs of all have ended; jobs per second, after the first part.
async fn drain(serving: &Serving, look: &mut PgConnection, all: u64) -> Result<f64> {
    let (before, _) = ended(look).await?;
    let began = Instant::now();
    let stop = CancellationToken::new();
    let working = tokio::spawn({
        let (engine, stop) = (serving.host.engine.clone(), stop.clone());
        async move { engine.work(WorkerSettings::default(), stop).await }
    });
    let mut warm = None;
    let seconds = loop {
        tokio::time::sleep(LOOK).await;
        ensure!(began.elapsed() < DRAIN_MAX, "the queue stands still");
        match warm {
            None => {
                let (done, _) = ended(look).await?;
                if done >= before + (all - before).div_ceil(WARM_UP) {
                    warm = Some((done, Instant::now()));
                }
            }
            Some((_, since)) if !are_open(look).await? => break since.elapsed().as_secs_f64(),
            Some(_) => {}
        }
    };
    stop.cancel();
    working.await?;
    let (done, changed) = ended(look).await?;
    ensure!(
        done == all && changed == all,
        "{done} of {all} jobs ended well, and {changed} records are changed"
    );
    let first = warm.map_or(before, |(first, _)| first);
    Ok((all - first) as f64 / seconds)
}

/// Jobs that ended well, and records that were changed once.
async fn ended(look: &mut PgConnection) -> Result<(u64, u64)> {
    let (done, changed): (i64, i64) = sqlx::query_as(
        "select (select count(*) from crm_jobs where state = 'done'),
            (select count(*) from crm_records where module_slug = 'things' and version = 2)",
    )
    .fetch_one(look)
    .await?;
    Ok((u64::try_from(done)?, u64::try_from(changed)?))
}

async fn are_open(look: &mut PgConnection) -> Result<bool> {
    let open = "select exists (select from crm_jobs where state in ('queued', 'leased'))";
    Ok(sqlx::query_scalar(open).fetch_one(look).await?)
}

/// What the table of jobs and its indexes take after further backlogs of the same length, each of
/// which is vacuumed, as PostgreSQL does by itself after a while.
async fn measure_space(serving: &Serving, look: &mut PgConnection, jobs: u64) -> Result<Measure> {
    let owner = owner(serving)?;
    let mut sizes = vec![bytes(look).await?];
    vacuum(look, "vacuum crm_jobs").await?;
    sizes.push(bytes(look).await?);
    let (mut all, mut dead) = (jobs + 1, Vec::new());
    for _ in 0..2 {
        fill(&owner, jobs).await;
        all += jobs;
        drain(serving, look, all).await?;
        vacuum(look, "vacuum crm_jobs").await?;
        dead.push(dead_rows(look).await?);
        sizes.push(bytes(look).await?);
    }
    let grown = match sizes.as_slice() {
        [.., before, after] => after - before,
        _ => f64::NAN,
    };
    vacuum(look, "vacuum full crm_jobs").await?;
    let compact = bytes(look).await?;
    Ok(Measure {
        name: "queue_space",
        unit: "bytes_per_job",
        ours: grown / jobs as f64,
        reference: compact / all as f64,
        aim: Aim::AtMost(SPACE_MOST),
        details: json!({
            "figure": "what the table of jobs, which keeps every run, and its indexes grow by with \
                one more backlog, after two of the same length; the reference is what its rows \
                take in a table that has just been rewritten",
            "backlog_jobs": jobs,
            "bytes_after_first_vacuumed_second_third": sizes,
            "dead_rows_after_second_third": dead,
            "bytes_rewritten": compact,
        }),
        took: Duration::ZERO,
    })
}

async fn vacuum(look: &mut PgConnection, statement: &'static str) -> Result<()> {
    sqlx::query(statement).execute(look).await?;
    Ok(())
}

async fn bytes(look: &mut PgConnection) -> Result<f64> {
    let bytes: i64 = sqlx::query_scalar("select pg_total_relation_size('crm_jobs')")
        .fetch_one(look)
        .await?;
    Ok(bytes as f64)
}

/// Rows that the last vacuum left dead, by its own account.
async fn dead_rows(look: &mut PgConnection) -> Result<i64> {
    let dead = "select n_dead_tup from pg_stat_user_tables where relname = 'crm_jobs'";
    Ok(sqlx::query_scalar(dead).fetch_one(look).await?)
}

/// What the script names: the texts of a run that ours stored.
async fn variables(look: &mut PgConnection) -> Result<Vec<(&'static str, String)>> {
    let row: Value = sqlx::query_scalar(
        "select jsonb_build_object(
            'model_version', c.model_version::text, 'person', h.changed_by,
            'changed_before', h.changed_before::text, 'changed_after', h.changed_after::text,
            'before', e.before::text, 'after', e.after::text,
            'changed_fields', e.changed_fields::text, 'actor', e.actor::text,
            'cause', e.cause::text,
            'input', l.input::text, 'steps', l.steps::text, 'mutations', l.mutations::text)
        from crm_events e
        join crm_record_history h on h.event_id = e.id
        join tenant_crm_configs c on c.tenant_id = e.tenant_id
        cross join crm_workflow_logs l
        where e.kind = 'record_updated'",
    )
    .fetch_one(look)
    .await?;
    let text = |name: &str| {
        let text = row.get(name).and_then(Value::as_str);
        text.with_context(|| format!("the run left no {name} behind"))
    };
    let mut variables = vec![
        ("tenant", stones::tenant(0).to_string()),
        ("jobs", "{}".to_owned()),
        ("k", BATCH.to_string()),
    ];
    for name in [
        "model_version",
        "person",
        "changed_before",
        "changed_after",
        "before",
        "after",
        "changed_fields",
        "actor",
        "cause",
        "input",
        "steps",
        "mutations",
    ] {
        variables.push((name, text(name)?.to_owned()));
    }
    Ok(variables)
}
