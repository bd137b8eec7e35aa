//! When a tenant is at work: hours of the week, in its zone, but for holidays.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use crate::limits::{BUSINESS_DAY_MAX_SPANS, BUSINESS_MAX_HOLIDAYS};
use crate::query::moment_of;

/// How far to look for the next hour of business.
const LOOK_DAYS: u64 = 366;
const FORM: &str = "%H:%M";
/// The end of a day.
const MIDNIGHT: &str = "24:00";

/// When a tenant is at work. Each day has spans such as `["09:00", "17:00"]`, the first one first;
/// a span may end at `24:00`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusinessHours {
    #[serde(default)]
    pub monday: Vec<[String; 2]>,
    #[serde(default)]
    pub tuesday: Vec<[String; 2]>,
    #[serde(default)]
    pub wednesday: Vec<[String; 2]>,
    #[serde(default)]
    pub thursday: Vec<[String; 2]>,
    #[serde(default)]
    pub friday: Vec<[String; 2]>,
    #[serde(default)]
    pub saturday: Vec<[String; 2]>,
    #[serde(default)]
    pub sunday: Vec<[String; 2]>,
    /// Days without any.
    #[serde(default)]
    pub holidays: BTreeSet<NaiveDate>,
}

/// Monday to Friday, from nine to five.
impl Default for BusinessHours {
    fn default() -> Self {
        let day = || vec![["09:00".to_owned(), "17:00".to_owned()]];
        Self {
            monday: day(),
            tuesday: day(),
            wednesday: day(),
            thursday: day(),
            friday: day(),
            saturday: Vec::new(),
            sunday: Vec::new(),
            holidays: BTreeSet::new(),
        }
    }
}

impl BusinessHours {
    fn days(&self) -> [(&'static str, &[[String; 2]]); 7] {
        [
            ("monday", &self.monday),
            ("tuesday", &self.tuesday),
            ("wednesday", &self.wednesday),
            ("thursday", &self.thursday),
            ("friday", &self.friday),
            ("saturday", &self.saturday),
            ("sunday", &self.sunday),
        ]
    }

    /// Checks the spans.
    ///
    /// # Errors
    /// A sentence that begins with the day.
    pub fn check(&self) -> Result<(), String> {
        for (day, spans) in self.days() {
            if spans.len() > BUSINESS_DAY_MAX_SPANS {
                return Err(format!("{day}: at most {BUSINESS_DAY_MAX_SPANS} spans"));
            }
            let mut before = TimeDelta::MIN;
            for span in spans {
                let wrong = || {
                    let [from, to] = span;
                    format!(
                        "{day}: [\"{from}\", \"{to}\"] is no span such as [\"09:00\", \"17:00\"] \
                         after the one before it"
                    )
                };
                let (from, to) = times(span).ok_or_else(wrong)?;
                if from >= to || from < before {
                    return Err(wrong());
                }
                before = to;
            }
        }
        if self.days().iter().all(|(_, spans)| spans.is_empty()) {
            return Err("one day at least has a span".to_owned());
        }
        if self.holidays.len() > BUSINESS_MAX_HOLIDAYS {
            return Err(format!("holidays: at most {BUSINESS_MAX_HOLIDAYS}"));
        }
        Ok(())
    }

    /// The first moment of business from `at` on: `at` itself within business hours. Where there is
    /// none within a year, `at`.
    pub fn next(&self, at: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
        let today = at.with_timezone(&zone).date_naive();
        let days = (0..LOOK_DAYS).filter_map(|after| today.checked_add_days(Days::new(after)));
        let open = days.filter(|day| !self.holidays.contains(day));
        let spans = open.flat_map(|day| self.of(day, zone));
        let mut next = spans.filter(|(_, to)| at < *to);
        next.next().map_or(at, |(from, _)| at.max(from))
    }

    fn of(&self, day: NaiveDate, zone: Tz) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        let index = day.weekday().num_days_from_monday() as usize;
        let days = self.days();
        let spans = days.get(index).map_or(&[][..], |(_, spans)| spans);
        let midnight = day.and_time(NaiveTime::MIN);
        let spans = spans.iter().filter_map(times);
        spans
            .map(|(from, to)| {
                (
                    moment_of(midnight + from, zone),
                    moment_of(midnight + to, zone),
                )
            })
            .collect()
    }
}

/// Since midnight.
fn times([from, to]: &[String; 2]) -> Option<(TimeDelta, TimeDelta)> {
    let time = |text: &str| match text {
        MIDNIGHT => Some(TimeDelta::days(1)),
        text => Some(NaiveTime::parse_from_str(text, FORM).ok()? - NaiveTime::MIN),
    };
    Some((time(from)?, time(to)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ZONE: Tz = chrono_tz::Europe::Berlin;

    fn hours(value: Value) -> BusinessHours {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_next_hour_is_now_or_when_work_begins_again() {
        let hours = hours(json!({
            "monday": [["09:00", "12:00"], ["13:00", "17:00"]], "friday": [["22:00", "24:00"]],
            "holidays": ["2026-11-30"],
        }));
        hours.check().unwrap();
        let next = |at: &str| {
            let next = hours.next(at.parse().unwrap(), ZONE);
            next.with_timezone(&ZONE).format("%d. %H:%M").to_string()
        };
        // The 23rd of November is a Monday; Berlin is an hour ahead.
        assert_eq!(next("2026-11-23T05:00:00Z"), "23. 09:00");
        assert_eq!(next("2026-11-23T10:30:00Z"), "23. 11:30", "now");
        assert_eq!(next("2026-11-23T11:00:00Z"), "23. 13:00", "the break");
        assert_eq!(next("2026-11-23T16:00:00Z"), "27. 22:00");
        assert_eq!(next("2026-11-27T22:59:59Z"), "27. 23:59");
        assert_eq!(next("2026-11-27T23:00:00Z"), "04. 22:00", "not the holiday");
        // On the night to Monday the clock goes back: work begins by the clock.
        assert_eq!(next("2026-10-24T12:00:00Z"), "26. 09:00");
    }

    #[test]
    fn what_is_no_week_is_refused_by_its_day() {
        let check = |value: Value| hours(value).check().unwrap_err();
        let wrong = |span: Value| check(json!({ "tuesday": span }));
        assert!(wrong(json!([["9", "17:00"]])).starts_with("tuesday: "));
        assert!(wrong(json!([["17:00", "09:00"]])).starts_with("tuesday: "));
        assert!(wrong(json!([["09:00", "12:00"], ["11:00", "17:00"]])).starts_with("tuesday: "));
        assert!(wrong(json!([["24:00", "24:00"]])).starts_with("tuesday: "));
        assert!(check(json!({})).contains("one day at least"));
        BusinessHours::default().check().unwrap();
    }
}
