//! `/notifications`: notes of workflows to people; everybody has their own.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use crm_store::notifications::Notification;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Parameters, segment};
use crate::once::{Answer, Keyed, KeyedOrEmpty, Nothing, once, receipt_of};
use crate::page::{List, PageParameters};
use crate::problem::{Problem, ProblemBody};

/// A note to you.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Notification)]
pub(crate) struct NotificationBody {
    id: String,
    title: String,
    body: Option<String>,
    /// What sent it.
    workflow: String,
    /// The record that it is about.
    module: String,
    record_id: String,
    created_at: DateTime<Utc>,
    /// Null while you have not read it.
    read_at: Option<DateTime<Utc>>,
}

impl From<Notification> for NotificationBody {
    fn from(note: Notification) -> Self {
        Self {
            id: note.id.to_string(),
            title: note.title,
            body: note.body,
            workflow: note.workflow_slug,
            module: note.module_slug,
            record_id: note.record_id.to_string(),
            created_at: note.created_at,
            read_at: note.read_at,
        }
    }
}

/// Which notes.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct NotificationParameters {
    /// `true`: only those that you have not read.
    unread: Option<bool>,
    /// Notes on a page: 1 to 200, 50 unless given.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Your notes, newest first.
#[utoipa::path(get, path = "/notifications", tag = "notifications",
    params(NotificationParameters),
    responses((status = 200, body = List<NotificationBody>)))]
pub(crate) async fn notifications_list(
    State(app): State<App>,
    caller: Caller,
    Parameters(parameters): Parameters<NotificationParameters>,
) -> Result<Json<List<NotificationBody>>, Problem> {
    let page = PageParameters {
        limit: parameters.limit,
        cursor: parameters.cursor,
        include: None,
    };
    let unread = parameters.unread.unwrap_or_default();
    let notes = app
        .engine
        .notifications(caller.tenant, &caller.actor, unread, page.request()?);
    Ok(Json(List::page(
        notes.await?,
        |note| note.id.to_string(),
        NotificationBody::from,
    )))
}

/// Says that you have read a note. Again changes nothing.
#[utoipa::path(post, path = "/notifications/{id}/read", tag = "notifications",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 200, body = NotificationBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn notification_read(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    KeyedOrEmpty(Keyed {
        key,
        input: Nothing {},
    }): KeyedOrEmpty<Nothing>,
) -> Result<Response, Problem> {
    let id = segment(&id)?;
    let answer =
        |note: &Notification| Answer::json(StatusCode::OK, &NotificationBody::from(note.clone()));
    once(&app, &caller, key, async |key| {
        let (actor, receipt) = (caller.actor.clone(), receipt_of(key, answer));
        let read = app
            .engine
            .notification_read(caller.tenant, actor, id, receipt);
        Ok(answer(&read.await?))
    })
    .await
}
