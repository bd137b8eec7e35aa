//! The event that an action is told of.

use crm_model::flow::{Action, Place};
use crm_model::validate::Base;
use crm_model::{Data, Event, EventKind, RecordId};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Where a run stands, as far as its next action is told of it.
pub(super) struct Standing<'e, 's> {
    /// What started it.
    pub(super) event: &'e Event,
    pub(super) place: &'s Place,
    /// The event's record as it stands; none where it is gone.
    pub(super) current: Option<&'s Base>,
    /// Records that loops are at; none where one is gone.
    pub(super) items: &'s BTreeMap<RecordId, Option<Data>>,
    pub(super) versions: &'s BTreeMap<RecordId, i64>,
}

impl<'e> Standing<'e, '_> {
    /// What started the run, and after the first step with the record as it stands by now; within a
    /// loop, that the action was called for that record. None where the record is gone.
    pub(super) fn told(&self, action: &Action, item: Option<RecordId>) -> Option<Cow<'e, Event>> {
        let Some(item) = item else {
            let Some(current) = self.current.filter(|_| self.place.steps() > 0) else {
                return Some(Cow::Borrowed(self.event));
            };
            return Some(Cow::Owned(Event {
                after: Some(current.data.clone()),
                record_version: current.version,
                payload: Some(self.payload()),
                ..self.event.clone()
            }));
        };
        let data = self.items.get(&item)?.clone()?;
        Some(Cow::Owned(Event {
            kind: EventKind::Called,
            module: action.module.clone()?,
            record_id: item,
            record_version: self.versions.get(&item).copied()?,
            before: None,
            after: Some(data),
            changed_fields: Vec::new(),
            payload: Some(self.payload()),
            ..self.event.clone()
        }))
    }

    /// What came with the event, and beside it how the steps before ended and which records they
    /// made. Not what they set: the record shows that, as far as who is told may see it.
    fn payload(&self) -> Value {
        let mut payload = match &self.event.payload {
            Some(Value::Object(members)) => members.clone(),
            _ => Data::new(),
        };
        payload.insert("steps".to_owned(), self.place.made());
        Value::Object(payload)
    }
}
