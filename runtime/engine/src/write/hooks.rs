//! The template's hook in the door: before a change is checked for good, its template is asked
//! what it adds, or what is wrong.
//!
//! No transaction is open meanwhile. What the hook says holds for the version of the record that
//! it was asked about; where another version is found when the change is made, it is asked anew.

use chrono::{DateTime, Utc};
use crm_model::hooks::{OnFailure, TemplateHooks};
use crm_model::limits::BEFORE_SAVE_MAX_ROUNDS;
use crm_model::permission::{Authority, permit};
use crm_model::sight::Sight;
use crm_model::validate::{Surroundings, action_of, save_kind, would_be};
use crm_model::{Data, Model, Module, Mutation, RecordId, TenantId, ValidChange, Violations};
use crm_sandbox::{Objection, SaveCall};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Proposal;
use super::prepare::{Gathered, check_open, known_of};
use crate::fresh;
use crate::hook_failures::{Concern, HookFailures};

/// What was said of a proposal's operations so far, by their place in it.
pub(crate) struct Hooks {
    failures: Arc<HookFailures>,
    /// Of another model, nothing was said.
    model_version: i64,
    answers: HashMap<usize, Arc<Answered>>,
    /// How often was asked again because a record had changed.
    rounds: usize,
    /// How often was asked about each operation.
    asked: HashMap<usize, usize>,
}

/// An operation that the hook is asked about.
pub(crate) struct Question {
    pub(crate) operation: usize,
    /// Of a new record, the id that it will have.
    pub(crate) record_id: RecordId,
    pub(crate) base_version: i64,
    pub(crate) concern: Arc<Concern>,
    pub(crate) call: Arc<SaveCall>,
    /// The change, where it can be made as it is if the hook says nothing to it.
    pub(super) valid: Option<ValidChange>,
    failures: Arc<HookFailures>,
}

/// What the hook said of one operation.
pub(crate) struct Answered {
    pub(crate) record_id: RecordId,
    /// The version that it holds for; 0 for a new record.
    base_version: i64,
    concern: Arc<Concern>,
    answer: Answer,
    failures: Arc<HookFailures>,
}

pub(crate) enum Answer {
    Fine,
    Patch(Data),
    Objections(Vec<Objection>),
    /// Why there is none, as a clause.
    Failed(String),
    /// It was not called, because it is stopped or left alone: why, as a clause.
    Unavailable(String),
}

impl Question {
    pub(crate) fn answered(&self, answer: Answer) -> Answered {
        Answered {
            record_id: self.record_id,
            base_version: self.base_version,
            concern: Arc::clone(&self.concern),
            answer,
            failures: Arc::clone(&self.failures),
        }
    }

    /// Tells that there is no answer, and why, as a clause.
    pub(crate) fn tell(&self, status: &'static str, reason: &str) {
        self.failures.tell(&self.concern, status, reason);
    }
}

impl Answered {
    /// Whether the change can be made as it is.
    pub(super) fn is_fine(&self) -> bool {
        matches!(self.answer, Answer::Fine)
    }

    /// What is to be added to the record.
    pub(crate) fn patch(&self) -> Option<&Data> {
        match &self.answer {
            Answer::Patch(patch) => Some(patch),
            _ => None,
        }
    }

    /// Why the change is not made, as who asks may read it; empty where it is.
    pub(crate) fn objections(&self, module: &Module, sight: &Sight<'_>) -> Violations {
        match &self.answer {
            Answer::Fine | Answer::Patch(_) => Violations::default(),
            Answer::Objections(objections) => {
                let mut violations = Violations::default();
                for Objection { field, message } in objections {
                    let mut fields = module.definition().fields.iter();
                    let named = |name: &str| fields.find(|field| field.key.as_str() == name);
                    let pointer = match field.as_deref().and_then(named) {
                        Some(field) => format!("/data/{}", field.key),
                        None => "/data".to_owned(),
                    };
                    violations.add(pointer, "hook", message.clone());
                }
                sight.discreet(violations)
            }
            Answer::Failed(reason) => self.failed(reason),
            Answer::Unavailable(reason) => self.without(
                "hook_unavailable",
                format!(
                    "the template’s own check of this change is not made at the moment, so it was \
                     not made either: {reason}"
                ),
            ),
        }
    }

    /// What the hook added breaks the model: as if it had failed.
    pub(crate) fn misfit(&self, violations: &Violations) -> Violations {
        // Without the messages: what is wrong with a value may quote it.
        let places = violations
            .as_slice()
            .iter()
            .map(|one| format!("{} ({})", one.pointer, one.code));
        let places: Vec<String> = places.collect();
        let reason = format!("what it adds breaks the model: {}", places.join(", "));
        self.failures.tell(&self.concern, "misfit", &reason);
        self.failed("what it adds breaks the model")
    }

    fn failed(&self, reason: &str) -> Violations {
        self.without(
            "hook_failed",
            format!("the template’s own check of this change failed, so it was not made: {reason}"),
        )
    }

    fn without(&self, code: &'static str, message: String) -> Violations {
        match self.concern.on_failure {
            OnFailure::Ignore => Violations::default(),
            OnFailure::Refuse => Violations::one("/data", code, message),
        }
    }
}

impl Hooks {
    /// Nothing was said; failures are told there.
    pub(crate) fn new(failures: Arc<HookFailures>) -> Self {
        Self {
            failures,
            model_version: 0,
            answers: HashMap::new(),
            rounds: 0,
            asked: HashMap::new(),
        }
    }

    /// Forgets what was said under another model, and counts rounds anew.
    pub(crate) fn begin(&mut self, model: &Model) {
        if self.model_version != model.version() {
            self.answers.clear();
            self.model_version = model.version();
        }
        self.rounds = 0;
        self.asked.clear();
    }

