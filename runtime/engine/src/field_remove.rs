//! Steps of the task that follows the deletion of a field: its values go out of the module's
//! records, and what was kept beside them goes too; then out of what happened: history, events,
//! run logs and kept answers, where an entry of nothing else is left empty. It changes no record's
//! version and starts no workflows: nobody changed the record.

use crm_model::derived::slot;
use crm_model::limits::TASK_STEP_MAX_RECORDS;
use crm_model::{FieldKey, ModuleSlug, RecordId};
use crm_store::TenantTx;
use crm_store::forget;
use crm_store::reindex::{self as store, Slots};
use serde_json::Value;
use uuid::Uuid;

use crate::reindex::{Phase, State, Step};
use crate::tasks::{Held, StepEnd};
use crate::{Engine, EngineError};

/// Records whose history and events one step takes in hand: some have many versions.
const HISTORY_STEP_MAX_RECORDS: u32 = 200;

impl Engine {
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
        let module = model
            .as_ref()
            .and_then(|model| Some((model, model.module(slug)?)));
        let is_there = module.is_some_and(|(_, module)| {
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
        match (state.phase, module) {
            (Phase::Count, _) => step.count(state).await,
            (Phase::Sweep, _) => step.clear(field, state).await,
            (Phase::Fill, _) => step.remove(field, state).await,
            (Phase::History, _) => step.history_forget(field, state).await,
            (Phase::Runs, _) => step.runs_forget(field, state).await,
            (Phase::Receipts, _) => step.receipts_forget(field, state).await,
            (Phase::Words, Some((model, module))) => {
                let language = &model.settings().language;
                step.sweep_words(module, language, state, Phase::End).await
            }
            (Phase::Words | Phase::End, _) => Ok(StepEnd::Done),
        }
    }
}

impl Step<'_> {
    /// Takes a page of the field's rows out of the index and the unique values.
    async fn clear(mut self, field: &FieldKey, mut state: State) -> Result<StepEnd, EngineError> {
        let slot = slot(self.slug, field);
        let start = ("", RecordId::new(Uuid::nil()));
        let tables = [Slots::Index, Slots::Unique];
        let Some(table) = tables.get(state.slot) else {
            state.enter(Phase::Fill);
            return self.more(&state).await;
        };
        let limit = TASK_STEP_MAX_RECORDS;
        let rows = store::slot_page(&mut self.tx, *table, &slot, start, limit).await?;
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
            // Nothing that holds a value is written any more: events tell of fields that there
            // are, and records have none of this one.
            None => state.enter(Phase::History),
            Some((removed, last)) => {
                state.records += removed;
                state.after = last.uuid();
            }
        }
        self.more(&state).await
    }

    async fn history_forget(
        mut self,
        field: &FieldKey,
        mut state: State,
    ) -> Result<StepEnd, EngineError> {
        let (after, limit) = (state.after, HISTORY_STEP_MAX_RECORDS);
        match forget::history_forget(&mut self.tx, self.slug, field, after, limit).await? {
            None => state.enter(Phase::Runs),
            Some(last) => state.after = last,
        }
        self.more(&state).await
    }

    async fn runs_forget(
        mut self,
        field: &FieldKey,
        mut state: State,
    ) -> Result<StepEnd, EngineError> {
        let (after, limit) = (state.after, TASK_STEP_MAX_RECORDS);
        match forget::runs_forget(&mut self.tx, self.slug, field, after, limit).await? {
            None => state.enter(Phase::Receipts),
            Some(last) => state.after = last,
        }
        self.more(&state).await
    }

    /// Answers that are found are found no more once they are cleared, so no place is kept.
    async fn receipts_forget(
        mut self,
        field: &FieldKey,
        mut state: State,
    ) -> Result<StepEnd, EngineError> {
        let limit = TASK_STEP_MAX_RECORDS;
        if forget::receipts_forget(&mut self.tx, self.slug, field, limit).await? == 0 {
            forget::counter_forget(&mut self.tx, self.slug, field).await?;
            state.enter(Phase::Words);
        }
        self.more(&state).await
    }
}
