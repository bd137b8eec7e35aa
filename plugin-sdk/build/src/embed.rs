//! For build scripts: builds guests beside the outer build and leaves them where
//! `include_bytes!` finds them.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::error::BuildError;
use crate::{Guest, Request, component_build, write};

/// What all guests are made of, beside their own directories.
const SHARED: [&str; 6] = [
    "Cargo.lock",
    "Cargo.toml",
    "plugin-sdk/actions",
    "plugin-sdk/expression",
    "plugin-sdk/rust",
    "plugin-sdk/wit",
];

/// Builds guests, given by a name and a path relative to the workspace's root, and writes
/// `components.rs` into `OUT_DIR`:
///
/// ```text
/// pub static COMPONENTS: &[(&str, &[u8])] = &[("field-set", include_bytes!(…)), …];
/// ```
///
/// which the crate includes with `include!(concat!(env!("OUT_DIR"), "/components.rs"));`. Debug,
/// release and clippy builds share one build of the guests, in `<target>/guests`. When something
/// is wrong, cargo is told in a sentence and the build script ends with status 1.
pub fn embed(guests: &[(&str, &str)]) {
    if let Err(error) = try_embed(guests) {
        for line in error.to_string().lines() {
            println!("cargo::error={line}");
        }
        std::process::exit(1);
    }
}

fn try_embed(guests: &[(&str, &str)]) -> Result<(), BuildError> {
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let workspace = workspace_above(Path::new(&variable("CARGO_MANIFEST_DIR")?))?;
    let paths = guests.iter().map(|(_, path)| *path).chain(SHARED);
    for path in paths
        .map(|path| workspace.join(path))
        .filter(|path| path.exists())
    {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let directories = guests.iter().map(|(_, path)| workspace.join(path));
    let request = Request {
        guests: directories
            .map(|path| Guest::in_directory(&path))
            .collect::<Result<_, _>>()?,
        target_dir: guests_target_dir(&out_dir, &variable("TARGET")?),
        workspace,
        // The outer cargo has resolved the dependencies; a second opinion would change its file.
        locked: true,
    };
    let built = component_build(&request)?;
    let mut source = "/// Name and bytes of each component.\n".to_owned();
    source.push_str("pub static COMPONENTS: &[(&str, &[u8])] = &[\n");
    for ((name, _), built) in guests.iter().zip(built) {
        write(&out_dir.join(format!("{name}.wasm")), &built.component)?;
        let file = format!("/{name}.wasm");
        // Writing to a String does not fail.
        let _ = writeln!(
            source,
            "    ({name:?}, include_bytes!(concat!(env!(\"OUT_DIR\"), {file:?}))),"
        );
    }
    source.push_str("];\n");
    write(&out_dir.join("components.rs"), source.as_bytes())
}

fn variable(name: &'static str) -> Result<String, BuildError> {
    std::env::var(name).map_err(|_| BuildError::NoBuildScript { variable: name })
}

fn workspace_above(directory: &Path) -> Result<PathBuf, BuildError> {
    directory
        .ancestors()
        .find(|ancestor| {
            std::fs::read_to_string(ancestor.join("Cargo.toml"))
                .is_ok_and(|text| text.lines().any(|line| line.trim() == "[workspace]"))
        })
        .map(Path::to_owned)
        .ok_or_else(|| BuildError::NoWorkspace {
            directory: directory.to_owned(),
        })
}

/// `OUT_DIR` is `<target>/<profile>/build/<package>/out`, with `<target>/<triple>/<profile>` when
/// cargo was given a `--target`. What guests become does not depend on either.
fn guests_target_dir(out_dir: &Path, triple: &str) -> PathBuf {
    let build = out_dir
        .ancestors()
        .find(|ancestor| ancestor.ends_with("build"));
    let target = build
        .and_then(Path::parent)
        .and_then(Path::parent)
        .map(|above| {
            if above.ends_with(triple) {
                above.parent().unwrap_or(above)
            } else {
                above
            }
        });
    target.unwrap_or(out_dir).join("guests")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_profiles_and_triples_share_the_guests() {
        let triple = "x86_64-unknown-linux-gnu";
        for out_dir in [
            "/w/target/debug/build/host-0123/out",
            "/w/target/release/build/host-4567/out",
            "/w/target/x86_64-unknown-linux-gnu/release/build/host-89ab/out",
            "/w/target/debug/build/host/0123/out",
        ] {
            let directory = guests_target_dir(Path::new(out_dir), triple);
            assert_eq!(directory, Path::new("/w/target/guests"), "{out_dir}");
        }
    }

    #[test]
    fn the_workspace_is_found_from_below() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = workspace_above(here).unwrap();
        assert!(workspace.join("Cargo.toml").is_file());
        assert!(here.starts_with(workspace) && !here.join("plugin.json").exists());
    }
}
