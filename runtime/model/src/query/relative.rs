//! Stretches of time by name, in the tenant's time zone: `today`, `this_month`, `last_7_days`.
//!
//! `last_N_…` are the N days, weeks or months that end with today, `next_N_…` those that begin
//! with it; hours are counted from now. A week begins on Monday.

use chrono::{DateTime, Datelike, Days, LocalResult, Months, NaiveDate, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use crate::limits::FILTER_RELATIVE_MAX_COUNT;

/// How far apart moments are tried where a day's midnight does not exist, and how often: a day
/// that a zone skipped altogether.
const GAP_STEP_MINUTES: i64 = 15;
const GAP_MAX_STEPS: i64 = 4 * 25;

/// What the names are, for messages.
pub(crate) const NAMES: &str = "today, yesterday, tomorrow, this_, last_ or next_ with week, \
     month, quarter or year, or last_N_ or next_N_ with hours, days, weeks or months";

/// A stretch of time; its end is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stretch {
    Days(NaiveDate, NaiveDate),
    Moments(DateTime<Utc>, DateTime<Utc>),
}

/// Reads a name; none where it is none.
pub(crate) fn stretch(name: &str, now: DateTime<Utc>, zone: Tz) -> Option<Stretch> {
    let today = now.with_timezone(&zone).date_naive();
    let (from, to) = match name {
        "today" => (today, today.checked_add_days(Days::new(1))?),
        "yesterday" => (today.checked_sub_days(Days::new(1))?, today),
        "tomorrow" => {
            let tomorrow = today.checked_add_days(Days::new(1))?;
            (tomorrow, tomorrow.checked_add_days(Days::new(1))?)
        }
        _ => {
            let (which, rest) = name.split_once('_')?;
            match rest.split_once('_') {
                None => period(which, rest, today)?,
                Some((count, unit)) => return counted(which, count, unit, now, today),
            }
        }
    };
    Some(Stretch::Days(from, to))
}

/// The moment at which a day begins there.
pub(crate) fn day_begins(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    moment_of(day.and_time(chrono::NaiveTime::MIN), zone)
}

/// The moment at which the clock there shows this; the first one where it does twice, and the first
/// after the gap where it never does.
pub(crate) fn moment_of(local: chrono::NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    for step in 0..GAP_MAX_STEPS {
        let tried = local + TimeDelta::minutes(step * GAP_STEP_MINUTES);
        match zone.from_local_datetime(&tried) {
            LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => {
                return moment.with_timezone(&Utc);
            }
            LocalResult::None => {}
        }
    }
    local.and_utc()
}

/// The same day so many periods later.
type Step = fn(NaiveDate, i32) -> Option<NaiveDate>;

fn period(which: &str, unit: &str, today: NaiveDate) -> Option<(NaiveDate, NaiveDate)> {
    let (begin, step): (NaiveDate, Step) = match unit {
        "week" => {
            let since = u64::from(today.weekday().num_days_from_monday());
            (today.checked_sub_days(Days::new(since))?, |day, count| {
                day.checked_add_signed(TimeDelta::weeks(i64::from(count)))
            })
        }
        "month" => (today.with_day(1)?, months),
        "quarter" => {
            let month = (today.month0() / 3) * 3 + 1;
            let begin = NaiveDate::from_ymd_opt(today.year(), month, 1)?;
            (begin, |day, count| months(day, count * 3))
        }
        "year" => (
            NaiveDate::from_ymd_opt(today.year(), 1, 1)?,
            |day, count| months(day, count * 12),
        ),
        _ => return None,
    };
    let offset = match which {
        "this" => 0,
        "last" => -1,
        "next" => 1,
        _ => return None,
    };
    Some((step(begin, offset)?, step(begin, offset + 1)?))
}

