//! Two pieces of JSON, compared place by place. Members of lists are known by their names
//! (`slug`, `key`, `value`, `plugin`) or by what they say, so that one more field is one more
//! field, and not a change of all that follow.

use console::style;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};

/// Members by which a member of a list is known.
const NAMES: [&str; 4] = ["slug", "key", "value", "plugin"];

/// A place that is not the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Change {
    place: String,
    /// Nothing where it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<Value>,
    /// Nothing where it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<Value>,
}

impl Display for Change {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        let place = &self.place;
        match (&self.old, &self.new) {
            (None, Some(new)) => {
                write!(formatter, "{}", style(format!("+ {place}: {new}")).green())
            }
            (Some(old), None) => write!(formatter, "{}", style(format!("- {place}: {old}")).red()),
            (old, new) => {
                let text = |value: &Option<Value>| {
                    value.as_ref().map_or_else(String::new, Value::to_string)
                };
                let line = format!("~ {place}: {} → {}", text(old), text(new));
                write!(formatter, "{}", style(line).yellow())
            }
        }
    }
}

/// Every place that differs, in the order of the places' names.
pub(super) fn changes(old: &Value, new: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare(String::new(), old, new, &mut changes);
    changes
}

fn compare(place: String, old: &Value, new: &Value, changes: &mut Vec<Change>) {
    if old == new {
        return;
    }
    let (Some(before), Some(after)) = (members(old), members(new)) else {
        let there = |value: &Value| Some(value.clone()).filter(|value| !value.is_null());
        changes.push(Change {
            place,
            old: there(old),
            new: there(new),
        });
        return;
    };
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let below = match place.as_str() {
            "" => name.clone(),
            place => format!("{place}/{name}"),
        };
        let value = |side: &BTreeMap<String, &Value>| side.get(name).copied().cloned();
        let (old, new) = (value(&before), value(&after));
        compare(
            below,
            &old.unwrap_or(Value::Null),
            &new.unwrap_or(Value::Null),
            changes,
        );
    }
}

/// What is inside of an object or a list, by names; `None` for what has no inside. A list of
/// texts is a set: `reads/patients(phone)` is there or not.
fn members(value: &Value) -> Option<BTreeMap<String, &Value>> {
    match value {
        Value::Object(members) => {
            let members = members.iter();
            Some(members.map(|(name, value)| (name.clone(), value)).collect())
        }
        Value::Array(members) => {
            let named = members.iter().enumerate().map(|(position, member)| {
                let name = NAMES.iter().find_map(|name| member.get(name)?.as_str());
                let name = name.or_else(|| member.as_str());
                let name = name.map_or_else(|| position.to_string(), str::to_owned);
                (name, member)
            });
            Some(named.collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(old: Value, new: Value) -> Vec<String> {
        let changes = changes(&old, &new);
        let lines = changes.iter().map(ToString::to_string);
        lines
            .map(|line| console::strip_ansi_codes(&line).into_owned())
            .collect()
    }

    #[test]
    fn members_of_lists_are_known_by_their_names() {
        let field = |key: &str, required: bool| json!({ "key": key, "required": required });
        let old = json!({ "modules": [{ "slug": "a", "fields": [field("x", false), field("y", true)] }] });
        let new =
            json!({ "modules": [{ "slug": "a", "fields": [field("n", true), field("x", true)] }] });
        assert_eq!(
            said(old, new),
            [
                "+ modules/a/fields/n: {\"key\":\"n\",\"required\":true}",
                "~ modules/a/fields/x/required: false → true",
                "- modules/a/fields/y: {\"key\":\"y\",\"required\":true}",
            ]
        );
    }

    #[test]
    fn lists_of_texts_are_sets() {
        let old = json!({ "reads": ["patients(phone)", "items(sku)"] });
        let new = json!({ "reads": ["items(sku)", "patients(email)"] });
        assert_eq!(
            said(old, new),
            [
                "+ reads/patients(email): \"patients(email)\"",
                "- reads/patients(phone): \"patients(phone)\"",
            ]
        );
        assert!(said(json!([1, {}]), json!([1, {}])).is_empty());
    }
}
