//! Sets fields of the event's record from expressions.
//!
//! Configuration: `{"set": {"welcome_note": "'Welcome, ' + after.full_name"}}`, a map from field
//! to expression. An expression sees `event`, `before`, `after`, `payload` and `actor`, and never
//! another record. All are evaluated over the same values, so their order does not matter. Fields
//! that already have their value are left alone.

use crm_actions::{Record, context};
use crm_expression::Expression;
use crm_plugin_sdk::{Event, Failure, Mutation, Outcome};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The step's configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Field → expression.
    set: BTreeMap<String, String>,
}

/// One update of the event's record.
///
/// # Errors
/// Skips when the record is gone or nothing would change; fails, naming the field, when an
/// expression cannot be evaluated.
pub fn run(event: Event<Record>, config: Config) -> Outcome {
    let Some(after) = &event.after else {
        return Err(Failure::skip(
            "the record was deleted: there is nothing to set",
        ));
    };
    let context = context(&event);
    let mut patch = Map::new();
    for (field, source) in &config.set {
        let value = Expression::parse(source)
            .and_then(|expression| expression.evaluate(&context))
            .map_err(|error| Failure::fail(format!("field `{field}`: {error}")))?;
        if value != *after.get(field).unwrap_or(&Value::Null) {
            patch.insert(field.clone(), value);
        }
    }
    if patch.is_empty() {
        return Err(Failure::skip("every field already has its value"));
    }
    Ok(Mutation::update(&event, Value::Object(patch)).into())
}

crm_plugin_sdk::export_action!(run);

#[cfg(test)]
mod tests {
    use super::*;
    use crm_plugin_sdk::{json, testing};

    fn set(fields: Value) -> Config {
        serde_json::from_value(json!({ "set": fields })).unwrap()
    }

    fn patch(event: Event<Record>, fields: Value) -> Value {
        let mutations = run(event, set(fields)).unwrap().mutations;
        match mutations.as_slice() {
            [Mutation::Update { patch, .. }] => patch.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_new_patient_is_welcomed() {
        let event = testing::created("patients", json!({ "full_name": "Ada" }));
        let expected = Mutation::update(&event, json!({ "welcome_note": "Welcome, Ada" }));
        let config = set(json!({ "welcome_note": "'Welcome, ' + after.full_name" }));
        assert_eq!(run(event, config), Ok(expected.into()));
    }

    #[test]
    fn expressions_see_the_event_both_records_and_the_person() {
        let event = testing::updated(
            "items",
            json!({ "price": "10" }),
            json!({ "price": "12.5" }),
        );
        let fields = json!({
            "kind": "event.kind",
            "rise": "number(after.price) - number(before.price)",
            "changed": "event.changed_fields[0]",
            "owner": "contains(actor.roles, 'owner')",
            "on": "d(event.occurred_at).format('%Y-%m-%d')",
            "none": "before.missing",
        });
        assert_eq!(
            patch(event, fields),
            json!({
                "kind": "record_updated",
                "rise": "2.5",
                "changed": "price",
                "owner": true,
                "on": "2026-01-02",
            })
        );
    }

    #[test]
    fn only_what_differs_is_written() {
        let record = json!({ "a": "same", "b": "old", "n": "0.50" });
        let event = testing::created("things", record.clone());
        let fields = json!({ "a": "'same'", "b": "'new'", "n": "number(after.n)" });
        assert_eq!(patch(event, fields), json!({ "b": "new" }));

        let outcome = run(
            testing::created("things", record),
            set(json!({ "a": "'same'" })),
        );
        assert_eq!(
            outcome,
            Err(Failure::skip("every field already has its value"))
        );
    }

    #[test]
    fn a_bad_expression_fails_by_the_name_of_its_field() {
        for (source, reason) in [
            ("1 +", "field `note`: a value is missing (at character 4)"),
            ("rand(6)", "field `note`: `rand` is not available"),
            (
                "'Dear ' + after.missing",
                "field `note`: `+` takes two numbers or two texts",
            ),
        ] {
            let event = testing::created("things", json!({}));
            let outcome = run(event, set(json!({ "note": source })));
            let Err(Failure::Fail(message)) = outcome else {
                panic!("{outcome:?}")
            };
            assert!(message.starts_with(reason), "{message}");
        }
    }

    #[test]
    fn a_deleted_record_is_skipped() {
        let outcome = run(
            testing::deleted("things", json!({})),
            set(json!({ "a": "1" })),
        );
        assert!(matches!(outcome, Err(Failure::Skip(_))), "{outcome:?}");
    }
}
