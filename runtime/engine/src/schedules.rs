//! Workflows that a time starts: a clock's, or one that records name. Every instance looks; whoever
//! locks what is due starts its runs, a page of records at a time, and says where to go on or when
//! to look again, in one commit.

use chrono::{DateTime, TimeDelta, Utc};
use crm_model::limits::{
    QUERY_MAX_MILLISECONDS, SCHEDULE_MAX_DUE, SCHEDULE_PAGE_RECORDS, SCHEDULE_PAUSE_SECONDS,
};
use crm_model::query::{Query, QueryInput, Scope};
use crm_model::schedule::Schedule;
use crm_model::workflow::Workflow;
use crm_model::{EventId, EventKind, Model, Priority, TenantId, WorkflowSlug};
use crm_store::TenantTx;
use crm_store::records::Record;
use crm_store::schedules::{SchedulePage, ScheduleRow};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::begin::{Began, Happening, nobody};
use crate::query::read_page;
use crate::{Engine, EngineError, fresh};

/// Whoever stands in the events that a time caused.
const CLOCK: &str = "clock";

/// How much of what was due has been started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Whole,
    /// There is more.
    InPart,
}

impl Engine {
    /// Starts what is due, looking for it that often, until `stop`.
    pub async fn keep_schedules(&self, poll: Duration, stop: CancellationToken) {
        loop {
            let pause = match self.schedules_look().await {
                Ok(Kept::InPart) => Duration::ZERO,
                Ok(Kept::Whole) => poll,
                Err(error) => {
                    tracing::warn!(%error, "what is scheduled cannot be looked up");
                    poll
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// One page of each that is due, so that none waits for another's million records.
    async fn schedules_look(&self) -> Result<Kept, EngineError> {
        let due = crm_store::schedules::schedules_due(self.store(), fresh::now(), SCHEDULE_MAX_DUE)
            .await?;
        let mut kept = match usize::try_from(SCHEDULE_MAX_DUE) {
            Ok(most) if due.len() < most => Kept::Whole,
            _ => Kept::InPart,
        };
        for (tenant, slug) in &due {
            match self.schedule_keep(*tenant, slug).await {
                Ok(Kept::Whole) => {}
                Ok(Kept::InPart) => kept = Kept::InPart,
                Err(error) => {
                    tracing::warn!(
                        tenant.id = %tenant, workflow = %slug, %error,
                        "a scheduled workflow could not be started; it is tried again"
                    );
                    self.schedule_pause(*tenant, slug).await?;
                }
            }
        }
        Ok(kept)
    }

    /// Starts the runs of one workflow whose time has come: of records, those of one page.
    async fn schedule_keep(
        &self,
        tenant: TenantId,
        slug: &WorkflowSlug,
    ) -> Result<Kept, EngineError> {
        let now = fresh::now();
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let Some(mut row) = crm_store::schedules::schedule_lock(&mut tx, slug, now).await? else {
            return Ok(Kept::Whole);
        };
        let model = self.model_at(tenant, tx.model_version()).await?;
        let workflow = model.as_ref().and_then(|model| model.workflow(slug));
        let workflow = workflow.filter(|workflow| !workflow.is_paused());
        let schedule = workflow.and_then(|workflow| workflow.schedule());
        let (Some(model), Some(workflow), Some(schedule)) = (&model, workflow, schedule) else {
            crm_store::schedules::schedule_remove(&mut tx, slug).await?;
            tx.commit().await?;
            return Ok(Kept::Whole);
        };
        let zone = model.settings().time_zone;
        let (reached, cursor) = match row.page.take() {
            Some(page) => (Some(page.until), Some(page.cursor)),
            None => (schedule.reached(now, zone), None),
        };
        let started = match (schedule.field(), &row.reached, &reached) {
            (Some(field), Some(from), Some(to)) => {
                let between = (field.as_str(), from.as_str(), to.as_str());
                let (started, next) = self
                    .start_each(&mut tx, (model, workflow), between, cursor)
                    .await?;
                row.page = next.map(|cursor| SchedulePage {
                    until: to.clone(),
                    cursor,
                });
                started
            }
            (Some(_), ..) => 0,
            (None, ..) => {
                let payload = json!({ "scheduled_for": row.next_at });
                let run = (None, &payload);
                self.start_timed(&mut tx, (model, workflow), run, now)
                    .await?
            }
        };
        let kept = match (&row.page, schedule.next(now, zone)) {
            (Some(_), _) => {
                // As due as it was, so its next page's turn is the next.
                crm_store::schedules::schedule_put(&mut tx, slug, &row).await?;
                Kept::InPart
            }
            (None, Some(next_at)) => {
                let row = ScheduleRow {
                    next_at,
                    reached,
                    page: None,
                };
                crm_store::schedules::schedule_put(&mut tx, slug, &row).await?;
                Kept::Whole
            }
            (None, None) => {
                crm_store::schedules::schedule_remove(&mut tx, slug).await?;
                Kept::Whole
            }
        };
        tx.commit().await?;
        self.runs_began(tenant, started);
        Ok(kept)
    }

    /// One run for each record of a page of those whose field has a value behind `from`, up to
    /// `to`. How many were started, and where the next page begins.
    async fn start_each(
        &self,
        tx: &mut TenantTx,
        (model, workflow): (&Model, &Workflow),
        (field, from, to): (&str, &str, &str),
        cursor: Option<String>,
    ) -> Result<(i64, Option<String>), EngineError> {
        if from >= to {
            return Ok((0, None));
        }
        let now = fresh::now();
        let scope = Scope::host(model, now);
        let input = QueryInput {
            filter: Some(json!({ "and": [
                { "field": field, "op": "gt", "value": from },
                { "field": field, "op": "lte", "value": to },
            ] })),
            limit: Some(SCHEDULE_PAGE_RECORDS),
            cursor,
            ..QueryInput::default()
        };
        let module = &workflow.definition().module;
        let query = Query::parse(scope, module, &input).map_err(EngineError::invalid)?;
        let mut reading =
            TenantTx::begin_query(self.store(), model.tenant_id(), QUERY_MAX_MILLISECONDS).await?;
        let page = read_page(&mut reading, scope, &query).await?;
        drop(reading);
        let mut started = 0;
        for row in page.rows {
            let record = row.found.record;
            let payload = json!({ "field": field, "value": record.data.get(field) });
            let run = (Some(&record), &payload);
            started += self.start_timed(tx, (model, workflow), run, now).await?;
        }
        Ok((started, page.next_cursor))
    }

    /// Starts one run, unless the workflow's condition does not hold. How many were started.
    async fn start_timed(
        &self,
        tx: &mut TenantTx,
        of: (&Model, &Workflow),
        (record, payload): (Option<&Record>, &Value),
        at: DateTime<Utc>,
    ) -> Result<i64, EngineError> {
        let what = Happening {
            id: EventId::new(fresh::id()),
            kind: EventKind::TimeReached,
            by: nobody(CLOCK)?,
            depth: 0,
            priority: Priority::Normal,
            record,
            payload: payload.clone(),
            at,
            parent: None,
        };
        let began = self.run_begin(tx, of, what).await?;
        Ok(i64::from(matches!(began, Began::Run(_))))
    }

    async fn schedule_pause(
        &self,
        tenant: TenantId,
        slug: &WorkflowSlug,
    ) -> Result<(), EngineError> {
        let now = fresh::now();
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        if let Some(row) = crm_store::schedules::schedule_lock(&mut tx, slug, now).await? {
            let row = ScheduleRow {
                next_at: now + TimeDelta::seconds(SCHEDULE_PAUSE_SECONDS),
                ..row
            };
            crm_store::schedules::schedule_put(&mut tx, slug, &row).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}

/// What is written down of when to look at workflows, after the model has changed: nothing that was
/// reached before counts.
pub(crate) async fn schedules_settle(
    tx: &mut TenantTx,
    before: Option<&Model>,
    after: &Model,
    now: DateTime<Utc>,
) -> Result<(), EngineError> {
    let zone = after.settings().time_zone;
    for workflow in after.workflows() {
        let Some(schedule) = live(workflow) else {
            continue;
        };
        let slug = &workflow.definition().slug;
        let same = before.is_some_and(|before| {
            let was = before.workflow(slug);
            let is_same = |was: &Workflow| {
                live(was).is_some() && was.definition().trigger == workflow.definition().trigger
            };
            was.is_some_and(|was| is_same(was)) && before.settings().time_zone == zone
        });
        if let (false, Some(next_at)) = (same, schedule.next(now, zone)) {
            let reached = schedule.reached(now, zone);
            let row = ScheduleRow {
                next_at,
                reached,
                page: None,
            };
            crm_store::schedules::schedule_put(tx, slug, &row).await?;
        }
    }
    let were = before.map(Model::workflows).unwrap_or_default();
    for workflow in were.iter().filter(|workflow| live(workflow).is_some()) {
        let slug = &workflow.definition().slug;
        if after.workflow(slug).and_then(|after| live(after)).is_none() {
            crm_store::schedules::schedule_remove(tx, slug).await?;
        }
    }
    Ok(())
}

/// The times of a workflow that does not rest.
fn live(workflow: &Workflow) -> Option<&Schedule> {
    workflow.schedule().filter(|_| !workflow.is_paused())
}
