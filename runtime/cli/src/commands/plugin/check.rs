//! `crm plugin check`: everything that can be told about a plugin before a host has it.

mod cases;
mod component;
mod manifest;
mod template;

use anyhow::{Context, Result, bail};
use clap::Args;
use console::style;
use crm_model::GuestClass;
use crm_plugin_build::{MANIFEST_FILE, MANIFEST_SECTION, manifest_text};
use crm_sandbox::Digest;
use serde::Serialize;
use std::path::{Path, PathBuf};

use super::finding::{Finding, JsonText, Severity};
use super::source::Source;
use super::test::CASES;
use crate::arguments::Common;
use crate::say;

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The plugin's folder, which is built, or a component
    #[arg(default_value = ".")]
    plugin: PathBuf,
}

/// What there is to say about a plugin.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) world: Option<&'static str>,
    pub(crate) class: GuestClass,
    /// Of the component; of none where it was not built because its manifest is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) component: Option<ComponentReport>,
    /// What the cases take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cases: Option<CasesReport>,
    pub(crate) findings: Vec<Finding>,
}

/// An estimate of what calls take.
#[derive(Debug, Serialize)]
pub(crate) struct CasesReport {
    pub(crate) count: usize,
    /// Of the case that takes the most.
    pub(crate) fuel: u64,
    pub(crate) limit_fuel: u64,
    pub(crate) memory_bytes: usize,
    pub(crate) limit_memory_bytes: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct ComponentReport {
    pub(crate) digest: Digest,
    pub(crate) bytes: usize,
    pub(crate) limit_bytes: usize,
    /// Interfaces of the contract that it can use.
    pub(crate) imports: Vec<String>,
    /// What compiling it took here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compile_milliseconds: Option<u128>,
}

impl Report {
    fn errors(&self) -> usize {
        let findings = self.findings.iter();
        findings
            .filter(|finding| finding.severity == Severity::Error)
            .count()
    }
}

pub(crate) async fn check(common: &Common, arguments: &CheckArguments) -> Result<()> {
    let report = report(&arguments.plugin).await?;
    let errors = report.errors();
    if common.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", shown(&report));
    }
    match errors {
        0 => Ok(()),
        1 => bail!("one error in {}", arguments.plugin.display()),
        errors => bail!("{errors} errors in {}", arguments.plugin.display()),
    }
}

/// The manifest first: what is wrong with it is not worth a build.
async fn report(plugin: &Path) -> Result<Report> {
    let mut report = Report::default();
    if plugin.is_dir() {
        let path = plugin.join(MANIFEST_FILE);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let text = JsonText::new(path.display().to_string(), &text);
        manifest::check(&text, &mut report);
        if report.errors() > 0 {
            return Ok(report);
        }
        let source = Source::open(plugin)?;
        if let Some(runner) = component::check(&source, Some(&text), &mut report).await? {
            cases::check(&runner, &plugin.join(CASES), &mut report).await?;
        }
        return Ok(report);
    }
    let source = Source::open(plugin)?;
    let text = manifest_text(&source.component)
        .map(|text| JsonText::new(format!("{}#{MANIFEST_SECTION}", plugin.display()), &text));
    if let Some(text) = &text {
        manifest::check(text, &mut report);
    }
    if report.errors() == 0 {
        component::check(&source, text.as_ref(), &mut report).await?;
    }
    Ok(report)
}

fn shown(report: &Report) -> String {
    let mut text: String = report.findings.iter().map(Finding::render).collect();
    let mut line = |what: &str, value: String| {
        text.push_str(&format!("{:<9} {value}\n", style(what).dim()));
    };
    if let (Some(name), Some(world)) = (&report.name, report.world) {
        line("plugin", format!("{name}, world {world}"));
    }
    if let Some(component) = &report.component {
        let percent = say::percent(component.bytes as u64, component.limit_bytes as u64);
        line("digest", component.digest.to_string());
        let limit = say::bytes(component.limit_bytes);
        let size = say::bytes(component.bytes);
        line("size", format!("{size}, {percent} of {limit}"));
        let imports = match component.imports.as_slice() {
            [] => "nothing".to_owned(),
            imports => imports.join(", "),
        };
        line("imports", imports);
        if let Some(milliseconds) = component.compile_milliseconds {
            line("compiles", format!("in {milliseconds} ms"));
        }
    }
    if let Some(cases) = &report.cases {
        let percent = say::percent(cases.fuel, cases.limit_fuel);
        let memory = say::bytes(cases.memory_bytes);
        line(
            "cases",
            format!(
                "{}; the most fuel {} ({percent}), the most memory {memory}",
                cases.count, cases.fuel
            ),
        );
    }
    if report.findings.is_empty() {
        line("findings", style("none").green().to_string());
    }
    text
}
