//! Steps of the task that follows a change of the model: rows of the typed index, unique values
//! and words of a module's records are brought in line with it. It changes nothing of a record
//! but what the host computes.

use crm_model::derived::{Entry, slot, unique_slot};
use crm_model::limits::{TASK_MAX_DUPLICATES, TASK_STEP_MAX_RECORDS};
use crm_model::{Actor, Data, FieldKey, Model, Module, ModuleSlug, RecordId, UserId};
use crm_store::TenantTx;
use crm_store::reindex::{self as store, Derived, Duplicate, Slots};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

use crate::tasks::{Held, StepEnd};
use crate::{Engine, EngineError};

/// Where a reindex or a removal stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    /// Records that are done.
    pub(crate) records: u64,
    /// Records in all, when it began.
    total: u64,
    pub(crate) after: Uuid,
    /// While sweeping: which slot, and the last key that was looked at.
    pub(crate) slot: usize,
    key: String,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    #[default]
    Count,
    /// Rows that no longer follow from their records go first, so that they are in nobody's way.
    Sweep,
    Words,
    Fill,
    /// Of a removal: out of history and events, the run log, kept answers.
    History,
    Runs,
    Receipts,
    End,
}

impl State {
    pub(crate) fn read(state: Value) -> Self {
        serde_json::from_value(state).unwrap_or_default()
    }

    pub(crate) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.after = Uuid::nil();
        self.key = String::new();
    }
}

/// A step under way: its transaction, and the module as it is now.
pub(crate) struct Step<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) held: &'a Held,
    pub(crate) tx: TenantTx,
    pub(crate) slug: &'a ModuleSlug,
}

impl Step<'_> {
    /// Commits the step with the task's place.
    pub(crate) async fn more(mut self, state: &State) -> Result<StepEnd, EngineError> {
        let state = json!(state);
        self.held.keep_place(&mut self.tx, &state).await?;
        self.tx.commit().await?;
        Ok(StepEnd::More(state))
    }

    pub(crate) async fn count(mut self, mut state: State) -> Result<StepEnd, EngineError> {
        let total = store::records_count(&mut self.tx, self.slug).await?;
        state.total = u64::try_from(total).unwrap_or_default();
        state.enter(Phase::Sweep);
        self.more(&state).await
    }
}

impl Engine {
    pub(crate) async fn reindex_step(
        &self,
        held: &Held,
        by: &UserId,
        (slug, fields, words): (&ModuleSlug, &[FieldKey], bool),
        state: Value,
    ) -> Result<StepEnd, EngineError> {
        let state = State::read(state);
        let tx = TenantTx::begin(self.store(), held.tenant).await?;
        let model = self.model_at(held.tenant, tx.model_version()).await?;
        let model = model.ok_or_else(|| EngineError::no_module(slug))?;
        let module = model
            .module(slug)
            .ok_or_else(|| EngineError::no_module(slug))?;
        let step = Step {
            engine: self,
            held,
            tx,
            slug,
        };
        let language = &model.settings().language;
        match state.phase {
            Phase::Count => step.count(state).await,
            Phase::Sweep => {
                let then = if words { Phase::Words } else { Phase::Fill };
                step.sweep(module, fields, state, then).await
            }
            Phase::Words => step.sweep_words(module, language, state, Phase::Fill).await,
            Phase::Fill | Phase::History | Phase::Runs | Phase::Receipts | Phase::End => {
                step.fill((&model, module), by, fields, state).await
            }
        }
    }
}

