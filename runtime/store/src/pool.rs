//! Connections that are lent and come back at rest: outside any transaction, with nothing
//! unread. sqlx's own pool asks a connection at each return whether it lives, which is a round
//! trip for every statement; here only those are asked that lay idle, and only those are brought
//! to rest that were dropped in the middle.

use deadpool::managed::{
    Manager, Metrics, Object, Pool, PoolError, QueueMode, RecycleResult, Timeouts,
};
use deadpool::{Runtime, managed};
use scopeguard::ScopeGuard;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Executor};
use std::time::Duration;

use crate::error::StoreError;

/// A connection that lay idle for longer may belong to a server that is gone.
const IDLE_UNASKED: Duration = Duration::from_millis(500);
/// A connection that cannot be brought to rest by then is closed.
const REST_MAX: Duration = Duration::from_secs(5);

/// Makes connections, and looks at those that come back into use.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    options: PgConnectOptions,
}

impl Manager for Connector {
    type Type = PgConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<PgConnection, sqlx::Error> {
        // In a box, so that futures which may come to this do not grow by it.
        Box::pin(PgConnection::connect_with(&self.options)).await
    }

    async fn recycle(
        &self,
        connection: &mut PgConnection,
        metrics: &Metrics,
    ) -> RecycleResult<sqlx::Error> {
        if metrics.last_used() > IDLE_UNASKED {
            Box::pin(connection.ping()).await?;
        }
        Ok(())
    }
}

/// A number of connections.
#[derive(Clone)]
pub(crate) struct Connections {
    pool: Pool<Connector>,
}

impl Connections {
    /// At most so many, made when they are needed; whoever wants one waits no longer than this.
    pub(crate) fn new(
        options: PgConnectOptions,
        most: u32,
        wait: Duration,
    ) -> Result<Self, StoreError> {
        let wait = Some(wait);
        let pool = managed::Pool::builder(Connector { options })
            .max_size(usize::try_from(most).unwrap_or(usize::MAX))
            .timeouts(Timeouts {
                wait,
                create: wait,
                recycle: wait,
            })
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .build();
        // The only thing that can be wrong is a timeout without a runtime.
        let pool = pool.map_err(|_| sqlx::Error::PoolClosed)?;
        Ok(Self { pool })
    }

    /// Lends a connection for one statement.
    pub(crate) async fn for_statement(&self) -> Result<Lent, StoreError> {
        self.lend(finish_statement).await
    }

    /// Lends a connection for a transaction.
    pub(crate) async fn for_transaction(&self) -> Result<Lent, StoreError> {
        self.lend(end_transaction).await
    }

    async fn lend(&self, bring_to_rest: fn(Object<Connector>)) -> Result<Lent, StoreError> {
        let lent = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error,
            PoolError::Closed => sqlx::Error::PoolClosed,
            _ => sqlx::Error::PoolTimedOut,
        })?;
        Ok(Lent(scopeguard::guard(lent, bring_to_rest)))
    }

    /// Closes those that nobody has, and each of the others when it comes back.
    pub(crate) fn close(&self) {
        self.pool.close();
    }
}

/// A connection in use. Unless it is given back, whoever used it was dropped in the middle: then
/// it is brought to rest before it is lent again.
pub(crate) struct Lent(ScopeGuard<Object<Connector>, fn(Object<Connector>)>);

impl std::fmt::Debug for Lent {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Lent")
    }
}

impl Lent {
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.0
    }

    /// Gives the connection back after its last statement, with what that answered. One that
    /// broke is closed.
    pub(crate) fn give_back<T>(self, answer: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        let connection = ScopeGuard::into_inner(self.0);
        let answer = answer.map_err(StoreError::from);
        if answer.as_ref().is_err_and(is_broken) {
            drop(Object::take(connection));
        }
        answer
    }
}

/// Whether a connection is of no use after this.
fn is_broken(error: &StoreError) -> bool {
    match error {
        StoreError::Unavailable(_) => true,
        StoreError::Database(error) => !matches!(
            error,
            sqlx::Error::Database(_)
                | sqlx::Error::RowNotFound
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::Decode(_)
        ),
        _ => false,
    }
}

/// Reads what a statement still answers.
fn finish_statement(connection: Object<Connector>) {
    bring_to_rest(connection, Rest::Statement);
}

fn end_transaction(connection: Object<Connector>) {
    bring_to_rest(connection, Rest::Transaction);
}

/// What a connection may be in the middle of.
#[derive(Clone, Copy)]
enum Rest {
    Statement,
    Transaction,
}

/// In a task of its own; a connection that never comes to rest is closed.
fn bring_to_rest(connection: Object<Connector>, rest: Rest) {
    let mut restless = scopeguard::guard(connection, |connection| drop(Object::take(connection)));
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    runtime.spawn(async move {
        let rested = tokio::time::timeout(REST_MAX, async {
            match rest {
                Rest::Statement => restless.ping().await,
                Rest::Transaction => restless.execute("rollback").await.map(drop),
            }
        });
        if matches!(rested.await, Ok(Ok(()))) {
            drop(ScopeGuard::into_inner(restless));
        }
    });
}
