//! Writing: the one statement behind the one door. It takes only [`ValidChange`]s, which only
//! the model can make, and writes everything that follows from them in one transaction and one
//! round trip (migrations/0118_commit.sql).

use chrono::{DateTime, Utc};
use crm_model::activity::{ActivityContent, ActivityKind};
use crm_model::derived::{Derived, Entry};
use crm_model::flow::Place;
use crm_model::{
    ActivityId, Actor, Cause, Data, EventId, FieldKey, JobId, Lane, ModuleSlug, Mutation,
    PluginName, Priority, RecordId, RunId, RunSource, StepName, TenantId, UserId, ValidChange,
};
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::activities::Activity;
use crate::effects::NewEffect;
use crate::error::StoreError;
use crate::receipts::Receipt;
use crate::store::Store;
use crate::tenant_tx::TenantTx;

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
    pub changes: Vec<Change<'a>>,
    /// Index rows that nothing may have afterwards: who points to what goes.
    pub clear: &'a [Entry],
    pub jobs: &'a [NewJob],
    pub activities: &'a [ActivityRow],
    /// The job whose result this is.
    pub completion: Option<Completion>,
    /// The answer to keep for the same request.
    pub receipt: Option<Receipt>,
}

/// A change, the event that it leaves behind, and what follows from it.
#[derive(Clone, Debug)]
pub struct Change<'a> {
    pub event: EventId,
    pub change: &'a ValidChange,
    pub derived: &'a Derived,
    /// Records that it newly points to.
    pub references: Vec<(&'a ModuleSlug, RecordId)>,
}

/// A run that an event starts.
#[derive(Clone, Debug, Serialize)]
pub struct NewJob {
    pub id: JobId,
    pub workflow: RunSource,
    /// The version of the workflow; none where there is but one.
    pub version: Option<u32>,
    pub event_id: EventId,
    pub module: ModuleSlug,
    pub record_id: RecordId,
    #[serde(serialize_with = "priority", skip_serializing_if = "is_normal")]
    pub priority: Priority,
    /// What limits it, as far as that is known yet.
    #[serde(skip_serializing_if = "Lane::is_free")]
    pub lane: Lane,
    /// Whether it stands in its record's line.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_line: bool,
    /// Why it must not even start: such a job is born dead, for people to see.
    pub error: Option<String>,
    /// Whether it is the next of another.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
    /// The job that starts once this one has ended its first attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<JobId>,
}

fn is_normal(priority: &Priority) -> bool {
    *priority == Priority::Normal
}

fn priority<S: Serializer>(priority: &Priority, serializer: S) -> Result<S::Ok, S::Error> {
    priority.number().serialize(serializer)
}

/// A timeline entry.
#[derive(Clone, Debug, Serialize)]
pub struct ActivityRow {
    pub id: ActivityId,
    pub module: ModuleSlug,
    pub record_id: RecordId,
    pub kind: ActivityKind,
    #[serde(flatten)]
    pub content: ActivityContent,
}

impl ActivityRow {
    /// The entry as it stands there after the commit.
    pub fn activity(&self, actor: &Actor, cause: &Cause, at: DateTime<Utc>) -> Activity {
        let by = actor.user_id.to_string();
        Activity {
            id: self.id,
            module: self.module.clone(),
            record_id: self.record_id,
            kind: self.kind.clone(),
            content: self.content.clone(),
            done: None,
            at: self.content.occurred_at.unwrap_or(at),
            created_at: at,
            created_by: by.clone(),
            updated_at: at,
            updated_by: by,
            cause: serde_json::to_value(cause).unwrap_or_default(),
        }
    }
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
    /// Where the run stands, if that is elsewhere than before: then it has come a step further,
    /// and its attempts count anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What it hands to the run that called it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Value>,
    /// What the run asks for beyond records.
    pub effects: Vec<NewEffect>,
    /// None where nothing was called.
    pub log: Option<AttemptLog>,
    /// Values that the run keeps.
    pub keeps: Vec<StateWrite>,
    pub root: Option<RootTotal>,
}

