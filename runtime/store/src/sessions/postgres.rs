//! Sessions in PostgreSQL.

use chrono::{DateTime, Utc};
use crm_model::limits::USER_MAX_SESSIONS;
use crm_model::{TenantId, UserId};
use sqlx::types::Json;

use super::{Person, Session, idle_since};
use crate::error::StoreError;
use crate::store::Store;

pub(super) async fn insert(
    store: &Store,
    tenant: TenantId,
    hash: &[u8],
    session: &Session,
) -> Result<(), StoreError> {
    let mut lent = store.for_statement().await?;
    let done = sqlx::query("select crm_session_begin($1, $2, $3, $4, $5, $6, $7)")
        .bind(tenant.uuid())
        .bind(hash)
        .bind(session.user_id.as_str())
        .bind(Json(&session.person))
        .bind(session.created_at)
        .bind(session.expires_at)
        .bind(USER_MAX_SESSIONS)
        .execute(lent.connection())
        .await;
    lent.give_back(done)?;
    Ok(())
}

pub(super) async fn find(
    store: &Store,
    tenant: TenantId,
    hash: &[u8],
    at: DateTime<Utc>,
) -> Result<Option<Session>, StoreError> {
    type Found = (String, Json<Person>, DateTime<Utc>, DateTime<Utc>);
    let mut lent = store.for_statement().await?;
    let row = sqlx::query_as("select * from crm_session_use($1, $2, $3, $4)")
        .bind(tenant.uuid())
        .bind(hash)
        .bind(at)
        .bind(idle_since(at))
        .fetch_optional(lent.connection())
        .await;
    let row: Option<Found> = lent.give_back(row)?;
    row.map(|(user_id, person, created_at, expires_at)| {
        let user_id = UserId::try_from(user_id);
        Ok(Session {
            user_id: user_id.map_err(|error| StoreError::corrupt("user id", error))?,
            person: person.0,
            created_at,
            expires_at,
        })
    })
    .transpose()
}

pub(super) async fn delete(store: &Store, tenant: TenantId, hash: &[u8]) -> Result<(), StoreError> {
    let mut lent = store.for_statement().await?;
    let done = sqlx::query("select crm_session_end($1, $2)")
        .bind(tenant.uuid())
        .bind(hash)
        .execute(lent.connection())
        .await;
    lent.give_back(done)?;
    Ok(())
}

pub(super) async fn delete_all(
    store: &Store,
    tenant: TenantId,
    user: &UserId,
) -> Result<(), StoreError> {
    let mut lent = store.for_statement().await?;
    let done = sqlx::query("select crm_sessions_end($1, $2)")
        .bind(tenant.uuid())
        .bind(user.as_str())
        .execute(lent.connection())
        .await;
    lent.give_back(done)?;
    Ok(())
}
