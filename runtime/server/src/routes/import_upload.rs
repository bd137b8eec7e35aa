//! `POST /imports`: a CSV file on its way in, as a stream.

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use crm_engine::import::Upload;
use crm_model::limits::IMPORT_FILE_MAX_BYTES;
use crm_model::{ModuleSlug, Violations};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::segment;
use crate::problem::{Kind, Problem, ProblemBody};
use crate::routes::imports::{ImportBody, answer};

/// A part of an upload other than the file.
const PART_MAX_BYTES: usize = 4_096;

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
        (Ok(import), _) => Ok(answer(StatusCode::CREATED, import).into_response()),
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
