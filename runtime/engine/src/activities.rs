//! Entries on timelines: read, listed, corrected, taken away. They are added through the door,
//! [`crate::write`]. What the system wrote stays as it is.

use crm_model::activity::ActivityPatch;
use crm_model::permission::{Action, Authority, permit_activity};
use crm_model::{ActivityId, Actor, Model, ModuleSlug, RecordId, Refusal, TenantId};
use crm_store::activities::{Activity, ActivityFilter};
use crm_store::{StoreError, TenantTx};
use std::sync::Arc;

use crate::reach::{OfRecords, Reading, check_reach};
use crate::read::{Page, PageRequest, readable};
use crate::{Engine, EngineError, fresh};

/// Nobody learns which entries there are of modules that they may not read.
const NO_ACTIVITY: EngineError = EngineError::NotFound("activity");

/// Entries of records of these modules.
pub(crate) struct Across<'a> {
    pub(crate) modules: &'a [ModuleSlug],
    pub(crate) filter: &'a ActivityFilter,
}

impl OfRecords for Across<'_> {
    type Row = Activity;
    type Place = ActivityId;

    async fn fetch(
        &self,
        tx: &mut TenantTx,
        before: Option<ActivityId>,
        limit: u32,
    ) -> Result<Vec<Activity>, StoreError> {
        let (modules, filter) = (self.modules, self.filter);
        crm_store::activities::activities_across(tx, modules, filter, before, limit).await
    }

    fn of(activity: &Activity) -> (ActivityId, ModuleSlug, RecordId) {
        (activity.id, activity.module.clone(), activity.record_id)
    }
}

/// Of a record that is not there there is no entry.
fn no_activity(error: EngineError) -> EngineError {
    match error {
        EngineError::Refused(Refusal::NotFound) => NO_ACTIVITY,
        other => other,
    }
}

impl Engine {
    /// One entry.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] where it does not exist for the caller.
    pub async fn activity(
        &self,
        tenant: TenantId,
        actor: &Actor,
        activity: ActivityId,
    ) -> Result<Activity, EngineError> {
        let (mut tx, model) = self.begin_across(tenant).await?;
        let found = crm_store::activities::activity_read(&mut tx, activity).await?;
        let may_read = |activity: &Activity| readable(&model, actor).contains(&activity.module);
        let found = found.filter(may_read).ok_or(NO_ACTIVITY)?;
        let record = (&found.module, found.record_id);
        let there = check_reach(&mut tx, (&model, actor), record, Action::Read);
        there.await.map_err(no_activity)?;
        Ok(found)
    }

    /// A page of a record's entries, the last written first. Of the filter, kind and done count.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where the record does not exist for the caller.
    pub async fn activities(
        &self,
        tenant: TenantId,
        actor: &Actor,
        (module, record): (&ModuleSlug, RecordId),
        filter: &ActivityFilter,
        page: PageRequest<ActivityId>,
    ) -> Result<Page<Activity>, EngineError> {
        self.record(tenant, actor, module, record).await?;
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let (before, limit) = (page.before, page.limit + 1);
        let rows =
            crm_store::activities::activities_page(&mut tx, record, filter, before, limit).await?;
        Ok(Page::cut(rows, page.limit))
    }

    /// A page of entries of all modules that the caller may read, the last written first.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn activities_across(
        &self,
        tenant: TenantId,
        actor: &Actor,
        filter: &ActivityFilter,
        page: PageRequest<ActivityId>,
    ) -> Result<Page<Activity>, EngineError> {
        let (mut tx, model) = self.begin_across(tenant).await?;
        let modules = readable(&model, actor);
        let reading = Reading::new(&model, actor);
        let list = Across {
            modules: &modules,
            filter,
        };
        let rows = reading.rows(&mut tx, &list, (page.before, page.limit + 1));
        Ok(Page::cut(rows.await?, page.limit))
    }

    /// Changes an entry; the entry as it is then. Runs to its end even if the caller goes away.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] where it does not exist for the caller,
    /// [`EngineError::Forbidden`] where it is the system's, [`EngineError::Refused`] with every
    /// violation, or where the caller may not update the module's records.
    pub async fn activity_change(
        &self,
        tenant: TenantId,
        actor: Actor,
        activity: ActivityId,
        patch: ActivityPatch,
    ) -> Result<Activity, EngineError> {
        let engine = self.clone();
        let task = tokio::spawn(async move {
            let (mut tx, mut entry) = engine
                .begin_activity_change(tenant, &actor, activity)
                .await?;
            let done = patch.done;
            entry.content = patch
                .check(&entry.kind, entry.content)
                .map_err(Refusal::Invalid)?;
            let (now, by) = (fresh::now(), actor.user_id.to_string());
            entry.done = match done {
                Some(true) => entry.done.or_else(|| Some((now, by.clone()))),
                Some(false) => None,
                None => entry.done,
            };
            entry.at = entry.content.occurred_at.unwrap_or(entry.created_at);
            (entry.updated_at, entry.updated_by) = (now, by);
            crm_store::activities::activity_update(&mut tx, &entry).await?;
            tx.commit().await?;
            Ok(entry)
        });
        task.await
            .map_err(|error| EngineError::Internal(error.to_string()))?
    }

    /// Takes an entry away. Runs to its end even if the caller goes away.
    ///
    /// # Errors
    /// As [`Engine::activity_change`].
    pub async fn activity_remove(
        &self,
        tenant: TenantId,
        actor: Actor,
        activity: ActivityId,
    ) -> Result<(), EngineError> {
        let engine = self.clone();
        let task = tokio::spawn(async move {
            let (mut tx, entry) = engine
                .begin_activity_change(tenant, &actor, activity)
                .await?;
            crm_store::activities::activity_delete(&mut tx, entry.id).await?;
            tx.commit().await.map_err(EngineError::from)
        });
        task.await
            .map_err(|error| EngineError::Internal(error.to_string()))?
    }

    /// A transaction that holds the entry, if the caller may change it.
    async fn begin_activity_change(
        &self,
        tenant: TenantId,
        actor: &Actor,
        activity: ActivityId,
    ) -> Result<(TenantTx, Activity), EngineError> {
        let (mut tx, model) = self.begin_across(tenant).await?;
        let found = crm_store::activities::activity_lock(&mut tx, activity).await?;
        let entry = found.ok_or(NO_ACTIVITY)?;
        permit_activity(&model, Authority::User(actor), &entry.module)?;
        let record = (&entry.module, entry.record_id);
        let open = check_reach(&mut tx, (&model, actor), record, Action::Update);
        open.await.map_err(no_activity)?;
        if entry.kind.is_system() {
            return Err(EngineError::Forbidden(
                "what the system wrote on a timeline stays as it is",
            ));
        }
        Ok((tx, entry))
    }

    /// A transaction for what is not of one module.
    pub(crate) async fn begin_across(
        &self,
        tenant: TenantId,
    ) -> Result<(TenantTx, Arc<Model>), EngineError> {
        let tx = TenantTx::begin(self.store(), tenant).await?;
        let model = self.model_at(tenant, tx.model_version()).await?;
        let model = model.ok_or(EngineError::NotFound("template"))?;
        Ok((tx, model))
    }
}
