//! Long work that requests ask for: imports, building indexes, removing values. A task is leased
//! like a job, and done in steps that keep their place.

use chrono::{DateTime, Utc};
use crm_model::UserId;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// What a task is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TaskSpec {
    /// A CSV file to records.
    Import(serde_json::Value),
    /// Brings index rows, unique values, words and computed fields of a module's records in line
    /// with the model; then the fields are no longer `building`.
    Reindex {
        module: crm_model::ModuleSlug,
        fields: Vec<crm_model::FieldKey>,
    },
    /// Takes the values of a deleted field out of a module's records.
    FieldRemove {
        module: crm_model::ModuleSlug,
        field: crm_model::FieldKey,
    },
    /// Takes away all that is left of a deleted module: its records, deleted ones too, with
    /// their index rows, unique values and words.
    ModuleRemove { module: crm_model::ModuleSlug },
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
