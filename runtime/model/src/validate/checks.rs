//! Everything that a record has to satisfy once it is complete: its schema, what types know
//! beyond it, conditions of fields, selects that depend on something, rules across fields. All
//! violations are collected, none stops the others; but what follows from a value that is wrong
//! itself is not reported on top.

use serde_json::Value;
use std::collections::BTreeSet;

use super::change::differs;
use super::draft::Draft;
use super::pointer;
use crate::Data;
use crate::choices;
use crate::model::Module;
use crate::names::FieldKey;
use crate::rules::{Conditions, Rule};
use crate::schema::{self, DATA_POINTER};
use crate::scope::Bound;
use crate::sight::Sight;
use crate::violation::Violations;

/// Adds everything that is wrong with the draft.
pub(super) fn check(draft: &mut Draft<'_>, sight: &Sight<'_>, violations: &mut Violations) {
    check_values(draft, sight, violations);
    check_rules(draft, violations);
}

/// Adds what is wrong with which values there are, and with how they go together.
pub(super) fn check_rules(draft: &Draft<'_>, violations: &mut Violations) {
    let mut checks = Checks { draft, violations };
    let hidden = checks.conditions();
    checks.choices(&hidden);
    checks.rules();
}

/// Adds what is wrong with the draft's values, each for itself.
pub(super) fn check_values(draft: &mut Draft<'_>, sight: &Sight<'_>, violations: &mut Violations) {
    let module = draft.scene.module;
    check_schema(module, sight, &mut draft.data, violations);
    check_types(module, &draft.data, violations);
}

/// Retired fields keep their values, and their schema is gone.
fn check_schema(module: &Module, sight: &Sight<'_>, data: &mut Data, violations: &mut Violations) {
    let retired: Vec<(String, Value)> = module
        .retired()
        .iter()
        .filter_map(|key| data.remove_entry(key.as_str()))
        .collect();
    let value = Value::Object(std::mem::take(data));
    schema::violations(module, sight, &value, violations);
    if let Value::Object(checked) = value {
        *data = checked;
    }
    data.extend(retired);
}

fn check_types(module: &Module, data: &Data, violations: &mut Violations) {
    for (field, kind) in module.fields().filter(|(field, _)| !field.retired) {
        let Some(value) = data.get(field.key.as_str()) else {
            continue;
        };
        let at = pointer(field.key.as_str());
        if violations.touches(&at) {
            continue;
        }
        if let Err(problem) = kind.check(field, value) {
            violations.add(at, problem.code, problem.message);
        }
    }
}

struct Checks<'d, 'a> {
    draft: &'d Draft<'a>,
    violations: &'d mut Violations,
}

impl<'a> Checks<'_, 'a> {
    /// Conditions of fields. Gives the fields that this record does not show.
    fn conditions(&mut self) -> BTreeSet<&'a FieldKey> {
        let rules = self.draft.scene.module.rules();
        let before = self.before();
        let mut hidden = BTreeSet::new();
        for conditions in &rules.conditions {
            self.locked(conditions, before.as_ref());
            let visible = match &conditions.visible_if {
                Some(condition) => self.holds(condition),
                None => Some(true),
            };
            if visible != Some(true) {
                hidden.insert(&conditions.field);
            } else if self.requires(conditions) {
                self.require(&conditions.field);
            }
            if visible == Some(false) && self.draft.has(&conditions.field) {
                self.unseen(&conditions.field);
            }
        }
        hidden
    }

    /// The record before as a draft of its own, where a condition may ask about it.
    fn before(&self) -> Option<Draft<'a>> {
        let scene = self.draft.scene;
        let conditions = &scene.module.rules().conditions;
        let asked = conditions
            .iter()
            .any(|conditions| conditions.read_only_if.is_some());
        let before = self.draft.before.filter(|_| asked)?;
        Some(Draft::new(scene, Some(before), before.clone()))
    }

    fn locked(&mut self, conditions: &Conditions, before: Option<&Draft<'a>>) {
        let (Some(condition), Some(before)) = (&conditions.read_only_if, before) else {
            return;
        };
        if self.is_changed(&conditions.field) && before.holds(condition) {
            let message = "cannot be changed any more as the record stands";
            let at = pointer(conditions.field.as_str());
            self.violations.add(at, "read_only", message);
        }
    }

    fn requires(&self, conditions: &Conditions) -> bool {
        let required_if = conditions.required_if.as_ref();
        conditions.required
            || required_if.is_some_and(|condition| self.holds(condition) == Some(true))
    }

    /// What stood there before may stay: only forms leave it out.
    fn unseen(&mut self, field: &FieldKey) {
        if self.is_changed(field) {
            let message = "does not apply to this record as it is: leave it out";
            self.violations
                .add(pointer(field.as_str()), "not_visible", message);
        }
    }

    fn choices(&mut self, hidden: &BTreeSet<&FieldKey>) {
        let draft = self.draft;
        for key in draft.scene.module.choices() {
            let Some((field, _)) = draft.scene.module.field(key.as_str()) else {
                continue;
            };
            let at = pointer(key.as_str());
            if field.retired || self.violations.touches(&at) {
                continue;
            }
            if let Some(message) = choices::misfit(field, &draft.data) {
                self.violations.add(at.clone(), "option", message);
            }
            let stage = draft.data.get(key.as_str());
            let before = draft.before.and_then(|data| data.get(key.as_str()));
            if let Some(message) = choices::refused_transition(field, before, stage) {
                self.violations.add(at, "transition", message);
                continue;
            }
            for required in choices::required_fields(field, stage) {
                if !hidden.contains(required) {
                    self.require(required);
                }
            }
        }
    }

    fn rules(&mut self) {
        let draft = self.draft;
        for rule in &draft.scene.module.rules().rules {
            if self.is_broken(&rule.holds) {
                continue;
            }
            let message = match draft.answer(&rule.holds) {
                None | Some(Ok(true)) => continue,
                Some(Ok(false)) => rule.message.clone(),
                Some(Err(error)) => {
                    format!("{} (the rule cannot be checked: {error})", rule.message)
                }
            };
            self.violations.add(rule_pointer(rule), "rule", message);
        }
    }

    fn require(&mut self, field: &FieldKey) {
        let at = pointer(field.as_str());
        let retired = self.draft.scene.module.field(field.as_str());
        let retired = retired.is_none_or(|(field, _)| field.retired);
        if !retired && !self.draft.has(field) && !self.violations.touches(&at) {
            self.violations.add(at, "required", "is required");
        }
    }

    /// Whether a condition is met; none where a value that it reads is wrong itself.
    fn holds(&self, condition: &Bound) -> Option<bool> {
        (!self.is_broken(condition)).then(|| self.draft.holds(condition))
    }

    fn is_broken(&self, bound: &Bound) -> bool {
        !self.violations.is_empty()
            && bound
                .reads
                .iter()
                .any(|field| self.violations.touches(&pointer(field.as_str())))
    }

    fn is_changed(&self, field: &FieldKey) -> bool {
        differs(field, self.draft.before, Some(&self.draft.data))
    }
}

fn rule_pointer(rule: &Rule) -> String {
    match &rule.field {
        Some(field) => pointer(field.as_str()),
        None => DATA_POINTER.to_owned(),
    }
}
