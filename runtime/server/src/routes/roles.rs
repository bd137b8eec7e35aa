//! `/roles`: what each role lets people do. For those who manage everything.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use crm_model::definition::{FieldAccess, RecordRules, RoleDefinition};
use crm_model::overlay::ModelChange;
use crm_model::roles::Role;
use crm_model::{Data, FieldKey, Model, ModuleSlug, RoleSlug};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, segment};
use crate::once::{Answer, Keyed};
use crate::page::List;
use crate::problem::{Problem, ProblemBody};
use crate::routes::change::change_once;
use crate::routes::modules::origin;

/// A role.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Role)]
pub(crate) struct RoleBody {
    slug: String,
    label: String,
    /// `template` or `tenant`: who added it.
    #[schema(example = "template")]
    origin: &'static str,
    /// The template's, and the tenant says otherwise of it.
    edited: bool,
    /// Module, or `*` for every one → actions, or `*` for all.
    #[schema(value_type = Object)]
    permissions: BTreeMap<String, BTreeSet<String>>,
    /// Module → field → `hidden`, `masked`, `read_only` or `open`.
    #[schema(value_type = Object)]
    fields: BTreeMap<ModuleSlug, BTreeMap<FieldKey, FieldAccess>>,
    /// Module, or `*` → which records it reaches, by action: `read`, `create`, `update`,
    /// `delete`. Each is a list of `own`, `team`, `all` and expressions over `record` and `user`,
    /// of which one has to hold; what is left out is as for `read`.
    #[schema(value_type = Object)]
    records: BTreeMap<String, RecordRules>,
}

impl From<&Role> for RoleBody {
    fn from(role: &Role) -> Self {
        let definition = role.definition.clone();
        Self {
            slug: definition.slug.to_string(),
            label: definition.label,
            origin: origin(role.is_own),
            edited: role.is_edited,
            permissions: definition.permissions,
            fields: definition.fields,
            records: definition.records,
        }
    }
}

impl RoleBody {
    fn find(model: &Model, slug: &RoleSlug) -> Result<Json<Self>, Problem> {
        let role = model.role(slug).ok_or_else(Problem::not_found)?;
        Ok(Json(role.into()))
    }
}

/// A new role.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleInput {
    #[schema(value_type = String, example = "nurse")]
    slug: RoleSlug,
    #[schema(example = "Nurse")]
    label: String,
    /// Module, or `*` for every one → actions, or `*` for all.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"patients": ["read", "update"]}))]
    permissions: BTreeMap<String, BTreeSet<String>>,
    /// Module → field → `hidden`, `masked`, `read_only` or `open`.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"patients": {"phone": "masked"}}))]
    fields: BTreeMap<ModuleSlug, BTreeMap<FieldKey, FieldAccess>>,
    /// Module, or `*` → which records it reaches, by action: `read`, `create`, `update`,
    /// `delete`. Each is a list of `own`, `team`, `all` and expressions over `record` and `user`,
    /// of which one has to hold; what is left out is as for `read`.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"patients":
        {"read": ["team", "record.region in user.regions"], "delete": ["own"]}}))]
    records: BTreeMap<String, RecordRules>,
}

/// All roles, the template's and your own.
#[utoipa::path(get, path = "/roles", tag = "permissions",
    responses((status = 200, body = List<RoleBody>), (status = 403, body = ProblemBody)))]
pub(crate) async fn roles_list(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<List<RoleBody>>, Problem> {
    let model = app
        .engine
        .model_managed(caller.tenant, &caller.actor)
        .await?;
    Ok(Json(List::whole(
        model.all_roles().map(RoleBody::from).collect(),
    )))
}

/// Adds a role of your own. Live for the next request.
#[utoipa::path(post, path = "/roles", tag = "permissions",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = RoleInput,
    responses(
        (status = 201, body = RoleBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn role_add(
    State(app): State<App>,
    caller: Caller,
    Keyed { key, input }: Keyed<RoleInput>,
) -> Result<Response, Problem> {
    let slug = input.slug.clone();
    let change = ModelChange::RoleAdd(RoleDefinition {
        slug: input.slug,
        label: input.label,
        permissions: input.permissions,
        fields: input.fields,
        records: input.records,
    });
    let answer = move |model: &Model| match RoleBody::find(model, &slug) {
        Ok(Json(role)) => Answer::json(StatusCode::CREATED, &role),
        Err(_) => Answer::empty(StatusCode::CREATED),
    };
    change_once(&app, &caller, key, change, answer).await
}

/// One role.
#[utoipa::path(get, path = "/roles/{slug}", tag = "permissions",
    params(("slug" = String, Path)),
    responses(
        (status = 200, body = RoleBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn role_get(
    State(app): State<App>,
    caller: Caller,
    Path(slug): Path<String>,
) -> Result<Json<RoleBody>, Problem> {
    let model = app
        .engine
        .model_managed(caller.tenant, &caller.actor)
        .await?;
    RoleBody::find(&model, &segment(&slug)?)
}

/// Changes a role: a merge patch of `label`, `permissions`, `fields` and `records`. A role of the template
/// may be changed, too; yours stands in its place then.
#[utoipa::path(patch, path = "/roles/{slug}", tag = "permissions",
    params(("slug" = String, Path)),
    request_body = Object,
    responses(
        (status = 200, body = RoleBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "You would no longer manage everything"),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn role_edit(
    State(app): State<App>,
    caller: Caller,
    Path(slug): Path<String>,
    Body(patch): Body<Data>,
) -> Result<Json<RoleBody>, Problem> {
    let slug: RoleSlug = segment(&slug)?;
    let change = ModelChange::RoleEdit(slug.clone(), patch);
    let model = app
        .engine
        .model_change(caller.tenant, caller.actor, change, None)
        .await?;
    RoleBody::find(&model, &slug)
}

/// Deletes a role of your own that no member has.
#[utoipa::path(delete, path = "/roles/{slug}", tag = "permissions",
    params(("slug" = String, Path)),
    responses(
        (status = 204),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody),
    ))]
pub(crate) async fn role_remove(
    State(app): State<App>,
    caller: Caller,
    Path(slug): Path<String>,
) -> Result<StatusCode, Problem> {
    let change = ModelChange::RoleRemove(segment(&slug)?);
    app.engine
        .model_change(caller.tenant, caller.actor, change, None)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
