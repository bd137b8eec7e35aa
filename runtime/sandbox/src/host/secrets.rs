//! `crm:plugin/secrets`: texts that stand for secrets, never the secrets.

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use super::gate::ask;
use super::question::{Answer, Question};
use crate::contract::SECRETS;
use crate::contract::bindings::v1_0::types::Refusal;
use crate::store::GuestState;

/// Offers the interface to guests.
pub(super) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker
        .instance(SECRETS)?
        .func_wrap_async("handle", |store, arguments| {
            Box::new(handle(store, arguments))
        })
}

async fn handle(
    mut store: StoreContextMut<'_, GuestState>,
    (name,): (String,),
) -> wasmtime::Result<(Result<String, Refusal>,)> {
    let answer = ask(&mut store, Question::SecretHandle { name }).await?;
    Ok((match answer {
        Answer::Handle { handle } => Ok(handle),
        other => Err(other.refusal()),
    },))
}
