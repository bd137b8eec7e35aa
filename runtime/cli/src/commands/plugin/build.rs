//! `crm plugin build`: from a crate to its component.

use anyhow::Result;
use clap::Args;
use crm_sandbox::Digest;
use serde_json::json;
use std::path::PathBuf;

use super::source::Source;
use crate::arguments::Common;
use crate::say;

#[derive(Debug, Args)]
pub(crate) struct BuildArguments {
    /// The plugin's folder
    #[arg(default_value = ".")]
    directory: PathBuf,
}

pub(crate) fn build(common: &Common, arguments: &BuildArguments) -> Result<()> {
    let built = Source::build(&arguments.directory)?;
    let (path, bytes) = (built.path.display(), built.component.len());
    if common.json {
        let digest = Digest::of(&built.component);
        println!(
            "{}",
            json!({ "component": path.to_string(), "bytes": bytes, "digest": digest })
        );
    } else {
        println!("{path} ({})", say::bytes(bytes));
    }
    Ok(())
}