/// A value that a run keeps; none: it is gone.
#[derive(Clone, Debug, Serialize)]
pub struct StateWrite {
    pub plugin: PluginName,
    pub key: String,
    /// JSON text.
    pub value: Option<String>,
    /// As the run read it; 0: there was none.
    pub expected_version: i64,
}

/// What a run adds to what its root event led to.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RootTotal {
    pub event_id: EventId,
    pub mutations: usize,
    /// Beyond which the commit is refused.
    pub limit: u32,
}

/// What the run log keeps of an attempt.
#[derive(Clone, Debug, Serialize)]
pub struct AttemptLog {
    pub id: RunId,
    pub workflow: RunSource,
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
    pub error: Option<String>,
    pub started_at: DateTime<Utc>,
    /// The step that it was for.
    pub step: Option<StepName>,
}

/// Changes side by side, as crm_commit takes them.
#[derive(Default)]
struct Changes<'a> {
    kinds: Vec<&'static str>,
    modules: Vec<&'a str>,
    records: Vec<Uuid>,
    base_versions: Vec<i64>,
    events: Vec<Uuid>,
    before: Vec<Option<Json<&'a Data>>>,
    after: Vec<Option<Json<&'a Data>>>,
    changed_fields: Vec<Json<&'a [FieldKey]>>,
    changed_before: Vec<Option<Json<Data>>>,
    /// None for a new record: there it is all of `after`.
    changed_after: Vec<Option<Json<Data>>>,
    owners: Vec<Option<&'a str>>,
    reference_modules: Vec<&'a str>,
    reference_records: Vec<Uuid>,
    text_modules: Vec<&'a str>,
    text_records: Vec<Uuid>,
    text_before: Vec<&'a str>,
    text_after: Vec<&'a str>,
}

impl<'a> Changes<'a> {
    fn of(changes: &'a [Change<'a>]) -> Self {
        let mut rows = Self::default();
        for change in changes {
            rows.push(change);
        }
        rows
    }

    fn push(&mut self, row: &'a Change<'a>) {
        let change = row.change;
        let (before, after) = (change.before(), change.after());
        self.kinds.push(change.kind().name());
        self.modules.push(change.module().as_str());
        self.records.push(change.record_id().uuid());
        self.base_versions.push(change.base_version());
        self.events.push(row.event.uuid());
        self.before.push(before.map(Json));
        self.after.push(after.map(Json));
        self.changed_fields.push(Json(change.changed()));
        let only = |data: &Data| Json(only(data, change.changed()));
        self.changed_before.push(before.map(only));
        self.changed_after.push(before.and(after).map(only));
        self.owners.push(change.owner().map(UserId::as_str));
        for (module, record) in &row.references {
            self.reference_modules.push(module.as_str());
            self.reference_records.push(record.uuid());
        }
        if let Some((old, new)) = &row.derived.text {
            self.text_modules.push(change.module().as_str());
            self.text_records.push(change.record_id().uuid());
            self.text_before.push(old);
            self.text_after.push(new);
        }
    }
}

fn only(data: &Data, fields: &[FieldKey]) -> Data {
    fields
        .iter()
        .filter_map(|field| Some((field.to_string(), data.get(field.as_str())?.clone())))
        .collect()
}

/// Derived rows side by side.
struct Entries<'a> {
    slots: Vec<&'a str>,
    keys: Vec<&'a str>,
    records: Vec<Uuid>,
}

impl<'a> Entries<'a> {
    /// In one order, so that two commits which touch the same rows wait for each other instead
    /// of standing in each other's way.
    fn of(changes: &'a [Change<'a>], pick: impl Fn(&'a Derived) -> &'a [Entry]) -> Self {
        let mut rows: Vec<(&Entry, Uuid)> = changes
            .iter()
            .flat_map(|row| {
                let record = row.change.record_id().uuid();
                pick(row.derived).iter().map(move |entry| (entry, record))
            })
            .collect();
        rows.sort();
        rows.dedup();
        let mut entries = Self {
            slots: Vec::with_capacity(rows.len()),
            keys: Vec::with_capacity(rows.len()),
            records: Vec::with_capacity(rows.len()),
        };
        for (entry, record) in rows {
            entries.slots.push(&entry.slot);
            entries.keys.push(&entry.key);
            entries.records.push(record);
        }
        entries
    }
}

