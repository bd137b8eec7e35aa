//! `/records/{module}/{id}/history`: who changed which value, when and why; and `…/stages`: how
//! long the record stood in each stage of a pipeline.

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use crm_model::Data;
use crm_model::stages::Stay;
use crm_store::history::HistoryEntry;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Parameters, segment};
use crate::page::{List, PageParameters};
use crate::problem::{Problem, ProblemBody};

/// One version of a record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HistoryEntry)]
pub(crate) struct HistoryBody {
    version: i64,
    /// `record_created`, `record_updated`, `record_deleted` or `record_restored`.
    kind: &'static str,
    changed_at: DateTime<Utc>,
    changed_by: String,
    /// By `kind`: a person (`user`), a file (`import`, with its id), a workflow's run
    /// (`workflow`, with workflow, run, plugin and plugin_version) or the host (`system`).
    cause: Value,
    /// Field → values.
    changes: BTreeMap<String, ValueChange>,
    /// Whose the record is from then on, where it changed hands.
    #[serde(skip_serializing_if = "Option::is_none")]
    new_owner_id: Option<String>,
}

/// A value before and after; null where there was or is none.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ValueChange {
    from: Option<Value>,
    to: Option<Value>,
}

/// Changed fields with their values.
pub(crate) fn changes(mut before: Data, mut after: Data) -> BTreeMap<String, ValueChange> {
    let fields: BTreeSet<String> = before.keys().chain(after.keys()).cloned().collect();
    let change = |field: String| {
        let (from, to) = (before.remove(&field), after.remove(&field));
        (field, ValueChange { from, to })
    };
    fields.into_iter().map(change).collect()
}

impl From<HistoryEntry> for HistoryBody {
    fn from(entry: HistoryEntry) -> Self {
        Self {
            changes: changes(entry.before, entry.after),
            version: entry.version,
            kind: entry.kind.name(),
            changed_at: entry.changed_at,
            changed_by: entry.changed_by,
            cause: entry.cause,
            new_owner_id: entry.new_owner_id,
        }
    }
}

/// Which part of a history.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryParameters {
    /// Only the versions in which this field got another value.
    field: Option<String>,
    /// Versions on a page: 1 to 200, 50 unless given.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A record's versions, newest first.
#[utoipa::path(get, path = "/records/{module}/{id}/history", tag = "records",
    params(("module" = String, Path), ("id" = String, Path), HistoryParameters),
    responses((status = 200, body = List<HistoryBody>), (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
pub(crate) async fn history_list(
    State(app): State<App>,
    caller: Caller,
    Path((module, id)): Path<(String, String)>,
    Parameters(parameters): Parameters<HistoryParameters>,
) -> Result<Json<List<HistoryBody>>, Problem> {
    let page = PageParameters {
        limit: parameters.limit,
        cursor: parameters.cursor,
        include: None,
    };
    let (page, field) = (page.request::<i64>()?, parameters.field.as_deref());
    let (module, id) = (segment(&module)?, segment(&id)?);
    let page = app
        .engine
        .history(caller.tenant, &caller.actor, (&module, id), field, page)
        .await?;
    Ok(Json(List::page(
        page,
        |entry| entry.version.to_string(),
        HistoryBody::from,
    )))
}

/// Some time that a record stood in a stage.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stay)]
pub(crate) struct StayBody {
    /// The pipeline.
    field: String,
    /// The option's value.
    stage: String,
    entered_at: DateTime<Utc>,
    /// Null: it stands there now.
    left_at: Option<DateTime<Utc>>,
    /// How long it stood there, until now where it still does.
    seconds: i64,
}

impl StayBody {
    fn until(now: DateTime<Utc>) -> impl Fn(Stay) -> Self {
        move |stay| Self {
            field: stay.field.to_string(),
            stage: stay.stage,
            entered_at: stay.entered_at,
            left_at: stay.left_at,
            seconds: (stay.left_at.unwrap_or(now) - stay.entered_at).num_seconds(),
        }
    }
}

/// How long a record stood in each stage of its pipelines (selects with stages), the first stay
/// first. Time in the trash counts for no stage. Of more than 10,000 changes the newest count.
#[utoipa::path(get, path = "/records/{module}/{id}/stages", tag = "records",
    params(("module" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = List<StayBody>), (status = 404, body = ProblemBody)))]
pub(crate) async fn stages_list(
    State(app): State<App>,
    caller: Caller,
    Path((module, id)): Path<(String, String)>,
) -> Result<Json<List<StayBody>>, Problem> {
    let (module, id) = (segment(&module)?, segment(&id)?);
    let (stays, now) = app
        .engine
        .stages(caller.tenant, &caller.actor, &module, id)
        .await?;
    let stays = stays.into_iter().map(StayBody::until(now)).collect();
    Ok(Json(List::whole(stays)))
}
