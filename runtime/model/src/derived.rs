//! What follows from a record's data and is looked up instead of it: its rows in the typed
//! index, its unique values, its text for search.

use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

use crate::Data;
use crate::definition::FieldDefinition;
use crate::form::{Comparable, Form, Part};
use crate::key;
use crate::limits::UNIQUE_KEY_MAX_BYTES;
use crate::model::Module;
use crate::names::{FieldKey, ModuleSlug};

/// Between the values of a key over several fields.
const SEPARATOR: char = '\u{1}';

/// A row of the typed index or of the unique values: where, and what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// `module.field`, or `module.(field,field)`.
    pub slot: String,
    pub key: String,
}

/// What a change does to the rows that follow from a record's data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Derived {
    /// Index rows that go.
    pub unindex: Vec<Entry>,
    /// Index rows that come.
    pub index: Vec<Entry>,
    /// Unique values that are free from then on.
    pub release: Vec<Entry>,
    /// Unique values that are taken from then on.
    pub claim: Vec<Entry>,
    /// The text for search before and after, where it differs.
    pub text: Option<(String, String)>,
}

impl Derived {
    /// What follows when a record's data changes; none: the record is not there.
    pub fn of(module: &Module, before: Option<&Data>, after: Option<&Data>) -> Self {
        let (unindex, index) = difference(
            before.map(|data| module.index_entries(data)),
            after.map(|data| module.index_entries(data)),
        );
        let (release, claim) = difference(
            before.map(|data| module.unique_entries(data)),
            after.map(|data| module.unique_entries(data)),
        );
        let text = |data: Option<&Data>| data.map(|data| module.search_text(data));
        let (old, new) = (text(before), text(after));
        Self {
            unindex,
            index,
            release,
            claim,
            text: (old.as_deref().unwrap_or_default() != new.as_deref().unwrap_or_default())
                .then(|| (old.unwrap_or_default(), new.unwrap_or_default())),
        }
    }
}

/// What is only in the first, and what is only in the second.
fn difference(
    old: Option<BTreeSet<Entry>>,
    new: Option<BTreeSet<Entry>>,
) -> (Vec<Entry>, Vec<Entry>) {
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    if new.is_empty() {
        return (old.into_iter().collect(), Vec::new());
    }
    if old.is_empty() {
        return (Vec::new(), new.into_iter().collect());
    }
    (
        old.difference(&new).cloned().collect(),
        new.difference(&old).cloned().collect(),
    )
}

/// The slot of a field.
pub fn slot(module: &ModuleSlug, field: &FieldKey) -> String {
    format!("{module}.{field}")
}

impl Module {
    /// The record's rows in the typed index.
    pub fn index_entries(&self, data: &Data) -> BTreeSet<Entry> {
        let slug = &self.definition().slug;
        let indexed = self.fields().filter(|(field, _)| is_indexed(field));
        indexed
            .flat_map(|(field, kind)| {
                let part = main_part(kind.parts(field));
                let value = data.get(field.key.as_str());
                let keys = part.form.keys(value.and_then(|value| part.of(value)));
                let slot = slot(slug, &field.key);
                keys.into_iter().map(move |key| Entry {
                    slot: slot.clone(),
                    key,
                })
            })
            .collect()
    }

    /// The values of the record that no other record of the module may have.
    pub fn unique_entries(&self, data: &Data) -> BTreeSet<Entry> {
        let definition = self.definition();
        let single = definition
            .fields
            .iter()
            .filter(|field| field.unique)
            .map(|field| (vec![&field.key], field.case_insensitive));
        let several = definition
            .unique
            .iter()
            .map(|unique| (unique.fields.iter().collect(), unique.case_insensitive));
        single
            .chain(several)
            .filter_map(|(fields, folded)| {
                let key = self.unique_key(&fields, folded, data)?;
                let slot = unique_slot(&definition.slug, &fields);
                Some(Entry { slot, key })
            })
            .collect()
    }

    /// The unique value that a record with this value of the field has; none where the field is
    /// not unique, or the value is none.
    pub fn unique_entry(&self, field: &FieldKey, value: &serde_json::Value) -> Option<Entry> {
        let (definition, kind) = self.fields().find(|(found, _)| found.key == *field)?;
        if !definition.unique {
            return None;
        }
        let value = kind.normalize(definition, value.clone());
        let data = Data::from_iter([(field.to_string(), value)]);
        let key = self.unique_key(&[field], definition.case_insensitive, &data)?;
        let slot = unique_slot(&self.definition().slug, &[field]);
        Some(Entry { slot, key })
    }

    /// What a copy of the record starts with: no values that only one record may have, none that
    /// the host computes.
    pub fn copy_of(&self, data: &Data) -> Data {
        self.fields()
            .filter(|(field, kind)| !field.unique && !kind.is_computed() && !field.retired)
            .filter_map(|(field, _)| {
                let value = data.get(field.key.as_str())?;
                Some((field.key.to_string(), value.clone()))
            })
            .collect()
    }

    /// What search finds the record by: the texts of its searchable fields.
    pub fn search_text(&self, data: &Data) -> String {
        let mut text = String::new();
        for (field, _) in self.fields().filter(|(field, _)| is_searched(field)) {
            if let Some(value) = data.get(field.key.as_str()) {
                append_texts(&mut text, value);
            }
        }
        text
    }

    fn unique_key(&self, fields: &[&FieldKey], folded: bool, data: &Data) -> Option<String> {
        let mut joined = String::new();
        for key in fields {
            let (field, kind) = self.fields().find(|(field, _)| field.key == **key)?;
            let value = data.get(key.as_str())?;
            for part in kind.parts(field) {
                let value = part.form.comparable(part.of(value)?)?;
                if !joined.is_empty() {
                    joined.push(SEPARATOR);
                }
                joined.push_str(&unique_text(part.form, &value, folded));
            }
        }
        if joined.len() <= UNIQUE_KEY_MAX_BYTES {
            return Some(joined);
        }
        let digest = Sha256::digest(joined.as_bytes());
        Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The slot of values that are unique over these fields.
pub fn unique_slot(module: &ModuleSlug, fields: &[&FieldKey]) -> String {
    match fields {
        [field] => slot(module, field),
        several => {
            let names: Vec<&str> = several.iter().map(|field| field.as_str()).collect();
            format!("{module}.({})", names.join(","))
        }
    }
}

/// Relations are indexed always: their rules and rollups look that way.
pub(crate) fn is_indexed(field: &FieldDefinition) -> bool {
    (field.indexed || field.unique || field.kind == crate::fields::RELATION)
        && field.inverse_of.is_none()
}

/// Nobody finds a record by what they cannot see: a retired field has no words.
pub(crate) fn is_searched(field: &FieldDefinition) -> bool {
    field.searchable && !field.retired
}

pub(crate) fn main_part(parts: &'static [Part]) -> Part {
    parts.first().copied().unwrap_or(Part::whole(Form::Opaque))
}

fn unique_text(form: Form, value: &Comparable, folded: bool) -> String {
    match value {
        Comparable::Text(text) if folded => key::fold(text),
        Comparable::Text(text) => text.clone(),
        other => form.key(other),
    }
}

fn append_texts(text: &mut String, value: &serde_json::Value) {
    match value {
        serde_json::Value::String(part) => {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(part);
        }
        serde_json::Value::Array(values) => values.iter().for_each(|one| append_texts(text, one)),
        serde_json::Value::Object(members) => {
            members.values().for_each(|one| append_texts(text, one));
        }
        _ => {}
    }
}