/// Nothing to do costs the statement nothing.
fn some<T>(rows: Vec<T>) -> Option<Vec<T>> {
    (!rows.is_empty()).then_some(rows)
}

/// Writes all of it, or nothing, as a transaction of its own.
///
/// # Errors
/// [`StoreError::StaleModel`], [`StoreError::StaleRecords`], [`StoreError::LeaseLost`],
/// [`StoreError::Taken`], [`StoreError::MissingReferences`], [`StoreError::StillReferenced`],
/// [`StoreError::KeyUsed`], [`StoreError::Unavailable`] (then it is unknown whether it was
/// written).
pub async fn commit(store: &Store, commit: &Commit<'_>) -> Result<(), StoreError> {
    let mut lent = store.for_statement().await?;
    let written = execute(lent.connection(), commit).await;
    lent.give_back(written)
}

/// Writes it within a transaction.
///
/// # Errors
/// As [`commit`]; the transaction is of no use then, beyond its last savepoint.
pub async fn commit_within(tx: &mut TenantTx, commit: &Commit<'_>) -> Result<(), StoreError> {
    Ok(execute(tx.connection(), commit).await?)
}

/// Writes the end of an attempt alone, within a transaction.
///
/// # Errors
/// [`StoreError::LeaseLost`].
pub async fn complete_within(
    tx: &mut TenantTx,
    at: DateTime<Utc>,
    completion: &Completion,
) -> Result<(), StoreError> {
    sqlx::query("select crm_job_complete($1, $2, $3)")
        .bind(tx.tenant_id().uuid())
        .bind(at)
        .bind(Json(completion))
        .execute(tx.connection())
        .await?;
    Ok(())
}

async fn execute(connection: &mut PgConnection, commit: &Commit<'_>) -> Result<(), sqlx::Error> {
    let rows = Changes::of(&commit.changes);
    let unindex = Entries::of(&commit.changes, |derived| &derived.unindex);
    let index = Entries::of(&commit.changes, |derived| &derived.index);
    let release = Entries::of(&commit.changes, |derived| &derived.release);
    let claim = Entries::of(&commit.changes, |derived| &derived.claim);
    let clear = |part: fn(&Entry) -> &String| some(commit.clear.iter().map(part).collect());
    sqlx::query(
        "select crm_commit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
            $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33,
            $34, $35, $36, $37, $38, $39, $40)",
    )
    .bind(commit.tenant.uuid())
    .bind(commit.model_version)
    .bind(commit.at)
    .bind(Json(commit.actor))
    .bind(Json(commit.cause))
    .bind(i32::try_from(commit.depth).unwrap_or(i32::MAX))
    .bind(some(rows.kinds))
    .bind(some(rows.modules))
    .bind(some(rows.records))
    .bind(some(rows.base_versions))
    .bind(some(rows.events))
    .bind(some(rows.before))
    .bind(some(rows.after))
    .bind(some(rows.changed_fields))
    .bind(some(rows.changed_before))
    .bind(some(rows.changed_after))
    .bind(some(rows.reference_modules))
    .bind(some(rows.reference_records))
    .bind(some(unindex.slots))
    .bind(some(unindex.keys))
    .bind(some(unindex.records))
    .bind(some(index.slots))
    .bind(some(index.keys))
    .bind(some(index.records))
    .bind(some(release.slots))
    .bind(some(release.keys))
    .bind(some(claim.slots))
    .bind(some(claim.keys))
    .bind(some(claim.records))
    .bind(some(rows.text_modules))
    .bind(some(rows.text_records))
    .bind(some(rows.text_before))
    .bind(some(rows.text_after))
    .bind(clear(|entry| &entry.slot))
    .bind(clear(|entry| &entry.key))
    .bind((!commit.jobs.is_empty()).then_some(Json(commit.jobs)))
    .bind((!commit.activities.is_empty()).then_some(Json(commit.activities)))
    .bind(commit.completion.as_ref().map(Json))
    .bind(commit.receipt.as_ref().map(Json))
    .bind(some(rows.owners))
    .execute(connection)
    .await?;
    Ok(())
}
