//! A component that is compiled, linked and ready to be called.

use crm_model::Manifest;
use crm_model::manifest::World;
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::contract::bindings::action::ActionPre;
use crate::contract::bindings::template::TemplatePre;
use crate::digest::Digest;
use crate::error::SandboxError;
use crate::inspect::Inspected;
use crate::store::GuestState;

/// A loaded component. It holds code, never state: every call gets an instance of its own.
pub struct Plugin {
    inspected: Inspected,
    pub(crate) guest: Guest,
}

/// What can be called of it.
pub(crate) enum Guest {
    Action(ActionPre<GuestState>),
    Template(TemplatePre<GuestState>),
}

impl Plugin {
    /// Compiles and links an inspected component. Blocks, for seconds if it is large.
    pub(crate) fn compile(
        linker: &Linker<GuestState>,
        inspected: Inspected,
        bytes: &[u8],
    ) -> Result<Self, SandboxError> {
        let instance: InstancePre<GuestState> = Component::from_binary(linker.engine(), bytes)
            .and_then(|component| linker.instantiate_pre(&component))
            .map_err(compile_error)?;
        let guest = match inspected.manifest.world {
            World::Action => ActionPre::new(instance).map(Guest::Action),
            World::Template => TemplatePre::new(instance).map(Guest::Template),
        };
        Ok(Self {
            inspected,
            guest: guest.map_err(compile_error)?,
        })
    }

    /// What the component says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.inspected.manifest
    }

    /// SHA-256 of its bytes.
    pub fn digest(&self) -> Digest {
        self.inspected.digest
    }

    /// The interfaces that it imports.
    pub fn imports(&self) -> &[String] {
        &self.inspected.imports
    }

    pub(crate) fn engine(&self) -> &Engine {
        match &self.guest {
            Guest::Action(action) => action.engine(),
            Guest::Template(template) => template.engine(),
        }
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Plugin")
            .field("inspected", &self.inspected)
            .finish_non_exhaustive()
    }
}

fn compile_error(error: wasmtime::Error) -> SandboxError {
    SandboxError::Compile(format!("{error:#}"))
}
