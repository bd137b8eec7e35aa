//! What a cell means as a value of a field. Forms that people use are read; whether the value is
//! one that the field may have, the door decides.

use chrono_tz::Tz;
use serde_json::{Map, Value, json};

use super::dates::{self, DateOrder};
use super::guard;
use super::numbers;
use crate::definition::FieldDefinition;

/// Why a cell is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellError {
    /// Stable.
    pub code: &'static str,
    pub message: String,
}

impl CellError {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// Between the members of a list in one cell.
pub(super) const LIST_SEPARATOR: char = ';';
const TRUE: [&str; 6] = ["true", "yes", "y", "t", "1", "on"];
const FALSE: [&str; 6] = ["false", "no", "n", "f", "0", "off"];

/// How cells are meant, for the whole file.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    pub(super) zone: Tz,
    pub(super) date_order: Option<DateOrder>,
    pub(super) default_currency: Option<String>,
}

/// The value of a cell that is not blank.
pub(super) fn parse(
    field: &FieldDefinition,
    text: &str,
    manner: &Manner,
) -> Result<Value, CellError> {
    let text = match guard::is_free_text(&field.kind) {
        true => guard::unguarded(text),
        false => text.trim(),
    };
    match field.kind.as_str() {
        "integer" | "rating" => numbers::integer(text).map(|number| json!(number)),
        "decimal" => numbers::number(text).map(Value::String),
        "percent" => numbers::number(text.trim_end_matches('%')).map(Value::String),
        "currency" => money(text, manner),
        "boolean" => boolean(text),
        "date" => dates::date(text, manner.date_order).map(Value::String),
        "datetime" => dates::moment(text, manner.zone, manner.date_order).map(Value::String),
        "select" => Ok(Value::String(option(field, text))),
        "multi_select" => Ok(list(text, |member| option(field, member))),
        "tags" => Ok(list(text, str::to_owned)),
        "relation" if field.many => Ok(list(text, str::to_owned)),
        "email" | "url" | "color" | "user" => Ok(Value::String(text.trim().to_owned())),
        "json" => serde_json::from_str(text)
            .map_err(|error| CellError::new("type", format!("is not JSON: {error}"))),
        "address" | "full_name" | "geo_point" => Ok(object_or_text(text)),
        _ => Ok(Value::String(text.to_owned())),
    }
}

/// One member of an object: `price.amount`.
pub(super) fn parse_part(
    field: &FieldDefinition,
    part: &str,
    text: &str,
) -> Result<Value, CellError> {
    match (field.kind.as_str(), part) {
        ("currency", "amount") => numbers::number(text).map(Value::String),
        ("currency", "currency") => Ok(Value::String(text.trim().to_ascii_uppercase())),
        ("geo_point", _) => {
            let number = numbers::number(text)?;
            Ok(serde_json::from_str(&number).unwrap_or(Value::String(number)))
        }
        _ => Ok(Value::String(guard::unguarded(text).to_owned())),
    }
}

/// `12.50 USD`, `USD 12.50`, or an amount alone.
fn money(text: &str, manner: &Manner) -> Result<Value, CellError> {
    let is_code = |word: &str| word.len() == 3 && word.chars().all(|c| c.is_ascii_alphabetic());
    let (amount, code) = match (text.get(..3), text.len().checked_sub(3)) {
        (Some(head), _) if is_code(head) => (text.get(3..).unwrap_or_default(), Some(head)),
        (_, Some(at)) => match text.split_at_checked(at) {
            Some((amount, tail)) if is_code(tail) => (amount, Some(tail)),
            _ => (text, None),
        },
        _ => (text, None),
    };
    let mut money = Map::new();
    money.insert("amount".to_owned(), json!(numbers::number(amount)?));
    let code = code.map(str::to_ascii_uppercase);
    if let Some(code) = code.or_else(|| manner.default_currency.clone()) {
        money.insert("currency".to_owned(), json!(code));
    }
    Ok(Value::Object(money))
}

