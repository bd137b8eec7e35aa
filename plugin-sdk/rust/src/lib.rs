//! What the author of a CRM Pro plugin depends on.
//!
//! An **action** is a step of a workflow: one pure function from an event and the step's
//! configuration to the mutations that the host should make. It has no clock, no randomness, no
//! files and no network, and it gets a fresh instance for each event; everything it knows, it is
//! told. So it is tested natively, as the function it is:
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
//!     Ok(vec![Mutation::update(&event, json!({ "welcome_note": note }))])
//! }
//!
//! crm_plugin_sdk::export_action!(run);
//!
//! # fn main() {
//! use crm_plugin_sdk::testing;
//!
//! let event = testing::created("patients", json!({ "full_name": "Ada" }));
//! let config = Config { greeting: "Welcome".to_owned() };
//! let mutations = run(event, config).unwrap();
//! assert_eq!(
//!     mutations,
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
mod event;
mod export;
mod failure;
pub mod log;
mod mutation;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use event::{Actor, Event, EventKind};
pub use failure::{Failure, Outcome};
pub use mutation::{ActivityKind, Mutation};
pub use serde_json::json;

/// For the macros of this crate only.
#[doc(hidden)]
pub mod private {
    #[cfg(target_family = "wasm")]
    pub use crate::bindings::run;

    /// Compiles only if the function has the shape of an action.
    #[cfg(not(target_family = "wasm"))]
    pub const fn check<T, C>(_run: fn(crate::Event<T>, C) -> crate::Outcome)
    where
        T: serde::de::DeserializeOwned,
        C: serde::de::DeserializeOwned,
    {
    }
}
