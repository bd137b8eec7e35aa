//! `crm:plugin/config`: what the tenant configured for the plugin as a whole.

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use crate::contract::CONFIG;
use crate::store::GuestState;

/// Offers the interface to guests.
pub(super) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker
        .instance(CONFIG)?
        .func_wrap("get", |store: StoreContextMut<'_, GuestState>, (): ()| {
            Ok((store.data().settings.as_ref().clone(),))
        })
}
