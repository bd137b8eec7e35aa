//! `crm plugin`: components.

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use crm_engine::publish::publish;
use crm_sandbox::Sandbox;
use crm_store::admin::Published;
use std::path::{Path, PathBuf};

use crate::arguments::Common;
use crate::code::sandbox_settings;
use crate::host::migrate;
use crate::{Database, say};

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Make a component (an action or a template) known to this installation
    Publish {
        /// The component
        component: PathBuf,
    },
}

pub(crate) async fn plugin(common: &Common, command: PluginCommand) -> Result<()> {
    let PluginCommand::Publish { component } = command;
    let bytes = std::fs::read(&component)
        .with_context(|| format!("{} cannot be read", component.display()))?;
    let database =
        Database::open(common.database_url.as_deref(), &common.data_dir, say::step).await?;
    let published = publish_file(common, &database, &component, &bytes).await;
    database.close().await;
    published
}

async fn publish_file(
    common: &Common,
    database: &Database,
    path: &Path,
    bytes: &[u8],
) -> Result<()> {
    let mut admin = database.admin().await?;
    migrate(&mut admin, say::step).await?;
    let sandbox = Sandbox::new(sandbox_settings(&common.data_dir)?)?;
    let (manifest, published) = publish(&mut admin, &sandbox, bytes)
        .await
        .with_context(|| format!("{} is refused", path.display()))?;
    let name = format!("{} {}", manifest.name, manifest.version);
    match published {
        Published::New => say::step(&format!("published {name}")),
        Published::Unchanged => say::step(&format!("{name} was published before, unchanged")),
        Published::Conflict => {
            bail!("another build of {name} is published; versions are immutable: raise the version")
        }
    }
    Ok(())
}
