//! What followed on what, how often and after how long.

use crm_plugin_sdk::Failure;
use std::collections::BTreeMap;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::history::{Step, moment};

const SMALL: [&str; 13] = [
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve",
];

/// What to do next, and on what that rests.
#[derive(Debug)]
pub(crate) struct Suggestion {
    kind: String,
    /// What it follows on, and when that was.
    last: Step,
    /// The median.
    after_days: i64,
    times: usize,
    out_of: usize,
    basis: String,
}

impl Suggestion {
    /// What mostly followed on the last step's kind, if that happened so many times. Of two that
    /// happened as often it is the one that comes sooner, then the first in the alphabet.
    pub(crate) fn out_of<'a>(
        histories: impl Iterator<Item = &'a [Step]>,
        last: &Step,
        minimum: usize,
        basis: String,
    ) -> Option<Self> {
        let mut followed: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for steps in histories {
            for (one, next) in steps.iter().zip(steps.iter().skip(1)) {
                if one.kind == last.kind {
                    let days = (next.at - one.at).whole_days();
                    followed.entry(&next.kind).or_default().push(days);
                }
            }
        }
        let out_of = followed.values().map(Vec::len).sum();
        let candidates = followed.into_iter().map(|(kind, mut days)| {
            days.sort_unstable();
            let median = days.get(days.len() / 2).copied().unwrap_or_default();
            (kind, days.len(), median)
        });
        let (kind, times, after_days) = candidates
            .min_by_key(|(_, times, median)| (std::cmp::Reverse(*times), *median))
            .filter(|(_, times, _)| *times >= minimum.max(1))?;
        Some(Self {
            kind: kind.to_owned(),
            last: last.clone(),
            after_days,
            times,
            out_of,
            basis,
        })
    }

    /// `Schedule “follow-up” three months after “check-up” of 2026-01-05`.
    pub(crate) fn text(&self) -> String {
        format!(
            "Schedule “{}” {} after “{}” of {}",
            self.kind,
            span(self.after_days),
            self.last.kind,
            self.last.at.date()
        )
    }

    /// On what it rests.
    pub(crate) fn reason(&self) -> String {
        format!(
            "“{}” was followed by “{}” {} out of {} times, at the median {} days later; seen in {}.",
            self.last.kind, self.kind, self.times, self.out_of, self.after_days, self.basis
        )
    }

    /// When it is due, RFC 3339; not before the event.
    pub(crate) fn due(&self, now: &str) -> Result<String, Failure> {
        let due = self.last.at.checked_add(Duration::days(self.after_days));
        let due = due.zip(moment(now)).map(|(due, now)| due.max(now));
        let text = due.and_then(|due: OffsetDateTime| due.format(&Rfc3339).ok());
        text.ok_or_else(|| Failure::fail("the suggestion's time is out of range"))
    }
}

/// A number of days as people say it.
fn span(days: i64) -> String {
    let (count, unit) = match days {
        ..14 => (days, "day"),
        14..60 => ((days + 3) / 7, "week"),
        // A month of the average year, in hundredths of a day.
        60..720 => ((days * 100 + 1522) / 3044, "month"),
        _ => ((days * 100 + 18_262) / 36_525, "year"),
    };
    let word = usize::try_from(count)
        .ok()
        .and_then(|small| SMALL.get(small));
    let word = word.map_or_else(|| count.to_string(), |word| (*word).to_owned());
    match count {
        0 => "at once".to_owned(),
        1 => format!("{word} {unit}"),
        _ => format!("{word} {unit}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_as_people_do() {
        for (days, said) in [
            (0, "at once"),
            (1, "one day"),
            (13, "13 days"),
            (14, "two weeks"),
            (59, "eight weeks"),
            (60, "two months"),
            (91, "three months"),
            (183, "six months"),
            (365, "twelve months"),
            (730, "two years"),
        ] {
            assert_eq!(span(days), said, "{days}");
        }
    }
}
