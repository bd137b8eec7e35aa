//! The first call after a start, of a component that this host has compiled before: from the
//! digest to the mutations, through the code on disk, its authentication, linking and a fresh
//! instance. The reference is the aim, five milliseconds; compiling the same component in a
//! process of its own stands in the details.

use anyhow::{Context, Result, ensure};
use crm_sandbox::{CacheKey, CodeCache, Digest, NoHost, Sandbox, SandboxSettings};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::action_call::{COMPONENT, call, component};
use crate::report::{Aim, Measure, median};
use crate::{TEMPORARY, say};

pub(crate) const NAME: &str = "first_call";

/// Starts of a sandbox.
const STARTS: u32 = 40;
const AIM_MILLISECONDS: f64 = 5.0;

pub(crate) async fn measure() -> Result<Measure> {
    let directory = Path::new(TEMPORARY).join("first-call");
    let component = component(COMPONENT)?;
    let larger = component_largest()?;
    let began = Instant::now();
    start(&directory)?.load(component)?;
    let compiled = began.elapsed();
    start(&directory)?.load(larger)?;
    let mut first = Vec::new();
    let mut larger_known = Vec::new();
    for _ in 0..STARTS {
        let sandbox = start(&directory)?;
        let call = call()?;
        let began = Instant::now();
        let plugin = sandbox.known(&Digest::of(component));
        let plugin = plugin.context("the code is not on disk")?;
        let report = sandbox.run_action(&plugin, call, Box::new(NoHost)).await;
        first.push(began.elapsed().as_secs_f64() * 1e3);
        ensure!(!report.outcome?.mutations.is_empty(), "no mutations");
        let began = Instant::now();
        sandbox.known(&Digest::of(larger)).context("not on disk")?;
        larger_known.push(began.elapsed().as_secs_f64() * 1e3);
    }
    std::fs::remove_dir_all(&directory)?;
    say(&format!("first call: {:.2} ms", median(&first)));
    Ok(Measure {
        name: NAME,
        unit: "milliseconds",
        ours: median(&first),
        reference: AIM_MILLISECONDS,
        aim: Aim::AtMost(1.0),
        details: json!({
            "component": COMPONENT,
            "component_bytes": component.len(),
            "starts": STARTS,
            "slowest_milliseconds": first.iter().copied().fold(0.0, f64::max),
            "compiled_here_milliseconds": compiled.as_secs_f64() * 1e3,
            "largest_component_bytes": larger.len(),
            "largest_known_milliseconds": median(&larger_known),
        }),
        took: Duration::ZERO,
    })
}

fn start(directory: &Path) -> Result<Sandbox> {
    Ok(Sandbox::new(SandboxSettings {
        cache: Some(CodeCache {
            directory: directory.to_owned(),
            key: CacheKey::new([1; 32]),
        }),
        ..SandboxSettings::default()
    })?)
}

fn component_largest() -> Result<&'static [u8]> {
    let all = crm_cli::bundled::components().iter();
    let largest = all.map(|(_, bytes)| *bytes).max_by_key(|bytes| bytes.len());
    largest.context("nothing is bundled")
}
