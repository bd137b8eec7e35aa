//! `crm:plugin/attachments`: files that go with the mails of a run.

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use crate::contract::ATTACHMENTS;
use crate::contract::bindings::v1_0::types::Refusal;
use crate::store::GuestState;

/// Offers the interface to guests.
pub(super) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.instance(ATTACHMENTS)?.func_wrap("attach", attach)
}

fn attach(
    mut store: StoreContextMut<'_, GuestState>,
    (effect, name, media_type, content): (u32, String, String, Vec<u8>),
) -> wasmtime::Result<(Result<(), Refusal>,)> {
    let gate = &mut store.data_mut().gate;
    let attached = gate.attach(effect, (name, media_type), &content)?;
    Ok((attached.map_err(Refusal::from),))
}
