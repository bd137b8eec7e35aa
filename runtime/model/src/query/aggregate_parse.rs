//! Reads what a client sends for an aggregate: groups, metrics and their order.

use std::collections::BTreeSet;

use super::aggregate::{
    AggregateInput, Bucket, Group, GroupInput, Metric, MetricInput, MetricOperation,
};
use super::scope::Scope;
use super::target::{End, Kind, Target};
use crate::form::Form;
use crate::limits::{AGGREGATE_MAX_GROUP_FIELDS, AGGREGATE_MAX_METRICS};
use crate::model::Module;
use crate::nearest::suggestion;
use crate::violation::Violations;

pub(super) fn parse_groups<'a>(
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

pub(super) fn parse_metrics<'a>(
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

pub(super) fn parse_sort(
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
                let hint = suggestion(bare, columns.iter().copied());
                let message = format!("no group or metric is named “{bare}”{hint}");
                violations.add("/sort".to_owned(), "unknown_field", message);
            }
        }
    }
    sort
}
