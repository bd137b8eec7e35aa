//! `crm plugin bench`: how fuel and time are spread over many events.

use anyhow::Result;
use clap::Args;
use console::style;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::run::WorldArguments;
use super::running::{Run, Runner};
use super::source::Source;
use crate::arguments::Common;
use crate::say;

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// The plugin's folder, which is built, or a component
    #[arg(default_value = ".")]
    plugin: PathBuf,
    /// The events: a file with one on each line, or a folder of cases
    #[arg(long, value_name = "FILE")]
    events: PathBuf,
    #[command(flatten)]
    files: WorldArguments,
    /// How many calls; the events are gone through again until then
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    calls: u32,
}

/// Of a list of values, the least that so many of a hundred do not exceed.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Distribution {
    pub(crate) p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
}

impl Distribution {
    /// By the nearest rank; nothing of nothing.
    pub(crate) fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        let rank = |percent: usize| {
            let rank = (values.len() * percent).div_ceil(100).max(1);
            values.get(rank - 1).copied().unwrap_or_default()
        };
        Self {
            p50: rank(50),
            p90: rank(90),
            p99: rank(99),
            max: rank(100),
        }
    }
}

pub(crate) async fn bench(common: &Common, arguments: &BenchArguments) -> Result<()> {
    let events = arguments.files.situations(&arguments.events)?;
    let source = Source::open(&arguments.plugin)?;
    let runner = Runner::new(&source.component)?;
    let mut runs = Vec::new();
    for event in events.iter().cycle().take(arguments.calls as usize) {
        runs.push(runner.run(event).await);
    }
    let of = |value: fn(&Run) -> u64| Distribution::of(runs.iter().map(value).collect());
    let fuel = of(|run| run.report.fuel);
    let nanoseconds = of(|run| u64::try_from(run.report.duration.as_nanos()).unwrap_or(u64::MAX));
    let memory = of(|run| run.report.memory_bytes as u64);
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for run in &runs {
        let end = match &run.report.outcome {
            Ok(_) if run.refused.is_empty() => "done",
            Ok(_) => "refused",
            Err(failure) => failure.code(),
        };
        *ends.entry(end).or_default() += 1;
    }
    if common.json {
        let account = json!({
            "component": runner.digest(),
            "events": events.len(),
            "calls": runs.len(),
            "fuel": fuel,
            "nanoseconds": nanoseconds,
            "memory_bytes": memory,
            "ends": ends,
        });
        println!("{}", serde_json::to_string_pretty(&account)?);
        return Ok(());
    }
    println!("{} calls over {} events", runs.len(), events.len());
    let head = format!(
        "{:<10}{:>12}{:>12}{:>12}{:>12}",
        "", "p50", "p90", "p99", "max"
    );
    println!("{}", style(head).dim());
    row("fuel", &fuel, |value| value.to_string());
    row("time", &nanoseconds, |value| {
        let microseconds = value / 1_000;
        format!("{microseconds} µs")
    });
    row("memory", &memory, |value| {
        say::bytes(usize::try_from(value).unwrap_or(usize::MAX))
    });
    let ends = ends.iter().map(|(end, count)| format!("{count} {end}"));
    println!("{:<10}{}", "ends", ends.collect::<Vec<_>>().join(", "));
    Ok(())
}

fn row(name: &str, values: &Distribution, show: impl Fn(u64) -> String) {
    let Distribution { p50, p90, p99, max } = values;
    let [p50, p90, p99, max] = [p50, p90, p99, max].map(|value| show(*value));
    println!("{name:<10}{p50:>12}{p90:>12}{p99:>12}{max:>12}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_the_nearest() {
        let hundred = Distribution::of((1..=100).rev().collect());
        let expected = Distribution {
            p50: 50,
            p90: 90,
            p99: 99,
            max: 100,
        };
        assert_eq!(hundred, expected);
        let one = Distribution::of(vec![7]);
        assert_eq!((one.p50, one.p99, one.max), (7, 7, 7));
        assert_eq!(Distribution::of(Vec::new()).max, 0);
    }
}
