//! From this server to an issuer, and back with somebody who logged in there.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use crm_engine::sessions::Person;
use crm_model::limits::LOGIN_MAX_SECONDS;
use minijinja::context;
use oauth2::RedirectUrl;
use serde::Deserialize;
use utoipa::IntoParams;

use super::page::{PageProblem, browsers, page};
use crate::app::App;
use crate::auth::Caller;
use crate::auth::browsers::Pending;
use crate::auth::code_flow::Returned;
use crate::auth::return_to::return_to;
use crate::extract::Parameters;
use crate::problem::{Kind, Problem, ProblemBody};

/// How links name the local issuer.
const LOCAL: &str = "local";
const CALLBACK: &str = "/auth/callback";

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartParameters {
    /// `iss` of one of the server's issuers, or `local`. Without it, the only one there is, or a
    /// page on which people choose.
    issuer: Option<String>,
    /// A path of this server, to which the login leads.
    return_to: Option<String>,
    /// Whose people log in; for the local issuer.
    tenant: Option<String>,
}

/// A link to the same with an issuer.
fn start_link(parameters: &StartParameters, issuer: &str) -> String {
    let mut query = url_query();
    query.append_pair("issuer", issuer);
    for (name, value) in [
        ("return_to", &parameters.return_to),
        ("tenant", &parameters.tenant),
    ] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    format!("/auth/login?{}", query.finish())
}

fn local_link(parameters: &StartParameters) -> String {
    let mut query = url_query();
    query.append_pair("return_to", &return_to(parameters.return_to.as_deref()));
    if let Some(tenant) = &parameters.tenant {
        query.append_pair("tenant", tenant);
    }
    format!("/auth/local?{}", query.finish())
}

fn url_query() -> oauth2::url::form_urlencoded::Serializer<'static, String> {
    oauth2::url::form_urlencoded::Serializer::new(String::new())
}

/// Sends the browser to where people log in.
#[utoipa::path(get, path = "/login", tag = "login", security(()),
    params(StartParameters),
    responses(
        (status = 303, description = "To the issuer"),
        (status = 200, body = String, content_type = "text/html",
            description = "A page on which people choose an issuer"),
        (status = 404, body = String, content_type = "text/html",
            description = "Nobody logs in with a browser"),
        (status = 422, body = ProblemBody),
        (status = 503, body = String, content_type = "text/html",
            description = "The issuer does not answer"),
    ))]
pub(crate) async fn login_start(
    State(app): State<App>,
    Parameters(parameters): Parameters<StartParameters>,
    headers: HeaderMap,
) -> Result<Response, PageProblem> {
    let browsers = browsers(&app)?;
    let mut choices: Vec<(String, String)> = app
        .issuers
        .logins()
        .map(|(name, issuer)| (name.to_owned(), issuer.label()))
        .collect();
    if browsers.local.is_some() {
        choices.push((LOCAL.to_owned(), "E-mail and password".to_owned()));
    }
    let name = match (&parameters.issuer, choices.as_slice()) {
        (Some(name), _) => name.clone(),
        (None, []) => return Err(Problem::not_found().into()),
        (None, [(only, _)]) => only.clone(),
        (None, _) => {
            let choices: Vec<_> = choices
                .iter()
                .map(|(name, label)| context! { label, link => start_link(&parameters, name) })
                .collect();
            return Ok(page(StatusCode::OK, "choose.html", context! { choices }));
        }
    };
    if name == LOCAL && browsers.local.is_some() {
        return Ok(Redirect::to(&local_link(&parameters)).into_response());
    }
    let issuer = app.issuers.login(&name).ok_or_else(Problem::not_found)?;
    let started = issuer.login_start(redirect(&app, &headers)?).await?;
    let pending = Pending {
        issuer: name,
        state: started.state,
        nonce: started.nonce,
        verifier: started.verifier,
        return_to: return_to(parameters.return_to.as_deref()),
        until: jsonwebtoken::get_current_timestamp() + LOGIN_MAX_SECONDS.unsigned_abs(),
    };
    let jar = browsers.with_pending(browsers.jar(&headers), &pending);
    Ok((jar, Redirect::to(started.url.as_str())).into_response())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FinishParameters {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    /// RFC 9207: who answers.
    iss: Option<String>,
}

/// Where an issuer sends the browser back to: begins a session, under a secret that nobody had
/// before, and leads to where the login was to lead.
#[utoipa::path(get, path = "/callback", tag = "login", security(()),
    params(FinishParameters),
    responses(
        (status = 303, description = "Logged in"),
        (status = 400, body = String, content_type = "text/html",
            description = "This browser began no such login"),
        (status = 401, body = String, content_type = "text/html",
            description = "The issuer does not confirm it"),
        (status = 404, body = String, content_type = "text/html",
            description = "Nobody logs in with a browser"),
        (status = 503, body = String, content_type = "text/html",
            description = "The issuer does not answer"),
    ))]
