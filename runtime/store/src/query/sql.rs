//! A statement under construction: text and bound values. The one place where the text of a
//! statement is not literal: it is put together from parsed names and fixed pieces, and every
//! value is bound.

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::QueryAs;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, FromRow, Postgres};
use uuid::Uuid;

use crate::error::StoreError;

/// A bound value.
#[derive(Clone, Debug)]
pub(super) enum Bind {
    Uuid(Uuid),
    Uuids(Vec<Uuid>),
    Text(String),
    Texts(Vec<String>),
    Moment(DateTime<Utc>),
    Moments(Vec<DateTime<Utc>>),
    Integer(i64),
    Json(Json<serde_json::Value>),
}

/// A statement under construction.
#[derive(Clone, Debug, Default)]
pub(super) struct Sql {
    text: String,
    binds: Vec<Bind>,
    aliases: u32,
}

impl Sql {
    /// A statement whose `$1` is the tenant.
    pub(super) fn of_tenant(tenant: Uuid) -> Self {
        Self {
            binds: vec![Bind::Uuid(tenant)],
            ..Self::default()
        }
    }

    /// Adds a piece.
    pub(super) fn push(&mut self, piece: &str) -> &mut Self {
        self.text.push_str(piece);
        self
    }

    /// Binds a value; its placeholder.
    pub(super) fn bind(&mut self, value: Bind) -> String {
        self.binds.push(value);
        format!("${}", self.binds.len())
    }

    /// A name for a table that no other has.
    pub(super) fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("o{}", self.aliases)
    }

    /// All rows.
    pub(super) async fn rows<R>(self, connection: &mut PgConnection) -> Result<Vec<R>, StoreError>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut query: QueryAs<'_, Postgres, R, PgArguments> =
            sqlx::query_as(AssertSqlSafe(self.text));
        for bind in self.binds {
            query = match bind {
                Bind::Uuid(value) => query.bind(value),
                Bind::Uuids(values) => query.bind(values),
                Bind::Text(value) => query.bind(value),
                Bind::Texts(values) => query.bind(values),
                Bind::Moment(value) => query.bind(value),
                Bind::Moments(values) => query.bind(values),
                Bind::Integer(value) => query.bind(value),
                Bind::Json(value) => query.bind(value),
            };
        }
        Ok(query.fetch_all(connection).await?)
    }
}
