//! A manifest by itself.

use crm_model::configuration::schema_check;
use crm_model::{Capabilities, Manifest};

use super::Report;
use crate::commands::plugin::finding::{Finding, JsonText};

pub(super) fn check(text: &JsonText, report: &mut Report) {
    let manifest: Manifest = match serde_json::from_str(&text.text) {
        Ok(manifest) => manifest,
        Err(error) => {
            let finding = text
                .broken("manifest", &error)
                .help("plugin-sdk/README.md of CRM Pro's source shows a whole manifest");
            report.findings.push(finding);
            return;
        }
    };
    report.name = Some(format!("{} {}", manifest.name, manifest.version));
    report.world = Some(manifest.world.name());
    report.class = manifest.class;
    if manifest.title.trim().is_empty() {
        let finding = Finding::error("manifest.title", "people see the title; it is empty");
        report.findings.push(finding.at(text.at(&["title"])));
    }
    if manifest.description.trim().is_empty() {
        let finding = Finding::warning(
            "manifest.description",
            "nothing tells the people who install it what it does",
        );
        report.findings.push(finding.at(text.at(&["description"])));
    }
    for (name, schema) in manifest.schemas() {
        if let Err(error) = schema_check(schema) {
            let finding = Finding::error("manifest.schema", format!("`{name}` {error}"));
            report.findings.push(finding.at(text.at(&[name])));
        }
    }
    capabilities(&manifest.capabilities, text, report);
}

/// What is asked for and gives nothing.
fn capabilities(capabilities: &Capabilities, text: &JsonText, report: &mut Report) {
    for (module, right) in &capabilities.writes {
        use crm_model::capability::WriteOperation::{Create, Update};
        let sets_fields = [Create, Update]
            .iter()
            .any(|operation| right.operations.contains(operation));
        if sets_fields && right.fields.is_empty() {
            let finding = Finding::warning(
                "capability.no_fields",
                format!("`{module}` may be written, but none of its fields"),
            );
            let place = text.at(&["capabilities", "writes"]);
            report.findings.push(finding.at(place));
        }
    }
}
