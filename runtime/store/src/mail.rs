//! Whom a tenant's mails are from, whom they do not go to, and the address at which a mail service
//! tells of those that came back.

use chrono::{DateTime, Utc};
use crm_model::limits::MAIL_FEEDBACK_MAX_KEPT;
use crm_model::mail::SuppressionReason;
use crm_model::{JobId, ModuleSlug};
use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;
use crate::incoming::Address;
use crate::tenant_tx::TenantTx;

/// Whom a tenant's mails are from, once that is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Sender {
    pub name: String,
    pub address: String,
    pub reply_to: Option<String>,
    /// When a code was sent to the address.
    pub code_sent_at: Option<DateTime<Utc>>,
    /// When it came back; none: the operator's address is used.
    pub confirmed_at: Option<DateTime<Utc>>,
    pub updated_at: DateTime<Utc>,
    pub updated_by: String,
}

/// The tenant's, if it has one.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn sender_find(tx: &mut TenantTx) -> Result<Option<Sender>, StoreError> {
    let found = sqlx::query_as(
        "select name, address, reply_to, code_sent_at, confirmed_at, updated_at, updated_by
        from crm_mail_senders where tenant_id = $1",
    )
    .bind(tx.tenant_id().uuid())
    .fetch_optional(tx.connection())
    .await?;
    Ok(found)
}

/// Keeps it, in the place of the one before, with the SHA-256 of the code that confirms it.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn sender_put(
    tx: &mut TenantTx,
    sender: &Sender,
    code_hash: Option<&[u8]>,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into crm_mail_senders (
            tenant_id, name, address, reply_to, code_hash, code_sent_at, confirmed_at, updated_at,
            updated_by)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict (tenant_id) do update
        set name = excluded.name, address = excluded.address, reply_to = excluded.reply_to,
            code_hash = excluded.code_hash, code_sent_at = excluded.code_sent_at,
            confirmed_at = excluded.confirmed_at, updated_at = excluded.updated_at,
            updated_by = excluded.updated_by",
    )
    .bind(tx.tenant_id().uuid())
    .bind(&sender.name)
    .bind(&sender.address)
    .bind(&sender.reply_to)
    .bind(code_hash)
    .bind(sender.code_sent_at)
    .bind(sender.confirmed_at)
    .bind(sender.updated_at)
    .bind(&sender.updated_by)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Confirms the address, where this is the SHA-256 of a code that was sent to it since then. None
/// where it is not.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn sender_confirm(
    tx: &mut TenantTx,
    code_hash: &[u8],
    since: DateTime<Utc>,
    (at, by): (DateTime<Utc>, &str),
) -> Result<Option<Sender>, StoreError> {
    let found = sqlx::query_as(
        "update crm_mail_senders
        set confirmed_at = $4, code_hash = null, updated_at = $4, updated_by = $5
        where tenant_id = $1 and code_hash = $2 and code_sent_at >= $3
        returning name, address, reply_to, code_sent_at, confirmed_at, updated_at, updated_by",
    )
    .bind(tx.tenant_id().uuid())
    .bind(code_hash)
    .bind(since)
    .bind(at)
    .bind(by)
    .fetch_optional(tx.connection())
    .await?;
    Ok(found)
}

/// Forgets it. False where there is none.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn sender_remove(tx: &mut TenantTx) -> Result<bool, StoreError> {
    let done = sqlx::query("delete from crm_mail_senders where tenant_id = $1")
        .bind(tx.tenant_id().uuid())
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// An address that no mail goes to.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Suppression {
    /// As [`crm_model::mail::email_key`] has it.
    pub address: String,
    /// A [`SuppressionReason`]'s name.
    pub reason: String,
    pub note: Option<String>,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
}

