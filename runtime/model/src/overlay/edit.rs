//! Edits of what the template owns: what a tenant may say otherwise, and nothing else. An edit
//! holds only what differs, so that the rest follows the template through its upgrades.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

use crate::definition::{FieldDefinition, ModuleDefinition, OptionDefinition};
use crate::names::FieldKey;
use crate::permission::RunAs;
use crate::violation::{Violations, pointer_segment};

/// Attributes that a tenant may turn on for the template's fields, but not off.
const ONLY_ON: [&str; 4] = ["retired", "indexed", "searchable", "personal_data"];

/// What a tenant says otherwise of a field of the template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FieldEdit {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Labels and colours of options, by value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, OptionEdit>,
    /// Turned on by the tenant, as the following.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retired: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub indexed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub searchable: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub personal_data: bool,
}

/// How a tenant shows an option of the template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptionEdit {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
}

impl FieldEdit {
    /// The edit that makes the template's field the one that the tenant wants.
    ///
    /// # Errors
    /// Every attribute that is the template's alone and differs.
    pub(crate) fn between(
        template: &FieldDefinition,
        wanted: &FieldDefinition,
    ) -> Result<Self, Violations> {
        let mut rest = wanted.clone();
        let edit = Self {
            label: taken(&template.label, &mut rest.label),
            help: taken(&template.help, &mut rest.help).flatten(),
            group: taken(&template.group, &mut rest.group).flatten(),
            options: options_taken(&template.options, &mut rest.options),
            retired: turned_on(template.retired, &mut rest.retired),
            indexed: turned_on(template.indexed, &mut rest.indexed),
            searchable: turned_on(template.searchable, &mut rest.searchable),
            personal_data: turned_on(template.personal_data, &mut rest.personal_data),
        };
        differences(template, &rest, field_reason).into_result()?;
        Ok(edit)
    }

    pub(crate) fn apply(&self, field: &mut FieldDefinition) {
        if let Some(label) = &self.label {
            field.label.clone_from(label);
        }
        if self.help.is_some() {
            field.help.clone_from(&self.help);
        }
        if self.group.is_some() {
            field.group.clone_from(&self.group);
        }
        for option in &mut field.options {
            if let Some(edit) = self.options.get(&option.value) {
                edit.apply(option);
            }
        }
        field.retired |= self.retired;
        field.indexed |= self.indexed;
        field.searchable |= self.searchable;
        field.personal_data |= self.personal_data;
    }
}

impl OptionEdit {
    fn apply(&self, option: &mut OptionDefinition) {
        if let Some(label) = &self.label {
            option.label.clone_from(label);
        }
        if self.color.is_some() {
            option.color.clone_from(&self.color);
        }
    }
}

/// What a tenant says otherwise of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModuleEdit {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_plural: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title_field: Option<FieldKey>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// The fields that come first, in this order; all others follow as they would.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub field_order: Vec<FieldKey>,
}

impl ModuleEdit {
    /// The edit that makes the template's module the one that the tenant wants, as far as the
    /// module itself goes: fields and their order are not looked at.
    ///
    /// # Errors
    /// Every attribute that is the template's alone and differs.
    pub(crate) fn between(
        template: &ModuleDefinition,
        wanted: &ModuleDefinition,
    ) -> Result<Self, Violations> {
        let mut rest = wanted.clone();
        rest.fields.clone_from(&template.fields);
        let edit = Self {
            label: taken(&template.label, &mut rest.label),
            label_plural: taken(&template.label_plural, &mut rest.label_plural).flatten(),
            description: taken(&template.description, &mut rest.description).flatten(),
            icon: taken(&template.icon, &mut rest.icon).flatten(),
            title_field: taken(&template.title_field, &mut rest.title_field).flatten(),
            hidden: turned_on(template.hidden, &mut rest.hidden),
            field_order: Vec::new(),
        };
        differences(template, &rest, module_reason).into_result()?;
        Ok(edit)
    }

    pub(crate) fn apply(&self, module: &mut ModuleDefinition) {
        if let Some(label) = &self.label {
            module.label.clone_from(label);
        }
        for (edit, attribute) in [
            (&self.label_plural, &mut module.label_plural),
            (&self.description, &mut module.description),
            (&self.icon, &mut module.icon),
        ] {
            if edit.is_some() {
                attribute.clone_from(edit);
            }
        }
        if self.title_field.is_some() {
            module.title_field.clone_from(&self.title_field);
        }
        module.hidden |= self.hidden;
        let places: BTreeMap<&FieldKey, usize> = self
            .field_order
            .iter()
            .zip(0..self.field_order.len())
            .collect();
        let last = self.field_order.len();
        module
            .fields
            .sort_by_key(|field| places.get(&field.key).copied().unwrap_or(last));
    }
}

/// What is wanted otherwise; `rest` is as the template has it afterwards.
fn taken<T: Clone + PartialEq>(template: &T, rest: &mut T) -> Option<T> {
    if rest == template {
        return None;
    }
    Some(std::mem::replace(rest, template.clone()))
}

/// Whether it is wanted although the template has it not. Turned off stays a difference.
fn turned_on(template: bool, rest: &mut bool) -> bool {
    let on = *rest && !template;
    *rest &= !on;
    on
}

fn options_taken(
    template: &[OptionDefinition],
    rest: &mut [OptionDefinition],
) -> BTreeMap<String, OptionEdit> {
    let mut edits = BTreeMap::new();
    for (base, option) in template.iter().zip(rest) {
        if base.value != option.value {
            continue;
        }
        let edit = OptionEdit {
            label: taken(&base.label, &mut option.label),
            color: taken(&base.color, &mut option.color).flatten(),
        };
        if edit != OptionEdit::default() {
            edits.insert(base.value.clone(), edit);
        }
    }
    edits
}

fn differences<T: Serialize>(
    template: &T,
    wanted: &T,
    reason: fn(&str) -> &'static str,
) -> Violations {
    let (template, wanted) = (attributes(template), attributes(wanted));
    let mut violations = Violations::default();
    let added = wanted.keys().filter(|name| !template.contains_key(*name));
    for name in template.keys().chain(added) {
        if template.get(name) != wanted.get(name) {
            let pointer = format!("/{}", pointer_segment(name));
            violations.add(pointer, "template_owned", reason(name));
        }
    }
    violations
}

/// A definition as the JSON object that it is.
pub(crate) fn attributes<T: Serialize>(definition: &T) -> Map<String, Value> {
    match serde_json::to_value(definition) {
        Ok(Value::Object(attributes)) => attributes,
        _ => Map::new(),
    }
}

fn field_reason(attribute: &str) -> &'static str {
    match attribute {
        name if ONLY_ON.contains(&name) => {
            "the template has turned this on: for its fields it can be turned on, not off"
        }
        "options" => {
            "the options are the template's: send all of them, in their order; label and color \
             may differ, nothing else"
        }
        _ => {
            "belongs to the template and stays as it is: relabel or retire the field, or add one \
             of your own"
        }
    }
}

fn module_reason(attribute: &str) -> &'static str {
    match attribute {
        "hidden" => "the template hides this module",
        _ => {
            "belongs to the template and stays as it is: relabel or hide the module, or add one of \
             your own"
        }
    }
}

/// What a tenant says of a workflow, whoever wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkflowEdit {
    #[serde(default)]
    pub run_as: RunAs,
    /// In the place of the workflow's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u32>,
    /// Events start it no more, and its runs wait.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// What changes of that; what is not said stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkflowPatch {
    pub run_as: Option<RunAs>,
    pub order: Option<u32>,
    pub paused: Option<bool>,
}
