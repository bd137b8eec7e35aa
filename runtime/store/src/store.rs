//! The connections of the runtime's role.

use sqlx::Row;
use sqlx::postgres::{PgConnectOptions, PgRow};
use std::time::Duration;

use crate::error::StoreError;
use crate::pool::{Connections, Lent};
use crate::sessions::RedisSessions;

/// The role that serves; see migrations/0001_roles.sql.
pub(crate) const RUNTIME_ROLE: &str = "crm_runtime";

/// How many connections, and how long to wait for one.
#[derive(Clone, Copy, Debug)]
pub struct StoreSettings {
    /// For statements that are a transaction of their own.
    pub statement_connections: u32,
    /// For transactions of several statements.
    pub transaction_connections: u32,
    pub acquire_timeout: Duration,
    /// How long a transaction may wait for its own process. One that is stopped in the middle
    /// would hold its locks for as long as it stands, whoever takes up its work.
    pub transaction_pause_max: Duration,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            statement_connections: 12,
            transaction_connections: 8,
            acquire_timeout: Duration::from_secs(3),
            transaction_pause_max: Duration::from_secs(60),
        }
    }
}

/// Connections to one database, all as the runtime's role.
///
/// There are two pools, so that long transactions, such as imports, take nothing from the hot
/// paths, which are single statements.
#[derive(Clone)]
pub struct Store {
    statements: Connections,
    transactions: Connections,
    /// Where sessions are; in PostgreSQL where there is none.
    redis: Option<RedisSessions>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Store")
    }
}

impl Store {
    /// Connects and checks the role.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::UnsafeRole`] where row-level security would
    /// not hold.
    pub async fn connect(
        options: PgConnectOptions,
        settings: StoreSettings,
    ) -> Result<Self, StoreError> {
        let pause_max = settings.transaction_pause_max.as_millis().to_string();
        let options = options.options([("idle_in_transaction_session_timeout", pause_max)]);
        let pool = |most| Connections::new(options.clone(), most, settings.acquire_timeout);
        let store = Self {
            statements: pool(settings.statement_connections)?,
            transactions: pool(settings.transaction_connections)?,
            redis: None,
        };
        store.check_role().await?;
        Ok(store)
    }

    /// The same, with sessions in Redis.
    #[must_use]
    pub fn with_redis(mut self, redis: RedisSessions) -> Self {
        self.redis = Some(redis);
        self
    }

    pub(crate) fn redis(&self) -> Option<&RedisSessions> {
        self.redis.as_ref()
    }

    async fn check_role(&self) -> Result<(), StoreError> {
        let mut lent = self.for_statement().await?;
        let row = sqlx::query_as(
            "select r.rolname::text, r.rolsuper, r.rolbypassrls,
                exists (select from pg_class c where c.relname like '%crm\\_%' and c.relowner = r.oid)
            from pg_roles r where r.rolname = current_user",
        )
        .fetch_one(lent.connection())
        .await;
        let (role, is_super, bypasses, owns): (String, bool, bool, bool) = lent.give_back(row)?;
        let problem = match (is_super, bypasses, owns) {
            (true, _, _) => "is a superuser",
            (_, true, _) => "bypasses row-level security",
            (_, _, true) => "owns the tables",
            _ => return Ok(()),
        };
        Err(StoreError::UnsafeRole { role, problem })
    }

    /// The version of the schema that the database has; none before the first migration.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn schema_version(&self) -> Result<Option<i64>, StoreError> {
        let mut lent = self.for_statement().await?;
        let comment = sqlx::query_scalar("select obj_description(to_regclass('crm_records'))")
            .fetch_one(lent.connection())
            .await;
        let comment: Option<String> = lent.give_back(comment)?;
        Ok(comment
            .as_deref()
            .and_then(crate::admin::parse_schema_comment))
    }

    /// Whether the database takes no changes, from anybody: it follows another one, or was told
    /// so. Asked outside of tenants' transactions, which a suspended tenant has read only.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn is_read_only(&self) -> Result<bool, StoreError> {
        let mut lent = self.for_statement().await?;
        let read_only = sqlx::query_scalar(
            "select pg_is_in_recovery() or current_setting('transaction_read_only')::boolean",
        )
        .fetch_one(lent.connection())
        .await;
        lent.give_back(read_only)
    }

    /// What connections, one of each kind, still hold of whoever had them before, as they are
    /// lent: nothing, if all is well. For tests that drop work in the middle.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn leftovers(&self) -> Result<Vec<&'static str>, StoreError> {
        let mut leftovers = Vec::new();
        for mut lent in [self.for_statement().await?, self.for_transaction().await?] {
            // Outside a transaction, the transaction's time is the statement's, if it comes as
            // one message.
            let row = sqlx::raw_sql(
                "select coalesce(current_setting('crm.tenant_id', true), '') <> '',
                    transaction_timestamp() <> statement_timestamp()",
            )
            .fetch_one(lent.connection())
            .await;
            let row: PgRow = lent.give_back(row)?;
            let (tenant, transaction): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
            leftovers.extend(tenant.then_some("a tenant"));
            leftovers.extend(transaction.then_some("a transaction"));
        }
        Ok(leftovers)
    }

    /// A connection for one statement that is a transaction of its own.
    pub(crate) async fn for_statement(&self) -> Result<Lent, StoreError> {
        self.statements.for_statement().await
    }

    /// A connection for a transaction of several statements.
    pub(crate) async fn for_transaction(&self) -> Result<Lent, StoreError> {
        self.transactions.for_transaction().await
    }

    /// A connection for a transaction that others wait for in the middle of theirs. Not one of
    /// theirs: were those all in use, everybody would wait for everybody. Whoever has one of these
    /// waits for no other.
    pub(crate) async fn for_inner_transaction(&self) -> Result<Lent, StoreError> {
        self.statements.for_transaction().await
    }

    /// Closes all connections; those in use when they come back.
    pub async fn close(&self) {
        self.statements.close();
        self.transactions.close();
    }
}
