//! Creates a record, of any module, from the event's.
//!
//! Configuration: `{"module": "appointments", "set": {"status": "'scheduled'", "notes":
//! "'For ' + after.full_name"}, "link": "patient"}`: the new record's fields as expressions, and
//! the relation of it that points back to the event's record, if there is one.

use crm_actions::{Formulas, Record, context, current, not_gone};
use crm_plugin_sdk::{Event, Failure, Mutation, Outcome, json};
use serde::Deserialize;
use serde_json::Value;

/// The step's configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    module: String,
    set: Formulas,
    link: Option<String>,
}

/// One new record. Fields whose expression gives null are left out, so that they get their
/// default.
///
/// # Errors
/// Skips when the event's record is gone; fails, naming the field, where an expression cannot be
/// evaluated.
pub fn run(event: Event<Record>, config: Config) -> Outcome {
    not_gone(&event)?;
    let mut data = config.set.values(&context(&event))?;
    data.retain(|_, value| !value.is_null());
    if let Some(relation) = config.link {
        current(&event)?;
        data.insert(relation, json!(event.record_id));
    }
    if data.is_empty() {
        return Err(Failure::skip("the new record would have no data"));
    }
    Ok(Mutation::create(config.module, Value::Object(data)).into())
}

crm_plugin_sdk::export_action!(run);

#[cfg(test)]
mod tests {
    use super::*;
    use crm_plugin_sdk::testing;

    fn config(config: Value) -> Config {
        serde_json::from_value(config).unwrap()
    }

    #[test]
    fn a_record_is_created_and_points_back() {
        let event = testing::created("patients", json!({ "full_name": "Ada" }));
        let config = config(json!({
            "module": "appointments", "link": "patient",
            "set": { "status": "'scheduled'", "notes": "'For ' + after.full_name", "fee": "after.fee" },
        }));
        let data =
            json!({ "status": "scheduled", "notes": "For Ada", "patient": testing::RECORD_ID });
        let expected = Mutation::create("appointments", data);
        assert_eq!(run(event, config), Ok(expected.into()));
    }

    #[test]
    fn what_is_of_no_record_creates_one_that_points_nowhere() {
        let mut event = testing::deleted("patients", json!({}));
        event.record_id = "00000000-0000-0000-0000-000000000000".to_owned();
        let without = json!({ "module": "appointments", "set": { "notes": "'x'" } });
        assert!(run(event.clone(), config(without)).is_ok());
        let with = json!({ "module": "appointments", "link": "patient", "set": {} });
        assert!(matches!(run(event, config(with)), Err(Failure::Skip(_))));
    }

    #[test]
    fn without_a_record_or_data_nothing_is_created() {
        let all = json!({ "module": "appointments", "set": { "notes": "after.none" } });
        for event in [
            testing::deleted("patients", json!({})),
            testing::created("patients", json!({})),
        ] {
            let outcome = run(event, config(all.clone()));
            assert!(matches!(outcome, Err(Failure::Skip(_))), "{outcome:?}");
        }
    }

    #[test]
    fn a_bad_expression_fails_by_the_name_of_its_field() {
        let event = testing::created("patients", json!({ "full_name": "Ada" }));
        let all = json!({ "module": "appointments", "set": { "fee": "after.full_name * 2" } });
        let Err(Failure::Fail(message)) = run(event, config(all)) else {
            panic!("a failure was expected")
        };
        assert!(message.starts_with("field `fee`: "), "{message}");
    }
}
