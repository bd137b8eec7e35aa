//! Records that were shared with people and teams who would not reach them otherwise.

use chrono::{DateTime, Utc};
use crm_model::reach::Subject;
use crm_model::{ModuleSlug, RecordId, UserId};

use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// A record that somebody is let in to.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    pub subject: Subject,
    /// Otherwise only read.
    pub may_update: bool,
    pub shared_at: DateTime<Utc>,
    pub shared_by: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    subject: String,
    may_update: bool,
    shared_at: DateTime<Utc>,
    shared_by: String,
}

impl TryFrom<Row> for Share {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            subject: row
                .subject
                .parse()
                .map_err(|error| StoreError::corrupt("share", error))?,
            may_update: row.may_update,
            shared_at: row.shared_at,
            shared_by: row.shared_by,
        })
    }
}

/// With whom a record is shared, by name.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn shares_read(tx: &mut TenantTx, record: RecordId) -> Result<Vec<Share>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select subject, may_update, shared_at, shared_by from crm_shares
        where tenant_id = $1 and record_id = $2 order by subject",
    )
    .bind(tx.tenant_id().uuid())
    .bind(record.uuid())
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Share::try_from).collect()
}

/// Lets somebody in to a record, or says anew how far. False for a team that is gone.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn share_put(
    tx: &mut TenantTx,
    (module, record): (&ModuleSlug, RecordId),
    share: &Share,
    by: &UserId,
) -> Result<bool, StoreError> {
    if let Some(team) = share.subject.as_team() {
        // Who takes the team away waits, and takes this along.
        let team: Option<(String,)> = sqlx::query_as(
            "select slug from crm_teams where tenant_id = $1 and slug = $2 for share",
        )
        .bind(tx.tenant_id().uuid())
        .bind(team.as_str())
        .fetch_optional(tx.connection())
        .await?;
        if team.is_none() {
            return Ok(false);
        }
    }
    sqlx::query(
        "insert into crm_shares (
            tenant_id, record_id, subject, module_slug, may_update, shared_at, shared_by)
        values ($1, $2, $3, $4, $5, $6, $7)
        on conflict (tenant_id, record_id, subject) do update
        set may_update = excluded.may_update, shared_at = excluded.shared_at,
            shared_by = excluded.shared_by",
    )
    .bind(tx.tenant_id().uuid())
    .bind(record.uuid())
    .bind(share.subject.as_str())
    .bind(module.as_str())
    .bind(share.may_update)
    .bind(share.shared_at)
    .bind(by.as_str())
    .execute(tx.connection())
    .await?;
    Ok(true)
}

/// Ends that a record is shared with somebody. False where it was not.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn share_delete(
    tx: &mut TenantTx,
    record: RecordId,
    subject: &Subject,
) -> Result<bool, StoreError> {
    let deleted = sqlx::query(
        "delete from crm_shares where tenant_id = $1 and record_id = $2 and subject = $3",
    )
    .bind(tx.tenant_id().uuid())
    .bind(record.uuid())
    .bind(subject.as_str())
    .execute(tx.connection())
    .await?;
    Ok(deleted.rows_affected() > 0)
}
