//! Reading: records and runs. Each answer is what the caller may see
//! under the model of now; the rest does not exist.

use crm_model::permission::{Action, Authority, manages_all, permit};
use crm_model::{Actor, JobId, Model, ModuleSlug, RecordId, Refusal, TenantId};
use crm_store::effects::EffectFate;
use crm_store::jobs::JobCounts;
use crm_store::models::Usage;
use crm_store::records::Record;
use crm_store::runs::{Attempt, Run, RunFilter};
use crm_store::{StoreError, TenantTx};
use std::sync::Arc;

use crate::reach::{OfRecords, Reading, check_reach, reach};
use crate::{Engine, EngineError, run_sight};

/// A part of a list, and whether there is more.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub rows: Vec<T>,
    pub more: bool,
    pub total: Option<Total>,
}

/// How long the whole list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    pub value: i64,
    /// Otherwise `value` is an estimate.
    pub exact: bool,
}

impl<T> Page<T> {
    /// From one row more than asked for.
    pub(crate) fn cut(mut rows: Vec<T>, limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        Self {
            rows,
            more,
            total: None,
        }
    }
}

/// The modules whose records somebody may read, without those that are kept out of sight.
pub(crate) fn readable(model: &Model, actor: &Actor) -> Vec<ModuleSlug> {
    let permissions = model.permissions(actor).into_iter();
    permissions
        .filter(|(_, actions)| actions.contains(&Action::Read))
        .map(|(module, _)| module)
        .filter(|slug| {
            let module = model.module(slug);
            module.is_some_and(|module| !module.definition().hidden)
        })
        .collect()
}

/// Which part of a list.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest<T> {
    /// Rows before this one; from the newest where none.
    pub before: Option<T>,
    pub limit: u32,
    pub total: bool,
}

struct Runs<'a> {
    filter: &'a RunFilter,
    modules: Option<Vec<ModuleSlug>>,
    /// How many runs a tenant may have under way, unless something else was set for it.
    running: Option<u64>,
}

/// The modules whose runs somebody may look into: those that they may manage; none means all,
/// also those that are no more.
fn managed(model: &Model, actor: &Actor) -> Option<Vec<ModuleSlug>> {
    if manages_all(model, actor) {
        return None;
    }
    let permissions = model.permissions(actor).into_iter();
    let managed = permissions.filter(|(_, actions)| actions.contains(&Action::Manage));
    Some(managed.map(|(module, _)| module).collect())
}

impl OfRecords for Runs<'_> {
    type Row = Run;
    type Place = JobId;

    async fn fetch(
        &self,
        tx: &mut TenantTx,
        before: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<Run>, StoreError> {
        let modules = self.modules.as_deref();
        let which = (self.filter, modules);
        crm_store::runs::runs_page(tx, which, before, limit, self.running).await
    }

    fn of(run: &Run) -> (JobId, ModuleSlug, RecordId) {
        let record = RecordId::new(run.record_id);
        (JobId::new(run.id), run.module_slug.clone(), record)
    }
}

pub(crate) fn check_read<'a>(
    model: Option<&'a Model>,
    actor: &Actor,
    module: &ModuleSlug,
) -> Result<&'a Model, EngineError> {
    let model = model.ok_or_else(|| EngineError::no_module(module))?;
    permit(model, Authority::User(actor), Action::Read, module)?;
    Ok(model)
}

impl Engine {
    /// One record.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where it does not exist for the caller.
    pub async fn record(
        &self,
        tenant: TenantId,
        actor: &Actor,
        module: &ModuleSlug,
        record: RecordId,
    ) -> Result<Record, EngineError> {
        let (version, found) =
            crm_store::records::record_read(self.store(), tenant, module, record).await?;
        let model = self.model_at(tenant, version).await?;
        let model = check_read(model.as_deref(), actor, module)?;
        let mut found = found.ok_or(Refusal::NotFound)?;
        self.check_there(model, actor, (module, record)).await?;
        if let Some(module) = model.module(module) {
            found.data = model
                .sight(module, Some(actor))
                .show(&found.data)
                .into_owned();
        }
        Ok(found)
    }

    /// Asks whether a record is there for somebody; nothing where none is closed to them.
    pub(crate) async fn check_there(
        &self,
        model: &Model,
        actor: &Actor,
        (module, record): (&ModuleSlug, RecordId),
    ) -> Result<(), EngineError> {
        if reach(model, actor, module, Action::Read).is_none() {
            return Ok(());
        }
        let mut tx = TenantTx::begin(self.store(), model.tenant_id()).await?;
        check_reach(&mut tx, (model, actor), (module, record), Action::Read).await
    }

