//! What an author names on the command line: a plugin's folder, which is built first, or a
//! component as it is.

use anyhow::{Context, Result, bail};
use crm_plugin_build::{
    BuildError, Built, MANIFEST_FILE, TARGET, crate_build, javascript_build, python_build,
};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::say;

type Build = fn(&Path) -> Result<Built, BuildError>;

/// What is there in a plugin's folder, and how that is built.
const LANGUAGES: [(&str, Build); 3] = [
    ("Cargo.toml", crate_build),
    ("package.json", javascript_build),
    ("app.py", python_build),
];

/// A component, and where it comes from.
pub(crate) struct Source {
    /// The component's file.
    pub(crate) path: PathBuf,
    pub(crate) component: Vec<u8>,
    /// The plugin's folder, if that is what was named.
    pub(crate) directory: Option<PathBuf>,
}

impl Source {
    /// Reads a component, or builds the folder's.
    ///
    /// # Errors
    /// A sentence; what the compiler has to say stands above it, with file and line.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Self::build(path);
        }
        let component =
            std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            component,
            directory: None,
        })
    }

    /// Builds the component of a folder and leaves it in `target/<name>.wasm` there.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub(crate) fn build(directory: &Path) -> Result<Self> {
        let is_there = |file: &str| directory.join(file).is_file();
        let language = LANGUAGES.iter().find(|(file, _)| is_there(file));
        let (Some((_, build)), true) = (language, is_there(MANIFEST_FILE)) else {
            let files = LANGUAGES.map(|(file, _)| file).join(", ");
            bail!(
                "{} is no plugin's folder: it has no {MANIFEST_FILE}, or none of {files}; `crm \
                 plugin new` makes one",
                directory.display()
            );
        };
        let built = match build(directory) {
            Err(BuildError::TargetMissing { .. }) => {
                add_target(directory)?;
                build(directory)
            }
            built => built,
        }?;
        let path = component_path(directory, &built);
        write(&path, &built.component)?;
        Ok(Self {
            path,
            component: built.component,
            directory: Some(directory.to_owned()),
        })
    }
}

fn component_path(directory: &Path, built: &Built) -> PathBuf {
    let manifest: Option<serde_json::Value> = serde_json::from_str(&built.manifest).ok();
    let name = manifest
        .as_ref()
        .and_then(|manifest| manifest.get("name")?.as_str())
        // A name is no path; what else is wrong with it is for the check to say.
        .filter(|name| name.parse::<crm_model::PluginName>().is_ok())
        .unwrap_or(&built.package);
    directory.join("target").join(format!("{name}.wasm"))
}

fn add_target(directory: &Path) -> Result<()> {
    say::step(&format!(
        "the compiler's target {TARGET} is missing: rustup target add {TARGET}"
    ));
    let status = Command::new("rustup")
        .args(["target", "add", TARGET])
        .current_dir(directory)
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bail!("rustup could not add the target {TARGET}; its message stands above"),
        Err(_) => bail!(
            "the target {TARGET} is missing and there is no rustup to add it: install rustup \
             (rustup.rs), or your distribution's Rust standard library for {TARGET}"
        ),
    }
}

/// Writes a file in a folder that may not be there yet.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(path, bytes));
    written.with_context(|| format!("{} cannot be written", path.display()))
}
