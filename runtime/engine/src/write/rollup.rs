//! Values computed from related records: kept right in the transaction that changes those.

use crm_model::{Model, RecordId};
use crm_store::TenantTx;

use super::Proposal;
use super::prepare::Prepared;
use crate::{Engine, EngineError};

impl Engine {
    pub(super) async fn rollup_parents_lock(
        &self,
        _tx: &mut TenantTx,
        _model: &Model,
        _prepared: &Prepared,
    ) -> Result<Vec<RecordId>, EngineError> {
        Ok(Vec::new())
    }

    pub(super) async fn rollups(
        &self,
        _tx: &mut TenantTx,
        _model: &Model,
        _proposal: &Proposal<'_>,
        _parents: Vec<RecordId>,
    ) -> Result<Vec<Prepared>, EngineError> {
        Ok(Vec::new())
    }
}
