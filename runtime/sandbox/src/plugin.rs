//! A component that is compiled, linked and ready to be called.

use crm_model::Manifest;
use crm_model::manifest::World;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wasmtime::Engine;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};
use wasmtime::error::Context;

use crate::clock::Clock;
use crate::code::Code;
use crate::contract::bindings::action::ActionPre;
use crate::contract::bindings::template::TemplatePre;
use crate::contract::is_wasi;
use crate::digest::Digest;
use crate::error::SandboxError;
use crate::inspect::Inspected;
use crate::store::GuestState;

/// A loaded component. It holds code, never state: every call gets an instance of its own.
pub struct Plugin {
    inspected: Inspected,
    pub(crate) guest: Guest,
    code_bytes: usize,
    /// Whether it imports WASI.
    pub(crate) wasi: bool,
    clock: Arc<Clock>,
    /// Whether the run that ended last was a long one.
    last_was_long: AtomicBool,
}

/// What can be called of it.
pub(crate) enum Guest {
    Action(ActionPre<GuestState>),
    Template(TemplateGuest),
}

/// A template, and where its `before-save` is: each call looks that one up alone. Comparing the
/// types of all four exports took a quarter of the time that it took to make the instance.
pub(crate) struct TemplateGuest {
    pub(crate) pre: TemplatePre<GuestState>,
    pub(crate) before_save: ComponentExportIndex,
}

impl TemplateGuest {
    fn new(component: &Component, instance: InstancePre<GuestState>) -> wasmtime::Result<Self> {
        let before_save = component.get_export_index(None, "before-save");
        Ok(Self {
            before_save: before_save.context("it exports no `before-save`")?,
            pre: TemplatePre::new(instance)?,
        })
    }
}

impl Plugin {
    /// Links compiled code, so that a call only has to make an instance.
    pub(crate) fn link(
        linker: &Linker<GuestState>,
        clock: &Arc<Clock>,
        inspected: Inspected,
        code: &Code,
    ) -> Result<Self, SandboxError> {
        let component = code.component(linker.engine()).map_err(compile_error)?;
        let instance = linker.instantiate_pre(&component).map_err(compile_error)?;
        let guest = match inspected.manifest.world {
            World::Action => ActionPre::new(instance).map(Guest::Action),
            World::Template => TemplateGuest::new(&component, instance).map(Guest::Template),
        };
        let wasi = inspected.imports.iter().any(|name| is_wasi(name));
        Ok(Self {
            inspected,
            guest: guest.map_err(compile_error)?,
            code_bytes: code.bytes(),
            wasi,
            clock: Arc::clone(clock),
            last_was_long: AtomicBool::new(false),
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

    /// Size of its compiled code.
    pub fn code_bytes(&self) -> usize {
        self.code_bytes
    }

    /// Whether its next run is likely to be long: the one that ended last was.
    pub(crate) fn is_likely_long(&self) -> bool {
        self.last_was_long.load(Ordering::Relaxed)
    }

    pub(crate) fn ended(&self, was_long: bool) {
        self.last_was_long.store(was_long, Ordering::Relaxed);
    }

    /// What it runs by.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn engine(&self) -> &Engine {
        match &self.guest {
            Guest::Action(action) => action.engine(),
            Guest::Template(template) => template.pre.engine(),
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
