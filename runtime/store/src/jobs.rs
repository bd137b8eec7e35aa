//! The queue: leasing jobs across tenants, and loading what they need, tenant by tenant.

use chrono::{DateTime, Utc};
use crm_model::flow::Place;
use crm_model::validate::Base;
use crm_model::{
    Data, Event, EventId, EventKind, JobId, Lane, Priority, RecordId, RunSource, TenantId,
};
use sqlx::types::Json;
use std::collections::BTreeMap;
use uuid::Uuid;

use crate::error::StoreError;
use crate::store::Store;
use crate::tenant_tx::TenantTx;
use crate::workflows::{counted, number};

/// A job that is leased, and whose turn that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobTurn {
    pub tenant: TenantId,
    pub job: JobId,
    /// What limits it, as far as that was known.
    pub lane: Lane,
    pub priority: Priority,
}

#[derive(sqlx::FromRow)]
struct TurnRow {
    tenant_id: Uuid,
    job_id: Uuid,
    lane: String,
    priority: i16,
}

impl TryFrom<TurnRow> for JobTurn {
    type Error = StoreError;

    fn try_from(row: TurnRow) -> Result<Self, StoreError> {
        let priority = Priority::of_number(row.priority);
        Ok(Self {
            tenant: TenantId::new(row.tenant_id),
            job: JobId::new(row.job_id),
            lane: Lane::stored(row.lane),
            priority: priority.ok_or_else(|| StoreError::corrupt("priority", row.priority))?,
        })
    }
}

/// Takes up to `limit` due jobs, the same share from every tenant that has some, starting after
/// `after` in the round; in the order in which each tenant's are to begin. They are this worker's
/// until `until`. `running`: how many a tenant may have under way, unless something else was set for
/// it; none: any number.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn jobs_lease(
    store: &Store,
    (now, until): (DateTime<Utc>, DateTime<Utc>),
    token: Uuid,
    limit: i32,
    after: Option<TenantId>,
    running: Option<u64>,
) -> Result<Vec<JobTurn>, StoreError> {
    let mut lent = store.for_statement().await?;
    let rows = sqlx::query_as(
        "select tenant_id, job_id, lane, priority from crm_jobs_lease($1, $2, $3, $4, $5, $6)",
    )
    .bind(now)
    .bind(until)
    .bind(token)
    .bind(limit)
    .bind(after.map(TenantId::uuid))
    .bind(running.map(amount))
    .fetch_all(lent.connection())
    .await;
    let rows: Vec<TurnRow> = lent.give_back(rows)?;
    rows.into_iter().map(JobTurn::try_from).collect()
}

/// A limit as a number of the database's.
pub(crate) fn amount(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A leased job with its event, and the event's record as it stands now.
#[derive(Clone, Debug)]
pub struct LoadedJob {
    pub id: JobId,
    pub workflow: RunSource,
    /// The version of the workflow that it began on; none where there is but one.
    pub version: Option<u32>,
    /// Counts from 1.
    pub attempt: i32,
    /// Attempts at this step that ended, and failed.
    pub failures: i32,
    /// Where the run stands; none before its first step.
    pub place: Option<Place>,
    pub event: Event,
    pub current: Option<Base>,
}

#[derive(sqlx::FromRow)]
struct Row {
    model_version: Option<i64>,
    job_id: Uuid,
    workflow_slug: String,
    attempts: i32,
    failures: i32,
    place: Option<Json<Place>>,
    workflow_version: Option<i32>,
    #[sqlx(flatten)]
    event: EventRow,
    current_version: Option<i64>,
    current_data: Option<Json<Data>>,
}

/// An event as it is stored.
#[derive(sqlx::FromRow)]
pub(crate) struct EventRow {
    event_id: Uuid,
    kind: String,
    module_slug: String,
    record_id: Uuid,
    record_version: i64,
    before: Option<Json<Data>>,
    after: Option<Json<Data>>,
    changed_fields: Json<Vec<crm_model::FieldKey>>,
    payload: Option<Json<serde_json::Value>>,
    actor: Json<crm_model::Actor>,
    cause: Json<crm_model::Cause>,
    depth: i32,
    occurred_at: DateTime<Utc>,
}

pub(crate) fn event_kind(name: &str) -> Result<EventKind, StoreError> {
    EventKind::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| StoreError::corrupt("event kind", name))
}

