//! The one door. Every change of a record, a person's or a plugin's, one or ten thousand, goes
//! through here: the permission is asked for, the data validated, what follows is found (jobs,
//! index rows, references that end, rollups), and all of it is committed together.
//!
//! There are two ways through. What stands alone (one record, nobody's rollup, nothing that
//! follows) is read, judged and committed in one statement, optimistically: whoever finds the
//! record or the model changed starts again. Everything else runs in one transaction that locks
//! the records it changes. No guest runs in either.

mod alone;
mod backfill;
mod conflict;
mod follow;
mod gather;
pub(crate) mod hooks;
mod jobs;
mod prepare;
mod purge;
mod reach;
mod rollup;
mod transaction;
mod trial;

use crm_model::limits::{WRITE_MAX_MODEL_CHANGES, WRITE_MAX_RETRIES};
use crm_model::permission::Authority;
use crm_model::validate::{Base, Made};
use crm_model::{
    Actor, Cause, Data, Denied, FieldKey, Model, ModuleSlug, Mutation, Priority, RecordId, Refusal,
    TenantId,
};
use crm_store::StoreError;
use crm_store::activities::Activity;
use crm_store::commit::Completion;
use crm_store::records::Record;
use std::collections::HashMap;
use std::sync::Arc;

use crate::meter::{Hold, Room};
use crate::tasks::Held;
use crate::{Engine, EngineError};
use hooks::Hooks;
use prepare::Rooms;

pub use conflict::Conflict;
pub(crate) use jobs::cut;

/// What is asked of the door.
#[derive(Clone, Debug)]
pub enum Operation {
    Mutation(Mutation),
    /// Changes the record that has this value of a unique field, or creates one.
    Upsert {
        module: ModuleSlug,
        field: FieldKey,
        value: serde_json::Value,
        data: Data,
    },
}

impl Operation {
    pub(crate) fn module(&self) -> &ModuleSlug {
        match self {
            Self::Mutation(mutation) => mutation.module(),
            Self::Upsert { module, .. } => module,
        }
    }
}

/// What became of one operation.
#[derive(Clone, Debug)]
pub enum Written {
    /// A new record.
    Created(Box<Record>),
    /// The record as it is now.
    Updated(Box<Record>),
    /// The record is in the trash.
    Deleted { version: i64 },
    /// The timeline has this entry.
    Activity(Box<Activity>),
}

/// One operation's result.
pub type Outcome = Result<Written, EngineError>;

/// Makes the answer that is kept for the same request.
pub type ReceiptMaker = crate::receipt::ReceiptMaker<[Outcome]>;

/// Many operations at once.
#[derive(Clone)]
pub struct Batch {
    pub tenant: TenantId,
    pub actor: Actor,
    pub cause: Cause,
    pub operations: Vec<Operation>,
    /// All or nothing; otherwise what is refused is left out.
    pub atomic: bool,
    /// Whether workflows start.
    pub workflows: bool,
    /// Everything is checked, nothing stays.
    pub dry_run: bool,
    pub receipt: Option<ReceiptMaker>,
}

/// Operations on their way in.
pub(crate) struct Proposal<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) authority: Authority<'a>,
    pub(crate) cause: &'a Cause,
    pub(crate) depth: u32,
    pub(crate) operations: &'a [Operation],
    pub(crate) atomic: bool,
    pub(crate) workflows: bool,
    pub(crate) dry_run: bool,
    /// Records as they were read a moment ago.
    pub(crate) known: HashMap<RecordId, Known>,
    /// The ids of records that are to be made, by the place of the operation; others get one.
    pub(crate) new_ids: HashMap<usize, RecordId>,
    /// The job whose result this is.
    pub(crate) completion: Option<Completion>,
    pub(crate) receipt: Option<ReceiptMaker>,
    /// The task whose step this is.
    pub(crate) place: Option<Place<'a>>,
    /// How urgent the runs are that it starts, where their workflows do not say.
    pub(crate) priority: Priority,
}

/// Where a task stands after a step, which depends on what comes of it.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) held: &'a Held,
    pub(crate) state: &'a (dyn Fn(&[Outcome]) -> serde_json::Value + Sync),
}

/// A record as it was read, with the rest of its row where that was read too.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) base: Base,
    pub(crate) record: Option<Record>,
}

impl Known {
    pub(crate) fn of(record: Record) -> Self {
        Self {
            base: Base {
                version: record.version,
                data: record.data.clone(),
            },
            record: Some(record),
        }
    }

    /// When and by whom it was made, where that was read.
    pub(crate) fn made(&self) -> Option<Made<'_>> {
        self.record.as_ref().map(made)
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.record
            .as_ref()
            .is_some_and(|record| record.deleted_at.is_some())
    }
}

fn made(record: &Record) -> Made<'_> {
    Made {
        at: record.created_at,
        by: &record.created_by,
        owner: &record.owner_id,
    }
}

/// How one attempt at a proposal ended.
enum Attempt {
    /// Committed, or refused without a trace; one outcome for each operation.
    Done(Vec<Outcome>),
    Again(Changed),
}

/// What changed while a write was under way, so that it starts again.
#[derive(Clone, Copy)]
enum Changed {
    /// Which has an end of its own, unlike a race for a record.
    Model,
    Record,
}

