//! Keys for programs, and the secrets that stand for them: of a secret only its SHA-256.

use chrono::{DateTime, Utc};
use crm_model::api_key::Scope;
use crm_model::{Actor, ApiKeyId, RoleSlug, TenantId, UserId};
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;
use crate::store::Store;
use crate::tenant_tx::TenantTx;

/// A key as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub name: String,
    /// How its newest secret begins.
    pub prefix: String,
    /// Whom it acts as.
    pub user_id: UserId,
    pub roles: Vec<RoleSlug>,
    pub scope: Scope,
    pub created_at: DateTime<Utc>,
    pub created_by: UserId,
    pub expires_at: Option<DateTime<Utc>>,
    /// In whole minutes.
    pub last_used_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    prefix: String,
    user_id: String,
    roles: Json<Vec<RoleSlug>>,
    scope: Json<Scope>,
    created_at: DateTime<Utc>,
    created_by: String,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

fn user(text: String) -> Result<UserId, StoreError> {
    UserId::try_from(text).map_err(|error| StoreError::corrupt("user id", error))
}

impl TryFrom<Row> for ApiKey {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: ApiKeyId::new(row.id),
            name: row.name,
            prefix: row.prefix,
            user_id: user(row.user_id)?,
            roles: row.roles.0,
            scope: row.scope.0,
            created_at: row.created_at,
            created_by: user(row.created_by)?,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
        })
    }
}

/// Whom the secret of this SHA-256 stands for, in one round trip; notes that it was used.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
pub async fn api_key_use(
    store: &Store,
    tenant: TenantId,
    hash: &[u8],
    at: DateTime<Utc>,
) -> Result<Option<(ApiKeyId, Actor)>, StoreError> {
    type Found = (Uuid, String, Json<Vec<RoleSlug>>, Json<Scope>);
    let mut lent = store.for_statement().await?;
    let row = sqlx::query_as("select * from crm_api_key_use($1, $2, $3)")
        .bind(tenant.uuid())
        .bind(hash)
        .bind(at)
        .fetch_optional(lent.connection())
        .await;
    let row: Option<Found> = lent.give_back(row)?;
    row.map(|(id, user_id, roles, scope)| {
        let actor = Actor {
            user_id: user(user_id)?,
            roles: roles.0,
            scope: Some(scope.0),
        };
        Ok((ApiKeyId::new(id), actor))
    })
    .transpose()
}

/// A page of keys, newest first, those that are revoked too.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
pub async fn api_keys_page(
    tx: &mut TenantTx,
    before: Option<ApiKeyId>,
    limit: u32,
) -> Result<Vec<ApiKey>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select k.id, k.name, s.prefix, k.user_id, k.roles, k.scope, k.created_at, k.created_by,
            k.expires_at, k.last_used_at, k.revoked_at
        from crm_api_keys k
        cross join lateral (
            select s.prefix from crm_api_key_secrets s
            where s.tenant_id = k.tenant_id and s.key_id = k.id
            order by s.created_at desc limit 1) s
        where k.tenant_id = $1 and k.id < $2
        order by k.id desc
        limit $3",
    )
    .bind(tx.tenant_id().uuid())
    .bind(before.map_or(Uuid::max(), ApiKeyId::uuid))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(ApiKey::try_from).collect()
}

/// Lets nobody else make a key of the tenant's until this transaction ends, so that what is counted
/// stays so. Readers and writers of records do not wait.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn api_keys_lock(tx: &mut TenantTx) -> Result<(), StoreError> {
    sqlx::query("select from tenant_crm_configs where tenant_id = $1 for no key update")
        .bind(tx.tenant_id().uuid())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// How many keys there are, and how many of them may still be used.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn api_keys_count(
    tx: &mut TenantTx,
    at: DateTime<Utc>,
) -> Result<(i64, i64), StoreError> {
    let counts = sqlx::query_as(
        "select count(*), count(*) filter (
            where revoked_at is null and (expires_at is null or expires_at > $2))
        from crm_api_keys where tenant_id = $1",
    )
    .bind(tx.tenant_id().uuid())
    .bind(at)
    .fetch_one(tx.connection())
    .await?;
    Ok(counts)
}

/// A key that is not revoked, locked: others wait to change it until this transaction ends.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
pub async fn api_key_lock(tx: &mut TenantTx, key: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "select k.id, k.name, (
                select s.prefix from crm_api_key_secrets s
                where s.tenant_id = k.tenant_id and s.key_id = k.id
                order by s.created_at desc limit 1) as prefix,
            k.user_id, k.roles, k.scope, k.created_at, k.created_by, k.expires_at,
            k.last_used_at, k.revoked_at
        from crm_api_keys k
        where k.tenant_id = $1 and k.id = $2 and k.revoked_at is null
        for update",
    )
    .bind(tx.tenant_id().uuid())
    .bind(key.uuid())
    .fetch_optional(tx.connection())
    .await?;
    row.map(ApiKey::try_from).transpose()
}

/// Keeps a new key; its secret is for [`api_key_secret_insert`].
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn api_key_insert(tx: &mut TenantTx, key: &ApiKey) -> Result<(), StoreError> {
    sqlx::query(
        "insert into crm_api_keys (
            tenant_id, id, name, user_id, roles, scope, created_at, created_by, expires_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(key.id.uuid())
    .bind(&key.name)
    .bind(key.user_id.as_str())
    .bind(Json(&key.roles))
    .bind(Json(&key.scope))
    .bind(key.created_at)
    .bind(key.created_by.as_str())
    .bind(key.expires_at)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Adds a secret to a key. Those before it end at `until`, or earlier where they had to anyway;
/// those that have ended are forgotten.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn api_key_secret_insert(
    tx: &mut TenantTx,
    key: &ApiKey,
    hash: &[u8],
    at: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query(
        "with ended as (
            delete from crm_api_key_secrets
            where tenant_id = $1 and key_id = $2 and (valid_until <= $5 or $6 <= $5)),
        ending as (
            update crm_api_key_secrets set valid_until = least(valid_until, $6)
            where tenant_id = $1 and key_id = $2 and $6 > $5
                and (valid_until is null or valid_until > $5))
        insert into crm_api_key_secrets (tenant_id, key_id, secret_hash, prefix, created_at)
        values ($1, $2, $3, $4, $5)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(key.id.uuid())
    .bind(hash)
    .bind(&key.prefix)
    .bind(at)
    .bind(until)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Ends a key at once.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn api_key_revoke(
    tx: &mut TenantTx,
    key: ApiKeyId,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query("update crm_api_keys set revoked_at = $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant_id().uuid())
        .bind(key.uuid())
        .bind(at)
        .execute(tx.connection())
        .await?;
    Ok(())
}