impl Step<'_> {
    /// Looks at a page of one slot's rows and deletes those that do not follow from the records;
    /// `then` comes after the last.
    async fn sweep(
        mut self,
        module: &Module,
        fields: &[FieldKey],
        mut state: State,
        then: Phase,
    ) -> Result<StepEnd, EngineError> {
        let sweeps = sweeps(module, fields);
        let Some((table, slot)) = sweeps.get(state.slot) else {
            state.enter(then);
            return self.more(&state).await;
        };
        let after = (state.key.as_str(), RecordId::new(state.after));
        let rows =
            store::slot_page(&mut self.tx, *table, slot, after, TASK_STEP_MAX_RECORDS).await?;
        let Some((key, record)) = rows.last().cloned() else {
            state.slot += 1;
            state.enter(Phase::Sweep);
            return self.more(&state).await;
        };
        let records: Vec<RecordId> = rows.iter().map(|(_, record)| *record).collect();
        let held = store::records_hold_these(&mut self.tx, self.slug, &records).await?;
        let wanted: BTreeMap<RecordId, BTreeSet<Entry>> = held
            .into_iter()
            .map(|(record, data)| (record, entries(module, *table, &data)))
            .collect();
        let follows = |(key, record): &(String, RecordId)| {
            let entry = Entry {
                slot: slot.clone(),
                key: key.clone(),
            };
            wanted
                .get(record)
                .is_some_and(|entries| entries.contains(&entry))
        };
        let gone: Vec<_> = rows.into_iter().filter(|row| !follows(row)).collect();
        store::slot_delete(&mut self.tx, *table, slot, &gone).await?;
        (state.key, state.after) = (key, record.uuid());
        self.more(&state).await
    }

    /// Looks at a page of the module's words and deletes those that no longer follow; `then`
    /// comes after the last.
    pub(crate) async fn sweep_words(
        mut self,
        module: &Module,
        language: &str,
        mut state: State,
        then: Phase,
    ) -> Result<StepEnd, EngineError> {
        let after = (state.key.as_str(), RecordId::new(state.after));
        let limit = TASK_STEP_MAX_RECORDS;
        let words = store::words_page(&mut self.tx, self.slug, after, limit).await?;
        let Some((word, record)) = words.last().cloned() else {
            state.enter(then);
            return self.more(&state).await;
        };
        let records: Vec<RecordId> = words.iter().map(|(_, record)| *record).collect();
        let held = store::records_hold_these(&mut self.tx, self.slug, &records).await?;
        let texts = texts(module, &held);
        store::words_sweep(&mut self.tx, self.slug, language, &words, &texts).await?;
        (state.key, state.after) = (word, record.uuid());
        self.more(&state).await
    }

    /// Adds what is missing for the next records; at the end the fields are complete.
    async fn fill(
        mut self,
        (model, module): (&Model, &Module),
        by: &UserId,
        fields: &[FieldKey],
        mut state: State,
    ) -> Result<StepEnd, EngineError> {
        let language = &model.settings().language;
        let after = RecordId::new(state.after);
        let (limit, computed) = (TASK_STEP_MAX_RECORDS, recomputes(module, fields));
        let records = store::records_hold(&mut self.tx, self.slug, after, limit, computed).await?;
        let Some((last, _)) = records.last() else {
            return self.complete(&state).await;
        };
        state.after = last.uuid();
        state.records += records.len() as u64;
        let records = match computed {
            true => self.recompute(model, by, fields, records).await?,
            false => records,
        };
        let duplicates = align(&mut self.tx, module, fields, language, &records).await?;
        if duplicates.is_empty() {
            return self.more(&state).await;
        }
        Ok(StepEnd::Failed(describe(&duplicates)))
    }

    /// Gives records the values of computed fields that are new, as a change of the host's own;
    /// hands back their data as it is then.
    async fn recompute(
        &mut self,
        model: &Model,
        by: &UserId,
        fields: &[FieldKey],
        records: Vec<(RecordId, Data)>,
    ) -> Result<Vec<(RecordId, Data)>, EngineError> {
        let ids: Vec<RecordId> = records.iter().map(|(id, _)| *id).collect();
        let by = Actor::person(by.clone(), Vec::new());
        self.engine
            .records_recompute(&mut self.tx, model, &by, fields, &ids)
            .await?;
        let now = crm_store::records::records_read(&mut self.tx, &ids).await?;
        let mut now: BTreeMap<RecordId, Data> = now
            .into_iter()
            .map(|record| (record.id, record.data))
            .collect();
        Ok(records
            .into_iter()
            .map(|(id, data)| (id, now.remove(&id).unwrap_or(data)))
            .collect())
    }

    /// The fields are complete: writers and readers learn it with the model's next version.
    async fn complete(mut self, state: &State) -> Result<StepEnd, EngineError> {
        crm_store::building::building_finish(&mut self.tx, self.held.task.uuid()).await?;
        crm_store::models::model_advance(&mut self.tx).await?;
        self.held.keep_place(&mut self.tx, &json!(state)).await?;
        self.tx.commit().await?;
        self.engine.model_forget(self.held.tenant);
        Ok(StepEnd::Done)
    }
}

