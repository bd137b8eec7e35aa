//! The hooks of a template: which of them the host calls, for which modules, and what it means
//! when one fails. A template's manifest says so; one that says nothing costs nothing.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use crate::capability::ANY;
use crate::event::EventKind;
use crate::model::InstalledPlugin;
use crate::names::{ModuleSlug, PluginName};

/// What a template's manifest says of its hooks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hooks {
    /// Changes that `before-save` is asked about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before_save: Vec<BeforeSave>,
    /// Events that `after-event` is told of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after_event: Vec<AfterEvent>,
}

/// Some changes, and what becomes of one where the hook fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeforeSave {
    /// Names of modules, or `*` for all, the tenant's own too.
    pub modules: BTreeSet<String>,
    #[serde(default = "SaveKind::all")]
    pub on: BTreeSet<SaveKind>,
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// Some events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AfterEvent {
    /// Names of modules, or `*` for all, the tenant's own too.
    pub modules: BTreeSet<String>,
    pub on: BTreeSet<EventKind>,
}

/// Whether a record is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaveKind {
    Create,
    Update,
}

impl SaveKind {
    fn all() -> BTreeSet<Self> {
        BTreeSet::from([Self::Create, Self::Update])
    }
}

/// What becomes of a change whose hook fails: traps, takes too long, answers nonsense.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It is refused: for hooks that keep wrong data out.
    #[default]
    Refuse,
    /// It is written as it was sent: for hooks that add something.
    Ignore,
}

impl OnFailure {
    /// The name in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Ignore => "ignore",
        }
    }
}

/// The component of a tenant's template, where it has hooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateHooks {
    pub name: PluginName,
    /// Whoever chooses a template grants it what its manifest asks for.
    pub plugin: InstalledPlugin,
    pub hooks: Hooks,
}

fn names(modules: &BTreeSet<String>, module: &ModuleSlug) -> bool {
    modules.contains(ANY) || modules.contains(module.as_str())
}

impl Hooks {
    /// Whether no hook is ever called.
    pub fn is_empty(&self) -> bool {
        self.before_save.is_empty() && self.after_event.is_empty()
    }

    /// Whether a change is for `before-save` to see, and what becomes of it where that fails.
    /// Where several entries name the change, the first counts: a change is asked about once.
    pub fn before_save(&self, module: &ModuleSlug, kind: SaveKind) -> Option<OnFailure> {
        let mut entries = self.before_save.iter();
        let entry = entries.find(|entry| names(&entry.modules, module) && entry.on.contains(&kind));
        entry.map(|entry| entry.on_failure)
    }

    /// Whether `after-event` is told of such an event.
    pub fn after_event(&self, module: &ModuleSlug, kind: EventKind) -> bool {
        let mut entries = self.after_event.iter();
        entries.any(|entry| names(&entry.modules, module) && entry.on.contains(&kind))
    }

    /// A module that the hooks name and that `is_known` does not know.
    pub fn unknown_module(&self, is_known: impl Fn(&str) -> bool) -> Option<&str> {
        let before = self.before_save.iter().map(|entry| &entry.modules);
        let after = self.after_event.iter().map(|entry| &entry.modules);
        let mut named = before.chain(after).flatten().map(String::as_str);
        named.find(|name| *name != ANY && !is_known(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn slug(text: &str) -> ModuleSlug {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_entry_that_names_a_change_counts() {
        let hooks: Hooks = serde_json::from_value(json!({
            "before_save": [
                { "modules": ["patients"], "on": ["update"], "on_failure": "ignore" },
                { "modules": ["*"] },
            ],
            "after_event": [{ "modules": ["patients"], "on": ["record_created"] }],
        }))
        .unwrap();
        let asked = |module, kind| hooks.before_save(&slug(module), kind);
        assert_eq!(asked("patients", SaveKind::Update), Some(OnFailure::Ignore));
        assert_eq!(asked("patients", SaveKind::Create), Some(OnFailure::Refuse));
        assert_eq!(asked("doctors", SaveKind::Update), Some(OnFailure::Refuse));
        assert!(hooks.after_event(&slug("patients"), EventKind::RecordCreated));
        assert!(!hooks.after_event(&slug("patients"), EventKind::RecordUpdated));
        assert!(!hooks.after_event(&slug("doctors"), EventKind::RecordCreated));
        assert_eq!(hooks.unknown_module(|name| name == "patients"), None);
        assert_eq!(hooks.unknown_module(|_| false), Some("patients"));
    }

    #[test]
    fn a_hook_that_the_contract_does_not_know_is_a_mistake() {
        let wrong = json!({ "before_delete": [] });
        assert!(serde_json::from_value::<Hooks>(wrong).is_err());
        let wrong = json!({ "before_save": [{ "modules": ["*"], "on": ["delete"] }] });
        assert!(serde_json::from_value::<Hooks>(wrong).is_err());
    }
}
