//! Pages for somebody who is logged in: who they are, and their password.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use crm_engine::login::{Chosen, LOCAL_ISSUER};
use crm_model::limits::PASSWORD_MIN_CHARACTERS;
use minijinja::context;
use serde::Deserialize;

use super::local::{check_page, enter, local};
use super::page::{PageProblem, Sent, page};
use super::session::LoggedIn;
use crate::app::App;
use crate::auth::cross_site::check_token;
use crate::auth::return_to::ACCOUNT;
use crate::edges::rates::Peer;
use crate::problem::{Kind, Problem};

/// Somebody who is logged in, or the way to the login.
async fn logged_in(
    logged_in: Result<LoggedIn, Problem>,
    page: &str,
) -> Result<Result<LoggedIn, Response>, PageProblem> {
    match logged_in {
        Ok(logged_in) => Ok(Ok(logged_in)),
        Err(problem) if problem.is(Kind::Unauthorized) => {
            let login = format!("/auth/login?return_to={page}");
            Ok(Err(Redirect::to(&login).into_response()))
        }
        Err(problem) => Err(problem.into()),
    }
}

pub(super) async fn account(somebody: Result<LoggedIn, Problem>) -> Result<Response, PageProblem> {
    let somebody = match logged_in(somebody, ACCOUNT).await? {
        Ok(somebody) => somebody,
        Err(login) => return Ok(login),
    };
    let person = &somebody.session.person;
    let roles: Vec<String> = person.roles.iter().map(ToString::to_string).collect();
    Ok(page(
        StatusCode::OK,
        "account.html",
        context! {
            name => &person.name, email => &person.email, roles => roles.join(", "),
            user_id => somebody.session.user_id.to_string(),
            csrf_token => somebody.secret.csrf_token(),
            local => person.issuer == LOCAL_ISSUER,
        },
    ))
}

/// Who has a password here.
fn has_password(somebody: &LoggedIn) -> Result<(), Problem> {
    match somebody.session.person.issuer == LOCAL_ISSUER {
        true => Ok(()),
        false => Err(Problem::not_found()),
    }
}

pub(super) async fn password_form(
    State(app): State<App>,
    somebody: Result<LoggedIn, Problem>,
) -> Result<Response, PageProblem> {
    local(&app)?;
    let somebody = match logged_in(somebody, "/auth/password").await? {
        Ok(somebody) => somebody,
        Err(login) => return Ok(login),
    };
    has_password(&somebody)?;
    Ok(password_page(StatusCode::OK, &somebody, None))
}

fn password_page(status: StatusCode, somebody: &LoggedIn, error: Option<&str>) -> Response {
    page(
        status,
        "password.html",
        context! {
            email => &somebody.session.person.email, error,
            csrf_token => somebody.secret.csrf_token(), least => PASSWORD_MIN_CHARACTERS,
        },
    )
}

#[derive(Deserialize)]
pub(super) struct PasswordForm {
    csrf_token: String,
    old: String,
    password: String,
    again: String,
}

pub(super) async fn password_change(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    somebody: Result<LoggedIn, Problem>,
    Sent(form): Sent<PasswordForm>,
) -> Result<Response, PageProblem> {
    let browsers = local(&app)?;
    let somebody = somebody?;
    check_page(browsers, &headers)?;
    check_token(&somebody.secret, Some(&form.csrf_token))?;
    has_password(&somebody)?;
    app.limits.check_login(peer.map(|peer| peer.0))?;
    if form.password != form.again {
        let error = "The two new passwords are not the same.";
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return Ok(password_page(status, &somebody, Some(error)));
    }
    let (tenant, user) = (somebody.secret.tenant(), &somebody.session.user_id);
    let engine = &app.engine;
    let chosen = engine
        .password_change(tenant, user, form.old, form.password)
        .await?;
    let error = match chosen {
        Chosen::Done(session) => {
            return enter(&app, browsers, &headers, &session, ACCOUNT).await;
        }
        Chosen::Refused(error) => error,
        Chosen::Unknown => "The old password is not the right one. After several attempts, \
                            wait a few minutes."
            .to_owned(),
    };
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    Ok(password_page(status, &somebody, Some(&error)))
}
