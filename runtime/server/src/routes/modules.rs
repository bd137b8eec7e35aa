//! `/modules`: the model, as far as the caller may see it, changed without a migration.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use crm_model::definition::{
    ActivityTypeDefinition, FieldDefinition, ModuleDefinition, RuleDefinition, UniqueDefinition,
};
use crm_model::overlay::ModelChange;
use crm_model::permission::{Action, Authority, permit};
use crm_model::sight::Sight;
use crm_model::{Actor, Data, FieldKey, Model, ModuleSlug};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, Parameters, segment};
use crate::once::{Answer, Keyed};
use crate::page::List;
use crate::problem::{Problem, ProblemBody};
use crate::routes::change::change_once;
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
    /// A name from the console's set of icons.
    icon: Option<String>,
    /// `template` or `tenant`: who added it.
    #[schema(example = "template")]
    origin: &'static str,
    /// Kept out of people's sight; its records stay.
    hidden: bool,
    fields: Vec<FieldBody>,
    /// Values that no two records share, over several fields together.
    #[schema(value_type = Vec<Object>)]
    unique: Vec<UniqueDefinition>,
    /// What every record has to satisfy, across its fields.
    #[schema(value_type = Vec<Object>)]
    rules: Vec<RuleDefinition>,
    /// Types of timeline entries beside the built-in ones.
    #[schema(value_type = Vec<Object>)]
    activity_types: Vec<ActivityTypeDefinition>,
}

impl From<Sight<'_>> for ModuleBody {
    fn from(sight: Sight<'_>) -> Self {
        let fields = FieldBody::all(&sight, false);
        let module = sight.module();
        let definition = sight.definition().into_owned();
        let plural = definition.label_plural;
        Self {
            slug: definition.slug.to_string(),
            label_plural: plural.unwrap_or_else(|| definition.label.clone()),
            label: definition.label,
            description: definition.description,
            title_field: definition.title_field.as_ref().map(ToString::to_string),
            icon: definition.icon,
            origin: origin(module.is_own()),
            hidden: definition.hidden,
            fields,
            unique: definition.unique,
            rules: definition.rules,
            activity_types: definition.activity_types,
        }
    }
}

impl ModuleBody {
    fn find(model: &Model, reader: &Actor, slug: &ModuleSlug) -> Result<Json<Self>, Problem> {
        model
            .module(slug)
            .map(|module| Json(model.sight(module, Some(reader)).into()))
            .ok_or_else(Problem::not_found)
    }
}

/// Who added a part of the model.
pub(crate) const fn origin(own: bool) -> &'static str {
    if own { "tenant" } else { "template" }
}

/// A new module.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModuleInput {
    #[schema(value_type = String, example = "suppliers")]
    slug: ModuleSlug,
    #[schema(example = "Supplier")]
    label: String,
    label_plural: Option<String>,
    description: Option<String>,
    /// The field that names a record to people.
    #[schema(value_type = Option<String>)]
    title_field: Option<FieldKey>,
    icon: Option<String>,
    /// As `POST /modules/{module}/fields` takes them.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    fields: Vec<FieldDefinition>,
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    unique: Vec<UniqueDefinition>,
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    rules: Vec<RuleDefinition>,
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    activity_types: Vec<ActivityTypeDefinition>,
}

impl From<ModuleInput> for ModuleDefinition {
    fn from(input: ModuleInput) -> Self {
        Self {
            slug: input.slug,
            label: input.label,
            label_plural: input.label_plural,
            description: input.description,
            title_field: input.title_field,
            icon: input.icon,
            fields: input.fields,
            unique: input.unique,
            rules: input.rules,
            activity_types: input.activity_types,
            hidden: false,
        }
    }
}

/// Which modules.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ModuleParameters {
    /// `hidden`: also those that are kept out of sight.
    #[param(inline)]
    include: Option<IncludeModules>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IncludeModules {
    Hidden,
}

