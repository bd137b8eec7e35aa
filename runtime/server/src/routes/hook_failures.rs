//! `/hook-failures`: changes over which the template's `before-save` failed.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use crm_model::HookFailureId;
use crm_store::hook_failures::HookFailure;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::auth::Caller;
use crate::extract::Parameters;
use crate::page::{List, PageParameters};
use crate::problem::{Problem, ProblemBody};

/// Which part of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HookFailureParameters {
    /// Rows on a page: 1 to 200, 50 unless given.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A hook that failed over a change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HookFailure)]
pub(crate) struct HookFailureBody {
    id: String,
    at: DateTime<Utc>,
    /// The hook: `before_save`.
    hook: &'static str,
    template: String,
    version: String,
    module: String,
    /// What was done to the record: `create` or `update`.
    kind: String,
    /// Null for a new record.
    record_id: Option<String>,
    /// Who wanted to make the change.
    user_id: String,
    /// How it failed: `trapped`, `timed_out`, `nonsense`, `misfit` (what it added breaks the
    /// model), …; `stopped` or `left_alone` where it was not called.
    #[schema(example = "trapped")]
    status: String,
    /// What became of the change: `refused`, or `passed` as it was sent.
    outcome: String,
    reason: String,
    /// 1, or how many failures of the same minute this one stands for, which were too many to keep
    /// each.
    failures: i64,
}

impl From<HookFailure> for HookFailureBody {
    fn from(failure: HookFailure) -> Self {
        Self {
            id: failure.id.to_string(),
            at: failure.at,
            hook: "before_save",
            template: failure.template_slug,
            version: failure.template_version,
            module: failure.module_slug,
            kind: failure.kind,
            record_id: failure.record_id.map(|id| id.to_string()),
            user_id: failure.user_id,
            status: failure.status,
            outcome: failure.outcome,
            reason: failure.reason,
            failures: failure.failures,
        }
    }
}

/// Failures of the template's `before-save`, newest first, within a second or so; for those who
/// manage everything. Failures of `after-event` are runs.
#[utoipa::path(get, path = "/hook-failures", tag = "workflows", params(HookFailureParameters),
    responses(
        (status = 200, body = List<HookFailureBody>),
        (status = 403, body = ProblemBody),
    ))]
pub(crate) async fn hook_failures_list(
    State(app): State<App>,
    caller: Caller,
    Parameters(parameters): Parameters<HookFailureParameters>,
) -> Result<Json<List<HookFailureBody>>, Problem> {
    let page = PageParameters {
        limit: parameters.limit,
        cursor: parameters.cursor,
        include: None,
    };
    let page = page.request::<HookFailureId>()?;
    let page = app
        .engine
        .hook_failures_list(caller.tenant, &caller.actor, page)
        .await?;
    Ok(Json(List::page(
        page,
        |failure| failure.id.to_string(),
        HookFailureBody::from,
    )))
}
