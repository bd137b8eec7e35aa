//! What an action proposes. The host checks each against the model and the plugin's grant, and
//! commits all mutations of a run together or none.

use serde_json::Value;

use crate::event::Event;

/// A proposed change.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a mutation does nothing until it is returned"]
pub enum Mutation {
    /// A new record.
    Create { module: String, data: Value },
    /// A JSON merge patch (RFC 7396) of a record's data.
    Update {
        module: String,
        record_id: String,
        expected_version: Option<u64>,
        patch: Value,
    },
    /// The end of a record.
    Delete {
        module: String,
        record_id: String,
        expected_version: Option<u64>,
    },
    /// A record points to another through a relation of its module.
    Link(Link),
    /// It points there no longer.
    Unlink(Link),
    /// An entry on a record's timeline.
    Activity {
        module: String,
        record_id: String,
        kind: ActivityKind,
        title: String,
        body: Option<String>,
        /// For a task: until when, RFC 3339.
        due_at: Option<String>,
        /// For a task: whose it is, a user's id.
        assignee: Option<String>,
    },
    /// A record gets another owner.
    Assign {
        module: String,
        record_id: String,
        expected_version: Option<u64>,
        owner: String,
    },
}

/// From one record to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub module: String,
    pub record_id: String,
    /// The relation.
    pub field: String,
    pub target_id: String,
}

impl Mutation {
    /// A new record. Decimals and amounts in `data` are JSON strings.
    pub fn create(module: impl Into<String>, data: Value) -> Self {
        Self::Create {
            module: module.into(),
            data,
        }
    }

    /// A change to the event's own record: fields that `patch` leaves out stay, null clears one.
    pub fn update<T>(event: &Event<T>, patch: Value) -> Self {
        Self::update_record(&event.module, &event.record_id, patch)
    }

    /// A change to any record.
    pub fn update_record(
        module: impl Into<String>,
        record_id: impl Into<String>,
        patch: Value,
    ) -> Self {
        Self::Update {
            module: module.into(),
            record_id: record_id.into(),
            expected_version: None,
            patch,
        }
    }

    /// The end of a record.
    pub fn delete(module: impl Into<String>, record_id: impl Into<String>) -> Self {
        Self::Delete {
            module: module.into(),
            record_id: record_id.into(),
            expected_version: None,
        }
    }

    /// An entry on the timeline of the event's own record.
    pub fn activity<T>(event: &Event<T>, kind: ActivityKind, title: impl Into<String>) -> Self {
        Self::activity_on(&event.module, &event.record_id, kind, title)
    }

    /// An entry on the timeline of any record.
    pub fn activity_on(
        module: impl Into<String>,
        record_id: impl Into<String>,
        kind: ActivityKind,
        title: impl Into<String>,
    ) -> Self {
        Self::Activity {
            module: module.into(),
            record_id: record_id.into(),
            kind,
            title: title.into(),
            body: None,
            due_at: None,
            assignee: None,
        }
    }

    /// A task on the timeline of the event's own record.
    pub fn task<T>(event: &Event<T>, title: impl Into<String>) -> Self {
        Self::activity(event, ActivityKind::Task, title)
    }

    /// The event's own record points to another.
    pub fn link<T>(
        event: &Event<T>,
        field: impl Into<String>,
        target_id: impl Into<String>,
    ) -> Self {
        Self::Link(Link {
            module: event.module.clone(),
            record_id: event.record_id.clone(),
            field: field.into(),
            target_id: target_id.into(),
        })
    }

    /// The event's own record gets another owner.
    pub fn assign<T>(event: &Event<T>, owner: impl Into<String>) -> Self {
        Self::Assign {
            module: event.module.clone(),
            record_id: event.record_id.clone(),
            expected_version: None,
            owner: owner.into(),
        }
    }

    /// For a task: until when, RFC 3339. Others stay as they are.
    pub fn due_at(mut self, moment: impl Into<String>) -> Self {
        if let Self::Activity { due_at, .. } = &mut self {
            *due_at = Some(moment.into());
        }
        self
    }

    /// For a task: whose it is. Others stay as they are.
    pub fn for_user(mut self, user: impl Into<String>) -> Self {
        if let Self::Activity { assignee, .. } = &mut self {
            *assignee = Some(user.into());
        }
        self
    }

    /// For an activity: text below its title. Others stay as they are.
    pub fn with_body(mut self, text: impl Into<String>) -> Self {
        if let Self::Activity { body, .. } = &mut self {
            *body = Some(text.into());
        }
        self
    }

    /// For an update, a deletion or an assignment: refused unless the record still has this version. Leave it
    /// out where a later change brings an event of its own anyway. Others stay as they are.
    pub fn expecting(mut self, version: u64) -> Self {
        if let Self::Update {
            expected_version, ..
        }
        | Self::Delete {
            expected_version, ..
        }
        | Self::Assign {
            expected_version, ..
        } = &mut self
        {
            *expected_version = Some(version);
        }
        self
    }
}

/// What a timeline entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivityKind {
    Note,
    Call,
    Meeting,
    Email,
    Task,
    /// Something that no person did.
    System,
}

impl ActivityKind {
    /// The kind's name in the contract.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Call => "call",
            Self::Meeting => "meeting",
            Self::Email => "email",
            Self::Task => "task",
            Self::System => "system",
        }
    }
}
