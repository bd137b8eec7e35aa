//! `/records/{module}/bulk`: many operations in one request and one transaction.

use axum::body::Body;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use crm_engine::receipt::RequestKey;
use crm_engine::write::{Batch, Operation, Outcome, Written};
use crm_model::limits::{BULK_BODY_MAX_BYTES, BULK_MAX_OPERATIONS};
use crm_model::{Cause, Data, FieldKey, ModuleSlug, Mutation, RecordId, Violations};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Parameters, check_media_type, parse, segment};
use crate::once::{Answer, once, receipt_of, request_key};
use crate::problem::{Kind, Problem, ProblemBody};

/// Many operations.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BulkInput {
    /// All or nothing. Otherwise each operation stands for itself.
    #[serde(default)]
    atomic: bool,
    /// Whether workflows start.
    #[serde(default = "yes")]
    run_workflows: bool,
    operations: Vec<OperationInput>,
}

fn yes() -> bool {
    true
}

/// One operation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(try_from = "OperationParts")]
#[schema(as = OperationInput)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum OperationInput {
    Create {
        #[schema(value_type = Object)]
        data: Data,
    },
    /// `data` is a JSON merge patch.
    Update {
        id: String,
        version: Option<i64>,
        #[schema(value_type = Object)]
        data: Data,
    },
    /// Changes the record that has this value of a unique field, or creates it.
    Upsert {
        r#match: MatchInput,
        #[schema(value_type = Object)]
        data: Data,
    },
    Delete {
        id: String,
        version: Option<i64>,
    },
}

/// An operation as it is read: serde would keep each in an intermediate form until it has seen
/// `op`, which costs as much as reading it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OperationParts {
    op: OperationName,
    id: Option<String>,
    version: Option<i64>,
    r#match: Option<MatchInput>,
    data: Option<Data>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OperationName {
    Create,
    Update,
    Upsert,
    Delete,
}

impl TryFrom<OperationParts> for OperationInput {
    type Error = String;

    fn try_from(parts: OperationParts) -> Result<Self, String> {
        let OperationParts {
            op,
            id,
            version,
            r#match,
            data,
        } = parts;
        let given = [
            ("id", id.is_some()),
            ("version", version.is_some()),
            ("match", r#match.is_some()),
            ("data", data.is_some()),
        ];
        let (name, members): (_, &[&str]) = match op {
            OperationName::Create => ("create", &["data"]),
            OperationName::Update => ("update", &["id", "version", "data"]),
            OperationName::Upsert => ("upsert", &["match", "data"]),
            OperationName::Delete => ("delete", &["id", "version"]),
        };
        let foreign = given
            .iter()
            .find(|(member, there)| *there && !members.contains(member));
        if let Some((member, _)) = foreign {
            return Err(format!("“{name}” has no `{member}`"));
        }
        let missing = |member| format!("“{name}” needs `{member}`");
        match op {
            OperationName::Create => Ok(Self::Create {
                data: data.ok_or_else(|| missing("data"))?,
            }),
            OperationName::Update => Ok(Self::Update {
                id: id.ok_or_else(|| missing("id"))?,
                version,
                data: data.ok_or_else(|| missing("data"))?,
            }),
            OperationName::Upsert => Ok(Self::Upsert {
                r#match: r#match.ok_or_else(|| missing("match"))?,
                data: data.ok_or_else(|| missing("data"))?,
            }),
            OperationName::Delete => Ok(Self::Delete {
                id: id.ok_or_else(|| missing("id"))?,
                version,
            }),
        }
    }
}

/// How an upsert finds its record.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MatchInput {
    #[schema(value_type = String)]
    field: FieldKey,
    value: serde_json::Value,
}

/// Options of a request whose body is NDJSON.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BulkParameters {
    /// For a body of `application/x-ndjson`: all or nothing.
    atomic: Option<bool>,
    /// For a body of `application/x-ndjson`: whether workflows start.
    run_workflows: Option<bool>,
}

