//! People who are logged in with a browser. A session is what one login said of a person, for a
//! while; what they may do is the model's to say, at each request.

use chrono::TimeDelta;
use crm_model::limits::SESSION_MAX_SECONDS;
use crm_model::{TenantId, UserId};
pub use crm_store::sessions::{Person, Session};

use crate::secret::TenantSecret;
use crate::{Engine, EngineError, fresh};

impl Engine {
    /// Begins a session, with a secret that nobody had before.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn session_begin(
        &self,
        tenant: TenantId,
        user_id: UserId,
        person: Person,
    ) -> Result<TenantSecret, EngineError> {
        let (secret, at) = (TenantSecret::fresh(tenant)?, fresh::now());
        let session = Session {
            user_id,
            person,
            created_at: at,
            expires_at: at + TimeDelta::seconds(SESSION_MAX_SECONDS),
        };
        let hash = secret.hash();
        crm_store::sessions::session_insert(self.store(), tenant, &hash, &session).await?;
        Ok(secret)
    }

    /// The session of a secret at this moment. Asked at each request, so that one that was ended
    /// has ended everywhere.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn session(&self, secret: &TenantSecret) -> Result<Option<Session>, EngineError> {
        let (hash, at) = (secret.hash(), fresh::now());
        let found = crm_store::sessions::session_use(self.store(), secret.tenant(), &hash, at);
        Ok(found.await?)
    }

    /// Ends a session, if there is one.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn session_end(&self, secret: &TenantSecret) -> Result<(), EngineError> {
        let (tenant, hash) = (secret.tenant(), secret.hash());
        Ok(crm_store::sessions::session_delete(self.store(), tenant, &hash).await?)
    }

    /// Ends all sessions of somebody.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn sessions_end(&self, tenant: TenantId, user: &UserId) -> Result<(), EngineError> {
        Ok(crm_store::sessions::sessions_delete(self.store(), tenant, user).await?)
    }
}
