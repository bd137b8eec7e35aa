//! What a template's author or a tenant writes down: modules, fields, workflows, roles and
//! installs, as JSON. Nothing here is checked beyond its shape; [`crate::Model`] compiles it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use crate::capability::Capabilities;
use crate::flow::StepDefinition;
use crate::names::{FieldKey, ModuleSlug, PluginName, RoleSlug, TeamSlug, UserId, WorkflowSlug};
use crate::turn::Priority;

/// Everything that a template says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateDefinition {
    pub modules: Vec<ModuleDefinition>,
    #[serde(default)]
    pub workflows: Vec<WorkflowDefinition>,
    #[serde(default)]
    pub roles: Vec<RoleDefinition>,
    #[serde(default)]
    pub installs: Vec<InstallDefinition>,
}

/// A kind of record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleDefinition {
    pub slug: ModuleSlug,
    pub label: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_plural: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The field that names a record to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title_field: Option<FieldKey>,
    /// A name from the console's set of icons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    pub fields: Vec<FieldDefinition>,
    /// Values that no two records share, over several fields together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unique: Vec<UniqueDefinition>,
    /// What every record has to satisfy, across its fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleDefinition>,
    /// Types of timeline entries beside the built-in ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub activity_types: Vec<ActivityTypeDefinition>,
    /// Kept out of people's sight; its records stay.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
}

/// Fields whose values, taken together, no two records of the module share. Records that leave
/// one of them out are not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UniqueDefinition {
    pub fields: Vec<FieldKey>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub case_insensitive: bool,
}

/// An expression that has to be true of every record, over `record`, `before` and `actor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleDefinition {
    pub expression: String,
    /// What people read where it is not true.
    pub message: String,
    /// The field that the message stands beside; none: the whole record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<FieldKey>,
}

/// A type of timeline entry that the template brings along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivityTypeDefinition {
    pub slug: WorkflowSlug,
    pub label: String,
}

/// A typed attribute of a module. Which attributes mean something depends on `type`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldDefinition {
    pub key: FieldKey,
    pub label: String,
    /// A name from [`crate::fields::TYPES`].
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Written when a new record leaves the field out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    /// A regular expression that the whole or a part of the text matches; linear-time engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Smallest value: an integer, or a decimal as a string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Value>,
    /// Largest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Value>,
    /// Digits of a decimal in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<u32>,
    /// Digits of a decimal after the point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<u32>,
    /// What a select offers. The options of a pipeline are its stages, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<OptionDefinition>,
    /// Dependent select: the select whose value says which options count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depends_on: Option<FieldKey>,
    /// Where a relation points; for a rollup, the module of the related records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<ModuleSlug>,
    /// A relation that holds several records; stored as a list of ids.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub many: bool,
    /// A relation that is the other side of this field of `module`: not stored, read from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inverse_of: Option<FieldKey>,
    /// What becomes of this record when the one that it points to is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_delete: Option<OnDelete>,
    /// No two records of the module share a value.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unique: bool,
    /// `unique` without regard to case.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub case_insensitive: bool,
    /// In the typed index: filters and sorting by it stay fast at any size.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub indexed: bool,
    /// Found by full-text search.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub searchable: bool,
    /// Written by templates, workflows and imports, not by people.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Tells of a person: for exports, masking and erasure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub personal_data: bool,
    /// An expression whose value a new record gets where the field is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_expression: Option<String>,
    /// An expression over `record` and `actor`; required where it is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_if: Option<String>,
    /// Where it is false, forms leave the field out and it may not be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visible_if: Option<String>,
    /// Where it is true of the record as it was, the field may not change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only_if: Option<String>,
    /// The section of forms that it stands in. The order is that of the fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Formula: over `record`, with to-one relations as objects (`record.doctor.fee`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// Formula: the type of its value, one of `text`, `decimal`, `integer`, `boolean`, `date`,
    /// `datetime`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Rollup: which related records, and what of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollup: Option<RollupDefinition>,
    /// Auto number: what stands before the digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Auto number: digits, padded with zeros.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits: Option<u32>,
    /// Out of use: hidden everywhere, its values kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retired: bool,
}

/// What happens to records that point to one which is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    /// The deletion is refused.
    Restrict,
    /// They point nowhere from then on.
    SetNull,
    /// They are deleted too.
    Cascade,
}

/// What a rollup computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollupOperation {
    Count,
    Sum,
    Min,
    Max,
    Avg,
}

