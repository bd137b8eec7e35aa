//! Entries on timelines: read, listed, corrected, taken away. They come in with [`crate::commit`].
//! Entries of deleted records do not show.

use chrono::{DateTime, Utc};
use crm_model::activity::{ActivityContent, ActivityKind};
use crm_model::{ActivityId, ModuleSlug, RecordId, UserId};
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// An entry on a record's timeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    pub id: ActivityId,
    pub module: ModuleSlug,
    pub record_id: RecordId,
    pub kind: ActivityKind,
    pub content: ActivityContent,
    /// When a task was done, and by whom.
    pub done: Option<(DateTime<Utc>, String)>,
    /// Where it stands on the timeline: when it happened, or when it was written.
    pub at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    pub updated_at: DateTime<Utc>,
    pub updated_by: String,
    pub cause: serde_json::Value,
}

/// Which entries.
#[derive(Clone, Debug, Default)]
pub struct ActivityFilter {
    pub kind: Option<ActivityKind>,
    /// Tasks that are done, or tasks that are not.
    pub done: Option<bool>,
    pub due_before: Option<DateTime<Utc>>,
    pub assignee: Option<UserId>,
    pub created_by: Option<UserId>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    module_slug: String,
    record_id: Uuid,
    kind: String,
    title: String,
    body: Option<String>,
    due_at: Option<DateTime<Utc>>,
    assignee: Option<String>,
    done_at: Option<DateTime<Utc>>,
    done_by: Option<String>,
    occurred_at: Option<DateTime<Utc>>,
    duration_minutes: Option<i32>,
    at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    created_by: String,
    updated_at: DateTime<Utc>,
    updated_by: String,
    cause: Json<serde_json::Value>,
}

impl TryFrom<Row> for Activity {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let assignee = row.assignee.map(UserId::try_from).transpose();
        Ok(Self {
            id: ActivityId::new(row.id),
            module: row
                .module_slug
                .parse()
                .map_err(|error| StoreError::corrupt("module name", error))?,
            record_id: RecordId::new(row.record_id),
            kind: row
                .kind
                .parse()
                .map_err(|error| StoreError::corrupt("kind of activity", error))?,
            content: ActivityContent {
                title: row.title,
                body: row.body,
                due_at: row.due_at,
                assignee: assignee.map_err(|error| StoreError::corrupt("assignee", error))?,
                occurred_at: row.occurred_at,
                duration_minutes: row.duration_minutes.map(i32::unsigned_abs),
            },
            done: row.done_at.zip(row.done_by),
            at: row.at,
            created_at: row.created_at,
            created_by: row.created_by,
            updated_at: row.updated_at,
            updated_by: row.updated_by,
            cause: row.cause.0,
        })
    }
}

/// The columns of an entry, and the condition that holds for each of them.
macro_rules! select {
    ($rest:expr) => {
        concat!(
            "select a.id, a.module_slug, a.record_id, a.kind, a.title, a.body, a.due_at,
                a.assignee, a.done_at, a.done_by, a.occurred_at, a.duration_minutes, a.at,
                a.created_at, a.created_by, a.updated_at, a.updated_by, a.cause
            from crm_activities a
            join crm_records r
                on r.tenant_id = a.tenant_id and r.id = a.record_id and r.deleted_at is null
            where a.tenant_id = $1 and ",
            $rest
        )
    };
}

fn activities(rows: Vec<Row>) -> Result<Vec<Activity>, StoreError> {
    rows.into_iter().map(Activity::try_from).collect()
}

/// One entry.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn activity_read(
    tx: &mut TenantTx,
    activity: ActivityId,
) -> Result<Option<Activity>, StoreError> {
    let row: Option<Row> = sqlx::query_as(select!("a.id = $2"))
        .bind(tx.tenant_id().uuid())
        .bind(activity.uuid())
        .fetch_optional(tx.connection())
        .await?;
    row.map(Activity::try_from).transpose()
}

/// One entry; nobody else changes it until the transaction ends.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn activity_lock(
    tx: &mut TenantTx,
    activity: ActivityId,
) -> Result<Option<Activity>, StoreError> {
    let row: Option<Row> = sqlx::query_as(select!("a.id = $2 for update of a"))
        .bind(tx.tenant_id().uuid())
        .bind(activity.uuid())
        .fetch_optional(tx.connection())
        .await?;
    row.map(Activity::try_from).transpose()
}

