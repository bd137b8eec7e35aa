//! `crm:plugin/state`: values that a plugin keeps for a tenant.

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use super::gate::ask;
use super::question::{Answer, Question};
use crate::contract::STATE;
use crate::contract::bindings::v1_0::state::Entry;
use crate::contract::bindings::v1_0::types::Refusal;
use crate::store::GuestState;

/// Offers the interface to guests.
pub(super) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut instance = linker.instance(STATE)?;
    instance.func_wrap_async("get", |store, arguments| Box::new(get(store, arguments)))?;
    instance.func_wrap_async("set", |store, (key, value): (String, String)| {
        Box::new(write(store, Question::StateSet { key, value }))
    })?;
    instance.func_wrap_async("delete", |store, (key,): (String,)| {
        Box::new(write(store, Question::StateDelete { key }))
    })
}

async fn get(
    mut store: StoreContextMut<'_, GuestState>,
    (key,): (String,),
) -> wasmtime::Result<(Result<Option<Entry>, Refusal>,)> {
    let answer = ask(&mut store, Question::StateGet { key }).await?;
    Ok((match answer {
        Answer::Entry { entry } => Ok(entry.map(|entry| Entry {
            value: entry.value,
            version: entry.version,
        })),
        other => Err(other.refusal()),
    },))
}

async fn write(
    mut store: StoreContextMut<'_, GuestState>,
    question: Question,
) -> wasmtime::Result<(Result<(), Refusal>,)> {
    Ok((match ask(&mut store, question).await? {
        Answer::Done => Ok(()),
        other => Err(other.refusal()),
    },))
}
