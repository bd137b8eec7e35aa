//! `/records/{module}/export`: records as a file, streamed.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use crm_engine::export::{ExportFormat, ExportRequest};
use crm_model::query::QueryInput;
use crm_model::{ModuleSlug, Violations};
use futures::TryStreamExt;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Parameters, segment};
use crate::problem::{Problem, ProblemBody};

/// What to export, from the parameters: `format`, `fields`, and those of a list that say which
/// records and in which order.
fn request(
    module: ModuleSlug,
    parameters: Vec<(String, String)>,
) -> Result<ExportRequest, Problem> {
    let (format, parameters): (Vec<_>, Vec<_>) = parameters
        .into_iter()
        .partition(|(name, _)| name == "format");
    let format = match format.last().map(|(_, format)| format.as_str()) {
        None | Some("csv") => ExportFormat::Csv,
        Some("ndjson") => ExportFormat::Ndjson,
        Some(_) => {
            let message = "format is csv or ndjson";
            return Err(Problem::invalid(Violations::one(
                "/format", "enum", message,
            )));
        }
    };
    let mut query = QueryInput::from_parameters(parameters).map_err(Problem::invalid)?;
    let fields = query.fields.take();
    let fields = fields.map(|names| names.list().into_iter().map(str::to_owned).collect());
    // A file has no pages and nothing beside its records.
    let mut violations = Violations::default();
    for (name, given) in [
        ("limit", query.limit.is_some()),
        ("cursor", query.cursor.is_some()),
        ("include", query.include.is_some()),
        ("expand", query.expand.is_some()),
    ] {
        if given {
            let message = format!("an export takes no “{name}”");
            violations.add(format!("/{name}"), "parameter", message);
        }
    }
    violations.into_result().map_err(Problem::invalid)?;
    Ok(ExportRequest {
        module,
        format,
        fields,
        query,
    })
}

/// A module's records as CSV or NDJSON, newest first unless sorted. The answer is complete if it ends; what
/// goes wrong in its middle breaks the connection off.
#[utoipa::path(get, path = "/records/{module}/export", tag = "records",
    params(
        ("module" = String, Path),
        ("format" = Option<String>, Query, description = "`csv` (unless given) or `ndjson`"),
        ("fields" = Option<String>, Query, description = "Fields between commas, and `id`, \
            `version`, `owner_id`, `created_at`, `created_by`, `updated_at`, `updated_by`; all \
            fields with id and times unless given"),
        ("filter" = Option<String>, Query, description = "A filter as JSON; or in the short form"),
        ("sort" = Option<String>, Query, description = "`-price,name`"),
        ("q" = Option<String>, Query, description = "Words to look for"),
    ),
    responses(
        (status = 200, content((String = "text/csv"), (String = "application/x-ndjson"))),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn records_export(
    State(app): State<App>,
    caller: Caller,
    Path(module): Path<String>,
    Parameters(parameters): Parameters<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let request = request(segment(&module)?, parameters)?;
    let (media_type, extension) = match request.format {
        ExportFormat::Csv => ("text/csv; charset=utf-8; header=present", "csv"),
        ExportFormat::Ndjson => ("application/x-ndjson", "ndjson"),
    };
    let disposition = format!("attachment; filename=\"{}.{extension}\"", request.module);
    let records = app
        .engine
        .export(caller.tenant, caller.actor, request)
        .await?;
    let records = records.inspect_err(|error| tracing::warn!(%error, "an export broke off"));
    let mut response = Response::new(Body::from_stream(records));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}
