//! Selects that depend on something else than their options: on the value of another select, and,
//! where the options are stages of a pipeline, on the stage before.

use serde_json::Value;

use crate::Data;
use crate::definition::{FieldDefinition, OptionDefinition};
use crate::model::Module;
use crate::names::FieldKey;
use crate::nearest::suggestion;

/// How likely a record can be won.
const PROBABILITY_MAX_PERCENT: u8 = 100;
/// Options that one message lists.
const LISTED_MAX_OPTIONS: usize = 20;

/// Whether the options are stages of a pipeline.
pub(crate) fn is_pipeline(field: &FieldDefinition) -> bool {
    field.options.iter().any(|option| {
        option.probability.is_some()
            || option.transitions.is_some()
            || !option.required_fields.is_empty()
    })
}

/// Checks what options say of other fields and of each other.
///
/// # Errors
/// A sentence about the first mistake.
pub(crate) fn check_definition(field: &FieldDefinition, module: &Module) -> Result<(), String> {
    check_parents(field, module)?;
    for (index, option) in field.options.iter().enumerate() {
        check_stage(field, option, module)
            .map_err(|message| format!("options/{index}: {message}"))?;
    }
    Ok(())
}

fn check_parents(field: &FieldDefinition, module: &Module) -> Result<(), String> {
    let Some(key) = &field.depends_on else {
        return match field
            .options
            .iter()
            .any(|option| !option.parents.is_empty())
        {
            true => Err("options have parents: “depends_on” names their field".to_owned()),
            false => Ok(()),
        };
    };
    let parent = module.field(key.as_str()).map(|(parent, _)| parent);
    let Some(parent) = parent.filter(|parent| !parent.options.is_empty()) else {
        return Err(format!("depends_on: “{key}” is no select of this module"));
    };
    if parent.key == field.key {
        return Err("depends_on: a select cannot depend on itself".to_owned());
    }
    for value in field.options.iter().flat_map(|option| &option.parents) {
        if option(parent, value).is_none() {
            let hint = suggestion(value, values(parent));
            return Err(format!("parents: “{key}” has no option “{value}”{hint}"));
        }
    }
    Ok(())
}

fn check_stage(
    field: &FieldDefinition,
    stage: &OptionDefinition,
    module: &Module,
) -> Result<(), String> {
    if stage
        .probability
        .is_some_and(|percent| percent > PROBABILITY_MAX_PERCENT)
    {
        return Err(format!("probability is 0 to {PROBABILITY_MAX_PERCENT}"));
    }
    for value in stage.transitions.iter().flatten() {
        if option(field, value).is_none() {
            let hint = suggestion(value, values(field));
            return Err(format!("transitions: there is no option “{value}”{hint}"));
        }
    }
    for key in &stage.required_fields {
        if module.field(key.as_str()).is_none() {
            let slug = &module.definition().slug;
            return Err(format!("required_fields: “{slug}” has no field “{key}”"));
        }
    }
    Ok(())
}

/// Why the value of a dependent select does not go with the value that it depends on.
pub(crate) fn misfit(field: &FieldDefinition, data: &Data) -> Option<String> {
    let parent = field.depends_on.as_ref()?;
    let chosen = texts(data.get(parent.as_str()));
    let fits = |option: &OptionDefinition| {
        let mut parents = option.parents.iter();
        option.parents.is_empty() || parents.any(|parent| chosen.contains(&parent.as_str()))
    };
    let wrong = texts(data.get(field.key.as_str()))
        .into_iter()
        .filter_map(|value| option(field, value))
        .find(|option| !fits(option))?;
    let offered = field.options.iter().filter(|option| fits(option));
    let offered = listed(offered.map(|option| option.value.as_str()));
    let parent_value = match chosen.as_slice() {
        [] => "empty".to_owned(),
        chosen => format!("“{}”", chosen.join(", ")),
    };
    Some(format!(
        "“{}” is not offered where “{parent}” is {parent_value}; use one of: {offered}",
        wrong.value
    ))
}

/// Why a record cannot go from the one stage to the other.
pub(crate) fn refused_transition(
    field: &FieldDefinition,
    before: Option<&Value>,
    after: Option<&Value>,
) -> Option<String> {
    if before == after {
        return None;
    }
    // A stage that is none any more holds nobody.
    let old = option(field, before?.as_str()?)?;
    let allowed = old.transitions.as_ref()?;
    let new = after.and_then(Value::as_str);
    if new.is_some_and(|new| allowed.iter().any(|stage| stage == new)) {
        return None;
    }
    let stages = match allowed.as_slice() {
        [] => "none: this stage is final".to_owned(),
        allowed => listed(allowed.iter().map(String::as_str)),
    };
    Some(format!(
        "from “{}” these stages can follow: {stages}",
        old.value
    ))
}

/// The fields that a record in this stage must have.
pub(crate) fn required_fields<'a>(
    field: &'a FieldDefinition,
    stage: Option<&Value>,
) -> &'a [FieldKey] {
    let stage = stage.and_then(Value::as_str);
    let stage = stage.and_then(|stage| option(field, stage));
    stage
        .map(|stage| stage.required_fields.as_slice())
        .unwrap_or_default()
}

fn option<'a>(field: &'a FieldDefinition, value: &str) -> Option<&'a OptionDefinition> {
    field.options.iter().find(|option| option.value == value)
}

fn values(field: &FieldDefinition) -> impl Iterator<Item = &str> {
    field.options.iter().map(|option| option.value.as_str())
}

/// One text, or a list of texts.
fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn listed<'a>(mut values: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = values.by_ref().take(LISTED_MAX_OPTIONS).collect();
    if values.next().is_some() {
        names.push("…");
    }
    names.join(", ")
}
