//! Runs, as people look at them: a job and the log of its attempts.

use chrono::{DateTime, Utc};
use crm_model::{
    Actor, Cause, EventId, EventKind, JobId, Lane, ModuleSlug, PluginName, Priority, RecordId,
    RunSource,
};
use serde_json::Value;
use sqlx::types::Json;
use std::collections::BTreeMap;
use uuid::Uuid;

use crate::error::StoreError;
use crate::jobs::amount;
use crate::tenant_tx::TenantTx;
use crate::workflows::number;

/// A workflow that an event started.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Run {
    pub id: Uuid,
    pub workflow_slug: String,
    /// The version of the workflow; none where there is but one.
    pub workflow_version: Option<i32>,
    #[sqlx(try_from = "String")]
    pub module_slug: ModuleSlug,
    pub record_id: Uuid,
    pub event_id: Uuid,
    /// `waiting` (for the run before it), `queued`, `leased`, `done` or `dead`.
    pub state: String,
    pub attempts: i32,
    /// When it is due, or its lease ends.
    pub available_at: DateTime<Utc>,
    /// Whether a step of it waits for a time.
    pub is_resting: bool,
    pub error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    /// When the tenant's last window ended, or ends, whose fuel was used up.
    pub deferred_until: Option<DateTime<Utc>>,
    /// 0 is the most urgent.
    pub priority: i16,
    /// The name of a limit that it waits for, where it is due and as many are under way as may be;
    /// empty: the tenant's.
    pub full: Option<String>,
}

/// What is read of a run of the tenant `$1`; `$2`: how many a tenant may have under way, unless
/// something else was set for it.
macro_rules! run_columns {
    () => {
        "id, workflow_slug, workflow_version, module_slug, record_id, event_id, state, attempts,
        available_at, place is not null and error is null and available_at > now() as is_resting,
        error, created_at, finished_at, priority,
        (select d.until from crm_deferrals d where d.tenant_id = $1) as deferred_until,
        case when state = 'queued' and available_at <= now() then (
            select n.name
            from crm_rooms($1, now(), (
                select case when q.tenant_id is null then $2::bigint else q.amount end
                from (select) one
                left join crm_quotas q on q.tenant_id = $1 and q.quota = 'running')) r
            cross join unnest(array_prepend('', string_to_array(lane, ' '))) n (name)
            where (r.rooms ->> n.name)::bigint <= 0
            limit 1
        ) end as full"
    };
}

/// One attempt at a run.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Attempt {
    pub attempt: i32,
    /// The step that it was for; none for runs from before there was more than one.
    pub step: Option<String>,
    /// `done`, `skipped` or `failed`.
    pub status: String,
    pub input: Json<Value>,
    pub steps: Json<Value>,
    pub mutations: Json<Value>,
    pub fuel: i64,
    pub memory_bytes: i64,
    pub duration_us: i64,
    pub error: Option<String>,
    pub started_at: DateTime<Utc>,
}

/// Which runs.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    pub workflow: Option<String>,
    pub state: Option<String>,
    pub record: Option<Uuid>,
}

/// A page of runs, newest first. `running`: how many a tenant may have under way, unless something
/// else was set for it.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn runs_page(
    tx: &mut TenantTx,
    (filter, modules): (&RunFilter, Option<&[ModuleSlug]>),
    before: Option<JobId>,
    limit: u32,
    running: Option<u64>,
) -> Result<Vec<Run>, StoreError> {
    let runs = sqlx::query_as(concat!(
        "select ",
        run_columns!(),
        " from crm_jobs
        where tenant_id = $1 and id < $3
            and ($4::text is null or workflow_slug = $4)
            and ($5::text is null or state = $5 or ($5 = 'queued' and state = 'waiting'))
            and ($6::uuid is null or record_id = $6)
            and ($8::text[] is null or module_slug = any($8))
        order by id desc
        limit $7"
    ))
    .bind(tx.tenant_id().uuid())
    .bind(running.map(amount))
    .bind(before.map_or(Uuid::max(), JobId::uuid))
    .bind(filter.workflow.as_deref())
    .bind(filter.state.as_deref())
    .bind(filter.record)
    .bind(i64::from(limit))
    .bind(modules.map(|modules| modules.iter().map(ModuleSlug::as_str).collect::<Vec<_>>()))
    .fetch_all(tx.connection())
    .await?;
    Ok(runs)
}

/// One run; `running` as in [`runs_page`].
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn run_find(
    tx: &mut TenantTx,
    run: JobId,
    running: Option<u64>,
) -> Result<Option<Run>, StoreError> {
    let found = sqlx::query_as(concat!(
        "select ",
        run_columns!(),
        " from crm_jobs where tenant_id = $1 and id = $3"
    ))
    .bind(tx.tenant_id().uuid())
    .bind(running.map(amount))
    .bind(run.uuid())
    .fetch_optional(tx.connection())
    .await?;
    Ok(found)
}

