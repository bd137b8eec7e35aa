//! The contract as generated code, and the way between its types and this crate's. Exists only in
//! guests; natively nothing crosses a component's edge.

use serde::de::DeserializeOwned;

use self::action::crm::plugin::types as wit;
use crate::action::{RawEvent, call};
use crate::event::{Actor, Event, EventKind};
use crate::failure::{Failure, Outcome};
use crate::log;
use crate::mutation::Mutation;

/// The world of workflow steps.
#[allow(
    unsafe_code,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "generated: the canonical ABI passes raw pointers"
)]
pub mod action {
    wit_bindgen::generate!({
        path: "../wit",
        world: "action",
        pub_export_macro: true,
        default_bindings_module: "crm_plugin_sdk::bindings::action",
    });
}

/// The world of industry templates.
#[allow(
    unsafe_code,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "generated: the canonical ABI passes raw pointers"
)]
pub mod template {
    wit_bindgen::generate!({
        path: "../wit",
        world: "template",
        pub_export_macro: true,
        default_bindings_module: "crm_plugin_sdk::bindings::template",
    });
}

/// What `export_action!` exports: one call from the host.
pub fn run<T: DeserializeOwned, C: DeserializeOwned>(
    function: fn(Event<T>, C) -> Outcome,
    event: wit::Event,
    config: String,
) -> Result<Vec<wit::Mutation>, wit::Failure> {
    // A panic ends as a trap that says nothing; the run log should say what it was.
    std::panic::set_hook(Box::new(|panic| log::error(panic.to_string())));
    let outcome = call(function, event.into(), &config);
    outcome
        .map(|mutations| mutations.into_iter().map(wit::Mutation::from).collect())
        .map_err(wit::Failure::from)
}

impl From<wit::Event> for RawEvent {
    fn from(event: wit::Event) -> Self {
        Event {
            id: event.id,
            kind: match event.kind {
                wit::EventKind::RecordCreated => EventKind::RecordCreated,
                wit::EventKind::RecordUpdated => EventKind::RecordUpdated,
                wit::EventKind::RecordDeleted => EventKind::RecordDeleted,
                wit::EventKind::RecordRestored => EventKind::RecordRestored,
            },
            module: event.module,
            record_id: event.record_id,
            record_version: event.record_version,
            before: event.before,
            after: event.after,
            changed_fields: event.changed_fields,
            actor: Actor {
                user_id: event.actor.user_id,
                roles: event.actor.roles,
            },
            depth: event.depth,
            occurred_at: event.occurred_at,
        }
    }
}

impl From<Mutation> for wit::Mutation {
    fn from(mutation: Mutation) -> Self {
        match mutation {
            Mutation::Create { module, data } => Self::Create(wit::NewRecord {
                module,
                data: data.to_string(),
            }),
            Mutation::Update {
                module,
                record_id,
                expected_version,
                patch,
            } => Self::Update(wit::RecordPatch {
                module,
                record_id,
                expected_version,
                patch: patch.to_string(),
            }),
            Mutation::Delete {
                module,
                record_id,
                expected_version,
            } => Self::Delete(wit::RecordRemoval {
                module,
                record_id,
                expected_version,
            }),
            Mutation::Activity {
                module,
                record_id,
                kind,
                title,
                body,
            } => {
                let kind = kind.name().to_owned();
                Self::Activity(wit::NewActivity {
                    module,
                    record_id,
                    kind,
                    title,
                    body,
                })
            }
        }
    }
}

impl From<Failure> for wit::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Retry { after, reason } => Self::Retry(wit::RetryRequest {
                after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
                reason,
            }),
            Failure::Fail(message) => Self::Fail(message),
            Failure::Skip(message) => Self::Skip(message),
        }
    }
}
