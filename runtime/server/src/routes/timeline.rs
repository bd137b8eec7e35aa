//! `/records/{module}/{id}/timeline` and `/timeline`: what happened to a record, and what a person
//! did.

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use crm_engine::read::PageRequest;
use crm_engine::timeline::{TimelineEntry, TimelinePlace, What};
use crm_model::{EventId, UserId, Violations};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Parameters, segment};
use crate::page::{List, PageParameters};
use crate::problem::{Problem, ProblemBody};
use crate::routes::activities::ActivityBody;
use crate::routes::history::{ValueChange, changes};

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TimelineEntry)]
pub(crate) struct TimelineBody {
    /// Of the change's event, or of the activity.
    id: String,
    /// `change` or `activity`.
    r#type: &'static str,
    /// On a record's timeline when it happened, on a person's when it was done or written down.
    at: DateTime<Utc>,
    /// One line.
    title: String,
    /// The user.
    by: String,
    module: String,
    record_id: String,
    /// As in a record's history.
    cause: Value,
    change: Option<ChangeBody>,
    activity: Option<ActivityBody>,
}

/// A change of the record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TimelineChange)]
struct ChangeBody {
    /// The record's version after it.
    version: i64,
    /// `record_created`, `record_updated`, `record_deleted` or `record_restored`.
    kind: &'static str,
    /// Field → values.
    changes: BTreeMap<String, ValueChange>,
}

impl From<TimelineEntry> for TimelineBody {
    fn from(entry: TimelineEntry) -> Self {
        let (id, at, title) = (entry.id().to_string(), entry.at, entry.title);
        match entry.what {
            What::Change(change) => Self {
                id,
                r#type: "change",
                at,
                title,
                by: change.entry.changed_by,
                module: change.module.to_string(),
                record_id: change.record_id.to_string(),
                cause: change.entry.cause,
                change: Some(ChangeBody {
                    version: change.entry.version,
                    kind: change.entry.kind.name(),
                    changes: changes(change.entry.before, change.entry.after),
                }),
                activity: None,
            },
            What::Activity(activity) => Self {
                id,
                r#type: "activity",
                at,
                title,
                by: activity.created_by.clone(),
                module: activity.module.to_string(),
                record_id: activity.record_id.to_string(),
                cause: activity.cause.clone(),
                change: None,
                activity: Some(activity.into()),
            },
        }
    }
}

/// Whose timeline, and which part of it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UserTimelineParameters {
    /// A user; `me`, as without it, for the caller.
    user: Option<String>,
    /// Entries on a page: 1 to 200, 50 unless given.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl UserTimelineParameters {
    fn user(&self, caller: &Caller) -> Result<UserId, Problem> {
        match self.user.as_deref() {
            None | Some("me") => Ok(caller.actor.user_id.clone()),
            Some(user) => user
                .parse()
                .map_err(|error: crm_model::names::UserIdError| {
                    Problem::invalid(Violations::one("/user", "user", error.to_string()))
                }),
        }
    }

    fn page(self) -> Result<PageRequest<EventId>, Problem> {
        PageParameters {
            limit: self.limit,
            cursor: self.cursor,
            include: None,
        }
        .request()
    }
}

/// What happened to a record: its changes and the activities of its timeline, newest first.
#[utoipa::path(get, path = "/records/{module}/{id}/timeline", tag = "activities",
    params(("module" = String, Path), ("id" = String, Path), PageParameters),
    responses((status = 200, body = List<TimelineBody>), (status = 404, body = ProblemBody)))]
pub(crate) async fn record_timeline(
    State(app): State<App>,
    caller: Caller,
    Path((module, id)): Path<(String, String)>,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<Json<List<TimelineBody>>, Problem> {
    let page = parameters.request::<TimelinePlace>()?;
    let (module, id) = (segment(&module)?, segment(&id)?);
    let (page, next) = app
        .engine
        .record_timeline(caller.tenant, &caller.actor, (&module, id), page)
        .await?;
    let next = |_: &TimelineEntry| next.to_string();
    Ok(Json(List::page(page, next, TimelineBody::from)))
}

/// What a person did, in the modules that the caller may read, newest first.
#[utoipa::path(get, path = "/timeline", tag = "activities", params(UserTimelineParameters),
    responses((status = 200, body = List<TimelineBody>), (status = 422, body = ProblemBody)))]
pub(crate) async fn user_timeline(
    State(app): State<App>,
    caller: Caller,
    Parameters(parameters): Parameters<UserTimelineParameters>,
) -> Result<Json<List<TimelineBody>>, Problem> {
    let user = parameters.user(&caller)?;
    let page = parameters.page()?;
    let page = app
        .engine
        .user_timeline(caller.tenant, &caller.actor, &user, page)
        .await?;
    Ok(Json(List::page(
        page,
        |entry| entry.id().to_string(),
        TimelineBody::from,
    )))
}
