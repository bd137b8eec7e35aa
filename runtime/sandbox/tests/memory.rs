//! What hostile guests leave behind in the process: nothing. In a program of its own, because the
//! process's memory is measured.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may fail loudly"
)]

use crm_forged_guests::all;
use crm_model::Event;
use crm_sandbox::{
    ActionCall, GuestLimits, LimitOverrides, NoHost, Plugin, Sandbox, SandboxSettings,
};
use serde_json::json;
use std::sync::Arc;

/// Runs; `make test-long` sets more.
const RUNS: usize = 2_000;
/// Runs until everything that stays is there: the pool's places, the allocator's.
const WARM_UP: usize = 2_000;

#[tokio::test]
async fn hostile_guests_leave_no_memory_behind() {
    let sandbox = Sandbox::new(SandboxSettings {
        threads: 2,
        concurrency: 4,
        limits: GuestLimits {
            // Enough for every misdeed, and those that do not end are over soon.
            fuel_max_units: 2_000_000,
            ..GuestLimits::default()
        },
        ..SandboxSettings::default()
    })
    .unwrap();
    let plugins: Vec<_> = all()
        .iter()
        .filter_map(|guest| sandbox.load(&guest.bytes).ok())
        .collect();
    assert!(plugins.len() > 45, "{}", plugins.len());
    let runs = std::env::var("HOSTILE_RUNS").ok();
    let runs = runs.map_or(RUNS, |runs| runs.parse().expect("a number"));
    run(&sandbox, &plugins, WARM_UP).await;
    let before = resident_bytes();
    run(&sandbox, &plugins, runs).await;
    let after = resident_bytes();
    let grown = after / before - 1.0;
    println!("{before} bytes before {runs} runs, {after} after them");
    assert!(grown.abs() <= 0.05, "{:.1} % more", grown * 100.0);
}

/// Four at a time, which is as many as there are places.
async fn run(sandbox: &Sandbox, plugins: &[Arc<Plugin>], runs: usize) {
    let mut plugins = plugins.iter().cycle();
    for _ in 0..runs / 4 {
        let mut next = || {
            let plugin = plugins.next().expect("a cycle has no end");
            sandbox.run_action(plugin, call(), Box::new(NoHost))
        };
        let _ = tokio::join!(next(), next(), next(), next());
    }
}

fn call() -> ActionCall {
    let event = json!({
        "id": "018f4e6a-7c1e-7000-8000-00000000000e",
        "kind": "record_created",
        "module": "items",
        "record_id": "018f4e6a-7c1e-7000-8000-000000000001",
        "record_version": 1,
        "after": {"name": "x".repeat(1_000)},
        "changed_fields": ["name"],
        "actor": {"user_id": "ada@example.com", "roles": ["owner"]},
        "cause": {"kind": "user"},
        "depth": 0,
        "occurred_at": "2024-05-06T07:08:09Z"
    });
    let event: Event = serde_json::from_value(event).unwrap();
    ActionCall {
        tenant: None,
        event: Arc::new(event),
        configuration: Arc::new("{}".to_owned()),
        settings: Arc::new("{}".to_owned()),
        zone: "Europe/Berlin".into(),
        locale: "de".into(),
        idempotency_key: "key".to_owned(),
        seed: 42,
        grant: Default::default(),
        plan: LimitOverrides::default(),
    }
}

fn resident_bytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.unwrap().trim().strip_suffix(" kB").unwrap();
    kilobytes.parse::<f64>().unwrap() * 1024.0
}
