//! Secrets of tenants as the engine sealed them: what is here gives nothing away.

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// A secret as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    pub name: String,
    /// Where it may be sent.
    pub hosts: Vec<String>,
    pub updated_at: DateTime<Utc>,
    pub updated_by: String,
}

type Row = (String, Json<Vec<String>>, DateTime<Utc>, String);

/// The tenant's secrets, by name.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn secrets_list(tx: &mut TenantTx) -> Result<Vec<Secret>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select name, hosts, updated_at, updated_by from crm_secrets
        where tenant_id = $1 order by name",
    )
    .bind(tx.tenant_id().uuid())
    .fetch_all(tx.connection())
    .await?;
    let secrets = rows.into_iter();
    Ok(secrets
        .map(|(name, Json(hosts), updated_at, updated_by)| Secret {
            name,
            hosts,
            updated_at,
            updated_by,
        })
        .collect())
}

/// Whether there is one of that name.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn secret_exists(tx: &mut TenantTx, name: &str) -> Result<bool, StoreError> {
    let exists = sqlx::query_scalar(
        "select exists (select from crm_secrets where tenant_id = $1 and name = $2)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(name)
    .fetch_one(tx.connection())
    .await?;
    Ok(exists)
}

/// Those of these names, as they were sealed, with the hosts that each may be sent to.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn secrets_sealed(
    tx: &mut TenantTx,
    names: &[String],
) -> Result<Vec<(String, Vec<String>, Vec<u8>)>, StoreError> {
    let rows: Vec<(String, Json<Vec<String>>, Vec<u8>)> = sqlx::query_as(
        "select name, hosts, sealed from crm_secrets where tenant_id = $1 and name = any($2)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(names)
    .fetch_all(tx.connection())
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|(name, Json(hosts), sealed)| (name, hosts, sealed))
        .collect())
}

/// Keeps a secret, in the place of the one of that name.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn secret_put(
    tx: &mut TenantTx,
    secret: &Secret,
    sealed: &[u8],
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into crm_secrets (tenant_id, name, hosts, sealed, updated_at, updated_by)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (tenant_id, name) do update
        set hosts = excluded.hosts, sealed = excluded.sealed,
            updated_at = excluded.updated_at, updated_by = excluded.updated_by",
    )
    .bind(tx.tenant_id().uuid())
    .bind(&secret.name)
    .bind(Json(&secret.hosts))
    .bind(sealed)
    .bind(secret.updated_at)
    .bind(&secret.updated_by)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Forgets a secret; whether there was one.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn secret_remove(tx: &mut TenantTx, name: &str) -> Result<bool, StoreError> {
    let removed = sqlx::query("delete from crm_secrets where tenant_id = $1 and name = $2")
        .bind(tx.tenant_id().uuid())
        .bind(name)
        .execute(tx.connection())
        .await?;
    Ok(removed.rows_affected() > 0)
}
