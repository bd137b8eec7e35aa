//! Beside the `extism` crate: the same event of about 1 kB, each call in a fresh plugin of
//! compiled code. Ours is the way in which the worker calls, with all limits; theirs is the
//! crate's own way, which sets none. Both do it one call after the other, in turns.
//!
//! extism brings a wasmtime of its own, so it is a program of its own (`extism/`), which is built
//! here; where that fails, for want of the crates registry for example, this measure does.

use anyhow::{Context, Result, ensure};
use crm_sandbox::{NoHost, Sandbox, SandboxSettings};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::action_call::{COMPONENT, call, component};
use crate::report::{Aim, Measure, median};
use crate::{TEMPORARY, say};

pub(crate) const NAME: &str = "extism";

const TURNS: u32 = 3;
const BATCHES: u32 = 8;
const BATCH_CALLS: u32 = 1_000;
/// How many times as long theirs may take, at least.
const AIM: f64 = 8.0;

pub(crate) async fn measure() -> Result<Measure> {
    let target = Path::new(TEMPORARY).join("extism-target");
    say("extism is built, for some minutes the first time");
    build(
        &target,
        &[
            "--package",
            "extism-guest",
            "--target",
            "wasm32-unknown-unknown",
        ],
    )?;
    build(&target, &["--package", "extism-bench"])?;
    let event = Path::new(TEMPORARY).join("extism-event.json");
    let call = call()?;
    std::fs::write(&event, serde_json::to_vec(&*call.event)?)?;

    let sandbox = Arc::new(Sandbox::new(SandboxSettings::default())?);
    let plugin = sandbox.load(component(COMPONENT)?)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        theirs.extend(extism(&target, &event)?);
        let (here, plugin, call) = (Arc::clone(&sandbox), Arc::clone(&plugin), call.clone());
        let call = Arc::new(call);
        let batches = sandbox.handle().spawn(async move {
            let mut micros = Vec::new();
            for _ in 0..BATCHES {
                let began = Instant::now();
                for _ in 0..BATCH_CALLS {
                    let report = here
                        .run_action_here(&plugin, Arc::clone(&call), Box::new(NoHost))
                        .await;
                    ensure!(!report.outcome?.mutations.is_empty(), "no mutations");
                }
                micros.push(began.elapsed().as_secs_f64() * 1e6 / f64::from(BATCH_CALLS));
            }
            Ok(micros)
        });
        ours.extend(batches.await??);
    }
    Ok(Measure {
        name: NAME,
        unit: "microseconds_per_call",
        ours: median(&ours),
        reference: median(&theirs),
        aim: Aim::AtMost(1.0 / AIM),
        details: json!({
            "times_as_long": median(&theirs) / median(&ours),
            "turns": TURNS,
            "calls_per_batch": BATCH_CALLS,
        }),
        took: Duration::ZERO,
    })
}

fn build(target: &PathBuf, arguments: &[&str]) -> Result<()> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/extism/Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(target)
        .args(arguments)
        .status()?;
    ensure!(status.success(), "extism cannot be built");
    Ok(())
}

/// Microseconds per call of each batch.
fn extism(target: &Path, event: &Path) -> Result<Vec<f64>> {
    let guest = target.join("wasm32-unknown-unknown/release/extism_guest.wasm");
    let output = Command::new(target.join("release/extism-bench"))
        .arg(guest)
        .arg(event)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "extism-bench failed");
    let text = String::from_utf8(output.stdout)?;
    let micros: Result<Vec<f64>, _> = text.lines().map(str::parse).collect();
    micros.context("extism-bench printed no figures")
}
