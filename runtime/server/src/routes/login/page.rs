//! Pages, rendered here and without script: a frame, a style, and a template for each.

use axum::Form;
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use crm_engine::EngineError;
use minijinja::{Environment, Value, context};
use serde::de::DeserializeOwned;
use std::sync::OnceLock;

use crate::app::App;
use crate::auth::browsers::Browsers;
use crate::problem::{ForPeople, Kind, Problem};

const STYLE: &str = include_str!("pages/style.css");
const TEMPLATES: [(&str, &str); 8] = [
    ("frame.html", include_str!("pages/frame.html")),
    ("account.html", include_str!("pages/account.html")),
    ("choose.html", include_str!("pages/choose.html")),
    ("invitation.html", include_str!("pages/invitation.html")),
    ("login.html", include_str!("pages/login.html")),
    ("message.html", include_str!("pages/message.html")),
    ("password.html", include_str!("pages/password.html")),
    ("unsubscribe.html", include_str!("pages/unsubscribe.html")),
];

/// Their names end in `.html`, so everything that is put into them is escaped.
fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Environment::new();
        for (name, template) in TEMPLATES {
            if let Err(error) = environment.add_template(name, template) {
                tracing::error!(%error, name, "a page's template is broken");
            }
        }
        environment
    })
}

/// A page.
pub(in crate::routes) fn page(status: StatusCode, name: &str, context: Value) -> Response {
    let template = environment().get_template(name);
    match template.and_then(|template| template.render(context)) {
        Ok(html) => for_people((status, Html(html)).into_response()),
        Err(error) => {
            tracing::error!(%error, name, "a page cannot be rendered");
            Problem::new(Kind::Internal).into_response()
        }
    }
}

/// A page that says something and leads back to the login.
pub(super) fn message(status: StatusCode, title: &str, text: &str) -> Response {
    page(status, "message.html", context! { title, text })
}

/// Marks a page, which is nobody else's and nothing to keep.
fn for_people(mut response: Response) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response.extensions_mut().insert(ForPeople);
    response
}

pub(super) async fn style() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "max-age=3600"),
    ];
    (headers, STYLE)
}

/// A problem that people read.
pub(crate) struct PageProblem(Problem);

impl From<Problem> for PageProblem {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<EngineError> for PageProblem {
    fn from(error: EngineError) -> Self {
        Self(error.into())
    }
}

impl PageProblem {
    pub(super) fn new(kind: Kind, detail: &str) -> Self {
        Self(Problem::detailed(kind, detail))
    }
}

impl IntoResponse for PageProblem {
    /// The problem's status and headers, with a page for a body.
    fn into_response(self) -> Response {
        let (title, detail) = self.0.words();
        let text = detail.map(sentence).unwrap_or_default();
        let html = message(self.0.status(), title, &text);
        let mut response = self.0.into_response();
        response.extensions_mut().clear();
        let (parts, body) = html.into_parts();
        response.headers_mut().extend(parts.headers);
        response.headers_mut().remove(header::WWW_AUTHENTICATE);
        response.extensions_mut().insert(ForPeople);
        response.map(|_: Body| body)
    }
}

/// What programs read, as people write it.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    let sentence: String = first.into_iter().flatten().chain(letters).collect();
    match sentence.ends_with(['.', '?', '!']) {
        true => sentence,
        false => sentence + ".",
    }
}

/// A form that a page sent.
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Sent<T> {
    type Rejection = PageProblem;

    async fn from_request(request: Request, app: &App) -> Result<Self, PageProblem> {
        let form = Form::<T>::from_request(request, app).await;
        let Form(sent) = form.map_err(|rejection| {
            PageProblem::new(Kind::MalformedRequest, &rejection.body_text())
        })?;
        Ok(Self(sent))
    }
}

/// How browsers log in; nothing where they do not.
pub(super) fn browsers(app: &App) -> Result<&Browsers, Problem> {
    app.browsers.as_deref().ok_or_else(Problem::not_found)
}
