//! Gives the event's record to somebody.
//!
//! Configuration: `{"by": "round_robin", "users": ["ada", "bob"], "rules": [{"when":
//! "after.country == 'CH'", "users": ["cleo"]}]}`. The first rule that holds says whom to choose
//! from; without one it is `users`. `by` says how: `round_robin`, one after the other, or
//! `least_loaded`, whoever has the fewest records of the module, those that `open`, a filter,
//! finds. Of two with as few it is the first one named.

use crm_actions::{Formula, Record, context, current};
use crm_plugin_sdk::{Event, Failure, Mutation, Outcome, json, records, state};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The step's configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    by: By,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    rules: Vec<Rule>,
    /// For `least_loaded`: which records count.
    open: Option<Value>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum By {
    #[default]
    RoundRobin,
    LeastLoaded,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    when: Formula,
    users: Vec<String>,
}

/// One assignment.
///
/// # Errors
/// Skips when the record is gone and when there is nobody to choose from; fails where a rule
/// cannot be evaluated.
pub fn run(event: Event<Record>, config: Config) -> Outcome {
    current(&event)?;
    let (pool, users) = pool(&event, &config)?;
    let chosen = match (users, config.by) {
        ([], _) => return Err(Failure::skip("there is nobody to give the record to")),
        ([only], _) => only,
        (users, By::RoundRobin) => next(&format!("{}/{pool}", event.module), users)?,
        (users, By::LeastLoaded) => least_loaded(&event.module, users, config.open.as_ref())?,
    };
    Ok(Mutation::assign(&event, chosen).into())
}

/// Whom to choose from, and a name for them: each rule goes round on its own.
fn pool<'a>(event: &Event<Record>, config: &'a Config) -> Result<(String, &'a [String]), Failure> {
    let context = context(event);
    for (index, rule) in config.rules.iter().enumerate() {
        if rule.when.holds(&context)? {
            return Ok((format!("rule-{index}"), &rule.users));
        }
    }
    Ok(("all".to_owned(), &config.users))
}

/// Whoever comes after the one who was last. Two runs at once read the same one; the host lets
/// one of them commit and does the other again.
fn next<'a>(key: &str, users: &'a [String]) -> Result<&'a String, Failure> {
    let last: Option<String> = state::get(key)?;
    let place = last.and_then(|last| users.iter().position(|user| *user == last));
    let after = place.map_or(0, |place| place + 1);
    let chosen = users
        .get(after)
        .or_else(|| users.first())
        .ok_or_else(|| Failure::skip("there is nobody to give the record to"))?;
    state::set(key, chosen)?;
    Ok(chosen)
}

fn least_loaded<'a>(
    module: &str,
    users: &'a [String],
    open: Option<&Value>,
) -> Result<&'a String, Failure> {
    let theirs = json!({ "field": "owner_id", "op": "in", "value": users });
    let filter = match open {
        Some(open) => json!({ "and": [theirs, open] }),
        None => theirs,
    };
    let query = json!({
        "filter": filter,
        "group_by": ["owner_id"],
        "metrics": [{ "op": "count", "as": "records" }],
    });
    let answer = records::aggregate(module, query)?;
    let rows = answer.get("data").and_then(Value::as_array);
    let rows = rows.into_iter().flatten();
    let loads: BTreeMap<&str, u64> = rows
        .filter_map(|row| {
            let owner = row.pointer("/group/owner_id")?.as_str()?;
            Some((owner, row.get("records")?.as_u64()?))
        })
        .collect();
    let load = |user: &&String| loads.get(user.as_str()).copied().unwrap_or_default();
    users
        .iter()
        .min_by_key(load)
        .ok_or_else(|| Failure::skip("there is nobody to give the record to"))
}

crm_plugin_sdk::export_action!(run);

#[cfg(test)]
mod tests {
    use super::*;
    use crm_plugin_sdk::testing;

    fn owner(record: Value, config: &Value) -> Result<String, Failure> {
        let config = serde_json::from_value(config.clone()).unwrap();
        let answer = run(testing::created("leads", record), config)?;
        match answer.mutations.as_slice() {
            [Mutation::Assign { owner, .. }] => Ok(owner.clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_comes_after_the_other_from_run_to_run() {
        let host = testing::host();
        let config = json!({ "users": ["ada", "bob", "cleo"] });
        let round: Vec<_> = (0..4).map(|_| owner(json!({}), &config).unwrap()).collect();
        assert_eq!(round, ["ada", "bob", "cleo", "ada"]);
        assert_eq!(host.kept("leads/all"), Some(json!("ada")));
        // Whoever was last may be gone by now.
        let config = json!({ "users": ["bob", "cleo"] });
        assert_eq!(owner(json!({}), &config), Ok("bob".to_owned()));
    }

    #[test]
    fn rules_say_whom_to_choose_from() {
        let host = testing::host();
        let config = json!({
            "users": ["ada"],
            "rules": [
                { "when": "after.country == 'CH'", "users": ["bob", "cleo"] },
                { "when": "after.country == 'DE'", "users": [] },
            ],
        });
        for (country, expected) in [("CH", "bob"), ("CH", "cleo"), ("FR", "ada"), ("CH", "bob")] {
            let chosen = owner(json!({ "country": country }), &config);
            assert_eq!(chosen, Ok(expected.to_owned()));
        }
        assert!(host.kept("leads/rule-0").is_some());
        let nobody = owner(json!({ "country": "DE" }), &config);
        assert!(matches!(nobody, Err(Failure::Skip(_))), "{nobody:?}");
    }

    #[test]
    fn whoever_has_the_fewest_gets_it() {
        let config = json!({
            "by": "least_loaded", "users": ["ada", "bob", "cleo"],
            "open": { "field": "status", "op": "eq", "value": "open" },
        });
        for (loads, expected) in [
            (vec![("ada", 2), ("bob", 1), ("cleo", 3)], "bob"),
            (vec![("ada", 2), ("bob", 1)], "cleo"),
            (vec![("ada", 1), ("bob", 1), ("cleo", 1)], "ada"),
        ] {
            let rows: Vec<_> = loads
                .iter()
                .map(|(user, count)| json!({ "group": { "owner_id": user }, "records": count }))
                .collect();
            let _host = testing::host().aggregate("leads", json!({ "data": rows }));
            assert_eq!(owner(json!({}), &config), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn a_deleted_record_is_given_to_nobody() {
        let config = serde_json::from_value(json!({ "users": ["ada"] })).unwrap();
        let outcome = run(testing::deleted("leads", json!({})), config);
        assert!(matches!(outcome, Err(Failure::Skip(_))), "{outcome:?}");
    }
}
