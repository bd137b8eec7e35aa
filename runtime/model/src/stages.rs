//! Pipelines: which selects are one, and how long a record stood in each of their stages, from
//! its history alone. Time in the trash counts for no stage. Reads no clock: what still lasts
//! has no end.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::Data;
use crate::choices::is_pipeline;
use crate::definition::FieldDefinition;
use crate::event::EventKind;
use crate::model::Module;
use crate::names::FieldKey;

/// What a change of a record says of its stages.
#[derive(Clone, Debug, PartialEq)]
pub struct StageChange {
    pub kind: EventKind,
    pub at: DateTime<Utc>,
    /// Changed fields: what they were.
    pub before: Data,
    /// Changed fields: what they became.
    pub after: Data,
}

/// Some time that a record stood in a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    pub field: FieldKey,
    /// The option's value.
    pub stage: String,
    pub entered_at: DateTime<Utc>,
    /// None: it stands there now.
    pub left_at: Option<DateTime<Utc>>,
}

impl Module {
    /// The fields that are pipelines, in order.
    pub fn pipelines(&self) -> impl Iterator<Item = &FieldDefinition> {
        let fields = self.definition().fields.iter();
        fields.filter(|field| !field.retired && is_pipeline(field))
    }
}

/// How long the record stood where, from its changes, oldest first: the first stay first.
pub fn stays(field: &FieldKey, changes: &[StageChange]) -> Vec<Stay> {
    let mut stays: Vec<Stay> = Vec::new();
    let mut current: Option<String> = None;
    // Nothing changes in the trash: it comes back to where it stood.
    let mut held: Option<String> = None;
    for change in changes {
        let key = field.as_str();
        let text = |data: &Data| data.get(key).and_then(Value::as_str).map(str::to_owned);
        let stage = match change.kind {
            EventKind::RecordDeleted => {
                held = text(&change.before);
                None
            }
            EventKind::RecordRestored => held.take(),
            EventKind::RecordCreated => text(&change.after),
            EventKind::RecordUpdated
                if change.before.contains_key(key) || change.after.contains_key(key) =>
            {
                text(&change.after)
            }
            // The others change no record.
            _ => continue,
        };
        if stage == current {
            continue;
        }
        if let Some(last) = stays.last_mut().filter(|_| current.is_some()) {
            last.left_at = Some(change.at);
        }
        if let Some(stage) = &stage {
            stays.push(Stay {
                field: field.clone(),
                stage: stage.clone(),
                entered_at: change.at,
                left_at: None,
            });
        }
        current = stage;
    }
    stays
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn change(kind: EventKind, second: i64, before: Value, after: Value) -> StageChange {
        StageChange {
            kind,
            at: DateTime::from_timestamp(second, 0).unwrap(),
            before: serde_json::from_value(before).unwrap(),
            after: serde_json::from_value(after).unwrap(),
        }
    }

    fn seconds(changes: &[StageChange]) -> Vec<(String, i64, Option<i64>)> {
        let stays = stays(&"stage".parse().unwrap(), changes).into_iter();
        let seconds = |stay: Stay| {
            let left = stay.left_at.map(|left| left.timestamp());
            (stay.stage, stay.entered_at.timestamp(), left)
        };
        stays.map(seconds).collect()
    }

    #[test]
    fn a_stay_ends_where_the_next_begins() {
        use EventKind::{RecordCreated, RecordDeleted, RecordRestored, RecordUpdated};
        let new = json!({"stage": "new", "name": "a"});
        let won = json!({"stage": "won"});
        let changes = [
            change(RecordCreated, 10, json!({}), new),
            change(
                RecordUpdated,
                20,
                json!({"name": "a"}),
                json!({"name": "b"}),
            ),
            change(RecordUpdated, 30, json!({"stage": "new"}), won.clone()),
            change(RecordDeleted, 40, won.clone(), json!({})),
            change(RecordRestored, 50, json!({}), json!({})),
            change(RecordUpdated, 60, won, json!({})),
            change(RecordUpdated, 70, json!({}), json!({"stage": "new"})),
        ];
        assert_eq!(
            seconds(&changes),
            [
                ("new".to_owned(), 10, Some(30)),
                ("won".to_owned(), 30, Some(40)),
                ("won".to_owned(), 50, Some(60)),
                ("new".to_owned(), 70, None),
            ]
        );
    }

    #[test]
    fn a_select_with_stages_is_a_pipeline() {
        let field = |option: Value| -> FieldDefinition {
            serde_json::from_value(json!({
                "key": "stage", "label": "Stage", "type": "select", "options": [option],
            }))
            .unwrap()
        };
        assert!(!is_pipeline(&field(json!({"value": "a", "label": "A"}))));
        for attribute in [
            json!({"probability": 0}),
            json!({"transitions": []}),
            json!({"required_fields": ["x"]}),
        ] {
            let mut option = json!({"value": "a", "label": "A"});
            let attribute = attribute.as_object().unwrap().clone();
            option.as_object_mut().unwrap().extend(attribute);
            let pipeline = field(option);
            assert!(is_pipeline(&pipeline));
        }
    }
}