pub(crate) async fn login_finish(
    State(app): State<App>,
    parameters: Result<Query<FinishParameters>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, PageProblem> {
    let browsers = browsers(&app)?;
    let Ok(Query(parameters)) = parameters else {
        let detail = "This is no answer of an issuer to a login.";
        return Err(PageProblem::new(Kind::MalformedRequest, detail));
    };
    let jar = browsers.jar(&headers);
    let pending = browsers.pending(&jar);
    let pending = pending.filter(|pending| parameters.state.as_ref() == Some(&pending.state));
    let Some(pending) = pending else {
        let detail = "This login took too long, or was begun in another browser or page.";
        return Err(PageProblem::new(Kind::MalformedRequest, detail));
    };
    // Whatever becomes of it, it comes back once.
    let used = browsers.without_pending(jar);
    let return_to = pending.return_to.clone();
    let caller = match finish(&app, &headers, parameters, pending).await {
        Ok(caller) => caller,
        Err(problem) => return Ok((used, PageProblem::from(problem)).into_response()),
    };
    let person = Person {
        roles: caller.1.actor.roles,
        name: caller.1.profile.name,
        email: caller.1.profile.email,
        issuer: caller.0,
    };
    if let Some(before) = browsers.secret(&used) {
        app.engine.session_end(&before).await?;
    }
    let (tenant, user) = (caller.1.tenant, caller.1.actor.user_id);
    let secret = app.engine.session_begin(tenant, user, person).await?;
    let jar = browsers.with_session(used, &secret);
    Ok((jar, Redirect::to(&return_to)).into_response())
}

/// The issuer and whom it names.
async fn finish(
    app: &App,
    headers: &HeaderMap,
    parameters: FinishParameters,
    pending: Pending,
) -> Result<(String, Caller), Problem> {
    let refused = |detail: &str| Problem::detailed(Kind::Unauthorized, detail);
    if parameters.iss.is_some_and(|iss| iss != pending.issuer) {
        return Err(refused(
            "Another issuer answers than the one that was asked.",
        ));
    }
    if parameters.error.is_some() {
        return Err(refused("The issuer did not let you in."));
    }
    let code = parameters
        .code
        .ok_or_else(|| refused("The issuer answers nothing."))?;
    let issuer = app.issuers.login(&pending.issuer);
    let issuer = issuer.ok_or_else(Problem::not_found)?;
    let returned = Returned {
        code,
        nonce: pending.nonce,
        verifier: pending.verifier,
    };
    let caller = issuer
        .login_finish(redirect(app, headers)?, returned)
        .await?;
    Ok((pending.issuer, caller))
}

/// Where issuers send browsers back to.
fn redirect(app: &App, headers: &HeaderMap) -> Result<RedirectUrl, Problem> {
    let origin = browsers(app)?.origin(headers)?;
    RedirectUrl::new(format!("{origin}{CALLBACK}"))
        .map_err(|error| Problem::detailed(Kind::MalformedRequest, error.to_string()))
}
