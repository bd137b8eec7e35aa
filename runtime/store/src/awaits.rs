//! What runs wait for that comes from outside of them.

use chrono::{DateTime, Utc};
use crm_model::flow::Came;
use crm_model::{Event, EventKind, FieldKey, JobId, ModuleSlug, RecordId, StepName, TenantId};
use serde_json::Value;
use sqlx::types::Json;
use std::collections::BTreeMap;
use uuid::Uuid;

use crate::error::StoreError;
use crate::store::Store;
use crate::tenant_tx::TenantTx;

/// What a run is about to wait for.
#[derive(Clone, Debug)]
pub struct NewAwait<'a> {
    pub job: JobId,
    /// The number that the run's place has for it.
    pub work: u64,
    pub step: &'a StepName,
    pub workflow: String,
    /// The record that the run is about there.
    pub module: &'a ModuleSlug,
    pub record: RecordId,
    pub at: DateTime<Utc>,
    pub until: DateTime<Utc>,
    /// What ended it before it began.
    pub result: Option<Value>,
    pub what: AwaitedRow<'a>,
}

/// What comes.
#[derive(Clone, Debug)]
pub enum AwaitedRow<'a> {
    /// That happens to a record of the module, which points to the run's by the field, or is it.
    Event(EventKind, &'a ModuleSlug, Option<&'a FieldKey>),
    Approval {
        id: Uuid,
        approvers: &'a [String],
        title: &'a str,
        body: Option<&'a str>,
        /// When others are asked too.
        escalation: Option<(DateTime<Utc>, &'a [String])>,
    },
    Call,
}

fn signed(work: u64) -> i64 {
    i64::try_from(work).unwrap_or(i64::MAX)
}

/// Whether the run is leased under this token, and stays it until the transaction ends.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn run_is_held(tx: &mut TenantTx, job: JobId, token: Uuid) -> Result<bool, StoreError> {
    let held: Option<i32> = sqlx::query_scalar(
        "select 1 from crm_jobs
        where tenant_id = $1 and id = $2 and state = 'leased' and lease_token = $3
        for share",
    )
    .bind(tx.tenant_id().uuid())
    .bind(job.uuid())
    .bind(token)
    .fetch_optional(tx.connection())
    .await?;
    Ok(held.is_some())
}

/// Says what a run waits for. False where it was said before.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn await_open(tx: &mut TenantTx, new: &NewAwait<'_>) -> Result<bool, StoreError> {
    let tenant = tx.tenant_id().uuid();
    let (kind, event, approval) = match &new.what {
        AwaitedRow::Event(kind, module, link) => ("event", Some((kind, module, link)), None),
        AwaitedRow::Approval {
            id,
            approvers,
            title,
            body,
            escalation,
        } => (
            "approval",
            None,
            Some((id, approvers, title, body, escalation)),
        ),
        AwaitedRow::Call => ("call", None, None),
    };
    if event.is_some() {
        sqlx::query(
            "update tenant_crm_configs set has_awaits = true
            where tenant_id = $1 and not has_awaits",
        )
        .bind(tenant)
        .execute(tx.connection())
        .await?;
    }
    let opened = sqlx::query(
        "insert into crm_awaits (
            tenant_id, job_id, work, kind, step, workflow_slug, module_slug, record_id, opened_at,
            until, result, event_kind, event_module, link, id, approvers, title, body, escalate_at,
            escalate_to)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
            $19, $20)
        on conflict (tenant_id, job_id, work) do nothing",
    )
    .bind(tenant)
    .bind(new.job.uuid())
    .bind(signed(new.work))
    .bind(kind)
    .bind(new.step.as_str())
    .bind(&new.workflow)
    .bind(new.module.as_str())
    .bind(new.record.uuid())
    .bind(new.at)
    .bind(new.until)
    .bind(new.result.as_ref().map(Json))
    .bind(event.map(|(kind, _, _)| kind.name()))
    .bind(event.map(|(_, module, _)| module.as_str()))
    .bind(event.and_then(|(_, _, link)| link.map(FieldKey::as_str)))
    .bind(approval.map(|(id, ..)| *id))
    .bind(approval.map(|(_, approvers, ..)| approvers.to_vec()))
    .bind(approval.map(|(_, _, title, ..)| *title))
    .bind(approval.and_then(|(_, _, _, body, _)| *body))
    .bind(approval.and_then(|(.., escalation)| escalation.map(|(at, _)| at)))
    .bind(approval.and_then(|(.., escalation)| escalation.map(|(_, to)| to.to_vec())))
    .execute(tx.connection())
    .await?;
    Ok(opened.rows_affected() == 1)
}

