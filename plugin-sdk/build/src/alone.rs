//! A crate that stands by itself: an author's, in a folder or a workspace of their own.

use std::path::{Path, PathBuf};

use crate::error::BuildError;
use crate::{Built, Guest, Request, cargo, component_build};

/// Builds the crate in a directory; cargo works where `CARGO_TARGET_DIR` says, or in `target` of the
/// crate's workspace. Its lock file follows its `Cargo.toml`, as with `cargo build`.
///
/// # Errors
/// As for [`component_build`].
pub fn crate_build(directory: &Path) -> Result<Built, BuildError> {
    let guest = Guest::in_directory(directory)?;
    let package = guest.package.clone();
    let workspace = cargo::workspace_of(directory)?;
    let built = component_build(&Request {
        guests: vec![guest],
        target_dir: target_dir(&workspace)?,
        workspace,
        locked: false,
    })?;
    let first = built.into_iter().next();
    first.ok_or(BuildError::CargoFailed { packages: package })
}

fn target_dir(workspace: &Path) -> Result<PathBuf, BuildError> {
    let Some(named) = std::env::var_os("CARGO_TARGET_DIR").filter(|named| !named.is_empty()) else {
        return Ok(workspace.join("target"));
    };
    let named = PathBuf::from(named);
    std::path::absolute(&named).map_err(|source| BuildError::Unreadable {
        path: named,
        source,
    })
}
