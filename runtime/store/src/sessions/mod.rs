//! People who are logged in with a browser: of the secret that the browser holds only the SHA-256.
//! In PostgreSQL (`postgres`), or in Redis where there is one (`redis`). Each function is one
//! round trip, and what it says holds for all instances at once.

mod postgres;
mod redis;

pub use self::redis::RedisSessions;

use chrono::{DateTime, TimeDelta, Utc};
use crm_model::limits::SESSION_IDLE_MAX_SECONDS;
use crm_model::{RoleSlug, TenantId, UserId};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::store::Store;

/// A session as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    pub user_id: UserId,
    pub person: Person,
    pub created_at: DateTime<Utc>,
    /// At the latest.
    pub expires_at: DateTime<Utc>,
}

/// What the login said of somebody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Person {
    pub roles: Vec<RoleSlug>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Who said it.
    pub issuer: String,
}

fn idle_since(at: DateTime<Utc>) -> DateTime<Utc> {
    at - TimeDelta::seconds(SESSION_IDLE_MAX_SECONDS)
}

/// Keeps a new session.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::SessionsAway`].
pub async fn session_insert(
    store: &Store,
    tenant: TenantId,
    hash: &[u8],
    session: &Session,
) -> Result<(), StoreError> {
    match store.redis() {
        Some(redis) => redis.insert(tenant, hash, session).await,
        None => postgres::insert(store, tenant, hash, session).await,
    }
}

/// The session of this secret while it lasts; notes that it was used.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::SessionsAway`], [`StoreError::Corrupt`].
pub async fn session_use(
    store: &Store,
    tenant: TenantId,
    hash: &[u8],
    at: DateTime<Utc>,
) -> Result<Option<Session>, StoreError> {
    match store.redis() {
        Some(redis) => redis.find(tenant, hash, at).await,
        None => postgres::find(store, tenant, hash, at).await,
    }
}

/// Ends the session of this secret.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::SessionsAway`].
pub async fn session_delete(
    store: &Store,
    tenant: TenantId,
    hash: &[u8],
) -> Result<(), StoreError> {
    match store.redis() {
        Some(redis) => redis.delete(tenant, hash).await,
        None => postgres::delete(store, tenant, hash).await,
    }
}

/// Ends all sessions of somebody.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::SessionsAway`].
pub async fn sessions_delete(
    store: &Store,
    tenant: TenantId,
    user: &UserId,
) -> Result<(), StoreError> {
    match store.redis() {
        Some(redis) => redis.delete_all(tenant, user).await,
        None => postgres::delete_all(store, tenant, user).await,
    }
}
