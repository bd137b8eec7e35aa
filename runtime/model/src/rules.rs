//! A module's expressions, compiled once for each version of the model: conditions of fields,
//! default values, formulas in an order in which each finds what it reads, and the rules that
//! hold across fields. It evaluates nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::definition::{FieldDefinition, RuleDefinition};
use crate::fields::{self, FieldType};
use crate::limits;
use crate::model::{ModelError, Module};
use crate::names::{FieldKey, ModuleSlug};
use crate::order::order;
use crate::scope::Bound;

/// The conditions of one field.
#[derive(Debug)]
pub(crate) struct Conditions {
    pub(crate) field: FieldKey,
    /// Required where they are met, whether or not an expression says so.
    pub(crate) required: bool,
    pub(crate) required_if: Option<Bound>,
    pub(crate) visible_if: Option<Bound>,
    pub(crate) read_only_if: Option<Bound>,
}

/// A field and the expression that gives its value.
#[derive(Debug)]
pub(crate) struct Computation {
    pub(crate) field: FieldKey,
    pub(crate) value: Bound,
}

/// What has to be true of every record.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) holds: Bound,
    pub(crate) message: String,
    pub(crate) field: Option<FieldKey>,
}

/// All expressions of a module.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) conditions: Vec<Conditions>,
    pub(crate) defaults: Vec<Computation>,
    /// Each after the formulas that it reads.
    pub(crate) formulas: Vec<Computation>,
    pub(crate) rules: Vec<Rule>,
    /// Fields of `record` that any of them reads.
    pub(crate) reads: BTreeSet<FieldKey>,
    /// Fields of `before` that any of them reads.
    pub(crate) reads_before: BTreeSet<FieldKey>,
    /// Relations behind which any of them looks.
    pub(crate) related: BTreeSet<FieldKey>,
}

impl Rules {
    /// Compiles the expressions of a module.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub(crate) fn compile(
        module: &Module,
        modules: &BTreeMap<ModuleSlug, Module>,
    ) -> Result<Self, ModelError> {
        let mut rules = Self::default();
        let binder = Binder { module, modules };
        for (field, kind) in module.fields() {
            rules.add_field(&binder, field, kind)?;
        }
        rules.add_rules(&binder)?;
        rules.check_count(module)?;
        rules.sort_formulas(&binder)?;
        rules.collect_reads();
        Ok(rules)
    }

    /// Whether there is nothing to evaluate.
    pub(crate) fn is_empty(&self) -> bool {
        self.conditions.is_empty()
            && self.defaults.is_empty()
            && self.formulas.is_empty()
            && self.rules.is_empty()
    }

    fn add_field(
        &mut self,
        binder: &Binder<'_>,
        field: &FieldDefinition,
        kind: &dyn FieldType,
    ) -> Result<(), ModelError> {
        let bind = |attribute, source: &Option<String>| binder.attribute(field, attribute, source);
        if let Some(value) = bind("default_expression", &field.default_expression)? {
            binder.check_default(field, kind, &value)?;
            let field = field.key.clone();
            self.defaults.push(Computation { field, value });
        }
        match bind("expression", &field.expression)? {
            Some(value) if field.kind == fields::FORMULA => {
                let field = field.key.clone();
                self.formulas.push(Computation { field, value });
            }
            None if field.kind != fields::FORMULA => {}
            None => return Err(binder.error(field, "expression", "a formula has an expression")),
            Some(_) => {
                let message = "goes with fields of type formula; a value for new records is a \
                               default_expression";
                return Err(binder.error(field, "expression", message));
            }
        }
        let conditions = Conditions {
            field: field.key.clone(),
            required: field.required && !is_computed(field, kind),
            required_if: bind("required_if", &field.required_if)?,
            visible_if: bind("visible_if", &field.visible_if)?,
            read_only_if: bind("read_only_if", &field.read_only_if)?,
        };
        // A retired field is neither asked for nor shown, whatever its conditions say.
        if !conditions.is_constant() && !field.retired {
            self.conditions.push(conditions);
        }
        Ok(())
    }

    fn add_rules(&mut self, binder: &Binder<'_>) -> Result<(), ModelError> {
        let definition = binder.module.definition();
        if definition.rules.len() > limits::MODULE_MAX_RULES {
            let most = limits::MODULE_MAX_RULES;
            return Err(ModelError::new(
                format!("modules/{}/rules", definition.slug),
                format!("a module has at most {most} rules"),
            ));
        }
        for (index, rule) in definition.rules.iter().enumerate() {
            let compiled = binder.rule(rule).map_err(|message| {
                ModelError::new(
                    format!("modules/{}/rules/{index}", definition.slug),
                    message,
                )
            })?;
            self.rules.push(compiled);
        }
        Ok(())
    }

    fn sort_formulas(&mut self, binder: &Binder<'_>) -> Result<(), ModelError> {
        let mut formulas: BTreeMap<FieldKey, Computation> = std::mem::take(&mut self.formulas)
            .into_iter()
            .map(|formula| (formula.field.clone(), formula))
            .collect();
        let needs = |key: &FieldKey| {
            let reads = formulas.get(key).map(|formula| &formula.value.reads);
            let reads = reads.into_iter().flatten();
            reads
                .filter(|read| formulas.contains_key(*read))
                .cloned()
                .collect()
        };
        let ordered = order(formulas.keys().cloned(), needs).map_err(|circle| {
            let names: Vec<&str> = circle.iter().map(FieldKey::as_str).collect();
            let place = format!("modules/{}/fields", binder.module.definition().slug);
            ModelError::new(
                format!("{place}/{}/expression", names.first().unwrap_or(&"")),
                format!("the formula reads itself: {}", names.join(" → ")),
            )
        })?;
        self.formulas = ordered
            .iter()
            .filter_map(|key| formulas.remove(key))
            .collect();
        Ok(())
    }

    /// Each is bounded in time by itself; their number bounds the time of a write.
    fn check_count(&self, module: &Module) -> Result<(), ModelError> {
        let most = limits::MODULE_MAX_EXPRESSIONS;
        if self.expressions().count() <= most {
            return Ok(());
        }
        Err(ModelError::new(
            format!("modules/{}", module.definition().slug),
            format!("a module has at most {most} expressions"),
        ))
    }

    fn collect_reads(&mut self) {
        let mut found = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for bound in self.expressions() {
            found.0.extend(bound.reads.iter().cloned());
            found.1.extend(bound.reads_before.iter().cloned());
            found.2.extend(bound.related.iter().cloned());
        }
        (self.reads, self.reads_before, self.related) = found;
    }

    fn expressions(&self) -> impl Iterator<Item = &Bound> {
        let conditions = self.conditions.iter().flat_map(Conditions::expressions);
        let computations = self.defaults.iter().chain(&self.formulas);
        let values = computations.map(|computation| &computation.value);
        let rules = self.rules.iter().map(|rule| &rule.holds);
        conditions.chain(values).chain(rules)
    }
}

