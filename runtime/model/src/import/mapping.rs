//! What people ask of a run: which column is for which field, and how to go about it. Checked
//! completely before anything runs.

use serde::Deserialize;
use std::collections::BTreeMap;

use super::dates::DateOrder;
use super::infer::Column;
use super::plan::{ImportOptions, OnError, PlannedColumn, Target};
use super::propose::{is_open, is_written, overlaps};
use crate::fields;
use crate::names::FieldKey;
use crate::sight::Sight;
use crate::violation::{Violations, pointer_segment};

/// What a run is asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunInput {
    /// Column → field; without it, the proposed mapping.
    #[serde(default)]
    pub mapping: Option<BTreeMap<String, Option<MappingInput>>>,
    #[serde(default)]
    pub dry_run: bool,
    #[serde(default)]
    pub upsert_key: Option<String>,
    #[serde(default = "yes")]
    pub run_workflows: bool,
    #[serde(default)]
    pub on_error: OnError,
    #[serde(default)]
    pub default_currency: Option<String>,
    #[serde(default)]
    pub date_order: Option<DateOrder>,
}

const fn yes() -> bool {
    true
}

impl Default for RunInput {
    fn default() -> Self {
        Self {
            mapping: None,
            dry_run: false,
            upsert_key: None,
            run_workflows: true,
            on_error: OnError::Skip,
            default_currency: None,
            date_order: None,
        }
    }
}

/// What one column is for: `"price"`, `"price.amount"`, or with members of their own.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum MappingInput {
    Name(String),
    Target {
        field: String,
        #[serde(default)]
        part: Option<String>,
    },
}

impl MappingInput {
    fn text(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Target { field, part: None } => field.clone(),
            Self::Target {
                field,
                part: Some(part),
            } => format!("{field}.{part}"),
        }
    }
}

/// The columns of a run with their targets, and its options.
///
/// # Errors
/// Every violation, with pointers into the request (`/mapping/Price`).
pub fn plan_columns(
    sight: &Sight<'_>,
    columns: &[Column],
    input: &RunInput,
) -> Result<(Vec<PlannedColumn>, ImportOptions), Violations> {
    let mut violations = Violations::default();
    let wanted = wanted(columns, input, &mut violations);
    let mut planned: Vec<PlannedColumn> = Vec::new();
    for column in columns {
        let text = wanted.get(column.name.as_str());
        let target = text.and_then(|text| {
            target(sight, &planned, text)
                .map_err(|(code, message)| {
                    violations.add(pointer(&column.name), code, message);
                })
                .ok()
        });
        planned.push(PlannedColumn {
            name: column.name.clone(),
            target,
        });
    }
    if violations.is_empty() && planned.iter().all(|column| column.target.is_none()) {
        let message = "no column is for a field; map at least one";
        violations.add("/mapping".to_owned(), "required", message);
    }
    let options = options(sight, &planned, input, &mut violations);
    violations.into_result()?;
    Ok((planned, options))
}

fn pointer(column: &str) -> String {
    format!("/mapping/{}", pointer_segment(column))
}

/// Column → target, as text.
fn wanted<'a>(
    columns: &'a [Column],
    input: &'a RunInput,
    violations: &mut Violations,
) -> BTreeMap<&'a str, String> {
    let Some(mapping) = &input.mapping else {
        return columns
            .iter()
            .filter_map(|column| Some((column.name.as_str(), column.field.clone()?)))
            .collect();
    };
    for name in mapping.keys() {
        if !columns.iter().any(|column| column.name == *name) {
            violations.add(
                pointer(name),
                "unknown_column",
                "the file has no such column",
            );
        }
    }
    let given = mapping.iter();
    given
        .filter_map(|(name, target)| Some((name.as_str(), target.as_ref()?.text())))
        .collect()
}

fn target(
    sight: &Sight<'_>,
    planned: &[PlannedColumn],
    text: &str,
) -> Result<Target, (&'static str, String)> {
    let unknown = || ("unknown_field", format!("there is no field “{text}”"));
    let target: Target = text.parse().map_err(|_| unknown())?;
    let field = sight.field(target.field.as_str()).ok_or_else(unknown)?;
    if !is_written(field) {
        let message = format!("“{}” is computed and cannot be imported", target.field);
        return Err(("computed", message));
    }
    if !is_open(sight, field) {
        let message = format!("“{}” is not yours to fill", target.field);
        return Err(("read_only", message));
    }
    let kind = fields::field_type(&field.kind).ok_or_else(unknown)?;
    if let Some(part) = &target.part {
        let mut names = kind.parts(field).iter().filter_map(|part| part.name);
        // Members that do not compare, such as an address's second line, stand in the schema.
        let schema = kind.schema(field);
        let known = names.any(|name| name == part)
            || schema.pointer(&format!("/properties/{part}")).is_some();
        if !known {
            let message = format!("“{}” has no part “{part}”", target.field);
            return Err(("unknown_part", message));
        }
    }
    let earlier = planned.iter().find(|column| {
        let other = column.target.as_ref();
        other.is_some_and(|other| overlaps(other, &target))
    });
    match earlier {
        None => Ok(target),
        Some(column) => {
            let message = format!("the column “{}” is for “{target}” already", column.name);
            Err(("duplicate", message))
        }
    }
}

