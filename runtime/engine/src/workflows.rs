//! Versions of workflows: drafts are saved, published, put back, and taken away; runs go with them
//! where that is asked for.

use crm_model::definition::WorkflowDefinition;
use crm_model::limits::MOVE_PAGE_RUNS;
use crm_model::overlay::{ModelChange, revise};
use crm_model::permission::{Action, Authority, permit};
use crm_model::{Actor, Denied, JobId, Model, TenantId, Violations, WorkflowSlug};
use crm_store::TenantTx;
use crm_store::workflows::{Draft, Version};
use json_patch::Patch;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

use crate::audit::{Act, audit_write};
use crate::customize::{check_manages, check_steps, refused};
use crate::receipt::{ReceiptMaker, receipt_keep};
use crate::run::NoFlow;
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

pub(crate) const NO_WORKFLOW: EngineError = EngineError::NotFound("workflow");
const NO_VERSION: EngineError = EngineError::NotFound("version");

/// What somebody wants to be live.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    /// One that was published before, as the next; 0 is the template's own. None: the draft.
    pub version: Option<u32>,
    /// What is new in it.
    pub note: Option<String>,
}

/// A version, and how many runs on it have not ended.
#[derive(Clone, Debug)]
pub struct VersionView {
    pub version: Version,
    pub is_live: bool,
    pub open_runs: i64,
}

/// What became of the runs that had not ended, when another version went live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MovedRuns {
    /// They do what the live version says.
    pub moved: u64,
    /// They finish on the version that they began on.
    pub finishing: u64,
}

/// Which of its definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    Draft,
    Live,
    /// 0 is the template's own.
    Version(u32),
}