    /// The tenant's model, with the modules that the caller may read; none before a template is
    /// chosen.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn model(&self, tenant: TenantId) -> Result<Option<Arc<Model>>, EngineError> {
        let tx = TenantTx::begin(self.store(), tenant).await?;
        let version = tx.model_version();
        drop(tx);
        self.model_at(tenant, version).await
    }

    /// A page of runs, newest first: of the modules that the caller may manage, since a run shows
    /// what it was given.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub async fn runs(
        &self,
        tenant: TenantId,
        actor: &Actor,
        filter: &RunFilter,
        page: PageRequest<JobId>,
    ) -> Result<Page<Run>, EngineError> {
        let (mut tx, model) = self.begin_runs(tenant, actor).await?;
        let reading = Reading::new(&model, actor);
        let list = Runs {
            filter,
            modules: managed(&model, actor),
            running: self.running_default(),
        };
        let place = (page.before, page.limit + 1);
        let rows = reading.rows(&mut tx, &list, place).await?;
        Ok(Page::cut(rows, page.limit))
    }

    /// One run with its attempts and what became of what it asked for.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Forbidden`].
    pub async fn run(
        &self,
        tenant: TenantId,
        actor: &Actor,
        run: JobId,
    ) -> Result<(Run, Vec<Attempt>, Vec<EffectFate>), EngineError> {
        let (mut tx, model) = self.begin_runs(tenant, actor).await?;
        let found = crm_store::runs::run_read(&mut tx, run, self.running_default()).await?;
        let (run, mut attempts) = found.ok_or(EngineError::NotFound("run"))?;
        if managed(&model, actor).is_some_and(|modules| !modules.contains(&run.module_slug)) {
            return Err(EngineError::NotFound("run"));
        }
        let record = (run.module_slug.clone(), RecordId::new(run.record_id));
        let there = Reading::new(&model, actor);
        if there
            .passing(&mut tx, [record].into_iter())
            .await?
            .is_empty()
        {
            return Err(EngineError::NotFound("run"));
        }
        for attempt in &mut attempts {
            run_sight::show_attempt(&model, actor, &run, attempt);
        }
        let effects = crm_store::effects::effects_of_run(&mut tx, JobId::new(run.id)).await?;
        Ok((run, attempts, effects))
    }

    /// How many jobs of a tenant wait or run.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn jobs_open(&self, tenant: TenantId) -> Result<i64, EngineError> {
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        Ok(crm_store::jobs::jobs_open(&mut tx).await?)
    }

    /// What a tenant has. Counts whole tables: for summaries.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn usage(&self, tenant: TenantId) -> Result<(Usage, JobCounts), EngineError> {
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let usage = crm_store::models::usage(&mut tx).await?;
        Ok((usage, crm_store::jobs::jobs_count(&mut tx).await?))
    }

    /// Whether the database answers and has this build's schema.
    ///
    /// # Errors
    /// [`EngineError::Store`] where it does not answer, [`EngineError::Internal`] where its
    /// schema is another.
    pub async fn check_ready(&self) -> Result<(), EngineError> {
        let newest = crm_store::admin::newest_schema_version();
        match self.store().schema_version().await? {
            Some(version) if version == newest => Ok(()),
            found => Err(EngineError::Internal(format!(
                "the database has schema version {}, this build needs {newest}: run `crm migrate`",
                found.unwrap_or_default()
            ))),
        }
    }

    /// Whether the caller may see the module.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where it does not exist for the caller.
    pub async fn check_module(
        &self,
        tenant: TenantId,
        actor: &Actor,
        module: &ModuleSlug,
    ) -> Result<(), EngineError> {
        self.begin_read(tenant, actor, module).await.map(drop)
    }

    pub(crate) async fn begin_read(
        &self,
        tenant: TenantId,
        actor: &Actor,
        module: &ModuleSlug,
    ) -> Result<TenantTx, EngineError> {
        let tx = TenantTx::begin(self.store(), tenant).await?;
        let model = self.model_at(tenant, tx.model_version()).await?;
        check_read(model.as_deref(), actor, module)?;
        Ok(tx)
    }

    pub(crate) async fn begin_runs(
        &self,
        tenant: TenantId,
        actor: &Actor,
    ) -> Result<(TenantTx, Arc<Model>), EngineError> {
        let tx = TenantTx::begin(self.store(), tenant).await?;
        let model = self.model_at(tenant, tx.model_version()).await?;
        let manages = |model: &Arc<Model>| {
            model
                .permissions(actor)
                .values()
                .any(|actions| actions.contains(&Action::Manage))
        };
        match model.filter(manages) {
            Some(model) => Ok((tx, model)),
            None => Err(EngineError::Forbidden(
                "runs are for those who may manage a module",
            )),
        }
    }
}
