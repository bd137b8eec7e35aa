//! A run for people: in colour on a terminal.

use console::style;
use crm_model::{Data, Effect, Mutation};
use crm_sandbox::{GuestLimits, LogLevel, RunFailure};
use serde_json::Value;
use std::fmt::Write;

use crate::commands::plugin::running::Run;
use crate::say;

/// Several lines.
pub(crate) fn show(run: &Run, limits: &GuestLimits) -> String {
    let report = &run.report;
    let mut text = String::new();
    for line in &report.logs {
        let level = match line.level {
            LogLevel::Debug => style("debug").dim(),
            LogLevel::Info => style("info ").cyan(),
            LogLevel::Warn => style("warn ").yellow(),
            LogLevel::Error => style("error").red(),
        };
        let _ = writeln!(text, "{level} {}", line.message);
    }
    if report.log_truncated {
        let kept = say::bytes(limits.log_max_bytes);
        let _ = writeln!(
            text,
            "{}",
            style(format!("the log ends here: {kept} are kept")).dim()
        );
    }
    match &report.outcome {
        Ok(outcome) => {
            let count = outcome.mutations.len() + outcome.effects.len();
            let _ = match count {
                0 => writeln!(text, "{} it wants nothing", style("done").green()),
                _ => writeln!(text, "{}", style("done").green()),
            };
            for mutation in &outcome.mutations {
                let _ = writeln!(text, "  {}", mutation_line(mutation));
            }
            for effect in &outcome.effects {
                let _ = writeln!(text, "  {}", effect_line(effect));
            }
        }
        Err(failure @ (RunFailure::Skip(_) | RunFailure::Retry { .. })) => {
            let _ = writeln!(text, "{} {failure}", style(failure.code()).yellow());
        }
        Err(failure) => {
            let _ = writeln!(text, "{} {failure}", style(failure.code()).red());
        }
    }
    for refusal in &run.refused {
        let _ = writeln!(text, "{} {refusal}", style("refused").red());
    }
    let fuel = report.fuel;
    let percent = say::percent(fuel, limits.fuel_max_units);
    let account = format!(
        "fuel {fuel} ({percent}) · memory {} · {:.3} ms · host asked {} of {} times",
        say::bytes(report.memory_bytes),
        report.duration.as_secs_f64() * 1e3,
        report.journal.len(),
        limits.max_host_calls,
    );
    let _ = writeln!(text, "{}", style(account).dim());
    text
}

fn data(data: &Data) -> String {
    Value::Object(data.clone()).to_string()
}

fn mutation_line(mutation: &Mutation) -> String {
    let module = mutation.module();
    let at = match mutation.record_id() {
        Some(id) => format!("{module}/{id}"),
        None => module.to_string(),
    };
    let (verb, rest) = match mutation {
        Mutation::Create { data: new, .. } => ("create", data(new)),
        Mutation::Update { patch, .. } => ("update", data(patch)),
        Mutation::Replace { data: new, .. } => ("replace", data(new)),
        Mutation::Delete { .. } => ("delete", String::new()),
        Mutation::Assign { owner, .. } => ("assign", owner.to_string()),
        Mutation::Link { field, targets, .. } => ("link", format!("{field} {targets:?}")),
        Mutation::Unlink { field, targets, .. } => ("unlink", format!("{field} {targets:?}")),
        Mutation::Restore { .. } => ("restore", String::new()),
        Mutation::Purge { .. } => ("purge", String::new()),
        Mutation::Activity { activity, .. } => {
            let activity = serde_json::to_value(activity).unwrap_or_default();
            ("activity", activity.to_string())
        }
    };
    format!("{} {at} {rest}", style(format!("{verb:<8}")).bold())
}

fn effect_line(effect: &Effect) -> String {
    let mut rest = serde_json::to_value(effect).unwrap_or_default();
    if let Value::Object(members) = &mut rest {
        members.remove("kind");
    }
    format!("{} {rest}", style(format!("{:<8}", effect.kind())).bold())
}
