//! How long hostile guests hold on: all that the tests have and that get as far as a call, eight at
//! a time, with fuel without end, so that only their deadline stops those that would go on for
//! ever. The figure is the 99th percentile of the calls' durations; the reference is the deadline
//! and 50 ms.

use anyhow::{Result, ensure};
use crm_forged_guests::{Contained, all};
use crm_sandbox::{GuestLimits, NoHost, Sandbox, SandboxSettings};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

use crate::action_call::call;
use crate::load::quantile;
use crate::report::{Aim, Measure};
use crate::say;

pub(crate) const NAME: &str = "hostile";

const DEADLINE: Duration = Duration::from_millis(100);
const GRACE: Duration = Duration::from_millis(50);
const IN_FLIGHT: usize = 8;
/// Calls of each guest.
const ROUNDS: usize = 20;

pub(crate) async fn measure() -> Result<Measure> {
    let sandbox = Arc::new(Sandbox::new(SandboxSettings {
        limits: GuestLimits {
            fuel_max_units: u64::MAX,
            call_max: DEADLINE,
            ..GuestLimits::default()
        },
        ..SandboxSettings::default()
    })?);
    let mut guests = Vec::new();
    for guest in all() {
        if matches!(guest.contained, Contained::Failed(_)) {
            guests.push((guest.name, sandbox.load(&guest.bytes)?));
        }
    }
    let call = call()?;
    let mut running = JoinSet::new();
    let mut took: Vec<(Duration, &str)> = Vec::new();
    for (name, plugin) in guests.iter().cycle().take(guests.len() * ROUNDS) {
        if running.len() == IN_FLIGHT
            && let Some(ended) = running.join_next().await
        {
            took.push(ended?);
        }
        let (sandbox, plugin, call, name) = (
            Arc::clone(&sandbox),
            Arc::clone(plugin),
            call.clone(),
            *name,
        );
        running.spawn(async move {
            let report = sandbox.run_action(&plugin, call, Box::new(NoHost)).await;
            (report.duration, name)
        });
    }
    while let Some(ended) = running.join_next().await {
        took.push(ended?);
    }
    ensure!(
        took.len() == guests.len() * ROUNDS,
        "some calls never came back"
    );
    took.sort_unstable();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let micros = took.iter().map(|(time, _)| u32::try_from(time.as_micros()));
    let micros = micros.collect::<Result<Vec<u32>, _>>()?;
    let slowest = took
        .last()
        .map(|(time, name)| json!({ *name: milliseconds(*time) }));
    let p99 = quantile(&micros, 0.99) / 1e3;
    say(&format!("hostile guests are over after {p99:.1} ms (p99)"));
    Ok(Measure {
        name: NAME,
        unit: "milliseconds_p99",
        ours: p99,
        reference: milliseconds(DEADLINE + GRACE),
        aim: Aim::AtMost(1.0),
        details: json!({
            "guests": guests.len(),
            "calls": took.len(),
            "in_flight": IN_FLIGHT,
            "deadline_milliseconds": milliseconds(DEADLINE),
            "slowest": slowest,
        }),
        took: Duration::ZERO,
    })
}
