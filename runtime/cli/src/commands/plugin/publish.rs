//! `crm plugin publish`: by the owner of the database, straight into it.

use anyhow::{Context, Result, bail};
use clap::Args;
use crm_engine::publish::publish as publish_component;
use crm_sandbox::Sandbox;
use crm_store::admin::Published;
use std::path::{Path, PathBuf};

use crate::arguments::Common;
use crate::code::sandbox_settings;
use crate::host::migrate;
use crate::{Database, say};

#[derive(Debug, Args)]
pub(crate) struct PublishArguments {
    /// The component
    component: PathBuf,
}

pub(crate) async fn publish(common: &Common, arguments: &PublishArguments) -> Result<()> {
    let component = &arguments.component;
    let bytes = std::fs::read(component)
        .with_context(|| format!("{} cannot be read", component.display()))?;
    let database =
        Database::open(common.database_url.as_deref(), &common.data_dir, say::step).await?;
    let published = publish_file(common, &database, component, &bytes).await;
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
    let (manifest, published) = publish_component(&mut admin, &sandbox, bytes)
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
