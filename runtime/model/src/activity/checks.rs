//! What the parts of a timeline entry may be, part by part. Which kind may have which is not for
//! here.

use chrono::{DateTime, Datelike, Utc};

use crate::limits::{
    ACTIVITY_BODY_MAX_CHARACTERS, ACTIVITY_DURATION_MAX_MINUTES, ACTIVITY_TITLE_MAX_CHARACTERS,
};
use crate::names::{UserId, UserIdError};
use crate::violation::Violations;

/// Moments before and after this are taken for slips; the store could not keep all of them.
const YEARS: std::ops::RangeInclusive<i32> = 1900..=9999;

pub(super) fn text(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
}

pub(super) fn check_title(violations: &mut Violations, title: &str) {
    if title.is_empty() {
        violations.add("/title".to_owned(), "required", "a title is needed");
    }
    check_text(violations, "/title", title, ACTIVITY_TITLE_MAX_CHARACTERS);
}

pub(super) fn check_body(violations: &mut Violations, body: Option<&str>) {
    let body = body.unwrap_or_default();
    check_text(violations, "/body", body, ACTIVITY_BODY_MAX_CHARACTERS);
}

fn check_text(violations: &mut Violations, pointer: &str, text: &str, max_characters: usize) {
    if text.chars().count() > max_characters {
        violations.add(
            pointer.to_owned(),
            "max_length",
            format!("is longer than {max_characters} characters"),
        );
    }
    if text.contains('\0') {
        violations.add(pointer.to_owned(), "characters", "holds a NUL character");
    }
}

pub(super) fn moment(
    violations: &mut Violations,
    pointer: &str,
    text: Option<String>,
) -> Option<DateTime<Utc>> {
    let moment = DateTime::parse_from_rfc3339(&text?)
        .map(|moment| moment.with_timezone(&Utc))
        .ok()
        .filter(|moment| YEARS.contains(&moment.year()));
    if moment.is_none() {
        let (first, last) = (YEARS.start(), YEARS.end());
        let message = format!(
            "is no date and time with a zone, such as 2026-01-31T09:30:00Z, of {first} to {last}"
        );
        violations.add(pointer.to_owned(), "datetime", message);
    }
    moment
}

pub(super) fn user(violations: &mut Violations, text: Option<String>) -> Option<UserId> {
    match text?.parse() {
        Ok(user) => Some(user),
        Err(error) => {
            let error: UserIdError = error;
            violations.add("/assignee".to_owned(), "user", error.to_string());
            None
        }
    }
}

pub(super) fn check_minutes(violations: &mut Violations, minutes: Option<u32>) {
    if minutes.is_some_and(|minutes| minutes > ACTIVITY_DURATION_MAX_MINUTES) {
        violations.add(
            "/duration_minutes".to_owned(),
            "max",
            format!("is more than {ACTIVITY_DURATION_MAX_MINUTES} minutes"),
        );
    }
}
