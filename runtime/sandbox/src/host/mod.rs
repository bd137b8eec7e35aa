//! What a guest can ask of the host: one file per interface of the contract, nothing else.

pub(crate) mod log;

use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::store::GuestState;

/// A linker that offers every interface of the contract.
pub(crate) fn linker_new(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    log::link(&mut linker)?;
    Ok(linker)
}
