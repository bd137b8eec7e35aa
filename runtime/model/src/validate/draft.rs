//! A record on its way: what was sent, completed step by step with what the host gives. The
//! values that expressions see follow each step.

use crm_expression::Context;
use serde_json::{Value, json};

use crate::Data;
use crate::computed::{formula_value, moment};
use crate::definition::{FieldDefinition, RollupOperation};
use crate::fields;
use crate::fields::format_number;
use crate::names::FieldKey;
use crate::rules::Computation;
use crate::scope::{Bound, Scene};

/// A record on its way.
pub(super) struct Draft<'a> {
    pub(super) scene: Scene<'a>,
    pub(super) before: Option<&'a Data>,
    pub(super) data: Data,
    context: Option<Context>,
    /// Fields that nobody sent and that got their default.
    filled: Vec<FieldKey>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(scene: Scene<'a>, before: Option<&'a Data>, data: Data) -> Self {
        let context = scene.context(&data, before);
        Self {
            scene,
            before,
            data,
            context,
            filled: Vec::new(),
        }
    }

    /// Gives a new record its defaults, its numbers, its author.
    pub(super) fn begin(&mut self) {
        let module = self.scene.module;
        for (field, kind) in module.fields() {
            if let Some(default) = &field.default
                && !field.retired
                && !self.has(&field.key)
            {
                self.put(&field.key, Some(kind.normalize(field, default.clone())));
                self.filled.push(field.key.clone());
            }
        }
        for Computation { field, value } in &module.rules().defaults {
            self.default_expression(field, value);
        }
        for (field, _) in module.fields() {
            if let Some(value) = self.first_value(field) {
                self.put(&field.key, Some(value));
            }
        }
    }

    fn default_expression(&mut self, key: &FieldKey, expression: &Bound) {
        let module = self.scene.module;
        let Some((field, kind)) = module.field(key.as_str()) else {
            return;
        };
        if field.retired || self.has(key) {
            return;
        }
        if let Some(value) = self.evaluate(expression) {
            self.put(key, Some(kind.normalize(field, value)));
            self.filled.push(key.clone());
        }
    }

    /// What a computed field of a new record starts with.
    fn first_value(&self, field: &FieldDefinition) -> Option<Value> {
        let Scene {
            actor,
            surroundings,
            ..
        } = self.scene;
        match field.kind.as_str() {
            fields::AUTO_NUMBER => {
                let number = surroundings.numbers.get(field.key.as_str())?;
                Some(Value::String(format_number(field, *number)))
            }
            fields::CREATED_AT => {
                let at = surroundings.made.map_or(surroundings.at, |made| made.at);
                Some(Value::String(moment(at)))
            }
            fields::CREATED_BY => {
                let by = surroundings.made.map(|made| made.by);
                Some(json!(by.unwrap_or(actor.user_id.as_str())))
            }
            fields::ROLLUP => {
                let rollup = field.rollup.as_ref()?;
                (rollup.operation == RollupOperation::Count).then(|| json!(0))
            }
            _ => None,
        }
    }

    /// Gives a record that is older than some of its fields what it would have begun with.
    pub(super) fn catch_up(&mut self) {
        if self.scene.surroundings.made.is_none() {
            return;
        }
        let module = self.scene.module;
        let mut is_signed = true;
        for (field, _) in module.fields() {
            // A rollup is computed from the records that it counts.
            if self.has(&field.key) || field.rollup.is_some() {
                continue;
            }
            if let Some(value) = self.first_value(field) {
                self.put(&field.key, Some(value));
            }
            is_signed &= ![fields::UPDATED_AT, fields::UPDATED_BY].contains(&field.kind.as_str());
        }
        if !is_signed {
            self.sign();
        }
    }

    /// Takes over the rollups that were computed anew.
    pub(super) fn take_rollups(&mut self) {
        let surroundings = self.scene.surroundings;
        for (field, value) in surroundings.rollups {
            let known = self.scene.module.field(field.as_str());
            if known.is_some_and(|(known, _)| known.kind == fields::ROLLUP) {
                self.put(field, (!value.is_null()).then(|| value.clone()));
            }
        }
    }

    /// Computes every formula; one that cannot be computed from these values has none.
    pub(super) fn compute_formulas(&mut self) {
        let module = self.scene.module;
        for Computation { field, value } in &module.rules().formulas {
            let Some((definition, _)) = module.field(field.as_str()) else {
                continue;
            };
            let answer = self.evaluate(value);
            self.put(
                field,
                answer.and_then(|answer| formula_value(definition, answer)),
            );
        }
    }

    /// Takes back defaults of fields that this record does not show.
    pub(super) fn drop_invisible_defaults(&mut self) {
        let rules = self.scene.module.rules();
        let filled = std::mem::take(&mut self.filled);
        let invisible: Vec<&FieldKey> = rules
            .conditions
            .iter()
            .filter(|conditions| filled.contains(&conditions.field))
            .filter(|conditions| {
                conditions
                    .visible_if
                    .as_ref()
                    .is_some_and(|e| !self.holds(e))
            })
            .map(|conditions| &conditions.field)
            .collect();
        if invisible.is_empty() {
            return;
        }
        for field in invisible {
            self.put(field, None);
        }
        self.compute_formulas();
    }

    /// Says who changed the record, and when.
    pub(super) fn sign(&mut self) {
        let Scene {
            module,
            actor,
            surroundings,
            ..
        } = self.scene;
        for (field, _) in module.fields() {
            match field.kind.as_str() {
                fields::UPDATED_AT => {
                    self.put(&field.key, Some(Value::String(moment(surroundings.at))));
                }
                fields::UPDATED_BY => self.put(&field.key, Some(json!(actor.user_id))),
                _ => {}
            }
        }
    }

    /// Whether the field has a value.
    pub(super) fn has(&self, field: &FieldKey) -> bool {
        self.data.contains_key(field.as_str())
    }

    /// Whether a condition is met. One that cannot be answered for these values, most often
    /// because one is missing, is not.
    pub(super) fn holds(&self, condition: &Bound) -> bool {
        self.answer(condition) == Some(Ok(true))
    }

    /// What a condition answers, or why it cannot.
    pub(super) fn answer(&self, condition: &Bound) -> Option<Result<bool, String>> {
        let context = self.context.as_ref()?;
        let answer = condition.expression.evaluate_bool_in(context);
        Some(answer.map_err(|error| error.to_string()))
    }

    fn evaluate(&self, expression: &Bound) -> Option<Value> {
        let context = self.context.as_ref()?;
        let value = expression.expression.evaluate_in(context).ok()?;
        (!value.is_null()).then_some(value)
    }

    pub(super) fn put(&mut self, field: &FieldKey, value: Option<Value>) {
        if let Some(context) = &mut self.context {
            self.scene.set_record(context, field, value.as_ref());
        }
        match value {
            Some(value) => self.data.insert(field.to_string(), value),
            None => self.data.remove(field.as_str()),
        };
    }
}