/// How a module goes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ModuleRemoval {
    /// `delete`: the module goes although it has records, and they go with it, for good.
    #[param(inline)]
    records: Option<RecordsOfModule>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RecordsOfModule {
    Delete,
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
#[utoipa::path(get, path = "/modules", tag = "modules",
    params(ModuleParameters),
    responses(
        (status = 200, body = List<ModuleBody>),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn modules_list(
    State(app): State<App>,
    caller: Caller,
    Parameters(parameters): Parameters<ModuleParameters>,
) -> Result<Json<List<ModuleBody>>, Problem> {
    let bootstrap = app.engine.bootstrap(caller.tenant, &caller.actor).await?;
    let with_hidden = parameters.include.is_some();
    let modules = bootstrap.ready.map_or_else(Vec::new, |ready| {
        ready
            .model
            .modules()
            .filter(|module| ready.permissions.contains_key(&module.definition().slug))
            .filter(|module| with_hidden || !module.definition().hidden)
            .map(|module| ready.model.sight(module, Some(&caller.actor)).into())
            .collect()
    });
    Ok(Json(List::whole(modules)))
}

/// Adds a module of your own, with its fields. Live for the next request.
#[utoipa::path(post, path = "/modules", tag = "modules",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = ModuleInput,
    responses(
        (status = 201, body = ModuleBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn module_add(
    State(app): State<App>,
    caller: Caller,
    Keyed { key, input }: Keyed<ModuleInput>,
) -> Result<Response, Problem> {
    let slug = input.slug.clone();
    let change = ModelChange::ModuleAdd(input.into());
    let reader = caller.actor.clone();
    let answer = move |model: &Model| match ModuleBody::find(model, &reader, &slug) {
        Ok(Json(module)) => Answer::json(StatusCode::CREATED, &module),
        Err(_) => Answer::empty(StatusCode::CREATED),
    };
    change_once(&app, &caller, key, change, answer).await
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
    ModuleBody::find(&model, &caller.actor, &slug)
}

/// Changes a module: a merge patch of `label`, `label_plural`, `description`, `icon`, `hidden`,
/// `title_field` and `field_order` (keys; the other fields follow); of your own modules also
/// `unique`, `rules` and `activity_types`. Of the template's, null puts its own back.
#[utoipa::path(patch, path = "/modules/{module}", tag = "modules",
    params(("module" = String, Path)),
    request_body = Object,
    responses(
        (status = 200, body = ModuleBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn module_edit(
    State(app): State<App>,
    caller: Caller,
    Path(module): Path<String>,
    Body(patch): Body<Data>,
) -> Result<Json<ModuleBody>, Problem> {
    let slug: ModuleSlug = segment(&module)?;
    let change = ModelChange::ModuleEdit(slug.clone(), patch);
    let model = app
        .engine
        .model_change(caller.tenant, caller.actor.clone(), change, None)
        .await?;
    ModuleBody::find(&model, &caller.actor, &slug)
}

/// Deletes a module of your own: gone at once, with its fields and views; what is left of its
/// records is removed in the background. The template's modules can be hidden instead.
#[utoipa::path(delete, path = "/modules/{module}", tag = "modules",
    params(("module" = String, Path), ModuleRemoval),
    responses(
        (status = 204),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn module_remove(
    State(app): State<App>,
    caller: Caller,
    Path(module): Path<String>,
    Parameters(removal): Parameters<ModuleRemoval>,
) -> Result<StatusCode, Problem> {
    let change = ModelChange::ModuleRemove {
        module: segment(&module)?,
        with_records: removal.records.is_some(),
    };
    app.engine
        .model_change(caller.tenant, caller.actor, change, None)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// JSON Schema (2020-12) of the module's `data`, as far as your roles show it.
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
        .map(|module| Json(model.sight(module, Some(&caller.actor)).schema()))
        .ok_or_else(Problem::not_found)
}
