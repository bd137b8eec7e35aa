//! The version of its workflow that a run began on.

use crm_model::run_source::RunFlow;
use crm_model::workflow::Workflow;
use crm_model::{Model, RunSource, TenantId, WorkflowSlug};
use crm_store::{StoreError, TenantTx};
use std::sync::Arc;

use crate::Engine;

/// A version of a workflow, compiled against a version of a model.
pub(crate) type VersionKey = (TenantId, i64, WorkflowSlug, u32);

/// Why there is nothing to run.
pub(crate) enum NoFlow {
    /// It is not there any more, or does not go with the model: it never will be.
    Gone(String),
    Store(StoreError),
}

impl Engine {
    /// What a run does that began on this version of its source; none: there is but one.
    pub(crate) async fn run_flow<'m>(
        &self,
        model: &'m Model,
        source: &RunSource,
        version: Option<u32>,
    ) -> Result<RunFlow<'m>, NoFlow> {
        let (RunSource::Workflow(slug), Some(version)) = (source, version) else {
            return model.run_flow(source).map_err(NoFlow::Gone);
        };
        let mut known = [model.workflow(slug), model.replaced_workflow(slug)]
            .into_iter()
            .flatten();
        if let Some(found) = known.find(|found| found.version() == version) {
            return Ok(model.run_flow_of(Arc::clone(found)));
        }
        let older = self.older(model, slug, version).await?;
        Ok(model.run_flow_of(older))
    }

    async fn older(
        &self,
        model: &Model,
        slug: &WorkflowSlug,
        version: u32,
    ) -> Result<Arc<Workflow>, NoFlow> {
        let key: VersionKey = (model.tenant_id(), model.version(), slug.clone(), version);
        if let Some(found) = self.inner.older_workflows.get(&key) {
            return Ok(found);
        }
        let read = async {
            let mut tx = TenantTx::begin_inner(self.store(), model.tenant_id()).await?;
            crm_store::workflows::version_read(&mut tx, slug, version).await
        };
        let gone = || {
            NoFlow::Gone(format!(
                "there is no version {version} of “{slug}” any more"
            ))
        };
        let read = read.await.map_err(NoFlow::Store)?.ok_or_else(gone)?;
        let compiled = model.workflow_as_of(version, read.definition);
        let compiled = compiled.map_err(|reason| {
            NoFlow::Gone(format!(
                "version {version} of “{slug}”, which the run began on, does not go with the model \
                 any more: {reason}"
            ))
        })?;
        let compiled = Arc::new(compiled);
        self.inner
            .older_workflows
            .insert(key, Arc::clone(&compiled));
        Ok(compiled)
    }
}
