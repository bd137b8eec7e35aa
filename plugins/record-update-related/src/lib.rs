//! Changes the records that the event's record is related to.
//!
//! Configuration: `{"module": "appointments", "inverse": "patient", "when": "related.status ==
//! 'scheduled'", "set": {"status": "'cancelled'"}}`. `inverse` names the field in which they point
//! to the event's record; `via`, in its place, the field in which the event's record points to
//! them. Expressions see each of them as `related`, beside the event.

use crm_actions::{Formula, Formulas, Record, Related, context, current, put};
use crm_plugin_sdk::{Answer, Event, Failure, Mutation, Outcome};
use serde::Deserialize;
use serde_json::Value;

/// The step's configuration.
#[derive(Debug, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    related: Related,
    when: Option<Formula>,
    set: Formulas,
}

/// One update for each related record that differs, refused if somebody else changed it
/// meanwhile: then the step is tried again.
///
/// # Errors
/// Skips when the event's record is gone and when nothing would change; fails where an expression
/// cannot be evaluated, and where there are more related records than one run may change.
pub fn run(event: Event<Record>, config: Config) -> Outcome {
    current(&event)?;
    let mut context = context(&event);
    let mut answer = Answer::new();
    for record in config.related.find(&event)? {
        put(&mut context, "related", Value::Object(record.data.clone()));
        if !config
            .when
            .as_ref()
            .map_or(Ok(true), |when| when.holds(&context))?
        {
            continue;
        }
        let patch = config.set.changes(&context, &record.data)?;
        if !patch.is_empty() {
            let patch = Value::Object(patch);
            let update = Mutation::update_record(&config.related.module, &record.id, patch);
            answer = answer.with(update.expecting(record.version));
        }
    }
    if answer.mutations.is_empty() {
        return Err(Failure::skip("no related record would change"));
    }
    Ok(answer)
}

crm_plugin_sdk::export_action!(run);

#[cfg(test)]
mod tests {
    use super::*;
    use crm_plugin_sdk::{json, testing};

    fn config(config: Value) -> Config {
        serde_json::from_value(config).unwrap()
    }

    #[test]
    fn records_that_point_here_are_changed_where_they_differ() {
        let _host = testing::host()
            .record("appointments", "a", json!({ "status": "scheduled" }))
            .record("appointments", "b", json!({ "status": "completed" }))
            .record(
                "appointments",
                "c",
                json!({ "status": "scheduled", "note": "Ada left" }),
            );
        let event = testing::created("patients", json!({ "full_name": "Ada" }));
        let config = config(json!({
            "module": "appointments", "inverse": "patient", "when": "related.status == 'scheduled'",
            "set": { "note": "after.full_name + ' left'" },
        }));
        let expected = Mutation::update_record("appointments", "a", json!({ "note": "Ada left" }))
            .expecting(1);
        assert_eq!(run(event, config), Ok(expected.into()));
    }

    #[test]
    fn records_that_are_pointed_to_are_changed() {
        let _host = testing::host()
            .record("doctors", "grey", json!({ "visits": 3 }))
            .record("doctors", "house", json!({}));
        let set = json!({ "visits": "(related.visits ?? 0) + 1" });
        for (doctor, versions) in [
            (json!("grey"), vec![("grey", 4)]),
            (json!(["grey", "house"]), vec![("grey", 4), ("house", 1)]),
        ] {
            let event = testing::created("appointments", json!({ "doctor": doctor }));
            let config = config(json!({ "module": "doctors", "via": "doctor", "set": set }));
            let expected: Vec<_> = versions
                .into_iter()
                .map(|(id, visits)| {
                    let patch = json!({ "visits": visits });
                    Mutation::update_record("doctors", id, patch).expecting(1)
                })
                .collect();
            assert_eq!(run(event, config), Ok(expected.into()));
        }
    }

    #[test]
    fn without_relations_there_is_nothing_to_do() {
        let _host = testing::host();
        let all = json!({ "module": "doctors", "via": "doctor", "set": { "visits": "1" } });
        for event in [
            testing::created("appointments", json!({})),
            testing::created("appointments", json!({ "doctor": "gone" })),
            testing::deleted("appointments", json!({})),
        ] {
            let outcome = run(event, config(all.clone()));
            assert!(matches!(outcome, Err(Failure::Skip(_))), "{outcome:?}");
        }
        for broken in [
            json!({ "module": "doctors", "set": {} }),
            json!({ "module": "doctors", "via": "a", "set": { "x": "1 +" } }),
        ] {
            assert!(serde_json::from_value::<Config>(broken).is_err());
        }
    }
}
