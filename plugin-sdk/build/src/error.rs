//! Why there is no component, in sentences that say what to do.

use std::path::PathBuf;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(
        "the target {target} is not installed: run `rustup target add {target}` (without rustup, \
         install your distribution's Rust standard library for it)"
    )]
    TargetMissing { target: &'static str },
    #[error("`{program}` cannot be run: {source}")]
    NotRun {
        program: PathBuf,
        source: std::io::Error,
    },
    #[error("cargo could not build {packages}; its messages stand above")]
    CargoFailed { packages: String },
    #[error("{tool} is missing: run `{get}` in the plugin's folder")]
    ToolMissing {
        tool: &'static str,
        get: &'static str,
    },
    #[error("{tool} could not make a component; its messages stand above")]
    ToolFailed { tool: &'static str },
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} cannot be written: {source}", path.display())]
    Unwritable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} names no package", manifest.display())]
    NoPackageName { manifest: PathBuf },
    #[error("no workspace above {}", directory.display())]
    NoWorkspace { directory: PathBuf },
    #[error("this is not a build script: {variable} is not set")]
    NoBuildScript { variable: &'static str },
    #[error("{package}: plugin.json is not a manifest: {reason}")]
    BadManifest { package: String, reason: String },
    #[error("{package} imports `{name}` from `{module}`, which the contract does not have")]
    ForeignImport {
        package: String,
        module: String,
        name: String,
    },
    #[error("{package} exports no `{export}`, which its world `{world}` asks for")]
    MissingExport {
        package: String,
        world: String,
        export: &'static str,
    },
    #[error("{package} cannot be made a component: {reason}")]
    NotAComponent { package: String, reason: String },
}
