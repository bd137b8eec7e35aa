//! Times that are relative to the event, on the calendar and the clock of the tenant's zone.

use crm_plugin_sdk::{Event, Failure};
use serde::Deserialize;
use serde_json::Value;

use crate::context::Record;
use crate::formula::Formula;

/// When something is due: so long after the event, or what an expression gives.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Due {
    /// `"d(after.starts_on, event.zone).sub(1, 'day')"`.
    Formula(Formula),
    /// `{"days": 3, "at": "09:00"}`.
    Span(Span),
}

/// So long after the event. Months and days are those of the calendar: three days after noon is
/// noon, whatever the clocks did in between.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Span {
    months: u32,
    weeks: u32,
    days: u32,
    hours: u32,
    minutes: u32,
    /// At that time of the day instead of the event's: `09:00`.
    at: Option<String>,
}

impl Due {
    /// The moment, RFC 3339.
    ///
    /// # Errors
    /// Fails where the configuration gives no moment.
    pub fn moment(&self, event: &Event<Record>, context: &Value) -> Result<String, Failure> {
        let value = match self {
            Self::Formula(formula) => formula.value(context)?,
            Self::Span(span) => span.moment(event, context)?,
        };
        match value {
            Value::String(text) if text.contains('T') => Ok(text),
            other => Err(Failure::fail(format!(
                "a time was expected, as d(…) gives one, not {other}"
            ))),
        }
    }
}

impl Span {
    fn moment(&self, event: &Event<Record>, context: &Value) -> Result<Value, Failure> {
        let from = format!("d('{}').tz(event.zone)", event.occurred_at);
        let (hour, minute) = match &self.at {
            Some(at) => clock(at)?,
            None if self.months + self.weeks + self.days > 0 => {
                let part = |part| Formula::parse(&format!("{from}.{part}()"))?.value(context);
                (part("hour")?.to_string(), part("minute")?.to_string())
            }
            None => return Formula::parse(&self.on_the_clock(from))?.value(context),
        };
        // The language's days have 24 hours. Noon stays on its day whatever the clocks do.
        let mut day = format!("{from}.startOf('day').add(12, 'hour')");
        for (count, unit) in [
            (self.months, "month"),
            (self.weeks, "week"),
            (self.days, "day"),
        ] {
            if count > 0 {
                day.push_str(&format!(".add({count}, '{unit}')"));
            }
        }
        day.push_str(".startOf('day')");
        let set = format!("{day}.set('hour', {hour}).set('minute', {minute})");
        let moment = Formula::parse(&self.on_the_clock(set))?.value(context)?;
        if !moment.is_null() {
            return Ok(moment);
        }
        // A time that the clocks jump over: as long after midnight as it would be.
        let after = format!("{day}.add({hour}, 'hour').add({minute}, 'minute')");
        Formula::parse(&self.on_the_clock(after))?.value(context)
    }

    fn on_the_clock(&self, mut source: String) -> String {
        for (count, unit) in [(self.hours, "hour"), (self.minutes, "minute")] {
            if count > 0 {
                source.push_str(&format!(".add({count}, '{unit}')"));
            }
        }
        source
    }
}

fn clock(at: &str) -> Result<(String, String), Failure> {
    let parts = at.split_once(':');
    let read = parts.and_then(|(hour, minute)| Some((hour.parse().ok()?, minute.parse().ok()?)));
    let valid = read.filter(|(hour, minute): &(u8, u8)| *hour < 24 && *minute < 60);
    valid
        .map(|(hour, minute)| (hour.to_string(), minute.to_string()))
        .ok_or_else(|| Failure::fail(format!("`{at}` is not a time of the day: write `09:00`")))
}
