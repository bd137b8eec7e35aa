//! Other records of the tenant, as they are now: fields that the plugin was granted, of records
//! that the person behind the event sees. A run may ask a hundred questions.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::host::{self, RawFound};
use crate::refusal::Refusal;

/// A record. `T` is what the action reads of its data.
#[derive(Clone, Debug, PartialEq)]
pub struct Found<T> {
    pub id: String,
    pub version: u64,
    pub data: T,
    pub owner_id: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    pub updated_at: String,
}

/// Some of the records that a query finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    pub records: Vec<Found<T>>,
    /// For `cursor` of the same query: where the next page begins.
    pub next_cursor: Option<String>,
}

/// One record, if there is one to be seen.
///
/// # Errors
/// [`Refusal`]; `Invalid` also where the data does not fit `T`.
pub fn get<T: DeserializeOwned>(module: &str, id: &str) -> Result<Option<Found<T>>, Refusal> {
    host::records_get(module, id)?.map(read).transpose()
}

/// A page of records. The query is as for `POST /api/crm/records/{module}/query`:
/// `json!({"filter": {"field": "status", "op": "eq", "value": "open"}, "sort": "-created_at"})`.
///
/// # Errors
/// As [`get`].
pub fn query<T: DeserializeOwned>(module: &str, query: Value) -> Result<Page<T>, Refusal> {
    let (records, next_cursor) = host::records_query(module, &query.to_string())?;
    let records = records.into_iter().map(read).collect::<Result<_, _>>()?;
    Ok(Page {
        records,
        next_cursor,
    })
}

/// Groups and their metrics, as for `POST /api/crm/records/{module}/aggregate`.
///
/// # Errors
/// As [`get`].
pub fn aggregate(module: &str, query: Value) -> Result<Value, Refusal> {
    let text = host::records_aggregate(module, &query.to_string())?;
    decode("the aggregate", &text)
}

fn read<T: DeserializeOwned>(found: RawFound) -> Result<Found<T>, Refusal> {
    Ok(Found {
        data: decode("a record", &found.data)?,
        id: found.id,
        version: found.version,
        owner_id: found.owner_id,
        created_at: found.created_at,
        updated_at: found.updated_at,
    })
}

pub(crate) fn decode<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, Refusal> {
    serde_json::from_str(text)
        .map_err(|error| Refusal::Invalid(format!("{what} could not be read: {error}")))
}
