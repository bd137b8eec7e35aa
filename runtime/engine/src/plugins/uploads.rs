//! Components on their way in: how many are taken in at once, and how much a tenant may keep.

use crm_model::TenantId;
use crm_model::limits::COMPONENT_UPLOADS_MAX_CONCURRENT;
use crm_model::manifest::GuestClass;
use crm_model::quota::{QuotaName, QuotaSpent};
use crm_store::TenantTx;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::meter::component_bytes;
use crate::{Engine, EngineError};

/// When it may be worth another try: somebody has to make room.
const RETRY_SECONDS: u64 = 60;

/// The tenants that send a component at the moment.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<HashSet<TenantId>>);

impl Uploads {
    fn under_way(&self) -> MutexGuard<'_, HashSet<TenantId>> {
        // Each change is whole, so the set of a thread that panicked is good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn at sending a component, which lasts as long as its bytes are in memory.
#[derive(Debug)]
pub struct Upload {
    uploads: Arc<Uploads>,
    tenant: TenantId,
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.uploads.under_way().remove(&self.tenant);
    }
}

impl Engine {
    /// Takes a turn at sending a component: a tenant has one at a time, and all together have
    /// [`COMPONENT_UPLOADS_MAX_CONCURRENT`].
    ///
    /// # Errors
    /// [`EngineError::Busy`].
    pub fn upload_begin(&self, tenant: TenantId) -> Result<Upload, EngineError> {
        let uploads = &self.inner.uploads;
        let mut under_way = uploads.under_way();
        if under_way.contains(&tenant) {
            return Err(EngineError::Busy(
                "another component of this tenant is being uploaded: wait for its end",
            ));
        }
        if under_way.len() >= COMPONENT_UPLOADS_MAX_CONCURRENT {
            return Err(EngineError::Busy(
                "as many components are being uploaded as fit at once",
            ));
        }
        under_way.insert(tenant);
        Ok(Upload {
            uploads: Arc::clone(uploads),
            tenant,
        })
    }

    /// Whether the tenant may keep this component beside those that it keeps. Exact, because the
    /// transaction holds the tenant's model.
    pub(super) async fn room_check(
        &self,
        tx: &mut TenantTx,
        class: GuestClass,
        bytes: usize,
    ) -> Result<(), EngineError> {
        let kept = crm_store::plugins::component_bytes(tx).await?;
        let own = crm_store::quotas::quotas_own(tx).await?;
        let quotas: &[QuotaName] = match class {
            GuestClass::Standard => &[QuotaName::ComponentBytes],
            // The narrower one first: it says more.
            GuestClass::Interpreter => &[QuotaName::InterpreterBytes, QuotaName::ComponentBytes],
        };
        let more = u64::try_from(bytes).unwrap_or(u64::MAX);
        for quota in quotas {
            let own = own.iter().find(|(name, _)| name == quota);
            let limit = match own {
                Some((_, amount)) => *amount,
                None => self.inner.meter.defaults().amount(*quota),
            };
            let used = component_bytes(kept, *quota)
                .unwrap_or_default()
                .saturating_add(more);
            if let Some(limit) = limit
                && used > limit
            {
                return Err(EngineError::Quota(QuotaSpent {
                    quota: *quota,
                    limit,
                    used,
                    window_seconds: None,
                    resets_at: None,
                    retry_after_seconds: RETRY_SECONDS,
                }));
            }
        }
        Ok(())
    }
}
