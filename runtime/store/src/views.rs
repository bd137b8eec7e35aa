//! Saved views. Who may see or change one is the engine's to say.

use chrono::{DateTime, Utc};
use crm_model::view::ViewDefinition;
use crm_model::{ModuleSlug, UserId, ViewId};
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// A view as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub id: ViewId,
    pub definition: ViewDefinition,
    pub created_at: DateTime<Utc>,
    pub created_by: UserId,
    pub updated_at: DateTime<Utc>,
    pub updated_by: UserId,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    definition: Json<ViewDefinition>,
    created_at: DateTime<Utc>,
    created_by: String,
    updated_at: DateTime<Utc>,
    updated_by: String,
}

impl TryFrom<Row> for View {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let user = |text: String| {
            UserId::try_from(text).map_err(|error| StoreError::corrupt("user id", error))
        };
        Ok(Self {
            id: ViewId::new(row.id),
            definition: row.definition.0,
            created_at: row.created_at,
            created_by: user(row.created_by)?,
            updated_at: row.updated_at,
            updated_by: user(row.updated_by)?,
        })
    }
}

/// A page of the views of these modules that are shared or the user's own, newest first: those
/// before `before`, or from the start.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
pub async fn views_page(
    tx: &mut TenantTx,
    modules: &[&ModuleSlug],
    user: &UserId,
    before: Option<ViewId>,
    limit: u32,
) -> Result<Vec<View>, StoreError> {
    let modules: Vec<&str> = modules.iter().map(|module| module.as_str()).collect();
    let rows: Vec<Row> = sqlx::query_as(
        "select id, definition, created_at, created_by, updated_at, updated_by
        from crm_views
        where tenant_id = $1 and module_slug = any($2) and (shared or created_by = $3)
            and id < $4
        order by id desc
        limit $5",
    )
    .bind(tx.tenant_id().uuid())
    .bind(modules)
    .bind(user.as_str())
    .bind(before.map_or(Uuid::max(), ViewId::uuid))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(View::try_from).collect()
}

/// How many views of these modules are shared or the user's own; counts no further than `most`
/// and one more.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn views_count(
    tx: &mut TenantTx,
    modules: &[&ModuleSlug],
    user: &UserId,
    most: i64,
) -> Result<i64, StoreError> {
    let modules: Vec<&str> = modules.iter().map(|module| module.as_str()).collect();
    let count = sqlx::query_scalar(
        "select count(*) from (
            select from crm_views
            where tenant_id = $1 and module_slug = any($2) and (shared or created_by = $3)
            limit $4) as counted",
    )
    .bind(tx.tenant_id().uuid())
    .bind(modules)
    .bind(user.as_str())
    .bind(most + 1)
    .fetch_one(tx.connection())
    .await?;
    Ok(count)
}

/// One view; with `lock`, others wait to change it until this transaction ends.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
pub async fn view_read(
    tx: &mut TenantTx,
    view: ViewId,
    lock: bool,
) -> Result<Option<View>, StoreError> {
    let statement = match lock {
        true => {
            "select id, definition, created_at, created_by, updated_at, updated_by
            from crm_views where tenant_id = $1 and id = $2 for update"
        }
        false => {
            "select id, definition, created_at, created_by, updated_at, updated_by
            from crm_views where tenant_id = $1 and id = $2"
        }
    };
    let row: Option<Row> = sqlx::query_as(statement)
        .bind(tx.tenant_id().uuid())
        .bind(view.uuid())
        .fetch_optional(tx.connection())
        .await?;
    row.map(View::try_from).transpose()
}

/// How many views a user keeps.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn views_count_of(tx: &mut TenantTx, user: &UserId) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar(
        "select count(*) from crm_views where tenant_id = $1 and created_by = $2",
    )
    .bind(tx.tenant_id().uuid())
    .bind(user.as_str())
    .fetch_one(tx.connection())
    .await?;
    Ok(count)
}

/// Writes a view: a new one, or over the one that is there, whose creator stays.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn view_put(tx: &mut TenantTx, view: &View) -> Result<(), StoreError> {
    sqlx::query(
        "insert into crm_views (
            tenant_id, id, module_slug, shared, definition, created_at, created_by, updated_at,
            updated_by)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict (tenant_id, id) do update
        set shared = excluded.shared, definition = excluded.definition,
            updated_at = excluded.updated_at, updated_by = excluded.updated_by",
    )
    .bind(tx.tenant_id().uuid())
    .bind(view.id.uuid())
    .bind(view.definition.module.as_str())
    .bind(view.definition.shared)
    .bind(Json(&view.definition))
    .bind(view.created_at)
    .bind(view.created_by.as_str())
    .bind(view.updated_at)
    .bind(view.updated_by.as_str())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes a view away.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn view_delete(tx: &mut TenantTx, view: ViewId) -> Result<(), StoreError> {
    sqlx::query("delete from crm_views where tenant_id = $1 and id = $2")
        .bind(tx.tenant_id().uuid())
        .bind(view.uuid())
        .execute(tx.connection())
        .await?;
    Ok(())
}
