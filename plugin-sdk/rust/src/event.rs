//! What an action is told about a committed change.

/// What a committed mutation did to its record. `T` is what the action reads of a record's data;
/// fields that it may not read are missing there, so anything but the plainest action wants
/// `Option`s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<T> {
    /// The event's own id.
    pub id: String,
    /// What happened.
    pub kind: EventKind,
    /// The kind of record: `patients`.
    pub module: String,
    /// Which record.
    pub record_id: String,
    /// The record's version after the change; the first is 1.
    pub record_version: u64,
    /// The record before, unless it was created.
    pub before: Option<T>,
    /// The record after, unless it was deleted.
    pub after: Option<T>,
    /// Keys of the fields whose value changed.
    pub changed_fields: Vec<String>,
    /// On whose behalf it happened.
    pub actor: Actor,
    /// 0 for what a person did, one more for each workflow run in between.
    pub depth: u32,
    /// When, in RFC 3339 and UTC. The only clock there is.
    pub occurred_at: String,
}

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    RecordCreated,
    RecordUpdated,
    RecordDeleted,
    RecordRestored,
}

impl EventKind {
    /// The kind's name in workflows: `record_created`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RecordCreated => "record_created",
            Self::RecordUpdated => "record_updated",
            Self::RecordDeleted => "record_deleted",
            Self::RecordRestored => "record_restored",
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
