//! `/records/{module}`: the records themselves.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use crm_engine::write::Written;
use crm_model::{Data, Mutation};
use crm_store::records::Record;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, Parameters, if_match, segment};
use crate::problem::{Kind, Problem, ProblemBody};

/// A record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Record)]
pub(crate) struct RecordBody {
    id: String,
    module: String,
    version: i64,
    /// Values by field; see the module's schema.
    #[schema(value_type = Object)]
    data: Data,
    owner_id: String,
    created_at: DateTime<Utc>,
    created_by: String,
    updated_at: DateTime<Utc>,
    updated_by: String,
    deleted_at: Option<DateTime<Utc>>,
}

impl RecordBody {
    /// As it lies in the trash since then.
    pub(crate) fn deleted(mut self, at: Option<DateTime<Utc>>) -> Self {
        self.deleted_at = at;
        self
    }
}

impl From<Record> for RecordBody {
    fn from(record: Record) -> Self {
        Self {
            id: record.id.to_string(),
            module: record.module.to_string(),
            version: record.version,
            data: record.data,
            owner_id: record.owner_id,
            created_at: record.created_at,
            created_by: record.created_by,
            updated_at: record.updated_at,
            updated_by: record.updated_by,
            deleted_at: None,
        }
    }
}

/// What is sent to create or change a record.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordInput {
    /// Values by field.
    #[schema(value_type = Object)]
    data: Data,
}

fn answer(status: StatusCode, record: Record) -> Response {
    let location = format!("/api/crm/records/{}/{}", record.module, record.id);
    let etag = format!("\"{}\"", record.version);
    let mut response = (status, Json(RecordBody::from(record))).into_response();
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    if status == StatusCode::CREATED
        && let Ok(location) = HeaderValue::from_str(&location)
    {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

async fn write(
    app: &App,
    caller: Caller,
    status: StatusCode,
    mutation: Mutation,
) -> Result<Response, Problem> {
    match app
        .engine
        .write(caller.tenant, caller.actor, mutation)
        .await?
    {
        Written::Record(record) => Ok(answer(status, *record)),
        Written::Deleted { .. } => Ok(StatusCode::NO_CONTENT.into_response()),
        Written::Activity(_) => Err(Problem::new(Kind::Internal)),
    }
}

/// Creates a record.
#[utoipa::path(post, path = "/records/{module}", tag = "records",
    params(("module" = String, Path)),
    request_body = RecordInput,
    responses(
        (status = 201, body = RecordBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody, description = "Every violation, with its pointer"),
    ))]
pub(crate) async fn record_create(
    State(app): State<App>,
    caller: Caller,
    Path(module): Path<String>,
    Body(input): Body<RecordInput>,
) -> Result<Response, Problem> {
    let mutation = Mutation::Create {
        module: segment(&module)?,
        data: input.data,
    };
    write(&app, caller, StatusCode::CREATED, mutation).await
}

/// One record.
#[utoipa::path(get, path = "/records/{module}/{id}", tag = "records",
    params(("module" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = RecordBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn record_get(
    State(app): State<App>,
    caller: Caller,
    Path((module, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (module, id) = (segment(&module)?, segment(&id)?);
    let record = app
        .engine
        .record(caller.tenant, &caller.actor, &module, id)
        .await?;
    Ok(answer(StatusCode::OK, record))
}

/// Changes a record: `data` is a JSON merge patch (RFC 7396), null takes a value away.
#[utoipa::path(patch, path = "/records/{module}/{id}", tag = "records",
    params(("module" = String, Path), ("id" = String, Path),
        ("If-Match" = Option<String>, Header, description = "The version that you read")),
    request_body = RecordInput,
    responses(
        (status = 200, body = RecordBody),
        (status = 404, body = ProblemBody),
        (status = 412, body = ProblemBody, description = "The record has another version"),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn record_update(
    State(app): State<App>,
    caller: Caller,
    Path((module, id)): Path<(String, String)>,
    headers: HeaderMap,
    Body(input): Body<RecordInput>,
) -> Result<Response, Problem> {
    let mutation = Mutation::Update {
        module: segment(&module)?,
        record_id: segment(&id)?,
        expected_version: if_match(&headers)?,
        patch: input.data,
    };
    write(&app, caller, StatusCode::OK, mutation).await
}

/// Replaces a record's data; values that are not sent are gone.
#[utoipa::path(put, path = "/records/{module}/{id}", tag = "records",
    params(("module" = String, Path), ("id" = String, Path),
        ("If-Match" = Option<String>, Header, description = "The version that you read")),
    request_body = RecordInput,
    responses(
        (status = 200, body = RecordBody),
        (status = 404, body = ProblemBody),
        (status = 412, body = ProblemBody, description = "The record has another version"),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn record_replace(
    State(app): State<App>,
    caller: Caller,
    Path((module, id)): Path<(String, String)>,
    headers: HeaderMap,
    Body(input): Body<RecordInput>,
) -> Result<Response, Problem> {
    let mutation = Mutation::Replace {
        module: segment(&module)?,
        record_id: segment(&id)?,
        expected_version: if_match(&headers)?,
        data: input.data,
    };
    write(&app, caller, StatusCode::OK, mutation).await
}

/// Deletes a record; its history stays.
#[utoipa::path(delete, path = "/records/{module}/{id}", tag = "records",
    params(("module" = String, Path), ("id" = String, Path),
        ("If-Match" = Option<String>, Header, description = "The version that you read")),
    responses(
        (status = 204),
        (status = 404, body = ProblemBody),
        (status = 412, body = ProblemBody, description = "The record has another version"),
    ))]
pub(crate) async fn record_delete(
    State(app): State<App>,
    caller: Caller,
    Path((module, id)): Path<(String, String)>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mutation = Mutation::Delete {
        module: segment(&module)?,
        record_id: segment(&id)?,
        expected_version: if_match(&headers)?,
    };
    write(&app, caller, StatusCode::NO_CONTENT, mutation).await
}

/// Nothing behind the `?`: what a later version may take (`purge`) must not pass unseen here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoParameters {}