impl TryFrom<EventRow> for Event {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: EventId::new(row.event_id),
            kind: event_kind(&row.kind)?,
            module: row
                .module_slug
                .parse()
                .map_err(|error| StoreError::corrupt("module name", error))?,
            record_id: RecordId::new(row.record_id),
            record_version: row.record_version,
            before: row.before.map(|data| data.0),
            after: row.after.map(|data| data.0),
            changed_fields: row.changed_fields.0,
            payload: row.payload.map(|payload| payload.0),
            actor: row.actor.0,
            cause: row.cause.0,
            depth: u32::try_from(row.depth).unwrap_or_default(),
            occurred_at: row.occurred_at,
        })
    }
}

impl TryFrom<Row> for LoadedJob {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let current = row
            .current_version
            .zip(row.current_data)
            .map(|(version, data)| Base {
                version,
                data: data.0,
            });
        Ok(Self {
            id: JobId::new(row.job_id),
            workflow: row
                .workflow_slug
                .parse()
                .map_err(|error| StoreError::corrupt("workflow name", error))?,
            version: row.workflow_version.map(counted),
            attempt: row.attempts,
            failures: row.failures,
            place: row.place.map(|place| place.0),
            event: row.event.try_into()?,
            current,
        })
    }
}

/// Loads leased jobs of one tenant, in one round trip, with the version of the tenant's model; in
/// any order.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn jobs_load(
    store: &Store,
    tenant: TenantId,
    jobs: &[JobId],
) -> Result<(Option<i64>, Vec<LoadedJob>), StoreError> {
    let ids: Vec<Uuid> = jobs.iter().map(|job| job.uuid()).collect();
    let mut lent = store.for_statement().await?;
    let rows = sqlx::query_as("select * from crm_jobs_load($1, $2)")
        .bind(tenant.uuid())
        .bind(ids)
        .fetch_all(lent.connection())
        .await;
    let rows: Vec<Row> = lent.give_back(rows)?;
    let model_version = rows.first().and_then(|row| row.model_version);
    let jobs = rows.into_iter().map(LoadedJob::try_from);
    Ok((model_version, jobs.collect::<Result<_, _>>()?))
}

/// How many jobs of a tenant are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct JobCounts {
    pub open: i64,
    pub done: i64,
    pub dead: i64,
}

/// Counts a tenant's jobs.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn jobs_count(tx: &mut TenantTx) -> Result<JobCounts, StoreError> {
    let counts = sqlx::query_as(
        "select count(*) filter (where state in ('waiting', 'queued', 'leased')) as open,
            count(*) filter (where state = 'done') as done,
            count(*) filter (where state = 'dead') as dead
        from crm_jobs where tenant_id = $1",
    )
    .bind(tx.tenant_id().uuid())
    .fetch_one(tx.connection())
    .await?;
    Ok(counts)
}

/// How many jobs of a tenant wait or run.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn jobs_open(tx: &mut TenantTx) -> Result<i64, StoreError> {
    let open = sqlx::query_scalar(
        "select
            (select count(*) from crm_jobs where tenant_id = $1 and state in ('queued', 'leased'))
            + (select count(*) from crm_jobs where tenant_id = $1 and state = 'waiting')",
    )
    .bind(tx.tenant_id().uuid())
    .fetch_one(tx.connection())
    .await?;
    Ok(open)
}

