//! What the columns of a file hold, from their first values.

use serde::{Deserialize, Serialize};

use super::{dates, numbers};
use crate::limits::{IMPORT_SAMPLE_MAX_CHARACTERS, IMPORT_SAMPLE_MAX_VALUES};
use crate::names::FieldKey;

/// Longer values are no single line of a form.
const LINE_MAX_CHARACTERS: usize = 255;

/// A column of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    /// Its first values, shortened.
    pub sample: Vec<String>,
    /// The type of field that its values would fit.
    pub inferred_type: String,
    /// The field that is proposed for it, as `field` or `field.part`.
    pub field: Option<String>,
}

type Test = fn(&str) -> bool;

/// The first type that all values fit is the one.
const TYPES: [(&str, Test); 9] = [
    ("boolean", is_boolean),
    ("integer", |text| {
        numbers::integer(text).is_ok() && !has_leading_zero(text)
    }),
    ("decimal", |text| {
        numbers::number(text).is_ok() && !has_leading_zero(text)
    }),
    ("date", |text| {
        dates::date(text, Some(dates::DateOrder::DayFirst)).is_ok()
            || dates::date(text, Some(dates::DateOrder::MonthFirst)).is_ok()
    }),
    ("datetime", |text| {
        dates::moment(text, chrono_tz::Tz::UTC, None).is_ok()
    }),
    ("currency", is_money),
    ("email", is_address),
    ("phone", is_phone),
    ("url", |text| {
        text.starts_with("https://") || text.starts_with("http://")
    }),
];

/// Names of columns with what their values seem to be. `rows` are the first rows of data.
pub fn describe_columns(names: &[String], rows: &[Vec<String>]) -> Vec<Column> {
    let describe = |(place, name): (usize, &String)| {
        let values: Vec<&str> = rows
            .iter()
            .filter_map(|row| row.get(place))
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
            .collect();
        let sample = values.iter().take(IMPORT_SAMPLE_MAX_VALUES);
        let short = |value: &&str| value.chars().take(IMPORT_SAMPLE_MAX_CHARACTERS).collect();
        Column {
            name: name.clone(),
            sample: sample.map(short).collect(),
            inferred_type: infer(&values).to_owned(),
            field: None,
        }
    };
    names.iter().enumerate().map(describe).collect()
}

fn infer(values: &[&str]) -> &'static str {
    if values.is_empty() {
        return "text";
    }
    let fitting = TYPES
        .iter()
        .find(|(_, fits)| values.iter().all(|value| fits(value)));
    match fitting {
        Some((name, _)) => name,
        None if values.iter().any(|value| is_long(value)) => "long_text",
        None => "text",
    }
}

fn is_long(text: &str) -> bool {
    text.contains('\n') || text.chars().count() > LINE_MAX_CHARACTERS
}

fn is_boolean(text: &str) -> bool {
    // 0 and 1 are numbers as well.
    ["true", "false", "yes", "no"].contains(&text.to_ascii_lowercase().as_str())
}

/// Postcodes and numbers of articles are no numbers.
fn has_leading_zero(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0') && !text.starts_with("0.") && !text.starts_with("0,")
}

fn is_money(text: &str) -> bool {
    let Some((first, second)) = text.split_once(' ') else {
        return false;
    };
    let is_code = |word: &str| iso_currency::Currency::from_code(word).is_some();
    (is_code(first) && numbers::number(second).is_ok())
        || (is_code(second) && numbers::number(first).is_ok())
}

fn is_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && domain.contains('.') && !text.contains(char::is_whitespace)
    })
}

fn is_phone(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    text.starts_with('+')
        && digits >= 7
        && text
            .chars()
            .all(|character| character.is_ascii_digit() || "+ -().".contains(character))
}

/// Whether a field can take what the column holds.
pub(super) fn fits(inferred: &str, field_kind: &str) -> bool {
    let is_text = |kind: &str| {
        matches!(
            kind,
            "text" | "long_text" | "select" | "multi_select" | "tags" | "json"
        )
    };
    match inferred {
        _ if is_text(field_kind) || inferred == field_kind => true,
        "integer" => matches!(
            field_kind,
            "decimal" | "currency" | "percent" | "rating" | "boolean" | "duration" | "phone"
        ),
        "decimal" => matches!(field_kind, "currency" | "percent"),
        "date" => field_kind == "datetime",
        "text" | "long_text" => !matches!(
            field_kind,
            "integer" | "decimal" | "percent" | "currency" | "boolean" | "date" | "datetime"
        ),
        _ => false,
    }
}

/// The key that a column would have as a field.
pub(super) fn key_of(name: &str) -> Option<FieldKey> {
    let mut key = String::new();
    for character in name.trim().chars() {
        match character {
            'a'..='z' | '0'..='9' => key.push(character),
            'A'..='Z' => key.push(character.to_ascii_lowercase()),
            _ if key.ends_with('_') => {}
            _ => key.push('_'),
        }
    }
    key.trim_end_matches('_').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_that_all_values_fit() {
        for (values, expected) in [
            (vec!["326", "404"], "integer"),
            (vec!["0.23", "1"], "decimal"),
            (vec!["01067", "80331"], "text"),
            (vec!["yes", "No"], "boolean"),
            (vec!["2026-11-22"], "date"),
            (vec!["2026-11-22T09:30:00Z"], "datetime"),
            (vec!["12.50 USD", "EUR 3"], "currency"),
            (vec!["ada@example.com"], "email"),
            (vec!["+44 20 7183 8750"], "phone"),
            (vec!["https://example.com"], "url"),
            (vec!["Ideal", "1"], "text"),
            (vec!["a\nb"], "long_text"),
            (vec![], "text"),
        ] {
            assert_eq!(infer(&values), expected, "{values:?}");
        }
    }
}