/// What became of the operations, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkResults {
    results: Vec<BulkResult>,
}

/// What became of one operation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkResult {
    index: usize,
    /// As the operation would have been answered alone: 200, 201, 204, 404, 409, 412, 422, or
    /// 424 where another refusal kept it from being tried.
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    problem: Option<serde_json::Value>,
}

/// The body of a bulk request: one JSON object, or a line for each operation.
pub(crate) struct BulkBody {
    key: Option<RequestKey>,
    input: BulkInput,
}

impl<S: Send + Sync> FromRequest<S> for BulkBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if is_ndjson(&parts.headers) {
            let (bytes, operations) = read_lines(body).await?;
            let input = BulkInput {
                atomic: false,
                run_workflows: true,
                operations,
            };
            let key = request_key(&parts, &bytes)?;
            return Ok(Self { key, input });
        }
        check_media_type(&parts.headers)?;
        let bytes = read_all(body).await?;
        let key = request_key(&parts, &bytes)?;
        let input: BulkInput = parse(&bytes)?;
        check_count(input.operations.len())?;
        Ok(Self { key, input })
    }
}

fn is_ndjson(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE);
    let media_type = media_type.and_then(|value| value.to_str().ok());
    media_type.is_some_and(|media_type| {
        ["application/x-ndjson", "application/jsonl"]
            .iter()
            .any(|known| media_type.trim_start().starts_with(known))
    })
}

fn check_count(count: usize) -> Result<(), Problem> {
    if count > BULK_MAX_OPERATIONS {
        let message = format!("a request has at most {BULK_MAX_OPERATIONS} operations");
        return Err(Problem::invalid(Violations::one(
            "/operations",
            "max_items",
            message,
        )));
    }
    Ok(())
}

async fn read_all(body: Body) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        grow(&mut bytes, &chunk.map_err(broken)?)?;
    }
    Ok(bytes.freeze())
}

/// Reads operations line by line as they arrive, so that the first mistake ends the request.
async fn read_lines(body: Body) -> Result<(Bytes, Vec<OperationInput>), Problem> {
    let mut stream = body.into_data_stream();
    let mut bytes = BytesMut::new();
    let mut operations = Vec::new();
    let mut read = 0;
    while let Some(chunk) = stream.next().await {
        grow(&mut bytes, &chunk.map_err(broken)?)?;
        while let Some(length) = line_length(&bytes, read) {
            push_line(&mut operations, bytes.get(read..read + length))?;
            read += length + 1;
        }
    }
    push_line(&mut operations, bytes.get(read..))?;
    Ok((bytes.freeze(), operations))
}

fn line_length(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.iter().position(|byte| *byte == b'\n')
}

fn push_line(operations: &mut Vec<OperationInput>, line: Option<&[u8]>) -> Result<(), Problem> {
    let line = line.unwrap_or_default().trim_ascii();
    if line.is_empty() {
        return Ok(());
    }
    let operation = serde_json::from_slice(line).map_err(|error| {
        let pointer = format!("/operations/{}", operations.len());
        Problem::invalid(Violations::one(&pointer, "shape", error.to_string()))
    })?;
    operations.push(operation);
    check_count(operations.len())
}

fn grow(bytes: &mut BytesMut, chunk: &[u8]) -> Result<(), Problem> {
    if bytes.len() + chunk.len() > BULK_BODY_MAX_BYTES {
        let detail = format!("a bulk request has at most {BULK_BODY_MAX_BYTES} bytes");
        return Err(Problem::detailed(Kind::TooLarge, detail));
    }
    bytes.extend_from_slice(chunk);
    Ok(())
}

fn broken(_: axum::Error) -> Problem {
    Problem::detailed(Kind::MalformedRequest, "the body broke off")
}

