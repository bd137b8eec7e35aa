//! An event on its way into a guest: its record data as JSON text, its ids and time as text.

use chrono::SecondsFormat;
use crm_model::{Event, EventKind, FieldKey, RoleSlug};
use uuid::fmt::Hyphenated;

use crate::contract::bindings::action::crm::plugin::types as wit;

/// The text that a guest's event borrows.
pub(crate) struct EventText<'a> {
    event: &'a Event,
    id: [u8; Hyphenated::LENGTH],
    record_id: [u8; Hyphenated::LENGTH],
    before: Option<String>,
    after: Option<String>,
    occurred_at: String,
    changed_fields: Vec<&'a str>,
    roles: Vec<&'a str>,
}

impl<'a> EventText<'a> {
    /// Writes the event's data as JSON, once.
    pub(crate) fn new(event: &'a Event) -> Result<Self, serde_json::Error> {
        let mut text = Self {
            event,
            id: [0; Hyphenated::LENGTH],
            record_id: [0; Hyphenated::LENGTH],
            before: event
                .before
                .as_ref()
                .map(serde_json::to_string)
                .transpose()?,
            after: event
                .after
                .as_ref()
                .map(serde_json::to_string)
                .transpose()?,
            occurred_at: event
                .occurred_at
                .to_rfc3339_opts(SecondsFormat::AutoSi, true),
            changed_fields: event.changed_fields.iter().map(FieldKey::as_str).collect(),
            roles: event.actor.roles.iter().map(RoleSlug::as_str).collect(),
        };
        event.id.uuid().hyphenated().encode_lower(&mut text.id);
        event
            .record_id
            .uuid()
            .hyphenated()
            .encode_lower(&mut text.record_id);
        Ok(text)
    }

    /// The event as the contract has it.
    pub(crate) fn lower(&self) -> wit::Event<'_> {
        wit::Event {
            id: ascii(&self.id),
            kind: match self.event.kind {
                EventKind::RecordCreated => wit::EventKind::RecordCreated,
                EventKind::RecordUpdated => wit::EventKind::RecordUpdated,
                EventKind::RecordDeleted => wit::EventKind::RecordDeleted,
                EventKind::RecordRestored => wit::EventKind::RecordRestored,
            },
            module: self.event.module.as_str(),
            record_id: ascii(&self.record_id),
            record_version: self.event.record_version.unsigned_abs(),
            before: self.before.as_ref(),
            after: self.after.as_ref(),
            changed_fields: &self.changed_fields,
            actor: wit::Actor {
                user_id: self.event.actor.user_id.as_str(),
                roles: &self.roles,
            },
            depth: self.event.depth,
            occurred_at: &self.occurred_at,
        }
    }
}

/// A UUID's digits are ASCII.
fn ascii(digits: &[u8]) -> &str {
    std::str::from_utf8(digits).unwrap_or_default()
}
