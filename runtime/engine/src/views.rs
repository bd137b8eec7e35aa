//! Saved views: private to whoever made them, or shared with all who may read the module. A
//! shared view is changed by its creator and by those who manage the module.

use crm_model::limits::{TOTAL_EXACT_MAX_RECORDS, USER_MAX_VIEWS};
use crm_model::permission::{Action, Authority, permit};
use crm_model::query::{Filter, Scope};
use crm_model::view::{ViewDefinition, check_view, shown_view};
use crm_model::{Actor, Data, Model, ModuleSlug, TenantId, ViewId, Violations};
use crm_store::TenantTx;
use crm_store::views::View;
use std::sync::Arc;

use crate::audit::{Act, audit_write};
use crate::read::{Page, PageRequest, Total};
use crate::receipt::{ReceiptMaker, receipt_keep};
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

const NOT_FOUND: EngineError = EngineError::NotFound("view");

impl Engine {
    /// A page of the views that the caller may use, newest first; of one module, or of all.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where the module does not exist for the caller.
    pub async fn views(
        &self,
        tenant: TenantId,
        actor: &Actor,
        module: Option<&ModuleSlug>,
        page: PageRequest<ViewId>,
    ) -> Result<Page<View>, EngineError> {
        let (mut tx, model) = self.begin_views(tenant).await?;
        let Some(model) = model else {
            return Ok(Page::cut(Vec::new(), page.limit));
        };
        let mut readable = model.permissions(actor);
        readable.retain(|_, actions| actions.contains(&Action::Read));
        if let Some(module) = module {
            permit(&model, Authority::User(actor), Action::Read, module)?;
            readable.retain(|slug, _| slug == module);
        }
        let (modules, user): (Vec<_>, _) = (readable.keys().collect(), &actor.user_id);
        let limit = page.limit + 1;
        let rows =
            crm_store::views::views_page(&mut tx, &modules, user, page.before, limit).await?;
        let rows = rows.into_iter().map(|view| shown(&model, actor, view));
        let mut answer = Page::cut(rows.collect(), page.limit);
        if page.total {
            let most = TOTAL_EXACT_MAX_RECORDS;
            let count = crm_store::views::views_count(&mut tx, &modules, user, most).await?;
            answer.total = Some(Total {
                value: count.min(most),
                exact: count <= most,
            });
        }
        Ok(answer)
    }

    /// One view.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] also where it is somebody else's own.
    pub async fn view(
        &self,
        tenant: TenantId,
        actor: &Actor,
        view: ViewId,
    ) -> Result<View, EngineError> {
        let (mut tx, model) = self.begin_views(tenant).await?;
        let model = model.ok_or(NOT_FOUND)?;
        let found = crm_store::views::view_read(&mut tx, view, false).await?;
        let found = visible(&model, actor, found)?;
        Ok(shown(&model, actor, found))
    }

