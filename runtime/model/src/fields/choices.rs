//! The options that `select` and `multi_select` share. Never a type of its own.

use serde_json::{Value, json};
use std::collections::BTreeSet;

use crate::definition::FieldDefinition;
use crate::limits::{LABEL_MAX_CHARACTERS, OPTION_MAX_CHARACTERS, SELECT_MAX_OPTIONS};

/// Options that stand there once, with a value and a label each.
pub(super) fn check(field: &FieldDefinition) -> Result<(), String> {
    let count = field.options.len();
    if count == 0 || count > SELECT_MAX_OPTIONS {
        let kind = &field.kind;
        return Err(format!("a {kind} has 1 to {SELECT_MAX_OPTIONS} options"));
    }
    let mut seen = BTreeSet::new();
    for option in &field.options {
        let value = &option.value;
        if !seen.insert(value) {
            return Err(format!("option “{value}” stands there twice"));
        }
        if value.trim().is_empty() || value.chars().count() > OPTION_MAX_CHARACTERS {
            return Err(format!(
                "the value of an option has 1 to {OPTION_MAX_CHARACTERS} characters"
            ));
        }
        if option.label.trim().is_empty() || option.label.chars().count() > LABEL_MAX_CHARACTERS {
            return Err(format!(
                "option “{value}”: label has 1 to {LABEL_MAX_CHARACTERS} characters"
            ));
        }
    }
    Ok(())
}

/// The options' values, in order.
pub(super) fn values(field: &FieldDefinition) -> Vec<&str> {
    let options = field.options.iter();
    options.map(|option| option.value.as_str()).collect()
}

/// Three options, for documentation and tests.
pub(super) fn sample() -> Value {
    json!({ "options": [
        { "value": "red", "label": "Red" },
        { "value": "green", "label": "Green" },
        { "value": "blue", "label": "Blue" },
    ] })
}