fn options(
    sight: &Sight<'_>,
    planned: &[PlannedColumn],
    input: &RunInput,
    violations: &mut Violations,
) -> ImportOptions {
    let upsert_key = input.upsert_key.as_deref().and_then(|text| {
        upsert_key(sight, planned, text)
            .map_err(|(code, message)| violations.add("/upsert_key".to_owned(), code, message))
            .ok()
    });
    if let Some(code) = &input.default_currency
        && iso_currency::Currency::from_code(code).is_none()
    {
        let message = format!("“{code}” is not an ISO 4217 code");
        violations.add("/default_currency".to_owned(), "currency", message);
    }
    ImportOptions {
        dry_run: input.dry_run,
        upsert_key,
        run_workflows: input.run_workflows,
        on_error: input.on_error,
        default_currency: input.default_currency.clone(),
        date_order: input.date_order,
    }
}

fn upsert_key(
    sight: &Sight<'_>,
    planned: &[PlannedColumn],
    text: &str,
) -> Result<FieldKey, (&'static str, String)> {
    let key = text.parse::<FieldKey>().ok();
    let field = key.as_ref().and_then(|key| sight.clear_field(key.as_str()));
    let Some(field) = field else {
        return Err(("unknown_field", format!("there is no field “{text}”")));
    };
    if !field.unique {
        let message = format!("“{text}” is not unique: more than one record could have a value");
        return Err(("not_unique", message));
    }
    let is_mapped = planned.iter().any(|column| {
        let target = column.target.as_ref();
        target.is_some_and(|target| target.field == field.key && target.part.is_none())
    });
    match is_mapped {
        true => Ok(field.key.clone()),
        false => Err(("required", format!("no column is for “{text}”"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::{describe_columns, propose};
    use crate::testing::model;
    use serde_json::{Value, json};

    fn check(input: Value) -> Result<Vec<Option<String>>, Vec<(String, String)>> {
        let model = model();
        let module = model.module(&"items".parse().unwrap()).unwrap();
        let names = ["SKU", "Price", "Currency"].map(str::to_owned);
        let mut columns = describe_columns(&names, &[]);
        propose(&model.sight(module, None), &mut columns);
        let input: RunInput = serde_json::from_value(input).unwrap();
        match plan_columns(&model.sight(module, None), &columns, &input) {
            Ok((planned, _)) => Ok(planned
                .into_iter()
                .map(|column| column.target.map(|target| target.to_string()))
                .collect()),
            Err(violations) => Err(violations
                .as_slice()
                .iter()
                .map(|violation| (violation.pointer.clone(), violation.code.clone()))
                .collect()),
        }
    }

    #[test]
    fn the_proposal_holds_unless_people_say_otherwise() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(check(json!({})), Ok(vec![some("sku"), some("price"), None]));
        let mapping = json!({"SKU": "sku", "Price": "price.amount",
            "Currency": {"field": "price", "part": "currency"}});
        let expected = vec![some("sku"), some("price.amount"), some("price.currency")];
        assert_eq!(check(json!({"mapping": mapping})), Ok(expected));
        let mapping = json!({"SKU": "sku", "Price": null});
        assert_eq!(
            check(json!({"mapping": mapping})),
            Ok(vec![some("sku"), None, None])
        );
    }

    #[test]
    fn every_mistake_is_named() {
        for (input, expected) in [
            (json!({"mapping": {}}), vec![("/mapping", "required")]),
            (
                json!({"mapping": {"SKU": "skuu", "No": "sku"}, "upsert_key": "sku"}),
                vec![
                    ("/mapping/No", "unknown_column"),
                    ("/mapping/SKU", "unknown_field"),
                    ("/upsert_key", "not_unique"),
                ],
            ),
            (
                json!({"mapping": {"SKU": "sku", "Price": "sku", "Currency": "price.cents"}}),
                vec![
                    ("/mapping/Price", "duplicate"),
                    ("/mapping/Currency", "unknown_part"),
                ],
            ),
            (
                json!({"default_currency": "XYZ"}),
                vec![("/default_currency", "currency")],
            ),
        ] {
            let expected = expected.into_iter();
            let expected = expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned()));
            assert_eq!(check(input), Err(expected.collect()));
        }
    }
}
