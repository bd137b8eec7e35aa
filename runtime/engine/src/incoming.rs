//! Requests from outside that start workflows, each at an address with a secret in it.

use crm_model::permission::manages_all;
use crm_model::workflow::Workflow;
use crm_model::{Actor, EventId, EventKind, JobId, Model, Priority, TenantId, WorkflowSlug};
use crm_store::TenantTx;
use crm_store::incoming::Address;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use uuid::Uuid;

use crate::api_keys::{ApiSecret, hash, tenant_of};
use crate::audit::{Act, audit_write};
use crate::begin::{Began, Happening, nobody};
use crate::receipt::{ReceiptMaker, receipt_keep};
use crate::uncancelled::uncancelled;
use crate::workflows::NO_WORKFLOW;
use crate::{Engine, EngineError, fresh};

/// Every address begins like this, which tells it from other secrets, also for those who search for
/// lost ones.
const ADDRESS_START: &str = "hook_";
/// Whoever stands in the events that a request caused.
const OUTSIDE: &str = "outside";
const NO_ADDRESS: EngineError = EngineError::NotFound("address");

/// What a request brought.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub body: Value,
    /// What the sender calls this message, the same when it is sent again: it starts one run.
    pub message: Option<String>,
}

impl Engine {
    /// Gives a workflow an address for requests, in the place of the one before, which works no
    /// more. The secret in it is told this once. For those who manage everything.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Forbidden`], [`EngineError::Conflict`] where
    /// something else starts the workflow.
    pub async fn address_make(
        &self,
        tenant: TenantId,
        actor: Actor,
        slug: WorkflowSlug,
        receipt: Option<ReceiptMaker<Address>>,
    ) -> Result<(Address, ApiSecret), EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let (mut tx, model) = engine.begin_addresses(tenant, &actor).await?;
            let workflow = model.workflow(&slug).ok_or(NO_WORKFLOW)?;
            if !is_asked(workflow) {
                return Err(EngineError::Conflict(format!(
                    "“{slug}” starts on `{}`, not on `request_received`",
                    workflow.definition().trigger.on.name()
                )));
            }
            let secret = ApiSecret::new(ADDRESS_START, tenant, fresh::secret()?);
            let address = Address {
                prefix: secret.prefix(),
                created_at: fresh::now(),
                created_by: actor.user_id.to_string(),
            };
            let hash = secret.hash();
            crm_store::incoming::address_put(&mut tx, &slug, &address, &hash).await?;
            let act = Act {
                after: Some(json!({ "prefix": address.prefix })),
                ..Act::plain("workflow.address_made", format!("workflows/{slug}"))
            };
            audit_write(&mut tx, &actor, act).await?;
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &address).await?;
            tx.commit().await?;
            Ok((address, secret))
        })
        .await
    }

    /// A workflow's address, without the secret.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Forbidden`].
    pub async fn address(
        &self,
        tenant: TenantId,
        actor: &Actor,
        slug: &WorkflowSlug,
    ) -> Result<Address, EngineError> {
        let (mut tx, _) = self.begin_addresses(tenant, actor).await?;
        let found = crm_store::incoming::address_find(&mut tx, slug).await?;
        found.ok_or(NO_ADDRESS)
    }

    /// Ends a workflow's address at once.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Forbidden`].
    pub async fn address_end(
        &self,
        tenant: TenantId,
        actor: Actor,
        slug: WorkflowSlug,
    ) -> Result<(), EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let (mut tx, _) = engine.begin_addresses(tenant, &actor).await?;
            if !crm_store::incoming::address_remove(&mut tx, &slug).await? {
                return Err(NO_ADDRESS);
            }
            let act = Act::plain("workflow.address_ended", format!("workflows/{slug}"));
            audit_write(&mut tx, &actor, act).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Starts the workflow whose address was asked. The run, or none where the workflow's condition
    /// does not hold. The same message starts one run, however often it comes.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] for what is no address, or of a workflow that rests;
    /// [`EngineError::Quota`].
    pub async fn request_received(
        &self,
        secret: &str,
        incoming: Incoming,
    ) -> Result<Option<JobId>, EngineError> {
        let tenant = tenant_of(ADDRESS_START, secret).ok_or(NO_ADDRESS)?;
        let (engine, hash) = (self.clone(), hash(secret));
        uncancelled(async move {
            let mut tx = TenantTx::begin(engine.store(), tenant).await?;
            let found = crm_store::incoming::workflow_of_secret(&mut tx, &hash).await?;
            let slug = found.ok_or(NO_ADDRESS)?;
            let model = engine.model_at(tenant, tx.model_version()).await?;
            let model = model.ok_or(NO_ADDRESS)?;
            let workflow = model.workflow(&slug).filter(|workflow| is_asked(workflow));
            let workflow = workflow.filter(|workflow| !workflow.is_paused());
            let workflow = workflow.ok_or(NO_ADDRESS)?;
            engine.start_asked(tx, &model, workflow, incoming).await
        })
        .await
    }

    async fn start_asked(
        &self,
        mut tx: TenantTx,
        model: &Model,
        workflow: &Workflow,
        incoming: Incoming,
    ) -> Result<Option<JobId>, EngineError> {
        let id = match &incoming.message {
            None => fresh::id(),
            Some(message) => named(&workflow.definition().slug, message),
        };
        let payload = json!({ "body": incoming.body, "message": incoming.message });
        let what = Happening {
            id: EventId::new(id),
            kind: EventKind::RequestReceived,
            by: nobody(OUTSIDE)?,
            depth: 0,
            priority: Priority::Normal,
            record: None,
            payload,
            at: fresh::now(),
            parent: None,
        };
        let event = what.id;
        match self.run_begin(&mut tx, (model, workflow), what).await? {
            Began::NotMeant => Ok(None),
            Began::Known => Ok(crm_store::incoming::run_of_event(&mut tx, event).await?),
            Began::Dead(run, _) => {
                tx.commit().await?;
                Ok(Some(run))
            }
            Began::Run(run) => {
                tx.commit().await?;
                self.runs_began(model.tenant_id(), 1);
                Ok(Some(run))
            }
        }
    }

    async fn begin_addresses(
        &self,
        tenant: TenantId,
        actor: &Actor,
    ) -> Result<(TenantTx, Arc<Model>), EngineError> {
        let (tx, model) = self.begin_workflows(tenant).await?;
        match manages_all(&model, actor) {
            true => Ok((tx, model)),
            false => Err(EngineError::Forbidden(
                "only who manages everything gives workflows addresses",
            )),
        }
    }
}

fn is_asked(workflow: &Workflow) -> bool {
    workflow.definition().trigger.on == EventKind::RequestReceived
}

/// An id that is the same for the same message to the same workflow.
fn named(slug: &WorkflowSlug, message: &str) -> Uuid {
    let digest = Sha256::digest(format!("{slug}\n{message}").as_bytes());
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(digest) {
        *to = from;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
