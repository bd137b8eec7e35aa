//! Answers that are kept for requests with an Idempotency-Key, in the transaction of what they
//! did.

use chrono::{DateTime, Utc};
use crm_model::{TenantId, UserId};
use serde::Serialize;
use sqlx::types::Json;

use crate::error::StoreError;
use crate::store::Store;
use crate::tenant_tx::TenantTx;

/// An answer, and the request that it answers.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    pub key: String,
    /// SHA-256 of method, path and body, in hexadecimal; of an upload's parts where it has such.
    pub fingerprint: String,
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Answers kept before this are forgotten.
    pub expired: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    fingerprint: String,
    status: i16,
    headers: Json<Vec<(String, String)>>,
    body: String,
}

/// The answer that was kept under this key, in one round trip.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn receipt_read(
    store: &Store,
    tenant: TenantId,
    user: &UserId,
    key: &str,
    expired: DateTime<Utc>,
) -> Result<Option<Receipt>, StoreError> {
    let mut lent = store.for_statement().await?;
    let row = sqlx::query_as("select * from crm_receipt_read($1, $2, $3, $4)")
        .bind(tenant.uuid())
        .bind(user.as_str())
        .bind(key)
        .bind(expired)
        .fetch_optional(lent.connection())
        .await;
    let row: Option<Row> = lent.give_back(row)?;
    Ok(row.map(|row| Receipt {
        key: key.to_owned(),
        fingerprint: row.fingerprint,
        status: row.status.unsigned_abs(),
        headers: row.headers.0,
        body: row.body,
        expired,
    }))
}

/// Keeps an answer in the transaction of what it tells of.
///
/// # Errors
/// [`StoreError::KeyUsed`].
pub async fn receipt_keep(
    tx: &mut TenantTx,
    user: &UserId,
    receipt: &Receipt,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query("select crm_receipt_keep($1, $2, $3, decode($4, 'hex'), $5, $6, $7, $8, $9)")
        .bind(tx.tenant_id().uuid())
        .bind(user.as_str())
        .bind(&receipt.key)
        .bind(&receipt.fingerprint)
        .bind(i16::try_from(receipt.status).unwrap_or_default())
        .bind(Json(&receipt.headers))
        .bind(&receipt.body)
        .bind(at)
        .bind(receipt.expired)
        .execute(tx.connection())
        .await?;
    Ok(())
}
