//! Effects on their way out: leased across tenants as jobs are, loaded tenant by tenant, finished
//! under their lease. They come with the end of their run ([`crate::commit::Completion`]).

use chrono::{DateTime, Utc};
use crm_model::flow::Place;
use crm_model::{
    Actor, Cause, Effect, EventId, EventKind, JobId, ModuleSlug, RecordId, RunSource, StepName,
    TenantId,
};
use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;
use crate::store::Store;
use crate::tenant_tx::TenantTx;
use crate::workflows::counted;

/// An effect that a run asks for.
#[derive(Clone, Debug, Serialize)]
pub struct NewEffect {
    pub kind: &'static str,
    /// The webhook's endpoint, the request's or the schedule's key; empty for other kinds.
    pub target: String,
    pub effect: Effect,
    /// Names of the secrets whose handles stand in it.
    pub secrets: Vec<String>,
    /// Not before this; at once unless given.
    pub due: Option<DateTime<Utc>>,
    /// The step that asks.
    pub step: Option<StepName>,
}

/// Takes up to `limit` due effects, the same share from every tenant that has some, starting after
/// `after` in the round, and of no tenant more than `each` at a time. They are this worker's until
/// `until`. The tenants.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn effects_lease(
    store: &Store,
    (now, until): (DateTime<Utc>, DateTime<Utc>),
    token: Uuid,
    (limit, each): (i32, i32),
    after: Option<TenantId>,
) -> Result<Vec<TenantId>, StoreError> {
    let mut lent = store.for_statement().await?;
    let rows =
        sqlx::query_scalar("select tenant_id from crm_effects_lease($1, $2, $3, $4, $5, $6)")
            .bind(now)
            .bind(until)
            .bind(token)
            .bind(limit)
            .bind(each)
            .bind(after.map(TenantId::uuid))
            .fetch_all(lent.connection())
            .await;
    let rows: Vec<Uuid> = lent.give_back(rows)?;
    Ok(rows.into_iter().map(TenantId::new).collect())
}

/// A leased effect with the event that its run was for.
#[derive(Clone, Debug)]
pub struct LoadedEffect {
    pub job: JobId,
    /// Counts from 1 within the run.
    pub number: i32,
    pub effect: Effect,
    pub secrets: Vec<String>,
    /// Counts from 1.
    pub attempt: i32,
    pub workflow: RunSource,
    /// The version of the workflow that asked; none where there is but one.
    pub version: Option<u32>,
    /// The step that asked; none where its run was before there was more than one.
    pub step: Option<StepName>,
    pub event: EventId,
    pub event_kind: EventKind,
    pub module: ModuleSlug,
    pub record: RecordId,
    pub actor: Actor,
    pub cause: Cause,
    pub depth: u32,
    pub occurred_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    model_version: Option<i64>,
    job_id: Uuid,
    number: i32,
    effect: Json<Effect>,
    secrets: Json<Vec<String>>,
    attempts: i32,
    workflow_slug: String,
    workflow_version: Option<i32>,
    step: Option<String>,
    event_id: Uuid,
    kind: String,
    module_slug: String,
    record_id: Uuid,
    actor: Json<Actor>,
    cause: Json<Cause>,
    depth: i32,
    occurred_at: DateTime<Utc>,
}

impl TryFrom<Row> for LoadedEffect {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            job: JobId::new(row.job_id),
            number: row.number,
            effect: row.effect.0,
            secrets: row.secrets.0,
            attempt: row.attempts,
            workflow: row
                .workflow_slug
                .parse()
                .map_err(|error| StoreError::corrupt("workflow name", error))?,
            version: row.workflow_version.map(counted),
            step: row.step.and_then(|step| step.parse().ok()),
            event: EventId::new(row.event_id),
            event_kind: crate::jobs::event_kind(&row.kind)?,
            module: row
                .module_slug
                .parse()
                .map_err(|error| StoreError::corrupt("module name", error))?,
            record: RecordId::new(row.record_id),
            actor: row.actor.0,
            cause: row.cause.0,
            depth: u32::try_from(row.depth).unwrap_or_default(),
            occurred_at: row.occurred_at,
        })
    }
}

/// Loads what this lease took of one tenant, with the version of the tenant's model.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
pub async fn effects_load(
    store: &Store,
    tenant: TenantId,
    token: Uuid,
) -> Result<(Option<i64>, Vec<LoadedEffect>), StoreError> {
    let mut lent = store.for_statement().await?;
    let rows = sqlx::query_as("select * from crm_effects_load($1, $2)")
        .bind(tenant.uuid())
        .bind(token)
        .fetch_all(lent.connection())
        .await;
    let rows: Vec<Row> = lent.give_back(rows)?;
    let model_version = rows.first().and_then(|row| row.model_version);
    let effects = rows.into_iter().map(LoadedEffect::try_from);
    Ok((model_version, effects.collect::<Result<_, _>>()?))
}

/// How an effect goes on after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectState {
    Queued,
    Done,
    Dead,
}

