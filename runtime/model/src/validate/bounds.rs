//! What no record may hold, whatever its model says: too much, too deep, or a character that
//! cannot be stored.

use serde_json::Value;

use super::pointer;
use crate::Data;
use crate::limits::{RECORD_DATA_MAX_BYTES, RECORD_DATA_MAX_LEVELS};
use crate::schema::DATA_POINTER;
use crate::violation::Violations;

/// What a value takes beside its text: quotes, a comma, a colon.
const VALUE_BYTES: usize = 4;

/// Adds what is wrong with the size and the characters of `data`.
pub(super) fn check(data: &Data, violations: &mut Violations) {
    let mut bytes = 0_usize;
    for (field, value) in data {
        let mut found = Findings::default();
        found.look_at_text(field);
        found.look_at(value, 1);
        bytes = bytes.saturating_add(found.bytes);
        if found.has_nul {
            violations.add(pointer(field), "characters", "holds a NUL character");
        }
        if found.levels > RECORD_DATA_MAX_LEVELS {
            let message = format!("nests deeper than {RECORD_DATA_MAX_LEVELS} levels");
            violations.add(pointer(field), "depth", message);
        }
    }
    if bytes > RECORD_DATA_MAX_BYTES {
        let message = format!(
            "the data of a record take {bytes} bytes, at most {RECORD_DATA_MAX_BYTES} are allowed"
        );
        violations.add(DATA_POINTER.to_owned(), "size", message);
    }
}

/// Whether a value holds the one character that PostgreSQL's `jsonb` cannot.
pub(crate) fn holds_nul(value: &Value) -> bool {
    let mut found = Findings::default();
    found.look_at(value, 1);
    found.has_nul
}

#[derive(Default)]
struct Findings {
    bytes: usize,
    levels: usize,
    /// PostgreSQL's `jsonb` holds any text but this character.
    has_nul: bool,
}

impl Findings {
    fn look_at(&mut self, value: &Value, level: usize) {
        self.bytes = self.bytes.saturating_add(VALUE_BYTES);
        self.levels = self.levels.max(level);
        if level > RECORD_DATA_MAX_LEVELS {
            return;
        }
        match value {
            Value::String(text) => self.look_at_text(text),
            Value::Array(values) => values.iter().for_each(|one| self.look_at(one, level + 1)),
            Value::Object(members) => {
                for (name, member) in members {
                    self.look_at_text(name);
                    self.look_at(member, level + 1);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn look_at_text(&mut self, text: &str) {
        self.bytes = self.bytes.saturating_add(text.len());
        self.has_nul |= text.contains('\0');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn codes(data: Value) -> Vec<(String, String)> {
        let mut violations = Violations::default();
        check(data.as_object().unwrap(), &mut violations);
        let found = violations.as_slice().iter();
        found
            .map(|violation| (violation.pointer.clone(), violation.code.clone()))
            .collect()
    }

    fn nested(levels: usize) -> Value {
        (1..levels).fold(json!(1), |inside, _| json!([inside]))
    }

    #[test]
    fn each_bound_holds_at_the_limit_and_not_past_it() {
        assert!(codes(json!({"a": nested(RECORD_DATA_MAX_LEVELS)})).is_empty());
        assert_eq!(
            codes(json!({"a": nested(RECORD_DATA_MAX_LEVELS + 1)})),
            [("/data/a".to_owned(), "depth".to_owned())]
        );
        let text = "x".repeat(RECORD_DATA_MAX_BYTES - VALUE_BYTES - 1);
        assert!(codes(json!({"a": text})).is_empty());
        assert_eq!(
            codes(json!({"a": format!("{text}x")})),
            [("/data".to_owned(), "size".to_owned())]
        );
        assert_eq!(
            codes(json!({"a": [{"b\0": 1}], "c": "\0"})),
            [
                ("/data/a".to_owned(), "characters".to_owned()),
                ("/data/c".to_owned(), "characters".to_owned()),
            ]
        );
    }
}
