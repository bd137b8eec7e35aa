//! Runs, as people look at them: a job and the log of its attempts. What they do to them is in
//! [`crate::run_words`].

use chrono::{DateTime, Utc};
use crm_model::limits::STUCK_AFTER_SECONDS;
use crm_model::{
    Event, JobId, Lane, ModuleSlug, PluginName, Priority, RecordId, RunSource, TenantId,
};
use serde_json::Value;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use sqlx::types::Json;
use std::collections::BTreeMap;
use uuid::Uuid;

use crate::error::StoreError;
use crate::jobs::amount;
use crate::store::Store;
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
    /// `waiting` (for the run before it), `queued`, `leased`, `done`, `dead` or `cancelled`.
    pub state: String,
    pub attempts: i32,
    /// Attempts at its step that came to an end, and failed.
    pub failures: i32,
    /// When it is due, or its lease ends.
    pub available_at: DateTime<Utc>,
    /// What a step of it waits for: `delay`, a time, or what comes from outside, `event`, `approval`
    /// and `call`.
    pub rests_for: Option<String>,
    pub error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    /// When the tenant's last window ended, or ends, whose fuel was used up.
    pub deferred_until: Option<DateTime<Utc>>,
    /// Whether the tenant is suspended.
    pub is_suspended: bool,
    /// Why nothing moves it any more, where that is not on purpose: `unclaimed`, `lease_over`,
    /// `behind`, `no_end`.
    pub stuck: Option<String>,
    /// 0 is the most urgent.
    pub priority: i16,
    /// The name of a limit that it waits for, where it is due and as many are under way as may be;
    /// empty: the tenant's.
    pub full: Option<String>,
    /// Whether it waits for an earlier run of its record.
    pub is_held: bool,
    /// What it handed to the run that called it.
    pub outputs: Option<Json<Value>>,
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
    pub module: Option<ModuleSlug>,
    /// Begun not before then.
    pub from: Option<DateTime<Utc>>,
    /// Begun before then.
    pub to: Option<DateTime<Utc>>,
    /// A part of the run's error, as it is written.
    pub error_contains: Option<String>,
    /// Those alone that are stuck.
    pub is_stuck: bool,
}

