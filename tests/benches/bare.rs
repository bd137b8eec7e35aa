//! Bare wasmtime: the least that a host can do to call an action in a fresh instance. The same
//! contract, component and engine configuration as the sandbox's; no limits kept, no log, nothing
//! read of the answer but that it is one.

use anyhow::{Result, ensure};
use crm_sandbox::{SandboxSettings, wasmtime_config};
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

/// Never reached: the epoch of these engines stands still.
const EPOCHS: u64 = 1 << 40;
/// More than any call takes.
const FUEL_UNITS: u64 = 1 << 40;

/// An event's strings, written once for all calls.
pub(crate) struct EventText {
    pub(crate) id: String,
    pub(crate) module: String,
    pub(crate) record_id: String,
    pub(crate) after: String,
    pub(crate) changed_fields: Vec<String>,
    pub(crate) user_id: String,
    pub(crate) roles: Vec<String>,
    pub(crate) occurred_at: String,
    pub(crate) config: String,
}

/// Bindings of the contract's world `action`, and a pre-linked component that is called through
/// them; once as plain calls, once as futures.
macro_rules! bare_action {
    ($name:ident, $exports:tt, [$($asyncness:tt)?], $instantiate:ident, [$($await:tt)*]) => {
        #[allow(
            unsafe_code,
            unreachable_pub,
            dead_code,
            clippy::all,
            clippy::unwrap_used,
            clippy::expect_used,
            clippy::panic,
            clippy::indexing_slicing,
            reason = "written by wasmtime's macro, which keeps to other rules"
        )]
        mod $name {
            wasmtime::component::bindgen!({
                path: "../plugin-sdk/wit",
                world: "action",
                exports: $exports,
            });
        }

        impl $name::ActionPre<()> {
            /// Compiles and links a component, for an engine that is set up as the sandbox's.
            pub(crate) fn prepare(settings: &SandboxSettings, component: &[u8]) -> Result<Self> {
                use $name::crm::plugin1_0_0::log::Level;
                let engine = Engine::new(&wasmtime_config(settings))?;
                let component = Component::from_binary(&engine, component)?;
                let mut linker = Linker::<()>::new(&engine);
                linker.instance("crm:plugin/log@1.0.0")?.func_wrap(
                    "write",
                    |_, (_, _): (Level, wasmtime::component::WasmStr)| Ok(()),
                )?;
                Ok(Self::new(linker.instantiate_pre(&component)?)?)
            }

            /// One call in a fresh instance.
            pub(crate) $($asyncness)? fn call(&self, text: &EventText) -> Result<()> {
                use $name::crm::plugin1_0_0::types::{Actor, Event, EventKind};
                let event = Event {
                    id: text.id.clone(),
                    kind: EventKind::RecordCreated,
                    module: text.module.clone(),
                    record_id: text.record_id.clone(),
                    record_version: 1,
                    before: None,
                    after: Some(text.after.clone()),
                    changed_fields: text.changed_fields.clone(),
                    payload: None,
                    actor: Actor {
                        user_id: text.user_id.clone(),
                        roles: text.roles.clone(),
                    },
                    causes: Vec::new(),
                    depth: 0,
                    occurred_at: text.occurred_at.clone(),
                    zone: "UTC".to_owned(),
                    locale: "en".to_owned(),
                    configuration: text.config.clone(),
                    idempotency_key: text.id.clone(),
                    seed: 7,
                };
                let mut store = Store::new(self.engine(), ());
                store.set_fuel(FUEL_UNITS)?;
                store.set_epoch_deadline(EPOCHS);
                let instance = self.$instantiate(&mut store)$($await)*?;
                let answer = instance.call_run(&mut store, &event)$($await)*?;
                ensure!(
                    answer.is_ok_and(|outcome| !outcome.mutations.is_empty()),
                    "the action did not answer with mutations"
                );
                Ok(())
            }
        }
    };
}

bare_action!(direct, {}, [], instantiate, []);
bare_action!(waiting, { default: async }, [async], instantiate_async, [.await]);

pub(crate) use direct::ActionPre as DirectAction;
pub(crate) use waiting::ActionPre as WaitingAction;
