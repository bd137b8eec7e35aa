//! What one person sees of a module's records, and may write into them: the one place that says
//! so, and the one that takes a record's values out for a reader. Whoever reads a query, takes in
//! what was sent, or answers with a record asks here.
//!
//! Fields out of use are nobody's to see. Of the rest a person's roles decide: what is hidden
//! does not exist for them, under whatever name and wherever; of what is masked they see that
//! there is a value.

use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::Data;
use crate::capability::{Grant, WriteOperation};
use crate::definition::{FieldAccess, FieldDefinition, ModuleDefinition};
use crate::derived;
use crate::fields::FieldType;
use crate::model::{Model, Module};
use crate::names::FieldKey;
use crate::nearest::suggestion;
use crate::permission::{Action, Actor};
use crate::schema;
use crate::violation::Violations;

/// What stands in the place of a masked value, or of its beginning.
const MASK: &str = "••••";
/// Characters of a masked text that stay, from its end.
const MASK_SHOWN_CHARACTERS: usize = 4;
/// Shorter texts are masked as a whole: never more than half of one is shown.
const MASK_MIN_CHARACTERS: usize = 8;
/// Types of which the end may be shown; the end of a number or a date would tell all of it.
const MASK_TYPES: [&str; 4] = ["text", "phone", "email", "auto_number"];

/// What the roles of a person leave of a field that one of them limits.
#[derive(Clone, Copy, Debug)]
struct Limit {
    read: FieldAccess,
    create: bool,
    update: bool,
}

/// What one reader sees of one module.
#[derive(Clone, Debug)]
pub struct Sight<'a> {
    module: &'a Module,
    limits: BTreeMap<&'a FieldKey, Limit>,
}

impl Model {
    /// What somebody sees of a module that they may read; without anybody, what the host sees.
    pub fn sight<'a>(&'a self, module: &'a Module, reader: Option<&Actor>) -> Sight<'a> {
        Sight::of(self, module, reader)
    }
}

impl<'a> Sight<'a> {
    pub(crate) fn of(model: &'a Model, module: &'a Module, reader: Option<&Actor>) -> Self {
        let mut limits = BTreeMap::new();
        let Some(reader) = reader.filter(|_| model.roles().limit_fields()) else {
            return Self { module, limits };
        };
        let slug = module.definition().slug.as_str();
        let mut roles = Vec::new();
        for name in model.roles().slugs_of(reader) {
            roles.extend(model.role(name).map(|role| &role.definition));
        }
        let named = roles.iter().filter_map(|role| role.fields.get(slug));
        for field in named.flat_map(BTreeMap::keys) {
            let access = |action: Action| {
                let roles = roles.iter().filter(|role| role.allows(slug, action));
                roles.map(|role| role.access(slug, field)).max()
            };
            let limit = Limit {
                read: access(Action::Read).unwrap_or(FieldAccess::Hidden),
                create: access(Action::Create) == Some(FieldAccess::Open),
                update: access(Action::Update) == Some(FieldAccess::Open),
            };
            limits.insert(field, limit);
        }
        Self { module, limits }
    }

    /// What a plugin sees of it: fields that its grant does not name are hidden from it.
    pub fn narrowed(mut self, grant: &Grant) -> Self {
        let definition = self.module.definition();
        let slug = definition.slug.as_str();
        for field in &definition.fields {
            if !grant.may_read(slug, field.key.as_str()) {
                let hidden = Limit {
                    read: FieldAccess::Hidden,
                    create: false,
                    update: false,
                };
                self.limits.insert(&field.key, hidden);
            }
        }
        self
    }

