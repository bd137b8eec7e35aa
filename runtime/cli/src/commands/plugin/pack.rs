//! `crm plugin pack`: the file that is handed on, and its digest beside it.

use anyhow::Result;
use clap::Args;
use crm_sandbox::component_inspect;
use serde_json::json;
use std::path::PathBuf;

use super::source::{Source, write};
use crate::arguments::Common;
use crate::say;

#[derive(Debug, Args)]
pub(crate) struct PackArguments {
    /// The plugin's folder, which is built, or a component
    #[arg(default_value = ".")]
    plugin: PathBuf,
    /// Where to write; <name>-<version>.wasm here unless given
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A component is one file already: its manifest stands in it. What is added is a name with the
/// version, and the digest by which hosts know it, as `sha256sum --check` reads it.
pub(crate) fn pack(common: &Common, arguments: &PackArguments) -> Result<()> {
    let source = Source::open(&arguments.plugin)?;
    let inspected = component_inspect(&source.component)?;
    let (manifest, digest) = (inspected.manifest, inspected.digest);
    let path = arguments
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}-{}.wasm", manifest.name, manifest.version)));
    write(&path, &source.component)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let line = format!("{digest}  {name}\n");
    let mut beside = path.clone().into_os_string();
    beside.push(".sha256");
    write(beside.as_ref(), line.as_bytes())?;
    if common.json {
        println!(
            "{}",
            json!({
                "component": path.display().to_string(),
                "name": manifest.name,
                "version": manifest.version,
                "digest": digest,
                "bytes": source.component.len(),
            })
        );
    } else {
        print!("{line}");
        say::step(&format!(
            "{} ({}), its digest beside it; `crm plugin install` brings it to a tenant",
            path.display(),
            say::bytes(source.component.len())
        ));
    }
    Ok(())
}
