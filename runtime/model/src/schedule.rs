//! Times that start workflows: those of a clock, and those that records name. Pure: whoever keeps
//! them says what time it is.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use serde::{Deserialize, Serialize};

use crate::definition::TriggerDefinition;
use crate::limits::{SCHEDULE_LOOK_SECONDS, SCHEDULE_MAX_DAYS, SCHEDULE_MAX_MINUTES};
use crate::model::Module;
use crate::names::FieldKey;
use crate::query::day_begins;

/// A time that a record names: so long before (negative) or after what its field says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DateTrigger {
    /// Of the type `date` or `datetime`.
    pub field: FieldKey,
    /// Days of the tenant's calendar.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub days: i32,
    /// For a `datetime`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub minutes: i32,
    /// For a `date`: the time of day in the tenant's zone, `09:00`; the day's first moment unless
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// When a workflow starts, compiled.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// Five fields, in the tenant's zone. A time that a change of the clock leaves out is reached at
    /// the first moment after it; one that comes twice, once.
    Cron(Box<Cron>),
    Date {
        field: FieldKey,
        days: i32,
        at: NaiveTime,
    },
    DateTime {
        field: FieldKey,
        days: i32,
        minutes: i32,
    },
}

impl Schedule {
    /// The times of a trigger; none of one that starts on something else.
    ///
    /// # Errors
    /// A sentence, where it cannot be right.
    pub(crate) fn compile(
        trigger: &TriggerDefinition,
        module: &Module,
    ) -> Result<Option<Self>, String> {
        let is_timed = trigger.on == crate::event::EventKind::TimeReached;
        match (is_timed, &trigger.cron, &trigger.date) {
            (false, None, None) => Ok(None),
            (false, _, _) => Err("trigger: `cron` and `date` go with time_reached".to_owned()),
            (true, Some(cron), None) => Self::cron(cron).map(Some),
            (true, None, Some(date)) => Self::date(date, module).map(Some),
            (true, _, _) => Err("trigger: time_reached has either `cron` or `date`".to_owned()),
        }
    }

    fn cron(text: &str) -> Result<Self, String> {
        let wrong = |reason: String| format!("trigger/cron: {reason}");
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser
            .parse(text)
            .map_err(|error| wrong(error.to_string()))?;
        // Such as the 30th of February.
        cron.find_next_occurrence(&DateTime::<Utc>::UNIX_EPOCH, false)
            .map_err(|_| wrong(format!("“{text}” is never reached")))?;
        Ok(Self::Cron(Box::new(cron)))
    }

    fn date(date: &DateTrigger, module: &Module) -> Result<Self, String> {
        let DateTrigger {
            field,
            days,
            minutes,
            at,
        } = date;
        let slug = &module.definition().slug;
        let mut fields = module.definition().fields.iter();
        let found = fields.find(|it| it.key == *field);
        let found =
            found.ok_or_else(|| format!("trigger/date: “{slug}” has no field “{field}”"))?;
        if days.unsigned_abs() > SCHEDULE_MAX_DAYS {
            return Err(format!(
                "trigger/date/days: at most {SCHEDULE_MAX_DAYS} before or after"
            ));
        }
        if minutes.unsigned_abs() > SCHEDULE_MAX_MINUTES {
            return Err(format!(
                "trigger/date/minutes: at most {SCHEDULE_MAX_MINUTES} before or after"
            ));
        }
        match found.kind.as_str() {
            "date" if *minutes != 0 => Err(format!(
                "trigger/date/minutes: “{field}” is a date; say `at` which time of its day"
            )),
            "date" => {
                let at = at.as_deref().unwrap_or("00:00");
                let at = NaiveTime::parse_from_str(at, "%H:%M");
                Ok(Self::Date {
                    field: field.clone(),
                    days: *days,
                    at: at.map_err(|_| "trigger/date/at: a time such as 09:00".to_owned())?,
                })
            }
            "datetime" if at.is_some() => {
                Err(format!("trigger/date/at: “{field}” has a time of its own"))
            }
            "datetime" => Ok(Self::DateTime {
                field: field.clone(),
                days: *days,
                minutes: *minutes,
            }),
            _ => Err(format!(
                "trigger/date: “{field}” is neither a date nor a datetime"
            )),
        }
    }

    /// The field that names the times; none where a clock does.
    pub fn field(&self) -> Option<&FieldKey> {
        match self {
            Self::Cron(_) => None,
            Self::Date { field, .. } | Self::DateTime { field, .. } => Some(field),
        }
    }

    /// When to look again, after this time; none where it is never reached any more.
    pub fn next(&self, now: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron) => {
                let next = cron.find_next_occurrence(&now.with_timezone(&zone), false);
                next.ok().map(|next| next.to_utc())
            }
            Self::Date { at, .. } => {
                let today = now.with_timezone(&zone).date_naive();
                let next = moment(today, *at, zone);
                match next > now {
                    true => Some(next),
                    false => Some(moment(today.checked_add_days(Days::new(1))?, *at, zone)),
                }
            }
            Self::DateTime { .. } => Some(now + TimeDelta::seconds(SCHEDULE_LOOK_SECONDS)),
        }
    }

    /// The newest value of the field whose time has been reached by now, as the field has it. What a
    /// clock reaches has none.
    pub fn reached(&self, now: DateTime<Utc>, zone: Tz) -> Option<String> {
        match self {
            Self::Cron(_) => None,
            Self::Date { days, at, .. } => {
                let today = now.with_timezone(&zone).date_naive();
                let day = match moment(today, *at, zone) <= now {
                    true => today,
                    false => today.checked_sub_days(Days::new(1))?,
                };
                later(day, -i64::from(*days)).map(|day| day.to_string())
            }
            Self::DateTime { days, minutes, .. } => {
                let local = (now - TimeDelta::minutes(i64::from(*minutes))).with_timezone(&zone);
                let day = later(local.date_naive(), -i64::from(*days))?;
                let value = moment(day, local.time(), zone);
                Some(value.to_rfc3339_opts(SecondsFormat::Millis, true))
            }
        }
    }
}