impl Engine {
    /// Keeps what is to become the next version of a workflow, or, where `slug` names none, the
    /// first of a new one. It has to be one that could be published. For those who manage its
    /// module.
    ///
    /// # Errors
    /// [`EngineError::Refused`] with what is wrong in it, [`EngineError::Forbidden`],
    /// [`EngineError::NotFound`], [`EngineError::Conflict`] where the new one is there already.
    pub async fn draft_save(
        &self,
        tenant: TenantId,
        actor: Actor,
        (slug, definition): (Option<WorkflowSlug>, WorkflowDefinition),
        receipt: Option<ReceiptMaker<Draft>>,
    ) -> Result<Draft, EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let mut tx = TenantTx::begin(engine.store(), tenant).await?;
            let change = ModelChange::WorkflowPublish(definition.clone(), None);
            let model = engine.model_at(tenant, tx.model_version()).await?;
            let model = model.ok_or_else(|| EngineError::no_module(&definition.module))?;
            let named = slug.as_ref().unwrap_or(&definition.slug);
            let drafts = crm_store::workflows::drafts_list(&mut tx, Some(named)).await?;
            let is_there = model.workflow(named).is_some() || !drafts.is_empty();
            if slug.is_some() && !is_there {
                return Err(NO_WORKFLOW);
            }
            check_manages(&model, &actor, &change)?;
            if slug.is_none() && is_there {
                let message = format!("the workflow “{named}” exists already");
                return Err(EngineError::Conflict(message));
            }
            if *named != definition.slug {
                let message = format!(
                    "“{}” is not “{named}”: a workflow keeps its name",
                    definition.slug
                );
                let violations = Violations::one("/slug", "fixed", message);
                return Err(EngineError::invalid(violations));
            }
            let source = crm_store::models::model_source(&mut tx).await?;
            let mut source = source.ok_or(NO_WORKFLOW)?;
            revise(&mut source, change)?;
            Model::compile(source).map_err(|error| refused(&error, false))?;
            check_steps(&mut tx, &definition).await?;
            let at = fresh::now();
            let slug = &definition.slug;
            crm_store::workflows::draft_put(&mut tx, &definition, at, &actor.user_id).await?;
            let act = Act {
                after: Some(value_of(&definition)),
                ..Act::plain("workflow.draft_saved", format!("workflows/{slug}"))
            };
            audit_write(&mut tx, &actor, act).await?;
            let draft = Draft {
                saved_by: actor.user_id.to_string(),
                saved_at: at,
                definition,
            };
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &draft).await?;
            tx.commit().await?;
            Ok(draft)
        })
        .await
    }

    /// Throws a draft away.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Forbidden`].
    pub async fn draft_discard(
        &self,
        tenant: TenantId,
        actor: Actor,
        slug: WorkflowSlug,
    ) -> Result<(), EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let (mut tx, model) = engine.begin_workflows(tenant).await?;
            let draft = draft_of(&mut tx, &slug).await?;
            managed(&model, &actor, &draft.definition)?;
            crm_store::workflows::draft_remove(&mut tx, &slug).await?;
            let act = Act {
                before: Some(value_of(&draft.definition)),
                ..Act::plain("workflow.draft_discarded", format!("workflows/{slug}"))
            };
            audit_write(&mut tx, &actor, act).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// The drafts that somebody may see, of one workflow or of all: those who manage its module
    /// see it.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn drafts(
        &self,
        tenant: TenantId,
        actor: &Actor,
        slug: Option<&WorkflowSlug>,
    ) -> Result<Vec<Draft>, EngineError> {
        let (mut tx, model) = match self.begin_workflows(tenant).await {
            Err(EngineError::NotFound(_)) => return Ok(Vec::new()),
            other => other?,
        };
        let drafts = crm_store::workflows::drafts_list(&mut tx, slug).await?;
        let seen = |draft: &Draft| managed(&model, actor, &draft.definition).is_ok();
        Ok(drafts.into_iter().filter(seen).collect())
    }

    /// Makes a draft, or what was published before, the next version of a workflow, and live. Where
    /// it says what is live already, nothing changes.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Forbidden`], and [`EngineError::Refused`] where it
    /// does not go with the model any more.
    pub async fn workflow_publish(
        &self,
        tenant: TenantId,
        actor: Actor,
        slug: WorkflowSlug,
        publication: Publication,
        receipt: Option<ReceiptMaker<Model>>,
    ) -> Result<Arc<Model>, EngineError> {
        let (mut tx, model) = self.begin_workflows(tenant).await?;
        let definition = match publication.version {
            Some(version) => edition(&mut tx, &model, &slug, Edition::Version(version)).await?,
            None => match draft_of(&mut tx, &slug).await {
                Ok(draft) => draft.definition,
                // Somebody has published it already.
                Err(EngineError::NotFound(_)) => {
                    let live = model.workflow(&slug).ok_or(NO_WORKFLOW)?;
                    live.definition().clone()
                }
                Err(other) => return Err(other),
            },
        };
        drop(tx);
        managed(&model, &actor, &definition)?;
        if publication.version == Some(0) && model.replaced_workflow(&slug).is_none() {
            return Ok(model);
        }
        let change = match publication.version {
            Some(0) => ModelChange::WorkflowRemove(slug, definition.module),
            _ => ModelChange::WorkflowPublish(definition, publication.note),
        };
        self.model_change(tenant, actor, change, receipt).await
    }

    /// Takes a workflow of the tenant's own away; the template's is as the template has it again.
    /// Runs that have begun come to their end.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Forbidden`], [`EngineError::Conflict`] where it is
    /// the template's.
    pub async fn workflow_remove(
        &self,
        tenant: TenantId,
        actor: Actor,
        slug: WorkflowSlug,
    ) -> Result<(), EngineError> {
        let (mut tx, model) = self.begin_workflows(tenant).await?;
        let Some(live) = model.workflow(&slug) else {
            // What was never published goes with its draft.
            draft_of(&mut tx, &slug).await.map_err(no_workflow)?;
            drop(tx);
            return self.draft_discard(tenant, actor, slug).await;
        };
        drop(tx);
        let definition = live.definition();
        managed(&model, &actor, definition)?;
        let change = ModelChange::WorkflowRemove(slug, definition.module.clone());
        self.model_change(tenant, actor, change, None).await?;
        Ok(())
    }

    /// All versions of a workflow, newest first. For those who manage its module.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Forbidden`].
    pub async fn workflow_versions(
        &self,
        tenant: TenantId,
        actor: &Actor,
        slug: &WorkflowSlug,
    ) -> Result<Vec<VersionView>, EngineError> {
        let (mut tx, model) = self.begin_workflows(tenant).await?;
        let live = model.workflow(slug);
        if let Some(live) = live {
            managed(&model, actor, live.definition())?;
        }
        let versions = crm_store::workflows::versions_list(&mut tx, slug).await?;
        if live.is_none() && versions.is_empty() {
            return Err(NO_WORKFLOW);
        }
        let runs = crm_store::workflows::open_runs(&mut tx, slug).await?;
        let live = live.map(|live| live.version());
        let views = versions.into_iter().map(|version| {
            managed(&model, actor, &version.definition)?;
            Ok(VersionView {
                is_live: live == Some(version.version),
                open_runs: runs.get(&version.version).copied().unwrap_or_default(),
                version,
            })
        });
        views.collect()
    }

    /// One definition of a workflow. For those who manage its module.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Forbidden`].
    pub async fn workflow_edition(
        &self,
        tenant: TenantId,
        actor: &Actor,
        (slug, which): (&WorkflowSlug, Edition),
    ) -> Result<WorkflowDefinition, EngineError> {
        let (mut tx, model) = self.begin_workflows(tenant).await?;
        let found = edition(&mut tx, &model, slug, which).await?;
        managed(&model, actor, &found)?;
        Ok(found)
    }

    /// What turns one definition of a workflow into another, as a JSON Patch (RFC 6902).
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Forbidden`].
    pub async fn workflow_diff(
        &self,
        tenant: TenantId,
        actor: &Actor,
        (slug, from, to): (&WorkflowSlug, Edition, Edition),
    ) -> Result<Patch, EngineError> {
        let from = self.workflow_edition(tenant, actor, (slug, from)).await?;
        let to = self.workflow_edition(tenant, actor, (slug, to)).await?;
        Ok(json_patch::diff(&value_of(&from), &value_of(&to)))
    }

    /// Has the runs of a workflow that have not ended do what the live version says: those that
    /// have not begun, and those in the middle whose next step is there in it and in no loop, in no
    /// `parallel`, and with nothing to take back. For those who manage everything.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Forbidden`].
    pub async fn runs_move(
        &self,
        tenant: TenantId,
        actor: Actor,
        slug: WorkflowSlug,
        receipt: Option<ReceiptMaker<MovedRuns>>,
    ) -> Result<MovedRuns, EngineError> {
        let engine = self.clone();
        uncancelled(async move { engine.move_now(tenant, &actor, &slug, receipt).await }).await
    }

    async fn move_now(
        &self,
        tenant: TenantId,
        actor: &Actor,
        slug: &WorkflowSlug,
        receipt: Option<ReceiptMaker<MovedRuns>>,
    ) -> Result<MovedRuns, EngineError> {
        let (mut tx, model) = self.begin_workflows(tenant).await?;
        let live = Arc::clone(model.workflow(slug).ok_or(NO_WORKFLOW)?);
        managed(&model, actor, live.definition())?;
        let to = live.version();
        let mut moved = crm_store::workflows::unbegun_move(&mut tx, slug, to).await?;
        let mut after = JobId::new(Uuid::nil());
        let source = slug.clone().into();
        loop {
            let page = (after, MOVE_PAGE_RUNS);
            let begun = crm_store::workflows::begun_lock(&mut tx, slug, to, page).await?;
            let Some(last) = begun.last() else { break };
            after = last.job;
            for run in begun {
                let flow = match self.run_flow(&model, &source, Some(run.version)).await {
                    Ok(flow) => flow,
                    Err(NoFlow::Gone(_)) => continue,
                    Err(NoFlow::Store(error)) => return Err(error.into()),
                };
                let Some(place) = run.place.moved(flow.program(), live.program()) else {
                    continue;
                };
                crm_store::workflows::begun_move(&mut tx, run.job, (to, &place)).await?;
                moved += 1;
            }
        }
        let runs = crm_store::workflows::open_runs(&mut tx, slug).await?;
        let others = runs.into_iter().filter(|(version, _)| *version != to);
        let finishing = others.map(|(_, runs)| runs.unsigned_abs()).sum();
        let told = MovedRuns { moved, finishing };
        let act = Act {
            after: Some(json!({ "version": to, "moved": moved, "finishing": finishing })),
            ..Act::plain("workflow.runs_moved", format!("workflows/{slug}"))
        };
        audit_write(&mut tx, actor, act).await?;
        receipt_keep(&mut tx, actor, receipt.as_ref(), &told).await?;
        tx.commit().await?;
        Ok(told)
    }

    /// A transaction, and the tenant's model.
    pub(crate) async fn begin_workflows(
        &self,
        tenant: TenantId,
    ) -> Result<(TenantTx, Arc<Model>), EngineError> {
        let tx = TenantTx::begin(self.store(), tenant).await?;
        let model = self.model_at(tenant, tx.model_version()).await?;
        Ok((tx, model.ok_or(NO_WORKFLOW)?))
    }
}