/// How much earlier than another event a later one may seem to be, where clocks differ.
const CLOCKS_DIFFER_MILLISECONDS: u128 = 60_000;
/// Bits of a UUID of version 7 behind its milliseconds.
const BEHIND_MILLISECONDS: u32 = 80;

/// Tells a run that has just said what it waits for what of it came since that event of its
/// record. The record is locked meanwhile ([`records_lock`](crate::records::records_lock)), so
/// nothing is told twice, or not at all.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn await_catch_up(
    tx: &mut TenantTx,
    (job, work): (JobId, u64),
    since: &Event,
) -> Result<(), StoreError> {
    // Ids of events begin with their time, so that only what is newer is read.
    let milliseconds = since.id.uuid().as_u128() >> BEHIND_MILLISECONDS;
    let from = milliseconds.saturating_sub(CLOCKS_DIFFER_MILLISECONDS) << BEHIND_MILLISECONDS;
    sqlx::query(
        "update crm_awaits w
        set events = array(
            select e.id from crm_events e
            where e.tenant_id = $1 and e.id > $4 and e.record_id = w.record_id
                and e.record_version > $5
                and e.kind = w.event_kind and e.module_slug = w.event_module
            order by e.record_version
            limit 1000)
        where w.tenant_id = $1 and w.job_id = $2 and w.work = $3",
    )
    .bind(tx.tenant_id().uuid())
    .bind(job.uuid())
    .bind(signed(work))
    .bind(Uuid::from_u128(from))
    .bind(since.record_version)
    .execute(tx.connection())
    .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct CameRow {
    work: i64,
    result: Option<Json<Value>>,
    event: Option<Json<Event>>,
}

/// What came for the ways of a run that wait, by their numbers. Those of `dismissed` were looked at
/// (each `<number>:<event>`); what has waited too long, and has nothing to look at, has expired.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn awaits_look(
    store: &Store,
    (tenant, job): (TenantId, JobId),
    works: &[u64],
    dismissed: &[String],
    now: DateTime<Utc>,
) -> Result<BTreeMap<u64, Came>, StoreError> {
    let works: Vec<i64> = works.iter().copied().map(signed).collect();
    let mut lent = store.for_statement().await?;
    let rows = sqlx::query_as("select * from crm_awaits_look($1, $2, $3, $4, $5)")
        .bind(tenant.uuid())
        .bind(job.uuid())
        .bind(works)
        .bind(dismissed)
        .bind(now)
        .fetch_all(lent.connection())
        .await;
    let rows: Vec<CameRow> = lent.give_back(rows)?;
    let mut came = BTreeMap::new();
    for row in rows {
        let work = row.work.unsigned_abs();
        match (row.result, row.event) {
            (Some(result), _) => {
                came.insert(work, Came::Result(result.0));
            }
            (None, Some(event)) => {
                let events = || Came::Events(Vec::new());
                if let Came::Events(events) = came.entry(work).or_insert_with(events) {
                    events.push(event.0);
                }
            }
            (None, None) => {}
        }
    }
    Ok(came)
}

/// Somebody's word that a run waits for, or waited for.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct ApprovalRow {
    pub id: Uuid,
    pub job_id: Uuid,
    pub step: String,
    pub workflow_slug: String,
    pub module_slug: String,
    pub record_id: Uuid,
    pub approvers: Vec<String>,
    pub title: String,
    pub body: Option<String>,
    pub opened_at: DateTime<Utc>,
    pub until: DateTime<Utc>,
    /// When others are asked too; none: nobody else is.
    pub escalate_at: Option<DateTime<Utc>>,
    #[sqlx(json(nullable))]
    pub result: Option<Value>,
    /// Whether the run may still be told.
    pub is_open: bool,
}

/// An approval that more people are asked for.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Escalated {
    #[sqlx(try_from = "String")]
    pub module_slug: ModuleSlug,
    pub record_id: Uuid,
    pub title: String,
    pub body: Option<String>,
    /// Who is asked now, and was not before.
    pub added: Vec<String>,
}

