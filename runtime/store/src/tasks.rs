//! Long work that requests ask for: imports, building indexes, removing values. A task is leased
//! like a job, and done in steps that keep their place. Whoever lost the lease writes nothing.

use chrono::{DateTime, Utc};
use crm_model::import::ImportPlan;
use crm_model::{FieldKey, ModuleSlug, TaskId, TenantId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;
use crate::store::Store;
use crate::tenant_tx::TenantTx;

/// What a task is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TaskSpec {
    /// A CSV file to records.
    Import(Box<ImportPlan>),
    /// Brings index rows, unique values, words and computed fields of a module's records in line
    /// with the model; then the fields are no longer `building`.
    Reindex {
        module: ModuleSlug,
        fields: Vec<FieldKey>,
        /// Whether words may be left that no longer follow, so that all of the module's are
        /// looked at.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        words: bool,
    },
    /// Takes the values of a deleted field out of a module's records.
    FieldRemove { module: ModuleSlug, field: FieldKey },
    /// Takes away all that is left of a deleted module: its records, deleted ones too, with
    /// their index rows, unique values and words.
    ModuleRemove { module: ModuleSlug },
}

impl TaskSpec {
    /// The kind's name in the store.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Import(_) => "import",
            Self::Reindex { .. } => "reindex",
            Self::FieldRemove { .. } => "field_remove",
            Self::ModuleRemove { .. } => "module_remove",
        }
    }

    /// The module whose records it is about.
    pub fn module(&self) -> &ModuleSlug {
        match self {
            Self::Import(plan) => &plan.module,
            Self::Reindex { module, .. }
            | Self::FieldRemove { module, .. }
            | Self::ModuleRemove { module } => module,
        }
    }
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskStatus {
    Queued,
    Running,
    Done,
    Failed,
    Cancelled,
}

impl TaskStatus {
    const ALL: [Self; 5] = [
        Self::Queued,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The status's name, in JSON and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// A task as it is stored.
#[derive(Clone, Debug)]
pub struct Task {
    pub id: TaskId,
    pub spec: TaskSpec,
    pub status: TaskStatus,
    /// The kind's own form.
    pub state: Value,
    /// Why it failed, for people.
    pub error: Option<String>,
    /// Times that it was taken since it last came a step further.
    pub attempts: i32,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    pub updated_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    spec: Json<TaskSpec>,
    status: String,
    state: Json<Value>,
    error: Option<String>,
    attempts: i32,
    created_at: DateTime<Utc>,
    created_by: String,
    updated_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for Task {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let status = TaskStatus::ALL
            .into_iter()
            .find(|status| status.name() == row.status)
            .ok_or_else(|| StoreError::corrupt("task status", &row.status))?;
        Ok(Self {
            id: TaskId::new(row.id),
            spec: row.spec.0,
            status,
            state: row.state.0,
            error: row.error,
            attempts: row.attempts,
            created_at: row.created_at,
            created_by: row.created_by,
            updated_at: row.updated_at,
            finished_at: row.finished_at,
        })
    }
}

/// Queues a task, in the transaction of what asks for it.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn task_insert(
    tx: &mut TenantTx,
    id: Uuid,
    spec: &TaskSpec,
    at: DateTime<Utc>,
    by: &UserId,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into crm_tasks (
            tenant_id, id, kind, spec, status, available_at, created_at, created_by, updated_at)
        values ($1, $2, $3, $4, 'queued', $5, $5, $6, $5)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(id)
    .bind(spec.name())
    .bind(Json(spec))
    .bind(at)
    .bind(by.as_str())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes the task that is due longest, of any tenant. It is the caller's until `until`.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn task_lease(
    store: &Store,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    token: Uuid,
) -> Result<Option<(TenantId, TaskId)>, StoreError> {
    let mut lent = store.for_statement().await?;
    let row = sqlx::query_as("select tenant_id, task_id from crm_tasks_lease($1, $2, $3)")
        .bind(now)
        .bind(until)
        .bind(token)
        .fetch_optional(lent.connection())
        .await;
    let row: Option<(Uuid, Uuid)> = lent.give_back(row)?;
    Ok(row.map(|(tenant, task)| (TenantId::new(tenant), TaskId::new(task))))
}

/// One task.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
pub async fn task_read(tx: &mut TenantTx, id: TaskId) -> Result<Option<Task>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "select id, spec, status, state, error, attempts, created_at, created_by, updated_at,
            finished_at
        from crm_tasks where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant_id().uuid())
    .bind(id.uuid())
    .fetch_optional(tx.connection())
    .await?;
    row.map(Task::try_from).transpose()
}

