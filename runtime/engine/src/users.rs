//! People who log in here: invited, invited again, given other roles and disabled by those who
//! manage the whole model, never by a key. An invitation is told once; what is kept does not give
//! it away.

use chrono::TimeDelta;
use crm_model::limits::{INVITATION_MAX_SECONDS, TENANT_MAX_USERS};
use crm_model::local_user::{
    LocalUserEdit, NewLocalUser, check_local_user, check_roles, email_key,
};
use crm_model::{Actor, LocalUserId, Model, TenantId, UserId};
use crm_store::TenantTx;
use crm_store::users::LocalUser;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::audit::{Act, audit_write};
use crate::read::{Page, PageRequest, Total};
use crate::receipt::{ReceiptMaker, receipt_keep};
use crate::secret::TenantSecret;
use crate::select::may_manage;
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

const NOT_FOUND: EngineError = EngineError::NotFound("user");

/// How records and sessions name somebody who logs in here.
pub fn user_id_of(user: LocalUserId) -> Result<UserId, EngineError> {
    UserId::try_from(format!("local:{user}"))
        .map_err(|error| EngineError::Internal(error.to_string()))
}

/// How the audit log tells of somebody.
fn told(user: &LocalUser) -> Value {
    json!({
        "email": user.email,
        "roles": user.roles,
        "disabled": user.disabled_at.is_some(),
    })
}

fn act(action: &'static str, before: Option<Value>, user: &LocalUser) -> Act {
    Act {
        before,
        after: Some(told(user)),
        ..Act::plain(action, format!("users/{}", user.id))
    }
}

impl Engine {
    /// A page of those who log in here, the newest first.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub async fn users(
        &self,
        tenant: TenantId,
        actor: &Actor,
        page: PageRequest<LocalUserId>,
    ) -> Result<Page<LocalUser>, EngineError> {
        let (mut tx, _) = self.begin_users(tenant, actor).await?;
        let rows = crm_store::users::users_page(&mut tx, page.before, page.limit + 1).await?;
        let mut answer = Page::cut(rows, page.limit);
        if page.total {
            let value = crm_store::users::users_count(&mut tx).await?;
            answer.total = Some(Total { value, exact: true });
        }
        Ok(answer)
    }

    /// Invites somebody who is not there yet.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::Refused`]; [`EngineError::Conflict`] where the
    /// address is taken, or there are too many.
    pub async fn user_invite(
        &self,
        tenant: TenantId,
        actor: Actor,
        wanted: NewLocalUser,
        receipt: Option<ReceiptMaker<LocalUser>>,
    ) -> Result<(LocalUser, TenantSecret), EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let (mut tx, model) = engine.begin_users(tenant, &actor).await?;
            let violations = check_local_user(&wanted, model.as_deref());
            violations.into_result().map_err(EngineError::invalid)?;
            if crm_store::users::users_count(&mut tx).await? >= TENANT_MAX_USERS {
                return Err(EngineError::Conflict(format!(
                    "there are {TENANT_MAX_USERS} users, which is the most"
                )));
            }
            let (invitation, at) = (TenantSecret::fresh(tenant)?, fresh::now());
            let user = LocalUser {
                id: LocalUserId::new(fresh::id()),
                email: wanted.email.trim().to_owned(),
                name: wanted.name.trim().to_owned(),
                roles: wanted.roles,
                active: false,
                invited_until: Some(at + TimeDelta::seconds(INVITATION_MAX_SECONDS)),
                disabled_at: None,
                created_at: at,
                created_by: actor.user_id.clone(),
                last_login_at: None,
            };
            let (key, hash) = (email_key(&user.email), invitation.hash());
            crm_store::users::user_insert(&mut tx, &user, &key, &hash).await?;
            audit_write(&mut tx, &actor, act("user.invited", None, &user)).await?;
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &user).await?;
            tx.commit().await?;
            Ok((user, invitation))
        })
        .await
    }

    /// Gives somebody another invitation in the place of the one before, by which they choose a
    /// password: the first, or a new one.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::NotFound`]; [`EngineError::Conflict`] where they
    /// are disabled.
    pub async fn user_reinvite(
        &self,
        tenant: TenantId,
        actor: Actor,
        user: LocalUserId,
        receipt: Option<ReceiptMaker<LocalUser>>,
    ) -> Result<(LocalUser, TenantSecret), EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let (mut tx, _) = engine.begin_users(tenant, &actor).await?;
            let user = crm_store::users::user_lock(&mut tx, user).await?;
            let mut user = user.ok_or(NOT_FOUND)?;
            if user.disabled_at.is_some() {
                let message = "who is disabled cannot be invited: enable them first";
                return Err(EngineError::Conflict(message.to_owned()));
            }
            let invitation = TenantSecret::fresh(tenant)?;
            user.invited_until = Some(fresh::now() + TimeDelta::seconds(INVITATION_MAX_SECONDS));
            crm_store::users::user_invite(&mut tx, &user, &invitation.hash()).await?;
            audit_write(&mut tx, &actor, act("user.invited", None, &user)).await?;
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &user).await?;
            tx.commit().await?;
            Ok((user, invitation))
        })
        .await
    }

    /// Gives somebody other roles, disables or enables them. Their sessions end, so that it holds
    /// at once.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::NotFound`]; [`EngineError::Refused`];
    /// [`EngineError::Conflict`] for oneself.
    pub async fn user_edit(
        &self,
        tenant: TenantId,
        actor: Actor,
        user: LocalUserId,
        edit: LocalUserEdit,
    ) -> Result<LocalUser, EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let (mut tx, model) = engine.begin_users(tenant, &actor).await?;
            let user = crm_store::users::user_lock(&mut tx, user).await?;
            let mut user = user.ok_or(NOT_FOUND)?;
            if let Some(roles) = &edit.roles {
                let violations = check_roles(roles, model.as_deref());
                violations.into_result().map_err(EngineError::invalid)?;
            }
            let id = user_id_of(user.id)?;
            if id == actor.user_id {
                let message = "nobody changes their own roles, or disables themselves";
                return Err(EngineError::Conflict(message.to_owned()));
            }
            let before = told(&user);
            user.roles = edit.roles.unwrap_or(user.roles);
            match edit.disabled {
                Some(true) => {
                    user.disabled_at = user.disabled_at.or_else(|| Some(fresh::now()));
                    user.invited_until = None;
                }
                Some(false) => user.disabled_at = None,
                None => {}
            }
            crm_store::users::user_update(&mut tx, &user).await?;
            audit_write(&mut tx, &actor, act("user.edited", Some(before), &user)).await?;
            tx.commit().await?;
            engine.sessions_end(tenant, &id).await?;
            Ok(user)
        })
        .await
    }

    async fn begin_users(
        &self,
        tenant: TenantId,
        actor: &Actor,
    ) -> Result<(TenantTx, Option<Arc<Model>>), EngineError> {
        let tx = TenantTx::begin(self.store(), tenant).await?;
        let model = self.model_at(tenant, tx.model_version()).await?;
        if actor.scope.is_some() {
            return Err(EngineError::Forbidden(
                "an API key has no say over people: ask as a person",
            ));
        }
        match may_manage(model.as_deref(), actor) {
            true => Ok((tx, model)),
            false => Err(EngineError::Forbidden(
                "people are for those who may manage all modules",
            )),
        }
    }
}