/// A value computed from the records that point to this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollupDefinition {
    /// The module whose records point here.
    pub module: ModuleSlug,
    /// Its relation to this module.
    pub relation: FieldKey,
    pub operation: RollupOperation,
    /// The field of those records; none for `count`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<FieldKey>,
    /// Only those records, as a filter of the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Value>,
}

/// One choice of a select; with a probability or transitions it is the stage of a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptionDefinition {
    pub value: String,
    pub label: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    /// Dependent select: the values of `depends_on` under which this option counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<String>,
    /// Pipeline: how likely a record in this stage is won, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<u8>,
    /// Pipeline: the stages that may follow; none: every stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transitions: Option<Vec<String>>,
    /// Pipeline: fields that a record in this stage must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required_fields: Vec<FieldKey>,
}

/// An automation: when this happens to a record of that module, run these steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkflowDefinition {
    pub slug: WorkflowSlug,
    pub name: String,
    pub module: ModuleSlug,
    pub trigger: TriggerDefinition,
    /// An expression over `event`, `before`, `after` and `actor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    pub steps: Vec<StepDefinition>,
    /// How often a record goes through it.
    #[serde(default, skip_serializing_if = "Enrolment::is_every_time")]
    pub enrolment: Enrolment,
    /// Its place among the workflows that one event starts: lower ones first, ties by slug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u32>,
    /// How urgent its runs are; where it is not said, that depends on what starts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// How many of its runs may be under way at once; any number where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Its runs of one record go one after the other, in the order of the record's versions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_order: bool,
}

/// How often a record goes through a workflow. A run that may not go on is over, and says why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enrolment {
    /// Whenever something starts it.
    #[default]
    EveryTime,
    /// Not while another run of it for the same record has not ended.
    OneAtATime,
    /// Once ever.
    Once,
}

impl Enrolment {
    fn is_every_time(&self) -> bool {
        *self == Self::EveryTime
    }
}

/// A field that keeps its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stay {
    pub field: FieldKey,
    /// Which value; any one, unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
    /// For how long.
    pub seconds: u32,
}

/// What starts a workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerDefinition {
    pub on: crate::event::EventKind,
    /// For `record_updated`: only when one of these changed. Empty: any change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldKey>,
    /// For `record_updated`: only when a field has got a value, also at its record's creation, and
    /// kept it for so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stays: Option<Stay>,
    /// For `started_by_hand`: what whoever starts it fills in, as a JSON Schema of an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<serde_json::Value>,
    /// For `time_reached`: minute, hour, day, month and weekday in the tenant's zone, such as
    /// `0 9 * * 1-5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// For `time_reached`: a time that each record names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<crate::schedule::DateTrigger>,
}

/// A set of permissions: actions per module, `*` for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleDefinition {
    pub slug: RoleSlug,
    pub label: String,
    pub permissions: BTreeMap<String, BTreeSet<String>>,
    /// Module → field → how far it is open to the role; fields that are not named are open.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<ModuleSlug, BTreeMap<FieldKey, FieldAccess>>,
    /// Module, or `*` for every one → which of its records the role reaches; all where nothing
    /// is said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub records: BTreeMap<String, RecordRules>,
}

/// Which records of a module a role reaches: those for which one of the rules holds. A rule is
/// `own`, `team`, `all`, or an expression such as `record.region in user.regions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordRules {
    /// All where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Vec<String>>,
    /// What a new record has to satisfy. Those of `read` where it is left out, as for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<Vec<String>>,
    /// To the trash, back from it, and for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<Vec<String>>,
}

/// People who work together: they may share what is theirs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamDefinition {
    pub slug: TeamSlug,
    pub label: String,
    #[serde(default)]
    pub members: BTreeSet<UserId>,
}

/// How far a field is open to a role. From the least to the most generous.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum FieldAccess {
    /// It is not there.
    Hidden,
    /// That there is a value can be seen, not which; nobody looks records up by it.
    Masked,
    /// Read, not written.
    ReadOnly,
    /// As it is without a word about it.
    #[default]
    Open,
}

impl FieldAccess {
    /// The name in roles.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Masked => "masked",
            Self::ReadOnly => "read_only",
            Self::Open => "open",
        }
    }
}

/// A plugin that comes with the template, and what it is granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallDefinition {
    pub plugin: PluginName,
    pub version: semver::Version,
    pub grant: Capabilities,
}
