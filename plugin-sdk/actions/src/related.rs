//! Records that the event's record points to, and those that point to it.

use crm_plugin_sdk::{Event, Failure, json, records};
use serde::Deserialize;
use serde_json::Value;

use crate::context::{Record, current};

/// Records of one page, and the most that one run changes.
const MAX_RECORDS: usize = 50;

/// How records are related to the event's.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// The event's record points to them in that field of its own.
    Via(String),
    /// They point to the event's record in that field of theirs.
    Inverse(String),
}

/// Where related records are.
#[derive(Clone, Debug, Deserialize)]
pub struct Related {
    /// Their module.
    pub module: String,
    #[serde(flatten)]
    pub relation: Relation,
}

impl Related {
    /// The related records.
    ///
    /// # Errors
    /// Skips where the event's record is gone; fails where there are more than a run changes, and
    /// where the host does not answer.
    pub fn find(&self, event: &Event<Record>) -> Result<Vec<records::Found<Record>>, Failure> {
        let found = match &self.relation {
            Relation::Via(field) => self.pointed_to(current(event)?.get(field))?,
            Relation::Inverse(field) => {
                let filter = json!({ "field": field, "op": "eq", "value": event.record_id });
                let query = json!({ "filter": filter, "limit": MAX_RECORDS });
                let page = records::query(&self.module, query)?;
                if page.next_cursor.is_some() {
                    return Err(self.too_many());
                }
                page.records
            }
        };
        Ok(found)
    }

    fn pointed_to(&self, value: Option<&Value>) -> Result<Vec<records::Found<Record>>, Failure> {
        let ids: Vec<&str> = match value {
            Some(Value::String(id)) => vec![id],
            Some(Value::Array(ids)) => ids.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if ids.len() > MAX_RECORDS {
            return Err(self.too_many());
        }
        let mut found = Vec::new();
        for id in ids {
            found.extend(records::get(&self.module, id)?);
        }
        Ok(found)
    }

    fn too_many(&self) -> Failure {
        Failure::fail(format!(
            "more than {MAX_RECORDS} records of `{}` are related; one run does not change so many",
            self.module
        ))
    }
}