/// Does up to 10,000 operations in one transaction. The answer is 200 with a result for each;
/// an atomic request of which one operation is refused does nothing and is answered with 422.
#[utoipa::path(post, path = "/records/{module}/bulk", tag = "records",
    params(("module" = String, Path), BulkParameters,
        ("Idempotency-Key" = Option<String>, Header)),
    request_body = BulkInput,
    responses(
        (status = 200, body = BulkResults),
        (status = 404, body = ProblemBody),
        (status = 413, body = ProblemBody),
        (status = 422, body = ProblemBody, description = "Nothing was done; `results` says why"),
    ))]
pub(crate) async fn records_bulk(
    State(app): State<App>,
    caller: Caller,
    Path(module): Path<String>,
    Parameters(parameters): Parameters<BulkParameters>,
    BulkBody { key, mut input }: BulkBody,
) -> Result<Response, Problem> {
    let module: ModuleSlug = segment(&module)?;
    app.engine
        .check_module(caller.tenant, &caller.actor, &module)
        .await?;
    input.atomic = parameters.atomic.unwrap_or(input.atomic);
    input.run_workflows = parameters.run_workflows.unwrap_or(input.run_workflows);
    once(&app, &caller, key, async |key| {
        let receipt = receipt_of(key, answer);
        let operations = input.operations.into_iter();
        let batch = Batch {
            tenant: caller.tenant,
            actor: caller.actor.clone(),
            cause: Cause::User,
            operations: operations
                .map(|operation| operation.read(&module))
                .collect(),
            atomic: input.atomic,
            workflows: input.run_workflows,
            dry_run: false,
            receipt,
        };
        let outcomes = app.engine.write_batch(batch).await?;
        if input.atomic && outcomes.iter().any(Result::is_err) {
            return Err(Problem::bulk_refused(values(&outcomes)));
        }
        Ok(answer(&outcomes))
    })
    .await
}

impl OperationInput {
    fn read(self, module: &ModuleSlug) -> Operation {
        let module = module.clone();
        match self {
            Self::Create { data } => Operation::Mutation(Mutation::Create { module, data }),
            Self::Update { id, version, data } => Operation::Mutation(Mutation::Update {
                module,
                record_id: record_id(&id),
                expected_version: version,
                patch: data,
            }),
            Self::Upsert { r#match, data } => Operation::Upsert {
                module,
                field: r#match.field,
                value: r#match.value,
                data,
            },
            Self::Delete { id, version } => Operation::Mutation(Mutation::Delete {
                module,
                record_id: record_id(&id),
                expected_version: version,
            }),
        }
    }
}

/// What is no id is the id of no record.
fn record_id(text: &str) -> RecordId {
    text.parse().unwrap_or(RecordId::new(uuid::Uuid::nil()))
}

fn answer(outcomes: &[Outcome]) -> Answer {
    let results = results(outcomes);
    Answer::json(StatusCode::OK, &BulkResults { results })
}

fn values(outcomes: &[Outcome]) -> Vec<serde_json::Value> {
    let results = results(outcomes).into_iter();
    results
        .filter_map(|result| serde_json::to_value(result).ok())
        .collect()
}

fn results(outcomes: &[Outcome]) -> Vec<BulkResult> {
    let outcomes = outcomes.iter().enumerate();
    outcomes
        .map(|(index, outcome)| result(index, outcome))
        .collect()
}

fn result(index: usize, outcome: &Outcome) -> BulkResult {
    let (status, id, version, problem) = match outcome {
        Ok(Written::Created(record)) => (
            StatusCode::CREATED,
            Some(record.id),
            Some(record.version),
            None,
        ),
        Ok(Written::Updated(record)) => {
            (StatusCode::OK, Some(record.id), Some(record.version), None)
        }
        Ok(Written::Deleted { version }) => (StatusCode::NO_CONTENT, None, Some(*version), None),
        Ok(Written::Activity(_)) => (StatusCode::CREATED, None, None, None),
        Err(error) => {
            let problem = Problem::from(error);
            (problem.status(), None, None, Some(problem.to_value()))
        }
    };
    BulkResult {
        index,
        status: status.as_u16(),
        id: id.map(|id| id.to_string()),
        version,
        problem,
    }
}
