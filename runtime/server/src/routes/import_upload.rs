//! `POST /imports`: a CSV file on its way in, as a stream.

use axum::extract::multipart::Multipart;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use crm_engine::receipt::RequestKey;
use crm_store::imports::Import;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::once::{Answer, begin, kept, key_name, receipt_of, replay, settle};
use crate::problem::{Kind, Problem, ProblemBody};
use crate::routes::import_form::{Form, Taker, UploadOptions, missing};
use crate::routes::imports::{ImportBody, answer};

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
    params(("Idempotency-Key" = Option<String>, Header)),
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
    let name = key_name(request.headers())?;
    let (head, body) = request.into_parts();
    let mut parts = parts_of(Request::from_parts(head.clone(), body), &app).await?;
    let Some(name) = name else {
        let mut form = Form::default();
        let stored = store(&app, &caller, &mut parts, &mut form, |_| None).await;
        return Ok(stored?.into_response());
    };
    let _in_flight = begin(&app, &caller, &name)?;
    let mut form = Form::keyed();
    if let Some(receipt) = kept(&app, &caller, &name).await? {
        form.take(&mut parts, None).await?;
        return replay(receipt, &form.key(&name, &head));
    }
    let key = |form: &Form| Some(form.key(&name, &head));
    let stored = store(&app, &caller, &mut parts, &mut form, key).await;
    settle(&app, &caller, &form.key(&name, &head), stored).await
}

async fn parts_of(request: Request, app: &App) -> Result<Multipart, Problem> {
    let parts = Multipart::from_request(request, app).await;
    parts.map_err(|_| {
        Problem::detailed(
            Kind::UnsupportedMediaType,
            "send multipart/form-data with the parts `module` and `file`",
        )
    })
}

/// The file goes to the engine as it comes in. Nothing stays of what is refused. The key is known
/// when all parts are.
async fn store(
    app: &App,
    caller: &Caller,
    parts: &mut Multipart,
    form: &mut Form,
    key: impl FnOnce(&Form) -> Option<RequestKey>,
) -> Result<Answer, Problem> {
    let mut taker = Taker::new(app, caller);
    let taken = form.take(parts, Some(&mut taker)).await;
    let module = taken.and_then(|()| form.module());
    let created = |import: &Import| answer(StatusCode::CREATED, import.clone());
    let Some(mut upload) = taker.upload else {
        return Err(module.err().unwrap_or_else(|| missing("file")));
    };
    let finished = match module {
        Ok(module) => {
            let receipt = receipt_of(key(form), created);
            upload.finish(&module, receipt).await.map_err(Problem::from)
        }
        Err(problem) => Err(problem),
    };
    match finished {
        Ok(import) => Ok(created(&import)),
        Err(problem) => {
            upload.abandon().await;
            Err(problem)
        }
    }
}