    /// Keeps a new view.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where it does not fit its module, or is shared by somebody who may
    /// not update the module's records; [`EngineError::Conflict`] where the caller has too many.
    pub async fn view_add(
        &self,
        tenant: TenantId,
        actor: Actor,
        definition: ViewDefinition,
        receipt: Option<ReceiptMaker<View>>,
    ) -> Result<View, EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let (mut tx, model) = engine.begin_views(tenant).await?;
            let model = model.ok_or_else(|| EngineError::no_module(&definition.module))?;
            check_wanted(&model, &actor, &definition)?;
            let kept = crm_store::views::views_count_of(&mut tx, &actor.user_id).await?;
            if kept >= USER_MAX_VIEWS {
                return Err(EngineError::Conflict(format!(
                    "you keep {USER_MAX_VIEWS} views, which is the most: delete one first"
                )));
            }
            let at = fresh::now();
            let view = View {
                id: ViewId::new(fresh::id()),
                definition,
                created_at: at,
                created_by: actor.user_id.clone(),
                updated_at: at,
                updated_by: actor.user_id.clone(),
            };
            crm_store::views::view_put(&mut tx, &view).await?;
            audit_shared(&mut tx, &actor, "view.added", view.id, None, Some(&view)).await?;
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &view).await?;
            tx.commit().await?;
            Ok(view)
        })
        .await
    }

    /// Lays a merge patch over a view. Its module stays.
    ///
    /// # Errors
    /// As [`Engine::view_add`]; [`EngineError::NotFound`], [`EngineError::Forbidden`].
    pub async fn view_edit(
        &self,
        tenant: TenantId,
        actor: Actor,
        view: ViewId,
        patch: Data,
    ) -> Result<View, EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let (mut tx, mut view, model) = engine.begin_change(tenant, &actor, view).await?;
            let wanted = view.definition.patched(&patch);
            let wanted = wanted.map_err(EngineError::invalid)?;
            if wanted.module != view.definition.module {
                let message = "a view stays with its module: make another view";
                let violations = Violations::one("/module", "immutable", message);
                return Err(EngineError::invalid(violations));
            }
            check_wanted(&model, &actor, &wanted)?;
            let before = view.clone();
            view.definition = wanted;
            view.updated_at = fresh::now();
            view.updated_by = actor.user_id.clone();
            crm_store::views::view_put(&mut tx, &view).await?;
            let (id, before, after) = (view.id, Some(&before), Some(&view));
            audit_shared(&mut tx, &actor, "view.edited", id, before, after).await?;
            tx.commit().await?;
            Ok(view)
        })
        .await
    }

    /// Takes a view away.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Forbidden`].
    pub async fn view_remove(
        &self,
        tenant: TenantId,
        actor: Actor,
        view: ViewId,
    ) -> Result<(), EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let (mut tx, view, _) = engine.begin_change(tenant, &actor, view).await?;
            crm_store::views::view_delete(&mut tx, view.id).await?;
            audit_shared(&mut tx, &actor, "view.removed", view.id, Some(&view), None).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    async fn begin_views(
        &self,
        tenant: TenantId,
    ) -> Result<(TenantTx, Option<Arc<Model>>), EngineError> {
        let tx = TenantTx::begin(self.store(), tenant).await?;
        let model = self.model_at(tenant, tx.model_version()).await?;
        Ok((tx, model))
    }

    /// A view that the caller may change, locked against others.
    async fn begin_change(
        &self,
        tenant: TenantId,
        actor: &Actor,
        view: ViewId,
    ) -> Result<(TenantTx, View, Arc<Model>), EngineError> {
        let (mut tx, model) = self.begin_views(tenant).await?;
        let model = model.ok_or(NOT_FOUND)?;
        let found = crm_store::views::view_read(&mut tx, view, true).await?;
        let view = visible(&model, actor, found)?;
        let module = &view.definition.module;
        let manages = permit(&model, Authority::User(actor), Action::Manage, module).is_ok();
        if view.created_by != actor.user_id && !manages {
            return Err(EngineError::Forbidden(
                "a shared view is changed by its creator and by those who manage the module",
            ));
        }
        Ok((tx, view, model))
    }
}

/// What others see too is written down; what somebody keeps for themselves is nobody's business.
async fn audit_shared(
    tx: &mut TenantTx,
    actor: &Actor,
    action: &'static str,
    view: ViewId,
    before: Option<&View>,
    after: Option<&View>,
) -> Result<(), EngineError> {
    let shared = |view: &&View| view.definition.shared;
    let definition = |view: &View| serde_json::to_value(&view.definition).ok();
    let (before, after) = (before.filter(shared), after.filter(shared));
    if before.is_none() && after.is_none() {
        return Ok(());
    }
    let act = Act {
        action,
        target: format!("views/{view}"),
        before: before.and_then(definition),
        after: after.and_then(definition),
    };
    audit_write(tx, actor, act).await
}

fn visible(model: &Model, actor: &Actor, view: Option<View>) -> Result<View, EngineError> {
    let view = view.ok_or(NOT_FOUND)?;
    let module = &view.definition.module;
    let reads = permit(model, Authority::User(actor), Action::Read, module).is_ok();
    if reads && (view.definition.shared || view.created_by == actor.user_id) {
        Ok(view)
    } else {
        Err(NOT_FOUND)
    }
}

/// A view without what is not there for the reader.
fn shown(model: &Model, actor: &Actor, mut view: View) -> View {
    if let Some(module) = model.module(&view.definition.module) {
        let scope = Scope::person(model, actor, fresh::now());
        shown_view(scope, module, &mut view.definition);
    }
    view
}

/// Whether somebody may keep this view, and whether it fits its module.
fn check_wanted(model: &Model, actor: &Actor, view: &ViewDefinition) -> Result<(), EngineError> {
    let action = match view.shared {
        true => Action::Update,
        false => Action::Read,
    };
    permit(model, Authority::User(actor), action, &view.module)?;
    let module = model.module(&view.module);
    let module = module.ok_or_else(|| EngineError::no_module(&view.module))?;
    let scope = Scope::person(model, actor, fresh::now());
    check_view(scope, module, view).map_err(EngineError::invalid)?;
    if let Some(filter) = &view.filter {
        Filter::parse(scope, &view.module, filter, "/filter").map_err(EngineError::invalid)?;
    }
    Ok(())
}
