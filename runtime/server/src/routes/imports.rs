//! `/imports`: CSV files to records. Upload, look at the proposed mapping, run.

use axum::Json;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use crm_engine::import::Upload;
use crm_model::import::{Column, ImportState, RowError, RunInput};
use crm_model::limits::IMPORT_FILE_MAX_BYTES;
use crm_model::{ImportId, ModuleSlug, Violations};
use crm_store::imports::Import;
use crm_store::tasks::{Task, TaskSpec, TaskStatus};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, Parameters, segment};
use crate::page::{List, PageParameters};
use crate::problem::{Kind, Problem, ProblemBody};

/// A part of an upload other than the file.
const PART_MAX_BYTES: usize = 4_096;

/// A file that was uploaded, and how far its run came.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Import)]
pub(crate) struct ImportBody {
    id: String,
    module: String,
    file_name: String,
    bytes: u64,
    /// Rows of data, without the header.
    rows: u64,
    /// What stands between the cells.
    delimiter: String,
    /// `uploaded`, `running`, `done`, `failed` or `cancelled`.
    status: &'static str,
    columns: Vec<ColumnBody>,
    /// Whether the last run was a dry one; null before the first.
    dry_run: Option<bool>,
    /// The last run's task, which can be cancelled.
    task_id: Option<String>,
    progress: Option<ImportProgressBody>,
    /// The first 1,000 errors of the last run.
    errors: Vec<RowErrorBody>,
    /// Errors in all.
    error_count: u64,
    /// Why the run failed as a whole.
    error: Option<String>,
    created_at: DateTime<Utc>,
    created_by: String,
    finished_at: Option<DateTime<Utc>>,
}

/// A column of the file.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImportColumn)]
struct ColumnBody {
    name: String,
    /// Its first values.
    sample: Vec<String>,
    /// The type of field that its values would fit.
    inferred_type: String,
    /// The proposed field, as `field` or `field.part`.
    field: Option<String>,
}

impl From<Column> for ColumnBody {
    fn from(column: Column) -> Self {
        Self {
            name: column.name,
            sample: column.sample,
            inferred_type: column.inferred_type,
            field: column.field,
        }
    }
}

/// How far a run came. A dry run counts what it would have done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImportProgress)]
struct ImportProgressBody {
    /// Rows that are done.
    rows: u64,
    total: u64,
    created: u64,
    updated: u64,
    /// Rows that were refused.
    failed: u64,
}

/// Why a row was refused.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImportError)]
struct RowErrorBody {
    /// Counts rows of data from 1; the header is none.
    row: u64,
    /// The column; null where none of the file is for the field.
    column: Option<String>,
    field: Option<String>,
    /// Stable.
    code: String,
    message: String,
}

impl From<RowError> for RowErrorBody {
    fn from(error: RowError) -> Self {
        Self {
            row: error.row,
            column: error.column,
            field: error.field,
            code: error.code,
            message: error.message,
        }
    }
}

fn status(task: Option<&Task>) -> &'static str {
    match task.map(|task| task.status) {
        None => "uploaded",
        Some(TaskStatus::Queued | TaskStatus::Running) => "running",
        Some(ended) => ended.name(),
    }
}

impl From<Import> for ImportBody {
    fn from(import: Import) -> Self {
        let task = import.task.as_ref();
        let state = task.map(|task| {
            serde_json::from_value::<ImportState>(task.state.clone()).unwrap_or_default()
        });
        let dry_run =
            task.map(|task| matches!(&task.spec, TaskSpec::Import(plan) if plan.options.dry_run));
        let progress = state.as_ref().map(|state| ImportProgressBody {
            rows: state.rows,
            total: import.row_count,
            created: state.created,
            updated: state.updated,
            failed: state.failed,
        });
        let error_count = state.as_ref().map_or(0, |state| state.error_count);
        let errors = state.map(|state| state.errors).unwrap_or_default();
        Self {
            id: import.id.to_string(),
            module: import.module.to_string(),
            bytes: import.byte_count,
            rows: import.row_count,
            delimiter: char::from(import.delimiter).to_string(),
            status: status(task),
            dry_run,
            task_id: task.map(|task| task.id.to_string()),
            progress,
            errors: errors.into_iter().map(RowErrorBody::from).collect(),
            error_count,
            error: task.and_then(|task| task.error.clone()),
            finished_at: task.and_then(|task| task.finished_at),
            file_name: import.file_name,
            columns: import.columns.into_iter().map(ColumnBody::from).collect(),
            created_at: import.created_at,
            created_by: import.created_by,
        }
    }
}

