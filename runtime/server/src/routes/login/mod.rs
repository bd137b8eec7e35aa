//! `/auth`: logging in and out with a browser. What pages without script and programs in pages
//! both ask is a resource (`flow`, `session`); what people see is a page (`local`, `account`,
//! `page`). Where nobody logs in with a browser, there is nothing.

mod account;
mod flow;
mod local;
pub(super) mod page;
mod session;

use axum::Router;
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

pub(crate) fn resources() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(flow::login_start))
        .routes(routes!(flow::login_finish))
        .routes(routes!(session::session_get))
        .routes(routes!(session::logout))
        .routes(routes!(session::logout_everywhere))
}

pub(crate) fn pages() -> Router<App> {
    Router::new()
        .route("/style.css", get(page::style))
        .route("/account", get(account::account))
        .route(
            "/password",
            get(account::password_form).post(account::password_change),
        )
        .route("/local", get(local::login_form).post(local::login))
        .route(
            "/invitation",
            get(local::invitation_form).post(local::invitation_accept),
        )
}
