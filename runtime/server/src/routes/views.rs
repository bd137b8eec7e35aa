//! `/views`: saved views of records, private or shared.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use chrono::{DateTime, Utc};
use crm_model::view::ViewDefinition;
use crm_model::{Data, ModuleSlug};
use crm_store::views::View;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, Parameters, segment};
use crate::once::{Answer, Keyed, once, receipt_of};
use crate::page::{List, PageParameters};
use crate::problem::{Problem, ProblemBody};

/// A saved view.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = View)]
pub(crate) struct ViewBody {
    id: String,
    /// `module`, `name`, `kind` (`table`, `kanban`, `calendar`), `filter`, `columns`, `sort`,
    /// `group_by`, `date_field`, `shared`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    definition: ViewDefinition,
    created_at: DateTime<Utc>,
    created_by: String,
    updated_at: DateTime<Utc>,
    updated_by: String,
}

impl From<View> for ViewBody {
    fn from(view: View) -> Self {
        Self {
            id: view.id.to_string(),
            definition: view.definition,
            created_at: view.created_at,
            created_by: view.created_by.to_string(),
            updated_at: view.updated_at,
            updated_by: view.updated_by.to_string(),
        }
    }
}

/// Which views.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ViewParameters {
    /// Of this module alone.
    module: Option<String>,
    /// Rows on a page: 1 to 200, 50 unless given.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// `total`: also count the whole list.
    include: Option<String>,
}

/// The views that you may use: your own and shared ones, newest first.
#[utoipa::path(get, path = "/views", tag = "views",
    params(ViewParameters),
    responses(
        (status = 200, body = List<ViewBody>),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn views_list(
    State(app): State<App>,
    caller: Caller,
    Parameters(parameters): Parameters<ViewParameters>,
) -> Result<Json<List<ViewBody>>, Problem> {
    let module = parameters.module.as_deref().map(segment::<ModuleSlug>);
    let module = module.transpose()?;
    let page = PageParameters {
        limit: parameters.limit,
        cursor: parameters.cursor,
        include: parameters.include,
    };
    let views = app
        .engine
        .views(
            caller.tenant,
            &caller.actor,
            module.as_ref(),
            page.request()?,
        )
        .await?;
    let cursor = |view: &View| view.id.to_string();
    Ok(Json(List::page(views, cursor, ViewBody::from)))
}

/// Keeps a view: `module`, `name`, and how its records are chosen and shown. Shared ones take the
/// right to update the module's records.
#[utoipa::path(post, path = "/views", tag = "views",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = Object,
    responses(
        (status = 201, body = ViewBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn view_add(
    State(app): State<App>,
    caller: Caller,
    Keyed { key, input }: Keyed<ViewDefinition>,
) -> Result<Response, Problem> {
    let answer = |view: &View| {
        let location = format!("/api/crm/views/{}", view.id);
        Answer::json(StatusCode::CREATED, &ViewBody::from(view.clone()))
            .with_header(header::LOCATION, location)
    };
    once(&app, &caller, key, async |key| {
        let receipt = receipt_of(key, answer);
        let actor = caller.actor.clone();
        let view = app.engine.view_add(caller.tenant, actor, input, receipt);
        Ok(answer(&view.await?))
    })
    .await
}

/// One view.
#[utoipa::path(get, path = "/views/{id}", tag = "views",
    params(("id" = String, Path)),
    responses((status = 200, body = ViewBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn view_get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ViewBody>, Problem> {
    let view = segment(&id)?;
    let view = app.engine.view(caller.tenant, &caller.actor, view).await?;
    Ok(Json(view.into()))
}

/// Changes a view: a merge patch. For its creator and, where it is shared, for those who manage
/// the module.
#[utoipa::path(patch, path = "/views/{id}", tag = "views",
    params(("id" = String, Path)),
    request_body = Object,
    responses(
        (status = 200, body = ViewBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn view_edit(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Body(patch): Body<Data>,
) -> Result<Json<ViewBody>, Problem> {
    let view = segment(&id)?;
    let view = app
        .engine
        .view_edit(caller.tenant, caller.actor, view, patch)
        .await?;
    Ok(Json(view.into()))
}

/// Deletes a view. For those who may change it.
#[utoipa::path(delete, path = "/views/{id}", tag = "views",
    params(("id" = String, Path)),
    responses(
        (status = 204),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn view_remove(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let view = segment(&id)?;
    app.engine
        .view_remove(caller.tenant, caller.actor, view)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
