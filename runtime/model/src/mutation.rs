//! A proposed change to one record. Everything that changes a record is one: an API call, an
//! import row, a plugin's answer.

use serde::{Deserialize, Serialize};

use crate::Data;
use crate::ids::RecordId;
use crate::limits::{ACTIVITY_BODY_MAX_CHARACTERS, ACTIVITY_TITLE_MAX_CHARACTERS};
use crate::names::ModuleSlug;
use crate::violation::Violations;

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
            | Self::Restore { record_id, .. }
            | Self::Purge { record_id, .. }
            | Self::Activity { record_id, .. } => Some(*record_id),
        }
    }
}

/// What a timeline entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivityKind {
    Note,
    Call,
    Meeting,
    Email,
    Task,
    System,
}

impl ActivityKind {
    /// All kinds, in the order that people expect.
    pub const ALL: [Self; 6] = [
        Self::Note,
        Self::Call,
        Self::Meeting,
        Self::Email,
        Self::Task,
        Self::System,
    ];

    /// The kind's name in JSON and in the store.
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

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A timeline entry that passed its checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewActivity {
    kind: ActivityKind,
    title: String,
    body: Option<String>,
}

impl NewActivity {
    /// Checks kind, title and body.
    ///
    /// # Errors
    /// Every violation, with pointers `/kind`, `/title`, `/body`.
    pub fn new(kind: &str, title: &str, body: Option<&str>) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let parsed = ActivityKind::from_name(kind);
        if parsed.is_none() {
            let known = ActivityKind::ALL.map(ActivityKind::name).join(", ");
            violations.add("/kind".to_owned(), "enum", format!("use one of: {known}"));
        }
        let title = title.trim();
        let body = body.map(str::trim).filter(|body| !body.is_empty());
        if title.is_empty() {
            violations.add("/title".to_owned(), "required", "a title is needed");
        }
        check_text(
            &mut violations,
            "/title",
            title,
            ACTIVITY_TITLE_MAX_CHARACTERS,
        );
        check_text(
            &mut violations,
            "/body",
            body.unwrap_or(""),
            ACTIVITY_BODY_MAX_CHARACTERS,
        );
        match parsed {
            Some(kind) if violations.is_empty() => Ok(Self {
                kind,
                title: title.to_owned(),
                body: body.map(str::to_owned),
            }),
            _ => Err(violations),
        }
    }

    /// What the entry is about.
    pub fn kind(&self) -> ActivityKind {
        self.kind
    }

    /// One line.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// As much text as needed.
    pub fn body(&self) -> Option<&str> {
        self.body.as_deref()
    }
}

fn check_text(violations: &mut Violations, pointer: &str, text: &str, max_characters: usize) {
    if text.chars().count() > max_characters {
        violations.add(
            pointer.to_owned(),
            "max_length",
            format!("is longer than {max_characters} characters"),
        );
    }
    if text.contains('\0') {
        violations.add(pointer.to_owned(), "characters", "holds a NUL character");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_violation_of_an_activity_is_listed() {
        let long = "x".repeat(ACTIVITY_BODY_MAX_CHARACTERS + 1);
        let violations = NewActivity::new("party", " ", Some(&long)).unwrap_err();
        let pointers: Vec<&str> = violations
            .as_slice()
            .iter()
            .map(|violation| violation.pointer.as_str())
            .collect();
        assert_eq!(pointers, ["/kind", "/title", "/body"]);
    }

    #[test]
    fn a_title_at_the_limit_is_accepted() {
        let at = "x".repeat(ACTIVITY_TITLE_MAX_CHARACTERS);
        assert!(NewActivity::new("note", &at, None).is_ok());
        assert!(NewActivity::new("note", &format!("{at}x"), None).is_err());
    }
}
