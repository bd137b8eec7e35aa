//! What was done with records, and when.

use crm_actions::{Record, put};
use crm_plugin_sdk::{Failure, json, records};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use time::format_description::well_known::{Iso8601, Rfc3339};
use time::{Date, OffsetDateTime};

/// Steps of one page.
const PAGE: usize = 200;
/// Pages that are read; what is older does not count.
const MAX_PAGES: usize = 5;

/// Where the history is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct History {
    module: String,
    /// The field in which a step points to its record.
    pub(crate) inverse: String,
    /// The field that says what was done; without it all steps are the same.
    kind: Option<String>,
    /// The field that says when, a date or a moment.
    at: String,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) kind: String,
    pub(crate) at: OffsetDateTime,
}

impl History {
    /// Record → its steps, the first one first.
    pub(crate) fn of(&self, ids: &[String]) -> Result<BTreeMap<String, Vec<Step>>, Failure> {
        let filter = json!({ "field": self.inverse, "op": "in", "value": ids });
        let sort = format!("-{}", self.at);
        let mut query = json!({ "filter": filter, "sort": sort, "limit": PAGE });
        let mut histories: BTreeMap<String, Vec<Step>> = BTreeMap::new();
        for _ in 0..MAX_PAGES {
            let page = records::query::<Record>(&self.module, query.clone())?;
            for found in page.records {
                let record = found.data.get(&self.inverse).and_then(Value::as_str);
                let record = record.filter(|id| ids.iter().any(|known| known == id));
                if let (Some(record), Some(step)) = (record, self.step(&found.data)) {
                    histories.entry(record.to_owned()).or_default().push(step);
                }
            }
            match page.next_cursor {
                Some(cursor) => put(&mut query, "cursor", json!(cursor)),
                None => break,
            }
        }
        for steps in histories.values_mut() {
            steps.sort_by(|one, other| (one.at, &one.kind).cmp(&(other.at, &other.kind)));
        }
        Ok(histories)
    }

    fn step(&self, data: &Record) -> Option<Step> {
        let kind = match &self.kind {
            Some(field) => data.get(field)?.as_str()?.to_owned(),
            None => self.module.clone(),
        };
        let at = moment(data.get(&self.at)?.as_str()?)?;
        Some(Step { kind, at })
    }
}

/// A moment, or the beginning of a day.
pub(crate) fn moment(text: &str) -> Option<OffsetDateTime> {
    let day = || Date::parse(text, &Iso8601::DATE).ok();
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .or_else(|| day().map(|day| day.midnight().assume_utc()))
}
