//! Days and moments as people write them, where they can mean one thing only; `03/04/2026` needs
//! to be told which comes first.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::cell::CellError;

/// What comes first in `03/04/2026`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateOrder {
    DayFirst,
    MonthFirst,
}

/// Forms that mean one day. chrono reads full and short names of months as `%B`.
const FORMS: [&str; 9] = [
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%d %B %Y",
    "%d-%B-%Y",
    "%B %d, %Y",
    "%B %d %Y",
    "%d. %B %Y",
];
const TIMES: [&str; 5] = ["%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%I:%M%p"];
/// Two digits are no year.
const YEAR_MIN: i32 = 1000;
const YEAR_MAX: i32 = 9999;

/// A day as `YYYY-MM-DD`.
pub(super) fn date(text: &str, order: Option<DateOrder>) -> Result<String, CellError> {
    let text = text.trim();
    // Spreadsheets write days as moments at midnight.
    let day = ["T00:00:00", " 00:00:00", " 00:00", "T00:00:00Z"]
        .iter()
        .find_map(|midnight| text.strip_suffix(midnight))
        .unwrap_or(text);
    Ok(parse_day(day, order)?.format("%Y-%m-%d").to_string())
}

/// A moment in RFC 3339, in UTC. One without an offset is in `zone`.
pub(super) fn moment(text: &str, zone: Tz, order: Option<DateOrder>) -> Result<String, CellError> {
    let text = text.trim();
    let written = |moment: DateTime<Utc>| moment.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let with_t = text.replacen(' ', "T", 1);
    if let Ok(moment) = DateTime::parse_from_rfc3339(&with_t) {
        return Ok(written(moment.with_timezone(&Utc)));
    }
    let (day, time) = split_time(text)?;
    let local = NaiveDateTime::new(parse_day(day, order)?, time);
    match local.and_local_timezone(zone).earliest() {
        Some(moment) => Ok(written(moment.with_timezone(&Utc))),
        None => Err(CellError::new(
            "format",
            format!("there was no such time in {zone}: the clocks were put forward"),
        )),
    }
}

fn split_time(text: &str) -> Result<(&str, NaiveTime), CellError> {
    let Some(colon) = text.find(':') else {
        return Ok((text, NaiveTime::MIN));
    };
    let (before, _) = text.split_at(colon);
    let at = before.rfind(['T', ' ']).unwrap_or_default();
    let (day, time) = text.split_at(at);
    let time = time.trim_start_matches('T').trim();
    let parsed = TIMES
        .iter()
        .find_map(|form| NaiveTime::parse_from_str(time, form).ok());
    parsed
        .map(|parsed| (day.trim_end_matches([',', ' ']), parsed))
        .ok_or_else(|| CellError::new("format", "is not a moment, such as 2026-11-22T09:30:00Z"))
}

fn parse_day(text: &str, order: Option<DateOrder>) -> Result<NaiveDate, CellError> {
    let refused = || CellError::new("format", "is not a date; write it as YYYY-MM-DD");
    let text = text.trim();
    let compact = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    let found = match compact {
        true => NaiveDate::parse_from_str(text, "%Y%m%d").ok(),
        false => FORMS
            .iter()
            .find_map(|form| NaiveDate::parse_from_str(text, form).ok()),
    };
    let day = match found {
        Some(day) => day,
        None => numbered(text, order)?.ok_or_else(refused)?,
    };
    match (YEAR_MIN..=YEAR_MAX).contains(&day.year()) {
        true => Ok(day),
        false => Err(CellError::new("format", "write the year with four digits")),
    }
}

/// `3/4/2026` or `3-4-2026`.
fn numbered(text: &str, order: Option<DateOrder>) -> Result<Option<NaiveDate>, CellError> {
    let separator = if text.contains('/') { '/' } else { '-' };
    let numbers: Vec<u32> = text
        .split(separator)
        .map_while(|part| part.trim().parse().ok())
        .collect();
    let [first, second, year] = numbers.as_slice() else {
        return Ok(None);
    };
    let Ok(year) = i32::try_from(*year) else {
        return Ok(None);
    };
    let (day_first, month_first) = (
        NaiveDate::from_ymd_opt(year, *second, *first),
        NaiveDate::from_ymd_opt(year, *first, *second),
    );
    match (order, day_first, month_first) {
        (Some(DateOrder::DayFirst), day, _) => Ok(day),
        (Some(DateOrder::MonthFirst), _, day) => Ok(day),
        (None, Some(day), Some(other)) if day != other => Err(CellError::new(
            "ambiguous",
            format!("“{text}” can mean two days; write YYYY-MM-DD, or choose date_order"),
        )),
        (None, day, other) => Ok(day.or(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_mean_one_thing_are_read() {
        for (text, expected) in [
            ("2026-11-22", "2026-11-22"),
            ("2026-1-2", "2026-01-02"),
            ("2026/11/22", "2026-11-22"),
            ("20261122", "2026-11-22"),
            ("22.11.2026", "2026-11-22"),
            ("22 Nov 2026", "2026-11-22"),
            ("22-Nov-2026", "2026-11-22"),
            ("November 22, 2026", "2026-11-22"),
            ("11/22/2026", "2026-11-22"),
            ("22/11/2026", "2026-11-22"),
            ("5/5/2026", "2026-05-05"),
            ("2026-11-22 00:00:00", "2026-11-22"),
        ] {
            assert_eq!(date(text, None).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn two_days_are_one_too_many() {
        assert_eq!(date("03/04/2026", None).unwrap_err().code, "ambiguous");
        let day_first = date("03/04/2026", Some(DateOrder::DayFirst));
        assert_eq!(day_first.as_deref(), Ok("2026-04-03"));
        let month_first = date("03/04/2026", Some(DateOrder::MonthFirst));
        assert_eq!(month_first.as_deref(), Ok("2026-03-04"));
        assert!(date("22/11/2026", Some(DateOrder::MonthFirst)).is_err());
        for text in ["", "soon", "2026-02-30", "1/2/26", "2026-11-22 09:30"] {
            assert!(date(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn moments_without_an_offset_are_in_the_tenants_zone() {
        let zone = chrono_tz::Europe::Berlin;
        for (text, expected) in [
            ("2026-11-22T09:30:00Z", "2026-11-22T09:30:00Z"),
            ("2026-11-22 09:30:00+02:00", "2026-11-22T07:30:00Z"),
            ("2026-11-22 09:30", "2026-11-22T08:30:00Z"),
            ("22.07.2026, 09:30:15", "2026-07-22T07:30:15Z"),
            ("Nov 22, 2026 9:30 PM", "2026-11-22T20:30:00Z"),
            ("2026-11-22", "2026-11-21T23:00:00Z"),
        ] {
            assert_eq!(moment(text, zone, None).as_deref(), Ok(expected), "{text}");
        }
        assert!(moment("2026-03-29 02:30", zone, None).is_err());
        assert!(moment("9:30", zone, None).is_err());
    }
}
