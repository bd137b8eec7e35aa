//! What a guest can ask of the host: one file per interface of the contract, and the one way
//! that all of their questions go.

mod attachments;
mod config;
mod gate;
pub(crate) mod journal;
pub(crate) mod log;
pub(crate) mod question;
mod records;
mod secrets;
mod state;
pub(crate) mod wasi;

use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::store::GuestState;

pub(crate) use gate::Gate;

/// A linker that offers every interface of the contract, and a WASI that gives nothing.
pub(crate) fn linker_new(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    attachments::link(&mut linker)?;
    config::link(&mut linker)?;
    log::link(&mut linker)?;
    records::link(&mut linker)?;
    secrets::link(&mut linker)?;
    state::link(&mut linker)?;
    wasi::link(&mut linker)?;
    Ok(linker)
}
