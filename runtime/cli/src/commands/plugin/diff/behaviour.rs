//! Two versions called with the same events.

use anyhow::Result;
use console::style;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::Path;

use crate::commands::plugin::bench::Distribution;
use crate::commands::plugin::run::WorldArguments;
use crate::commands::plugin::running::{Run, Runner};
use crate::commands::plugin::test::difference;

/// Events of which what differs is shown.
const SHOWN: usize = 3;

/// How both behave.
#[derive(Debug, Serialize)]
pub(super) struct Behaviour {
    events: usize,
    /// Events on which they come to the same.
    same: usize,
    /// Events whose mutations, effects or kept values differ.
    different: Vec<Difference>,
    /// Runs without an answer: skipped, failed, trapped; in the old version and in the new.
    failures: [usize; 2],
    fuel: [Distribution; 2],
}

/// An event on which they differ.
#[derive(Debug, Serialize)]
struct Difference {
    /// Its place among the events, from 1.
    event: usize,
    old: Value,
    new: Value,
}

pub(super) async fn compare(
    components: [&Vec<u8>; 2],
    events: &Path,
    files: &WorldArguments,
) -> Result<Behaviour> {
    let events = files.situations(events)?;
    let [old, new] = components;
    let runners = [Runner::new(old)?, Runner::new(new)?];
    let mut runs: [Vec<Run>; 2] = [Vec::new(), Vec::new()];
    for (runner, runs) in runners.iter().zip(&mut runs) {
        for event in &events {
            runs.push(runner.run(event).await);
        }
    }
    let [old, new] = &runs;
    let pairs = old.iter().zip(new).enumerate();
    let different = pairs.filter_map(|(position, (old, new))| {
        let (old, new) = (old.result(), new.result());
        (old != new).then_some(Difference {
            event: position + 1,
            old,
            new,
        })
    });
    let different: Vec<Difference> = different.collect();
    let failures = |runs: &Vec<Run>| {
        runs.iter()
            .filter(|run| run.report.outcome.is_err())
            .count()
    };
    let fuel = |runs: &Vec<Run>| Distribution::of(runs.iter().map(|run| run.report.fuel).collect());
    Ok(Behaviour {
        events: events.len(),
        same: events.len() - different.len(),
        different,
        failures: [failures(old), failures(new)],
        fuel: [fuel(old), fuel(new)],
    })
}

impl Behaviour {
    pub(super) fn print(&self) {
        println!(
            "behaviour: {} of {} events come to the same",
            self.same, self.events
        );
        let [old, new] = self.failures;
        println!("  without an answer {old} → {new}");
        let [old, new] = &self.fuel;
        println!("  fuel at the median {} → {}", old.p50, new.p50);
        for one in self.different.iter().take(SHOWN) {
            println!("  event {}: - old, + new", style(one.event).bold());
            print!(
                "{}",
                difference(&one.old, &one.new).unwrap_or_else(|_| json!(one).to_string())
            );
        }
        if let Some(more) = self
            .different
            .len()
            .checked_sub(SHOWN)
            .filter(|more| *more > 0)
        {
            println!("  and {more} more; --json has them all");
        }
    }
}
