//! `/plugins`: what a tenant has installed, what each may do, and what it would do.

mod form;
mod preview;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use crm_engine::BreakerState;
use crm_engine::plugins::{FieldConflict, PluginChange, PluginUsage, PluginView, Takes, UnfitStep};
use crm_model::{Capabilities, PluginName};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, Parameters, given, segment};
use crate::once::{Answer, key_name, once, receipt_of};
use crate::page::List;
use crate::problem::{Problem, ProblemBody};
use form::Form;
pub(crate) use form::PluginForm;
pub(crate) use preview::{__path_plugin_preview, plugin_preview};

/// An installed plugin.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Plugin)]
pub(crate) struct PluginBody {
    name: String,
    version: String,
    title: String,
    description: String,
    /// SHA-256 of the component.
    digest: String,
    /// Whether the tenant brought it along itself.
    own: bool,
    /// What it asks for: `reads`, `writes`, `activities`, `effects`, `secrets`, `state`.
    #[schema(value_type = Object)]
    capabilities: Capabilities,
    /// What it is granted. It may do what stands in both, and no more than the person on whose
    /// behalf it runs.
    #[schema(value_type = Object)]
    grants: Capabilities,
    /// What a component of its class may be, and what its calls may take: `class`,
    /// `component_max_bytes`, `memory_max_bytes`.
    #[schema(value_type = Object, example = json!({
        "class": "interpreter", "component_max_bytes": 25165824, "memory_max_bytes": 134217728
    }))]
    takes: Takes,
    /// Interfaces of the host that the component imports: what is not here, it cannot use.
    imports: Vec<String>,
    /// Its configuration as a whole.
    #[schema(value_type = Object)]
    config: Value,
    /// Whether it runs; what it would do waits meanwhile.
    enabled: bool,
    /// How many runs may be at a step of it at once, on all instances together; null: any number.
    concurrency: Option<i32>,
    /// Workflows with a step of it.
    workflows: Vec<String>,
    /// Fields that other plugins may write too.
    #[schema(value_type = Vec<Object>)]
    conflicts: Vec<FieldConflict>,
    /// Steps of workflows that are not configured as this version wants it: `workflow`, `pointer`,
    /// `message`.
    #[schema(value_type = Vec<Object>)]
    unfit: Vec<UnfitStep>,
    /// Whether it is left alone for a while after many failures, as this instance sees it.
    #[schema(value_type = Object)]
    breaker: BreakerState,
    /// Why this version runs nowhere, where whoever runs the installation stopped it.
    stopped: Option<String>,
    /// Newer versions that can be installed.
    newer_versions: Vec<String>,
    installed_at: DateTime<Utc>,
    installed_by: String,
    updated_at: Option<DateTime<Utc>>,
    updated_by: Option<String>,
}

impl From<&PluginView> for PluginBody {
    fn from(view: &PluginView) -> Self {
        let install = view.install.clone();
        let manifest = install.manifest.0;
        Self {
            name: manifest.name.to_string(),
            version: manifest.version.to_string(),
            title: manifest.title,
            description: manifest.description,
            digest: install.digest,
            own: install.own,
            takes: view.takes(),
            capabilities: manifest.capabilities,
            grants: install.granted.0,
            imports: view.imports.clone(),
            config: install.settings.0,
            enabled: install.enabled,
            concurrency: install.concurrency,
            workflows: view.workflows.iter().map(ToString::to_string).collect(),
            conflicts: view.conflicts.clone(),
            unfit: view.unfit.clone(),
            breaker: view.breaker.clone(),
            stopped: view.killed.clone(),
            newer_versions: view.newer.iter().map(ToString::to_string).collect(),
            installed_at: install.installed_at,
            installed_by: install.installed_by,
            updated_at: install.updated_at,
            updated_by: install.updated_by,
        }
    }
}

/// An installed plugin with what it did in the last 24 hours.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PluginDetail)]
pub(crate) struct PluginDetailBody {
    #[serde(flatten)]
    plugin: PluginBody,
    last_day: PluginUsageBody,
}

/// What a plugin did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PluginUsage)]
struct PluginUsageBody {
    /// Calls by how they ended: `done`, `skip`, `fail`, `retry`, `trapped`, `out_of_fuel`,
    /// `timed_out`, `out_of_memory`, `too_many_host_calls`, `nonsense`, ….
    #[schema(value_type = Object)]
    calls: BTreeMap<String, i64>,
    /// Units, about one per WebAssembly instruction.
    fuel: i64,
    p50_us: Option<i64>,
    p99_us: Option<i64>,
    /// Runs that failed or were put off, and wait.
    waiting: i64,
}

impl From<PluginUsage> for PluginUsageBody {
    fn from(usage: PluginUsage) -> Self {
        Self {
            calls: usage.outcomes,
            fuel: usage.fuel,
            p50_us: usage.p50_us,
            p99_us: usage.p99_us,
            waiting: usage.waiting,
        }
    }
}

/// The installed plugins. For those who manage everything, as all of these.
#[utoipa::path(get, path = "/plugins", tag = "plugins",
    responses((status = 200, body = List<PluginBody>), (status = 403, body = ProblemBody)))]
