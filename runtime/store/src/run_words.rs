//! What people do to runs: they are tried again, go on behind a step that failed, or end. One or
//! many, by the same statements; each changes only those that stand where its word applies.

use chrono::{DateTime, Utc};
use crm_model::flow::Place;
use crm_model::{JobId, RunSource, StepName};
use serde_json::json;
use sqlx::types::Json;
use uuid::Uuid;

use crate::commit::JobState;
use crate::error::StoreError;
use crate::jobs::amount;
use crate::runs::{RunFilter, bind_filter, late_seconds, run_matches, run_rooms, run_stuck};
use crate::tenant_tx::TenantTx;

/// Where runs stand that somebody has a word for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Dead, and had begun.
    Dead,
    /// Not ended.
    Open,
}

/// The runs of a filter that stand there, oldest first, behind that place. `running`: how many a
/// tenant may have under way, unless something else was set for it.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn run_ids(
    tx: &mut TenantTx,
    (filter, standing): (&RunFilter, Standing),
    (after, limit): (Option<JobId>, u32),
    running: Option<u64>,
) -> Result<Vec<JobId>, StoreError> {
    let dead = concat!(
        "select id from crm_jobs where id > $2 and state = 'dead' and attempts > 0 and ",
        run_matches!(),
        " order by id limit $3"
    );
    // Few among many that ended, as a rule: out of their indexes, and sorted then.
    let open = concat!(
        "with open as materialized (
            select tenant_id, id, workflow_slug, state, record_id, module_slug, created_at, error
            from crm_jobs where tenant_id = $1 and state in ('queued', 'leased')
            union all
            select tenant_id, id, workflow_slug, state, record_id, module_slug, created_at, error
            from crm_jobs where tenant_id = $1 and state = 'waiting'
        )
        select id from open where id > $2 and ",
        run_matches!(),
        " order by id limit $3"
    );
    let stuck = concat!(
        run_stuck!(),
        " select id from stuck where id > $2 and not exists (select from resting) and ",
        run_matches!(),
        " order by id limit $3"
    );
    let (text, is_stuck) = match (standing, filter.is_stuck) {
        // What is dead is over, not stuck.
        (Standing::Dead, true) => return Ok(Vec::new()),
        (Standing::Dead, false) => (dead, false),
        (Standing::Open, false) => (open, false),
        (Standing::Open, true) => (stuck, true),
    };
    let place = after.map_or(Uuid::nil(), JobId::uuid);
    let place = (tx.tenant_id().uuid(), place, limit);
    let mut query = bind_filter(sqlx::query_as(text), place, (filter, None));
    if is_stuck {
        query = query.bind(late_seconds()).bind(running.map(amount));
    }
    let ids: Vec<(Uuid,)> = query.fetch_all(tx.connection()).await?;
    Ok(ids.into_iter().map(|(id,)| JobId::new(id)).collect())
}

fn uuids(runs: &[JobId]) -> Vec<Uuid> {
    runs.iter().map(|run| run.uuid()).collect()
}

/// Puts dead runs back into the queue: each goes on at the step that failed. Those that it was done
/// to: not what is not dead, or never began.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn runs_retry(
    tx: &mut TenantTx,
    runs: &[JobId],
    at: DateTime<Utc>,
) -> Result<Vec<JobId>, StoreError> {
    let done: Vec<(Uuid,)> = sqlx::query_as(
        "update crm_jobs
        set state = 'queued', attempts = 0, failures = 0, available_at = $3, error = null,
            finished_at = null, line = case when line is not null then 'open' end
        where tenant_id = $1 and id = any($2) and state = 'dead' and attempts > 0
        returning id",
    )
    .bind(tx.tenant_id().uuid())
    .bind(uuids(runs))
    .bind(at)
    .fetch_all(tx.connection())
    .await?;
    Ok(done.into_iter().map(|(id,)| JobId::new(id)).collect())
}

/// Ends runs that have not ended. What is under way commits nothing any more. What waits for its turn
/// behind one of them may go, or waits for what that one waited for. Those that it was done to.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn runs_cancel(
    tx: &mut TenantTx,
    runs: &[JobId],
    at: DateTime<Utc>,
    reason: &str,
) -> Result<Vec<JobId>, StoreError> {
    let done: Vec<(Uuid,)> = sqlx::query_as("select crm_jobs_cancel($1, $2, $3, $4)")
        .bind(tx.tenant_id().uuid())
        .bind(uuids(runs))
        .bind(at)
        .bind(reason)
        .fetch_all(tx.connection())
        .await?;
    Ok(done.into_iter().map(|(id,)| JobId::new(id)).collect())
}

