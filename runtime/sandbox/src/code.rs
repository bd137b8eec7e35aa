//! Compiled code: the one place that hands machine code to wasmtime.

use wasmtime::Engine;
use wasmtime::component::Component;

/// Machine code that this host's compiler made of an inspected component. It comes from the
/// compiler ([`crate::compile`]) or from the cache on disk after its authentication
/// ([`crate::artifact`]), and from nowhere else.
pub(crate) struct Code(Vec<u8>);

impl Code {
    /// Takes the compiler's output; what else is given here would be run as it is.
    pub(crate) fn trusted(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Size of the code, with its tables and the component's initial data.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len()
    }

    /// The component, ready to be linked; wasmtime checks that its own version and the engine's
    /// settings are those that the code was compiled for.
    #[allow(
        unsafe_code,
        reason = "wasmtime cannot check machine code, so it asks its caller to vouch for it"
    )]
    pub(crate) fn component(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: the bytes have to be what `Engine::precompile_component` returned, unchanged.
        // A `Code` is made in two places. `compile` takes it from that function, in this process
        // or over a pipe from a child that this process started from a command of the operator's;
        // a component decides what the compiler compiles, not what it writes around it. `artifact`
        // takes it from a file only when the file's HMAC under a key that the host alone knows
        // says that `artifact` wrote it, for this component and this engine. The bytes are in our
        // own memory, so nobody changes them between that check and here.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}
