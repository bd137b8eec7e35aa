//! Which column is for which field: by key, by label, by likeness. A proposal only; people
//! choose.

use super::infer::{self, Column};
use super::plan::Target;
use crate::capability::WriteOperation;
use crate::definition::FieldDefinition;
use crate::fields;
use crate::sight::Sight;

/// Names less alike than this are different.
const LIKENESS_MIN: f64 = 0.8;

/// Puts a field to each column that seems to be for one; no field twice.
pub fn propose(sight: &Sight<'_>, columns: &mut [Column]) {
    let targets = targets(sight);
    let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
    for (place, column) in columns.iter().enumerate() {
        for (number, (target, field)) in targets.iter().enumerate() {
            let likeness = likeness(column, target, field);
            if likeness >= LIKENESS_MIN {
                pairs.push((likeness, place, number));
            }
        }
    }
    // The best pairs first; among equals, the order of columns and fields.
    pairs.sort_by(|one, other| other.0.total_cmp(&one.0));
    let mut taken: Vec<&Target> = Vec::new();
    for (_, place, number) in pairs {
        let (Some(column), Some((target, _))) = (columns.get_mut(place), targets.get(number))
        else {
            continue;
        };
        if column.field.is_none() && !taken.iter().any(|other| overlaps(other, target)) {
            column.field = Some(target.to_string());
            taken.push(target);
        }
    }
}

/// Whether both would fill the same value.
pub(super) fn overlaps(one: &Target, other: &Target) -> bool {
    one.field == other.field
        && (one.part.is_none() || other.part.is_none() || one.part == other.part)
}

/// What columns can be for: fields that are in use and not computed, and their parts.
fn targets<'a>(sight: &Sight<'a>) -> Vec<(Target, &'a FieldDefinition)> {
    let mut targets = Vec::new();
    let written = |field: &&FieldDefinition| is_written(field) && is_open(sight, field);
    for field in sight.fields().filter(written) {
        let parts = fields::field_type(&field.kind).map(|kind| kind.parts(field));
        let names = parts.into_iter().flatten().filter_map(|part| part.name);
        let whole = Target {
            field: field.key.clone(),
            part: None,
        };
        targets.push((whole.clone(), field));
        for name in names {
            let part = Some(name.to_owned());
            targets.push((
                Target {
                    part,
                    ..whole.clone()
                },
                field,
            ));
        }
    }
    targets
}

/// Whether an import may fill it.
pub(super) fn is_written(field: &FieldDefinition) -> bool {
    let kind = fields::field_type(&field.kind);
    !field.retired && field.inverse_of.is_none() && kind.is_some_and(|kind| !kind.is_computed())
}

/// Whether the person's roles let them fill it.
pub(super) fn is_open(sight: &Sight<'_>, field: &FieldDefinition) -> bool {
    sight.may_write(&field.key, WriteOperation::Create)
        || sight.may_write(&field.key, WriteOperation::Update)
}

/// From 0 to 1; above 1 where the name is the field's own.
fn likeness(column: &Column, target: &Target, field: &FieldDefinition) -> f64 {
    let name = plain(&column.name);
    let key = plain(&target.to_string());
    let label = match &target.part {
        None => plain(&field.label),
        Some(part) => plain(&format!("{} {part}", field.label)),
    };
    if column.name == target.to_string() {
        return 3.0;
    }
    if infer::key_of(&column.name).is_some_and(|found| target.part.is_none() && found == field.key)
        || name == key
    {
        return 2.0;
    }
    if name == label {
        return 1.5;
    }
    if !infer::fits(&column.inferred_type, &field.kind) {
        return 0.0;
    }
    let to_key = strsim::normalized_levenshtein(&name, &key);
    to_key.max(strsim::normalized_levenshtein(&name, &label))
}

/// Letters and digits alone, without regard to case.
fn plain(text: &str) -> String {
    let letters = text.chars().filter(|character| character.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::model;

    fn proposed(columns: &[(&str, &str)]) -> Vec<Option<String>> {
        let model = model();
        let module = model.module(&"items".parse().unwrap()).unwrap();
        let column = |(name, kind): &(&str, &str)| Column {
            name: (*name).to_owned(),
            sample: Vec::new(),
            inferred_type: (*kind).to_owned(),
            field: None,
        };
        let mut columns: Vec<Column> = columns.iter().map(column).collect();
        propose(&model.sight(module, None), &mut columns);
        columns.into_iter().map(|column| column.field).collect()
    }

    #[test]
    fn columns_find_their_fields() {
        let columns = [
            ("SKU", "text"),
            ("price.amount", "decimal"),
            ("Price currency", "text"),
            ("e-mail", "email"),
            ("Made On", "date"),
            ("Carats", "decimal"),
            ("x", "decimal"),
        ];
        let expected = [
            Some("sku"),
            Some("price.amount"),
            Some("price.currency"),
            Some("email"),
            Some("made_on"),
            Some("carat"),
            None,
        ];
        assert_eq!(
            proposed(&columns),
            expected.map(|field| field.map(str::to_owned))
        );
    }

    #[test]
    fn no_field_is_proposed_twice_or_for_what_it_cannot_hold() {
        let proposed = proposed(&[
            ("price", "currency"),
            ("Price", "currency"),
            ("Carats", "text"),
        ]);
        assert_eq!(proposed, [Some("price".to_owned()), None, None]);
    }
}
