//! What the author of a CRM Pro plugin depends on.
//!
//! An **action** is a step of a workflow: one function from an event and the step's configuration
//! to the mutations that the host should make, and the effects that should follow. It has no
//! clock, no randomness, no files and no network, and it gets a fresh instance for each event;
//! everything it knows, it is told, and can ask of [`records`], [`config`], [`secrets`] and
//! [`state`]. So it is tested natively, as the function it is, with [`testing::host`] in the
//! host's place:
//!
//! ```
//! use crm_plugin_sdk::{Event, Failure, Mutation, Outcome, json};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Patient {
//!     full_name: String,
//! }
//!
//! #[derive(Deserialize)]
//! struct Config {
//!     greeting: String,
//! }
//!
//! fn run(event: Event<Patient>, config: Config) -> Outcome {
//!     let Some(patient) = &event.after else {
//!         return Err(Failure::skip("the patient is gone"));
//!     };
//!     let note = format!("{}, {}", config.greeting, patient.full_name);
//!     Ok(Mutation::update(&event, json!({ "welcome_note": note })).into())
//! }
//!
//! crm_plugin_sdk::export_action!(run);
//!
//! # fn main() {
//! use crm_plugin_sdk::testing;
//!
//! let event = testing::created("patients", json!({ "full_name": "Ada" }));
//! let config = Config { greeting: "Welcome".to_owned() };
//! let answer = run(event, config).unwrap();
//! assert_eq!(
//!     answer.mutations,
//!     [Mutation::update_record(
//!         "patients",
//!         testing::RECORD_ID,
//!         json!({ "welcome_note": "Welcome, Ada" })
//!     )]
//! );
//! # }
//! ```
//!
//! A **template** is a model as JSON files; see [`export_template!`].

#[cfg(any(test, target_family = "wasm"))]
mod action;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
pub mod config;
mod effect;
mod event;
mod export;
mod failure;
mod hooks;
mod host;
pub mod log;
mod mutation;
pub mod records;
mod refusal;
pub mod secrets;
pub mod state;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use effect::{Effect, Email, HttpRequest, Notification, Schedule, Webhook};
pub use event::{Actor, CauseLink, Event, EventKind};
pub use failure::{Answer, Failure, Outcome};
pub use hooks::{Change, ChangeKind, Objection, Verdict};
pub use mutation::{ActivityKind, Link, Mutation};
pub use refusal::Refusal;
pub use serde_json::json;

/// The standard library's allocator in a later version: it begins in the memory that an instance
/// starts with, where the other asks for more at once. Growing costs a call as much as its work.
#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// For the macros of this crate only.
#[doc(hidden)]
pub mod private {
    #[cfg(target_family = "wasm")]
    pub use crate::bindings::{after_event, before_save, run};

    /// For templates without that hook.
    pub fn no_before_save(_change: crate::Change) -> crate::Verdict {
        Ok(None)
    }

    /// For templates without that hook.
    pub fn no_after_event(_event: crate::Event<serde_json::Value>) -> crate::Outcome {
        Err(crate::Failure::skip("the template has no hook for this"))
    }

    /// For templates without that hook.
    pub fn no_migrate(
        _module: String,
        _from_version: String,
        _data: String,
    ) -> Result<Option<String>, String> {
        Ok(None)
    }

    /// Compiles only if the function has the shape of an action.
    #[cfg(not(target_family = "wasm"))]
    pub const fn check<T, C>(_run: fn(crate::Event<T>, C) -> crate::Outcome)
    where
        T: serde::de::DeserializeOwned,
        C: serde::de::DeserializeOwned,
    {
    }
}
