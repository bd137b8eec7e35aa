//! Pages of the local issuer for those who are not logged in: the login, and invitations.

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use crm_engine::login::Chosen;
use crm_engine::secret::TenantSecret;
use crm_model::TenantId;
use crm_model::limits::{LOGIN_PAUSE_MAX_SECONDS, PASSWORD_MAX_BYTES, PASSWORD_MIN_CHARACTERS};
use minijinja::context;
use serde::Deserialize;

use super::page::{PageProblem, Sent, browsers, page};
use crate::app::App;
use crate::auth::browsers::Browsers;
use crate::auth::cross_site::check_origin;
use crate::auth::return_to::return_to;
use crate::edges::rates::Peer;
use crate::problem::{Kind, Problem};

/// What somebody who cannot log in reads, whatever the reason.
fn refusal() -> String {
    let minutes = LOGIN_PAUSE_MAX_SECONDS / 60;
    format!(
        "This address and this password do not belong together. After several wrong attempts \
         even the right password is refused, for up to {minutes} minutes."
    )
}

/// Pages of the local issuer are there where it is on.
pub(super) fn local(app: &App) -> Result<&Browsers, Problem> {
    let browsers = browsers(app)?;
    match browsers.local {
        Some(_) => Ok(browsers),
        None => Err(Problem::not_found()),
    }
}

/// What pages post comes from pages of this server.
pub(super) fn check_page(browsers: &Browsers, headers: &HeaderMap) -> Result<(), Problem> {
    check_origin(headers, &browsers.origin(headers)?)
}

#[derive(Deserialize)]
pub(super) struct LoginLink {
    tenant: Option<String>,
    return_to: Option<String>,
}

/// Whose people log in: as the link says, as the browser remembers, or the only one's.
fn tenant_of(browsers: &Browsers, headers: &HeaderMap, named: Option<&str>) -> Option<TenantId> {
    match named.filter(|named| !named.is_empty()) {
        Some(named) => named.trim().parse().ok(),
        None => {
            let remembered = browsers.tenant(&browsers.jar(headers));
            remembered.or_else(|| browsers.local?.tenant)
        }
    }
}

pub(super) async fn login_form(
    State(app): State<App>,
    Query(link): Query<LoginLink>,
    headers: HeaderMap,
) -> Result<Response, PageProblem> {
    let browsers = local(&app)?;
    let tenant = tenant_of(browsers, &headers, link.tenant.as_deref());
    let unknown = tenant.is_none() && link.tenant.is_some();
    Ok(page(
        StatusCode::OK,
        "login.html",
        context! {
            tenant => tenant.map(|tenant| tenant.to_string()),
            return_to => return_to(link.return_to.as_deref()),
            error => unknown.then_some("This is no organisation's code: ask whoever invited you."),
        },
    ))
}

#[derive(Deserialize)]
pub(super) struct LoginForm {
    tenant: String,
    email: String,
    password: String,
    return_to: Option<String>,
}

pub(super) async fn login(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Sent(form): Sent<LoginForm>,
) -> Result<Response, PageProblem> {
    let browsers = local(&app)?;
    check_page(browsers, &headers)?;
    app.limits.check_login(peer.map(|peer| peer.0))?;
    let tenant: TenantId = form.tenant.parse().map_err(|_| Problem::not_found())?;
    let return_to = return_to(form.return_to.as_deref());
    // Nobody's password is as long, which tells nothing of who is there.
    let session = match form.password.len() > PASSWORD_MAX_BYTES {
        true => None,
        false => {
            let engine = &app.engine;
            engine
                .local_login(tenant, &form.email, form.password)
                .await?
        }
    };
    let Some(session) = session else {
        let tenant = tenant.to_string();
        let (email, error) = (form.email, refusal());
        return Ok(page(
            StatusCode::UNAUTHORIZED,
            "login.html",
            context! { tenant, email, return_to, error },
        ));
    };
    enter(&app, browsers, &headers, &session, &return_to).await
}

/// Answers a login: this browser has this session now, and no other.
pub(super) async fn enter(
    app: &App,
    browsers: &Browsers,
    headers: &HeaderMap,
    session: &TenantSecret,
    return_to: &str,
) -> Result<Response, PageProblem> {
    let jar = browsers.jar(headers);
    if let Some(before) = browsers.secret(&jar) {
        app.engine.session_end(&before).await?;
    }
    let jar = browsers.with_session(jar, session);
    Ok((jar, Redirect::to(return_to)).into_response())
}

#[derive(Deserialize)]
pub(super) struct InvitationLink {
    token: String,
}

fn no_invitation() -> PageProblem {
    let detail = "This invitation was used, has expired or was replaced. Ask for another one.";
    PageProblem::new(Kind::NotFound, detail)
}

pub(super) async fn invitation_form(
    State(app): State<App>,
    Query(link): Query<InvitationLink>,
) -> Result<Response, PageProblem> {
    local(&app)?;
    let invitation: TenantSecret = link.token.parse().map_err(|()| no_invitation())?;
    let user = app.engine.invitation(&invitation).await?;
    let user = user.ok_or_else(no_invitation)?;
    Ok(page(
        StatusCode::OK,
        "invitation.html",
        context! {
            token => link.token, email => user.email, name => user.name,
            least => PASSWORD_MIN_CHARACTERS,
        },
    ))
}

#[derive(Deserialize)]
pub(super) struct InvitationForm {
    token: String,
    name: String,
    password: String,
    again: String,
}

pub(super) async fn invitation_accept(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Sent(form): Sent<InvitationForm>,
) -> Result<Response, PageProblem> {
    let browsers = local(&app)?;
    check_page(browsers, &headers)?;
    app.limits.check_login(peer.map(|peer| peer.0))?;
    let invitation: TenantSecret = form.token.parse().map_err(|()| no_invitation())?;
    let user = app.engine.invitation(&invitation).await?;
    let user = user.ok_or_else(no_invitation)?;
    let chosen = match form.password == form.again {
        true => {
            let name = form.name.clone();
            let engine = &app.engine;
            engine
                .invitation_accept(invitation, name, form.password)
                .await?
        }
        false => Chosen::Refused("The two passwords are not the same.".to_owned()),
    };
    match chosen {
        Chosen::Done(session) => enter(&app, browsers, &headers, &session, &return_to(None)).await,
        Chosen::Refused(error) => Ok(page(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invitation.html",
            context! {
                token => form.token, email => user.email, name => form.name, error,
                least => PASSWORD_MIN_CHARACTERS,
            },
        )),
        Chosen::Unknown => Err(no_invitation()),
    }
}
