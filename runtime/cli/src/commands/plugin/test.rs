//! `crm plugin test`: a folder of cases, each an event and what is expected of it.

use anyhow::{Result, bail};
use clap::Args;
use console::style;
use crm_sandbox::Digest;
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};
use std::path::{Path, PathBuf};

use super::fixture::{EVENT, Situation, cases, optional};
use super::running::Runner;
use super::source::{Source, write};
use crate::arguments::Common;

/// The folder of cases, beside a plugin's `plugin.json`.
pub(crate) const CASES: &str = "cases";
const EXPECTED: &str = "expected.json";

#[derive(Debug, Args)]
pub(crate) struct TestArguments {
    /// The plugin's folder
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// The folder of cases; <plugin's folder>/cases unless given
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    /// The component to test; built from the folder unless given
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// Write down what comes out as what is expected
    #[arg(long)]
    update: bool,
}

/// One case, run.
pub(crate) struct Tested {
    pub(crate) name: String,
    pub(crate) fuel: u64,
    verdict: Verdict,
}

enum Verdict {
    Passed,
    Updated,
    /// Nothing is expected yet.
    Unknown,
    /// Lines that differ.
    Failed(String),
}

pub(crate) async fn test(common: &Common, arguments: &TestArguments) -> Result<()> {
    let source = match &arguments.component {
        Some(component) => Source::open(component)?,
        None => Source::open(&arguments.directory)?,
    };
    let folder = match &arguments.cases {
        Some(cases) => cases.clone(),
        None => arguments.directory.join(CASES),
    };
    let runner = Runner::new(&source.component)?;
    let mut tested = Vec::new();
    for case in cases(&folder)? {
        tested.push(run_case(&runner, &case, arguments.update).await?);
    }
    if tested.is_empty() {
        bail!(
            "there are no cases in {}: each is a folder with an {EVENT}",
            folder.display()
        );
    }
    if common.json {
        let digest = runner.digest();
        println!(
            "{}",
            serde_json::to_string_pretty(&account(digest, &tested))?
        );
    } else {
        tested.iter().for_each(print);
    }
    let failed = tested.iter().filter(|case| case.failed()).count();
    match failed {
        0 => Ok(()),
        failed => bail!("{failed} of {} cases failed", tested.len()),
    }
}

async fn run_case(runner: &Runner, case: &Path, update: bool) -> Result<Tested> {
    let run = runner.run(&Situation::of_case(case)?).await;
    let result = run.result();
    let path = case.join(EXPECTED);
    let expected: Option<Value> = match update {
        // What cannot be read is what an update is for.
        true => optional(&path).unwrap_or_default(),
        false => optional(&path)?,
    };
    let verdict = match expected {
        Some(expected) if expected == result => Verdict::Passed,
        _ if update => {
            let text = format!("{}\n", serde_json::to_string_pretty(&result)?);
            write(&path, text.as_bytes())?;
            Verdict::Updated
        }
        None => Verdict::Unknown,
        Some(expected) => Verdict::Failed(difference(&expected, &result)?),
    };
    let name = case.file_name().unwrap_or_default();
    Ok(Tested {
        name: name.to_string_lossy().into_owned(),
        fuel: run.report.fuel,
        verdict,
    })
}

/// What is expected and what came, line by line.
pub(crate) fn difference(expected: &Value, found: &Value) -> Result<String> {
    let expected = serde_json::to_string_pretty(expected)?;
    let found = serde_json::to_string_pretty(found)?;
    let diff = TextDiff::from_lines(&expected, &found);
    let mut text = String::new();
    for change in diff.iter_all_changes() {
        let line = change.value().trim_end_matches('\n');
        let line = match change.tag() {
            ChangeTag::Delete => style(format!("- {line}")).red(),
            ChangeTag::Insert => style(format!("+ {line}")).green(),
            ChangeTag::Equal => style(format!("  {line}")).dim(),
        };
        text.push_str(&format!("    {line}\n"));
    }
    Ok(text)
}

impl Tested {
    fn failed(&self) -> bool {
        matches!(self.verdict, Verdict::Failed(_) | Verdict::Unknown)
    }

    fn word(&self) -> &'static str {
        match self.verdict {
            Verdict::Passed => "passed",
            Verdict::Updated => "updated",
            Verdict::Unknown => "unknown",
            Verdict::Failed(_) => "failed",
        }
    }
}

fn print(case: &Tested) {
    let (name, word) = (&case.name, case.word());
    let fuel = style(format!("fuel {}", case.fuel)).dim();
    match &case.verdict {
        Verdict::Passed => println!("{} {name} {fuel}", style(word).green()),
        Verdict::Updated => println!("{} {name} {fuel}", style(word).cyan()),
        Verdict::Unknown => println!(
            "{} {name}: it has no {EXPECTED}; `crm plugin test --update` writes one",
            style(word).red()
        ),
        Verdict::Failed(lines) => {
            println!("{} {name}: - is expected, + came out", style(word).red());
            print!("{lines}");
        }
    }
}

fn account(digest: Digest, tested: &[Tested]) -> Value {
    let cases = tested.iter().map(|case| {
        let plain = match &case.verdict {
            Verdict::Failed(lines) => Some(console::strip_ansi_codes(lines).into_owned()),
            _ => None,
        };
        json!({
            "name": case.name,
            "result": case.word(),
            "fuel": case.fuel,
            "difference": plain,
        })
    });
    json!({ "component": digest, "cases": cases.collect::<Vec<_>>() })
}