/// The runs that these called and that have not ended.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn runs_called(tx: &mut TenantTx, by: &[JobId]) -> Result<Vec<JobId>, StoreError> {
    let called: Vec<(Uuid,)> = sqlx::query_as(
        "select id from crm_jobs
        where tenant_id = $1 and parent_job_id = any($2)
            and state in ('waiting', 'queued', 'leased')",
    )
    .bind(tx.tenant_id().uuid())
    .bind(uuids(by))
    .fetch_all(tx.connection())
    .await?;
    Ok(called.into_iter().map(|(id,)| JobId::new(id)).collect())
}

/// How a dead run stands, and the last entry of its log.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct DeadRun {
    pub id: Uuid,
    /// When it died; another time if it died again.
    pub finished_at: DateTime<Utc>,
    pub error: Option<String>,
    /// The step of the last attempt; none where it came to none.
    pub step: Option<String>,
    /// How that ended.
    pub status: String,
}

/// Those of these runs that are dead, and had begun.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn dead_runs(tx: &mut TenantTx, runs: &[JobId]) -> Result<Vec<DeadRun>, StoreError> {
    let found = sqlx::query_as(
        "select j.id, j.finished_at, j.error, l.step, l.status
        from crm_jobs j
        cross join lateral (
            select l.step, l.status from crm_workflow_logs l
            where l.tenant_id = $1 and l.job_id = j.id
            order by l.id desc
            limit 1
        ) l
        where j.tenant_id = $1 and j.id = any($2) and j.state = 'dead' and j.attempts > 0
        order by j.id",
    )
    .bind(tx.tenant_id().uuid())
    .bind(uuids(runs))
    .fetch_all(tx.connection())
    .await?;
    Ok(found)
}

/// A dead run that goes on behind the step that failed.
#[derive(Clone, Debug)]
pub struct SkippedRun {
    pub run: JobId,
    /// When it had died, as it was found.
    pub died_at: DateTime<Utc>,
    pub workflow: RunSource,
    pub attempt: i32,
    pub step: StepName,
    /// Queued, or done where nothing follows.
    pub state: JobState,
    pub place: Option<Place>,
    /// When it goes on; none: at once.
    pub available_at: Option<DateTime<Utc>>,
    /// Of the entry in the log: who said so, and why the step had failed.
    pub reason: String,
}

/// Has a dead run go on behind the step that failed, and writes down in its log who said so. False
/// where it stands elsewhere by now.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn run_skip(
    tx: &mut TenantTx,
    skipped: &SkippedRun,
    (entry, by, at): (Uuid, &str, DateTime<Utc>),
) -> Result<bool, StoreError> {
    let is_done = skipped.state == JobState::Done;
    let done = sqlx::query(
        "update crm_jobs
        set state = case when $4 then 'done' else 'queued' end,
            attempts = case when $4 then attempts else 0 end, failures = 0,
            place = coalesce($5, place), available_at = coalesce($6, $7), error = null,
            finished_at = case when $4 then $7 end,
            line = case when line is not null then 'open' end
        where tenant_id = $1 and id = $2 and state = 'dead' and finished_at = $3",
    )
    .bind(tx.tenant_id().uuid())
    .bind(skipped.run.uuid())
    .bind(skipped.died_at)
    .bind(is_done)
    .bind(skipped.place.as_ref().map(Json))
    .bind(skipped.available_at)
    .bind(at)
    .execute(tx.connection())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "insert into crm_workflow_logs (
            tenant_id, id, job_id, workflow_slug, attempt, status, input, steps, mutations, fuel,
            memory_bytes, duration_us, error, started_at, step)
        values ($1, $2, $3, $4, $5, 'skipped', $6, '[]', '[]', 0, 0, 0, $7, $8, $9)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(entry)
    .bind(skipped.run.uuid())
    .bind(skipped.workflow.to_string())
    .bind(skipped.attempt)
    .bind(Json(json!({ "skipped_by": by })))
    .bind(&skipped.reason)
    .bind(at)
    .bind(skipped.step.as_str())
    .execute(tx.connection())
    .await?;
    Ok(true)
}
