//! `/field-types`: what a field can be, for consoles and for whoever writes definitions. The same
//! for every tenant; never says which fields there are.

use axum::Json;
use crm_model::fields::{PartDescription, TypeDescription, catalogue};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::page::List;
use crate::problem::ProblemBody;

/// A type of field.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FieldType)]
pub(crate) struct FieldTypeBody {
    /// Its name in definitions.
    #[serde(rename = "type")]
    name: &'static str,
    /// What it is for.
    summary: &'static str,
    /// JSON Schema (2020-12) of a value, where the field is defined like `definition`.
    #[schema(value_type = Object)]
    schema: Value,
    /// How a value is stored, in one sentence.
    storage: &'static str,
    /// How values compare where the field's bare name stands: the form of the first part.
    #[schema(value_type = String)]
    index_form: Value,
    /// What filters and sorting can name: `price`, or `price.currency`.
    parts: Vec<FieldPartBody>,
    /// How a console shows and asks for it: the name of a widget.
    rendering: &'static str,
    /// Whether the host computes the values, so that nobody may send one.
    computed: bool,
    /// The attributes that a definition may have; all others are refused.
    attributes: Vec<&'static str>,
    /// A definition that says the least that it must.
    #[schema(value_type = Object)]
    definition: Value,
    /// A value of that definition, as it is stored.
    #[schema(value_type = Value)]
    example: Value,
}

/// A part of a type's values.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FieldPart)]
pub(crate) struct FieldPartBody {
    /// Its member in the stored object; none: the value itself.
    name: Option<&'static str>,
    /// How its values compare.
    #[schema(value_type = String)]
    form: Value,
    /// What filters may ask of it.
    #[schema(value_type = Vec<String>)]
    operators: Value,
}

impl From<TypeDescription> for FieldTypeBody {
    fn from(described: TypeDescription) -> Self {
        Self {
            name: described.name,
            summary: described.summary,
            schema: described.schema,
            storage: described.storage,
            index_form: serde_json::json!(described.index_form),
            parts: described.parts.iter().map(FieldPartBody::from).collect(),
            rendering: described.rendering,
            computed: described.computed,
            attributes: described.attributes,
            definition: serde_json::json!(described.definition),
            example: described.example,
        }
    }
}

impl From<&PartDescription> for FieldPartBody {
    fn from(part: &PartDescription) -> Self {
        Self {
            name: part.name,
            form: serde_json::json!(part.form),
            operators: serde_json::json!(part.operators),
        }
    }
}

/// Every type that a field may have, in the order of the documentation.
#[utoipa::path(get, path = "/field-types", tag = "modules",
    responses((status = 200, body = List<FieldTypeBody>), (status = 401, body = ProblemBody)))]
pub(crate) async fn field_types_list(_caller: Caller) -> Json<List<FieldTypeBody>> {
    let types = catalogue().into_iter().map(FieldTypeBody::from);
    Json(List::whole(types.collect()))
}
