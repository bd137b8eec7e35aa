//! What a component says about itself in its `crm:manifest` section, read without running it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::capability::Capabilities;
use crate::configuration::schema_check;
use crate::hooks::Hooks;
use crate::names::PluginName;

/// Name of the custom section that holds the manifest as JSON.
pub const MANIFEST_SECTION: &str = "crm:manifest";

/// Which world of the contract a component implements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum World {
    /// A workflow step.
    Action,
    /// A model and its hooks.
    Template,
}

impl World {
    /// The world's name in the contract and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Template => "template",
        }
    }
}

/// How much a component may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestClass {
    /// Compiled from its own language.
    #[default]
    Standard,
    /// Brings the interpreter of its language, so it is larger and takes more memory.
    Interpreter,
}

impl GuestClass {
    /// Its name in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Interpreter => "interpreter",
        }
    }

    fn is_standard(&self) -> bool {
        matches!(self, Self::Standard)
    }
}

/// A plugin's own description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub name: PluginName,
    pub version: semver::Version,
    pub world: World,
    /// What it says here decides which limits hold for it.
    #[serde(default, skip_serializing_if = "GuestClass::is_standard")]
    pub class: GuestClass,
    pub title: String,
    #[serde(default)]
    pub description: String,
    /// What the plugin asks for; a tenant may grant less.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// JSON Schema of a workflow step's configuration, for actions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_schema: Option<Value>,
    /// JSON Schema of the plugin's own configuration, which holds for all its uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings_schema: Option<Value>,
    /// Of a template: the hooks that the host calls.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
}

/// What the pre-release of a trial build's version begins with: `1.0.0-dev.…`.
pub const TRIAL: &str = "dev";

impl Manifest {
    /// Whether it is a build that an author tries out. Nobody keeps such a version when another
    /// has taken its place.
    pub fn is_trial(&self) -> bool {
        self.version.pre.as_str().split('.').next() == Some(TRIAL)
    }

    /// Its schemas, with their names in the manifest.
    pub fn schemas(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        let named = [
            ("config_schema", &self.config_schema),
            ("settings_schema", &self.settings_schema),
        ];
        named
            .into_iter()
            .filter_map(|(name, schema)| Some((name, schema.as_ref()?)))
    }

    /// Whether its schemas are ones.
    ///
    /// # Errors
    /// A sentence that says what is wrong with which.
    pub fn check(&self) -> Result<(), String> {
        self.schemas().try_for_each(|(name, schema)| {
            schema_check(schema).map_err(|error| format!("`{name}` {error}"))
        })
    }
}
