//! Entries on timelines: which kinds there are, what each may say, and how it may change. Tasks
//! are planned and get done; everything else happened at some time and took a while. Nothing
//! here knows who may write to a timeline: that is [`crate::permission`]'s.

mod checks;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::definition::ActivityTypeDefinition;
use crate::limits::{LABEL_MAX_CHARACTERS, MODULE_MAX_ACTIVITY_TYPES};
use crate::model::Module;
use crate::names::{UserId, WorkflowSlug};
use crate::permission::Authority;
use crate::violation::Violations;
use checks::{check_body, check_minutes, check_title, moment, text, user};

const TASK: &str = "task";
const SYSTEM: &str = "system";
/// The kinds that every module has, in the order that people expect.
pub const BUILT_IN_KINDS: [&str; 6] = ["note", "call", "meeting", "email", TASK, SYSTEM];

/// What a timeline entry is about: one of [`BUILT_IN_KINDS`], or a type of the module's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActivityKind(WorkflowSlug);

impl ActivityKind {
    /// The kind's name in JSON and in the store.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it is planned, for somebody, and gets done.
    pub fn is_task(&self) -> bool {
        self.as_str() == TASK
    }

    /// Whether it is the host's and the plugins', and not for people to write or change.
    pub fn is_system(&self) -> bool {
        self.as_str() == SYSTEM
    }
}

impl std::str::FromStr for ActivityKind {
    type Err = crate::names::NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A timeline entry as it is asked for. Moments are RFC 3339.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewActivity {
    pub kind: String,
    pub title: String,
    #[serde(default)]
    pub body: Option<String>,
    /// Task: until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<String>,
    /// Task: who is to do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// All but tasks: when it happened; none: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
    /// All but tasks: how long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_minutes: Option<u32>,
}

/// A change of a timeline entry: what is left out stays, null takes a value away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActivityPatch {
    pub title: Option<Option<String>>,
    pub body: Option<Option<String>>,
    pub due_at: Option<Option<String>>,
    pub assignee: Option<Option<String>>,
    pub occurred_at: Option<Option<String>>,
    pub duration_minutes: Option<Option<u32>>,
    pub done: Option<bool>,
}

/// What a timeline entry says beside its kind, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ActivityContent {
    pub title: String,
    pub body: Option<String>,
    pub due_at: Option<DateTime<Utc>>,
    pub assignee: Option<UserId>,
    pub occurred_at: Option<DateTime<Utc>>,
    pub duration_minutes: Option<u32>,
}

impl NewActivity {
    /// An entry that says only what every kind can say, as plugins write it.
    ///
    /// # Errors
    /// Every violation that is one in any module, with pointers `/kind`, `/title`, `/body`.
    pub fn plain(kind: &str, title: &str, body: Option<&str>) -> Result<Self, Violations> {
        let activity = Self {
            kind: kind.to_owned(),
            title: title.trim().to_owned(),
            body: text(body.map(str::to_owned)),
            ..Self::default()
        };
        let mut violations = Violations::default();
        if let Err(error) = activity.kind.parse::<ActivityKind>() {
            violations.add("/kind".to_owned(), "enum", error.to_string());
        }
        check_title(&mut violations, &activity.title);
        check_body(&mut violations, activity.body.as_deref());
        violations.into_result().map(|()| activity)
    }

    /// Checks it for a record of this module.
    ///
    /// # Errors
    /// Every violation, with pointers such as `/kind`.
    pub fn check(
        &self,
        module: &Module,
        authority: Authority<'_>,
    ) -> Result<(ActivityKind, ActivityContent), Violations> {
        let mut violations = Violations::default();
        let by_person = matches!(authority, Authority::User(_));
        let known: Vec<&str> = module
            .activity_kinds()
            .filter(|kind| !(by_person && *kind == SYSTEM))
            .collect();
        let kind = known.contains(&self.kind.as_str());
        let kind = kind.then(|| self.kind.parse().ok()).flatten();
        if kind.is_none() {
            let message = format!("use one of: {}", known.join(", "));
            violations.add("/kind".to_owned(), "enum", message);
        }
        let patch = ActivityPatch {
            title: Some(Some(self.title.clone())),
            body: Some(self.body.clone()),
            due_at: self.due_at.clone().map(Some),
            assignee: self.assignee.clone().map(Some),
            occurred_at: self.occurred_at.clone().map(Some),
            duration_minutes: self.duration_minutes.map(Some),
            done: None,
        };
        let content = patch.apply(ActivityContent::default(), kind.as_ref(), &mut violations);
        match kind {
            Some(kind) if violations.is_empty() => Ok((kind, content)),
            _ => Err(violations),
        }
    }
}

