//! `/approvals`: words of people that workflows wait for.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use crm_engine::approvals::{Approvals, Decision};
use crm_model::RecordId;
use crm_store::awaits::ApprovalRow;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Parameters, segment};
use crate::once::{Answer, Keyed, once, receipt_of};
use crate::page::{List, PageParameters};
use crate::problem::{Problem, ProblemBody};

/// What somebody is asked by a run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Approval)]
pub(crate) struct ApprovalBody {
    id: String,
    title: String,
    text: Option<String>,
    /// `open`, `approved`, `rejected`, `expired`, or `over`, where the run has ended.
    status: String,
    /// Who may decide it: names of people, and roles as `role:manager`.
    by: Vec<String>,
    workflow: String,
    step: String,
    run_id: String,
    /// The record that it is about.
    module: String,
    record_id: String,
    asked_at: DateTime<Utc>,
    /// When nobody waits for it any more.
    until: DateTime<Utc>,
    /// When others are asked too, where nobody has answered by then; then they stand in `by`.
    escalates_at: Option<DateTime<Utc>>,
    decided_by: Option<String>,
    decided_at: Option<String>,
    comment: Option<String>,
}

impl From<ApprovalRow> for ApprovalBody {
    fn from(row: ApprovalRow) -> Self {
        let said = |name: &str| {
            let said = row.result.as_ref()?.get(name)?;
            said.as_str().map(str::to_owned)
        };
        let status = match (row.is_open, said("status")) {
            (true, _) => "open".to_owned(),
            (false, Some(status)) => status,
            (false, None) => "over".to_owned(),
        };
        Self {
            status,
            decided_by: said("by"),
            decided_at: said("at"),
            comment: said("comment"),
            id: row.id.to_string(),
            title: row.title,
            text: row.body,
            by: row.approvers,
            workflow: row.workflow_slug,
            step: row.step,
            run_id: row.job_id.to_string(),
            module: row.module_slug,
            record_id: row.record_id.to_string(),
            asked_at: row.opened_at,
            until: row.until,
            escalates_at: row.escalate_at,
        }
    }
}

/// Which approvals.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ApprovalParameters {
    /// `true`: those that a run waits for; `false`: those that none does any more.
    open: Option<bool>,
    /// `true`: what others are asked too; for those who manage everything.
    all: Option<bool>,
    #[param(value_type = Option<String>)]
    record_id: Option<RecordId>,
    /// Approvals on a page: 1 to 200, 50 unless given.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// What you are asked by workflows, newest first.
#[utoipa::path(get, path = "/approvals", tag = "workflows",
    params(ApprovalParameters),
    responses(
        (status = 200, body = List<ApprovalBody>),
        (status = 403, body = ProblemBody),
    ))]
pub(crate) async fn approvals_list(
    State(app): State<App>,
    caller: Caller,
    Parameters(parameters): Parameters<ApprovalParameters>,
) -> Result<Json<List<ApprovalBody>>, Problem> {
    let page = PageParameters {
        limit: parameters.limit,
        cursor: parameters.cursor,
        include: None,
    };
    let which = Approvals {
        open: parameters.open,
        record: parameters.record_id,
        all: parameters.all.unwrap_or_default(),
    };
    let page = page.request()?;
    let rows = app
        .engine
        .approvals(caller.tenant, &caller.actor, which, page);
    Ok(Json(List::page(
        rows.await?,
        |row| row.id.to_string(),
        ApprovalBody::from,
    )))
}

/// One of them.
#[utoipa::path(get, path = "/approvals/{id}", tag = "workflows",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = ApprovalBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn approval_get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ApprovalBody>, Problem> {
    let row = app
        .engine
        .approval(caller.tenant, &caller.actor, segment(&id)?);
    Ok(Json(row.await?.into()))
}

/// A word.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecisionInput {
    decision: DecisionWord,
    /// Why, for whoever looks at it, and for the steps that follow.
    #[schema(max_length = 2000)]
    comment: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DecisionWord {
    Approve,
    Reject,
}

/// Gives the word that a run waits for, which goes on with it. The first one counts.
#[utoipa::path(post, path = "/approvals/{id}/decide", tag = "workflows",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = DecisionInput,
    responses(
        (status = 200, body = ApprovalBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn approval_decide(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Keyed { key, input }: Keyed<DecisionInput>,
) -> Result<Response, Problem> {
    let id = segment(&id)?;
    let answer = |row: &ApprovalRow| Answer::json(StatusCode::OK, &ApprovalBody::from(row.clone()));
    once(&app, &caller, key, async |key| {
        let decision = Decision {
            approved: input.decision == DecisionWord::Approve,
            comment: input.comment,
        };
        let (actor, receipt) = (caller.actor.clone(), receipt_of(key, answer));
        let decided = app
            .engine
            .approval_decide(caller.tenant, actor, id, decision, receipt);
        Ok(answer(&decided.await?))
    })
    .await
}