/// What there is room for in the tenant `$1`, as `rooms`; `$running`: how many it may have under way,
/// unless something else was set for it.
macro_rules! run_rooms {
    ($running:literal) => {
        concat!(
            "rooms as materialized (
                select r.lanes, r.rooms
                from crm_rooms($1, now(), crm_running($1, ",
            $running,
            ")) r)"
        )
    };
}

/// The columns of a [`Run`]; the tenant is `$1`, `$late` are the seconds after which what is due is
/// late. Reads [`run_rooms`].
macro_rules! run_columns {
    ($late:literal) => {
        concat!(
            "id, workflow_slug, workflow_version, module_slug, record_id, event_id, state, attempts,
            outputs, failures, available_at, priority,
            coalesce(line = 'held', false) as is_held,
            case when place is not null and error is null and available_at > now()
                then crm_run_rests_for(tenant_id, id) end as rests_for,
            case when state = 'queued' and available_at <= now() then (
                select n.name
                from rooms r
                cross join unnest(array_prepend('', string_to_array(lane, ' '))) n (name)
                where (r.rooms ->> n.name)::bigint <= 0
                limit 1
            ) end as \"full\",
            error, created_at, finished_at,
            (select d.until from crm_deferrals d where d.tenant_id = $1) as deferred_until,
            exists (select from crm_suspensions s where s.tenant_id = $1) as is_suspended,
            case
                when exists (select from crm_suspensions s where s.tenant_id = $1)
                    or exists (
                        select from crm_deferrals d where d.tenant_id = $1 and d.until > now())
                    then null
                when state in ('queued', 'leased') and attempts > 40 then 'no_end'
                when available_at > now() - make_interval(secs => ",
            $late,
            ") then null
                when state = 'queued' and lane = any ((select r.lanes from rooms r)::text[])
                    then 'unclaimed'
                when state = 'leased' then 'lease_over'
                when state = 'waiting' and not crm_run_held(
                    tenant_id, record_id, event_id, (select r.lanes from rooms r), now()) then 'behind'
            end as stuck"
        )
    };
}

/// What a [`RunFilter`] says, but for what is stuck; bound by [`bind_filter`].
macro_rules! run_matches {
    () => {
        "tenant_id = $1
            and ($4::text is null or workflow_slug = $4)
            and ($5::text is null or state = $5 or ($5 = 'queued' and state = 'waiting'))
            and ($6::uuid is null or record_id = $6)
            and ($7::text is null or module_slug = $7)
            and ($8::text[] is null or module_slug = any($8))
            and ($9::timestamptz is null or created_at >= $9)
            and ($10::timestamptz is null or created_at < $10)
            and ($11::text is null or strpos(error, $11) > 0)"
    };
}

/// What is stuck in the tenant `$1`, each part out of its index, as `stuck`; `$12` are the seconds,
/// `$13` as in [`run_rooms`]. And what lets all of it rest on purpose, as `resting`.
macro_rules! run_stuck {
    () => {
        concat!(
            "with ",
            run_rooms!("$13"),
            ", stuck as materialized (
                select j.* from rooms r
                cross join unnest(r.lanes) l (lane)
                cross join unnest(array['queued', 'leased']) s (state)
                cross join unnest(array[0, 1, 2]::smallint[]) p (priority)
                join crm_jobs j
                    on j.tenant_id = $1 and j.lane = l.lane
                    and j.state in ('queued', 'leased') and j.state = s.state
                    and j.priority = p.priority
                    and j.available_at <= now() - make_interval(secs => $12)
                union all
                select j.* from rooms r
                join crm_jobs j
                    on j.tenant_id = $1 and j.state = 'waiting'
                    and j.available_at <= now() - make_interval(secs => $12)
                    and not crm_run_held(j.tenant_id, j.record_id, j.event_id, r.lanes, now())
                union all
                select * from crm_jobs
                where tenant_id = $1 and state in ('queued', 'leased') and attempts > 40
                    and available_at > now() - make_interval(secs => $12)
            ), resting as (
                select from crm_suspensions s where s.tenant_id = $1
                union all
                select from crm_deferrals d where d.tenant_id = $1 and d.until > now()
            )"
        )
    };
}

pub(crate) use {run_matches, run_rooms, run_stuck};

/// Seconds after which what is due is late, as `make_interval` takes them.
pub(crate) fn late_seconds() -> f64 {
    f64::from(STUCK_AFTER_SECONDS)
}

/// Binds the tenant, a place in the list, a limit and the filter: `$1` to `$11`.
pub(crate) fn bind_filter<'q, R>(
    query: QueryAs<'q, Postgres, R, PgArguments>,
    (tenant, place, limit): (Uuid, Uuid, u32),
    (filter, modules): (&RunFilter, Option<&[ModuleSlug]>),
) -> QueryAs<'q, Postgres, R, PgArguments> {
    let names = |modules: &[ModuleSlug]| modules.iter().map(ToString::to_string).collect();
    let modules: Option<Vec<String>> = modules.map(names);
    query
        .bind(tenant)
        .bind(place)
        .bind(i64::from(limit))
        .bind(filter.workflow.clone())
        .bind(filter.state.clone())
        .bind(filter.record)
        .bind(filter.module.as_ref().map(ToString::to_string))
        .bind(modules)
        .bind(filter.from)
        .bind(filter.to)
        .bind(filter.error_contains.clone())
}

/// A page of runs, newest first. `running`: how many a tenant may have under way, unless something
/// else was set for it.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn runs_page(
    tx: &mut TenantTx,
    which: (&RunFilter, Option<&[ModuleSlug]>),
    before: Option<JobId>,
    limit: u32,
    running: Option<u64>,
) -> Result<Vec<Run>, StoreError> {
    let all = concat!(
        "with ",
        run_rooms!("$13"),
        " select ",
        run_columns!("$12"),
        " from crm_jobs where id < $2 and ",
        run_matches!(),
        " order by id desc limit $3"
    );
    // They have an index, which is seen only where the text says so.
    let dead = concat!(
        "with ",
        run_rooms!("$13"),
        " select ",
        run_columns!("$12"),
        " from crm_jobs where id < $2 and state = 'dead' and ",
        run_matches!(),
        " order by id desc limit $3"
    );
    let stuck = concat!(
        run_stuck!(),
        " select ",
        run_columns!("$12"),
        " from stuck where id < $2 and not exists (select from resting) and ",
        run_matches!(),
        " order by id desc limit $3"
    );
    let query = sqlx::query_as(match which.0.state.as_deref() {
        _ if which.0.is_stuck => stuck,
        Some("dead") => dead,
        _ => all,
    });
    let place = before.map_or(Uuid::max(), JobId::uuid);
    let runs = bind_filter(query, (tx.tenant_id().uuid(), place, limit), which)
        .bind(late_seconds())
        .bind(running.map(amount))
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
        "with ",
        run_rooms!("$4"),
        " select ",
        run_columns!("$3"),
        " from crm_jobs where tenant_id = $1 and id = $2"
    ))
    .bind(tx.tenant_id().uuid())
    .bind(run.uuid())
    .bind(late_seconds())
    .bind(running.map(amount))
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

