//! The way in: a transaction that belongs to one tenant.

use crm_model::TenantId;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Executor, Row};

use crate::error::StoreError;
use crate::pool::Lent;
use crate::store::Store;

/// A transaction under one tenant: every row that it sees or writes is that tenant's, by the
/// database's own policies. Rolled back unless committed.
#[derive(Debug)]
pub struct TenantTx {
    lent: Lent,
    tenant_id: TenantId,
    model_version: Option<i64>,
}

impl TenantTx {
    /// Begins, sets the tenant, and learns which model the tenant has, in one round trip.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn begin(store: &Store, tenant_id: TenantId) -> Result<Self, StoreError> {
        let call = format!("crm_tenant_begin('{}')", tenant_id.uuid());
        Self::begin_with(store, tenant_id, &call).await
    }

    /// The same for what has to be read while another transaction of the caller's may be open: it
    /// may wait for this one, and this one waits for nobody.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn begin_inner(store: &Store, tenant_id: TenantId) -> Result<Self, StoreError> {
        let call = format!("crm_tenant_begin('{}')", tenant_id.uuid());
        let lent = store.for_inner_transaction().await?;
        Self::begin_on(lent, tenant_id, &call).await
    }

    /// The same for what is written down of a suspended tenant too: who did what.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn begin_audit(store: &Store, tenant_id: TenantId) -> Result<Self, StoreError> {
        let call = format!("crm_audit_begin('{}')", tenant_id.uuid());
        Self::begin_with(store, tenant_id, &call).await
    }

    /// The same for queries of clients: each statement has a limit of time, and the planner
    /// neither scans tables as a whole nor compiles.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn begin_query(
        store: &Store,
        tenant_id: TenantId,
        limit_milliseconds: u32,
    ) -> Result<Self, StoreError> {
        let call = format!(
            "crm_query_begin('{}', {limit_milliseconds})",
            tenant_id.uuid()
        );
        Self::begin_with(store, tenant_id, &call).await
    }

    /// Only statements without parameters can go together, so the call has its arguments, an id
    /// and a number, in its text.
    async fn begin_with(
        store: &Store,
        tenant_id: TenantId,
        call: &str,
    ) -> Result<Self, StoreError> {
        Self::begin_on(store.for_transaction().await?, tenant_id, call).await
    }

    async fn begin_on(mut lent: Lent, tenant_id: TenantId, call: &str) -> Result<Self, StoreError> {
        let begin = format!("begin; select {call}");
        let row = match fetch(&mut lent, begin.clone()).await {
            // The time of the last statement on this connection, a query's, ran out as it ended, and
            // whoever came next was told of it.
            Err(StoreError::TooSlow) => fetch(&mut lent, format!("rollback; {begin}")).await?,
            begun => begun?,
        };
        Ok(Self {
            lent,
            tenant_id,
            model_version: row.try_get(0)?,
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
        self.lent.connection()
    }

    /// Marks where [`TenantTx::back_to_savepoint`] goes back to; a later mark takes its place.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn savepoint(&mut self) -> Result<(), StoreError> {
        self.connection().execute("savepoint here").await?;
        Ok(())
    }

    /// Undoes what was written since the mark, also after an error of the database.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn back_to_savepoint(&mut self) -> Result<(), StoreError> {
        self.connection()
            .execute("rollback to savepoint here")
            .await?;
        Ok(())
    }

    /// Makes everything written permanent.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn commit(mut self) -> Result<(), StoreError> {
        // What failed may have failed before it reached the server: an error that the statement
        // before sent behind its row comes out here. The transaction is open then, so the
        // connection is dropped as one in the middle, not given back.
        let committed = self.connection().execute("commit").await?;
        self.lent.give_back(Ok(committed))?;
        Ok(())
    }
}

/// The row of statements that have no parameters, and together one row.
async fn fetch(lent: &mut Lent, statements: String) -> Result<PgRow, StoreError> {
    let statements = sqlx::raw_sql(AssertSqlSafe(statements));
    Ok(statements.fetch_one(lent.connection()).await?)
}