/// The parts of an upload.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "for the documentation; the parts are read as a stream"
)]
pub(crate) struct UploadForm {
    /// CSV in UTF-8 with a header; cells between commas, semicolons, tabs or bars.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// The module to import into.
    module: String,
    /// JSON; before the file.
    options: Option<UploadOptions>,
}

/// Uploads a file; nothing is written to records yet.
#[utoipa::path(post, path = "/imports", tag = "imports",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, body = ImportBody),
        (status = 404, body = ProblemBody, description = "There is no such module for you"),
        (status = 413, body = ProblemBody),
        (status = 415, body = ProblemBody),
        (status = 422, body = ProblemBody, description = "The file cannot be read as CSV"),
    ))]
pub(crate) async fn import_upload(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let form = Multipart::from_request(request, &app).await;
    let mut form = form.map_err(|_| {
        Problem::detailed(
            Kind::UnsupportedMediaType,
            "send multipart/form-data with the parts `module` and `file`",
        )
    })?;
    let mut upload = None;
    let taken = take_parts(&app, &caller, &mut form, &mut upload).await;
    let finished = match (taken, &mut upload) {
        (Ok(module), Some(upload)) => upload.finish(&module).await.map_err(Problem::from),
        (Ok(_), None) => Err(missing("file")),
        (Err(problem), _) => Err(problem),
    };
    match (finished, upload) {
        (Ok(import), _) => Ok(answer(StatusCode::CREATED, import)),
        (Err(problem), Some(upload)) => {
            upload.abandon().await;
            Err(problem)
        }
        (Err(problem), None) => Err(problem),
    }
}

/// The file goes to the engine as it comes in; the module may stand before or after it.
async fn take_parts(
    app: &App,
    caller: &Caller,
    form: &mut Multipart,
    upload: &mut Option<Upload>,
) -> Result<ModuleSlug, Problem> {
    let (mut module, mut options) = (None, None);
    while let Some(part) = form.next_field().await.map_err(broken)? {
        match part.name() {
            Some("file") if upload.is_none() => {
                let options: UploadOptions = options.take().unwrap_or_default();
                take_file(app, caller, part, &options, upload).await?;
            }
            Some("module") if module.is_none() => module = Some(short_text(part).await?),
            Some("options") if options.is_none() && upload.is_none() => {
                let text = short_text(part).await?;
                options = Some(serde_json::from_str(&text).map_err(|error| {
                    let message = error.to_string();
                    Problem::invalid(Violations::one("/options", "shape", message))
                })?);
            }
            other => return Err(unknown_part(other.unwrap_or_default())),
        }
    }
    segment(&module.ok_or_else(|| missing("module"))?)
}

async fn take_file(
    app: &App,
    caller: &Caller,
    mut part: Field<'_>,
    options: &UploadOptions,
    upload: &mut Option<Upload>,
) -> Result<(), Problem> {
    let name = part.file_name().unwrap_or("import.csv").to_owned();
    let (tenant, actor) = (caller.tenant, caller.actor.clone());
    let delimiter = options.delimiter()?;
    let begun = app
        .engine
        .import_upload(tenant, actor, &name, delimiter)
        .await?;
    let upload = upload.insert(begun);
    let mut bytes = 0;
    while let Some(piece) = part.chunk().await.map_err(broken)? {
        bytes += piece.len() as u64;
        if bytes > IMPORT_FILE_MAX_BYTES {
            return Err(too_large());
        }
        upload.push(&piece).await?;
    }
    Ok(())
}

fn unknown_part(name: &str) -> Problem {
    let message = "is no part of an upload or stands in the wrong place: send `module`, \
                   `options`, then `file`";
    let pointer = format!("/{name}");
    Problem::invalid(Violations::one(&pointer, "unknown_part", message))
}

/// How to read the file.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UploadOptions {
    /// What stands between the cells: a comma, a semicolon, a tab or a bar; found unless given.
    delimiter: Option<String>,
}

