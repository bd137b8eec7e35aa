//! `/modules/{module}/fields`: the fields of a module, and adding one without a migration.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use crm_model::Module;
use crm_model::definition::FieldDefinition;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, segment};
use crate::page::List;
use crate::problem::{Problem, ProblemBody};
use crate::routes::modules::readable;

/// A field.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Field)]
pub(crate) struct FieldBody {
    /// `key`, `label`, `type`, and what else its author said of it.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    definition: FieldDefinition,
    /// `template` or `tenant`: who added it.
    origin: &'static str,
}

impl FieldBody {
    pub(crate) fn all(module: &Module) -> Vec<Self> {
        let origin = |own| if own { "tenant" } else { "template" };
        let fields = module.definition().fields.iter();
        fields
            .map(|field| Self {
                definition: field.clone(),
                origin: origin(module.is_own_field(&field.key)),
            })
            .collect()
    }
}

/// The fields of a module, in order.
#[utoipa::path(get, path = "/modules/{module}/fields", tag = "modules",
    params(("module" = String, Path)),
    responses((status = 200, body = List<FieldBody>), (status = 404, body = ProblemBody)))]
pub(crate) async fn fields_list(
    State(app): State<App>,
    caller: Caller,
    Path(module): Path<String>,
) -> Result<Json<List<FieldBody>>, Problem> {
    let slug = segment(&module)?;
    let model = readable(&app, &caller, &slug).await?;
    let module = model.module(&slug).ok_or_else(Problem::not_found)?;
    Ok(Json(List::whole(FieldBody::all(module))))
}

/// Adds a field: `key`, `label`, `type`, and what the type takes. Live for the next request.
#[utoipa::path(post, path = "/modules/{module}/fields", tag = "modules",
    params(("module" = String, Path)),
    request_body = Object,
    responses(
        (status = 201, body = FieldBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn field_add(
    State(app): State<App>,
    caller: Caller,
    Path(module): Path<String>,
    Body(field): Body<FieldDefinition>,
) -> Result<(StatusCode, Json<FieldBody>), Problem> {
    let slug = segment(&module)?;
    app.engine
        .field_add(caller.tenant, caller.actor, slug, field.clone())
        .await?;
    Ok((
        StatusCode::CREATED,
        Json(FieldBody {
            definition: field,
            origin: "tenant",
        }),
    ))
}