fn later(day: NaiveDate, days: i64) -> Option<NaiveDate> {
    let by = Days::new(days.unsigned_abs());
    match days < 0 {
        true => day.checked_sub_days(by),
        false => day.checked_add_days(by),
    }
}

/// A time of a day in the zone; the first moment after it where the clock leaves it out, the first
/// of the two where it comes twice.
fn moment(day: NaiveDate, at: NaiveTime, zone: Tz) -> DateTime<Utc> {
    let local = day.and_time(at).and_local_timezone(zone);
    match local.earliest() {
        Some(moment) => moment.to_utc(),
        // The clock goes forward: what it would have shown, counted from the day's beginning.
        None => day_begins(day, zone) + (at - NaiveTime::MIN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use crate::testing::{definition, source};
    use serde_json::{Value, json};

    const ZONE: Tz = chrono_tz::Europe::Berlin;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn trigger(more: Value) -> TriggerDefinition {
        let mut trigger = json!({ "on": "time_reached" });
        let members = trigger.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        serde_json::from_value(trigger).unwrap()
    }

    fn compiled(more: Value) -> Result<Schedule, String> {
        let model = Model::compile(source(definition())).unwrap();
        let module = model.module(&"items".parse().unwrap()).unwrap();
        Schedule::compile(&trigger(more), module).map(Option::unwrap)
    }

    #[test]
    fn a_clock_follows_the_tenants_zone_through_its_changes() {
        let daily = compiled(json!({ "cron": "30 2 * * *" })).unwrap();
        let next = |now: &str| daily.next(at(now), ZONE).unwrap();
        assert_eq!(next("2026-01-10T12:00:00Z"), at("2026-01-11T01:30:00Z"));
        assert_eq!(next("2026-07-10T12:00:00Z"), at("2026-07-11T00:30:00Z"));
        // There is no 2:30 on the 29th of March: the first moment after it.
        assert_eq!(next("2026-03-28T12:00:00Z"), at("2026-03-29T01:00:00Z"));
        assert_eq!(next("2026-03-29T01:00:00Z"), at("2026-03-30T00:30:00Z"));
        // And two on the 25th of October: the first of them.
        assert_eq!(next("2026-10-24T12:00:00Z"), at("2026-10-25T00:30:00Z"));
        assert_eq!(next("2026-10-25T00:30:00Z"), at("2026-10-26T01:30:00Z"));
    }

    #[test]
    fn days_are_reached_at_their_time() {
        let before = compiled(json!({ "date": { "field": "made_on", "days": -3, "at": "09:00" } }));
        let before = before.unwrap();
        let reached = |now: &str| before.reached(at(now), ZONE).unwrap();
        // Nine in the morning of the 7th is three days before the 10th.
        assert_eq!(reached("2026-01-07T07:59:59Z"), "2026-01-09");
        assert_eq!(reached("2026-01-07T08:00:00Z"), "2026-01-10");
        let next = |now: &str| before.next(at(now), ZONE).unwrap();
        assert_eq!(next("2026-01-07T07:59:59Z"), at("2026-01-07T08:00:00Z"));
        assert_eq!(next("2026-01-07T08:00:00Z"), at("2026-01-08T08:00:00Z"));
        let missing = compiled(json!({ "date": { "field": "made_on", "at": "02:30" } })).unwrap();
        let next = missing.next(at("2026-03-28T23:00:00Z"), ZONE).unwrap();
        assert_eq!(next, at("2026-03-29T01:30:00Z"));
    }

    #[test]
    fn times_are_reached_so_many_days_of_the_calendar_before() {
        let before = compiled(json!({ "date": { "field": "seen_at", "days": -1 } })).unwrap();
        // Noon of the day before the clock goes forward stands for noon of the day after, 23 hours
        // later.
        let reached = before.reached(at("2026-03-28T11:00:00Z"), ZONE).unwrap();
        assert_eq!(reached, "2026-03-29T10:00:00.000Z");
        let after = compiled(json!({ "date": { "field": "seen_at", "minutes": 90 } })).unwrap();
        let reached = after.reached(at("2026-01-01T12:00:00Z"), ZONE).unwrap();
        assert_eq!(reached, "2026-01-01T10:30:00.000Z");
    }

    #[test]
    fn what_cannot_be_right_is_named() {
        for (wrong, what) in [
            (json!({}), "either `cron` or `date`"),
            (json!({ "cron": "0 9 * *" }), "trigger/cron"),
            (json!({ "cron": "0 0 9 * * *" }), "trigger/cron"),
            (json!({ "cron": "0 9 30 2 *" }), "never reached"),
            (json!({ "date": { "field": "none" } }), "no field “none”"),
            (json!({ "date": { "field": "sku" } }), "neither a date"),
            (
                json!({ "date": { "field": "made_on", "minutes": 5 } }),
                "say `at`",
            ),
            (
                json!({ "date": { "field": "made_on", "at": "9" } }),
                "trigger/date/at",
            ),
            (
                json!({ "date": { "field": "seen_at", "at": "09:00" } }),
                "a time of its own",
            ),
            (
                json!({ "date": { "field": "made_on", "days": 100_000 } }),
                "trigger/date/days",
            ),
        ] {
            let refused = compiled(wrong.clone()).unwrap_err();
            assert!(refused.contains(what), "{wrong}: {refused}");
        }
    }
}
