//! What installed components cost: a thousand distinct small ones are loaded and called once each,
//! and what the process then has more in memory is divided by their number. The reference is the
//! aim, 2 MiB each. A second sandbox, with room for a tenth of them, then loads all again: what
//! was used longest ago goes, and the memory stays where it is.

use anyhow::{Context, Result, ensure};
use crm_forged_guests::with_section;
use crm_sandbox::{Digest, NoHost, Sandbox, SandboxSettings};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::action_call::{COMPONENT, call, component};
use crate::report::{Aim, Measure, resident_bytes};
use crate::say;

pub(crate) const NAME: &str = "components";

/// A template, because it is small enough to be compiled a thousand times.
const SMALL: &str = "hospital";
const SMALL_COUNT: u32 = 1_000;
/// The same of an action of the usual size.
const USUAL_COUNT: u32 = 40;
const AIM_BYTES: f64 = (2 << 20) as f64;

pub(crate) async fn measure() -> Result<Measure> {
    let (small, usual) = (component(SMALL)?, component(COMPONENT)?);
    let sandbox = Sandbox::new(SandboxSettings::default())?;
    // What the pool keeps resident is nobody's in particular.
    call_template(&sandbox, small).await?;
    call_action(&sandbox, usual).await?;
    let before = resident()?;
    let began = Instant::now();
    let mut digests = Vec::new();
    for number in 0..SMALL_COUNT {
        digests.push(call_template(&sandbox, &distinct(small, number)).await?);
    }
    let took = began.elapsed();
    let between = resident()?;
    for number in 0..USUAL_COUNT {
        call_action(&sandbox, &distinct(usual, number)).await?;
    }
    let after = resident()?;
    let kept = digests
        .iter()
        .filter(|digest| sandbox.loaded(digest).is_some());
    ensure!(kept.count() == digests.len(), "some were evicted");
    let each = (between - before) / f64::from(SMALL_COUNT);
    say(&format!(
        "{each:.0} bytes of each of {SMALL_COUNT} small components"
    ));

    drop(sandbox);
    let code_bytes = Arc::new(Sandbox::new(SandboxSettings::default())?)
        .load(small)?
        .code_bytes() as u64;
    let room = Sandbox::new(SandboxSettings {
        code_max_bytes: code_bytes * u64::from(SMALL_COUNT) / 10,
        ..SandboxSettings::default()
    })?;
    let mut evicting = Vec::new();
    for number in 0..SMALL_COUNT {
        call_template(&room, &distinct(small, number)).await?;
        if number % (SMALL_COUNT / 10) == 0 {
            evicting.push(resident()?);
        }
    }
    room.tidy();
    let left = digests
        .iter()
        .filter(|digest| room.loaded(digest).is_some());
    let left = left.count();
    Ok(Measure {
        name: NAME,
        unit: "resident_bytes_each",
        ours: each,
        reference: AIM_BYTES,
        aim: Aim::AtMost(1.0),
        details: json!({
            "components": SMALL_COUNT,
            "component_bytes": small.len(),
            "code_bytes": code_bytes,
            "loaded_and_called_seconds": took.as_secs_f64(),
            "usual_components": USUAL_COUNT,
            "usual_component_bytes": usual.len(),
            "usual_resident_bytes_each": (after - between) / f64::from(USUAL_COUNT),
            "open_files": std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
            "with_room_for_a_tenth_left": left,
            "with_room_for_a_tenth_resident_bytes": evicting,
        }),
        took: Duration::ZERO,
    })
}

/// The same component under another digest.
fn distinct(component: &[u8], number: u32) -> Vec<u8> {
    with_section(component.to_vec(), "number", &number.to_le_bytes())
}

async fn call_template(sandbox: &Sandbox, component: &[u8]) -> Result<Digest> {
    let plugin = tokio::task::block_in_place(|| sandbox.load(component))?;
    sandbox.template_model(&plugin).await?;
    Ok(plugin.digest())
}

async fn call_action(sandbox: &Sandbox, component: &[u8]) -> Result<()> {
    let plugin = tokio::task::block_in_place(|| sandbox.load(component))?;
    let report = sandbox.run_action(&plugin, call()?, Box::new(NoHost)).await;
    report.outcome?;
    Ok(())
}

fn resident() -> Result<f64> {
    let bytes = resident_bytes().context("the system does not tell what is in memory")?;
    Ok(bytes as f64)
}
