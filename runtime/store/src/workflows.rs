//! Workflows of tenants: their versions, and drafts of those to come.

use chrono::{DateTime, Utc};
use crm_model::definition::WorkflowDefinition;
use crm_model::flow::Place;
use crm_model::model::OwnWorkflow;
use crm_model::{JobId, UserId, WorkflowSlug};
use sqlx::types::Json;
use std::collections::BTreeMap;
use uuid::Uuid;

use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

/// A version that was published.
#[derive(Clone, Debug)]
pub struct Version {
    pub version: u32,
    pub definition: WorkflowDefinition,
    pub published_at: DateTime<Utc>,
    pub published_by: String,
    pub note: Option<String>,
}

/// What is to become the next version.
#[derive(Clone, Debug)]
pub struct Draft {
    pub definition: WorkflowDefinition,
    pub saved_at: DateTime<Utc>,
    pub saved_by: String,
}

#[derive(sqlx::FromRow)]
struct VersionRow {
    version: i32,
    definition: Json<WorkflowDefinition>,
    published_at: DateTime<Utc>,
    published_by: String,
    note: Option<String>,
}

impl From<VersionRow> for Version {
    fn from(row: VersionRow) -> Self {
        Self {
            version: counted(row.version),
            definition: row.definition.0,
            published_at: row.published_at,
            published_by: row.published_by,
            note: row.note,
        }
    }
}

#[derive(sqlx::FromRow)]
struct OwnRow {
    slug: String,
    newest_version: i32,
    version: Option<i32>,
    definition: Option<Json<WorkflowDefinition>>,
}

/// Versions are counted from 1, and checked to be.
pub(crate) fn counted(version: i32) -> u32 {
    version.unsigned_abs()
}

pub(crate) fn number(version: u32) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}

pub(crate) async fn workflows_read(tx: &mut TenantTx) -> Result<Vec<OwnWorkflow>, StoreError> {
    let rows: Vec<OwnRow> = sqlx::query_as(
        "select w.slug, w.newest_version, v.version, v.definition
        from crm_workflows w
        left join crm_workflow_versions v
            on v.tenant_id = $1 and v.slug = w.slug and v.version = w.live_version
        where w.tenant_id = $1
        order by w.slug",
    )
    .bind(tx.tenant_id().uuid())
    .fetch_all(tx.connection())
    .await?;
    let read = rows.into_iter().map(|row| {
        let live = row.version.zip(row.definition);
        Ok(OwnWorkflow {
            slug: row
                .slug
                .parse()
                .map_err(|error| StoreError::corrupt("workflow name", error))?,
            newest: counted(row.newest_version),
            live: live.map(|(version, definition)| (counted(version), definition.0)),
        })
    });
    read.collect()
}

/// Writes down a version, which is live from now on; the draft has become it.
pub(crate) async fn version_insert(
    tx: &mut TenantTx,
    (definition, version, note): (&WorkflowDefinition, u32, Option<&str>),
    at: DateTime<Utc>,
    by: &UserId,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into crm_workflow_versions (
            tenant_id, slug, version, definition, published_at, published_by, note)
        values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(definition.slug.as_str())
    .bind(number(version))
    .bind(Json(definition))
    .bind(at)
    .bind(by.as_str())
    .bind(note)
    .execute(tx.connection())
    .await?;
    sqlx::query(
        "insert into crm_workflows (
            tenant_id, slug, live_version, newest_version, created_at, created_by)
        values ($1, $2, $3, $3, $4, $5)
        on conflict (tenant_id, slug) do update
        set live_version = excluded.live_version, newest_version = excluded.newest_version",
    )
    .bind(tx.tenant_id().uuid())
    .bind(definition.slug.as_str())
    .bind(number(version))
    .bind(at)
    .bind(by.as_str())
    .execute(tx.connection())
    .await?;
    // Not what somebody else has saved meanwhile.
    sqlx::query(
        "delete from crm_workflow_drafts where tenant_id = $1 and slug = $2 and definition = $3",
    )
    .bind(tx.tenant_id().uuid())
    .bind(definition.slug.as_str())
    .bind(Json(definition))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// None of its versions is live any more.
pub(crate) async fn workflow_end(tx: &mut TenantTx, slug: &WorkflowSlug) -> Result<(), StoreError> {
    sqlx::query("update crm_workflows set live_version = null where tenant_id = $1 and slug = $2")
        .bind(tx.tenant_id().uuid())
        .bind(slug.as_str())
        .execute(tx.connection())
        .await?;
    draft_remove(tx, slug).await?;
    Ok(())
}

/// One version.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn version_read(
    tx: &mut TenantTx,
    slug: &WorkflowSlug,
    version: u32,
) -> Result<Option<Version>, StoreError> {
    let row: Option<VersionRow> = sqlx::query_as(
        "select version, definition, published_at, published_by, note
        from crm_workflow_versions
        where tenant_id = $1 and slug = $2 and version = $3",
    )
    .bind(tx.tenant_id().uuid())
    .bind(slug.as_str())
    .bind(number(version))
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Version::from))
}