    /// A record had changed, or stands there twice: the hook is asked again. Whether it may be.
    pub(crate) fn next_round(&mut self) -> bool {
        self.rounds += 1;
        self.rounds <= 2 * BEFORE_SAVE_MAX_ROUNDS
    }

    /// Whether one request changes the same record too often. In such a chain each operation is
    /// asked about ahead, and once more when its turn comes; whoever is asked about more often
    /// meets others, and tries again.
    fn is_too_long(&mut self, operation: usize) -> bool {
        let asked = self.asked.entry(operation).or_default();
        *asked += 1;
        self.rounds >= BEFORE_SAVE_MAX_ROUNDS && *asked <= 2
    }

    pub(crate) fn keep(&mut self, operation: usize, answered: Answered) {
        self.answers.insert(operation, Arc::new(answered));
    }

    /// What the hook has to be asked about these mutations, as they were gathered, were they made
    /// at that time. Nothing for what was answered, for who may not do it, and for what follows
    /// from other changes.
    pub(in crate::write) fn questions<'m>(
        &mut self,
        (model, proposal): (&Model, &Proposal<'_>),
        mutations: impl Iterator<Item = (usize, &'m Mutation)>,
        gathered: &Gathered,
        at: DateTime<Utc>,
    ) -> Vec<Question> {
        let Some(template) = model.hooks() else {
            return Vec::new();
        };
        if matches!(proposal.authority, Authority::Host(_)) {
            return Vec::new();
        }
        let mut questions = Vec::new();
        for (operation, mutation) in mutations {
            let asked = save_kind(mutation)
                .and_then(|kind| template.hooks.before_save(mutation.module(), kind));
            let Some(on_failure) = asked else {
                continue;
            };
            let known = known_of(proposal.authority, mutation, gathered);
            let base_version = known.map_or(0, |known| known.base.version);
            if self.holds(operation, mutation, base_version) {
                continue;
            }
            self.answers.remove(&operation);
            let made = proposal.new_ids.get(&operation).copied();
            let record_id = mutation.record_id().or(made);
            let record_id = record_id.unwrap_or_else(|| RecordId::new(fresh::id()));
            let asked = (mutation, record_id);
            let Some((call, valid)) = call(model, proposal, asked, gathered, at) else {
                continue;
            };
            let question = Question {
                operation,
                record_id,
                base_version,
                concern: Arc::new(concern(proposal.tenant, template, on_failure, &call)),
                call: Arc::new(call),
                valid,
                failures: Arc::clone(&self.failures),
            };
            if !self.is_too_long(operation) {
                questions.push(question);
                continue;
            }
            let reason = format!(
                "one request changes the same record at most {BEFORE_SAVE_MAX_ROUNDS} times"
            );
            question.tell("too_many_rounds", &reason);
            self.keep(operation, question.answered(Answer::Failed(reason)));
        }
        questions
    }

    /// Whether what was said holds for the record as it is.
    fn holds(&self, operation: usize, mutation: &Mutation, base_version: i64) -> bool {
        let answered = self.answers.get(&operation);
        answered.is_some_and(|answered| {
            answered.base_version == base_version
                && mutation
                    .record_id()
                    .is_none_or(|record| record == answered.record_id)
        })
    }

    /// What was said of the operations from `first` on, counted from there.
    pub(crate) fn said_from(&self, first: usize, count: usize) -> HashMap<usize, Arc<Answered>> {
        if self.answers.is_empty() {
            return HashMap::new();
        }
        let said = (0..count).filter_map(|index| {
            let answered = self.answers.get(&(first + index))?;
            Some((index, Arc::clone(answered)))
        });
        said.collect()
    }
}

fn concern(
    tenant: TenantId,
    template: &TemplateHooks,
    on_failure: OnFailure,
    call: &SaveCall,
) -> Concern {
    Concern {
        tenant,
        template: template.name.clone(),
        version: template.plugin.version.clone(),
        module: call.module.clone(),
        kind: call.kind,
        record_id: call.record_id,
        user: call.actor.user_id.clone(),
        on_failure,
    }
}

/// The change as the hook sees it, and as it would be made without the hook; none where there is
/// none to make.
fn call(
    model: &Model,
    proposal: &Proposal<'_>,
    (mutation, record_id): (&Mutation, RecordId),
    gathered: &Gathered,
    at: DateTime<Utc>,
) -> Option<(SaveCall, Option<ValidChange>)> {
    let authority = proposal.authority;
    let known = known_of(authority, mutation, gathered);
    let permit = permit(model, authority, action_of(mutation), mutation.module()).ok()?;
    if known.is_some() {
        check_open(gathered, authority, mutation).ok()?;
    }
    let surroundings = Surroundings {
        at,
        related: &gathered.related,
        // Taken when the change is made, so that none is lost where it is not.
        numbers: &BTreeMap::new(),
        made: known.and_then(super::Known::made),
        rollups: &BTreeMap::new(),
        added: None,
    };
    let base = known.map(|known| &known.base);
    let would_be = would_be(model, &permit, mutation, record_id, base, &surroundings)?;
    let (_, seed) = record_id.uuid().as_u64_pair();
    let settings = model.settings();
    let call = SaveCall {
        kind: would_be.kind,
        module: mutation.module().clone(),
        record_id: mutation.record_id(),
        before: would_be.before,
        after: would_be.after,
        changed: would_be.changed,
        actor: authority.actor().clone(),
        at,
        zone: settings.time_zone.name().into(),
        locale: settings.locale().into(),
        seed: seed ^ would_be.base_version.unsigned_abs(),
        plan: model.plan().limits,
    };
    Some((call, would_be.valid))
}
