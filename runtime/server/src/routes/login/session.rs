//! Who is logged in with this browser, and logging out: here, or everywhere.

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::{HeaderMap, StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use axum_extra::extract::cookie::SignedCookieJar;
use chrono::{DateTime, Utc};
use crm_engine::secret::TenantSecret;
use crm_engine::sessions::Session;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::page::{Sent, browsers, message};
use crate::app::App;
use crate::auth::browsers::session_of;
use crate::auth::cross_site::{check_origin, check_token, token_of};
use crate::problem::{Kind, Problem, ProblemBody};

const FORM: &str = "application/x-www-form-urlencoded";

/// Somebody who is logged in with this browser.
pub(crate) struct LoggedIn {
    pub(super) secret: TenantSecret,
    pub(super) session: Session,
    pub(super) jar: SignedCookieJar,
}

impl FromRequestParts<App> for LoggedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let browsers = browsers(app)?;
        let jar = browsers.jar(&parts.headers);
        let nobody = || Problem::detailed(Kind::Unauthorized, "nobody is logged in");
        let secret = browsers.secret(&jar).ok_or_else(nobody)?;
        let session = session_of(app, &secret).await?.ok_or_else(nobody)?;
        Ok(Self {
            secret,
            session,
            jar,
        })
    }
}

/// A session, as a page of this server sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionBody {
    tenant: String,
    user_id: String,
    name: Option<String>,
    email: Option<String>,
    /// From the login.
    roles: Vec<String>,
    issuer: String,
    /// Send it as `X-CSRF-Token` with what changes something.
    csrf_token: String,
    created_at: DateTime<Utc>,
    /// At the latest; earlier where nothing is done.
    expires_at: DateTime<Utc>,
}

/// Who is logged in with this browser.
#[utoipa::path(get, path = "/session", tag = "login", security(("session" = [])),
    responses(
        (status = 200, body = SessionBody),
        (status = 401, body = ProblemBody),
        (status = 404, body = ProblemBody, description = "Nobody logs in with a browser"),
        (status = 503, body = ProblemBody),
    ))]
pub(crate) async fn session_get(logged_in: LoggedIn) -> impl IntoResponse {
    let LoggedIn {
        secret, session, ..
    } = logged_in;
    let roles = session.person.roles.iter();
    let body = SessionBody {
        tenant: secret.tenant().to_string(),
        user_id: session.user_id.to_string(),
        name: session.person.name,
        email: session.person.email,
        roles: roles.map(ToString::to_string).collect(),
        issuer: session.person.issuer,
        csrf_token: secret.csrf_token(),
        created_at: session.created_at,
        expires_at: session.expires_at,
    };
    ([(header::CACHE_CONTROL, "no-store")], Json(body))
}

/// The session's token, from a header or from the field of a form.
pub(crate) struct Shown {
    token: Option<String>,
    form: bool,
}

#[derive(Deserialize)]
struct TokenForm {
    csrf_token: Option<String>,
}

impl FromRequest<App> for Shown {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let token = token_of(request.headers()).map(str::to_owned);
        let kind = request.headers().get(header::CONTENT_TYPE);
        let form = kind.is_some_and(|kind| kind.as_bytes().starts_with(FORM.as_bytes()));
        if !form {
            return Ok(Self { token, form });
        }
        let sent = Sent::<TokenForm>::from_request(request, app).await;
        let malformed = |_| Problem::new(Kind::MalformedRequest);
        let Sent(sent) = sent.map_err(malformed)?;
        let token = sent.csrf_token.or(token);
        Ok(Self { token, form })
    }
}

/// Ends this session.
#[utoipa::path(post, path = "/logout", tag = "login", security(("session" = [])),
    params(("X-CSRF-Token" = String, Header)),
    responses(
        (status = 204),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody, description = "Not from a page of this server"),
        (status = 404, body = ProblemBody, description = "Nobody logs in with a browser"),
    ))]
pub(crate) async fn logout(
    State(app): State<App>,
    headers: HeaderMap,
    logged_in: LoggedIn,
    shown: Shown,
) -> Result<Response, Problem> {
    check(&app, &headers, &logged_in, &shown)?;
    app.engine.session_end(&logged_in.secret).await?;
    Ok(logged_out(&app, logged_in.jar, &shown))
}

/// Ends all sessions of this person, in all browsers.
#[utoipa::path(post, path = "/logout-everywhere", tag = "login", security(("session" = [])),
    params(("X-CSRF-Token" = String, Header)),
    responses(
        (status = 204),
        (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody, description = "Not from a page of this server"),
        (status = 404, body = ProblemBody, description = "Nobody logs in with a browser"),
    ))]
pub(crate) async fn logout_everywhere(
    State(app): State<App>,
    headers: HeaderMap,
    logged_in: LoggedIn,
    shown: Shown,
) -> Result<Response, Problem> {
    check(&app, &headers, &logged_in, &shown)?;
    let (tenant, user) = (logged_in.secret.tenant(), &logged_in.session.user_id);
    app.engine.sessions_end(tenant, user).await?;
    Ok(logged_out(&app, logged_in.jar, &shown))
}

fn check(
    app: &App,
    headers: &HeaderMap,
    logged_in: &LoggedIn,
    shown: &Shown,
) -> Result<(), Problem> {
    check_origin(headers, &browsers(app)?.origin(headers)?)?;
    check_token(&logged_in.secret, shown.token.as_deref())
}

fn logged_out(app: &App, jar: SignedCookieJar, shown: &Shown) -> Response {
    let jar = match &app.browsers {
        Some(browsers) => browsers.without_session(jar),
        None => jar,
    };
    match shown.form {
        true => {
            let text = "Whatever you do next asks you to log in again.";
            (jar, message(StatusCode::OK, "You are logged out", text)).into_response()
        }
        false => (jar, StatusCode::NO_CONTENT).into_response(),
    }
}
