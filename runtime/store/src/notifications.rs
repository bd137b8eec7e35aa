//! Notes to people, inside of the CRM: each sees their own.

use chrono::{DateTime, Utc};
use crm_model::{ModuleSlug, RunSource, UserId};
use uuid::Uuid;

use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// A note to one person.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Notification {
    pub id: Uuid,
    pub title: String,
    pub body: Option<String>,
    /// What sent it.
    pub workflow_slug: String,
    /// The record that it is about.
    pub module_slug: String,
    pub record_id: Uuid,
    pub created_at: DateTime<Utc>,
    pub read_at: Option<DateTime<Utc>>,
}

/// A note to several people.
#[derive(Clone, Debug)]
pub struct NewNotification<'a> {
    /// One id for each person.
    pub people: Vec<(Uuid, UserId)>,
    pub title: &'a str,
    pub body: Option<&'a str>,
    pub workflow: &'a RunSource,
    pub module: &'a ModuleSlug,
    pub record: Uuid,
    pub at: DateTime<Utc>,
}

/// Keeps a note for each of its people.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn notifications_insert(
    tx: &mut TenantTx,
    note: &NewNotification<'_>,
) -> Result<(), StoreError> {
    let (ids, people): (Vec<Uuid>, Vec<&str>) = note
        .people
        .iter()
        .map(|(id, user)| (*id, user.as_str()))
        .unzip();
    sqlx::query(
        "insert into crm_notifications (
            tenant_id, id, user_id, title, body, workflow_slug, module_slug, record_id, created_at)
        select $1, p.id, p.user_id, $4, $5, $6, $7, $8, $9
        from unnest($2::uuid[], $3::text[]) as p (id, user_id)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(ids)
    .bind(people)
    .bind(note.title)
    .bind(note.body)
    .bind(note.workflow.to_string())
    .bind(note.module.as_str())
    .bind(note.record)
    .bind(note.at)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A page of somebody's notes, newest first.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn notifications_page(
    tx: &mut TenantTx,
    user: &UserId,
    unread: bool,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Notification>, StoreError> {
    let rows = sqlx::query_as(
        "select id, title, body, workflow_slug, module_slug, record_id, created_at, read_at
        from crm_notifications
        where tenant_id = $1 and user_id = $2 and id < $3 and (not $4 or read_at is null)
        order by id desc
        limit $5",
    )
    .bind(tx.tenant_id().uuid())
    .bind(user.as_str())
    .bind(before.unwrap_or(Uuid::max()))
    .bind(unread)
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// Notes that somebody has read a note of theirs; the first time counts.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn notification_read(
    tx: &mut TenantTx,
    user: &UserId,
    id: Uuid,
    at: DateTime<Utc>,
) -> Result<Option<Notification>, StoreError> {
    let row = sqlx::query_as(
        "update crm_notifications set read_at = coalesce(read_at, $4)
        where tenant_id = $1 and user_id = $2 and id = $3
        returning id, title, body, workflow_slug, module_slug, record_id, created_at, read_at",
    )
    .bind(tx.tenant_id().uuid())
    .bind(user.as_str())
    .bind(id)
    .bind(at)
    .fetch_optional(tx.connection())
    .await?;
    Ok(row)
}
