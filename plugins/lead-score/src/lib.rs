//! Scores a record by weighted rules, and says why.
//!
//! Configuration: `{"field": "score", "rules": [{"when": "number(after.budget) > 10000", "points":
//! 30, "reason": "a large budget"}], "reasons_field": "score_reasons", "minimum": 0, "maximum":
//! 100, "activity": true}`. A rule that cannot be answered, most often because a value is missing,
//! gives no points, and the run's log says so.

use crm_actions::{Formula, Record, context, current};
use crm_plugin_sdk::{ActivityKind, Answer, Event, Failure, Mutation, Outcome, json, log};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The step's configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    field: String,
    rules: Vec<Rule>,
    /// A text field for the reasons.
    reasons_field: Option<String>,
    minimum: Option<i64>,
    maximum: Option<i64>,
    /// Whether a new score is noted on the timeline, with its reasons.
    #[serde(default)]
    activity: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    when: Formula,
    points: i64,
    reason: String,
}

/// An update of the score and its reasons, and a note on the timeline where the score is another.
///
/// # Errors
/// Skips when the record is gone and when its score is what it was.
pub fn run(event: Event<Record>, config: Config) -> Outcome {
    let record = current(&event)?;
    let (score, reasons) = score(&event, &config);
    let mut patch = Map::new();
    patch.insert(config.field.clone(), json!(score));
    if let Some(field) = config.reasons_field {
        patch.insert(field, json!(reasons.join("\n")));
    }
    let is_new = record.get(&config.field) != patch.get(&config.field);
    patch.retain(|field, value| *value != *record.get(field).unwrap_or(&json!("")));
    if patch.is_empty() {
        return Err(Failure::skip("the score is what it was"));
    }
    let mut answer = Answer::new().with(Mutation::update(&event, Value::Object(patch)));
    if config.activity && is_new {
        let note = Mutation::activity(&event, ActivityKind::System, format!("Scored {score}"));
        answer = answer.with(note.with_body(reasons.join("\n")));
    }
    Ok(answer)
}

fn score(event: &Event<Record>, config: &Config) -> (i64, Vec<String>) {
    let context = context(event);
    let mut score = 0_i64;
    let mut reasons = Vec::new();
    for rule in &config.rules {
        match rule.when.holds(&context) {
            Ok(true) => {
                score = score.saturating_add(rule.points);
                reasons.push(format!("{:+}: {}", rule.points, rule.reason));
            }
            Ok(false) => {}
            Err(failure) => log::info(format!("no points for {}: {failure:?}", rule.reason)),
        }
    }
    let score = score.max(config.minimum.unwrap_or(i64::MIN));
    (score.min(config.maximum.unwrap_or(i64::MAX)), reasons)
}

crm_plugin_sdk::export_action!(run);

#[cfg(test)]
mod tests {
    use super::*;
    use crm_plugin_sdk::testing;

    fn config(extra: Value) -> Config {
        let mut all = json!({
            "field": "score", "reasons_field": "why", "activity": true,
            "rules": [
                { "when": "number(after.budget) > 10000", "points": 30, "reason": "a large budget" },
                { "when": "after.country == 'CH'", "points": 20, "reason": "around the corner" },
                { "when": "endsWith(after.email, '@example.com')", "points": -50, "reason": "a test" },
            ],
        });
        let members = all.as_object_mut().unwrap();
        members.extend(extra.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn scored(record: Value, extra: Value) -> Outcome {
        run(testing::created("leads", record), config(extra))
    }

    fn update(patch: Value) -> Mutation {
        Mutation::update_record("leads", testing::RECORD_ID, patch)
    }

    #[test]
    fn points_add_up_and_say_why() {
        let record = json!({ "budget": "10000.01", "country": "CH", "email": "ada@crm.example" });
        let why = "+30: a large budget\n+20: around the corner";
        let note = Mutation::activity_on(
            "leads",
            testing::RECORD_ID,
            ActivityKind::System,
            "Scored 50",
        );
        let expected = vec![
            update(json!({ "score": 50, "why": why })),
            note.with_body(why),
        ];
        assert_eq!(scored(record, json!({})), Ok(expected.into()));
    }

    #[test]
    fn a_missing_value_gives_no_points() {
        let answer = scored(json!({ "country": "CH" }), json!({ "activity": false })).unwrap();
        let expected = update(json!({ "score": 20, "why": "+20: around the corner" }));
        assert_eq!(answer.mutations, [expected]);
    }

    #[test]
    fn a_score_stays_between_its_bounds() {
        let bounds = json!({ "minimum": 0, "maximum": 40, "activity": false });
        for (record, score) in [
            (json!({ "email": "ada@example.com" }), 0),
            (
                json!({ "country": "CH", "budget": "20000", "email": "" }),
                40,
            ),
        ] {
            let answer = scored(record, bounds.clone()).unwrap();
            let Some(Mutation::Update { patch, .. }) = answer.mutations.first() else {
                panic!("{answer:?}")
            };
            assert_eq!(patch["score"], json!(score));
        }
    }

    #[test]
    fn a_score_that_is_right_is_left_alone() {
        let record = json!({ "country": "CH", "score": 20, "why": "+20: around the corner" });
        let outcome = scored(record, json!({}));
        assert_eq!(outcome, Err(Failure::skip("the score is what it was")));
    }
}
