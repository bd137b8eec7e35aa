//! Whose turn it is among a tenant's runs: how urgent they are, and what limits how many of them
//! may be under way at once. Never counts: that is the queue's.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::model::Model;
use crate::names::PluginName;
use crate::run_source::RunSource;

/// How urgent a run is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Somebody waits for it.
    Interactive,
    #[default]
    Normal,
    /// One of many that nobody waits for.
    Bulk,
}

impl Priority {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Normal, Self::Bulk];

    /// As the store keeps it: the most urgent is 0.
    pub const fn number(self) -> i16 {
        match self {
            Self::Interactive => 0,
            Self::Normal => 1,
            Self::Bulk => 2,
        }
    }

    /// That of a number of the store's.
    pub fn of_number(number: i16) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|priority| priority.number() == number)
    }

    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Normal => "normal",
            Self::Bulk => "bulk",
        }
    }
}

const PLUGIN: &str = "plugin:";

/// The lane of a run: names of what limits it, with a space between them. A workflow's comes before
/// a plugin's.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Lane(String);

impl Lane {
    /// As it is stored.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing limits the run beside what limits its tenant.
    pub fn is_free(&self) -> bool {
        self.0.is_empty()
    }

    /// What limits it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|name| !name.is_empty())
    }

    /// Whether whoever has its turn here has it there too.
    pub fn covers(&self, other: &Self) -> bool {
        other
            .names()
            .all(|name| self.names().any(|own| own == name))
    }
}

impl Model {
    /// What limits a run of this source at a step of that plugin.
    pub fn lane(&self, source: &RunSource, plugin: Option<&PluginName>) -> Lane {
        let workflow = match source {
            RunSource::Workflow(slug) => self.workflow(slug),
            RunSource::Template(_) | RunSource::Webhook(_) => None,
        };
        let workflow = workflow.filter(|it| it.definition().concurrency.is_some());
        let workflow = workflow.map(|workflow| format!("workflow:{}", workflow.definition().slug));
        let plugin = plugin.filter(|name| {
            let installed = self.plugin(name);
            installed.is_some_and(|installed| installed.concurrency.is_some())
        });
        let plugin = plugin.map(|name| format!("{PLUGIN}{name}"));
        let names: Vec<String> = workflow.into_iter().chain(plugin).collect();
        Lane(names.join(" "))
    }

    /// How many runs may be under way at once, by the names that lanes have.
    pub fn concurrency(&self) -> BTreeMap<String, u32> {
        let workflows = self.workflows().iter().filter_map(|workflow| {
            let definition = workflow.definition();
            Some((
                format!("workflow:{}", definition.slug),
                definition.concurrency?,
            ))
        });
        let plugins = self
            .plugins()
            .filter_map(|(name, plugin)| Some((format!("{PLUGIN}{name}"), plugin.concurrency?)));
        workflows.chain(plugins).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_read_as_they_are_written() {
        for priority in Priority::ALL {
            assert_eq!(Priority::of_number(priority.number()), Some(priority));
            assert_eq!(serde_json::json!(priority), priority.name());
        }
        assert_eq!(Priority::of_number(3), None);
        assert!(Priority::Interactive < Priority::Normal && Priority::Normal < Priority::Bulk);
    }

    #[test]
    fn a_lane_covers_what_has_no_other_limits() {
        let lane = |text: &str| Lane::stored(text.to_owned());
        let both = lane("workflow:a plugin:p");
        for (one, other, covers) in [
            ("", "", true),
            ("workflow:a", "", true),
            ("", "workflow:a", false),
            ("workflow:a plugin:p", "plugin:p", true),
            ("workflow:a", "workflow:a plugin:p", false),
            ("workflow:ab", "workflow:a", false),
        ] {
            assert_eq!(lane(one).covers(&lane(other)), covers, "{one:?} {other:?}");
        }
        assert_eq!(both.names().collect::<Vec<_>>(), ["workflow:a", "plugin:p"]);
        assert!(lane("").is_free() && !both.is_free());
    }
}
