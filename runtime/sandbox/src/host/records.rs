//! `crm:plugin/records`: other records of the tenant.

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use super::gate::ask;
use super::question::{Answer, FoundRecord, Question};
use crate::contract::RECORDS;
use crate::contract::bindings::v1_0::records::{Found, Page};
use crate::contract::bindings::v1_0::types::Refusal;
use crate::store::GuestState;

/// Offers the interface to guests.
pub(super) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut instance = linker.instance(RECORDS)?;
    instance.func_wrap_async("get", |store, arguments| Box::new(get(store, arguments)))?;
    instance.func_wrap_async("query", |store, arguments| {
        Box::new(query(store, arguments))
    })?;
    instance.func_wrap_async("aggregate", |store, arguments| {
        Box::new(aggregate(store, arguments))
    })
}

async fn get(
    mut store: StoreContextMut<'_, GuestState>,
    (module, id): (String, String),
) -> wasmtime::Result<(Result<Option<Found>, Refusal>,)> {
    let answer = ask(&mut store, Question::RecordGet { module, id }).await?;
    Ok((match answer {
        Answer::Record { record } => Ok(record.map(found)),
        other => Err(other.refusal()),
    },))
}

async fn query(
    mut store: StoreContextMut<'_, GuestState>,
    (module, query): (String, String),
) -> wasmtime::Result<(Result<Page, Refusal>,)> {
    let answer = ask(&mut store, Question::RecordQuery { module, query }).await?;
    Ok((match answer {
        Answer::Page {
            records,
            next_cursor,
        } => Ok(Page {
            records: records.into_iter().map(found).collect(),
            next_cursor,
        }),
        other => Err(other.refusal()),
    },))
}

async fn aggregate(
    mut store: StoreContextMut<'_, GuestState>,
    (module, query): (String, String),
) -> wasmtime::Result<(Result<String, Refusal>,)> {
    let answer = ask(&mut store, Question::RecordAggregate { module, query }).await?;
    Ok((match answer {
        Answer::Json { json } => Ok(json),
        other => Err(other.refusal()),
    },))
}

fn found(record: FoundRecord) -> Found {
    Found {
        id: record.id,
        version: record.version,
        data: record.data,
        owner_id: record.owner_id,
        created_at: record.created_at,
        updated_at: record.updated_at,
    }
}
