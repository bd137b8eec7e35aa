//! A plugin's own cases: what they take of the limits, and whether a server would refuse them.

use anyhow::Result;
use std::path::Path;

use super::{CasesReport, Report};
use crate::commands::plugin::finding::Finding;
use crate::commands::plugin::fixture::{Situation, cases};
use crate::commands::plugin::running::Runner;

/// Of a limit, from which on somebody should look at it.
const CLOSE_PERCENT: u64 = 50;

/// Runs the cases of a folder, if there is one.
///
/// # Errors
/// Where a case cannot be read, with file and line.
pub(super) async fn check(runner: &Runner, folder: &Path, report: &mut Report) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    let limits = runner.limits();
    let mut all = CasesReport {
        count: 0,
        fuel: 0,
        limit_fuel: limits.fuel_max_units,
        memory_bytes: 0,
        limit_memory_bytes: limits.memory_max_bytes,
    };
    for case in cases(folder)? {
        let run = runner.run(&Situation::of_case(&case)?).await;
        let name = case.display();
        all.count += 1;
        all.fuel = all.fuel.max(run.report.fuel);
        all.memory_bytes = all.memory_bytes.max(run.report.memory_bytes);
        for refusal in &run.refused {
            let finding = Finding::error("case.refused", format!("{name}: {refusal}"));
            let help = "ask for it in plugin.json, or do without";
            report.findings.push(finding.help(help));
        }
        if run.report.fuel.saturating_mul(100) / limits.fuel_max_units.max(1) >= CLOSE_PERCENT {
            let finding = Finding::warning(
                "case.fuel",
                format!("{name} takes more than {CLOSE_PERCENT} % of the fuel that a call has"),
            );
            report.findings.push(finding);
        }
    }
    report.cases = Some(all);
    Ok(())
}