impl Engine {
    /// Does one thing that a person asks. Runs to its end even if the caller goes away.
    ///
    /// # Errors
    /// [`EngineError::Refused`] with every violation; [`EngineError::Stale`] where the record
    /// has another version; [`EngineError::Store`] where the database is away.
    pub async fn write(
        &self,
        tenant: TenantId,
        actor: Actor,
        mutation: Mutation,
        receipt: Option<ReceiptMaker>,
    ) -> Outcome {
        let batch = Batch {
            tenant,
            actor,
            cause: Cause::User,
            operations: vec![Operation::Mutation(mutation)],
            atomic: true,
            workflows: true,
            dry_run: false,
            receipt,
        };
        let outcomes = self.write_batch(batch).await?;
        let first = outcomes.into_iter().next();
        first.ok_or_else(|| EngineError::Internal("a write without a result".to_owned()))?
    }

    /// Does many things that a person asks, in one transaction: one outcome for each. Where the
    /// batch is atomic and one is refused, nothing is done, and the others' outcomes say what
    /// they would have been. Runs to its end even if the caller goes away.
    ///
    /// # Errors
    /// [`EngineError::Contended`], [`EngineError::KeyUsed`], [`EngineError::Store`].
    pub async fn write_batch(&self, batch: Batch) -> Result<Vec<Outcome>, EngineError> {
        let engine = self.clone();
        let task = tokio::spawn(async move {
            let proposal = Proposal {
                tenant: batch.tenant,
                authority: Authority::User(&batch.actor),
                cause: &batch.cause,
                depth: 0,
                operations: &batch.operations,
                atomic: batch.atomic,
                workflows: batch.workflows,
                dry_run: batch.dry_run,
                known: HashMap::new(),
                new_ids: HashMap::new(),
                completion: None,
                receipt: batch.receipt.clone(),
                place: None,
                priority: match batch.operations.len() {
                    0 | 1 => Priority::Normal,
                    _ => Priority::Bulk,
                },
            };
            engine.propose(proposal).await
        });
        task.await
            .map_err(|error| EngineError::Internal(error.to_string()))?
    }

    /// Validates and commits a proposal.
    pub(crate) async fn propose(
        &self,
        mut proposal: Proposal<'_>,
    ) -> Result<Vec<Outcome>, EngineError> {
        let Some(module) = proposal.operations.first().map(Operation::module) else {
            return Ok(Vec::new());
        };
        let module = module.clone();
        let hold = self.records_wanted(&proposal).await?;
        let rooms = Rooms {
            records: hold.as_ref().map(|hold| hold.room.clone()),
            jobs: self.jobs_wanted(&proposal).await?,
        };
        let mut hooks = Hooks::new(Arc::clone(self.hook_failures()));
        let (mut models, mut records) = (0, 0);
        while models <= WRITE_MAX_MODEL_CHANGES && records <= WRITE_MAX_RETRIES {
            let model = self.model_guess(proposal.tenant, &module).await?;
            hooks.begin(&model);
            let attempt = if alone::stands_alone(&model, &proposal) {
                self.attempt_alone(&model, &mut proposal, &rooms, &mut hooks)
                    .await?
            } else {
                match self
                    .attempt_in_transactions(&model, &proposal, &rooms, &mut hooks)
                    .await
                {
                    // Also where it was found by a lock or by what follows.
                    Err(EngineError::Store(StoreError::StaleModel)) => {
                        Attempt::Again(Changed::Model)
                    }
                    Err(EngineError::Store(
                        StoreError::StaleRecords(_) | StoreError::StillReferenced,
                    )) => Attempt::Again(Changed::Record),
                    other => other?,
                }
            };
            match attempt {
                Attempt::Done(outcomes) => return Ok(outcomes),
                Attempt::Again(Changed::Model) => {
                    self.model_forget(proposal.tenant);
                    models += 1;
                }
                Attempt::Again(Changed::Record) => records += 1,
            }
        }
        Err(EngineError::Contended)
    }

    /// Keeps room for the records that a proposal may add; none where there is no limit.
    async fn records_wanted(&self, proposal: &Proposal<'_>) -> Result<Option<Hold>, EngineError> {
        let adds = |operation: &&Operation| match operation {
            Operation::Mutation(mutation) => {
                matches!(mutation, Mutation::Create { .. } | Mutation::Restore { .. })
            }
            Operation::Upsert { .. } => true,
        };
        match proposal.operations.iter().filter(adds).count() {
            // A trial adds nothing, and says what is wrong with the data.
            0 => Ok(None),
            _ if proposal.dry_run => Ok(None),
            wanted => self.records_hold(proposal.tenant, wanted).await,
        }
    }

    /// Room for the runs that a person's write starts. A run that starts others made room itself,
    /// and an import waits before its steps.
    async fn jobs_wanted(&self, proposal: &Proposal<'_>) -> Result<Option<Room>, EngineError> {
        let is_bound = matches!(proposal.authority, Authority::User(_))
            && proposal.workflows
            && proposal.place.is_none()
            && !proposal.dry_run;
        match is_bound {
            true => self.jobs_room(proposal.tenant).await,
            false => Ok(None),
        }
    }

    /// Tells what waits for commits, and whoever counts.
    fn announce(&self, tenant: TenantId, prepared: &prepare::Prepared) {
        let (records, jobs) = prepared.added();
        self.inner.meter.committed(tenant, records, jobs);
        for change in &prepared.changes {
            let kind = change.change.kind().name();
            metrics::counter!("crm_events_total", "kind" => kind).increment(1);
        }
        if !prepared.jobs.is_empty() {
            self.inner.jobs_waiting.notify_one();
        }
    }

    /// The module, if the model has it.
    pub(crate) fn module_of<'a>(
        model: &'a Model,
        slug: &ModuleSlug,
    ) -> Result<&'a crm_model::Module, EngineError> {
        model
            .module(slug)
            .ok_or_else(|| EngineError::no_module(slug))
    }
}

/// Whether a refusal says that the thing is not there for this caller.
pub fn is_invisible(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::NotFound | Refusal::Denied(Denied::Invisible { .. })
    )
}