/// A page of tasks, newest first; only those that `by` asked for, where given.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
pub async fn tasks_page(
    tx: &mut TenantTx,
    by: Option<&UserId>,
    before: Option<TaskId>,
    limit: u32,
) -> Result<Vec<Task>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, spec, status, state, error, attempts, created_at, created_by, updated_at,
            finished_at
        from crm_tasks
        where tenant_id = $1 and id < $2 and ($3::text is null or created_by = $3)
        order by id desc
        limit $4",
    )
    .bind(tx.tenant_id().uuid())
    .bind(before.map_or(Uuid::max(), TaskId::uuid))
    .bind(by.map(UserId::as_str))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Task::try_from).collect()
}

/// Keeps the place of a task after a step, in the step's transaction, and holds it until `until`.
///
/// # Errors
/// [`StoreError::LeaseLost`]: somebody else has the task, or it was cancelled. Drop the step.
pub async fn task_step(
    tx: &mut TenantTx,
    id: TaskId,
    token: Uuid,
    state: &Value,
    at: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<(), StoreError> {
    let updated = sqlx::query(
        "update crm_tasks
        set state = $4, available_at = $6, attempts = 0, error = null, updated_at = $5
        where tenant_id = $1 and id = $2 and status = 'running' and lease_token = $3",
    )
    .bind(tx.tenant_id().uuid())
    .bind(id.uuid())
    .bind(token)
    .bind(Json(state))
    .bind(at)
    .bind(until)
    .execute(tx.connection())
    .await?;
    held(updated.rows_affected())
}

/// Holds a task for longer, while a step is under way.
///
/// # Errors
/// [`StoreError::LeaseLost`].
pub async fn task_extend(
    tx: &mut TenantTx,
    id: TaskId,
    token: Uuid,
    until: DateTime<Utc>,
) -> Result<(), StoreError> {
    let updated = sqlx::query(
        "update crm_tasks set available_at = $4
        where tenant_id = $1 and id = $2 and status = 'running' and lease_token = $3",
    )
    .bind(tx.tenant_id().uuid())
    .bind(id.uuid())
    .bind(token)
    .bind(until)
    .execute(tx.connection())
    .await?;
    held(updated.rows_affected())
}

/// Gives a task back, due at `due`: because of `error`, or because the runner stops.
///
/// # Errors
/// [`StoreError::LeaseLost`].
pub async fn task_release(
    tx: &mut TenantTx,
    id: TaskId,
    token: Uuid,
    due: DateTime<Utc>,
    error: Option<&str>,
) -> Result<(), StoreError> {
    let updated = sqlx::query(
        "update crm_tasks
        set status = 'queued', available_at = $4, lease_token = null, error = $5,
            -- An attempt that was merely interrupted does not count.
            attempts = case when $5::text is null then greatest(attempts - 1, 0) else attempts end
        where tenant_id = $1 and id = $2 and status = 'running' and lease_token = $3",
    )
    .bind(tx.tenant_id().uuid())
    .bind(id.uuid())
    .bind(token)
    .bind(due)
    .bind(error)
    .execute(tx.connection())
    .await?;
    held(updated.rows_affected())
}

/// Ends a task: done, or failed with `error`.
///
/// # Errors
/// [`StoreError::LeaseLost`].
pub async fn task_finish(
    tx: &mut TenantTx,
    id: TaskId,
    token: Uuid,
    error: Option<&str>,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let updated = sqlx::query(
        "update crm_tasks
        set status = case when $4::text is null then 'done' else 'failed' end,
            error = $4, lease_token = null, updated_at = $5, finished_at = $5
        where tenant_id = $1 and id = $2 and status = 'running' and lease_token = $3",
    )
    .bind(tx.tenant_id().uuid())
    .bind(id.uuid())
    .bind(token)
    .bind(error)
    .bind(at)
    .execute(tx.connection())
    .await?;
    held(updated.rows_affected())
}

/// Cancels a task that is not at its end; whether it was so. A runner in the middle of a step
/// loses its lease, and the step with it.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn task_cancel(
    tx: &mut TenantTx,
    id: TaskId,
    at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let updated = sqlx::query(
        "update crm_tasks
        set status = 'cancelled', lease_token = null, error = null, updated_at = $3,
            finished_at = $3
        where tenant_id = $1 and id = $2 and status in ('queued', 'running')",
    )
    .bind(tx.tenant_id().uuid())
    .bind(id.uuid())
    .bind(at)
    .execute(tx.connection())
    .await?;
    Ok(updated.rows_affected() > 0)
}

fn held(rows: u64) -> Result<(), StoreError> {
    match rows {
        0 => Err(StoreError::LeaseLost),
        _ => Ok(()),
    }
}
