//! `/records/{module}/{id}/history`: who changed which value, when and why.

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use crm_store::history::HistoryEntry;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

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
    /// `record_created`, `record_updated` or `record_deleted`.
    kind: String,
    changed_at: DateTime<Utc>,
    changed_by: String,
    /// A person (`user`) or a workflow's run.
    cause: Value,
    /// Field → values.
    changes: BTreeMap<String, ValueChange>,
}

/// A value before and after; null where there was or is none.
#[derive(Debug, Serialize, ToSchema)]
struct ValueChange {
    from: Option<Value>,
    to: Option<Value>,
}

impl From<HistoryEntry> for HistoryBody {
    fn from(mut entry: HistoryEntry) -> Self {
        let fields: BTreeSet<String> = entry
            .before
            .keys()
            .chain(entry.after.keys())
            .cloned()
            .collect();
        let changes = fields.into_iter().map(|field| {
            let (from, to) = (entry.before.remove(&field), entry.after.remove(&field));
            (field, ValueChange { from, to })
        });
        Self {
            changes: changes.collect(),
            version: entry.version,
            kind: entry.kind,
            changed_at: entry.changed_at,
            changed_by: entry.changed_by,
            cause: entry.cause,
        }
    }
}

/// A record's versions, newest first.
#[utoipa::path(get, path = "/records/{module}/{id}/history", tag = "records",
    params(("module" = String, Path), ("id" = String, Path), PageParameters),
    responses((status = 200, body = List<HistoryBody>), (status = 404, body = ProblemBody)))]
pub(crate) async fn history_list(
    State(app): State<App>,
    caller: Caller,
    Path((module, id)): Path<(String, String)>,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<Json<List<HistoryBody>>, Problem> {
    let page = parameters.request::<i64>()?;
    let (module, id) = (segment(&module)?, segment(&id)?);
    let page = app
        .engine
        .history(caller.tenant, &caller.actor, &module, id, page)
        .await?;
    Ok(Json(List::page(
        page,
        |entry| entry.version.to_string(),
        HistoryBody::from,
    )))
}