/// Writes what an entry says now: its content, whether it is done, who changed it when.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn activity_update(tx: &mut TenantTx, activity: &Activity) -> Result<(), StoreError> {
    let content = &activity.content;
    let minutes = content.duration_minutes.map(i32::try_from);
    sqlx::query(
        "update crm_activities
        set title = $3, body = $4, due_at = $5, assignee = $6, done_at = $7, done_by = $8,
            occurred_at = $9, duration_minutes = $10, at = $11, updated_at = $12, updated_by = $13
        where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant_id().uuid())
    .bind(activity.id.uuid())
    .bind(&content.title)
    .bind(content.body.as_deref())
    .bind(content.due_at)
    .bind(content.assignee.as_ref().map(UserId::as_str))
    .bind(activity.done.as_ref().map(|(at, _)| *at))
    .bind(activity.done.as_ref().map(|(_, by)| by.as_str()))
    .bind(content.occurred_at)
    .bind(minutes.and_then(Result::ok))
    .bind(activity.at)
    .bind(activity.updated_at)
    .bind(&activity.updated_by)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes an entry away.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn activity_delete(tx: &mut TenantTx, activity: ActivityId) -> Result<(), StoreError> {
    sqlx::query("delete from crm_activities where tenant_id = $1 and id = $2")
        .bind(tx.tenant_id().uuid())
        .bind(activity.uuid())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// A page of a record's entries, the last written first: those before `before`, or from the
/// start.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn activities_page(
    tx: &mut TenantTx,
    record: RecordId,
    filter: &ActivityFilter,
    before: Option<ActivityId>,
    limit: u32,
) -> Result<Vec<Activity>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(select!(
        "a.record_id = $2 and a.id < $3
            and ($5::text is null or a.kind = $5)
            and ($6::boolean is null or (a.kind = 'task' and (a.done_at is not null) = $6))
        order by a.id desc
        limit $4"
    ))
    .bind(tx.tenant_id().uuid())
    .bind(record.uuid())
    .bind(before.map_or(Uuid::max(), ActivityId::uuid))
    .bind(i64::from(limit))
    .bind(filter.kind.as_ref().map(ActivityKind::as_str))
    .bind(filter.done)
    .fetch_all(tx.connection())
    .await?;
    activities(rows)
}

/// A page of entries of records of these modules, the last written first. A statement for each
/// way in, so that each goes along its own index.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn activities_across(
    tx: &mut TenantTx,
    modules: &[ModuleSlug],
    filter: &ActivityFilter,
    before: Option<ActivityId>,
    limit: u32,
) -> Result<Vec<Activity>, StoreError> {
    macro_rules! list {
        ($way_in:literal) => {
            select!(concat!(
                $way_in,
                " and a.id < $4 and a.module_slug = any($3)
                    and ($6::text is null or a.kind = $6)
                    and ($7::boolean is null
                        or (a.kind = 'task' and (a.done_at is not null) = $7))
                    and ($8::timestamptz is null or a.due_at < $8)
                    and ($9::text is null or a.created_by = $9)
                order by a.id desc
                limit $5"
            ))
        };
    }
    let (statement, person) = match (&filter.assignee, &filter.created_by) {
        (Some(assignee), _) => (list!("a.assignee = $2"), Some(assignee)),
        (None, Some(creator)) => (list!("a.created_by = $2"), Some(creator)),
        (None, None) => (list!("$2::text is null"), None),
    };
    let rows: Vec<Row> = sqlx::query_as(statement)
        .bind(tx.tenant_id().uuid())
        .bind(person.map(UserId::as_str))
        .bind(slugs(modules))
        .bind(before.map_or(Uuid::max(), ActivityId::uuid))
        .bind(i64::from(limit))
        .bind(filter.kind.as_ref().map(ActivityKind::as_str))
        .bind(filter.done)
        .bind(filter.due_before)
        .bind(filter.created_by.as_ref().map(UserId::as_str))
        .fetch_all(tx.connection())
        .await?;
    activities(rows)
}

/// A record's entries in the order of what they tell of, the newest first: those before this
/// place, or from the start.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn activities_by_time(
    tx: &mut TenantTx,
    record: RecordId,
    before: Option<(DateTime<Utc>, ActivityId)>,
    limit: u32,
) -> Result<Vec<Activity>, StoreError> {
    let (at, id) = before.unzip();
    let rows: Vec<Row> = sqlx::query_as(select!(
        "a.record_id = $2 and (a.at, a.id) < (coalesce($3::timestamptz, 'infinity'), $4)
        order by a.at desc, a.id desc
        limit $5"
    ))
    .bind(tx.tenant_id().uuid())
    .bind(record.uuid())
    .bind(at)
    .bind(id.map_or(Uuid::max(), ActivityId::uuid))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    activities(rows)
}

pub(crate) fn slugs(modules: &[ModuleSlug]) -> Vec<&str> {
    modules.iter().map(ModuleSlug::as_str).collect()
}
