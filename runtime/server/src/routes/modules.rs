//! `/modules`: the model, as far as the caller may see it.

use axum::Json;
use axum::extract::{Path, State};
use crm_model::permission::{Action, Authority, permit};
use crm_model::{Model, Module, ModuleSlug};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::segment;
use crate::page::List;
use crate::problem::{Problem, ProblemBody};
use crate::routes::fields::FieldBody;

/// A kind of record.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Module)]
pub(crate) struct ModuleBody {
    slug: String,
    label: String,
    label_plural: String,
    description: Option<String>,
    /// The field that names a record to people.
    title_field: Option<String>,
    fields: Vec<FieldBody>,
}

impl From<&Module> for ModuleBody {
    fn from(module: &Module) -> Self {
        let definition = module.definition();
        let plural = definition
            .label_plural
            .as_ref()
            .unwrap_or(&definition.label);
        Self {
            slug: definition.slug.to_string(),
            label: definition.label.clone(),
            label_plural: plural.clone(),
            description: definition.description.clone(),
            title_field: definition.title_field.as_ref().map(ToString::to_string),
            fields: FieldBody::all(module),
        }
    }
}

/// The model, if the caller may read this module of it.
pub(crate) async fn readable(
    app: &App,
    caller: &Caller,
    slug: &ModuleSlug,
) -> Result<Arc<Model>, Problem> {
    let model = app
        .engine
        .model(caller.tenant)
        .await?
        .ok_or_else(Problem::not_found)?;
    permit(&model, Authority::User(&caller.actor), Action::Read, slug)
        .map_err(crm_engine::EngineError::from)?;
    Ok(model)
}

/// The modules that you may read.
#[utoipa::path(get, path = "/modules", tag = "modules", responses(
    (status = 200, body = List<ModuleBody>),
))]
pub(crate) async fn modules_list(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<List<ModuleBody>>, Problem> {
    let bootstrap = app.engine.bootstrap(caller.tenant, &caller.actor).await?;
    let modules = bootstrap.ready.map_or_else(Vec::new, |ready| {
        ready
            .model
            .modules()
            .filter(|module| ready.permissions.contains_key(&module.definition().slug))
            .map(ModuleBody::from)
            .collect()
    });
    Ok(Json(List::whole(modules)))
}

/// One module.
#[utoipa::path(get, path = "/modules/{module}", tag = "modules",
    params(("module" = String, Path)),
    responses((status = 200, body = ModuleBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn module_get(
    State(app): State<App>,
    caller: Caller,
    Path(module): Path<String>,
) -> Result<Json<ModuleBody>, Problem> {
    let slug = segment(&module)?;
    let model = readable(&app, &caller, &slug).await?;
    model
        .module(&slug)
        .map(|module| Json(module.into()))
        .ok_or_else(Problem::not_found)
}

/// JSON Schema (2020-12) of the module's `data`.
#[utoipa::path(get, path = "/modules/{module}/schema", tag = "modules",
    params(("module" = String, Path)),
    responses((status = 200, body = Object), (status = 404, body = ProblemBody)))]
pub(crate) async fn module_schema(
    State(app): State<App>,
    caller: Caller,
    Path(module): Path<String>,
) -> Result<Json<serde_json::Value>, Problem> {
    let slug = segment(&module)?;
    let model = readable(&app, &caller, &slug).await?;
    model
        .module(&slug)
        .map(|module| Json(module.schema().clone()))
        .ok_or_else(Problem::not_found)
}
