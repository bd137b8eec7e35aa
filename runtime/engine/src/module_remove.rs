//! Steps of the task that follows the deletion of a module: its records go for good, then what
//! was kept beside them.

use crm_model::ModuleSlug;
use crm_model::limits::TASK_STEP_MAX_RECORDS;
use crm_store::TenantTx;
use serde_json::Value;

use crate::reindex::{Phase, State, Step};
use crate::tasks::{Held, StepEnd};
use crate::{Engine, EngineError};

impl Engine {
    /// Takes a deleted module's records away.
    pub(crate) async fn module_remove_step(
        &self,
        held: &Held,
        slug: &ModuleSlug,
        state: Value,
    ) -> Result<StepEnd, EngineError> {
        let mut state = State::read(state);
        let mut tx = TenantTx::begin(self.store(), held.tenant).await?;
        let model = self.model_at(held.tenant, tx.model_version()).await?;
        if model.is_some_and(|model| model.module(slug).is_some()) {
            return Ok(StepEnd::Failed(format!(
                "there is a module “{slug}” again; its records are left as they are"
            )));
        }
        match state.phase {
            Phase::End => return Ok(StepEnd::Done),
            Phase::Count => state.enter(Phase::Sweep),
            _ => {
                let limit = TASK_STEP_MAX_RECORDS;
                let removed = crm_store::reindex::module_remove(&mut tx, slug, limit).await?;
                state.records += removed;
                if removed == 0 {
                    crm_store::reindex::module_unindex(&mut tx, slug).await?;
                    state.enter(Phase::End);
                }
            }
        }
        let step = Step {
            engine: self,
            held,
            tx,
            slug,
        };
        step.more(&state).await
    }
}
