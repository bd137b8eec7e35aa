//! `/records/{module}/export`: records as a file, streamed.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use crm_engine::export::{ExportFormat, ExportRequest};
use crm_model::{ModuleSlug, Violations};
use futures::TryStreamExt;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Parameters, segment};
use crate::problem::{Problem, ProblemBody};

/// What to export.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportParameters {
    /// `csv` (unless given) or `ndjson`.
    format: Option<String>,
    /// Fields between commas, and `id`, `version`, `owner_id`, `created_at`, `created_by`,
    /// `updated_at`, `updated_by`; all fields with id and times unless given.
    fields: Option<String>,
}

impl ExportParameters {
    fn request(self, module: ModuleSlug) -> Result<ExportRequest, Problem> {
        let format = match self.format.as_deref() {
            None | Some("csv") => ExportFormat::Csv,
            Some("ndjson") => ExportFormat::Ndjson,
            Some(_) => {
                let message = "format is csv or ndjson";
                return Err(Problem::invalid(Violations::one(
                    "/format", "enum", message,
                )));
            }
        };
        let fields = self.fields.map(|names| {
            let names = names.split(',').map(|name| name.trim().to_owned());
            names.collect()
        });
        Ok(ExportRequest {
            module,
            format,
            fields,
        })
    }
}

/// A module's records as CSV or NDJSON, newest first. The answer is complete if it ends; what
/// goes wrong in its middle breaks the connection off.
#[utoipa::path(get, path = "/records/{module}/export", tag = "records",
    params(("module" = String, Path), ExportParameters),
    responses(
        (status = 200, content((String = "text/csv"), (String = "application/x-ndjson"))),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn records_export(
    State(app): State<App>,
    caller: Caller,
    Path(module): Path<String>,
    Parameters(parameters): Parameters<ExportParameters>,
) -> Result<Response, Problem> {
    let request = parameters.request(segment(&module)?)?;
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
