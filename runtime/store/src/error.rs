//! What can go wrong in the store, by what the caller can do about it.

use crm_model::RecordId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

/// A value that only one record may have, and the record that wanted it in vain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Taken {
    /// As in [`crm_model::derived::Entry`].
    pub slot: String,
    pub record_id: RecordId,
}

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer, or not in time: try again later.
    #[error("the database does not answer: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// The tenant's model is another by now: load it, validate again.
    #[error("the tenant's model changed")]
    StaleModel,
    /// Records have other versions by now: read them, start again. Empty where it is not known
    /// which.
    #[error("records changed under this write")]
    StaleRecords(Vec<RecordId>),
    /// Other records have these values already.
    #[error("values that only one record may have are taken")]
    Taken(Vec<Taken>),
    /// Records that are pointed to are not there.
    #[error("references point nowhere")]
    MissingReferences(Vec<RecordId>),
    /// Other records point to records that would go.
    #[error("records are still pointed to")]
    StillReferenced,
    /// The key of an idempotent request was used meanwhile: its answer is there now.
    #[error("the key of the request was used meanwhile")]
    KeyUsed,
    /// Another run wrote a value that this one read.
    #[error("another run wrote a value that this one read")]
    StaleState,
    /// The event behind a chain of runs has led to so many mutations.
    #[error("one event led to {0} mutations")]
    TooManyMutations(u32),
    /// Somebody else holds the job: drop the result.
    #[error("the job's lease is lost")]
    LeaseLost,
    /// The sessions' Redis does not answer: try again later.
    #[error("redis does not answer: {0}")]
    SessionsAway(#[source] redis::RedisError),
    /// A query took longer than it may.
    #[error("the query took too long")]
    TooSlow,
    /// The tenant is read only for now.
    #[error("the tenant is suspended")]
    Suspended,
    /// The transaction may not write: because the tenant is suspended, or because the whole
    /// database is read only, which PostgreSQL says in the same words.
    #[error("the transaction is read only")]
    ReadOnly,
    /// A row of that key is there already.
    #[error("{0} exists already")]
    Exists(String),
    /// The connection could see other tenants' rows: do not serve.
    #[error("the role “{role}” {problem}; the runtime needs one that cannot: crm_runtime")]
    UnsafeRole { role: String, problem: &'static str },
    /// A row holds what this version cannot read.
    #[error("a stored {what} cannot be read: {message}")]
    Corrupt { what: &'static str, message: String },
    /// Anything else.
    #[error(transparent)]
    Database(sqlx::Error),
}

impl StoreError {
    /// For a row that cannot be read.
    pub fn corrupt(what: &'static str, error: impl std::fmt::Display) -> Self {
        Self::Corrupt {
            what,
            message: error.to_string(),
        }
    }
}

/// What crm_commit says beside its code: JSON.
fn detail<T: DeserializeOwned>(error: &dyn DatabaseError) -> Vec<T> {
    error
        .try_downcast_ref::<PgDatabaseError>()
        .and_then(PgDatabaseError::detail)
        .and_then(|detail| serde_json::from_str(detail).ok())
        .unwrap_or_default()
}

fn number(error: &dyn DatabaseError) -> u32 {
    error
        .try_downcast_ref::<PgDatabaseError>()
        .and_then(PgDatabaseError::detail)
        .and_then(|detail| detail.parse().ok())
        .unwrap_or_default()
}

/// SQLSTATE classes and codes that mean “not now”: connection failure (08), insufficient
/// resources (53), operator intervention (57P), a transaction that paused for too long (25P03).
/// <https://www.postgresql.org/docs/15/errcodes-appendix.html>
fn is_unavailable(code: &str) -> bool {
    code.starts_with("08") || code.starts_with("53") || code.starts_with("57P") || code == "25P03"
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            sqlx::Error::Database(database) => match database.code().as_deref() {
                Some("CR001") => Self::StaleModel,
                Some("CR002") => Self::StaleRecords(detail(&**database)),
                Some("CR003") => Self::LeaseLost,
                Some("CR004") => Self::Taken(detail(&**database)),
                Some("CR005") => Self::MissingReferences(detail(&**database)),
                Some("CR006") => Self::StillReferenced,
                Some("CR007") => Self::KeyUsed,
                Some("CR008") => Self::StaleState,
                Some("CR009") => Self::TooManyMutations(number(&**database)),
                // Two writes locked the same records in another order: one starts again.
                Some("40P01" | "40001") => Self::StaleRecords(Vec::new()),
                Some("25006") => Self::ReadOnly,
                // A statement timeout: the store sets none but for queries.
                Some("57014") => Self::TooSlow,
                Some(code) if is_unavailable(code) => Self::Unavailable(error),
                _ => Self::Database(error),
            },
            _ => Self::Database(error),
        }
    }
}
