//! The queue: leasing jobs across tenants, and loading what they need, tenant by tenant.

use chrono::{DateTime, Utc};
use crm_model::flow::Place;
use crm_model::validate::Base;
use crm_model::{Data, Event, EventId, EventKind, JobId, RecordId, RunSource, TenantId};
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;
use crate::store::Store;
use crate::tenant_tx::TenantTx;
use crate::workflows::counted;

/// Takes up to `limit` due jobs, the same share from every tenant that has some, starting after
/// `after` in the round. They are this worker's until `until`.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn jobs_lease(
    store: &Store,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    token: Uuid,
    limit: i32,
    after: Option<TenantId>,
) -> Result<Vec<(TenantId, JobId)>, StoreError> {
    let mut lent = store.for_statement().await?;
    let rows = sqlx::query_as("select tenant_id, job_id from crm_jobs_lease($1, $2, $3, $4, $5)")
        .bind(now)
        .bind(until)
        .bind(token)
        .bind(limit)
        .bind(after.map(TenantId::uuid))
        .fetch_all(lent.connection())
        .await;
    let rows: Vec<(Uuid, Uuid)> = lent.give_back(rows)?;
    Ok(rows
        .into_iter()
        .map(|(tenant, job)| (TenantId::new(tenant), JobId::new(job)))
        .collect())
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

/// Loads leased jobs of one tenant, in one round trip, with the version of the tenant's model. The
/// oldest comes first: in any other order the same ones could be last each time, and a worker that
/// is killed again and again would never come to them.
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
    let mut jobs = rows
        .into_iter()
        .map(LoadedJob::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    // Ids begin with the time at which they were made.
    jobs.sort_unstable_by_key(|job| job.id);
    Ok((model_version, jobs))
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
