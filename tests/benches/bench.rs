//! The benches: each measures one thing of the product as a ratio to the least that anybody could
//! do in its place, on the same machine in the same run. A ratio says more than a rate: it stays
//! when the machine changes.
//!
//! `make bench` runs all; `cargo bench -p crm-tests --bench bench -- action_call` runs one. The
//! figures go to `target/bench.json` too. A missed aim is printed, and is no error.
//! `make bench-full` takes the full sizes of `scale` and `queue_delay`.

mod action_call;
mod bare;
mod before_save;
mod beside;
mod components;
mod extism;
mod first_call;
mod hostile;
mod hostile_beside;
mod load;
mod neighbours;
mod pgbench;
mod queue_delay;
mod queue_throughput;
mod record_create;
mod report;
mod scale;
mod serving;
mod tenant_create;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, json};
use std::path::Path;
use std::time::Instant;
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

use crate::report::Measure;

/// Where cargo lets benches keep files: `tmp` in the target directory.
const TEMPORARY: &str = env!("CARGO_TARGET_TMPDIR");

/// The measures by name, in the order in which they run.
const MEASURES: [&str; 13] = [
    action_call::NAME,
    extism::NAME,
    first_call::NAME,
    components::NAME,
    hostile::NAME,
    hostile_beside::NAME,
    before_save::NAME,
    record_create::NAME,
    tenant_create::NAME,
    neighbours::NAME,
    queue_throughput::NAME,
    queue_delay::NAME,
    scale::NAME,
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        eprintln!("bench: not run, because only `cargo bench` builds it for speed");
        return Ok(());
    }
    let chosen: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|name| !name.starts_with('-'))
        .collect();
    for name in &chosen {
        ensure!(
            MEASURES.contains(name),
            "there is no measure {name}; there are {MEASURES:?}"
        );
    }
    // As `crm serve` has it: spans cost something, and the product pays for them.
    // The notices of migrations are nobody's concern here.
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();

    let started = Instant::now();
    let runtime = Runtime::new()?;
    let mut measures = Vec::new();
    for name in MEASURES {
        if !chosen.is_empty() && !chosen.contains(&name) {
            continue;
        }
        say(&format!("{name} begins"));
        let began = Instant::now();
        let mut found = match name {
            action_call::NAME => vec![runtime.block_on(action_call::measure())?],
            extism::NAME => vec![runtime.block_on(extism::measure())?],
            first_call::NAME => vec![runtime.block_on(first_call::measure())?],
            components::NAME => vec![runtime.block_on(components::measure())?],
            hostile::NAME => vec![runtime.block_on(hostile::measure())?],
            hostile_beside::NAME => vec![runtime.block_on(hostile_beside::measure())?],
            before_save::NAME => vec![runtime.block_on(before_save::measure())?],
            record_create::NAME => vec![runtime.block_on(record_create::measure())?],
            tenant_create::NAME => vec![runtime.block_on(tenant_create::measure())?],
            neighbours::NAME => vec![runtime.block_on(neighbours::measure())?],
            queue_throughput::NAME => runtime.block_on(queue_throughput::measure())?,
            queue_delay::NAME => vec![runtime.block_on(queue_delay::measure())?],
            _ => runtime.block_on(scale::measure())?,
        };
        for measure in &mut found {
            measure.took = began.elapsed();
        }
        measures.extend(found);
    }
    let target = Path::new(TEMPORARY)
        .parent()
        .context("the target directory has no name")?;
    write(&target.join("bench.json"), &measures, started)?;
    println!("{}", report::table(&measures));
    if let Some(bytes) = report::resident_bytes() {
        println!(
            "memory at the end, load generators included: {} MB",
            bytes / 1_000_000
        );
    }
    Ok(())
}

fn write(path: &Path, measures: &[Measure], started: Instant) -> Result<()> {
    let figures: Map<_, _> = measures
        .iter()
        .map(|measure| (measure.name.to_owned(), measure.json()))
        .collect();
    let document = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "machine": report::machine(),
        "duration_seconds": started.elapsed().as_secs_f64(),
        "resident_bytes_at_end": report::resident_bytes(),
        "measures": figures,
    });
    std::fs::write(path, serde_json::to_string_pretty(&document)? + "\n")
        .with_context(|| format!("{} cannot be written", path.display()))?;
    say(&format!("all figures are in {}", path.display()));
    Ok(())
}

/// Whether the full sizes are asked for.
fn is_full() -> bool {
    std::env::var("BENCH_FULL").is_ok_and(|value| value == "1")
}

/// A size that a variable of the environment gives.
fn size(name: &str, otherwise: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is no number")),
        Err(_) => Ok(otherwise),
    }
}

/// A line of progress.
fn say(line: &str) {
    eprintln!("· {line}");
}