/// One run with its attempts, first to last; `running` as in [`runs_page`].
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn run_read(
    tx: &mut TenantTx,
    run: JobId,
    running: Option<u64>,
) -> Result<Option<(Run, Vec<Attempt>)>, StoreError> {
    let Some(found) = run_find(tx, run, running).await? else {
        return Ok(None);
    };
    let attempts = sqlx::query_as(
        "select attempt, step, status, input, steps, mutations, fuel, memory_bytes, duration_us, error,
            started_at
        from crm_workflow_logs
        where tenant_id = $1 and job_id = $2
        order by id",
    )
    .bind(tx.tenant_id().uuid())
    .bind(run.uuid())
    .fetch_all(tx.connection())
    .await?;
    Ok(Some((found, attempts)))
}

/// What a plugin did for a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginUsage {
    /// Attempts, by how the plugin's call ended: `done`, `skip`, `trapped`, ….
    pub outcomes: BTreeMap<String, i64>,
    /// Units, all attempts together.
    pub fuel: i64,
    /// How long half of the calls took at most, and 99 of 100.
    pub p50_us: Option<i64>,
    pub p99_us: Option<i64>,
    /// Its runs that wait to be tried again, or because it is left alone.
    pub waiting: i64,
}

/// What a plugin did since then.
///
/// # Errors
/// [`StoreError::TooSlow`] under a query's limit of time.
pub async fn plugin_usage(
    tx: &mut TenantTx,
    plugin: &PluginName,
    since: DateTime<Utc>,
) -> Result<PluginUsage, StoreError> {
    let outcomes: Vec<(String, i64, i64)> = sqlx::query_as(
        "select coalesce(l.steps -> 0 ->> 'status', l.status), count(*), sum(l.fuel)::bigint
        from crm_workflow_logs l
        where l.tenant_id = $1 and l.started_at >= $3 and l.steps -> 0 ->> 'action' = $2
        group by 1",
    )
    .bind(tx.tenant_id().uuid())
    .bind(plugin.as_str())
    .bind(since)
    .fetch_all(tx.connection())
    .await?;
    let (p50_us, p99_us): (Option<i64>, Option<i64>) = sqlx::query_as(
        "select percentile_disc(0.5) within group (order by l.duration_us),
            percentile_disc(0.99) within group (order by l.duration_us)
        from crm_workflow_logs l
        where l.tenant_id = $1 and l.started_at >= $3 and l.steps -> 0 ->> 'action' = $2",
    )
    .bind(tx.tenant_id().uuid())
    .bind(plugin.as_str())
    .bind(since)
    .fetch_one(tx.connection())
    .await?;
    let waiting = sqlx::query_scalar(
        "select count(*) from crm_jobs j
        where j.tenant_id = $1 and j.state = 'queued' and j.error is not null
            and exists (
                select from crm_workflow_logs l
                where l.tenant_id = $1 and l.job_id = j.id and l.steps -> 0 ->> 'action' = $2)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(plugin.as_str())
    .fetch_one(tx.connection())
    .await?;
    Ok(PluginUsage {
        fuel: outcomes.iter().map(|(_, _, fuel)| fuel).sum(),
        outcomes: outcomes
            .into_iter()
            .map(|(outcome, count, _)| (outcome, count))
            .collect(),
        p50_us,
        p99_us,
        waiting,
    })
}

/// Puts a dead run back into the queue: it goes on at the step that failed. False where it is not
/// dead, or never began.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn run_retry(
    tx: &mut TenantTx,
    run: JobId,
    at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "update crm_jobs
        set state = 'queued', attempts = 0, failures = 0, available_at = $3, error = null,
            finished_at = null
        where tenant_id = $1 and id = $2 and state = 'dead' and attempts > 0",
    )
    .bind(tx.tenant_id().uuid())
    .bind(run.uuid())
    .bind(at)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends a run that has not ended. What is under way commits nothing any more. The run that waits for
/// its turn behind this one may go; where this one waited itself, it waits for the one that this one
/// waited for. False where it has ended.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn run_cancel(
    tx: &mut TenantTx,
    run: JobId,
    at: DateTime<Utc>,
    reason: &str,
) -> Result<bool, StoreError> {
    let tenant = tx.tenant_id().uuid();
    let is_bridged = run_bridge(tx, run).await?;
    let next: Option<(Option<Uuid>,)> = sqlx::query_as(
        "update crm_jobs
        set state = 'cancelled', lease_token = null, error = $4, finished_at = $3,
            next_job_id = case when not $5 then next_job_id end
        where tenant_id = $1 and id = $2 and state in ('waiting', 'queued', 'leased')
        returning next_job_id",
    )
    .bind(tenant)
    .bind(run.uuid())
    .bind(at)
    .bind(reason)
    .bind(is_bridged)
    .fetch_optional(tx.connection())
    .await?;
    let Some((next,)) = next else {
        return Ok(false);
    };
    if let Some(next) = next {
        sqlx::query(
            "update crm_jobs set state = 'queued'
            where tenant_id = $1 and id = $2 and state = 'waiting'",
        )
        .bind(tenant)
        .bind(next)
        .execute(tx.connection())
        .await?;
    }
    Ok(true)
}