/// Whether one of the fields has values that the host computes.
fn recomputes(module: &Module, fields: &[FieldKey]) -> bool {
    fields.iter().any(|field| module.is_computed(field))
}

/// What is kept beside these records, as far as these fields go; records that share a unique
/// value come back.
async fn align(
    tx: &mut TenantTx,
    module: &Module,
    fields: &[FieldKey],
    language: &str,
    records: &[(RecordId, Data)],
) -> Result<Vec<Duplicate>, EngineError> {
    let slots = slots(module, fields);
    let derived = |table| -> Vec<Derived<Vec<Entry>>> {
        let of_fields = |entry: &Entry| slots.contains(&entry.slot);
        let rows = records.iter().map(|(record, data)| Derived {
            record: *record,
            entries: entries(module, table, data)
                .into_iter()
                .filter(of_fields)
                .collect(),
        });
        rows.collect()
    };
    store::index_fill(tx, &derived(Slots::Index)).await?;
    let duplicates = store::unique_fill(tx, &derived(Slots::Unique), TASK_MAX_DUPLICATES).await?;
    let mut definitions = module.definition().fields.iter();
    if definitions.any(|field| field.searchable && fields.contains(&field.key)) {
        let texts = texts(module, records);
        store::words_fill(tx, &module.definition().slug, language, &texts).await?;
    }
    Ok(duplicates)
}

fn texts(module: &Module, records: &[(RecordId, Data)]) -> Vec<Derived<String>> {
    let text = |(record, data): &(RecordId, Data)| Derived {
        record: *record,
        entries: module.search_text(data),
    };
    records.iter().map(text).collect()
}

fn entries(module: &Module, table: Slots, data: &Data) -> BTreeSet<Entry> {
    match table {
        Slots::Index => module.index_entries(data),
        Slots::Unique => module.unique_entries(data),
    }
}

/// The slots that these fields have a part in.
fn slots(module: &Module, fields: &[FieldKey]) -> BTreeSet<String> {
    let definition = module.definition();
    let single = fields.iter().map(|field| slot(&definition.slug, field));
    let several = definition
        .unique
        .iter()
        .filter(|unique| unique.fields.iter().any(|field| fields.contains(field)))
        .map(|unique| {
            let keys: Vec<&FieldKey> = unique.fields.iter().collect();
            unique_slot(&definition.slug, &keys)
        });
    single.chain(several).collect()
}

fn sweeps(module: &Module, fields: &[FieldKey]) -> Vec<(Slots, String)> {
    let slots = slots(module, fields).into_iter();
    slots
        .flat_map(|slot| [(Slots::Index, slot.clone()), (Slots::Unique, slot)])
        .collect()
}

fn describe(duplicates: &[Duplicate]) -> String {
    let pairs: Vec<String> = duplicates
        .iter()
        .map(|duplicate| {
            let Duplicate {
                slot,
                record_id,
                other_id,
            } = duplicate;
            format!("{record_id} and {other_id} (“{slot}”)")
        })
        .collect();
    format!(
        "these records share a value that has to be unique; change one of each and try again: {}",
        pairs.join(", ")
    )
}