impl UploadOptions {
    fn delimiter(&self) -> Result<Option<u8>, Problem> {
        match self.delimiter.as_deref().map(str::as_bytes) {
            None => Ok(None),
            Some([delimiter]) => Ok(Some(*delimiter)),
            Some(_) => {
                let message = "the delimiter is one character";
                let violation = Violations::one("/options/delimiter", "enum", message);
                Err(Problem::invalid(violation))
            }
        }
    }
}

async fn short_text(mut part: Field<'_>) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    while let Some(piece) = part.chunk().await.map_err(broken)? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > PART_MAX_BYTES {
            return Err(too_large());
        }
    }
    String::from_utf8(bytes)
        .map_err(|_| Problem::detailed(Kind::MalformedRequest, "a part is not UTF-8"))
}

fn missing(part: &str) -> Problem {
    let message = format!("send the part `{part}`");
    Problem::invalid(Violations::one(&format!("/{part}"), "required", message))
}

fn too_large() -> Problem {
    let detail = format!(
        "a file has at most {IMPORT_FILE_MAX_BYTES} bytes, other parts {PART_MAX_BYTES}; split it"
    );
    Problem::detailed(Kind::TooLarge, detail)
}

fn broken(error: MultipartError) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large();
    }
    Problem::detailed(
        Kind::MalformedRequest,
        "the multipart body is malformed or broke off",
    )
}

fn answer(status: StatusCode, import: Import) -> Response {
    let location = format!("/api/crm/imports/{}", import.id);
    let mut response = (status, Json(ImportBody::from(import))).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Your imports, newest first; everybody's if you may manage a module.
#[utoipa::path(get, path = "/imports", tag = "imports", params(PageParameters),
    responses((status = 200, body = List<ImportBody>)))]
pub(crate) async fn imports_list(
    State(app): State<App>,
    caller: Caller,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<Json<List<ImportBody>>, Problem> {
    let page = parameters.request::<ImportId>()?;
    let page = app
        .engine
        .imports(caller.tenant, &caller.actor, page)
        .await?;
    Ok(Json(List::page(
        page,
        |import| import.id.to_string(),
        ImportBody::from,
    )))
}

/// One import: its columns with the proposed mapping, the progress of its last run and its
/// errors by row and cell.
#[utoipa::path(get, path = "/imports/{id}", tag = "imports",
    params(("id" = String, Path)),
    responses((status = 200, body = ImportBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn import_get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ImportBody>, Problem> {
    let import = app
        .engine
        .import(caller.tenant, &caller.actor, segment(&id)?)
        .await?;
    Ok(Json(import.into()))
}

/// How to run an import.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "for the documentation; the model reads the input")]
pub(crate) struct ImportRunInput {
    /// Column → `"field"`, `"field.part"`, `{"field", "part"}`, or null to leave the column out.
    /// Without it, the proposed mapping.
    mapping: Option<BTreeMap<String, Option<serde_json::Value>>>,
    /// Judge every row, write none.
    #[serde(default)]
    dry_run: bool,
    /// A unique field: rows whose value a record has update that record.
    upsert_key: Option<String>,
    /// Whether what is written starts workflows; true unless given.
    run_workflows: Option<bool>,
    /// `skip` (leave refused rows out and name them) or `abort` (stop before the first).
    on_error: Option<String>,
    /// ISO 4217, for amounts without a currency.
    default_currency: Option<String>,
    /// `day_first` or `month_first`: how dates such as 03/04/2026 are meant.
    date_order: Option<String>,
}

/// Runs an import as a task; follow it with `GET /imports/{id}`.
#[utoipa::path(post, path = "/imports/{id}/run", tag = "imports",
    params(("id" = String, Path)),
    request_body = ImportRunInput,
    responses(
        (status = 202, body = ImportBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "It runs, or its rows are written"),
        (status = 422, body = ProblemBody, description = "What is wrong with the mapping"),
    ))]
pub(crate) async fn import_run(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Body(input): Body<RunInput>,
) -> Result<Response, Problem> {
    let import = app
        .engine
        .import_run(caller.tenant, caller.actor, segment(&id)?, input)
        .await?;
    Ok(answer(StatusCode::ACCEPTED, import))
}
