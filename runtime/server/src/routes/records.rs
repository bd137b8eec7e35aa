//! `/records/{module}`: the records themselves.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use crm_engine::receipt::RequestKey;
use crm_engine::write::{Outcome, Written};
use crm_model::{Data, Mutation, UserId};
use crm_store::records::Record;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, Parameters, if_match, segment};
use crate::once::{Answer, Keyed, KeyedOrEmpty, Nothing, once, receipt_of};
use crate::problem::{Problem, ProblemBody};
use crate::routes::activities::activity_answer;

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
            deleted_at: record.deleted_at,
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

pub(crate) fn record_answer(status: StatusCode, record: Record) -> Answer {
    let location = format!("/api/crm/records/{}/{}", record.module, record.id);
    let etag = format!("\"{}\"", record.version);
    let answer = Answer::json(status, &RecordBody::from(record)).with_header(header::ETAG, etag);
    if status == StatusCode::CREATED {
        answer.with_header(header::LOCATION, location)
    } else {
        answer
    }
}

fn written_answer(written: &Written) -> Answer {
    match written {
        Written::Created(record) => record_answer(StatusCode::CREATED, (**record).clone()),
        Written::Updated(record) => record_answer(StatusCode::OK, (**record).clone()),
        Written::Deleted { .. } => Answer::empty(StatusCode::NO_CONTENT),
        Written::Activity(activity) => activity_answer((**activity).clone()),
    }
}

fn outcome_answer(outcomes: &[Outcome]) -> Answer {
    match outcomes {
        [Ok(written)] => written_answer(written),
        // A write that was refused keeps nothing.
        _ => Answer::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Does one write of a POST, once for each key.
pub(crate) async fn write_once(
    app: &App,
    caller: &Caller,
    key: Option<RequestKey>,
    mutation: Mutation,
) -> Result<Response, Problem> {
    once(app, caller, key, async |key| {
        let receipt = receipt_of(key, outcome_answer);
        let actor = caller.actor.clone();
        let written = app
            .engine
            .write(caller.tenant, actor, mutation, receipt)
            .await?;
        Ok(written_answer(&written))
    })
    .await
}

async fn write(app: &App, caller: Caller, mutation: Mutation) -> Result<Response, Problem> {
    let write = app
        .engine
        .write(caller.tenant, caller.actor, mutation, None);
    Ok(written_answer(&write.await?).into_response())
}

/// Creates a record.
#[utoipa::path(post, path = "/records/{module}", tag = "records",
    params(("module" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
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
    Keyed { key, input }: Keyed<RecordInput>,
) -> Result<Response, Problem> {
    let mutation = Mutation::Create {
        module: segment(&module)?,
        data: input.data,
    };
    write_once(&app, &caller, key, mutation).await
}

/// Brings a deleted record back. References to records that are gone by now are let go of.
#[utoipa::path(post, path = "/records/{module}/{id}/restore", tag = "records",
    params(("module" = String, Path), ("id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 200, body = RecordBody),
        (status = 404, body = ProblemBody, description = "There is no such deleted record"),
        (status = 409, body = ProblemBody),
    ))]
pub(crate) async fn record_restore(
    State(app): State<App>,
    caller: Caller,
    Path((module, id)): Path<(String, String)>,
    KeyedOrEmpty(Keyed {
        key,
        input: Nothing {},
    }): KeyedOrEmpty<Nothing>,
) -> Result<Response, Problem> {
    let mutation = Mutation::Restore {
        module: segment(&module)?,
        record_id: segment(&id)?,
    };
    write_once(&app, &caller, key, mutation).await
}

/// Creates a record with the data of another, but for unique and computed values. `data`, where
/// it is sent, goes over it.
#[utoipa::path(post, path = "/records/{module}/{id}/clone", tag = "records",
    params(("module" = String, Path), ("id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<CloneInput>,
    responses(
        (status = 201, body = RecordBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn record_clone(
    State(app): State<App>,
    caller: Caller,
    Path((module, id)): Path<(String, String)>,
    KeyedOrEmpty(Keyed { key, input }): KeyedOrEmpty<CloneInput>,
) -> Result<Response, Problem> {
    let (module, id) = (segment(&module)?, segment(&id)?);
    once(&app, &caller, key, async |key| {
        let receipt = receipt_of(key, outcome_answer);
        let actor = caller.actor.clone();
        let written = app
            .engine
            .record_clone(caller.tenant, actor, module, id, input.data, receipt)
            .await?;
        Ok(written_answer(&written))
    })
    .await
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
    Ok(record_answer(StatusCode::OK, record).into_response())
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
    write(&app, caller, mutation).await
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
    write(&app, caller, mutation).await
}

/// Whose a record is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnerInput {
    /// The login's name for the person.
    #[schema(value_type = String)]
    owner_id: UserId,
}

/// Gives a record to somebody. Whoever reaches only their own may not reach it any more then.
#[utoipa::path(put, path = "/records/{module}/{id}/owner", tag = "records",
    params(("module" = String, Path), ("id" = String, Path),
        ("If-Match" = Option<String>, Header, description = "The version that you read")),
    request_body = OwnerInput,
    responses(
        (status = 200, body = RecordBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 412, body = ProblemBody, description = "The record has another version"),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn record_assign(
    State(app): State<App>,
    caller: Caller,
    Path((module, id)): Path<(String, String)>,
    headers: HeaderMap,
    Body(input): Body<OwnerInput>,
) -> Result<Response, Problem> {
    let mutation = Mutation::Assign {
        module: segment(&module)?,
        record_id: segment(&id)?,
        expected_version: if_match(&headers)?,
        owner: input.owner_id,
    };
    write(&app, caller, mutation).await
}

/// What a copy has otherwise.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloneInput {
    /// Values by field.
    #[serde(default)]
    #[schema(value_type = Object)]
    data: Data,
}

/// Parameters of a deletion.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeleteParameters {
    /// Delete for good, with history and timeline. Needs a permission of its own.
    #[serde(default)]
    purge: bool,
}

/// Deletes a record. It can be restored, unless it is purged.
#[utoipa::path(delete, path = "/records/{module}/{id}", tag = "records",
    params(("module" = String, Path), ("id" = String, Path), DeleteParameters,
        ("If-Match" = Option<String>, Header, description = "The version that you read")),
    responses(
        (status = 204),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "Other records point to it"),
        (status = 412, body = ProblemBody, description = "The record has another version"),
    ))]
pub(crate) async fn record_delete(
    State(app): State<App>,
    caller: Caller,
    Path((module, id)): Path<(String, String)>,
    Parameters(DeleteParameters { purge }): Parameters<DeleteParameters>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (module, record_id) = (segment(&module)?, segment(&id)?);
    let expected_version = if_match(&headers)?;
    if purge {
        app.engine
            .purge(
                caller.tenant,
                caller.actor,
                module,
                record_id,
                expected_version,
            )
            .await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mutation = Mutation::Delete {
        module,
        record_id,
        expected_version,
    };
    write(&app, caller, mutation).await
}
