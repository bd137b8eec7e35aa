//! Builds guests into components. For those in Rust that is one nested `cargo build` for all of
//! them, each core module wrapped with `wit-component`; for others it is their language's own
//! toolchain. Imports are checked against the contract, and `plugin.json` is added as the
//! `crm:manifest` section. Used by build scripts (see [`embed`]) and by the `crm` command (see
//! [`crate_build`], [`javascript_build`], [`python_build`]). It never runs a guest.

mod alone;
mod cargo;
mod component;
mod embed;
mod error;
mod reach;
mod scripted;
mod stubs;
mod world;

use std::path::{Path, PathBuf};

pub use alone::crate_build;
pub use component::{manifest_text, with_manifest};
pub use embed::embed;
pub use error::BuildError;
pub use scripted::{javascript_build, python_build};

/// Name of the component's custom section that holds `plugin.json`.
pub const MANIFEST_SECTION: &str = "crm:manifest";
/// The manifest's file, beside a guest's `Cargo.toml`.
pub const MANIFEST_FILE: &str = "plugin.json";
/// The target that guests are built for: no WASI, so nothing to import but the contract.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// A crate to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// The package's name in its `Cargo.toml`.
    pub package: String,
    /// Where its `Cargo.toml` and its `plugin.json` are.
    pub directory: PathBuf,
}

/// What to build, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The directory of the workspace's `Cargo.toml`. Its profile `guest` counts, if it has one.
    pub workspace: PathBuf,
    /// Members of that workspace.
    pub guests: Vec<Guest>,
    /// For the nested cargo; not the directory that an outer cargo holds, or both wait forever.
    pub target_dir: PathBuf,
    /// Whether the workspace's lock file has to stay as it is, where there is one.
    pub locked: bool,
}

/// A finished component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The package it was built from.
    pub package: String,
    /// The component.
    pub component: Vec<u8>,
    /// Its manifest, as it stands in the component.
    pub manifest: String,
}

impl Guest {
    /// The guest in a directory, its package's name read from `Cargo.toml`.
    ///
    /// # Errors
    /// When there is no `Cargo.toml` with a package's name.
    pub fn in_directory(directory: &Path) -> Result<Self, BuildError> {
        let manifest = directory.join("Cargo.toml");
        let text = read(&manifest)?;
        let package = cargo::package_name(&text)
            .ok_or(BuildError::NoPackageName { manifest })?
            .to_owned();
        Ok(Self {
            package,
            directory: directory.to_owned(),
        })
    }
}

/// Builds all guests of a request, in its order.
///
/// # Errors
/// One sentence about what is missing or wrong; cargo's own messages go to standard error.
pub fn component_build(request: &Request) -> Result<Vec<Built>, BuildError> {
    if request.guests.is_empty() {
        return Ok(Vec::new());
    }
    let modules = cargo::build(request)?;
    request
        .guests
        .iter()
        .zip(modules)
        .map(|(guest, path)| {
            let module = std::fs::read(&path).map_err(|source| BuildError::Unreadable {
                path: path.clone(),
                source,
            })?;
            let manifest = read(&guest.directory.join(MANIFEST_FILE))?;
            let component = component::wrap(&guest.package, &module, &manifest)?;
            Ok(Built {
                package: guest.package.clone(),
                component,
                manifest,
            })
        })
        .collect()
}

fn read(path: &Path) -> Result<String, BuildError> {
    std::fs::read_to_string(path).map_err(|source| BuildError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

/// Writes a file in a folder that may not be there yet.
fn write(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let written = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(path, bytes));
    written.map_err(|source| BuildError::Unwritable {
        path: path.to_owned(),
        source,
    })
}
