//! The application: its state, its router as one list, and what happens to every request and
//! answer on the way.

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use crm_engine::Engine;
use crm_engine::audit::Origin;
use crm_model::RoleSlug;
use crm_model::limits::{
    IMPORT_FILE_MAX_BYTES, INTERPRETER_MAX_BYTES, REQUEST_BODY_MAX_BYTES, REQUEST_MAX_SECONDS,
    UPLOAD_MAX_SECONDS,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tracing::Instrument;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::acting::SuperAdmins;
use crate::auth::browsers::Browsers;
use crate::auth::{BrowserSettings, Issuers, LocalSettings, OsRoles};
use crate::edges::rates::{Limits, Peer, blame_the_database, by_address};
use crate::edges::{Edges, Rates, headers::with_headers};
use crate::problem::{self, Kind, Problem};
use crate::{openapi, routes};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_MAX_CHARACTERS: usize = 100;
/// A file with what multipart puts around it.
const UPLOAD_BODY_MAX_BYTES: usize = IMPORT_FILE_MAX_BYTES as usize + REQUEST_BODY_MAX_BYTES;
/// The largest component that there is with what multipart puts around it.
const PLUGIN_BODY_MAX_BYTES: usize = INTERPRETER_MAX_BYTES + REQUEST_BODY_MAX_BYTES;

/// What handlers share.
#[derive(Clone)]
pub struct App {
    pub(crate) engine: Engine,
    pub(crate) issuers: Arc<Issuers>,
    pub(crate) super_admins: SuperAdmins,
    pub(crate) os_roles: Arc<OsRoles>,
    pub(crate) edges: Arc<Edges>,
    pub(crate) limits: Arc<Limits>,
    /// Where nobody logs in with a browser, there is none.
    pub(crate) browsers: Option<Arc<Browsers>>,
    /// Whether this instance is about to end.
    pub(crate) stopping: CancellationToken,
}

impl App {
    /// An application over an engine that trusts these issuers.
    pub fn new(engine: Engine, issuers: Issuers) -> Self {
        Self {
            engine,
            issuers: Arc::new(issuers),
            super_admins: SuperAdmins::default(),
            os_roles: Arc::default(),
            edges: Arc::default(),
            limits: Arc::new(Limits::new(Rates::default())),
            browsers: None,
            stopping: CancellationToken::new(),
        }
    }

    /// The same, where people log in with a browser.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the settings.
    pub fn with_browsers(mut self, settings: BrowserSettings) -> Result<Self, String> {
        self.browsers = Some(Arc::new(Browsers::new(settings)?));
        Ok(self)
    }

    /// The local issuer, where it is on.
    pub(crate) fn local(&self) -> Option<LocalSettings> {
        self.browsers.as_ref()?.local
    }

    /// The same with other edges than an embedded server's.
    pub fn with_edges(self, edges: Edges) -> Self {
        Self {
            limits: Arc::new(Limits::new(edges.rates)),
            edges: Arc::new(edges),
            ..self
        }
    }

    /// The same, where people with this role may act for other tenants.
    #[must_use]
    pub fn with_super_admins(mut self, role: Option<RoleSlug>) -> Self {
        self.super_admins = SuperAdmins { role };
        self
    }

    /// The same, where the host OS's roles are these of the model's.
    #[must_use]
    pub fn with_os_roles(self, os_roles: OsRoles) -> Self {
        Self {
            os_roles: Arc::new(os_roles),
            ..self
        }
    }
}

fn api() -> OpenApiRouter<App> {
    let resources = OpenApiRouter::new()
        .routes(routes!(routes::bootstrap::bootstrap_get))
        .routes(routes!(routes::templates::templates_list))
        .routes(routes!(routes::templates::template_get))
        .routes(routes!(routes::templates::template_select))
        .routes(routes!(
            routes::modules::modules_list,
            routes::modules::module_add
        ))
        .routes(routes!(
            routes::modules::module_get,
            routes::modules::module_edit,
            routes::modules::module_remove
        ))
        .routes(routes!(routes::modules::module_schema))
        .routes(routes!(routes::field_types::field_types_list))
        .routes(routes!(
            routes::fields::fields_list,
            routes::fields::field_add
        ))
        .routes(routes!(
            routes::fields::field_get,
            routes::fields::field_edit,
            routes::fields::field_remove
        ))
        .routes(routes!(
            routes::settings::settings_get,
            routes::settings::settings_edit
        ))
        .routes(routes!(routes::roles::roles_list, routes::roles::role_add))
        .routes(routes!(
            routes::roles::role_get,
            routes::roles::role_edit,
            routes::roles::role_remove
        ))
        .routes(routes!(
            routes::members::members_list,
            routes::members::member_add
        ))
        .routes(routes!(routes::members::member_remove))
        .routes(routes!(routes::teams::teams_list, routes::teams::team_add))
        .routes(routes!(
            routes::teams::team_get,
            routes::teams::team_edit,
            routes::teams::team_remove
        ))
        .routes(routes!(
            routes::shares::shares_list,
            routes::shares::share_add
        ))
        .routes(routes!(routes::shares::share_remove))
        .routes(routes!(routes::permissions::permissions_explain))
        .routes(routes!(routes::views::views_list, routes::views::view_add))
        .routes(routes!(
            routes::views::view_get,
            routes::views::view_edit,
            routes::views::view_remove
        ))
        .routes(routes!(
            routes::query::records_list,
            routes::records::record_create
        ))
        .routes(routes!(routes::query::records_query))
        .routes(routes!(routes::aggregate::records_aggregate))
        .routes(routes!(
            routes::records::record_get,
            routes::records::record_update,
            routes::records::record_replace,
            routes::records::record_delete
        ))
        .routes(routes!(routes::records::record_assign))
        .routes(routes!(routes::records::record_restore))
        .routes(routes!(routes::records::record_clone))
        .routes(routes!(routes::bulk::records_bulk))
        .routes(routes!(routes::export::records_export))
        .routes(routes!(routes::history::history_list))
        .routes(routes!(routes::history::stages_list))
        .routes(routes!(routes::timeline::record_timeline))
        .routes(routes!(routes::timeline::user_timeline))
        .routes(routes!(routes::search::search))
        .routes(routes!(
            routes::activities::activities_list,
            routes::activities::activity_add
        ))
        .routes(routes!(routes::activities::activities_across))
        .routes(routes!(
            routes::activities::activity_get,
            routes::activities::activity_update,
            routes::activities::activity_delete
        ))
        .routes(routes!(
            routes::workflows::workflows_list,
            routes::workflows::workflow_add
        ))
        .routes(routes!(
            routes::workflows::workflow_get,
            routes::workflows::workflow_edit,
            routes::workflow_versions::workflow_delete
        ))
        .routes(routes!(
            routes::workflow_versions::draft_get,
            routes::workflow_versions::draft_put,
            routes::workflow_versions::draft_delete
        ))
        .routes(routes!(routes::workflow_versions::workflow_publish))
        .routes(routes!(routes::workflow_versions::versions_list))
        .routes(routes!(routes::workflow_versions::workflow_diff))
        .routes(routes!(routes::workflow_versions::runs_move))
        .routes(routes!(routes::workflow_test::workflow_test))
        .routes(routes!(
            routes::incoming::address_get,
            routes::incoming::address_make,
            routes::incoming::address_end
        ))
        .routes(routes!(routes::runs::workflow_runs_list))
        .routes(routes!(routes::run_control::workflow_start))
        .routes(routes!(routes::run_control::run_retry))
        .routes(routes!(routes::run_control::run_skip))
        .routes(routes!(routes::run_control::run_cancel))
        .routes(routes!(routes::run_words::runs_retry))
        .routes(routes!(routes::run_words::runs_skip))
        .routes(routes!(routes::run_words::runs_cancel))
        .routes(routes!(routes::runs::runs_list))
        .routes(routes!(routes::runs::run_get))
        .routes(routes!(routes::runs::run_bundle))
        .routes(routes!(routes::hook_failures::hook_failures_list))
        .merge(
            OpenApiRouter::new()
                .routes(routes!(
                    routes::imports::imports_list,
                    routes::import_upload::import_upload
                ))
                .layer(DefaultBodyLimit::max(UPLOAD_BODY_MAX_BYTES)),
        )
        .merge(
            OpenApiRouter::new()
                .routes(routes!(
                    routes::plugins::plugins_list,
                    routes::plugins::plugin_install
                ))
                .layer(DefaultBodyLimit::max(PLUGIN_BODY_MAX_BYTES)),
        )
        .routes(routes!(
            routes::plugins::plugin_get,
            routes::plugins::plugin_edit,
            routes::plugins::plugin_remove
        ))
        .routes(routes!(routes::plugins::plugin_preview))
        .routes(routes!(routes::imports::import_get))
        .routes(routes!(routes::imports::import_run))
        .routes(routes!(routes::audit::audit_list))
        .routes(routes!(
            routes::usage::usage_list,
            routes::usage::quotas_set
        ))
        .routes(routes!(
            routes::limits::limits_list,
            routes::limits::plan_set
        ))
        .routes(routes!(routes::tasks::tasks_list))
        .routes(routes!(routes::tasks::task_get))
        .routes(routes!(routes::tasks::task_cancel))
        .routes(routes!(
            routes::api_keys::api_keys_list,
            routes::api_keys::api_key_add
        ))
        .routes(routes!(routes::api_keys::api_key_rotate))
        .routes(routes!(routes::api_keys::api_key_revoke))
        .routes(routes!(
            routes::secrets::secrets_list,
            routes::secrets::secret_put
        ))
        .routes(routes!(routes::secrets::secret_remove))
        .routes(routes!(
            routes::webhooks::webhooks_list,
            routes::webhooks::webhook_add
        ))
        .routes(routes!(
            routes::webhooks::webhook_get,
            routes::webhooks::webhook_edit,
            routes::webhooks::webhook_remove
        ))
        .routes(routes!(routes::webhooks::webhook_deliveries))
        .routes(routes!(routes::approvals::approvals_list))
        .routes(routes!(routes::approvals::approval_get))
        .routes(routes!(routes::approvals::approval_decide))
        .routes(routes!(routes::webhooks::webhook_rotate))
        .routes(routes!(routes::webhooks::webhook_redeliver))
        .routes(routes!(
            routes::mail::sender_get,
            routes::mail::sender_put,
            routes::mail::sender_remove
        ))
        .routes(routes!(routes::mail::sender_confirm))
        .routes(routes!(
            routes::mail::suppressions_list,
            routes::mail::suppression_add
        ))
        .routes(routes!(
            routes::mail::suppression_get,
            routes::mail::suppression_remove
        ))
        .routes(routes!(
            routes::mail::feedback_address_get,
            routes::mail::feedback_address_make,
            routes::mail::feedback_address_end
        ))
        .routes(routes!(routes::notifications::notifications_list))
        .routes(routes!(routes::notifications::notification_read))
        .routes(routes!(
            routes::users::users_list,
            routes::users::user_invite
        ))
        .routes(routes!(routes::users::user_edit))
        .routes(routes!(routes::users::user_reinvite));
    OpenApiRouter::with_openapi(openapi::document())
        .nest("/api/crm", resources)
        .nest("/auth", routes::login::resources())
        .routes(routes!(routes::incoming::request_received))
        .routes(routes!(
            routes::mail_news::unsubscribe_page,
            routes::mail_news::unsubscribe
        ))
        .routes(routes!(routes::mail_news::feedback))
        .routes(routes!(routes::operations::healthz))
        .routes(routes!(routes::operations::readyz))
        .routes(routes!(routes::operations::problem_get))
}

/// The whole HTTP surface.
pub fn router(app: App) -> Router {
    let (router, document) = api().split_for_parts();
    let document = openapi::complete(document);
    let document = Arc::new(document.to_pretty_json().unwrap_or_default());
    let metrics = recorder();
    let edges = app.edges.clone();
    let router = router
        .nest("/auth", routes::login::pages())
        .route(
            "/metrics",
            get(move || async move { metrics.map(PrometheusHandle::render).unwrap_or_default() }),
        )
        .route(
            "/openapi.json",
            get(move || async move {
                (
                    [(header::CONTENT_TYPE, "application/json")],
                    document.as_str().to_owned(),
                )
            }),
        )
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::new(Kind::MethodNotAllowed) })
        .layer(DefaultBodyLimit::max(REQUEST_BODY_MAX_BYTES))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(middleware::from_fn_with_state(
            app.clone(),
            blame_the_database,
        ))
        .layer(middleware::from_fn_with_state(app.clone(), by_address))
        .layer(middleware::from_fn(around))
        .layer(CompressionLayer::new())
        .with_state(app);
    with_headers(router, &edges)
}