/// How many jobs of a tenant are under way.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn jobs_running(tx: &mut TenantTx, now: DateTime<Utc>) -> Result<i64, StoreError> {
    let running = sqlx::query_scalar(
        "select count(*) from crm_jobs
        where tenant_id = $1 and state = 'leased' and available_at > $2",
    )
    .bind(tx.tenant_id().uuid())
    .bind(now)
    .fetch_one(tx.connection())
    .await?;
    Ok(running)
}

/// Gives a leased job back as if nobody had taken it, because it has to line up in another lane;
/// those that come after it go on waiting.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn job_line_up(
    store: &Store,
    tenant: TenantId,
    (job, token): (JobId, Uuid),
    at: DateTime<Utc>,
    lane: &Lane,
) -> Result<(), StoreError> {
    let mut lent = store.for_statement().await?;
    let done = sqlx::query("select crm_job_line_up($1, $2, $3, $4, $5)")
        .bind(tenant.uuid())
        .bind(job.uuid())
        .bind(token)
        .bind(at)
        .bind(lane.as_str())
        .execute(lent.connection())
        .await;
    lent.give_back(done).map(|_| ())
}

/// Whether a leased job stands behind an earlier one of its record that has not ended. Then it is
/// given back as if nobody had taken it, until that one ends, or `until` at last.
///
/// # Errors
/// [`StoreError::LeaseLost`], [`StoreError::Unavailable`].
pub async fn job_behind(
    store: &Store,
    tenant: TenantId,
    (job, token): (JobId, Uuid),
    until: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut lent = store.for_statement().await?;
    let is_behind = sqlx::query_scalar("select crm_job_behind($1, $2, $3, $4)")
        .bind(tenant.uuid())
        .bind(job.uuid())
        .bind(token)
        .bind(until)
        .fetch_one(lent.connection())
        .await;
    lent.give_back(is_behind)
}

/// Writes down how many runs may be under way at once, by the names that lanes have, in the place of
/// what was there.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn concurrency_settle(
    tx: &mut TenantTx,
    most: &BTreeMap<String, u32>,
) -> Result<(), StoreError> {
    let names: Vec<&str> = most.keys().map(String::as_str).collect();
    let most: Vec<i32> = most.values().copied().map(number).collect();
    sqlx::query("delete from crm_concurrency where tenant_id = $1 and name <> all($2)")
        .bind(tx.tenant_id().uuid())
        .bind(&names)
        .execute(tx.connection())
        .await?;
    sqlx::query(
        "insert into crm_concurrency as c (tenant_id, name, most)
        select $1, w.name, w.most from unnest($2::text[], $3::integer[]) as w (name, most)
        on conflict (tenant_id, name) do update set most = excluded.most
        where c.most <> excluded.most",
    )
    .bind(tx.tenant_id().uuid())
    .bind(&names)
    .bind(&most)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Gives leased jobs back as if nobody had taken them, not to be taken before `until`; those that
/// come after them need not wait.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn jobs_postpone(
    store: &Store,
    tenant: TenantId,
    (jobs, token): (&[JobId], Uuid),
    until: DateTime<Utc>,
    reason: &str,
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = jobs.iter().map(|job| job.uuid()).collect();
    let mut lent = store.for_statement().await?;
    let done = sqlx::query("select crm_jobs_postpone($1, $2, $3, $4, $5)")
        .bind(tenant.uuid())
        .bind(ids)
        .bind(token)
        .bind(until)
        .bind(reason)
        .execute(lent.connection())
        .await;
    lent.give_back(done).map(|_| ())
}

/// Lets a workflow's runs go that wait for this reason.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn jobs_wake(
    tx: &mut TenantTx,
    workflow: &RunSource,
    reason: &str,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "update crm_jobs set available_at = $4, error = null
        where tenant_id = $1 and workflow_slug = $2 and state = 'queued' and error = $3",
    )
    .bind(tx.tenant_id().uuid())
    .bind(workflow.to_string())
    .bind(reason)
    .bind(at)
    .execute(tx.connection())
    .await?;
    Ok(())
}