/// Enrols a record in a workflow, for this run. False where it is enrolled for another one: ever, or
/// for one that has not ended.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn enrol(
    store: &Store,
    tenant: TenantId,
    (workflow, record, run): (&RunSource, RecordId, JobId),
    once: bool,
    at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut lent = store.for_statement().await?;
    let enrolled = sqlx::query_scalar("select crm_enrol($1, $2, $3, $4, $5, $6)")
        .bind(tenant.uuid())
        .bind(workflow.to_string())
        .bind(record.uuid())
        .bind(run.uuid())
        .bind(once)
        .bind(at)
        .fetch_one(lent.connection())
        .await;
    lent.give_back(enrolled)
}

/// A run that no change of a record starts, with the event that it is for.
#[derive(Clone, Debug)]
pub struct StartedRun<'a> {
    pub job: JobId,
    /// Its record's version, and what stands in it, are read when the run begins.
    pub event: &'a Event,
    /// The event is of a record, which has to be there.
    pub is_of_record: bool,
    pub workflow: &'a RunSource,
    /// The version of the workflow that is live.
    pub version: u32,
    pub priority: Priority,
    /// What limits it, as far as that is known yet.
    pub lane: Lane,
    /// Whether it stands in its record's line.
    pub in_line: bool,
    /// Why it must not even begin: it is born dead, for people to see.
    pub error: Option<&'a str>,
    /// The run that waits for its end, and the number of what waits there.
    pub parent: Option<(JobId, u64)>,
}

/// Starts a run. False where the record is not there, or the event is.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn run_start(tx: &mut TenantTx, run: &StartedRun<'_>) -> Result<bool, StoreError> {
    let (event, record) = (run.event, run.event.record_id.uuid());
    let inserted = sqlx::query(
        "insert into crm_events (
            tenant_id, id, kind, module_slug, record_id, record_version, changed_fields, payload,
            actor, cause, depth, occurred_at)
        select $1, $2, $3, $4, $5, coalesce(r.version, 0), '[]', $6, $7, $8, $10, $9
        from (select) one
        left join crm_records r
            on r.tenant_id = $1 and r.id = $5 and r.module_slug = $4 and r.deleted_at is null
        where $11 or r.id is not null
        on conflict do nothing",
    )
    .bind(tx.tenant_id().uuid())
    .bind(event.id.uuid())
    .bind(event.kind.name())
    .bind(event.module.as_str())
    .bind(record)
    .bind(event.payload.as_ref().map(Json))
    .bind(Json(&event.actor))
    .bind(Json(&event.cause))
    .bind(event.occurred_at)
    .bind(i32::try_from(event.depth).unwrap_or(i32::MAX))
    .bind(!run.is_of_record)
    .execute(tx.connection())
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "insert into crm_jobs (
            tenant_id, id, workflow_slug, event_id, module_slug, record_id, state, available_at,
            created_at, workflow_version, error, finished_at, parent_job_id, parent_work, priority,
            lane, line)
        values ($1, $2, $3, $4, $5, $6, case when $9::text is null then 'queued' else 'dead' end,
            $7, $7, $8, $9, case when $9::text is null then null else $7 end, $10, $11, $12, $13,
            case when $14 then 'open' end)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(run.job.uuid())
    .bind(run.workflow.to_string())
    .bind(event.id.uuid())
    .bind(event.module.as_str())
    .bind(record)
    .bind(event.occurred_at)
    .bind(number(run.version))
    .bind(run.error)
    .bind(run.parent.map(|(parent, _)| parent.uuid()))
    .bind(
        run.parent
            .map(|(_, work)| i64::try_from(work).unwrap_or(i64::MAX)),
    )
    .bind(run.priority.number())
    .bind(run.lane.as_str())
    .bind(run.in_line)
    .execute(tx.connection())
    .await?;
    Ok(true)
}
