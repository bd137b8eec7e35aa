//! What a committed mutation leaves behind.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use uuid::Uuid;

use crate::Data;
use crate::capability::Grant;
use crate::ids::{EventId, JobId, RecordId};
use crate::names::{FieldKey, ModuleSlug, PluginName};
use crate::permission::Actor;
use crate::run_source::RunSource;
use crate::sight::Sight;

/// What happened to the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    RecordCreated,
    RecordUpdated,
    RecordDeleted,
    RecordRestored,
    /// The answer to an HTTP request that a plugin asked for.
    AnswerReceived,
    /// A time that was scheduled.
    TimeReached,
    /// A person started it.
    StartedByHand,
    /// A request from outside.
    RequestReceived,
    /// Another workflow started it.
    Called,
    /// A mail service told of a mail that a run had sent.
    MailFeedback,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::RecordCreated,
        Self::RecordUpdated,
        Self::RecordDeleted,
        Self::RecordRestored,
        Self::AnswerReceived,
        Self::TimeReached,
        Self::StartedByHand,
        Self::RequestReceived,
        Self::Called,
        Self::MailFeedback,
    ];

    /// Whether nobody stands behind it who is known here.
    pub const fn is_of_no_person(self) -> bool {
        matches!(
            self,
            Self::TimeReached | Self::RequestReceived | Self::MailFeedback
        )
    }

    /// The kind's name in JSON and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RecordCreated => "record_created",
            Self::RecordUpdated => "record_updated",
            Self::RecordDeleted => "record_deleted",
            Self::RecordRestored => "record_restored",
            Self::AnswerReceived => "answer_received",
            Self::TimeReached => "time_reached",
            Self::StartedByHand => "started_by_hand",
            Self::RequestReceived => "request_received",
            Self::Called => "called",
            Self::MailFeedback => "mail_feedback",
        }
    }
}

/// Why a change was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// A person, through the API.
    User,
    /// A file that a person imported.
    Import { import: Uuid },
    /// The host: rollups, formulas and references that follow another change.
    System,
    /// A run of a workflow, or of the template's `after-event`, on that person's behalf.
    Workflow {
        workflow: RunSource,
        run: JobId,
        plugin: PluginName,
        plugin_version: String,
        /// The runs that led to the event that this one ran on, the first one first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        chain: Vec<CauseLink>,
        /// The event that this one ran on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        event: Option<CausingEvent>,
    },
}

/// An event that a run was for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CausingEvent {
    pub id: EventId,
    pub record_id: RecordId,
}

/// One run in the chain that led to an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CauseLink {
    /// What it ran on.
    pub event: CausingEvent,
    pub workflow: RunSource,
    pub plugin: PluginName,
    pub run: JobId,
}

impl Cause {
    /// The runs that led here, the first one first.
    pub fn chain(&self) -> Vec<CauseLink> {
        let Self::Workflow {
            workflow,
            run,
            plugin,
            chain,
            event,
            ..
        } = self
        else {
            return Vec::new();
        };
        let last = event.clone().map(|event| CauseLink {
            event,
            workflow: workflow.clone(),
            plugin: plugin.clone(),
            run: *run,
        });
        chain.iter().cloned().chain(last).collect()
    }
}

/// A change that was committed: what the record was, what it became, who caused it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    pub kind: EventKind,
    pub module: ModuleSlug,
    pub record_id: RecordId,
    /// The record's version after the change; the first is 1.
    pub record_version: i64,
    pub before: Option<Data>,
    pub after: Option<Data>,
    pub changed_fields: Vec<FieldKey>,
    /// What came with events that are of more than a record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<serde_json::Value>,
    pub actor: Actor,
    pub cause: Cause,
    /// 0 for what a person did, one more for each workflow run in between.
    pub depth: u32,
    pub occurred_at: DateTime<Utc>,
}

impl Event {
    /// The event as a plugin may see it: only fields that its grant lets it read, of what the
    /// person on whose behalf it runs sees.
    pub fn visible_to(&self, grant: &Grant, sight: &Sight<'_>) -> Self {
        let is_seen = |field: &FieldKey| sight.field(field.as_str()).is_some();
        self.cut(grant, |data| sight.show(data), is_seen)
    }

    /// The event with no other fields than a grant lets a plugin read, whoever the person is.
    pub fn granted(&self, grant: &Grant) -> Self {
        self.cut(grant, Cow::Borrowed, |_| true)
    }

    fn cut<'a>(
        &'a self,
        grant: &Grant,
        show: impl Fn(&'a Data) -> Cow<'a, Data>,
        is_seen: impl Fn(&FieldKey) -> bool,
    ) -> Self {
        let may_read = |field: &str| grant.may_read(self.module.as_str(), field);
        let visible = |data: &'a Data| -> Data {
            show(data)
                .iter()
                .filter(|(field, _)| may_read(field))
                .map(|(field, value)| (field.clone(), value.clone()))
                .collect()
        };
        Self {
            before: self.before.as_ref().map(visible),
            after: self.after.as_ref().map(visible),
            changed_fields: self
                .changed_fields
                .iter()
                .filter(|field| may_read(field.as_str()) && is_seen(field))
                .cloned()
                .collect(),
            ..self.clone()
        }
    }

    /// What a run for this event is as a cause.
    pub fn cause_of(
        &self,
        run: JobId,
        workflow: RunSource,
        (plugin, version): (PluginName, &semver::Version),
    ) -> Cause {
        Cause::Workflow {
            workflow,
            run,
            plugin,
            plugin_version: version.to_string(),
            chain: self.cause.chain(),
            event: Some(CausingEvent {
                id: self.id,
                record_id: self.record_id,
            }),
        }
    }

    /// What expressions see: `event`, `before`, `after`, `actor`.
    pub fn expression_context(&self) -> serde_json::Value {
        serde_json::json!({
            "event": {
                "kind": self.kind,
                "module": self.module,
                "record_id": self.record_id,
                "changed_fields": self.changed_fields,
                "depth": self.depth,
                "occurred_at": self.occurred_at,
            },
            "before": self.before,
            "after": self.after,
            "payload": self.payload,
            "actor": self.actor,
        })
    }
}
