//! Aggregates: numbers about groups of records.
//!
//! Numbers come out as exact decimals in texts, counts as JSON numbers. An average has at most
//! [`crate::limits::AVERAGE_MAX_DIGITS`] digits after the point, rounded half away from zero.
//! The median of an even count is the mean of the two in the middle.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

use super::filter::Filter;
use super::parse::Parser;
use super::scope::{Scope, did_you_mean};
use super::target::{End, Kind, Link, Target};
use crate::form::Form;
use crate::limits::{AGGREGATE_MAX_GROUP_FIELDS, AGGREGATE_MAX_GROUPS, AGGREGATE_MAX_METRICS};
use crate::model::Module;
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
    const fn name(self) -> &'static str {
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

    fn takes(self, target: &Target) -> bool {
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

fn parse_groups<'a>(
    scope: Scope<'a>,
    module: &'a Module,
    inputs: &[GroupInput],
    violations: &mut Violations,
) -> Vec<Group> {
    if inputs.len() > AGGREGATE_MAX_GROUP_FIELDS {
        let message = format!("an aggregate groups by at most {AGGREGATE_MAX_GROUP_FIELDS} fields");
        violations.add("/group_by".to_owned(), "too_many", message);
        return Vec::new();
    }
    let mut groups: Vec<Group> = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        let (name, bucket) = match input {
            GroupInput::Field(name) => (name, None),
            GroupInput::Bucket { field, by } => (field, *by),
        };
        match parse_group(scope, module, name, bucket) {
            Ok(group) if groups.iter().all(|known| known.name != group.name) => groups.push(group),
            Ok(_) => violations.add(
                format!("/group_by/{index}"),
                "twice",
                format!("“{name}” stands in group_by twice"),
            ),
            Err((code, message)) => violations.add(format!("/group_by/{index}"), code, message),
        }
    }
    groups
}

fn parse_group<'a>(
    scope: Scope<'a>,
    module: &'a Module,
    name: &str,
    bucket: Option<Bucket>,
) -> Result<Group, (&'static str, String)> {
    let named = scope
        .follow(module, name)
        .map_err(|message| ("unknown_field", message))?;
    let target = named.target(name);
    let is_inverse = matches!(&named.end, End::Field { field, .. } if field.inverse_of.is_some());
    if is_inverse || matches!(target.form, Form::Opaque | Form::List) {
        let message = format!("records cannot be grouped by “{name}”");
        return Err(("ungroupable", message));
    }
    let is_day = target.kind == Kind::Day;
    let takes_bucket = is_day || target.form == Form::Moment;
    if bucket.is_some() && (!takes_bucket || (is_day && bucket == Some(Bucket::Hour))) {
        let message = format!("“{name}” does not fall into such stretches of time");
        return Err(("bucket", message));
    }
    Ok(Group {
        name: name.to_owned(),
        links: named.links,
        target,
        bucket,
    })
}

fn parse_metrics<'a>(
    scope: Scope<'a>,
    module: &'a Module,
    input: &AggregateInput,
    groups: &[Group],
    violations: &mut Violations,
) -> Vec<Metric> {
    if input.metrics.len() > AGGREGATE_MAX_METRICS {
        let message = format!("an aggregate has at most {AGGREGATE_MAX_METRICS} metrics");
        violations.add("/metrics".to_owned(), "too_many", message);
        return Vec::new();
    }
    let count = MetricInput {
        op: MetricOperation::Count,
        field: None,
        name: None,
    };
    let inputs = if input.metrics.is_empty() {
        std::slice::from_ref(&count)
    } else {
        input.metrics.as_slice()
    };
    let mut names = BTreeSet::from(["group".to_owned()]);
    let mut metrics = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        let pointer = format!("/metrics/{index}");
        match parse_metric(scope, module, input, groups) {
            Ok(metric) if names.insert(metric.name.clone()) => metrics.push(metric),
            Ok(metric) => {
                let message = format!(
                    "“{}” names two things in the answer; choose another with “as”",
                    metric.name
                );
                violations.add(format!("{pointer}/as"), "twice", message);
            }
            Err((below, code, message)) => {
                violations.add(format!("{pointer}{below}"), code, message);
            }
        }
    }
    metrics
}

fn parse_metric<'a>(
    scope: Scope<'a>,
    module: &'a Module,
    input: &MetricInput,
    groups: &[Group],
) -> Result<Metric, (&'static str, &'static str, String)> {
    let operation = input.op;
    let name = input.name.clone().unwrap_or_else(|| match &input.field {
        Some(field) => format!("{}_{}", operation.name(), field.replace('.', "_")),
        None => operation.name().to_owned(),
    });
    if name.parse::<crate::FieldKey>().is_err() {
        let message = "a name has lower-case letters, digits and underscores";
        return Err(("/as", "format", message.to_owned()));
    }
    let Some(field) = &input.field else {
        if operation != MetricOperation::Count {
            let message = format!("“{}” takes a field", operation.name());
            return Err(("", "required", message));
        }
        return Ok(Metric {
            name,
            operation,
            target: None,
            currency: None,
        });
    };
    let named = scope
        .follow(module, field)
        .map_err(|message| ("/field", "unknown_field", message))?;
    let target = named.target(field);
    let is_inverse = matches!(&named.end, End::Field { field, .. } if field.inverse_of.is_some());
    if !named.links.is_empty() || is_inverse || !operation.takes(&target) {
        let message = format!("“{}” does not take “{field}”", operation.name());
        return Err(("/field", "operation", message));
    }
    let currency = currency_of(&named.end, &target, operation).filter(|currency| {
        groups
            .iter()
            .all(|group| !group.links.is_empty() || group.target.place != currency.place)
    });
    Ok(Metric {
        name,
        operation,
        target: Some(target),
        currency,
    })
}

/// Where the currency of an amount stands, if the operation mixes amounts.
fn currency_of(end: &End<'_>, target: &Target, operation: MetricOperation) -> Option<Target> {
    let End::Field { field, kind, .. } = end else {
        return None;
    };
    let counts = matches!(
        operation,
        MetricOperation::Count | MetricOperation::Distinct
    );
    if counts || target.form != Form::Number {
        return None;
    }
    let part = kind
        .parts(field)
        .iter()
        .find(|part| part.name == Some("currency"))?;
    Some(Target {
        place: super::Place::Data {
            field: field.key.clone(),
            member: part.name,
        },
        form: part.form,
        kind: Kind::Plain,
        slot: None,
        name: format!("{}.currency", field.key),
    })
}

fn parse_sort(
    input: &AggregateInput,
    groups: &[Group],
    metrics: &[Metric],
    violations: &mut Violations,
) -> Vec<(usize, bool)> {
    let names = input.sort.as_ref().map(super::Names::list);
    let columns: Vec<&str> = groups
        .iter()
        .map(|group| group.name.as_str())
        .chain(metrics.iter().map(|metric| metric.name.as_str()))
        .collect();
    let mut sort = Vec::new();
    for name in names.unwrap_or_default() {
        let (bare, descending) = match name.strip_prefix('-') {
            Some(bare) => (bare, true),
            None => (name, false),
        };
        match columns.iter().position(|column| *column == bare) {
            Some(index) => sort.push((index, descending)),
            None => {
                let hint = did_you_mean(bare, columns.iter().copied());
                let message = format!("no group or metric is named “{bare}”{hint}");
                violations.add("/sort".to_owned(), "unknown_field", message);
            }
        }
    }
    sort
}
