//! What conditions compare with: JSON values, typed by what they are compared to. The short form
//! of URLs has texts only; numbers and truth values are read from them.

use serde_json::Value;

use super::target::{Kind, Target, check_kind};
use crate::form::{Comparable, Form};
use crate::key;
use crate::limits::FILTER_TEXT_MAX_CHARACTERS;

/// Why a value cannot be compared with: a stable code and a sentence.
pub(crate) type Wrong = (&'static str, String);

/// One value, as what it compares as.
///
/// # Errors
/// What the target takes.
pub(crate) fn operand(target: &Target, value: &Value) -> Result<Comparable, Wrong> {
    if let Value::String(text) = value {
        check_text(text)?;
    }
    let takes = |what: &str| ("type", format!("“{}” takes {what}", target.name));
    check_kind(target.kind, value).map_err(takes)?;
    if let (Form::Boolean, Some(text)) = (target.form, value.as_str()) {
        return match text {
            "true" => Ok(Comparable::Boolean(true)),
            "false" => Ok(Comparable::Boolean(false)),
            _ => Err(takes("true or false")),
        };
    }
    let form = match target.form {
        Form::List => Form::Exact,
        form => form,
    };
    let comparable = form.comparable(value).ok_or_else(|| takes(what(form)))?;
    // Ids are written in any case.
    Ok(match (target.kind, comparable) {
        (Kind::Record, Comparable::Text(id)) => Comparable::Text(id.to_lowercase()),
        (_, comparable) => comparable,
    })
}

/// One value as an end of a range: texts in the order of people are folded.
///
/// # Errors
/// As [`operand`].
pub(crate) fn bound(target: &Target, value: &Value) -> Result<Comparable, Wrong> {
    Ok(match (target.form, operand(target, value)?) {
        (Form::Text, Comparable::Text(text)) => Comparable::Text(key::fold(&text)),
        (_, other) => other,
    })
}

/// A text to look for, folded.
///
/// # Errors
/// Where it is none, or none that can be looked for.
pub(crate) fn folded(target: &Target, value: &Value) -> Result<String, Wrong> {
    match value {
        Value::String(text) => check_text(text).map(|()| key::fold(text)),
        _ => Err(("type", format!("“{}” takes a text", target.name))),
    }
}

/// A text that can be looked for at all.
///
/// # Errors
/// Where it is too long or holds NUL.
fn check_text(text: &str) -> Result<(), Wrong> {
    if text.chars().count() > FILTER_TEXT_MAX_CHARACTERS {
        let most = FILTER_TEXT_MAX_CHARACTERS;
        return Err((
            "too_long",
            format!("a text to compare with has at most {most} characters"),
        ));
    }
    if text.contains('\0') {
        return Err((
            "format",
            "a text to compare with has no NUL character".to_owned(),
        ));
    }
    Ok(())
}

const fn what(form: Form) -> &'static str {
    match form {
        Form::Opaque => "no value",
        Form::Text | Form::Exact | Form::List => "a text",
        Form::Number => "a number, or a decimal as text, of at most 28 digits",
        Form::Moment => "a moment such as 2026-11-22T09:30:00Z",
        Form::Boolean => "true or false",
    }
}