/// Whoever does not manage the module learns nothing of what is not live, nor does whoever does not
/// see all fields that it names.
fn managed(
    model: &Model,
    actor: &Actor,
    definition: &WorkflowDefinition,
) -> Result<(), EngineError> {
    let permitted = permit(
        model,
        Authority::User(actor),
        Action::Manage,
        &definition.module,
    );
    let permitted = permitted.map_err(|denied| match denied {
        Denied::Invisible { .. } => NO_WORKFLOW,
        other => other.into(),
    })?;
    match permitted.sight().tells(&value_of(definition).to_string()) {
        true => Err(NO_WORKFLOW),
        false => Ok(()),
    }
}

fn no_workflow(error: EngineError) -> EngineError {
    match error {
        EngineError::NotFound(_) => NO_WORKFLOW,
        other => other,
    }
}

async fn draft_of(tx: &mut TenantTx, slug: &WorkflowSlug) -> Result<Draft, EngineError> {
    let drafts = crm_store::workflows::drafts_list(tx, Some(slug)).await?;
    let draft = drafts.into_iter().next();
    draft.ok_or(EngineError::NotFound("draft"))
}

pub(crate) async fn edition(
    tx: &mut TenantTx,
    model: &Model,
    slug: &WorkflowSlug,
    which: Edition,
) -> Result<WorkflowDefinition, EngineError> {
    match which {
        Edition::Draft => Ok(draft_of(tx, slug).await?.definition),
        Edition::Live => Ok(model
            .workflow(slug)
            .ok_or(NO_WORKFLOW)?
            .definition()
            .clone()),
        Edition::Version(0) => {
            let live = model.workflow(slug).filter(|live| live.version() == 0);
            let found = live.or_else(|| model.replaced_workflow(slug));
            Ok(found.ok_or(NO_VERSION)?.definition().clone())
        }
        Edition::Version(version) => {
            let found = crm_store::workflows::version_read(tx, slug, version).await?;
            Ok(found.ok_or(NO_VERSION)?.definition)
        }
    }
}

fn value_of(definition: &WorkflowDefinition) -> Value {
    json!(definition)
}
