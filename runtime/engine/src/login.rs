//! Logging in here, with a password: the local issuer. What goes wrong has one answer, whether
//! there is such a person, whether they are locked out, and whether the password was theirs.

use crm_model::local_user::{email_key, name_problem, password_problem};
use crm_model::{Actor, LocalUserId, TenantId, UserId};
use crm_store::TenantTx;
use crm_store::sessions::Person;
use crm_store::users::{LocalUser, LoginAttempt, LoginName};

use crate::audit::{Act, audit_write};
use crate::secret::TenantSecret;
use crate::uncancelled::uncancelled;
use crate::users::user_id_of;
use crate::{Engine, EngineError, fresh};

/// How sessions name the local issuer.
pub const LOCAL_ISSUER: &str = "local";

/// What became of choosing a password.
#[derive(Clone, Debug)]
pub enum Chosen {
    /// Done, and logged in with a session of their own; all others have ended.
    Done(TenantSecret),
    /// What is wrong with what was typed.
    Refused(String),
    /// The old password is not the one, or the invitation is none.
    Unknown,
}

impl Engine {
    /// A session for whoever knows the password.
    ///
    /// # Errors
    /// [`EngineError::Store`]; [`EngineError::Busy`] where too many log in at once.
    pub async fn local_login(
        &self,
        tenant: TenantId,
        email: &str,
        password: String,
    ) -> Result<Option<TenantSecret>, EngineError> {
        let key = email_key(email);
        let name = LoginName::Email(&key);
        let Some(attempt) = self.password_attempt(tenant, name, password).await? else {
            return Ok(None);
        };
        self.logged_in(tenant, attempt).await
    }

    /// Somebody whose password this is; it counts as an attempt to log in.
    async fn password_attempt(
        &self,
        tenant: TenantId,
        name: LoginName<'_>,
        password: String,
    ) -> Result<Option<LoginAttempt>, EngineError> {
        let at = fresh::now();
        let attempt = crm_store::users::login_begin(self.store(), tenant, name, at).await?;
        let kept = attempt.as_ref().map(|attempt| attempt.password.clone());
        let fits = self.password_fits(password, kept).await?;
        Ok(attempt.filter(|_| fits))
    }

    /// The session comes first: whoever disables the person meanwhile either finds it or is found.
    async fn logged_in(
        &self,
        tenant: TenantId,
        attempt: LoginAttempt,
    ) -> Result<Option<TenantSecret>, EngineError> {
        let person = Person {
            roles: attempt.roles.clone(),
            name: Some(attempt.name.clone()).filter(|name| !name.is_empty()),
            email: Some(attempt.email.clone()),
            issuer: LOCAL_ISSUER.to_owned(),
        };
        let user = user_id_of(attempt.id)?;
        let secret = self.session_begin(tenant, user, person).await?;
        let at = fresh::now();
        if crm_store::users::login_end(self.store(), tenant, &attempt, at).await? {
            return Ok(Some(secret));
        }
        self.session_end(&secret).await?;
        Ok(None)
    }

    /// Who is invited, while the invitation is open.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn invitation(
        &self,
        invitation: &TenantSecret,
    ) -> Result<Option<LocalUser>, EngineError> {
        let mut tx = TenantTx::begin(self.store(), invitation.tenant()).await?;
        let (hash, at) = (invitation.hash(), fresh::now());
        Ok(crm_store::users::user_of_invitation(&mut tx, &hash, at).await?)
    }

    /// Accepts an invitation, which then is none any more.
    ///
    /// # Errors
    /// [`EngineError::Store`]; [`EngineError::Busy`].
    pub async fn invitation_accept(
        &self,
        invitation: TenantSecret,
        name: String,
        password: String,
    ) -> Result<Chosen, EngineError> {
        // Asked first, so that nobody has passwords hashed for nothing.
        let Some(user) = self.invitation(&invitation).await? else {
            return Ok(Chosen::Unknown);
        };
        let name = name.trim().to_owned();
        let problem = name_problem(&name).or_else(|| password_problem(&password, &user.email));
        if let Some(problem) = problem {
            return Ok(Chosen::Refused(problem));
        }
        let (typed, password) = (password.clone(), self.password_hash(password).await?);
        let engine = self.clone();
        let tenant = invitation.tenant();
        let accepted = uncancelled(async move {
            let mut tx = TenantTx::begin(engine.store(), tenant).await?;
            let (hash, at) = (invitation.hash(), fresh::now());
            let found = crm_store::users::user_of_invitation(&mut tx, &hash, at).await?;
            let Some(mut user) = found else {
                return Ok(None);
            };
            user.name = name;
            crm_store::users::user_password(&mut tx, &user, &password).await?;
            engine
                .password_chosen(tx, &user, "user.invitation_accepted")
                .await?;
            Ok(Some(user))
        })
        .await?;
        let Some(user) = accepted else {
            return Ok(Chosen::Unknown);
        };
        let session = self.local_login(tenant, &user.email, typed).await?;
        Ok(session.map_or(Chosen::Unknown, Chosen::Done))
    }

    /// Changes the password of somebody who is logged in; all their sessions end.
    ///
    /// # Errors
    /// [`EngineError::Store`]; [`EngineError::Busy`]; [`EngineError::NotFound`] for somebody of
    /// another issuer.
    pub async fn password_change(
        &self,
        tenant: TenantId,
        user: &UserId,
        old: String,
        new: String,
    ) -> Result<Chosen, EngineError> {
        let id = local_user_of(user).ok_or(EngineError::NotFound("user"))?;
        let Some(attempt) = self
            .password_attempt(tenant, LoginName::Id(id), old)
            .await?
        else {
            return Ok(Chosen::Unknown);
        };
        // It was the right one, so it does not count against them whatever the new one is.
        if !crm_store::users::login_end(self.store(), tenant, &attempt, fresh::now()).await? {
            return Ok(Chosen::Unknown);
        }
        if let Some(problem) = password_problem(&new, &attempt.email) {
            return Ok(Chosen::Refused(problem));
        }
        let (typed, password) = (new.clone(), self.password_hash(new).await?);
        let engine = self.clone();
        uncancelled(async move {
            let mut tx = TenantTx::begin(engine.store(), tenant).await?;
            let user = crm_store::users::user_lock(&mut tx, id).await?;
            let user = user.filter(|user| user.disabled_at.is_none());
            let user = user.ok_or(EngineError::NotFound("user"))?;
            crm_store::users::user_password(&mut tx, &user, &password).await?;
            engine
                .password_chosen(tx, &user, "user.password_changed")
                .await
        })
        .await?;
        let session = self.local_login(tenant, &attempt.email, typed).await?;
        Ok(session.map_or(Chosen::Unknown, Chosen::Done))
    }

    /// Writes it down as the person's own act, commits, and ends their sessions.
    async fn password_chosen(
        &self,
        mut tx: TenantTx,
        user: &LocalUser,
        action: &'static str,
    ) -> Result<(), EngineError> {
        let actor = Actor::person(user_id_of(user.id)?, user.roles.clone());
        let act = Act::plain(action, format!("users/{}", user.id));
        audit_write(&mut tx, &actor, act).await?;
        let tenant = tx.tenant_id();
        tx.commit().await?;
        self.sessions_end(tenant, &actor.user_id).await
    }
}

/// The id that a user id of ours has in it.
pub fn local_user_of(user: &UserId) -> Option<LocalUserId> {
    user.as_str().strip_prefix("local:")?.parse().ok()
}
