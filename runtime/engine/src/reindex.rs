//! Steps of the tasks that follow a change of the model: what is kept beside records is brought
//! in line with it, and values of deleted fields are taken out. It never changes a record's
//! version and starts no workflows: nobody changed the record.

use crm_model::derived::{Entry, slot, unique_slot};
use crm_model::limits::{TASK_MAX_DUPLICATES, TASK_STEP_MAX_RECORDS};
use crm_model::{Data, FieldKey, Module, ModuleSlug, RecordId};
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
struct State {
    phase: Phase,
    /// Records that are done.
    records: u64,
    /// Records in all, when it began.
    total: u64,
    after: Uuid,
    /// While sweeping: which slot, and the last key that was looked at.
    slot: usize,
    key: String,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    #[default]
    Count,
    /// Rows that no longer follow from their records go first, so that they are in nobody's way.
    Sweep,
    Fill,
}

impl State {
    fn read(state: Value) -> Self {
        serde_json::from_value(state).unwrap_or_default()
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.after = Uuid::nil();
        self.key = String::new();
    }
}

/// A step under way: its transaction, and the module as it is now.
struct Step<'a> {
    engine: &'a Engine,
    held: &'a Held,
    tx: TenantTx,
    slug: &'a ModuleSlug,
}

impl Step<'_> {
    /// Commits the step with the task's place.
    async fn more(mut self, state: &State) -> Result<StepEnd, EngineError> {
        let state = json!(state);
        self.held.keep_place(&mut self.tx, &state).await?;
        self.tx.commit().await?;
        Ok(StepEnd::More(state))
    }

    async fn count(mut self, mut state: State) -> Result<StepEnd, EngineError> {
        let most = i64::MAX - 1;
        let total = crm_store::records::records_count(&mut self.tx, self.slug, most).await?;
        state.total = u64::try_from(total).unwrap_or_default();
        state.enter(Phase::Sweep);
        self.more(&state).await
    }
}

impl Engine {
    pub(crate) async fn reindex_step(
        &self,
        held: &Held,
        slug: &ModuleSlug,
        fields: &[FieldKey],
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
        match state.phase {
            Phase::Count => step.count(state).await,
            Phase::Sweep => step.sweep(module, fields, state).await,
            Phase::Fill => {
                let language = &model.settings().language;
                step.fill(module, fields, language, state).await
            }
        }
    }

    /// Takes a deleted field's values out of a module's records.
    pub(crate) async fn field_remove_step(
        &self,
        held: &Held,
        slug: &ModuleSlug,
        field: &FieldKey,
        state: Value,
    ) -> Result<StepEnd, EngineError> {
        let state = State::read(state);
        let tx = TenantTx::begin(self.store(), held.tenant).await?;
        let model = self.model_at(held.tenant, tx.model_version()).await?;
        let module = model.as_ref().and_then(|model| model.module(slug));
        let is_there = module.is_some_and(|module| {
            let mut fields = module.definition().fields.iter();
            fields.any(|there| there.key == *field)
        });
        if is_there {
            return Ok(StepEnd::Failed(format!(
                "there is a field “{field}” again; its values are left as they are"
            )));
        }
        let step = Step {
            engine: self,
            held,
            tx,
            slug,
        };
        match state.phase {
            Phase::Count => step.count(state).await,
            Phase::Sweep => step.clear(field, state).await,
            Phase::Fill => step.remove(field, state).await,
        }
    }
}

impl Step<'_> {
    /// Looks at a page of one slot's rows and deletes those that do not follow from the records.
    async fn sweep(
        mut self,
        module: &Module,
        fields: &[FieldKey],
        mut state: State,
    ) -> Result<StepEnd, EngineError> {
        let sweeps = sweeps(module, fields);
        let Some((table, slot)) = sweeps.get(state.slot) else {
            state.enter(Phase::Fill);
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

    /// Adds what is missing for the next records; at the end the fields are complete.
    async fn fill(
        mut self,
        module: &Module,
        fields: &[FieldKey],
        language: &str,
        mut state: State,
    ) -> Result<StepEnd, EngineError> {
        let after = RecordId::new(state.after);
        let records =
            store::records_hold(&mut self.tx, self.slug, after, TASK_STEP_MAX_RECORDS).await?;
        let Some((last, _)) = records.last() else {
            return self.complete(fields, &state).await;
        };
        state.after = last.uuid();
        state.records += records.len() as u64;
        let duplicates = align(&mut self.tx, module, fields, language, &records).await?;
        if duplicates.is_empty() {
            return self.more(&state).await;
        }
        Ok(StepEnd::Failed(describe(&duplicates)))
    }

    /// The fields are complete: writers and readers learn it with the model's next version.
    async fn complete(
        mut self,
        fields: &[FieldKey],
        state: &State,
    ) -> Result<StepEnd, EngineError> {
        let ended = store::building_delete(&mut self.tx, self.slug, fields).await?;
        if ended > 0 {
            crm_store::models::model_advance(&mut self.tx).await?;
        }
        self.held.keep_place(&mut self.tx, &json!(state)).await?;
        self.tx.commit().await?;
        self.engine.model_forget(self.held.tenant);
        Ok(StepEnd::Done)
    }

    /// Takes a page of a deleted field's rows out of the index and the unique values.
    async fn clear(mut self, field: &FieldKey, mut state: State) -> Result<StepEnd, EngineError> {
        let slot = slot(self.slug, field);
        let start = ("", RecordId::new(Uuid::nil()));
        let tables = [Slots::Index, Slots::Unique];
        let Some(table) = tables.get(state.slot) else {
            state.enter(Phase::Fill);
            return self.more(&state).await;
        };
        let rows =
            store::slot_page(&mut self.tx, *table, &slot, start, TASK_STEP_MAX_RECORDS).await?;
        if rows.is_empty() {
            state.slot += 1;
        }
        store::slot_delete(&mut self.tx, *table, &slot, &rows).await?;
        self.more(&state).await
    }

    async fn remove(mut self, field: &FieldKey, mut state: State) -> Result<StepEnd, EngineError> {
        let after = RecordId::new(state.after);
        let limit = TASK_STEP_MAX_RECORDS;
        match store::values_remove(&mut self.tx, self.slug, field, after, limit).await? {
            None => Ok(StepEnd::Done),
            Some((removed, last)) => {
                state.records += removed;
                state.after = last.uuid();
                self.more(&state).await
            }
        }
    }
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
        let texts = records.iter().map(|(record, data)| Derived {
            record: *record,
            entries: module.search_text(data),
        });
        let texts: Vec<_> = texts.collect();
        store::words_fill(tx, &module.definition().slug, language, &texts).await?;
    }
    Ok(duplicates)
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
