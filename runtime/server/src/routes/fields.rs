//! `/modules/{module}/fields`: the fields of a module, changed without a migration.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use crm_engine::EngineError;
use crm_model::definition::{FieldAccess, FieldDefinition};
use crm_model::overlay::{ModelChange, field_input};
use crm_model::sight::Sight;
use crm_model::{Actor, Data, FieldKey, Model, ModuleSlug};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, Parameters, segment};
use crate::once::{Answer, Keyed};
use crate::page::List;
use crate::problem::{Problem, ProblemBody};
use crate::routes::change::change_once;
use crate::routes::modules::{origin, readable};

/// A field.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Field)]
pub(crate) struct FieldBody {
    /// `key`, `label`, `type`, and what else its author said of it.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    definition: FieldDefinition,
    /// `template` or `tenant`: who added it.
    #[schema(example = "tenant")]
    origin: &'static str,
    /// Out of use: hidden everywhere, its values kept.
    retired: bool,
    /// Its place among the module's fields, counted from 0.
    position: usize,
    /// `masked` or `read_only` where your roles leave the field less than open.
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<&'static str>,
    /// `building` while records that were there before are taken into what was turned on for
    /// the field, `ready` otherwise.
    #[schema(example = "ready")]
    index: &'static str,
}

impl FieldBody {
    /// The fields of a module that are there for the reader, in order: those in use, or all.
    pub(crate) fn all(sight: &Sight<'_>, with_retired: bool) -> Vec<Self> {
        let definition = sight.definition();
        let fields = definition.fields.iter();
        fields
            .filter(|field| with_retired || !field.retired)
            .map(|field| Self::of(sight, field))
            .collect()
    }

    fn of(sight: &Sight<'_>, field: &FieldDefinition) -> Self {
        let module = sight.module();
        let mut fields = module.definition().fields.iter();
        let position = fields.position(|other| other.key == field.key);
        let building = module.is_building(&field.key);
        Self {
            // Said apart, always.
            definition: FieldDefinition {
                retired: false,
                ..field.clone()
            },
            origin: origin(module.is_own_field(&field.key)),
            retired: field.retired,
            position: position.unwrap_or_default(),
            access: sight.access(&field.key).map(FieldAccess::name),
            index: if building { "building" } else { "ready" },
        }
    }

    fn find(
        model: &Model,
        reader: &Actor,
        module: &ModuleSlug,
        key: &FieldKey,
    ) -> Result<Json<Self>, Problem> {
        let module = model.module(module).ok_or_else(Problem::not_found)?;
        let sight = model.sight(module, Some(reader));
        let definition = sight.definition();
        let mut fields = definition.fields.iter();
        fields
            .find(|field| field.key == *key)
            .map(|field| Json(Self::of(&sight, field)))
            .ok_or_else(Problem::not_found)
    }
}

/// Which fields.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FieldParameters {
    /// `retired`: also those that are out of use.
    #[param(inline)]
    include: Option<IncludeFields>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IncludeFields {
    Retired,
}

/// The fields of a module, in order.
#[utoipa::path(get, path = "/modules/{module}/fields", tag = "modules",
    params(("module" = String, Path), FieldParameters),
    responses(
        (status = 200, body = List<FieldBody>),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn fields_list(
    State(app): State<App>,
    caller: Caller,
    Path(module): Path<String>,
    Parameters(parameters): Parameters<FieldParameters>,
) -> Result<Json<List<FieldBody>>, Problem> {
    let slug = segment(&module)?;
    let model = readable(&app, &caller, &slug).await?;
    let module = model.module(&slug).ok_or_else(Problem::not_found)?;
    let with_retired = parameters.include.is_some();
    Ok(Json(List::whole(FieldBody::all(
        &model.sight(module, Some(&caller.actor)),
        with_retired,
    ))))
}

/// Adds a field: `key`, `label`, `type`, what the type takes, and `position`. Live for the next
/// request.
#[utoipa::path(post, path = "/modules/{module}/fields", tag = "modules",
    params(("module" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Object,
    responses(
        (status = 201, body = FieldBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn field_add(
    State(app): State<App>,
    caller: Caller,
    Path(module): Path<String>,
    Keyed { key, input }: Keyed<Data>,
) -> Result<Response, Problem> {
    let slug: ModuleSlug = segment(&module)?;
    let (field, position) = field_input(input).map_err(EngineError::from)?;
    let name = field.key.clone();
    let change = ModelChange::FieldAdd(slug.clone(), Box::new(field), position);
    let reader = caller.actor.clone();
    let answer = move |model: &Model| match FieldBody::find(model, &reader, &slug, &name) {
        Ok(Json(field)) => Answer::json(StatusCode::CREATED, &field),
        Err(_) => Answer::empty(StatusCode::CREATED),
    };
    change_once(&app, &caller, key, change, answer).await
}

/// One field, in use or not.
#[utoipa::path(get, path = "/modules/{module}/fields/{field}", tag = "modules",
    params(("module" = String, Path), ("field" = String, Path)),
    responses((status = 200, body = FieldBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn field_get(
    State(app): State<App>,
    caller: Caller,
    Path((module, field)): Path<(String, String)>,
) -> Result<Json<FieldBody>, Problem> {
    let (slug, key) = (segment(&module)?, segment(&field)?);
    let model = readable(&app, &caller, &slug).await?;
    FieldBody::find(&model, &caller.actor, &slug, &key)
}

/// Changes a field: a merge patch of its definition and its `position`. `{"retired": true}` takes
/// it out of use, its values stay; `false` brings it back. Of the template's fields, labels, help,
/// group and place may change, and `retired`, `indexed`, `searchable` and `personal_data` may be
/// turned on; null puts the template's own back.
#[utoipa::path(patch, path = "/modules/{module}/fields/{field}", tag = "modules",
    params(("module" = String, Path), ("field" = String, Path)),
    request_body = Object,
    responses(
        (status = 200, body = FieldBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn field_edit(
    State(app): State<App>,
    caller: Caller,
    Path((module, field)): Path<(String, String)>,
    Body(patch): Body<Data>,
) -> Result<Json<FieldBody>, Problem> {
    let slug: ModuleSlug = segment(&module)?;
    let key: FieldKey = segment(&field)?;
    let change = ModelChange::FieldEdit(slug.clone(), key.clone(), patch);
    let model = app
        .engine
        .model_change(caller.tenant, caller.actor.clone(), change, None)
        .await?;
    FieldBody::find(&model, &caller.actor, &slug, &key)
}

/// Deletes a field of your own: gone at once, its values are taken out of the records in the
/// background. The template's fields can be retired instead.
#[utoipa::path(delete, path = "/modules/{module}/fields/{field}", tag = "modules",
    params(("module" = String, Path), ("field" = String, Path)),
    responses(
        (status = 204),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody),
    ))]
pub(crate) async fn field_remove(
    State(app): State<App>,
    caller: Caller,
    Path((module, field)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let change = ModelChange::FieldRemove(segment(&module)?, segment(&field)?);
    app.engine
        .model_change(caller.tenant, caller.actor, change, None)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