/// Adds those who are asked later, where nobody has answered until then.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn approvals_escalate(
    tx: &mut TenantTx,
    job: JobId,
    now: DateTime<Utc>,
) -> Result<Vec<Escalated>, StoreError> {
    let escalated = sqlx::query_as(
        "update crm_awaits w
        set approvers = w.approvers || due.added, escalate_at = null
        from (
            select d.work, array(
                select e from unnest(d.escalate_to) e where e <> all (d.approvers)) as added
            from crm_awaits d
            where d.tenant_id = $1 and d.job_id = $2 and d.result is null
                and d.escalate_at <= $3
            for update
        ) due
        where w.tenant_id = $1 and w.job_id = $2 and w.work = due.work
        returning w.module_slug, w.record_id, w.title, w.body, due.added",
    )
    .bind(tx.tenant_id().uuid())
    .bind(job.uuid())
    .bind(now)
    .fetch_all(tx.connection())
    .await?;
    Ok(escalated)
}

/// Which approvals are asked for.
#[derive(Clone, Debug, Default)]
pub struct ApprovalFilter<'a> {
    /// Those that one of these may give; none: all.
    pub approvers: Option<&'a [String]>,
    /// Only those that a run waits for, or only those that none does any more.
    pub open: Option<bool>,
    pub record: Option<RecordId>,
}

const APPROVAL: &str = "select w.id, w.job_id, w.step, w.workflow_slug, w.module_slug, w.record_id,
    w.approvers, w.title, w.body, w.opened_at, w.until, w.escalate_at, w.result,
    w.result is null and w.until > $2 and exists (
        select from crm_jobs j
        where j.tenant_id = w.tenant_id and j.id = w.job_id
            and j.state in ('waiting', 'queued', 'leased')) as is_open
    from crm_awaits w
    where w.tenant_id = $1 and w.kind = 'approval'";

/// A page of approvals, the newest first.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn approvals_page(
    tx: &mut TenantTx,
    filter: &ApprovalFilter<'_>,
    now: DateTime<Utc>,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<ApprovalRow>, StoreError> {
    let page = format!(
        "select * from ({APPROVAL}
            and ($3::text[] is null or w.approvers && $3)
            and ($4::uuid is null or w.record_id = $4)
            and ($6::uuid is null or w.id < $6)
            and ($5::boolean is distinct from true or w.result is null)
        ) a
        where $5::boolean is null or a.is_open = $5
        order by a.id desc
        limit $7"
    );
    let rows = sqlx::query_as(sqlx::AssertSqlSafe(page))
        .bind(tx.tenant_id().uuid())
        .bind(now)
        .bind(filter.approvers)
        .bind(filter.record.map(RecordId::uuid))
        .bind(filter.open)
        .bind(before)
        .bind(i64::from(limit))
        .fetch_all(tx.connection())
        .await?;
    Ok(rows)
}

/// One of them, which nobody else decides until the transaction ends.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn approval_lock(
    tx: &mut TenantTx,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<ApprovalRow>, StoreError> {
    let one = format!("{APPROVAL} and w.id = $3 for update of w");
    let row = sqlx::query_as(sqlx::AssertSqlSafe(one))
        .bind(tx.tenant_id().uuid())
        .bind(now)
        .bind(id)
        .fetch_optional(tx.connection())
        .await?;
    Ok(row)
}

/// Gives a run the word that it waits for; the row is locked.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn approval_answer(
    tx: &mut TenantTx,
    id: Uuid,
    result: &Value,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let job: Uuid = sqlx::query_scalar(
        "update crm_awaits set result = $3
        where tenant_id = $1 and id = $2 and kind = 'approval' and result is null
        returning job_id",
    )
    .bind(tx.tenant_id().uuid())
    .bind(id)
    .bind(Json(result))
    .fetch_one(tx.connection())
    .await?;
    // A second statement, so that it sees a run that came to rest while the row was locked.
    sqlx::query(
        "update crm_jobs set available_at = least(available_at, $3)
        where tenant_id = $1 and id = $2 and state = 'queued'",
    )
    .bind(tx.tenant_id().uuid())
    .bind(job)
    .bind(at)
    .execute(tx.connection())
    .await?;
    Ok(())
}
