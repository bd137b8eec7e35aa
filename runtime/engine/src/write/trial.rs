//! What proposals would come to, one after the other: each is made as if those before it had been,
//! and nothing stays.

use crm_model::limits::WRITE_MAX_RETRIES;
use crm_model::{Model, RecordId};
use crm_store::records::Record;
use crm_store::{StoreError, TenantTx};
use std::sync::Arc;

use super::hooks::{Hooks, Question};
use super::prepare::Rooms;
use super::transaction::Waves;
use super::{Outcome, Proposal};
use crate::{Engine, EngineError};

/// How a trial ended.
enum Ended {
    /// What became of the last proposal, and how the records stand that were to be looked at.
    Done(Vec<Outcome>, Vec<Record>),
    Again,
    /// The template's hook is to be asked about operations of that proposal.
    Ask(usize, Vec<Question>),
}

impl Engine {
    /// What would become of the last of these proposals, after the others; and how records would
    /// stand then, of those that would be there.
    pub(crate) async fn propose_trial(
        &self,
        model: &Model,
        proposals: &[Proposal<'_>],
        look: &[RecordId],
    ) -> Result<(Vec<Outcome>, Vec<Record>), EngineError> {
        let hooks = || {
            let mut hooks = Hooks::new(Arc::clone(self.hook_failures()));
            hooks.begin(model);
            hooks
        };
        let mut hooks: Vec<Hooks> = proposals.iter().map(|_| hooks()).collect();
        let mut again = 0;
        while again <= WRITE_MAX_RETRIES {
            let ended = self.try_once(model, proposals, &mut hooks, look).await;
            match ended {
                Ok(Ended::Done(outcomes, records)) => return Ok((outcomes, records)),
                Ok(Ended::Ask(which, questions)) => {
                    if let Some(hooks) = hooks.get_mut(which) {
                        again += u32::from(!hooks.next_round());
                        let of = (model, model.tenant_id());
                        self.before_save(of, questions, hooks).await;
                    }
                }
                Ok(Ended::Again)
                | Err(EngineError::Store(
                    StoreError::StaleRecords(_) | StoreError::StillReferenced,
                )) => again += 1,
                Err(EngineError::Store(StoreError::StaleModel)) => break,
                Err(error) => return Err(error),
            }
        }
        Err(EngineError::Contended)
    }

    /// In a transaction that is never committed.
    async fn try_once(
        &self,
        model: &Model,
        proposals: &[Proposal<'_>],
        hooks: &mut [Hooks],
        look: &[RecordId],
    ) -> Result<Ended, EngineError> {
        let mut tx = TenantTx::begin(self.store(), model.tenant_id()).await?;
        if tx.model_version() != Some(model.version()) {
            return Err(StoreError::StaleModel.into());
        }
        let mut last = Vec::new();
        for (which, (proposal, hooks)) in proposals.iter().zip(hooks).enumerate() {
            let by = (proposal, &Rooms::default());
            match self.waves(&mut tx, model, by, hooks).await? {
                Waves::Done(_, outcomes) => last = outcomes,
                Waves::Again => return Ok(Ended::Again),
                Waves::Ask(questions) => return Ok(Ended::Ask(which, questions)),
            }
        }
        let records = crm_store::records::records_read(&mut tx, look).await?;
        Ok(Ended::Done(last, records))
    }
}
