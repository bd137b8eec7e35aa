//! Requests that may be sent twice: their answers are kept in the transaction of their work, and
//! two at the same time are told apart.

use crm_model::limits::RECEIPT_KEPT_HOURS;
use crm_model::{Actor, TenantId, UserId};
use crm_store::TenantTx;
use crm_store::receipts::Receipt;
use std::sync::Arc;

use crate::{Engine, EngineError, fresh};

/// Makes the answer to keep from what the work gave.
pub type ReceiptMaker<T> = Arc<dyn Fn(&T) -> Receipt + Send + Sync>;

/// Keeps the answer to a request in the transaction of its work.
pub(crate) async fn receipt_keep<T: ?Sized>(
    tx: &mut TenantTx,
    actor: &Actor,
    maker: Option<&ReceiptMaker<T>>,
    output: &T,
) -> Result<(), EngineError> {
    if let Some(maker) = maker {
        let (receipt, at) = (maker(output), fresh::now());
        crm_store::receipts::receipt_keep(tx, &actor.user_id, &receipt, at).await?;
    }
    Ok(())
}

/// The key of a request, and what tells it from other requests under the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    pub key: String,
    /// SHA-256 of method, path and body, in hexadecimal; of an upload's parts where it has such.
    pub fingerprint: String,
}

impl RequestKey {
    /// The receipt of an answer to this request.
    pub fn receipt(&self, status: u16, headers: Vec<(String, String)>, body: String) -> Receipt {
        Receipt {
            key: self.key.clone(),
            fingerprint: self.fingerprint.clone(),
            status,
            headers,
            body,
            expired: expired(),
        }
    }
}

fn expired() -> chrono::DateTime<chrono::Utc> {
    fresh::now() - chrono::TimeDelta::hours(RECEIPT_KEPT_HOURS)
}

/// A request that is being worked on in this process.
pub struct InFlight {
    engine: Engine,
    name: (TenantId, UserId, String),
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.engine.inner.in_flight.remove(&self.name);
    }
}

impl Engine {
    /// Marks a request as being worked on; none where it is already. Other processes are not
    /// asked: of two that work at the same time, the second to commit is refused
    /// ([`EngineError::KeyUsed`]).
    pub fn request_begin(&self, tenant: TenantId, user: &UserId, key: &str) -> Option<InFlight> {
        let name = (tenant, user.clone(), key.to_owned());
        self.inner.in_flight.insert(name.clone()).then(|| InFlight {
            engine: self.clone(),
            name,
        })
    }

    /// The answer that was kept under this key.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn receipt(
        &self,
        tenant: TenantId,
        user: &UserId,
        key: &str,
    ) -> Result<Option<Receipt>, EngineError> {
        let receipt = crm_store::receipts::receipt_read(self.store(), tenant, user, key, expired());
        Ok(receipt.await?)
    }
}
