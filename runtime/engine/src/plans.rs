//! The limits of a tenant's guests: what they are, where they come from, and what the operator
//! sets.

use crm_model::limits::PLAN_NAME_MAX_CHARACTERS;
use crm_model::plan::Plan;
use crm_model::{Actor, GuestClass, TenantId, Violations};
use crm_sandbox::{EffectiveLimit, over_caps};
use crm_store::TenantTx;

use crate::audit::{Act, audit_write};
use crate::select::may_manage;
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

/// What a tenant's guests may take.
#[derive(Clone, Debug)]
pub struct TenantLimits {
    pub plan: Plan,
    pub limits: Vec<(GuestClass, EffectiveLimit)>,
}

/// Everything that is wrong with a plan.
///
/// # Errors
/// The violations, each with its place.
pub fn plan_check(plan: &Plan) -> Result<(), Violations> {
    let mut violations = Violations::default();
    let characters = plan.name.as_ref().map(|name| name.trim().chars().count());
    if characters.is_some_and(|count| count == 0 || count > PLAN_NAME_MAX_CHARACTERS) {
        let message = format!("has 1 to {PLAN_NAME_MAX_CHARACTERS} characters");
        violations.add("/plan".to_owned(), "length", message);
    }
    for over in over_caps(&plan.limits) {
        let pointer = format!("/limits/{}", over.limit);
        let message = format!("is at most {}, whatever the plan", over.cap);
        violations.add(pointer, "maximum", message);
    }
    violations.into_result()
}

impl Engine {
    /// What calls of the tenant's plugins and hooks may take, for those who manage everything.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub async fn tenant_limits(
        &self,
        tenant: TenantId,
        actor: &Actor,
    ) -> Result<TenantLimits, EngineError> {
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let plan = crm_store::plans::plan_read(&mut tx).await?;
        let version = tx.model_version();
        drop(tx);
        let model = self.model_at(tenant, version).await?;
        if !may_manage(model.as_deref(), actor) {
            return Err(EngineError::Forbidden(
                "the limits of plugins are for those who may manage all modules",
            ));
        }
        Ok(self.limits_under(plan))
    }

    /// Sets a tenant's plan, and writes that down. Whether the caller runs the installation, and
    /// nobody else may do this, was asked before.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where it goes past a cap.
    pub async fn plan_set(
        &self,
        tenant: TenantId,
        actor: Actor,
        plan: Plan,
    ) -> Result<TenantLimits, EngineError> {
        plan_check(&plan).map_err(EngineError::invalid)?;
        let engine = self.clone();
        uncancelled(async move {
            // A suspended tenant's too: this is the operator's, not the tenant's.
            let mut tx = TenantTx::begin_audit(engine.store(), tenant).await?;
            let before = crm_store::plans::plan_read(&mut tx).await?;
            let (at, by) = (fresh::now(), actor.user_id.as_str());
            crm_store::plans::plan_set(&mut tx, &plan, at, by).await?;
            let act = Act {
                before: Some(told(&before)),
                after: Some(told(&plan)),
                ..Act::plain("plan.set", "limits".to_owned())
            };
            audit_write(&mut tx, &actor, act).await?;
            tx.commit().await?;
            Ok(engine.limits_under(plan))
        })
        .await
    }

    fn limits_under(&self, plan: Plan) -> TenantLimits {
        let classes = [GuestClass::Standard, GuestClass::Interpreter].into_iter();
        let limits = classes.flat_map(|class| {
            let limits = self.sandbox().class_limits(class).explained(&plan.limits);
            limits.into_iter().map(move |limit| (class, limit))
        });
        TenantLimits {
            limits: limits.collect(),
            plan,
        }
    }
}

/// The plan as the audit log tells it: what it says alone.
fn told(plan: &Plan) -> serde_json::Value {
    let mut value = serde_json::to_value(plan).unwrap_or_default();
    let mut objects = vec![&mut value];
    while let Some(object) = objects.pop().and_then(serde_json::Value::as_object_mut) {
        object.retain(|_, value| !value.is_null());
        objects.extend(object.values_mut().filter(|value| value.is_object()));
    }
    value
}