/// Has the run before a waiting one go on to the run behind it. Whether it waits, and there is one
/// before it. All runs of the event are locked, first to last, as the ends of attempts lock them:
/// whoever looked for the one before alone could miss another end in the same row of runs.
async fn run_bridge(tx: &mut TenantTx, run: JobId) -> Result<bool, StoreError> {
    let of_event: Vec<(Uuid, String, Option<Uuid>)> = sqlx::query_as(
        "select id, state, next_job_id from crm_jobs
        where tenant_id = $1 and (record_id, event_id) = (
            select record_id, event_id from crm_jobs
            where tenant_id = $1 and id = $2 and state = 'waiting')
        order by id
        for update",
    )
    .bind(tx.tenant_id().uuid())
    .bind(run.uuid())
    .fetch_all(tx.connection())
    .await?;
    let mut rows = of_event.iter();
    let waiting = rows.find(|(id, state, _)| *id == run.uuid() && state == "waiting");
    let mut rows = of_event.iter();
    let before = rows.find(|(_, _, next)| *next == Some(run.uuid()));
    let (Some((_, _, next)), Some((before, ..))) = (waiting, before) else {
        return Ok(false);
    };
    sqlx::query("update crm_jobs set next_job_id = $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant_id().uuid())
        .bind(before)
        .bind(next)
        .execute(tx.connection())
        .await?;
    Ok(true)
}

/// A run that no change of a record starts, with the event that it is for.
#[derive(Clone, Debug)]
pub struct StartedRun<'a> {
    pub job: JobId,
    pub event: EventId,
    pub kind: EventKind,
    pub cause: &'a Cause,
    pub workflow: &'a RunSource,
    /// The version of the workflow that is live.
    pub version: u32,
    pub module: &'a ModuleSlug,
    /// None: it is of no record, and the event's is the nil id.
    pub record: Option<RecordId>,
    pub actor: &'a Actor,
    pub payload: &'a Value,
    pub at: DateTime<Utc>,
    pub priority: Priority,
    /// What limits it, as far as that is known yet.
    pub lane: Lane,
    /// Why it must not even begin: it is born dead, for people to see.
    pub error: Option<&'a str>,
}

/// Starts a run. False where the record is not there, or the event is.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn run_start(tx: &mut TenantTx, run: &StartedRun<'_>) -> Result<bool, StoreError> {
    let event = sqlx::query(
        "insert into crm_events (
            tenant_id, id, kind, module_slug, record_id, record_version, changed_fields, payload,
            actor, cause, depth, occurred_at)
        select $1, $2, $3, $4, coalesce($5, $10), coalesce(r.version, 0), '[]', $6, $7, $8, 0, $9
        from (select) one
        left join crm_records r
            on r.tenant_id = $1 and r.id = $5 and r.module_slug = $4 and r.deleted_at is null
        where $5 is null or r.id is not null
        on conflict do nothing",
    )
    .bind(tx.tenant_id().uuid())
    .bind(run.event.uuid())
    .bind(run.kind.name())
    .bind(run.module.as_str())
    .bind(run.record.map(RecordId::uuid))
    .bind(Json(run.payload))
    .bind(Json(run.actor))
    .bind(Json(run.cause))
    .bind(run.at)
    .bind(Uuid::nil())
    .execute(tx.connection())
    .await?;
    if event.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "insert into crm_jobs (
            tenant_id, id, workflow_slug, event_id, module_slug, record_id, state, available_at,
            created_at, workflow_version, error, finished_at, priority, lane)
        values ($1, $2, $3, $4, $5, $6, case when $9::text is null then 'queued' else 'dead' end,
            $7, $7, $8, $9, case when $9::text is null then null else $7 end, $10, $11)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(run.job.uuid())
    .bind(run.workflow.to_string())
    .bind(run.event.uuid())
    .bind(run.module.as_str())
    .bind(run.record.map_or(Uuid::nil(), RecordId::uuid))
    .bind(run.at)
    .bind(number(run.version))
    .bind(run.error)
    .bind(run.priority.number())
    .bind(run.lane.as_str())
    .execute(tx.connection())
    .await?;
    Ok(true)
}
