//! `/search`: records of all modules, by their words.

use axum::Json;
use axum::extract::State;
use crm_engine::search::{Found, SearchPlace};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::auth::Caller;
use crate::extract::Parameters;
use crate::page::{List, PageParameters};
use crate::problem::{Problem, ProblemBody};
use crate::routes::records::RecordBody;

/// What to look for, and where.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SearchParameters {
    /// Words, at most ten: records have all of them, the last one at least as it begins.
    #[serde(default)]
    q: String,
    /// Names of modules, with commas in between; all that the caller may read unless given.
    modules: Option<String>,
    /// Records on a page: 1 to 200, 50 unless given.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A record that was found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Found)]
pub(crate) struct FoundBody {
    module: String,
    id: String,
    /// What names it to people.
    title: Option<String>,
    /// How many of its words fit, those in full counted twice.
    score: i64,
    record: RecordBody,
}

impl From<Found> for FoundBody {
    fn from(found: Found) -> Self {
        Self {
            module: found.record.module.to_string(),
            id: found.record.id.to_string(),
            title: found.title,
            score: found.score,
            record: found.record.into(),
        }
    }
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FoundList {
    #[serde(flatten)]
    list: List<FoundBody>,
    /// Otherwise the words are so common that there may be more: look for a rarer one.
    complete: bool,
}

/// Records of all modules that the caller may read, by the words of their searchable fields: those
/// of which more words fit first, then the newest.
#[utoipa::path(get, path = "/search", tag = "records", params(SearchParameters),
    responses((status = 200, body = FoundList), (status = 422, body = ProblemBody)))]
pub(crate) async fn search(
    State(app): State<App>,
    caller: Caller,
    Parameters(parameters): Parameters<SearchParameters>,
) -> Result<Json<FoundList>, Problem> {
    let page = PageParameters {
        limit: parameters.limit,
        cursor: parameters.cursor,
        include: None,
    };
    let page = page.request::<SearchPlace>()?;
    let modules = parameters.modules.as_deref();
    let modules: Option<Vec<&str>> = modules.map(|names| names.split(',').map(str::trim).collect());
    let found = app
        .engine
        .search(
            caller.tenant,
            &caller.actor,
            &parameters.q,
            modules.as_deref(),
            page,
        )
        .await?;
    let last = found.last;
    let cursor = |_: &Found| last.map(|last| last.to_string()).unwrap_or_default();
    Ok(Json(FoundList {
        list: List::page(found.page, cursor, FoundBody::from),
        complete: found.complete,
    }))
}
