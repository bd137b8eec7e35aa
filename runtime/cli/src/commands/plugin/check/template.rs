//! A template's model, compiled as for a tenant, and where in its files it is wrong.

use crm_engine::EngineError;
use crm_engine::publish::template_compile;
use crm_model::ModelError;
use crm_sandbox::{Plugin, Sandbox};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Report;
use crate::commands::plugin::finding::{Finding, JsonText, Place};

/// Folders of a template's files are this deep.
const MAX_DEPTH: u32 = 3;
/// Lists of a model, whose members have names in the places of errors.
const LISTS: [&str; 2] = ["modules", "workflows"];

/// Calls the template for its model. `folder` is where its files are, if that is known.
pub(super) async fn check(
    sandbox: &Sandbox,
    plugin: &Arc<Plugin>,
    folder: Option<&Path>,
    report: &mut Report,
) {
    let model = match sandbox.template_model(plugin).await {
        Ok(model) => model,
        Err(failure) => {
            let finding = Finding::error("template.model", failure.to_string());
            report.findings.push(finding);
            return;
        }
    };
    if let Err(error) = template_compile(plugin.manifest(), &model) {
        let place = match (&error, folder) {
            (EngineError::Definition(ModelError { place, .. }), Some(folder)) => {
                place_in(folder, place)
            }
            _ => None,
        };
        let finding = Finding::error("template.model", error.to_string());
        report.findings.push(finding.at(place));
    }
}

/// Where `modules/patients/fields/phone` stands among a folder's files: as far down as it can be
/// followed.
fn place_in(folder: &Path, place: &str) -> Option<Place> {
    let mut segments = place.split('/');
    let list = segments.next().filter(|list| LISTS.contains(list))?;
    let slug = segments.next()?;
    let inside: Vec<&str> = segments.collect();
    files(folder, MAX_DEPTH).into_iter().find_map(|path| {
        // Modules and workflows may have the same names.
        let is_there = path.parent().is_some_and(|parent| parent.ends_with(list));
        let text = is_there.then(|| std::fs::read_to_string(&path).ok())??;
        let value: Value = serde_json::from_str(&text).ok()?;
        if value.get("slug")?.as_str()? != slug {
            return None;
        }
        let text = JsonText::new(path.display().to_string(), &text);
        let keys = keys(&value, &inside);
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        text.at(&keys)
    })
}

/// Names to keys: a list's member goes by its number there.
fn keys(value: &Value, names: &[&str]) -> Vec<String> {
    let mut keys = Vec::new();
    let mut value = value;
    for name in names {
        let key = match value {
            Value::Array(members) => {
                let is_named = |member: &Value| {
                    let named = ["key", "slug", "value"].iter();
                    named.filter_map(|key| member.get(key)).any(|it| it == name)
                };
                let position = members.iter().position(is_named);
                position.map_or_else(|| (*name).to_owned(), |position| position.to_string())
            }
            _ => (*name).to_owned(),
        };
        let inside = match value {
            Value::Array(members) => key.parse::<usize>().ok().and_then(|it| members.get(it)),
            value => value.get(&key),
        };
        match inside {
            Some(inside) => value = inside,
            None => break,
        }
        keys.push(key);
    }
    keys
}

fn files(folder: &Path, depth: u32) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut found = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() && depth > 1 && !path.ends_with("target") {
            found.extend(files(&path, depth - 1));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_in_the_file_of_its_module() {
        let folder = tempfile::tempdir().unwrap();
        for list in ["modules", "workflows"] {
            let list = folder.path().join(list);
            std::fs::create_dir(&list).unwrap();
            let text = "{\n  \"slug\": \"patients\",\n  \"fields\": [\n    {\"key\": \"name\"},\n    \
                        {\"key\": \"phone\"}\n  ]\n}\n";
            std::fs::write(list.join("p.json"), text).unwrap();
        }
        let line = |place: &str| {
            let place = place_in(folder.path(), place)?;
            let json = serde_json::to_value(&place).unwrap();
            let file = json["file"].as_str().unwrap().to_owned();
            Some((
                file.ends_with("modules/p.json"),
                json["line"].as_u64().unwrap(),
            ))
        };
        assert_eq!(line("modules/patients/fields/phone"), Some((true, 5)));
        assert_eq!(
            line("modules/patients/fields/phone/unique"),
            Some((true, 5))
        );
        assert_eq!(line("modules/patients"), Some((true, 1)));
        assert_eq!(line("workflows/patients/fields/name"), Some((false, 4)));
        assert_eq!(line("modules/doctors"), None);
        assert_eq!(line("the model"), None);
    }
}