/// The end of an attempt at an effect. Refused unless the lease still holds.
#[derive(Clone, Debug, Serialize)]
pub struct EffectEnd {
    pub job_id: JobId,
    pub number: i32,
    pub lease_token: Uuid,
    pub state: EffectState,
    /// Whether it counts as an attempt.
    pub counts: bool,
    /// When an effect that goes back to the queue is due.
    pub available_at: Option<DateTime<Utc>>,
    pub error: Option<String>,
    /// The HTTP status of the other side's answer.
    pub status: Option<u16>,
    /// What it leads to.
    pub next: Option<NextRun>,
}

/// An event for the record of the run that asked, and a run of the same workflow that it starts.
#[derive(Clone, Debug, Serialize)]
pub struct NextRun {
    pub event_id: EventId,
    pub job_id: JobId,
    pub kind: EventKind,
    pub payload: Value,
    pub cause: Cause,
    pub depth: u32,
    /// Where it starts: at the step that asked.
    pub place: Place,
    /// Why it must not even start.
    pub error: Option<String>,
}

/// Writes down how an attempt ended, with what it leads to.
///
/// # Errors
/// [`StoreError::LeaseLost`], [`StoreError::Unavailable`].
pub async fn effect_finish(
    store: &Store,
    tenant: TenantId,
    at: DateTime<Utc>,
    end: &EffectEnd,
) -> Result<(), StoreError> {
    let mut lent = store.for_statement().await?;
    let finished = sqlx::query("select crm_effect_finish($1, $2, $3)")
        .bind(tenant.uuid())
        .bind(at)
        .bind(Json(end))
        .execute(lent.connection())
        .await;
    lent.give_back(finished)?;
    Ok(())
}

/// The same within a transaction.
///
/// # Errors
/// As [`effect_finish`].
pub async fn effect_finish_within(
    tx: &mut TenantTx,
    at: DateTime<Utc>,
    end: &EffectEnd,
) -> Result<(), StoreError> {
    sqlx::query("select crm_effect_finish($1, $2, $3)")
        .bind(tx.tenant_id().uuid())
        .bind(at)
        .bind(Json(end))
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// What became of an effect.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct EffectFate {
    pub job_id: Uuid,
    pub number: i32,
    pub kind: String,
    /// `waiting` (for the one before it), `queued`, `leased`, `done`, `dead` or `replaced`.
    pub state: String,
    pub attempts: i32,
    pub available_at: DateTime<Utc>,
    pub error: Option<String>,
    pub status: Option<i32>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    /// What a webhook is about.
    pub topic: Option<String>,
    /// What was heard of a mail after it was sent.
    pub feedback: Option<Json<Value>>,
}

/// The effects of one run, as it asked for them.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn effects_of_run(tx: &mut TenantTx, run: JobId) -> Result<Vec<EffectFate>, StoreError> {
    let fates = sqlx::query_as(
        "select job_id, number, kind, state, attempts, available_at, error, status, created_at,
            finished_at, effect ->> 'topic' as topic, feedback
        from crm_effects where tenant_id = $1 and job_id = $2
        order by number",
    )
    .bind(tx.tenant_id().uuid())
    .bind(run.uuid())
    .fetch_all(tx.connection())
    .await?;
    Ok(fates)
}

/// A page of what was sent to an endpoint, newest first.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn effects_of_endpoint(
    tx: &mut TenantTx,
    endpoint: &str,
    before: Option<(JobId, i32)>,
    limit: u32,
) -> Result<Vec<EffectFate>, StoreError> {
    let (job, number) = before.map_or((Uuid::max(), i32::MAX), |(job, number)| {
        (job.uuid(), number)
    });
    let fates = sqlx::query_as(
        "select job_id, number, kind, state, attempts, available_at, error, status, created_at,
            finished_at, effect ->> 'topic' as topic, feedback
        from crm_effects
        where tenant_id = $1 and kind = 'webhook' and target = $2 and (job_id, number) < ($3, $4)
        order by job_id desc, number desc
        limit $5",
    )
    .bind(tx.tenant_id().uuid())
    .bind(endpoint)
    .bind(job)
    .bind(number)
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    Ok(fates)
}

/// Sends messages to an endpoint once more: those that are named, and those that failed since a
/// time. How many, at most `limit`.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn effects_redeliver(
    tx: &mut TenantTx,
    endpoint: &str,
    at: DateTime<Utc>,
    (named, since): (&[(JobId, i32)], Option<DateTime<Utc>>),
    limit: usize,
) -> Result<i32, StoreError> {
    let (jobs, numbers): (Vec<Uuid>, Vec<i32>) = named
        .iter()
        .map(|(job, number)| (job.uuid(), *number))
        .unzip();
    let count = sqlx::query_scalar("select crm_webhook_redeliver($1, $2, $3, $4, $5, $6, $7)")
        .bind(tx.tenant_id().uuid())
        .bind(endpoint)
        .bind(at)
        .bind(jobs)
        .bind(numbers)
        .bind(since)
        .bind(i32::try_from(limit).unwrap_or(i32::MAX))
        .fetch_one(tx.connection())
        .await?;
    Ok(count)
}