pub(crate) async fn plugins_list(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<List<PluginBody>>, Problem> {
    let plugins = app.engine.plugins(caller.tenant, &caller.actor).await?;
    Ok(Json(List::whole(
        plugins.iter().map(PluginBody::from).collect(),
    )))
}

/// One installed plugin, with what it did in the last 24 hours.
#[utoipa::path(get, path = "/plugins/{name}", tag = "plugins",
    params(("name" = String, Path)),
    responses(
        (status = 200, body = PluginDetailBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn plugin_get(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<PluginDetailBody>, Problem> {
    let name: PluginName = segment(&name)?;
    let (tenant, actor) = (caller.tenant, &caller.actor);
    let plugin = app.engine.plugin(tenant, actor, &name).await?;
    let usage = app.engine.plugin_usage(tenant, actor, &name).await?;
    Ok(Json(PluginDetailBody {
        plugin: PluginBody::from(&plugin),
        last_day: usage.into(),
    }))
}

/// Installs a plugin: a component that comes along, or one that is known here by its name.
/// It is compiled before it is accepted, and nothing stays of what is refused. A component of the
/// class `interpreter` may have 24 MiB and its calls 128 MiB of memory, others 2 and 32; how many
/// bytes of each a tenant may keep are quotas of its own (`GET /usage`). The answer tells what it
/// `takes`. A tenant sends one component at a time.
#[utoipa::path(post, path = "/plugins", tag = "plugins",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body(content = PluginForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, body = PluginBody, description = "It took the place of another version"),
        (status = 201, body = PluginBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "It is installed, or the version is taken"),
        (status = 413, body = ProblemBody),
        (status = 415, body = ProblemBody),
        (status = 422, body = ProblemBody, description = "The component is refused, and why"),
        (status = 429, body = ProblemBody, description = "The tenant keeps too many bytes"),
        (status = 503, body = ProblemBody, description = "Too many are being sent at once"),
    ))]
pub(crate) async fn plugin_install(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    // A key that is none is refused before anything is read.
    key_name(request.headers())?;
    app.engine
        .plugins_managed(caller.tenant, &caller.actor)
        .await?;
    let (head, form) = Form::read(request, &app, &caller).await?;
    let key = form.key(&head)?;
    let created = |view: &PluginView| {
        let status = match view.install.updated_at {
            None => StatusCode::CREATED,
            Some(_) => StatusCode::OK,
        };
        Answer::json(status, &PluginBody::from(view))
    };
    let install = form.install()?;
    once(&app, &caller, key, async |key| {
        let (actor, receipt) = (caller.actor.clone(), receipt_of(key, created));
        let installed = app
            .engine
            .plugin_install(caller.tenant, actor, install, receipt);
        Ok(created(&installed.await?))
    })
    .await
}

/// What is to be changed of a plugin; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PluginPatch {
    /// Another version that is known here, newer or older.
    #[schema(value_type = Option<String>, example = "1.1.0")]
    version: Option<Version>,
    /// What it is granted from then on.
    #[schema(value_type = Option<Object>)]
    grants: Option<Capabilities>,
    /// Its configuration as a whole.
    #[schema(value_type = Option<Object>)]
    config: Option<Value>,
    /// `false` switches it off: its runs wait.
    enabled: Option<bool>,
    /// How many runs may be at a step of it at once, on all instances together: 1 to 10,000, or
    /// null for any number. Others wait for their turn.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    concurrency: Option<Option<u32>>,
}

/// Changes version, grants or configuration of a plugin, or switches it off and on. Live for the
/// next run.
#[utoipa::path(patch, path = "/plugins/{name}", tag = "plugins",
    params(("name" = String, Path)),
    request_body = PluginPatch,
    responses(
        (status = 200, body = PluginBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn plugin_edit(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Body(patch): Body<PluginPatch>,
) -> Result<Json<PluginBody>, Problem> {
    let change = PluginChange {
        version: patch.version,
        grants: patch.grants,
        config: patch.config,
        enabled: patch.enabled,
        concurrency: patch.concurrency,
    };
    let view = app
        .engine
        .plugin_change(caller.tenant, caller.actor, segment(&name)?, change)
        .await?;
    Ok(Json(PluginBody::from(&view)))
}

/// What goes with a plugin.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RemoveParameters {
    /// `delete`: also all versions of it that the tenant brought along, to make room; it need not
    /// be installed then.
    #[param(inline)]
    versions: Option<Versions>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Versions {
    Delete,
}

/// Removes a plugin, with the values that it kept. 409 while workflows use it.
#[utoipa::path(delete, path = "/plugins/{name}", tag = "plugins",
    params(("name" = String, Path), RemoveParameters),
    responses(
        (status = 204),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody),
    ))]
pub(crate) async fn plugin_remove(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Parameters(parameters): Parameters<RemoveParameters>,
) -> Result<StatusCode, Problem> {
    let versions = matches!(parameters.versions, Some(Versions::Delete));
    app.engine
        .plugin_remove(caller.tenant, caller.actor, segment(&name)?, versions)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