/// Metrics are the process's; the first application installs the recorder.
fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    RECORDER
        .get_or_init(|| PrometheusBuilder::new().install_recorder().ok())
        .as_ref()
}

/// Around every request: its id, its span, its time limit, its metrics; and the last touch on
/// problems, which carry the request's id.
async fn around(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let span =
        tracing::info_span!("request", request.id = ?id, http.method = %method, http.route = route);
    let origin = origin(&request, &id);
    let limit = Duration::from_secs(time_limit_seconds(&method, &route));
    let answered = async {
        let handled = origin.scope(next.run(request));
        let response = match tokio::time::timeout(limit, handled).await {
            Ok(response) => response,
            Err(_) => problem::timed_out(limit.as_secs()),
        };
        problem::finish(response, id.to_str().unwrap_or_default())
    };
    let mut response = answered.instrument(span).await;
    response.headers_mut().insert(REQUEST_ID, id);
    let seconds = started.elapsed().as_secs_f64();
    let status = response.status().as_str().to_owned();
    let labels = [
        ("method", method.to_string()),
        ("route", route),
        ("status", status),
    ];
    metrics::counter!("crm_http_requests_total", &labels).increment(1);
    metrics::histogram!("crm_http_request_seconds", &labels).record(seconds);
    response
}

/// Where a request comes from, for the audit log. What proxies say of it is not asked: anybody may
/// say that.
fn origin(request: &Request, id: &HeaderValue) -> Origin {
    let peer = request.extensions().get::<Peer>();
    let address = peer.map(|peer| peer.0.ip().to_string());
    Origin::new(address, id.to_str().ok().map(str::to_owned))
}

/// Uploads last as long as the client's line needs, and a component is compiled then.
fn time_limit_seconds(method: &Method, route: &str) -> u64 {
    match (method, route) {
        (&Method::POST, "/api/crm/imports" | "/api/crm/plugins") => UPLOAD_MAX_SECONDS,
        _ => REQUEST_MAX_SECONDS,
    }
}

/// The client's own id where it is harmless, else a fresh one.
fn request_id(request: &Request) -> HeaderValue {
    let given = request.headers().get(REQUEST_ID).filter(|id| {
        id.len() <= REQUEST_ID_MAX_CHARACTERS
            && id
                .as_bytes()
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    });
    match given {
        Some(id) => id.clone(),
        None => HeaderValue::from_str(&fresh_request_id())
            .unwrap_or_else(|_| HeaderValue::from_static("none")),
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "an id of a request, not of anything stored"
)]
fn fresh_request_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
