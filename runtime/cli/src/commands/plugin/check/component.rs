//! A component against the contract, the sandbox and, for a template, the rules of models.

use anyhow::Result;
use crm_model::Capabilities;
use crm_model::manifest::World;
use crm_sandbox::{ClassLimits, Digest, SandboxError, component_inspect};
use std::time::Instant;

use super::{ComponentReport, Report, template};
use crate::commands::plugin::author;
use crate::commands::plugin::finding::{Finding, JsonText};
use crate::commands::plugin::running::Runner;
use crate::commands::plugin::source::Source;

/// Adds what there is to say; `text` is the manifest's, for places in it. An action that can be
/// called comes back, so that it is compiled once.
pub(super) async fn check(
    source: &Source,
    text: Option<&JsonText>,
    report: &mut Report,
) -> Result<Option<Runner>> {
    let component = report.component.insert(ComponentReport {
        digest: Digest::of(&source.component),
        bytes: source.component.len(),
        limit_bytes: ClassLimits::of(report.class).component_max_bytes,
        imports: Vec::new(),
        compile_milliseconds: None,
    });
    match component_inspect(&source.component) {
        Ok(inspected) => {
            let declared = &inspected.manifest.capabilities;
            let findings = imports(declared, &inspected.imports, text);
            component.imports = inspected.imports;
            report.findings.extend(findings);
        }
        Err(error) => {
            report.findings.push(refusal(&error, text));
            return Ok(None);
        }
    }
    let sandbox = author::sandbox(None)?;
    let started = Instant::now();
    let plugin = match tokio::task::block_in_place(|| sandbox.load(&source.component)) {
        Ok(plugin) => plugin,
        Err(error) => {
            report.findings.push(refusal(&error, text));
            return Ok(None);
        }
    };
    component.compile_milliseconds = Some(started.elapsed().as_millis());
    match plugin.manifest().world {
        World::Action => Ok(Some(Runner::of(sandbox, plugin)?)),
        World::Template => {
            template::check(&sandbox, &plugin, source.directory.as_deref(), report).await;
            Ok(None)
        }
    }
}

/// What is asked for and cannot be used, or used and not asked for: an interface that is not
/// imported cannot be called.
fn imports(declared: &Capabilities, imports: &[String], text: Option<&JsonText>) -> Vec<Finding> {
    let imported = |name: &str| {
        let prefix = format!("crm:plugin/{name}@");
        imports.iter().any(|import| import.starts_with(&prefix))
    };
    let at = |keys: &[&str]| text.and_then(|text| text.at(keys));
    let mut findings = Vec::new();
    // Reading is for the event's own record too, which needs no import, and mails go without files.
    for (interface, asked, key, can_be_without) in [
        ("records", declared.reads_any(), "reads", true),
        ("secrets", !declared.secrets.is_empty(), "secrets", false),
        ("state", declared.state, "state", false),
        ("attachments", declared.sends_mail(), "email", true),
    ] {
        if imported(interface) && !asked {
            let finding = Finding::warning(
                "capability.missing",
                format!(
                    "the component may call `{interface}`, but the manifest has no `{key}` among \
                     its capabilities: every question will be refused"
                ),
            );
            findings.push(finding.at(at(&["capabilities"])));
        }
        if asked && !imported(interface) && !can_be_without {
            let finding = Finding::warning(
                "capability.unused",
                format!(
                    "the manifest asks for `{key}`, but the component does not import \
                     `{interface}`, so it cannot use it"
                ),
            );
            findings.push(finding.at(at(&["capabilities", key])));
        }
    }
    findings
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
        SandboxError::OverLimit { .. } => ("component.limit", &[]),
        SandboxError::Compile(_) => ("component.compile", &[]),
        SandboxError::Unavailable(_) => ("sandbox", &[]),
    };
    let place = match keys {
        [] => None,
        keys => text.and_then(|text| text.at(keys)),
    };
    Finding::error(code, error.to_string()).at(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_compared_with_what_is_imported() {
        let findings = |capabilities: &str, names: &[&str]| -> Vec<String> {
            let text = JsonText::new("plugin.json", capabilities);
            let declared = serde_json::from_str(capabilities).unwrap();
            let names = names.iter().map(|name| format!("crm:plugin/{name}@1.0.0"));
            let names: Vec<String> = names.collect();
            let found = imports(&declared, &names, Some(&text));
            found
                .iter()
                .map(|finding| format!("{} {}", finding.code, finding.message))
                .collect()
        };
        let reads = r#"{"reads": ["items(sku)"]}"#;
        assert!(findings(reads, &["types", "log"]).is_empty());
        assert!(findings(reads, &["records"]).is_empty());
        let missing = findings("{}", &["records", "secrets", "state"]);
        assert_eq!(missing.len(), 3, "{missing:?}");
        assert!(missing[0].starts_with("capability.missing"), "{missing:?}");
        let unused = findings(r#"{"secrets": ["stripe"], "state": true}"#, &["log"]);
        assert_eq!(unused.len(), 2, "{unused:?}");
        assert!(unused[1].contains("cannot use it"), "{unused:?}");
    }
}
