//! `select`: one of the field's options, stored by value. With `depends_on`, only the options
//! whose `parents` hold the value of that other select count. With stages, it is a pipeline.
//! Example: `"red"`.

use serde_json::{Value, json};

use super::{FieldType, choices};
use crate::definition::FieldDefinition;
use crate::form::{Form, Part};

pub(crate) const NAME: &str = "select";
/// How likely a certain deal is won.
const PROBABILITY_MAX_PERCENT: u8 = 100;

pub(crate) struct Select;

impl FieldType for Select {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "One of the options. Dependent, with `depends_on: country`, an option with \
         `parents: [de, at]` counts only where the select `country` has one of these values. As a \
         pipeline, options are stages, in order, with `probability`, `transitions` and \
         `required_fields`."
    }

    fn storage(&self) -> &'static str {
        "A JSON string: the option's value."
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["options", "depends_on"]
    }

    fn sample(&self) -> Value {
        choices::sample()
    }

    fn example(&self) -> Value {
        json!("red")
    }

    fn rendering(&self) -> &'static str {
        "select"
    }

    fn parts(&self, _field: &FieldDefinition) -> &'static [Part] {
        const { &[Part::whole(Form::Exact)] }
    }

    fn check_definition(&self, field: &FieldDefinition) -> Result<(), String> {
        choices::check(field)?;
        let values = choices::values(field);
        for option in &field.options {
            let at = format!("option “{}”", option.value);
            if field.depends_on.is_none() && !option.parents.is_empty() {
                return Err(format!("{at} has parents, but the field has no depends_on"));
            }
            if option
                .probability
                .is_some_and(|percent| percent > PROBABILITY_MAX_PERCENT)
            {
                return Err(format!(
                    "{at}: probability is 0 to {PROBABILITY_MAX_PERCENT}"
                ));
            }
            let next = option.transitions.iter().flatten();
            if let Some(unknown) = next
                .into_iter()
                .find(|next| !values.contains(&next.as_str()))
            {
                return Err(format!("{at}: there is no option “{unknown}” to follow it"));
            }
        }
        Ok(())
    }

    fn schema(&self, field: &FieldDefinition) -> Value {
        json!({ "enum": choices::values(field) })
    }

    #[cfg(test)]
    fn values(&self) -> proptest::strategy::BoxedStrategy<Value> {
        use proptest::prelude::*;
        proptest::sample::select(vec!["red", "green", "blue"])
            .prop_map(|value| json!(value))
            .boxed()
    }
}

/// Whether a dependent select may have this value while the select that it depends on has that
/// one. Always true of fields that depend on nothing, and of options without parents.
pub fn allowed_under(field: &FieldDefinition, value: &Value, parent_value: Option<&Value>) -> bool {
    let options = field.options.iter();
    let chosen = options.filter(|option| value == option.value.as_str());
    field.depends_on.is_none()
        || chosen.into_iter().all(|option| {
            option.parents.is_empty()
                || parent_value.is_some_and(|parent| {
                    option
                        .parents
                        .iter()
                        .any(|allowed| parent == allowed.as_str())
                })
        })
}

/// Checks what a select says of other fields of its module.
pub(crate) fn check_siblings(
    field: &FieldDefinition,
    siblings: &[FieldDefinition],
) -> Result<(), String> {
    let sibling = |key: &str| siblings.iter().find(|other| other.key.as_str() == key);
    let required = field
        .options
        .iter()
        .flat_map(|option| &option.required_fields);
    for key in required {
        if sibling(key.as_str()).is_none() {
            return Err(format!("required_fields: there is no field “{key}”"));
        }
    }
    let Some(key) = &field.depends_on else {
        return Ok(());
    };
    let parent = sibling(key.as_str())
        .filter(|parent| parent.kind == NAME && parent.key != field.key)
        .ok_or_else(|| format!("depends_on: “{key}” is no other select of the module"))?;
    let known = choices::values(parent);
    let mut parents = field.options.iter().flat_map(|option| &option.parents);
    match parents.find(|value| !known.contains(&value.as_str())) {
        Some(unknown) => Err(format!("parents: “{key}” has no option “{unknown}”")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn city() -> FieldDefinition {
        serde_json::from_value(json!({
            "key": "city", "label": "City", "type": "select", "depends_on": "country", "options": [
                {"value": "berlin", "label": "Berlin", "parents": ["de"]},
                {"value": "other", "label": "Other"},
            ],
        }))
        .unwrap()
    }

    #[test]
    fn an_option_counts_under_its_parents_only() {
        let field = city();
        let (de, fr) = (json!("de"), json!("fr"));
        assert!(allowed_under(&field, &json!("berlin"), Some(&de)));
        assert!(!allowed_under(&field, &json!("berlin"), Some(&fr)));
        assert!(!allowed_under(&field, &json!("berlin"), None));
        assert!(allowed_under(&field, &json!("other"), None));
        let free = FieldDefinition {
            depends_on: None,
            ..field
        };
        assert!(allowed_under(&free, &json!("berlin"), None));
    }

    #[test]
    fn what_a_select_says_of_other_fields_exists() {
        let country: FieldDefinition = serde_json::from_value(json!({
            "key": "country", "label": "Country", "type": "select",
            "options": [{"value": "de", "label": "Germany"}],
        }))
        .unwrap();
        assert_eq!(check_siblings(&city(), &[city(), country.clone()]), Ok(()));
        assert!(check_siblings(&city(), &[city()]).is_err());
        let mut stranger = city();
        stranger.options[0].parents = vec!["xx".to_owned()];
        let refused = check_siblings(&stranger, std::slice::from_ref(&country)).unwrap_err();
        assert!(refused.contains("no option “xx”"), "{refused}");
        let mut pipeline = country;
        pipeline.options[0].required_fields = vec!["nothing".parse().unwrap()];
        let refused = check_siblings(&pipeline, std::slice::from_ref(&pipeline)).unwrap_err();
        assert!(refused.contains("no field “nothing”"), "{refused}");
    }
}
