//! A component against the contract, the sandbox and, for a template, the rules of models.

use anyhow::Result;
use crm_engine::publish::template_compile;
use crm_model::limits::COMPONENT_MAX_BYTES;
use crm_model::manifest::World;
use crm_sandbox::{Digest, Plugin, Sandbox, SandboxError, component_inspect};
use std::sync::Arc;
use std::time::Instant;

use super::{ComponentReport, Report};
use crate::commands::plugin::author;
use crate::commands::plugin::finding::{Finding, JsonText};
use crate::commands::plugin::source::Source;

/// Adds what there is to say; `text` is the manifest's, for places in it.
pub(super) async fn check(
    source: &Source,
    text: Option<&JsonText>,
    report: &mut Report,
) -> Result<()> {
    let component = report.component.insert(ComponentReport {
        digest: Digest::of(&source.component),
        bytes: source.component.len(),
        limit_bytes: COMPONENT_MAX_BYTES,
        imports: Vec::new(),
        compile_milliseconds: None,
    });
    match component_inspect(&source.component) {
        Ok(inspected) => component.imports = inspected.imports,
        Err(error) => {
            report.findings.push(refusal(&error, text));
            return Ok(());
        }
    }
    let sandbox = author::sandbox()?;
    let started = Instant::now();
    match tokio::task::block_in_place(|| sandbox.load(&source.component)) {
        Ok(plugin) => {
            component.compile_milliseconds = Some(started.elapsed().as_millis());
            if plugin.manifest().world == World::Template {
                template(&sandbox, &plugin, report).await;
            }
        }
        Err(error) => report.findings.push(refusal(&error, text)),
    }
    Ok(())
}

fn refusal(error: &SandboxError, text: Option<&JsonText>) -> Finding {
    let (code, keys): (_, &[&str]) = match error {
        SandboxError::TooBig { .. } => ("component.size", &[]),
        SandboxError::NotAComponent(_) => ("component", &[]),
        SandboxError::Manifest(_) => ("manifest", &[]),
        SandboxError::ForbiddenImport { .. } => ("component.import", &["world"]),
        SandboxError::MissingExport { .. } => ("component.export", &["world"]),
        SandboxError::WorldMismatch { .. } => ("component.world", &["world"]),
        SandboxError::Contract(_) => ("component.contract", &[]),
        SandboxError::Compile(_) => ("component.compile", &[]),
        SandboxError::Unavailable(_) => ("sandbox", &[]),
    };
    let place = match keys {
        [] => None,
        keys => text.and_then(|text| text.at(keys)),
    };
    Finding::error(code, error.to_string()).at(place)
}

/// Calls the template for its model and compiles that as for a tenant.
async fn template(sandbox: &Sandbox, plugin: &Arc<Plugin>, report: &mut Report) {
    let model = match sandbox.template_model(plugin).await {
        Ok(model) => model,
        Err(failure) => {
            let finding = Finding::error("template.model", failure.to_string());
            report.findings.push(finding);
            return;
        }
    };
    if let Err(error) = template_compile(plugin.manifest(), &model) {
        report
            .findings
            .push(Finding::error("template.model", error.to_string()));
    }
}