    /// The module.
    pub fn module(&self) -> &'a Module {
        self.module
    }

    fn read(&self, field: &FieldDefinition) -> FieldAccess {
        match self.limits.get(&field.key) {
            _ if field.retired => FieldAccess::Hidden,
            None => FieldAccess::Open,
            Some(limit) => limit.read,
        }
    }

    /// The field of that name, if it is there for the reader, masked or not.
    pub fn field(&self, name: &str) -> Option<&'a FieldDefinition> {
        let (field, _) = self.module.field(name)?;
        (self.read(field) > FieldAccess::Hidden).then_some(field)
    }

    /// The field of that name, if the reader sees its values as they are: what records may be
    /// looked up by.
    pub fn clear_field(&self, name: &str) -> Option<&'a FieldDefinition> {
        self.field(name)
            .filter(|field| self.read(field) > FieldAccess::Masked)
    }

    pub(crate) fn clear(
        &self,
        name: &str,
    ) -> Option<(&'a FieldDefinition, &'static dyn FieldType)> {
        let (field, kind) = self.module.field(name)?;
        (self.read(field) > FieldAccess::Masked).then_some((field, kind))
    }

    /// The fields that are there for the reader, in order.
    pub fn fields(&self) -> impl Iterator<Item = &'a FieldDefinition> {
        let fields = self.module.definition().fields.iter();
        fields.filter(|field| self.read(field) > FieldAccess::Hidden)
    }

    pub(crate) fn clear_fields(&self) -> impl Iterator<Item = &'a FieldDefinition> {
        let fields = self.module.definition().fields.iter();
        fields.filter(|field| self.read(field) > FieldAccess::Masked)
    }

    /// How far the field is open, where it is less than open.
    pub fn access(&self, field: &FieldKey) -> Option<FieldAccess> {
        let limit = self.limits.get(field)?;
        let is_written = limit.create || limit.update;
        let access = match limit.read {
            FieldAccess::Open if !is_written => FieldAccess::ReadOnly,
            other => other,
        };
        (access < FieldAccess::Open).then_some(access)
    }

    /// Whether the reader sees that there is a value, not which.
    pub fn is_masked(&self, field: &FieldDefinition) -> bool {
        self.read(field) == FieldAccess::Masked
    }

    /// Whether a field is kept from this reader, by their roles or because it is out of use.
    pub(crate) fn is_hidden(&self, field: &FieldDefinition) -> bool {
        self.read(field) == FieldAccess::Hidden
    }

    /// Whether roles keep a field that there is from this reader.
    pub fn hides(&self, field: &FieldKey) -> bool {
        let limit = self.limits.get(field);
        limit.is_some_and(|limit| limit.read == FieldAccess::Hidden)
    }

    /// The fields that roles keep from this reader.
    pub fn hidden(&self) -> impl Iterator<Item = &'a FieldKey> {
        let limits = self.limits.iter();
        let hidden = limits.filter(|(_, limit)| limit.read == FieldAccess::Hidden);
        hidden.map(|(key, _)| *key)
    }

    /// Whether a text, such as an expression, holds the name of a field that roles hide.
    pub fn tells(&self, text: &str) -> bool {
        let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let mut names = text.split(|character| !is_part(character));
        let hides = |name: &str| {
            let limit = self.limits.iter().find(|(key, _)| key.as_str() == name);
            limit.is_some_and(|(_, limit)| limit.read == FieldAccess::Hidden)
        };
        self.is_limited() && names.any(hides)
    }

    /// Whether the person's roles leave the field to be written. What no person may write at
    /// all is not asked here.
    pub fn may_write(&self, field: &FieldKey, operation: WriteOperation) -> bool {
        self.limits.get(field).is_none_or(|limit| match operation {
            WriteOperation::Create => limit.create,
            WriteOperation::Update => limit.update,
            WriteOperation::Delete | WriteOperation::Assign => true,
        })
    }

    /// Whether the roles leave some field less than open.
    pub fn is_limited(&self) -> bool {
        !self.limits.is_empty()
    }

    /// What roles say of the fields that are there, where it is less than open.
    pub fn limited(&self) -> impl Iterator<Item = (&'a FieldKey, FieldAccess)> {
        self.fields()
            .filter_map(|field| Some((&field.key, self.access(&field.key)?)))
    }

    /// A record's stored data for this reader: this alone takes values out of records, and puts
    /// masks into them.
    pub fn show<'d>(&self, data: &'d Data) -> Cow<'d, Data> {
        let access = |name: &str| {
            let field = self.module.field(name);
            field.map_or(FieldAccess::Hidden, |(field, _)| self.read(field))
        };
        if data.keys().all(|name| access(name) > FieldAccess::Masked) {
            return Cow::Borrowed(data);
        }
        let shown = data.iter().filter_map(|(name, value)| {
            let (field, _) = self.module.field(name)?;
            Some((name.clone(), self.show_value(field, value)?))
        });
        Cow::Owned(shown.collect())
    }

    /// One value for this reader; none where the field is hidden.
    pub fn show_value(&self, field: &FieldDefinition, value: &Value) -> Option<Value> {
        match self.read(field) {
            FieldAccess::Hidden => None,
            FieldAccess::Masked => Some(mask(field, value)),
            FieldAccess::ReadOnly | FieldAccess::Open => Some(value.clone()),
        }
    }

    /// Whether a searchable field is kept from the reader, so that what words find has to be
    /// looked at again.
    pub fn limits_search(&self) -> bool {
        let mut limits = self.limits.iter();
        limits.any(|(key, limit)| {
            limit.read <= FieldAccess::Masked
                && self
                    .module
                    .field(key.as_str())
                    .is_some_and(|(field, _)| derived::is_searched(field))
        })
    }

    /// The fields by whose words this reader finds records.
    pub fn searched_fields(&self) -> Vec<FieldKey> {
        let fields = self
            .clear_fields()
            .filter(|field| derived::is_searched(field));
        fields.map(|field| field.key.clone()).collect()
    }

    /// What this reader finds a record by: the texts of the searchable fields that they see.
    pub fn search_text(&self, data: &Data) -> String {
        let clear = |name: &str| self.clear_field(name).is_some();
        let seen = data.iter().filter(|(name, _)| clear(name));
        let seen = seen
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        self.module.search_text(&seen)
    }

    /// What a copy of a record starts with: of what [`Module::copy_of`] takes, what the reader
    /// sees and may write.
    pub fn copy_of(&self, data: &Data) -> Data {
        let mut copy = self.module.copy_of(data);
        copy.retain(|name, _| {
            let field = self.clear_field(name);
            field.is_some_and(|field| self.may_write(&field.key, WriteOperation::Create))
        });
        copy
    }

    /// What names a record to this reader.
    pub fn record_title(&self, shown: &Data) -> Option<String> {
        self.module.record_title(shown)
    }

    /// Whether a value is the mask of some value of a masked field: never one to keep.
    pub(crate) fn is_mask(value: &Value) -> bool {
        value.as_str().is_some_and(|text| text.starts_with(MASK))
    }

    /// What says that there is no such field, with the reader's own fields to choose from: the
    /// same words for what is hidden and for what is not there.
    pub(crate) fn unknown_field(&self, name: &str) -> String {
        let hint = suggestion(name, self.fields().map(|field| field.key.as_str()));
        format!("there is no such field{hint}")
    }

    /// Violations as this person may read them: what is wrong with a field that they cannot see
    /// is told without its name. What they sent under such a name is unknown to everybody.
    pub fn discreet(&self, violations: Violations) -> Violations {
        let hidden = |pointer: &str| {
            let name = pointer.strip_prefix("/data/").unwrap_or_default();
            let name = name.split('/').next().unwrap_or_default();
            name.parse().is_ok_and(|field| self.hides(&field))
        };
        if !self.is_limited() {
            return violations;
        }
        let mut told = Violations::default();
        let mut is_untold = false;
        for violation in violations.as_slice() {
            if violation.code == "unknown_field" || !hidden(&violation.pointer) {
                let (pointer, message) = (violation.pointer.clone(), violation.message.clone());
                told.add(pointer, &violation.code, message);
            } else {
                is_untold = true;
            }
        }
        if is_untold {
            let message = "something is wrong that you cannot set right: ask somebody who may \
                           see more of these records";
            told.add(schema::DATA_POINTER.to_owned(), "not_yours", message);
        }
        told
    }

    /// The module as this reader knows it: no hidden field stands in it, nor what tells of one.
    pub fn definition(&self) -> Cow<'a, ModuleDefinition> {
        let whole = self.module.definition();
        if !self.is_limited() {
            return Cow::Borrowed(whole);
        }
        let is_hidden = |key: &FieldKey| self.hides(key);
        let mut definition = whole.clone();
        definition.fields.retain(|field| !is_hidden(&field.key));
        definition
            .unique
            .retain(|unique| !unique.fields.iter().any(is_hidden));
        definition.rules.retain(|rule| {
            !self.tells(&rule.expression) && !rule.field.as_ref().is_some_and(is_hidden)
        });
        definition.title_field = definition.title_field.filter(|key| !is_hidden(key));
        for field in &mut definition.fields {
            self.strip(field);
        }
        Cow::Owned(definition)
    }

    /// Takes out of a field's definition what tells of hidden ones.
    fn strip(&self, field: &mut FieldDefinition) {
        for expression in [
            &mut field.default_expression,
            &mut field.required_if,
            &mut field.visible_if,
            &mut field.read_only_if,
            &mut field.expression,
        ] {
            *expression = expression.take().filter(|text| !self.tells(text));
        }
        field.depends_on = field.depends_on.take().filter(|key| !self.hides(key));
        for option in &mut field.options {
            option.required_fields.retain(|key| !self.hides(key));
        }
        let is_written = self.may_write(&field.key, WriteOperation::Create)
            || self.may_write(&field.key, WriteOperation::Update);
        field.read_only |= !is_written;
    }

    /// JSON Schema (2020-12) of a record's data, as far as it is there for the reader.
    pub fn schema(&self) -> Value {
        match self.definition() {
            Cow::Borrowed(_) => self.module.schema().clone(),
            Cow::Owned(definition) => schema::module_schema(&definition),
        }
    }
}

/// A value behind its mask: the end of a long text, nothing of anything else.
fn mask(field: &FieldDefinition, value: &Value) -> Value {
    let Value::String(text) = value else {
        return Value::from(MASK);
    };
    let characters = text.chars().count();
    if !MASK_TYPES.contains(&field.kind.as_str()) || characters < MASK_MIN_CHARACTERS {
        return Value::from(MASK);
    }
    let end = text.chars().skip(characters - MASK_SHOWN_CHARACTERS);
    Value::from(format!("{MASK}{}", end.collect::<String>()))
}

#[cfg(test)]
#[path = "sight_tests.rs"]
mod tests;