impl Conditions {
    fn is_constant(&self) -> bool {
        self.expressions().next().is_none()
    }

    fn expressions(&self) -> impl Iterator<Item = &Bound> {
        let all = [&self.required_if, &self.visible_if, &self.read_only_if];
        all.into_iter().flatten()
    }
}

/// Whether the host gives the values of the field.
pub(crate) fn is_computed(field: &FieldDefinition, kind: &dyn FieldType) -> bool {
    kind.is_computed() || field.inverse_of.is_some()
}

/// Parses the expressions of one module, and says where a mistake stands.
struct Binder<'a> {
    module: &'a Module,
    modules: &'a BTreeMap<ModuleSlug, Module>,
}

impl Binder<'_> {
    fn error(&self, field: &FieldDefinition, attribute: &str, message: &str) -> ModelError {
        let slug = &self.module.definition().slug;
        ModelError::new(
            format!("modules/{slug}/fields/{}/{attribute}", field.key),
            message,
        )
    }

    fn attribute(
        &self,
        field: &FieldDefinition,
        attribute: &str,
        source: &Option<String>,
    ) -> Result<Option<Bound>, ModelError> {
        let bound = source
            .as_deref()
            .map(|source| Bound::new(source, self.module, self.modules));
        bound
            .transpose()
            .map_err(|message| self.error(field, attribute, &message))
    }

    /// A default is found before anything is computed, so it reads what was sent.
    fn check_default(
        &self,
        field: &FieldDefinition,
        kind: &dyn FieldType,
        value: &Bound,
    ) -> Result<(), ModelError> {
        let refused = |message: &str| Err(self.error(field, "default_expression", message));
        if is_computed(field, kind) {
            return refused("the field is computed and needs no default");
        }
        if field.default.is_some() {
            return refused("a field has a default or a default_expression, not both");
        }
        let computed = value.reads.iter().find(|key| {
            let found = self.module.field(key.as_str());
            found.is_some_and(|(field, kind)| is_computed(field, kind))
        });
        match computed {
            Some(key) => refused(&format!(
                "“{key}” is computed later: a default cannot read it"
            )),
            None => Ok(()),
        }
    }

    fn rule(&self, rule: &RuleDefinition) -> Result<Rule, String> {
        let length = rule.message.trim().chars().count();
        let most = limits::RULE_MESSAGE_MAX_CHARACTERS;
        if length == 0 || length > most {
            return Err(format!("message has 1 to {most} characters"));
        }
        if let Some(field) = &rule.field
            && self.module.field(field.as_str()).is_none()
        {
            let slug = &self.module.definition().slug;
            return Err(format!("field: “{slug}” has no field “{field}”"));
        }
        let holds = Bound::new(&rule.expression, self.module, self.modules)
            .map_err(|message| format!("expression: {message}"))?;
        Ok(Rule {
            holds,
            message: rule.message.clone(),
            field: rule.field.clone(),
        })
    }
}
