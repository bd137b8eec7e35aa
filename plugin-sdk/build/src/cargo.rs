//! The nested cargo. It runs inside build scripts, so it must not inherit what the outer cargo
//! told this build script about itself: flags of another target, a wrapper like clippy's, a
//! jobserver whose pipes are closed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::BuildError;
use crate::{Request, TARGET, read};

const PROFILE: &str = "guest";

/// The profile of a workspace that has none of its own, as this repository's has none. With "s"
/// guests are a twentieth to a sixth smaller, and take a third longer.
const PROFILE_SETTINGS: [&str; 6] = [
    "inherits=\"release\"",
    "opt-level=2",
    "lto=true",
    "codegen-units=1",
    "panic=\"abort\"",
    "strip=true",
];

/// Flags for guests. The first is how the `getrandom` crate is told that there is no source of
/// randomness on this target but one that the guest brings itself. The second keeps a fresh
/// instance's memory small: it is cleared after each call. The third gives an instance a heap to
/// begin with, as much as the allocator asks for, because growing costs more than clearing.
const RUSTFLAGS: [&str; 6] = [
    "--cfg",
    "getrandom_backend=\"custom\"",
    "-C",
    "link-arg=-zstack-size=131072",
    "-C",
    "link-arg=--initial-heap=65536",
];

/// Between flags in `CARGO_ENCODED_RUSTFLAGS`.
const FLAG_SEPARATOR: &str = "\u{1f}";

/// Builds all guests at once and says where their core modules are.
pub(crate) fn build(request: &Request) -> Result<Vec<PathBuf>, BuildError> {
    check_target(request)?;
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = scrubbed(&program);
    command
        .args(["build", "--lib", "--profile", PROFILE, "--target", TARGET])
        .arg("--manifest-path")
        .arg(request.workspace.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&request.target_dir)
        .current_dir(&request.workspace)
        .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join(FLAG_SEPARATOR))
        .stdin(Stdio::null())
        // A build script's standard output is for cargo's instructions.
        .stdout(Stdio::null());
    if request.locked && request.workspace.join("Cargo.lock").exists() {
        command.arg("--locked");
    }
    if !has_profile(&read(&request.workspace.join("Cargo.toml"))?) {
        for setting in PROFILE_SETTINGS {
            command.arg("--config");
            command.arg(format!("profile.{PROFILE}.{setting}"));
        }
    }
    for guest in &request.guests {
        command.args(["--package", &guest.package]);
    }
    let status = command.status().map_err(|source| BuildError::NotRun {
        program: program.into(),
        source,
    })?;
    let packages = || request.guests.iter().map(|guest| guest.package.as_str());
    if !status.success() {
        let packages = packages().collect::<Vec<_>>().join(", ");
        return Err(BuildError::CargoFailed { packages });
    }
    let directory = request.target_dir.join(TARGET).join(PROFILE);
    Ok(packages()
        .map(|package| directory.join(module_file(package)))
        .collect())
}

fn has_profile(manifest: &str) -> bool {
    let header = format!("[profile.{PROFILE}]");
    manifest.lines().any(|line| line.trim() == header)
}

/// The directory of the `Cargo.toml` that cargo takes for the root above `directory`.
pub(crate) fn workspace_of(directory: &Path) -> Result<PathBuf, BuildError> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = scrubbed(&program)
        .args(["locate-project", "--workspace", "--message-format", "plain"])
        .current_dir(directory)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| BuildError::NotRun {
            program: program.into(),
            source,
        })?;
    let manifest = String::from_utf8_lossy(&output.stdout);
    match Path::new(manifest.trim()).parent() {
        Some(root) if output.status.success() => Ok(root.to_owned()),
        _ => Err(BuildError::NoWorkspace {
            directory: directory.to_owned(),
        }),
    }
}

fn module_file(package: &str) -> String {
    format!("{}.wasm", package.replace('-', "_"))
}

/// Asks the compiler, because cargo's own message about a missing target is about `core`.
fn check_target(request: &Request) -> Result<(), BuildError> {
    let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = scrubbed(&program)
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(&request.workspace)
        .output()
        .map_err(|source| BuildError::NotRun {
            program: program.into(),
            source,
        })?;
    let directory = String::from_utf8_lossy(&output.stdout);
    let directory = directory.trim();
    if output.status.success() && !directory.is_empty() && PathBuf::from(directory).is_dir() {
        return Ok(());
    }
    Err(BuildError::TargetMissing { target: TARGET })
}

fn scrubbed(program: &OsStr) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_outer_cargos) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether a variable speaks of the outer build. Where cargo finds its registries, its network and
/// its toolchain stays.
fn is_outer_cargos(name: &str) -> bool {
    const NAMES: [&str; 17] = [
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_INCREMENTAL",
        "CARGO_MAKEFLAGS",
        "DEBUG",
        "HOST",
        "LLVM_PROFILE_FILE",
        "MAKEFLAGS",
        "MFLAGS",
        "NUM_JOBS",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTDOCFLAGS",
        "RUSTFLAGS",
        "TARGET",
    ];
    const PREFIXES: [&str; 9] = [
        "CARGO_BIN_",
        "CARGO_BUILD_",
        "CARGO_CFG_",
        "CARGO_CRATE_",
        "CARGO_FEATURE_",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The `name` of a `Cargo.toml`'s `[package]`.
pub(crate) fn package_name(manifest: &str) -> Option<&str> {
    let mut lines = manifest
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[package]")
        .skip(1);
    let value = lines
        .by_ref()
        .take_while(|line| !line.starts_with('['))
        .find_map(|line| line.strip_prefix("name")?.trim_start().strip_prefix('='))?;
    let name = value.trim_start().strip_prefix('"')?.split('"').next()?;
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_build_is_forgotten_and_the_machine_is_not() {
        for name in [
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTFLAGS",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_MAKEFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_CFG_TARGET_OS",
            "TARGET",
        ] {
            assert!(is_outer_cargos(name), "{name}");
        }
        for name in [
            "CARGO",
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "RUSTC",
            "RUSTUP_TOOLCHAIN",
            "PATH",
        ] {
            assert!(!is_outer_cargos(name), "{name}");
        }
    }

    #[test]
    fn a_package_has_a_name() {
        let text = "# a crate\n[package]\nversion = \"1\"\nname = \"field-set\" # so\n[lib]\n";
        assert_eq!(package_name(text), Some("field-set"));
        assert_eq!(package_name("[package]\nname=\"a\""), Some("a"));
        assert_eq!(package_name("[package]\n[lib]\nname = \"a\""), None);
        assert_eq!(package_name("[workspace]\nmembers = []"), None);
        assert_eq!(module_file("field-set"), "field_set.wasm");
    }

    #[test]
    fn a_workspace_may_have_the_profile_of_its_own() {
        assert!(has_profile(
            "[profile.release]\nlto = true\n[profile.guest]\n"
        ));
        assert!(!has_profile("[profile.release]\n# [profile.guest]\n"));
    }
}
