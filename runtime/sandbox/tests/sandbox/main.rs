//! The sandbox through its public door, with small guests written as WebAssembly text.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

mod forged;
mod guests;
mod hooks;
mod inspect;
mod limits;
mod load;
mod pace;
mod run;
mod tenants;
mod wasi;

use crm_model::{Event, Grant};
use crm_sandbox::{
    ActionCall, ActionReport, GuestLimits, LimitOverrides, NoHost, RunFailure, Sandbox,
    SandboxSettings,
};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// The usual limits, but time enough for a machine that is busy with something else.
fn usual() -> GuestLimits {
    GuestLimits {
        call_max: Duration::from_secs(60),
        before_save_max: Duration::from_secs(60),
        ..GuestLimits::default()
    }
}

/// A sandbox with a small pool and one thread.
fn sandbox(limits: GuestLimits) -> Sandbox {
    Sandbox::new(SandboxSettings {
        threads: 1,
        concurrency: 4,
        limits,
        ..SandboxSettings::default()
    })
    .unwrap()
}

fn event() -> Arc<Event> {
    let event = json!({
        "id": "018f4e6a-7c1e-7000-8000-00000000000e",
        "kind": "record_updated",
        "module": "items",
        "record_id": "018f4e6a-7c1e-7000-8000-000000000001",
        "record_version": 7,
        "before": {"carat": "0.5"},
        "after": {"carat": "0.7", "name": "Koh-i-Noor ◆"},
        "changed_fields": ["carat"],
        "payload": {"status": 200},
        "actor": {"user_id": "ada@example.com", "roles": ["owner", "clerk"]},
        "cause": {
            "kind": "workflow",
            "workflow": "valuation",
            "run": "018f4e6a-7c1e-7000-8000-00000000000a",
            "plugin": "valuation",
            "plugin_version": "1.0.0",
            "event": {
                "id": "018f4e6a-7c1e-7000-8000-00000000000b",
                "record_id": "018f4e6a-7c1e-7000-8000-000000000001",
            },
        },
        "depth": 3,
        "occurred_at": "2024-05-06T07:08:09.123456Z"
    });
    Arc::new(serde_json::from_value(event).unwrap())
}

fn call() -> ActionCall {
    ActionCall {
        tenant: None,
        event: event(),
        configuration: Arc::new(r#"{"band":"A"}"#.to_owned()),
        settings: Arc::new("{}".to_owned()),
        zone: "Europe/Berlin".into(),
        locale: "de".into(),
        idempotency_key: "key".to_owned(),
        seed: 42,
        grant: Grant::default(),
        plan: LimitOverrides::default(),
    }
}

/// Loads a component and calls it once.
async fn run(limits: GuestLimits, component: &[u8]) -> ActionReport {
    let sandbox = sandbox(limits);
    let plugin = sandbox.load(component).unwrap();
    sandbox.run_action(&plugin, call(), Box::new(NoHost)).await
}

/// Why the call of a component under the usual limits has no answer.
async fn failure(component: &[u8]) -> RunFailure {
    run(usual(), component).await.outcome.unwrap_err()
}
