//! Aggregates: numbers about groups of records.
//!
//! Numbers come out as exact decimals in texts, counts as JSON numbers. An average has at most
//! [`crate::limits::AVERAGE_MAX_DIGITS`] digits after the point, rounded half away from zero.
//! The median of an even count is the mean of the two in the middle.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::aggregate_parse::{parse_groups, parse_metrics, parse_sort};
use super::filter::Filter;
use super::parse::Parser;
use super::scope::Scope;
use super::target::{Kind, Link, Target};
use crate::form::Form;
use crate::limits::AGGREGATE_MAX_GROUPS;
use crate::names::ModuleSlug;
use crate::violation::Violations;

/// What a client sends.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregateInput {
    #[serde(default)]
    pub filter: Option<Value>,
    #[serde(default)]
    pub group_by: Vec<GroupInput>,
    #[serde(default)]
    pub metrics: Vec<MetricInput>,
    #[serde(default)]
    pub sort: Option<super::Names>,
    #[serde(default)]
    pub limit: Option<u32>,
}

/// A field, or a field in buckets of time.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum GroupInput {
    Field(String),
    Bucket { field: String, by: Option<Bucket> },
}

/// A metric as it is sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricInput {
    pub op: MetricOperation,
    #[serde(default)]
    pub field: Option<String>,
    /// Its name in the answer; `op`, or `op_field`, unless given.
    #[serde(default, rename = "as")]
    pub name: Option<String>,
}

/// What a metric computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricOperation {
    Count,
    Sum,
    Avg,
    Min,
    Max,
    Median,
    Distinct,
}

/// A stretch of time that a moment or a day falls into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

/// Numbers about groups of records of one module.
#[derive(Clone, Debug)]
pub struct Aggregate {
    pub module: ModuleSlug,
    pub filter: Filter,
    /// Which records are there for the reader; none: all.
    pub reach: Option<Filter>,
    pub groups: Vec<Group>,
    pub metrics: Vec<Metric>,
    /// Places in groups and metrics together, and whether from the largest down.
    pub sort: Vec<(usize, bool)>,
    pub limit: u32,
    /// In which buckets begin.
    pub time_zone: Tz,
}

/// What records are grouped by.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name in the answer.
    pub name: String,
    /// Relations to one that lead to it.
    pub links: Vec<Link>,
    pub target: Target,
    pub bucket: Option<Bucket>,
}

/// A number about each group.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Its name in the answer.
    pub name: String,
    pub operation: MetricOperation,
    /// None counts records.
    pub target: Option<Target>,
    /// The currencies of what is added up: they must be one, unless records are grouped by them.
    pub currency: Option<Target>,
}

impl MetricOperation {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Median => "median",
            Self::Distinct => "distinct",
        }
    }

    pub(super) fn takes(self, target: &Target) -> bool {
        match self {
            Self::Count => !matches!(target.form, Form::Opaque | Form::List),
            Self::Sum | Self::Avg | Self::Median => target.form == Form::Number,
            Self::Min | Self::Max => {
                matches!(target.form, Form::Number | Form::Moment) || target.kind == Kind::Day
            }
            Self::Distinct => !matches!(target.form, Form::Opaque | Form::List),
        }
    }
}

impl Aggregate {
    /// Reads what a client sends.
    ///
    /// # Errors
    /// Every violation.
    pub fn parse(
        scope: Scope<'_>,
        slug: &ModuleSlug,
        input: &AggregateInput,
    ) -> Result<Self, Violations> {
        let Some(module) = scope.module(slug) else {
            let message = format!("there is no module “{slug}”");
            return Err(Violations::one("", "unknown_module", message));
        };
        let mut violations = Violations::default();
        let filter = input.filter.as_ref().filter(|value| !value.is_null());
        let filter = filter.and_then(|value| {
            Parser::new(scope, &mut violations).filter(module, value, "/filter", 1)
        });
        let groups = parse_groups(scope, module, &input.group_by, &mut violations);
        let metrics = parse_metrics(scope, module, input, &groups, &mut violations);
        let sort = parse_sort(input, &groups, &metrics, &mut violations);
        let limit = input.limit.unwrap_or(AGGREGATE_MAX_GROUPS);
        if limit == 0 || limit > AGGREGATE_MAX_GROUPS {
            let message = format!("limit is 1 to {AGGREGATE_MAX_GROUPS}");
            violations.add("/limit".to_owned(), "limit", message);
        }
        violations.into_result()?;
        Ok(Self {
            module: slug.clone(),
            filter: filter.unwrap_or(Filter::All(Vec::new())),
            reach: scope.reach(module),
            groups,
            metrics,
            sort,
            limit,
            time_zone: scope.time_zone(),
        })
    }

    /// One number about all records of a module that pass: what a rollup is.
    ///
    /// # Errors
    /// Where the operation does not take the field.
    pub fn single(
        scope: Scope<'_>,
        slug: &ModuleSlug,
        filter: Filter,
        operation: MetricOperation,
        field: Option<&str>,
    ) -> Result<Self, Violations> {
        let input = AggregateInput {
            metrics: vec![MetricInput {
                op: operation,
                field: field.map(str::to_owned),
                name: None,
            }],
            ..AggregateInput::default()
        };
        let aggregate = Self::parse(scope, slug, &input)?;
        Ok(Self {
            filter,
            ..aggregate
        })
    }
}