/// All versions that were ever published, newest first.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn versions_list(
    tx: &mut TenantTx,
    slug: &WorkflowSlug,
) -> Result<Vec<Version>, StoreError> {
    let rows: Vec<VersionRow> = sqlx::query_as(
        "select version, definition, published_at, published_by, note
        from crm_workflow_versions
        where tenant_id = $1 and slug = $2
        order by version desc",
    )
    .bind(tx.tenant_id().uuid())
    .bind(slug.as_str())
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Version::from).collect())
}

/// How many runs have not ended, by the version that they began on.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn open_runs(
    tx: &mut TenantTx,
    slug: &WorkflowSlug,
) -> Result<BTreeMap<u32, i64>, StoreError> {
    let rows: Vec<(i32, i64)> = sqlx::query_as(
        "select workflow_version, count(*) from crm_jobs
        where tenant_id = $1 and workflow_slug = $2 and workflow_version is not null
            and state in ('waiting', 'queued', 'leased')
        group by workflow_version",
    )
    .bind(tx.tenant_id().uuid())
    .bind(slug.as_str())
    .fetch_all(tx.connection())
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|(version, runs)| (counted(version), runs))
        .collect())
}

/// Has runs that have not begun do what this version says; how many.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn unbegun_move(
    tx: &mut TenantTx,
    slug: &WorkflowSlug,
    to: u32,
) -> Result<u64, StoreError> {
    let moved = sqlx::query(
        "update crm_jobs set workflow_version = $3
        where tenant_id = $1 and workflow_slug = $2 and workflow_version <> $3
            and state in ('waiting', 'queued') and place is null and attempts = 0",
    )
    .bind(tx.tenant_id().uuid())
    .bind(slug.as_str())
    .bind(number(to))
    .execute(tx.connection())
    .await?;
    Ok(moved.rows_affected())
}

/// A run in the middle.
#[derive(Clone, Debug)]
pub struct BegunRun {
    pub job: JobId,
    pub version: u32,
    pub place: Place,
}

/// Runs in the middle that rest on another version than `than`, a page of them after `after`, and
/// nobody takes them up until the transaction ends.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn begun_lock(
    tx: &mut TenantTx,
    slug: &WorkflowSlug,
    than: u32,
    (after, limit): (JobId, u32),
) -> Result<Vec<BegunRun>, StoreError> {
    let rows: Vec<(Uuid, i32, Json<Place>)> = sqlx::query_as(
        "select id, workflow_version, place from crm_jobs
        where tenant_id = $1 and workflow_slug = $2 and workflow_version <> $3
            and state = 'queued' and place is not null and id > $4
        order by id
        limit $5
        for update skip locked",
    )
    .bind(tx.tenant_id().uuid())
    .bind(slug.as_str())
    .bind(number(than))
    .bind(after.uuid())
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    let runs = rows.into_iter().map(|(job, version, place)| BegunRun {
        job: JobId::new(job),
        version: counted(version),
        place: place.0,
    });
    Ok(runs.collect())
}

/// Has a run that is locked go on from there, in that version.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn begun_move(
    tx: &mut TenantTx,
    job: JobId,
    (to, place): (u32, &Place),
) -> Result<(), StoreError> {
    sqlx::query(
        "update crm_jobs set workflow_version = $3, place = $4 where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant_id().uuid())
    .bind(job.uuid())
    .bind(number(to))
    .bind(Json(place))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Keeps a draft, in the place of the one before.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn draft_put(
    tx: &mut TenantTx,
    definition: &WorkflowDefinition,
    at: DateTime<Utc>,
    by: &UserId,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into crm_workflow_drafts (tenant_id, slug, definition, saved_at, saved_by)
        values ($1, $2, $3, $4, $5)
        on conflict (tenant_id, slug) do update
        set definition = excluded.definition, saved_at = excluded.saved_at,
            saved_by = excluded.saved_by",
    )
    .bind(tx.tenant_id().uuid())
    .bind(definition.slug.as_str())
    .bind(Json(definition))
    .bind(at)
    .bind(by.as_str())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Whether there was a draft, which is no more.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn draft_remove(tx: &mut TenantTx, slug: &WorkflowSlug) -> Result<bool, StoreError> {
    let done = sqlx::query("delete from crm_workflow_drafts where tenant_id = $1 and slug = $2")
        .bind(tx.tenant_id().uuid())
        .bind(slug.as_str())
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() > 0)
}

/// The drafts of the tenant, or of one workflow.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn drafts_list(
    tx: &mut TenantTx,
    slug: Option<&WorkflowSlug>,
) -> Result<Vec<Draft>, StoreError> {
    let rows: Vec<(Json<WorkflowDefinition>, DateTime<Utc>, String)> = sqlx::query_as(
        "select definition, saved_at, saved_by from crm_workflow_drafts
        where tenant_id = $1 and ($2::text is null or slug = $2)
        order by slug",
    )
    .bind(tx.tenant_id().uuid())
    .bind(slug.map(WorkflowSlug::as_str))
    .fetch_all(tx.connection())
    .await?;
    let drafts = rows
        .into_iter()
        .map(|(definition, saved_at, saved_by)| Draft {
            definition: definition.0,
            saved_at,
            saved_by,
        });
    Ok(drafts.collect())
}
