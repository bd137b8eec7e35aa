//! Ids of stored things: UUIDs, each of its own type. Nothing here makes a new one: fresh ids
//! (version 7, so that they sort by time) come in from the engine.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that the engine made or the store read.
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// The UUID, for the store.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }
    };
}

uuid_id! {
    /// A company that uses the CRM; every stored row belongs to exactly one.
    TenantId
}
uuid_id! {
    /// One row of a module.
    RecordId
}
uuid_id! {
    /// What a committed mutation left behind.
    EventId
}
uuid_id! {
    /// A unit of work in the queue: one workflow, or the template's `after-event`, started by one
    /// event. Seen by clients as a run.
    JobId
}
uuid_id! {
    /// One entry of the audit log.
    AuditId
}
uuid_id! {
    /// One attempt at a job, as the run log keeps it.
    RunId
}
uuid_id! {
    /// A failure of a template's `before-save`, as it was recorded.
    HookFailureId
}
uuid_id! {
    /// An entry on a record's timeline.
    ActivityId
}
uuid_id! {
    /// A key for programs.
    ApiKeyId
}
uuid_id! {
    /// Somebody who logs in here, with a password.
    LocalUserId
}
uuid_id! {
    /// A saved view of a module's records.
    ViewId
}
uuid_id! {
    /// Long work that a request asked for.
    TaskId
}
uuid_id! {
    /// A file that somebody imports.
    ImportId
}