impl ActivityPatch {
    /// What an entry of this kind says after the change.
    ///
    /// # Errors
    /// Every violation, with pointers such as `/due_at`.
    pub fn check(
        self,
        kind: &ActivityKind,
        content: ActivityContent,
    ) -> Result<ActivityContent, Violations> {
        let mut violations = Violations::default();
        let content = self.apply(content, Some(kind), &mut violations);
        violations.into_result().map(|()| content)
    }

    fn apply(
        self,
        mut content: ActivityContent,
        kind: Option<&ActivityKind>,
        violations: &mut Violations,
    ) -> ActivityContent {
        if let Some(kind) = kind {
            self.check_kind(kind, violations);
        }
        if let Some(title) = self.title {
            content.title = title.unwrap_or_default().trim().to_owned();
            check_title(violations, &content.title);
        }
        if let Some(body) = self.body {
            content.body = text(body);
            check_body(violations, content.body.as_deref());
        }
        if let Some(due_at) = self.due_at {
            content.due_at = moment(violations, "/due_at", due_at);
        }
        if let Some(assignee) = self.assignee {
            content.assignee = user(violations, assignee);
        }
        if let Some(occurred_at) = self.occurred_at {
            content.occurred_at = moment(violations, "/occurred_at", occurred_at);
        }
        if let Some(minutes) = self.duration_minutes {
            content.duration_minutes = minutes;
            check_minutes(violations, minutes);
        }
        content
    }

    /// Tasks are planned, the rest happened.
    fn check_kind(&self, kind: &ActivityKind, violations: &mut Violations) {
        fn is_set<T>(value: &Option<Option<T>>) -> bool {
            matches!(value, Some(Some(_)))
        }
        let of_tasks = [
            ("/due_at", is_set(&self.due_at)),
            ("/assignee", is_set(&self.assignee)),
            ("/done", self.done.is_some()),
        ];
        let of_others = [
            ("/occurred_at", is_set(&self.occurred_at)),
            ("/duration_minutes", is_set(&self.duration_minutes)),
        ];
        let (foreign, message) = if kind.is_task() {
            (of_others.as_slice(), "a task has none: leave it out")
        } else {
            (of_tasks.as_slice(), "only a task has this: leave it out")
        };
        for (pointer, _) in foreign.iter().filter(|(_, is_set)| *is_set) {
            violations.add((*pointer).to_owned(), "kind", message);
        }
    }
}

impl Module {
    /// The kinds of timeline entries of its records: the built-in ones, then its own.
    pub fn activity_kinds(&self) -> impl Iterator<Item = &str> {
        let own = self.definition().activity_types.iter();
        let own = own.map(|activity_type| activity_type.slug.as_str());
        BUILT_IN_KINDS.into_iter().chain(own)
    }
}

/// Checks a module's own types.
pub(crate) fn check_types(types: &[ActivityTypeDefinition]) -> Result<(), String> {
    if types.len() > MODULE_MAX_ACTIVITY_TYPES {
        return Err(format!(
            "activity_types has at most {MODULE_MAX_ACTIVITY_TYPES} types"
        ));
    }
    for (index, one) in types.iter().enumerate() {
        let slug = one.slug.as_str();
        let is_taken = BUILT_IN_KINDS.contains(&slug)
            || types.iter().take(index).any(|other| other.slug == one.slug);
        if is_taken {
            return Err(format!("activity_types: there is a “{slug}” already"));
        }
        let length = one.label.trim().chars().count();
        if length == 0 || length > LABEL_MAX_CHARACTERS {
            return Err(format!(
                "activity_types: the label of “{slug}” has 1 to {LABEL_MAX_CHARACTERS} characters"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
