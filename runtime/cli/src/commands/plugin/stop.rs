//! `crm plugin stop` and `resume`: a version of a plugin, or of a template with its hooks, runs
//! nowhere, on no instance, within seconds. What it would do waits; only a change waits for no hook.

use anyhow::Result;
use clap::Args;
use crm_model::PluginName;
use semver::Version;

use crate::arguments::Common;
use crate::{Database, say};

#[derive(Debug, Args)]
pub(crate) struct StopArguments {
    #[command(flatten)]
    which: Which,
    /// Why, for those who ask what their runs wait for
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The plugin, or the template
    name: PluginName,
    /// Its version
    version: Version,
}

pub(crate) async fn stop(common: &Common, arguments: &StopArguments) -> Result<()> {
    let StopArguments { which, reason } = arguments;
    change(common, which, Some(reason)).await?;
    say::step(&format!(
        "“{}” {} is stopped; every host knows within seconds",
        which.name, which.version
    ));
    Ok(())
}

pub(crate) async fn resume(common: &Common, which: &Which) -> Result<()> {
    change(common, which, None).await?;
    say::step(&format!("“{}” {} runs again", which.name, which.version));
    Ok(())
}

async fn change(common: &Common, which: &Which, reason: Option<&str>) -> Result<()> {
    let database =
        Database::open(common.database_url.as_deref(), &common.data_dir, say::step).await?;
    let version = which.version.to_string();
    let changed = async {
        let mut admin = database.admin().await?;
        admin
            .plugin_kill(which.name.as_str(), &version, reason)
            .await?;
        anyhow::Ok(())
    }
    .await;
    database.close().await;
    changed
}
