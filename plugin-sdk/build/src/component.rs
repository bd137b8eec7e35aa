//! From a core module to a component that keeps the contract: wrapped, validated, its imports
//! looked at once more from outside, its manifest added.

use serde_json::Value;
use std::borrow::Cow;
use wasm_encoder::{ComponentSection, CustomSection};
use wasmparser::{ComponentTypeRef, Parser, Payload};
use wit_component::ComponentEncoder;

use crate::MANIFEST_SECTION;
use crate::error::BuildError;
use crate::stubs;

/// What every import of the contract starts with.
pub(crate) const CONTRACT: &str = "crm:plugin/";

/// Makes a component of a core module.
pub(crate) fn wrap(package: &str, module: &[u8], manifest: &str) -> Result<Vec<u8>, BuildError> {
    let not_a_component = |reason: String| BuildError::NotAComponent {
        package: package.to_owned(),
        reason,
    };
    manifest_world(package, manifest)?;
    let module = stubs::without_javascript(package, module)?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| not_a_component(format!("{error:#}")))?;
    finish(package, component, manifest)
}

/// Looks at a component from outside and adds its manifest.
pub(crate) fn finish(
    package: &str,
    mut component: Vec<u8>,
    manifest: &str,
) -> Result<Vec<u8>, BuildError> {
    check_outside(package, &component, manifest)?;
    let section = CustomSection {
        name: MANIFEST_SECTION.into(),
        data: Cow::Borrowed(manifest.as_bytes()),
    };
    section.append_to_component(&mut component);
    Ok(component)
}

/// Looks at the imports and exports of a component of that manifest's world.
pub(crate) fn check_outside(
    package: &str,
    component: &[u8],
    manifest: &str,
) -> Result<(), BuildError> {
    let world = manifest_world(package, manifest)?;
    let outside = Outside::of(component).map_err(|error| BuildError::NotAComponent {
        package: package.to_owned(),
        reason: error.to_string(),
    })?;
    outside.check(package, &world)
}

/// The text of a component's manifest, its first if there are several; none where there is none,
/// or it is no component.
pub fn manifest_text(component: &[u8]) -> Option<String> {
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload.ok()? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if depth == 0 && section.name() == MANIFEST_SECTION => {
                return String::from_utf8(section.data().to_vec()).ok();
            }
            _ => {}
        }
    }
    None
}

/// The same component with another manifest; none where it has none, or is no component.
pub fn with_manifest(component: &[u8], manifest: &str) -> Option<Vec<u8>> {
    let mut depth = 0_usize;
    let mut end = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.ok()?;
        match &payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if depth == 0 && section.name() == MANIFEST_SECTION => {
                // What stands before the section's contents is its number and size.
                let (before, after) =
                    (component.get(..end)?, component.get(section.range().end..)?);
                let mut other = [before, after].concat();
                let section = CustomSection {
                    name: MANIFEST_SECTION.into(),
                    data: Cow::Borrowed(manifest.as_bytes()),
                };
                section.append_to_component(&mut other);
                return Some(other);
            }
            _ => {}
        }
        end = match payload {
            Payload::Version { range, .. } => range.end,
            Payload::End(offset) => offset,
            other => other.as_section().map_or(end, |(_, range)| range.end),
        };
    }
    None
}

/// The world that a manifest claims. The rest of a manifest is the host's to judge.
pub(crate) fn manifest_world(package: &str, manifest: &str) -> Result<String, BuildError> {
    let bad = |reason: String| BuildError::BadManifest {
        package: package.to_owned(),
        reason,
    };
    let value: Value = serde_json::from_str(manifest).map_err(|error| bad(error.to_string()))?;
    let world = value.get("world").and_then(Value::as_str);
    Ok(world
        .ok_or_else(|| bad("it names no `world`".to_owned()))?
        .to_owned())
}

/// Names that a component imports and exports.
struct Outside {
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Outside {
    fn of(component: &[u8]) -> wasmparser::Result<Self> {
        let mut outside = Self {
            imports: Vec::new(),
            exports: Vec::new(),
        };
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(component) {
            match payload? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                // The last end is the component's own.
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        let import = import?;
                        // Types that a world uses are imported by name, but nobody provides them.
                        if !matches!(import.ty, ComponentTypeRef::Type(_)) {
                            outside.imports.push(import.name.name.to_owned());
                        }
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        outside.exports.push(export?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(outside)
    }

    fn check(&self, package: &str, world: &str) -> Result<(), BuildError> {
        if let Some(name) = self.imports.iter().find(|name| !name.starts_with(CONTRACT)) {
            return Err(BuildError::ForeignImport {
                package: package.to_owned(),
                module: "its host".to_owned(),
                name: name.clone(),
            });
        }
        let export = match world {
            "action" => "run",
            "template" => "model",
            // A world that this version does not know is the host's to judge.
            _ => return Ok(()),
        };
        if self.exports.iter().any(|name| name == export) {
            return Ok(());
        }
        Err(BuildError::MissingExport {
            package: package.to_owned(),
            world: world.to_owned(),
            export,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_its_world() {
        assert_eq!(
            manifest_world("guest", r#"{"world":"action"}"#).unwrap(),
            "action"
        );
        for manifest in ["", "{", "{}", r#"{"world":1}"#] {
            let error = manifest_world("guest", manifest).unwrap_err();
            assert!(matches!(error, BuildError::BadManifest { .. }), "{error}");
        }
    }

    #[test]
    fn a_manifest_is_read_from_the_component_itself_alone() {
        let section = |text: &'static str| CustomSection {
            name: MANIFEST_SECTION.into(),
            data: Cow::Borrowed(text.as_bytes()),
        };
        let mut module = wasm_encoder::Module::new();
        module.section(&section("the module's"));
        let mut component = wasm_encoder::Component::new();
        component.section(&wasm_encoder::ModuleSection(&module));
        assert_eq!(manifest_text(&component.clone().finish()), None);
        component.section(&section("its own"));
        let component = component.finish();
        assert_eq!(manifest_text(&component).unwrap(), "its own");
        let other = with_manifest(&component, "another").unwrap();
        assert_eq!(manifest_text(&other).unwrap(), "another");
        assert_eq!(with_manifest(&other, "its own").unwrap(), component);
        assert_eq!(with_manifest(b"something else", "x"), None);
        assert_eq!(manifest_text(b"something else"), None);
    }

    #[test]
    fn only_the_contract_may_be_imported_and_its_export_is_there() {
        let outside = |imports: &[&str], exports: &[&str]| Outside {
            imports: imports.iter().map(|name| (*name).to_owned()).collect(),
            exports: exports.iter().map(|name| (*name).to_owned()).collect(),
        };
        let log = "crm:plugin/log@1.0.0";
        assert!(outside(&[log], &["run"]).check("guest", "action").is_ok());
        assert!(outside(&[], &["model"]).check("guest", "template").is_ok());
        assert!(outside(&[], &["later"]).check("guest", "widget").is_ok());

        let error = outside(&[log, "wasi:clocks/wall-clock@0.2.3"], &["run"]);
        let error = error.check("guest", "action").unwrap_err().to_string();
        assert!(error.contains("wasi:clocks/wall-clock@0.2.3"), "{error}");
        let error = outside(&[], &["run"])
            .check("guest", "template")
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "guest exports no `model`, which its world `template` asks for"
        );
    }

    #[test]
    fn a_module_without_a_component_type_is_no_component() {
        let empty = wasm_encoder::Module::new().finish();
        let error = wrap("guest", &empty, r#"{"world":"action"}"#).unwrap_err();
        assert!(error.to_string().starts_with("guest "), "{error}");
    }
}
