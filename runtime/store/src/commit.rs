//! Writing: the one statement behind the one door. It takes only [`ValidChange`]s, which only
//! the model can make, and writes everything that follows from them in one transaction and one
//! round trip (migrations/0016_commit.sql).

use chrono::{DateTime, Utc};
use crm_model::mutation::ActivityKind;
use crm_model::{
    ActivityId, Actor, Cause, Data, EventId, FieldKey, JobId, ModuleSlug, Mutation, RecordId,
    RunId, TenantId, ValidChange, WorkflowSlug,
};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;
use crate::store::Store;

/// Everything that one write does.
#[derive(Clone, Debug)]
pub struct Commit<'a> {
    pub tenant: TenantId,
    /// The model that the changes were checked against.
    pub model_version: i64,
    pub at: DateTime<Utc>,
    pub actor: &'a Actor,
    pub cause: &'a Cause,
    pub depth: u32,
    /// At most one for each record.
    pub changes: Vec<(EventId, &'a ValidChange)>,
    pub jobs: Vec<NewJob>,
    pub activities: Vec<ActivityRow>,
    /// The job whose result this is.
    pub completion: Option<Completion>,
}

/// A workflow that an event starts.
#[derive(Clone, Debug, Serialize)]
pub struct NewJob {
    pub id: JobId,
    pub workflow: WorkflowSlug,
    pub event_id: EventId,
    pub module: ModuleSlug,
    pub record_id: RecordId,
    /// Why it must not even start: such a job is born dead, for people to see.
    pub error: Option<String>,
}

/// A timeline entry.
#[derive(Clone, Debug, Serialize)]
pub struct ActivityRow {
    pub id: ActivityId,
    pub module: ModuleSlug,
    pub record_id: RecordId,
    pub kind: ActivityKind,
    pub title: String,
    pub body: Option<String>,
}

/// How a job went on after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Queued,
    Done,
    Dead,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptStatus {
    Done,
    Skipped,
    Failed,
}

/// The end of an attempt at a job. Refused unless the lease still holds.
#[derive(Clone, Debug, Serialize)]
pub struct Completion {
    pub job_id: JobId,
    pub lease_token: Uuid,
    pub state: JobState,
    /// When a job that goes back to the queue is due.
    pub available_at: Option<DateTime<Utc>>,
    pub error: Option<String>,
    pub log: AttemptLog,
}

/// What the run log keeps of an attempt.
#[derive(Clone, Debug, Serialize)]
pub struct AttemptLog {
    pub id: RunId,
    pub workflow: WorkflowSlug,
    pub attempt: i32,
    pub status: AttemptStatus,
    /// The event as the first step's plugin saw it.
    pub input: Box<RawValue>,
    pub steps: serde_json::Value,
    pub mutations: Vec<Mutation>,
    /// Units, all steps together.
    pub fuel: u64,
    /// The largest linear memory of a step.
    pub memory_bytes: usize,
    pub duration_us: u64,
    pub started_at: DateTime<Utc>,
}

#[derive(Serialize)]
struct ChangeRow<'a> {
    event_id: EventId,
    kind: &'static str,
    module: &'a ModuleSlug,
    record_id: RecordId,
    base_version: i64,
    before: Option<&'a Data>,
    after: Option<&'a Data>,
    changed_fields: &'a [FieldKey],
    changed_before: Option<Data>,
    /// None for a new record: there it is all of `after`.
    changed_after: Option<Data>,
}

impl<'a> ChangeRow<'a> {
    fn new(event_id: EventId, change: &'a ValidChange) -> Self {
        let (before, after) = (change.before(), change.after());
        Self {
            event_id,
            kind: change.kind().name(),
            module: change.module(),
            record_id: change.record_id(),
            base_version: change.base_version(),
            before,
            after,
            changed_fields: change.changed(),
            changed_before: before.map(|data| only(data, change.changed())),
            changed_after: before.and(after).map(|data| only(data, change.changed())),
        }
    }
}

fn only(data: &Data, fields: &[FieldKey]) -> Data {
    fields
        .iter()
        .filter_map(|field| Some((field.to_string(), data.get(field.as_str())?.clone())))
        .collect()
}

fn some<T>(rows: Vec<T>) -> Option<Json<Vec<T>>> {
    if rows.is_empty() {
        None
    } else {
        Some(Json(rows))
    }
}

/// Writes all of it, or nothing.
///
/// # Errors
/// [`StoreError::StaleModel`], [`StoreError::StaleRecord`], [`StoreError::LeaseLost`],
/// [`StoreError::Unavailable`] (then it is unknown whether it was written).
pub async fn commit(store: &Store, commit: Commit<'_>) -> Result<(), StoreError> {
    let changes: Vec<ChangeRow<'_>> = commit
        .changes
        .iter()
        .map(|(event, change)| ChangeRow::new(*event, change))
        .collect();
    sqlx::query("select crm_commit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
        .bind(commit.tenant.uuid())
        .bind(commit.model_version)
        .bind(commit.at)
        .bind(Json(commit.actor))
        .bind(Json(commit.cause))
        .bind(i32::try_from(commit.depth).unwrap_or(i32::MAX))
        .bind(some(changes))
        .bind(some(commit.jobs))
        .bind(some(commit.activities))
        .bind(commit.completion.map(Json))
        .execute(store.statements())
        .await?;
    Ok(())
}
