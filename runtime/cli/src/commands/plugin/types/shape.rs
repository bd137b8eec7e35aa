//! What a model's records look like, without regard to a language: read from the JSON Schema that
//! the host checks them with, so there is no second list of field types.

use crm_model::definition::FieldDefinition;
use serde_json::Value;
use std::collections::BTreeMap;

use crate::commands::plugin::model_of::Template;

/// All records of a model, and the objects that their fields hold.
#[derive(Debug, PartialEq)]
pub(crate) struct Shape {
    pub(crate) records: Vec<Record>,
    /// By name; types of fields, so several records may share one.
    pub(crate) objects: BTreeMap<String, Vec<Member>>,
}

/// A module's records.
#[derive(Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) module: String,
    pub(crate) about: String,
    pub(crate) members: Vec<Member>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) key: String,
    pub(crate) about: String,
    pub(crate) kind: Kind,
    /// Always there. Never so of a record's fields: a grant may leave any of them out.
    pub(crate) required: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Integer,
    /// An exact number, as text in JSON.
    Decimal,
    Boolean,
    List(Box<Kind>),
    Object(String),
    /// JSON of any kind.
    Any,
}

impl Shape {
    /// Reads a template's, in its order.
    pub(crate) fn of(template: &Template) -> Self {
        let mut objects = BTreeMap::new();
        let modules = template.definition.modules.iter();
        let modules = modules.filter_map(|module| template.model.module(&module.slug));
        let records = modules.map(|module| {
            let definition = module.definition();
            let properties = &module.schema()["properties"];
            let fields = definition.fields.iter().filter_map(|field| {
                let schema = properties.get(field.key.as_str())?;
                Some(Member {
                    key: field.key.to_string(),
                    about: about(field),
                    kind: kind_of(&field.kind, schema, &mut objects),
                    required: false,
                })
            });
            Record {
                name: type_name(definition.slug.as_str()),
                module: definition.slug.to_string(),
                about: definition
                    .description
                    .clone()
                    .unwrap_or_else(|| definition.label.clone()),
                members: fields.collect(),
            }
        });
        let records = records.collect();
        Self { records, objects }
    }

    /// Whether some field holds an exact number.
    pub(crate) fn has_decimals(&self) -> bool {
        let records = self.records.iter().flat_map(|record| &record.members);
        let objects = self.objects.values().flatten();
        records
            .chain(objects)
            .any(|member| member.kind == Kind::Decimal)
    }
}

fn about(field: &FieldDefinition) -> String {
    let options: Vec<&str> = field
        .options
        .iter()
        .map(|option| option.value.as_str())
        .collect();
    match (options.as_slice(), &field.module) {
        ([], Some(module)) if field.kind == "relation" => {
            format!("{}: {}", field.label, ids_of(module.as_str(), field.many))
        }
        ([], _) => field.label.clone(),
        (options, _) => format!("{}: `{}`", field.label, options.join("`, `")),
    }
}

fn ids_of(module: &str, many: bool) -> String {
    match many {
        true => format!("ids of `{module}`"),
        false => format!("id of `{module}`"),
    }
}

fn kind_of(field_type: &str, schema: &Value, objects: &mut BTreeMap<String, Vec<Member>>) -> Kind {
    match schema["type"].as_str() {
        Some("string") if schema["format"] == "decimal" => Kind::Decimal,
        Some("string") => Kind::Text,
        Some("integer") => Kind::Integer,
        Some("boolean") => Kind::Boolean,
        Some("array") => Kind::List(Box::new(kind_of(field_type, &schema["items"], objects))),
        Some("object") => object_of(field_type, schema, objects),
        // A select without a type says what it takes as an enumeration of texts.
        None if schema["enum"].is_array() => Kind::Text,
        _ => Kind::Any,
    }
}

fn object_of(
    field_type: &str,
    schema: &Value,
    objects: &mut BTreeMap<String, Vec<Member>>,
) -> Kind {
    let Some(properties) = schema["properties"].as_object() else {
        return Kind::Any;
    };
    let name = match field_type {
        "currency" => "Money".to_owned(),
        other => type_name(other),
    };
    let required = |key: &str| {
        let list = schema["required"].as_array();
        list.is_some_and(|list| list.iter().any(|name| name == key))
    };
    let mut members = Vec::new();
    for (key, schema) in properties {
        members.push(Member {
            key: key.clone(),
            about: String::new(),
            kind: kind_of(key, schema, objects),
            required: required(key),
        });
    }
    objects.insert(name.clone(), members);
    Kind::Object(name)
}

/// `order_items` and `order-items` to `OrderItems`.
pub(crate) fn type_name(name: &str) -> String {
    name.split(['_', '-'])
        .map(|word| {
            let mut characters = word.chars();
            characters.next().map_or_else(String::new, |first| {
                format!("{}{}", first.to_ascii_uppercase(), characters.as_str())
            })
        })
        .collect()
}
