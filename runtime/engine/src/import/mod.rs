//! CSV files to records: [`upload`] takes a file in, [`Engine::import_run`] queues a run under a
//! mapping, and the task's steps ([`step`]) take rows to the door. It never writes a record
//! itself.

mod door;
mod file;
mod step;
mod upload;

pub use upload::Upload;

use crm_model::import::{ImportOptions, ImportPlan, ImportState, RunInput, plan_columns};
use crm_model::limits::IMPORT_FILE_MAX_DAYS;
use crm_model::permission::{Action, Authority, permit};
use crm_model::{Actor, ImportId, Model, TaskId, TenantId};
use crm_store::TenantTx;
use crm_store::imports::Import;
use crm_store::tasks::TaskSpec;
use serde_json::json;

use crate::audit::{Act, audit_write};
use crate::read::{Page, PageRequest};
use crate::receipt::{ReceiptMaker, receipt_keep};
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

impl Engine {
    /// A page of imports, newest first: your own, and everybody's for those who may manage a
    /// module; only those into modules that you may read.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn imports(
        &self,
        tenant: TenantId,
        actor: &Actor,
        page: PageRequest<ImportId>,
    ) -> Result<Page<Import>, EngineError> {
        let (mut tx, sight) = self.begin_sight(tenant, actor).await?;
        let (modules, by) = (&sight.readable, sight.only(actor));
        let limit = page.limit + 1;
        let rows =
            crm_store::imports::imports_page(&mut tx, modules, by, page.before, limit).await?;
        Ok(Page::cut(rows, page.limit))
    }

    /// One import.
    ///
    /// # Errors
    /// [`EngineError::NotFound`].
    pub async fn import(
        &self,
        tenant: TenantId,
        actor: &Actor,
        id: ImportId,
    ) -> Result<Import, EngineError> {
        let (mut tx, sight) = self.begin_sight(tenant, actor).await?;
        crm_store::imports::import_read(&mut tx, id, false)
            .await?
            .filter(|import| sight.readable.contains(&import.module))
            .filter(|import| sight.covers(actor, &import.created_by))
            .ok_or(EngineError::NotFound("import"))
    }

    /// Queues a run of an import. A dry run judges every row and writes none.
    ///
    /// # Errors
    /// [`EngineError::Refused`] with everything that is wrong with the mapping, or where the
    /// caller may not write; [`EngineError::Conflict`] where a run is under way, the file is
    /// gone, or its rows were written already.
    pub async fn import_run(
        &self,
        tenant: TenantId,
        actor: Actor,
        id: ImportId,
        input: RunInput,
        receipt: Option<ReceiptMaker<Import>>,
    ) -> Result<Import, EngineError> {
        self.import(tenant, &actor, id).await?;
        let engine = self.clone();
        uncancelled(async move {
            let queued = engine.import_queue(tenant, &actor, id, &input, receipt);
            let import = queued.await?;
            engine.tasks_notify();
            Ok(import)
        })
        .await
    }

    async fn import_queue(
        &self,
        tenant: TenantId,
        actor: &Actor,
        id: ImportId,
        input: &RunInput,
        receipt: Option<ReceiptMaker<Import>>,
    ) -> Result<Import, EngineError> {
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let import = crm_store::imports::import_read(&mut tx, id, true).await?;
        let import = import.ok_or(EngineError::NotFound("import"))?;
        let model = self.model_at(tenant, tx.model_version()).await?;
        let model = model.ok_or_else(|| EngineError::no_module(&import.module))?;
        let authority = Authority::User(actor);
        permit(&model, authority, Action::Import, &import.module)?;
        let permitted = permit(&model, authority, Action::Create, &import.module)?;
        let (columns, options) = plan_columns(permitted.sight(), &import.columns, input)
            .map_err(EngineError::invalid)?;
        check_upsert(&model, actor, &import, &options)?;
        check_runnable(&import, &options)?;
        let dry_run = options.dry_run;
        let plan = ImportPlan {
            import: id,
            module: import.module.clone(),
            actor: actor.clone(),
            delimiter: import.delimiter,
            columns,
            options,
        };
        let (task, at) = (fresh::id(), fresh::now());
        let spec = TaskSpec::Import(Box::new(plan));
        crm_store::tasks::task_insert(&mut tx, task, &spec, at, &actor.user_id).await?;
        crm_store::imports::import_run(&mut tx, id, TaskId::new(task)).await?;
        let import = crm_store::imports::import_read(&mut tx, id, false).await?;
        let import = import.ok_or(EngineError::NotFound("import"))?;
        let act = Act {
            action: "import.run",
            target: format!("imports/{id}"),
            before: None,
            after: Some(json!({
                "module": import.module,
                "dry_run": dry_run,
                "task": task,
            })),
        };
        audit_write(&mut tx, actor, act).await?;
        receipt_keep(&mut tx, actor, receipt.as_ref(), &import).await?;
        tx.commit().await?;
        Ok(import)
    }

    /// Deletes files of the tenant that nobody will run any more.
    pub(crate) async fn imports_tidy(&self, tenant: TenantId) -> Result<(), EngineError> {
        let before = fresh::now() - chrono::TimeDelta::days(IMPORT_FILE_MAX_DAYS);
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        crm_store::imports::files_expire(&mut tx, before).await?;
        Ok(tx.commit().await?)
    }
}

fn check_upsert(
    model: &Model,
    actor: &Actor,
    import: &Import,
    options: &ImportOptions,
) -> Result<(), EngineError> {
    if options.upsert_key.is_some() {
        permit(
            model,
            Authority::User(actor),
            Action::Update,
            &import.module,
        )?;
    }
    Ok(())
}

/// Rows are written once, unless a key says which records they are.
fn check_runnable(import: &Import, options: &ImportOptions) -> Result<(), EngineError> {
    let conflict = |message: String| Err(EngineError::Conflict(message));
    if let Some(task) = &import.task {
        if !task.status.is_final() {
            return conflict("a run of this import is under way; wait for it or cancel it".into());
        }
        let state: ImportState = serde_json::from_value(task.state.clone()).unwrap_or_default();
        let was_dry = matches!(&task.spec, TaskSpec::Import(plan) if plan.options.dry_run);
        let again = options.dry_run || options.upsert_key.is_some();
        if !was_dry && state.written() > 0 && !again {
            let written = state.written();
            return conflict(format!(
                "{written} rows of this file were written already; run it with an upsert_key so \
                 that they are not written twice"
            ));
        }
    }
    if !import.has_file {
        return conflict("the file is no longer kept; upload it again".into());
    }
    Ok(())
}
