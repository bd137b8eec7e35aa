//! What a component says about itself, read without compiling or running any of it.

use crm_model::manifest::{GuestClass, MANIFEST_SECTION, Manifest, World};
use serde::{Deserialize, Serialize};
use wasmparser::{ComponentExternalKind, ComponentTypeRef, Encoding, Parser, Payload, TypeBounds};

use crate::class::ClassLimits;
use crate::contract;
use crate::digest::Digest;
use crate::error::SandboxError;
use crate::shape::shape_check;

/// A component that keeps to the contract, as far as can be told without running it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspected {
    pub manifest: Manifest,
    pub digest: Digest,
    /// The interfaces that it imports, in its own order: `crm:plugin/log@1.0.0`.
    pub imports: Vec<String>,
}

/// Reads a component's manifest and checks its imports and exports against its world.
///
/// Takes time in proportion to the component's size, a few milliseconds for a small one.
///
/// # Errors
/// Whatever is wrong with it; [`SandboxError`] has a variant for each.
pub fn component_inspect(bytes: &[u8]) -> Result<Inspected, SandboxError> {
    // No class allows more.
    size_check(bytes, GuestClass::Interpreter)?;
    let surface = surface_read(bytes)?;
    let manifest = manifest_decode(&surface.manifests)?;
    let limits = ClassLimits::of(manifest.class);
    size_check(bytes, manifest.class)?;
    shape_check(bytes, &limits)?;
    manifest.check().map_err(SandboxError::Manifest)?;
    world_check(&surface, manifest.world)?;
    imports_check(&surface, manifest.world)?;
    export_check(&surface, manifest.world)?;
    let wasi = surface.imports.iter().any(|name| contract::is_wasi(name));
    contract::check(manifest.world, bytes, wasi)?;
    Ok(Inspected {
        manifest,
        digest: Digest::of(bytes),
        imports: surface.imports,
    })
}

fn size_check(bytes: &[u8], class: GuestClass) -> Result<(), SandboxError> {
    let limit_bytes = ClassLimits::of(class).component_max_bytes;
    let size_bytes = bytes.len();
    if size_bytes <= limit_bytes {
        return Ok(());
    }
    Err(SandboxError::TooBig {
        class,
        size_bytes,
        limit_bytes,
    })
}

/// The outermost layer of a component.
#[derive(Default)]
struct Surface<'a> {
    manifests: Vec<&'a [u8]>,
    imports: Vec<String>,
    functions: Vec<String>,
}

fn not_a_component(reason: impl ToString) -> SandboxError {
    SandboxError::NotAComponent(reason.to_string())
}

/// Reads the sections of the component itself and passes over those of what is nested in it,
/// where anybody may have left a manifest.
fn surface_read(bytes: &[u8]) -> Result<Surface<'_>, SandboxError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(not_a_component(
            "it does not start as WebAssembly does (compiled code is never accepted)",
        ));
    }
    let mut surface = Surface::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(not_a_component)? {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } if depth == 0 => {
                return Err(not_a_component(
                    "it is a core module, not wrapped into a component",
                ));
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => {
                surface.manifests.push(section.data());
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import.map_err(not_a_component)?;
                    // A world's `use` shows as an import of a type that is an alias, which gives
                    // the component nothing.
                    if !matches!(import.ty, ComponentTypeRef::Type(TypeBounds::Eq(_))) {
                        surface.imports.push(import.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export.map_err(not_a_component)?;
                    if export.kind == ComponentExternalKind::Func {
                        surface.functions.push(export.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    Ok(surface)
}

fn manifest_decode(sections: &[&[u8]]) -> Result<Manifest, SandboxError> {
    match sections {
        [] => Err(SandboxError::Manifest(format!(
            "there is no section `{MANIFEST_SECTION}`"
        ))),
        [section] => serde_json::from_slice(section)
            .map_err(|error| SandboxError::Manifest(error.to_string())),
        _ => Err(SandboxError::Manifest(format!(
            "there are {} sections `{MANIFEST_SECTION}`",
            sections.len()
        ))),
    }
}

fn imports_check(surface: &Surface<'_>, world: World) -> Result<(), SandboxError> {
    let allowed = contract::imports_of(world);
    match surface
        .imports
        .iter()
        .find(|name| !allowed.contains(&name.as_str()) && !contract::is_wasi(name))
    {
        None => Ok(()),
        Some(name) => Err(SandboxError::ForbiddenImport {
            name: name.clone(),
            world,
            allowed: allowed.join(", "),
        }),
    }
}

impl Surface<'_> {
    fn exports_that_of(&self, world: World) -> bool {
        self.functions
            .iter()
            .any(|name| name == contract::export_of(world))
    }
}

/// Before the imports, which would be measured against the wrong world.
fn world_check(surface: &Surface<'_>, world: World) -> Result<(), SandboxError> {
    let other = match world {
        World::Action => World::Template,
        World::Template => World::Action,
    };
    if surface.exports_that_of(other) && !surface.exports_that_of(world) {
        return Err(SandboxError::WorldMismatch {
            claimed: world,
            found: other,
        });
    }
    Ok(())
}

fn export_check(surface: &Surface<'_>, world: World) -> Result<(), SandboxError> {
    if surface.exports_that_of(world) {
        Ok(())
    } else {
        Err(SandboxError::MissingExport {
            world,
            export: contract::export_of(world),
        })
    }
}
