//! The connections of the runtime's role.

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, Executor};
use std::time::Duration;

use crate::error::StoreError;

/// The role that serves; see migrations/0001_roles.sql.
pub(crate) const RUNTIME_ROLE: &str = "crm_runtime";

/// A connection that lay idle for longer is asked whether it still lives.
const IDLE_UNASKED: Duration = Duration::from_millis(500);

/// How many connections, and how long to wait for one.
#[derive(Clone, Copy, Debug)]
pub struct StoreSettings {
    /// For statements that are a transaction of their own.
    pub statement_connections: u32,
    /// For transactions of several statements.
    pub transaction_connections: u32,
    pub acquire_timeout: Duration,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            statement_connections: 12,
            transaction_connections: 8,
            acquire_timeout: Duration::from_secs(3),
        }
    }
}

/// Connections to one database, all as the runtime's role.
///
/// There are two pools, because a transaction whose future is dropped may leave its connection
/// open inside it (seen with sqlx 0.9.0): connections for transactions are rolled back when they
/// return, which costs a round trip; the hot paths are single statements, which cannot leave
/// anything open, and do without.
#[derive(Clone, Debug)]
pub struct Store {
    statements: PgPool,
    transactions: PgPool,
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
        let pool = |connections: u32| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(settings.acquire_timeout)
                .test_before_acquire(false)
                .before_acquire(|connection, metadata| {
                    Box::pin(async move {
                        // One that lay idle may belong to a server that is gone; asking each
                        // time would cost a round trip.
                        if metadata.idle_for > IDLE_UNASKED {
                            connection.ping().await?;
                        }
                        Ok(true)
                    })
                })
        };
        let statements = pool(settings.statement_connections)
            .connect_with(options.clone())
            .await?;
        let transactions = pool(settings.transaction_connections)
            .after_release(|connection, _| {
                Box::pin(async move {
                    // Ends whatever is open. A bare rollback would leave a warning in two logs
                    // each time that nothing is.
                    connection.execute("begin; rollback").await?;
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        let store = Self {
            statements,
            transactions,
        };
        store.check_role().await?;
        Ok(store)
    }

    async fn check_role(&self) -> Result<(), StoreError> {
        let (role, is_super, bypasses, owns): (String, bool, bool, bool) = sqlx::query_as(
            "select r.rolname::text, r.rolsuper, r.rolbypassrls,
                exists (select from pg_class c where c.relname like '%crm\\_%' and c.relowner = r.oid)
            from pg_roles r where r.rolname = current_user",
        )
        .fetch_one(&self.statements)
        .await?;
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
        let comment: Option<String> =
            sqlx::query_scalar("select obj_description(to_regclass('crm_records'))")
                .fetch_one(&self.statements)
                .await?;
        Ok(comment
            .as_deref()
            .and_then(crate::admin::parse_schema_comment))
    }

    pub(crate) fn statements(&self) -> &PgPool {
        &self.statements
    }

    pub(crate) fn transactions(&self) -> &PgPool {
        &self.transactions
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.statements.close().await;
        self.transactions.close().await;
    }
}
