//! `/imports`: files that were uploaded, and their runs. Uploads are in
//! [`super::import_upload`].

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use chrono::{DateTime, Utc};
use crm_model::ImportId;
use crm_model::import::{Column, ImportState, RowError, RunInput};
use crm_store::imports::Import;
use crm_store::tasks::{Task, TaskSpec, TaskStatus};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Parameters, segment};
use crate::once::{Answer, Keyed, once, receipt_of};
use crate::page::{List, PageParameters};
use crate::problem::{Problem, ProblemBody};

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

pub(crate) fn answer(status: StatusCode, import: Import) -> Answer {
    let location = format!("/api/crm/imports/{}", import.id);
    Answer::json(status, &ImportBody::from(import)).with_header(header::LOCATION, location)
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
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
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
    Keyed { key, input }: Keyed<RunInput>,
) -> Result<Response, Problem> {
    let id = segment(&id)?;
    let accepted = |import: &Import| answer(StatusCode::ACCEPTED, import.clone());
    once(&app, &caller, key, async |key| {
        let receipt = receipt_of(key, accepted);
        let actor = caller.actor.clone();
        let queued = app
            .engine
            .import_run(caller.tenant, actor, id, input, receipt);
        Ok(accepted(&queued.await?))
    })
    .await
}