fn boolean(text: &str) -> Result<Value, CellError> {
    let word = text.to_ascii_lowercase();
    match (
        TRUE.contains(&word.as_str()),
        FALSE.contains(&word.as_str()),
    ) {
        (true, _) => Ok(json!(true)),
        (_, true) => Ok(json!(false)),
        _ => Err(CellError::new(
            "type",
            "is not yes or no; write true or false",
        )),
    }
}

/// The value of an option: by value, else by label or value without regard to case. What is
/// neither stays as it is, for the door to refuse with the options named.
fn option(field: &FieldDefinition, text: &str) -> String {
    let text = text.trim();
    if field.options.iter().any(|option| option.value == text) {
        return text.to_owned();
    }
    let folded = text.to_lowercase();
    let found = field.options.iter().find(|option| {
        option.label.to_lowercase() == folded || option.value.to_lowercase() == folded
    });
    found.map_or_else(|| text.to_owned(), |option| option.value.clone())
}

fn list(text: &str, member: impl Fn(&str) -> String) -> Value {
    let members = text.split(LIST_SEPARATOR).map(str::trim);
    let members = members.filter(|text| !text.is_empty());
    Value::Array(members.map(|text| Value::String(member(text))).collect())
}

fn object_or_text(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Value::Object(members),
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(attributes: Value, text: &str) -> Result<Value, CellError> {
        let mut field = json!({"key": "a", "label": "A"});
        let members = attributes.as_object().unwrap().clone();
        field.as_object_mut().unwrap().extend(members);
        let manner = Manner {
            zone: Tz::UTC,
            date_order: None,
            default_currency: Some("EUR".to_owned()),
        };
        parse(&serde_json::from_value(field).unwrap(), text, &manner)
    }

    #[test]
    fn cells_become_values_of_their_fields() {
        let options =
            json!([{"value": "in_stock", "label": "In stock"}, {"value": "a", "label": "B"}]);
        for (attributes, text, expected) in [
            (json!({"type": "text"}), " a ", json!(" a ")),
            (json!({"type": "text"}), "'=1", json!("=1")),
            (json!({"type": "integer"}), "1 000", json!(1000)),
            (json!({"type": "decimal"}), "0.10", json!("0.10")),
            (json!({"type": "percent"}), "12.5 %", json!("12.5")),
            (json!({"type": "boolean"}), "Yes", json!(true)),
            (json!({"type": "boolean"}), "0", json!(false)),
            (json!({"type": "date"}), "22 Nov 2026", json!("2026-11-22")),
            (json!({"type": "phone"}), "+44 20", json!("+44 20")),
            (
                json!({"type": "select", "options": options}),
                "in stock",
                json!("in_stock"),
            ),
            (
                json!({"type": "select", "options": options}),
                "A",
                json!("a"),
            ),
            (
                json!({"type": "select", "options": options}),
                "C",
                json!("C"),
            ),
            (
                json!({"type": "multi_select", "options": options}),
                "B; In stock;",
                json!(["a", "in_stock"]),
            ),
            (json!({"type": "tags"}), "x;y", json!(["x", "y"])),
            (json!({"type": "json"}), "[1]", json!([1])),
            (
                json!({"type": "currency"}),
                "12.50 usd",
                json!({"amount": "12.50", "currency": "USD"}),
            ),
            (
                json!({"type": "currency"}),
                "GBP 1,000.00",
                json!({"amount": "1000.00", "currency": "GBP"}),
            ),
            (
                json!({"type": "currency"}),
                "7",
                json!({"amount": "7", "currency": "EUR"}),
            ),
        ] {
            assert_eq!(
                read(attributes.clone(), text),
                Ok(expected),
                "{attributes} {text}"
            );
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for (kind, text, code) in [
            ("integer", "1.5", "type"),
            ("decimal", "1,234", "ambiguous"),
            ("boolean", "maybe", "type"),
            ("date", "03/04/2026", "ambiguous"),
            ("currency", "USD", "type"),
            ("currency", "€ 5", "type"),
            ("json", "{", "type"),
        ] {
            let refused = read(json!({"type": kind}), text).unwrap_err();
            assert_eq!(refused.code, code, "{kind} {text}");
        }
    }
}
