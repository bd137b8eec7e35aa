//! The way in: a transaction that belongs to one tenant.

use crm_model::TenantId;
use sqlx::postgres::PgConnection;
use sqlx::{Executor, Postgres, Transaction};

use crate::error::StoreError;
use crate::store::Store;

/// A transaction under one tenant: every row that it sees or writes is that tenant's, by the
/// database's own policies. Rolled back unless committed.
#[derive(Debug)]
pub struct TenantTx {
    transaction: Transaction<'static, Postgres>,
    tenant_id: TenantId,
    model_version: Option<i64>,
}

impl TenantTx {
    /// Begins, sets the tenant, and learns which model the tenant has, in one round trip beyond
    /// `begin`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn begin(store: &Store, tenant_id: TenantId) -> Result<Self, StoreError> {
        let mut transaction = store.transactions().begin().await?;
        let model_version = sqlx::query_scalar("select crm_tenant_begin($1)")
            .bind(tenant_id.uuid())
            .fetch_one(&mut *transaction)
            .await?;
        Ok(Self {
            transaction,
            tenant_id,
            model_version,
        })
    }

    /// Whose transaction it is.
    pub fn tenant_id(&self) -> TenantId {
        self.tenant_id
    }

    /// The version of the tenant's model; none before a template is chosen.
    pub fn model_version(&self) -> Option<i64> {
        self.model_version
    }

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// Marks where [`TenantTx::back_to_savepoint`] goes back to; a later mark takes its place.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn savepoint(&mut self) -> Result<(), StoreError> {
        self.transaction.execute("savepoint here").await?;
        Ok(())
    }

    /// Undoes what was written since the mark, also after an error of the database.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn back_to_savepoint(&mut self) -> Result<(), StoreError> {
        self.transaction
            .execute("rollback to savepoint here")
            .await?;
        Ok(())
    }

    /// Makes everything written permanent.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.transaction.commit().await?)
    }
}