/// A page of them, by address.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn suppressions_page(
    tx: &mut TenantTx,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<Suppression>, StoreError> {
    let rows = sqlx::query_as(
        "select address, reason, note, created_at, created_by
        from crm_mail_suppressions
        where tenant_id = $1 and address > $2
        order by address
        limit $3",
    )
    .bind(tx.tenant_id().uuid())
    .bind(after.unwrap_or_default())
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// Which of these addresses no mail goes to.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn suppressions_among(
    tx: &mut TenantTx,
    addresses: &[String],
) -> Result<Vec<Suppression>, StoreError> {
    let rows = sqlx::query_as(
        "select address, reason, note, created_at, created_by
        from crm_mail_suppressions
        where tenant_id = $1 and address = any($2)
        order by address",
    )
    .bind(tx.tenant_id().uuid())
    .bind(addresses)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// Has no mail go to an address any more; one that is there already stays as it is. Whether it is
/// new.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn suppression_add(
    tx: &mut TenantTx,
    (address, reason): (&str, SuppressionReason),
    note: Option<&str>,
    (at, by): (DateTime<Utc>, &str),
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "insert into crm_mail_suppressions (
            tenant_id, address, reason, note, created_at, created_by)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (tenant_id, address) do nothing",
    )
    .bind(tx.tenant_id().uuid())
    .bind(address)
    .bind(reason.name())
    .bind(note)
    .bind(at)
    .bind(by)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lets mail go to an address again. What was there.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn suppression_remove(
    tx: &mut TenantTx,
    address: &str,
) -> Result<Option<Suppression>, StoreError> {
    let found = sqlx::query_as(
        "delete from crm_mail_suppressions where tenant_id = $1 and address = $2
        returning address, reason, note, created_at, created_by",
    )
    .bind(tx.tenant_id().uuid())
    .bind(address)
    .fetch_optional(tx.connection())
    .await?;
    Ok(found)
}

/// Gives the tenant an address for news of mails; the one before it works no more.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn feedback_address_put(
    tx: &mut TenantTx,
    address: &Address,
    secret_hash: &[u8],
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into crm_mail_feedback (tenant_id, secret_hash, prefix, created_at, created_by)
        values ($1, $2, $3, $4, $5)
        on conflict (tenant_id) do update
        set secret_hash = excluded.secret_hash, prefix = excluded.prefix,
            created_at = excluded.created_at, created_by = excluded.created_by",
    )
    .bind(tx.tenant_id().uuid())
    .bind(secret_hash)
    .bind(&address.prefix)
    .bind(address.created_at)
    .bind(&address.created_by)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// That address, if there is one, without its secret.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn feedback_address_find(tx: &mut TenantTx) -> Result<Option<Address>, StoreError> {
    let found = sqlx::query_as(
        "select prefix, created_at, created_by from crm_mail_feedback where tenant_id = $1",
    )
    .bind(tx.tenant_id().uuid())
    .fetch_optional(tx.connection())
    .await?;
    Ok(found)
}

/// Ends that address. False where there is none.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn feedback_address_remove(tx: &mut TenantTx) -> Result<bool, StoreError> {
    let done = sqlx::query("delete from crm_mail_feedback where tenant_id = $1")
        .bind(tx.tenant_id().uuid())
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether this is the SHA-256 of that address's secret.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn is_feedback_secret(tx: &mut TenantTx, secret_hash: &[u8]) -> Result<bool, StoreError> {
    let is_it = sqlx::query_scalar(
        "select exists (
            select from crm_mail_feedback where tenant_id = $1 and secret_hash = $2)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(secret_hash)
    .fetch_one(tx.connection())
    .await?;
    Ok(is_it)
}

/// What is kept of the news about one mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MailNews {
    /// `bounce`, `complaint` or `unsubscribe`.
    pub kind: &'static str,
    pub address: String,
    pub permanent: bool,
    pub note: Option<String>,
    /// When, as far as the mail service says.
    pub at: Option<DateTime<Utc>>,
}

/// What a mail was sent about.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct MailOrigin {
    #[sqlx(try_from = "String")]
    pub module: ModuleSlug,
    /// The nil one: no record.
    pub record: Uuid,
    /// How many runs led to the run that sent it.
    pub depth: i32,
}

/// Keeps news of a mail with the effect that it was; the same news are kept once, and not more
/// than [`MAIL_FEEDBACK_MAX_KEPT`] of them. None where nothing was kept.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn news_keep(
    tx: &mut TenantTx,
    (job, number): (JobId, i32),
    news: &MailNews,
) -> Result<Option<MailOrigin>, StoreError> {
    let told = serde_json::to_value(news).map_err(|error| StoreError::corrupt("news", error))?;
    let origin = sqlx::query_as(
        "update crm_effects x
        set feedback = coalesce(x.feedback, '[]') || $4
        from crm_jobs j
        join crm_events e on e.tenant_id = $1 and e.id = j.event_id
        where x.tenant_id = $1 and x.job_id = $2 and x.number = $3 and x.kind = 'email'
            and jsonb_array_length(coalesce(x.feedback, '[]')) < $5
            and not coalesce(x.feedback, '[]') @> $4
            and j.tenant_id = $1 and j.id = $2
        returning j.module_slug as module, j.record_id as record, e.depth",
    )
    .bind(tx.tenant_id().uuid())
    .bind(job.uuid())
    .bind(number)
    .bind(Json(Value::Array(vec![told])))
    .bind(MAIL_FEEDBACK_MAX_KEPT)
    .fetch_optional(tx.connection())
    .await?;
    Ok(origin)
}
