//! What a plugin is told.

use serde_json::Value;

/// Why the plugin is called, most often what a committed mutation did to its record. `T` is what
/// the action reads of a record's data; fields that it may not read are missing there, so
/// anything but the plainest action wants `Option`s.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event<T> {
    /// The event's own id.
    pub id: String,
    /// What happened.
    pub kind: EventKind,
    /// The kind of record: `patients`.
    pub module: String,
    /// Which record; empty where the event is of none.
    pub record_id: String,
    /// The record's version after the change; the first is 1, and 0 is of no record.
    pub record_version: u64,
    /// The record before, unless it was created.
    pub before: Option<T>,
    /// The record after, unless it was deleted.
    pub after: Option<T>,
    /// Keys of the fields whose value changed.
    pub changed_fields: Vec<String>,
    /// What came with events that are of more than a record: answers, schedules, requests.
    pub payload: Option<Value>,
    /// On whose behalf it happened.
    pub actor: Actor,
    /// The runs that led here, the first one first.
    pub causes: Vec<CauseLink>,
    /// 0 for what a person did, one more for each workflow run in between.
    pub depth: u32,
    /// When, in RFC 3339 and UTC. The only clock there is.
    pub occurred_at: String,
    /// The tenant's time zone: `Europe/Berlin`.
    pub zone: String,
    /// The tenant's language: `de`.
    pub locale: String,
    /// The same for every attempt at the same work, and for no other.
    pub idempotency_key: String,
    /// The same for every attempt at the same work: where chance is wanted, start from here.
    pub seed: u64,
}

/// One run in the chain that led to an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CauseLink {
    pub event_id: String,
    pub workflow: String,
    pub plugin: String,
    pub run_id: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventKind {
    #[default]
    RecordCreated,
    RecordUpdated,
    RecordDeleted,
    RecordRestored,
    /// The answer to an HTTP request that this plugin asked for.
    AnswerReceived,
    /// A time that was scheduled.
    TimeReached,
    /// A person started it.
    StartedByHand,
    /// A request from outside.
    RequestReceived,
    /// Another workflow started it.
    Called,
}

impl EventKind {
    /// The kind's name in workflows: `record_created`.
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
        }
    }
}

/// A person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// The login's name for the person.
    pub user_id: String,
    /// Slugs of the person's roles.
    pub roles: Vec<String>,
}
