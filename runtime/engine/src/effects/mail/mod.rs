//! What tenants say of their mail: whom it is from ([`sender`]), and whom it does not go to
//! ([`suppressions`]), because they said so themselves ([`unsubscribe`]) or a mail service did
//! ([`feedback`]). Mails themselves are effects.

pub mod feedback;
pub mod sender;
pub mod suppressions;
pub mod unsubscribe;

use crm_model::{Actor, TenantId};
use crm_store::TenantTx;

use crate::{Engine, EngineError};

impl Engine {
    async fn begin_mail(&self, tenant: TenantId, actor: &Actor) -> Result<TenantTx, EngineError> {
        let refusal = "a tenant's mail is for people who may manage all modules";
        self.begin_managed(tenant, actor, refusal).await
    }
}
