//! A crate that stands by itself: an author's, in a folder or a workspace of their own.

use std::path::Path;

use crate::error::BuildError;
use crate::{Built, Guest, Request, cargo, component_build};

/// Builds the crate in a directory, in the `target` directory of its own workspace. Its lock file
/// follows its `Cargo.toml`, as with `cargo build`.
///
/// # Errors
/// As for [`component_build`].
pub fn crate_build(directory: &Path) -> Result<Built, BuildError> {
    let guest = Guest::in_directory(directory)?;
    let package = guest.package.clone();
    let workspace = cargo::workspace_of(directory)?;
    let built = component_build(&Request {
        guests: vec![guest],
        target_dir: workspace.join("target"),
        workspace,
        locked: false,
    })?;
    let first = built.into_iter().next();
    first.ok_or(BuildError::CargoFailed { packages: package })
}