fn counted(
    which: &str,
    count: &str,
    unit: &str,
    now: DateTime<Utc>,
    today: NaiveDate,
) -> Option<Stretch> {
    let count: u32 = count.parse().ok()?;
    if count == 0 || count > FILTER_RELATIVE_MAX_COUNT {
        return None;
    }
    let signed = i32::try_from(count).ok()?;
    let tomorrow = today.checked_add_days(Days::new(1))?;
    let days = |day: NaiveDate, factor: i64| {
        day.checked_add_signed(TimeDelta::days(i64::from(signed) * factor))
    };
    let (from, to) = match (which, unit) {
        ("last", "hours") => {
            let from = now.checked_sub_signed(TimeDelta::hours(i64::from(count)))?;
            return Some(Stretch::Moments(from, now + TimeDelta::microseconds(1)));
        }
        ("next", "hours") => {
            let to = now.checked_add_signed(TimeDelta::hours(i64::from(count)))?;
            return Some(Stretch::Moments(now, to));
        }
        ("last", "days") => (days(tomorrow, -1)?, tomorrow),
        ("last", "weeks") => (days(tomorrow, -7)?, tomorrow),
        ("last", "months") => (months(tomorrow, -signed)?, tomorrow),
        ("next", "days") => (today, days(today, 1)?),
        ("next", "weeks") => (today, days(today, 7)?),
        ("next", "months") => (today, months(today, signed)?),
        _ => return None,
    };
    Some(Stretch::Days(from, to))
}

fn months(day: NaiveDate, count: i32) -> Option<NaiveDate> {
    let magnitude = Months::new(count.unsigned_abs());
    if count < 0 {
        day.checked_sub_months(magnitude)
    } else {
        day.checked_add_months(magnitude)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(name: &str) -> Option<(String, String)> {
        // A Sunday evening in UTC, Monday already in Tokyo.
        let now = "2026-11-22T20:00:00Z".parse().unwrap();
        match stretch(name, now, Tz::Asia__Tokyo)? {
            Stretch::Days(from, to) => Some((from.to_string(), to.to_string())),
            Stretch::Moments(from, to) => Some((from.to_rfc3339(), to.to_rfc3339())),
        }
    }

    #[test]
    fn names_are_read_in_the_zone() {
        for (name, from, to) in [
            ("today", "2026-11-23", "2026-11-24"),
            ("yesterday", "2026-11-22", "2026-11-23"),
            ("tomorrow", "2026-11-24", "2026-11-25"),
            ("this_week", "2026-11-23", "2026-11-30"),
            ("last_week", "2026-11-16", "2026-11-23"),
            ("next_month", "2026-12-01", "2027-01-01"),
            ("last_month", "2026-10-01", "2026-11-01"),
            ("this_quarter", "2026-10-01", "2027-01-01"),
            ("next_quarter", "2027-01-01", "2027-04-01"),
            ("last_year", "2025-01-01", "2026-01-01"),
            ("last_7_days", "2026-11-17", "2026-11-24"),
            ("last_2_weeks", "2026-11-10", "2026-11-24"),
            ("last_1_months", "2026-10-24", "2026-11-24"),
            ("next_7_days", "2026-11-23", "2026-11-30"),
            ("next_3_months", "2026-11-23", "2027-02-23"),
        ] {
            let expected = (from.to_owned(), to.to_owned());
            assert_eq!(days(name), Some(expected), "{name}");
        }
        let (from, _) = days("last_24_hours").unwrap();
        assert_eq!(from, "2026-11-21T20:00:00+00:00");
    }

    #[test]
    fn what_is_no_name_is_none() {
        for name in [
            "",
            "now",
            "last_days",
            "last_0_days",
            "last_10001_days",
            "last_x_days",
            "this_7_days",
            "next_fortnight",
        ] {
            assert_eq!(days(name), None, "{name}");
        }
    }

    #[test]
    fn a_day_begins_where_midnight_does_not_exist() {
        let day = "2018-11-04".parse().unwrap();
        let begins = day_begins(day, Tz::America__Sao_Paulo);
        assert_eq!(begins.to_rfc3339(), "2018-11-04T03:00:00+00:00");
    }
}
