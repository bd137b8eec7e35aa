//! The tenant changes its model: modules, fields, workflows, settings. Live for the next request
//! on every instance; the template stays as it is, records are not touched and not locked. What
//! has to be done to records that are there already is queued as tasks, in the same transaction.

use chrono::{DateTime, Utc};
use crm_model::configuration::steps_check;
use crm_model::definition::WorkflowDefinition;
use crm_model::overlay::{ModelChange, OverlayWrite, rebuild, revise};
use crm_model::permission::{Action, Authority, manages_all, permit};
use crm_model::{Actor, Model, ModelError, TenantId, UserId, Violations};
use crm_store::TenantTx;
use crm_store::tasks::{TaskSpec, task_insert};
use std::sync::Arc;

use crate::acts::ModelAct;
use crate::audit::audit_write;
use crate::receipt::{ReceiptMaker, receipt_keep};
use crate::run::PAUSED;
use crate::schedules::schedules_settle;
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

impl Engine {
    /// Changes the tenant's model. Changes of one tenant wait for each other; nobody else waits.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] where a name is taken or something is in use,
    /// [`EngineError::Refused`] where what was sent is wrong or the caller may not manage the
    /// module, [`EngineError::Forbidden`] where they may not manage the whole model,
    /// [`EngineError::NotFound`].
    pub async fn model_change(
        &self,
        tenant: TenantId,
        actor: Actor,
        change: ModelChange,
        receipt: Option<ReceiptMaker<Model>>,
    ) -> Result<Arc<Model>, EngineError> {
        let engine = self.clone();
        uncancelled(async move { engine.change_now(tenant, &actor, change, receipt).await }).await
    }

    async fn change_now(
        &self,
        tenant: TenantId,
        actor: &Actor,
        change: ModelChange,
        receipt: Option<ReceiptMaker<Model>>,
    ) -> Result<Arc<Model>, EngineError> {
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let seen = self.model_at(tenant, tx.model_version()).await?;
        let mut before = seen.ok_or_else(|| no_model(&change))?;
        check_manages(&before, actor, &change)?;

        let version = crm_store::models::model_advance(&mut tx).await?;
        let source = crm_store::models::model_source(&mut tx).await?;
        let mut source = source.ok_or_else(|| no_model(&change))?;
        if before.version() + 1 != version {
            // Somebody else changed the model while this change waited for its turn.
            before = Arc::new(Model::compile(source.clone())?);
            check_manages(&before, actor, &change)?;
        }
        check_removals(&mut tx, &change).await?;
        let workflow = match &change {
            ModelChange::WorkflowAdd(workflow) | ModelChange::WorkflowPublish(workflow, _) => {
                Some(workflow.clone())
            }
            _ => None,
        };
        let (removal, is_removal) = (removal_task(&change), change.is_removal());
        let act = ModelAct::of(&change);
        let is_of_permissions = change.is_of_permissions();
        let is_of_settings = matches!(change, ModelChange::Settings(_));
        let writes = revise(&mut source, change)?;
        if is_of_settings {
            self.check_run_log_days(source.settings.run_log_days)?;
        }
        if writes.is_empty() {
            return Ok(before);
        }
        let mut after = Model::compile(source).map_err(|error| refused(&error, is_removal))?;

        if let Some(workflow) = workflow {
            check_steps(&mut tx, &workflow).await?;
        }
        if is_of_permissions && !manages_all(&after, actor) {
            return Err(EngineError::Conflict(
                "you would no longer manage everything yourself: somebody who still does has to \
                 ask for it"
                    .to_owned(),
            ));
        }

        let (at, by) = (fresh::now(), &actor.user_id);
        for write in &writes {
            crm_store::overlay::overlay_write(&mut tx, write, at, by).await?;
            if let OverlayWrite::WorkflowEdit(slug, edit) = write
                && !edit.paused
                && before.workflow(slug).is_some_and(|was| was.is_paused())
            {
                let source = slug.clone().into();
                crm_store::jobs::jobs_wake(&mut tx, &source, PAUSED, at).await?;
            }
        }
        if let Some(spec) = removal {
            task_insert(&mut tx, fresh::id(), &spec, at, by).await?;
        }
        queue_rebuild(&mut tx, &before, &mut after, at, by).await?;
        schedules_settle(&mut tx, Some(&before), &after, at).await?;
        crm_store::jobs::concurrency_settle(&mut tx, &after.concurrency()).await?;
        audit_write(&mut tx, actor, act.between(&before, &after)).await?;
        receipt_keep(&mut tx, actor, receipt.as_ref(), &after).await?;
        tx.commit().await?;
        self.tasks_notify();
        self.inner.jobs_waiting.notify_one();
        let after = Arc::new(after);
        self.model_keep(after.clone());
        Ok(after)
    }
}

fn no_model(change: &ModelChange) -> EngineError {
    match change.module() {
        Some(module) => EngineError::no_module(module),
        None => EngineError::NotFound("model"),
    }
}

