//! The tenant's own additions to its model: fields and workflows. Live for the next request on
//! every instance; the template stays as it is.

use crm_model::definition::{FieldDefinition, WorkflowDefinition};
use crm_model::permission::{Action, Authority, permit};
use crm_model::{Actor, Model, ModelError, ModuleSlug, TenantId, Violations};
use crm_store::TenantTx;

use crate::{Engine, EngineError, fresh};

enum Addition {
    Field(ModuleSlug, FieldDefinition),
    Workflow(WorkflowDefinition),
}

impl Engine {
    /// Adds a field to a module.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] where there is one of that key, [`EngineError::Refused`] where
    /// the definition is wrong or the caller may not manage the module.
    pub async fn field_add(
        &self,
        tenant: TenantId,
        actor: Actor,
        module: ModuleSlug,
        field: FieldDefinition,
    ) -> Result<(), EngineError> {
        self.add(tenant, actor, Addition::Field(module, field))
            .await
    }

    /// Adds a workflow.
    ///
    /// # Errors
    /// As [`Engine::field_add`].
    pub async fn workflow_add(
        &self,
        tenant: TenantId,
        actor: Actor,
        workflow: WorkflowDefinition,
    ) -> Result<(), EngineError> {
        self.add(tenant, actor, Addition::Workflow(workflow)).await
    }

    async fn add(
        &self,
        tenant: TenantId,
        actor: Actor,
        addition: Addition,
    ) -> Result<(), EngineError> {
        let engine = self.clone();
        let task = tokio::spawn(async move { engine.add_now(tenant, &actor, addition).await });
        task.await
            .map_err(|error| EngineError::Internal(error.to_string()))?
    }

    async fn add_now(
        &self,
        tenant: TenantId,
        actor: &Actor,
        addition: Addition,
    ) -> Result<(), EngineError> {
        let slug = match &addition {
            Addition::Field(module, _) => module,
            Addition::Workflow(workflow) => &workflow.module,
        };
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let version = tx.model_version();
        let model = self.model_at(tenant, version).await?;
        let model = model.ok_or_else(|| EngineError::no_module(slug))?;
        permit(&model, Authority::User(actor), Action::Manage, slug)?;
        check_free(&model, &addition)?;

        crm_store::models::model_advance(&mut tx).await?;
        let (at, by) = (fresh::now(), &actor.user_id);
        match &addition {
            Addition::Field(module, field) => {
                crm_store::models::field_insert(&mut tx, module, field, at, by).await?;
            }
            Addition::Workflow(workflow) => {
                crm_store::models::workflow_insert(&mut tx, workflow, at, by).await?;
            }
        }
        if let Some(source) = crm_store::models::model_source(&mut tx).await? {
            Model::compile(source).map_err(|error| refused(&error))?;
        }
        tx.commit().await?;
        self.model_forget(tenant);
        Ok(())
    }
}

fn check_free(model: &Model, addition: &Addition) -> Result<(), EngineError> {
    let taken = match addition {
        Addition::Field(module, field) => model.module(module).is_some_and(|module| {
            module
                .definition()
                .fields
                .iter()
                .any(|there| there.key == field.key)
        }),
        Addition::Workflow(workflow) => model
            .workflows()
            .iter()
            .any(|there| there.definition().slug == workflow.slug),
    };
    match (taken, addition) {
        (false, _) => Ok(()),
        (true, Addition::Field(_, field)) => Err(EngineError::Conflict(format!(
            "the field “{}” exists already",
            field.key
        ))),
        (true, Addition::Workflow(workflow)) => Err(EngineError::Conflict(format!(
            "the workflow “{}” exists already",
            workflow.slug
        ))),
    }
}

/// The rest of the model compiled before, so the mistake is in what was added.
fn refused(error: &ModelError) -> EngineError {
    EngineError::invalid(Violations::one("", "definition", error.message.clone()))
}
