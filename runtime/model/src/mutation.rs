//! A proposed change to one record. Everything that changes a record is one: an API call, an
//! import row, a plugin's answer.

use serde::{Deserialize, Serialize};

use crate::Data;
use crate::activity::NewActivity;
use crate::ids::RecordId;
use crate::names::{FieldKey, ModuleSlug, UserId};

/// A proposed change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Mutation {
    /// A new record.
    Create { module: ModuleSlug, data: Data },
    /// A JSON merge patch (RFC 7396) of a record's data.
    Update {
        module: ModuleSlug,
        record_id: RecordId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected_version: Option<i64>,
        patch: Data,
    },
    /// New data in place of all the old.
    Replace {
        module: ModuleSlug,
        record_id: RecordId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected_version: Option<i64>,
        data: Data,
    },
    /// The record is hidden from then on; its history stays.
    Delete {
        module: ModuleSlug,
        record_id: RecordId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected_version: Option<i64>,
    },
    /// The record belongs to somebody else from then on.
    Assign {
        module: ModuleSlug,
        record_id: RecordId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected_version: Option<i64>,
        owner: UserId,
    },
    /// The record points to others through one of its relations from then on.
    Link {
        module: ModuleSlug,
        record_id: RecordId,
        field: FieldKey,
        targets: Vec<RecordId>,
    },
    /// It points there no longer.
    Unlink {
        module: ModuleSlug,
        record_id: RecordId,
        field: FieldKey,
        targets: Vec<RecordId>,
    },
    /// A deleted record comes back.
    Restore {
        module: ModuleSlug,
        record_id: RecordId,
    },
    /// A record, deleted or not, is gone for good, with its history and its timeline.
    Purge {
        module: ModuleSlug,
        record_id: RecordId,
    },
    /// An entry on a record's timeline.
    Activity {
        module: ModuleSlug,
        record_id: RecordId,
        activity: NewActivity,
    },
}

impl Mutation {
    /// The module that it wants to change.
    pub fn module(&self) -> &ModuleSlug {
        match self {
            Self::Create { module, .. }
            | Self::Update { module, .. }
            | Self::Replace { module, .. }
            | Self::Delete { module, .. }
            | Self::Assign { module, .. }
            | Self::Link { module, .. }
            | Self::Unlink { module, .. }
            | Self::Restore { module, .. }
            | Self::Purge { module, .. }
            | Self::Activity { module, .. } => module,
        }
    }

    /// The record that it wants to change; none for a new one.
    pub fn record_id(&self) -> Option<RecordId> {
        match self {
            Self::Create { .. } => None,
            Self::Update { record_id, .. }
            | Self::Replace { record_id, .. }
            | Self::Delete { record_id, .. }
            | Self::Assign { record_id, .. }
            | Self::Link { record_id, .. }
            | Self::Unlink { record_id, .. }
            | Self::Restore { record_id, .. }
            | Self::Purge { record_id, .. }
            | Self::Activity { record_id, .. } => Some(*record_id),
        }
    }
}