pub(crate) fn check_manages(
    model: &Model,
    actor: &Actor,
    change: &ModelChange,
) -> Result<(), EngineError> {
    match change.module() {
        Some(module) => {
            let permitted = permit(model, Authority::User(actor), Action::Manage, module)?;
            match change {
                ModelChange::FieldEdit(_, field, _) | ModelChange::FieldRemove(_, field)
                    if permitted.sight().hides(field) =>
                {
                    Err(EngineError::NotFound("field"))
                }
                ModelChange::WorkflowAdd(workflow) | ModelChange::WorkflowPublish(workflow, _)
                    if workflow.trigger.on.is_of_no_person() && !manages_all(model, actor) =>
                {
                    Err(EngineError::Forbidden(
                        "a workflow that a time or a request starts runs as itself: that is for \
                         those who manage everything",
                    ))
                }
                _ => check_names(model, actor, change),
            }
        }
        None if manages_all(model, actor) => Ok(()),
        None => Err(EngineError::Forbidden(
            "modules, settings, roles and members are for those who may manage all modules",
        )),
    }
}

/// What is computed from a field tells of it, so nobody brings a field into a definition that
/// they do not see, be it of this module or of one that a relation or a rollup leads to.
fn check_names(model: &Model, actor: &Actor, change: &ModelChange) -> Result<(), EngineError> {
    let text = change.text();
    let tells = model.modules().any(|module| {
        let sight = model.sight(module, Some(actor));
        let is_own = change.module() == Some(&module.definition().slug);
        sight.tells(&text) && (is_own || sight.hidden().any(|key| looks_at(&text, key.as_str())))
    });
    if tells {
        let message = "it names a field that is not there";
        let violations = Violations::one("", "definition", message);
        return Err(EngineError::invalid(violations));
    }
    Ok(())
}

/// Whether a definition looks at a field of that name in another module: in a rollup, or behind
/// a relation (`record.patient.email`).
fn looks_at(text: &str, key: &str) -> bool {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let behind = text.match_indices(&format!(".{key}")).any(|(at, found)| {
        let (before, rest) = text.split_at(at);
        let rest = rest.strip_prefix(found).unwrap_or_default();
        let owner = before.rsplit(|character| !is_part(character)).next();
        let own = ["record", "before", "after"].contains(&owner.unwrap_or_default());
        !own && !rest.starts_with(is_part)
    });
    behind || text.contains("\"rollup\"")
}

/// A step is configured as its action's manifest says.
pub(crate) async fn check_steps(
    tx: &mut TenantTx,
    workflow: &WorkflowDefinition,
) -> Result<(), EngineError> {
    let installs = crm_store::plugins::installs_list(tx).await?;
    steps_check(workflow, |action| {
        let mut manifests = installs.iter().map(|install| &install.manifest.0);
        let found = manifests.find(|manifest| manifest.name == *action);
        found?.config_schema.as_ref()
    })
    .map_err(EngineError::invalid)
}

/// A name is free again when nothing of what had it is left; a module goes with records only
/// where that is asked for.
async fn check_removals(tx: &mut TenantTx, change: &ModelChange) -> Result<(), EngineError> {
    let conflict = match change {
        ModelChange::ModuleAdd(module) => {
            let slug = &module.slug;
            let removing = crm_store::building::is_being_removed(tx, slug, None).await?;
            removing.then(|| {
                format!(
                    "records of a deleted module “{slug}” are still being removed: use another \
                     name, or try again later"
                )
            })
        }
        ModelChange::FieldAdd(module, field, _) => {
            let key = &field.key;
            let removing = crm_store::building::is_being_removed(tx, module, Some(key)).await?;
            removing.then(|| {
                format!(
                    "values of a deleted field “{key}” are still being removed: use another key, \
                     or try again later"
                )
            })
        }
        ModelChange::ModuleRemove {
            module,
            with_records: false,
        } => {
            let filled = crm_store::building::has_records(tx, module).await?;
            filled.then(|| {
                format!(
                    "the module “{module}” has records: delete them first, or ask for it with \
                     ?records=delete"
                )
            })
        }
        _ => None,
    };
    conflict.map_or(Ok(()), |message| Err(EngineError::Conflict(message)))
}

fn removal_task(change: &ModelChange) -> Option<TaskSpec> {
    match change {
        ModelChange::ModuleRemove { module, .. } => Some(TaskSpec::ModuleRemove {
            module: module.clone(),
        }),
        ModelChange::FieldRemove(module, field) => Some(TaskSpec::FieldRemove {
            module: module.clone(),
            field: field.clone(),
        }),
        _ => None,
    }
}

/// Queues what follows for records that are there. A module without records is ready at once;
/// its task is queued even so, for records that are being committed at this moment under the
/// model of before.
async fn queue_rebuild(
    tx: &mut TenantTx,
    before: &Model,
    after: &mut Model,
    at: DateTime<Utc>,
    by: &UserId,
) -> Result<(), EngineError> {
    for (module, rebuild) in rebuild(before, after) {
        let task = fresh::id();
        let spec = TaskSpec::Reindex {
            module: module.clone(),
            fields: rebuild.fields.into_iter().collect(),
            words: rebuild.words,
        };
        task_insert(tx, task, &spec, at, by).await?;
        if !rebuild.building.is_empty() && crm_store::building::has_records(tx, &module).await? {
            crm_store::building::building_insert(tx, &module, &rebuild.building, task).await?;
            after.mark_building(&module, &rebuild.building);
        }
    }
    Ok(())
}

/// The rest of the model compiled before, so the mistake is in what was sent; or, where something
/// was taken away, in what relies on it.
pub(crate) fn refused(error: &ModelError, is_removal: bool) -> EngineError {
    if is_removal {
        return EngineError::Conflict(format!("it is in use: {error}"));
    }
    EngineError::invalid(Violations::one("", "definition", error.to_string()))
}
