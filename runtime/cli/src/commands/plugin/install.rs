//! `crm plugin install`: a component to a tenant, through its host's API.

mod api;

use anyhow::{Context, Result};
use clap::Args;
use crm_model::Capabilities;
use crm_sandbox::component_inspect;
use serde_json::{Map, Value};
use std::path::PathBuf;

use super::fixture::required;
use super::source::Source;
use crate::arguments::Common;
use crate::say;
pub(crate) use api::{Api, HostArguments};

#[derive(Debug, Args)]
pub(crate) struct InstallArguments {
    /// The plugin's folder, which is built, or a component
    #[arg(default_value = ".")]
    plugin: PathBuf,
    #[command(flatten)]
    pub(crate) host: HostArguments,
    #[command(flatten)]
    pub(crate) terms: Terms,
    /// Put it in the place of the version that is installed
    #[arg(long)]
    replace: bool,
}

/// What the tenant says to a plugin.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Terms {
    /// What the plugin is granted: a JSON file as `capabilities` in plugin.json; all that it asks
    /// for unless given
    #[arg(long, value_name = "FILE")]
    grant: Option<PathBuf>,
    /// The plugin's configuration: a JSON file with an object
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) async fn install(common: &Common, arguments: &InstallArguments) -> Result<()> {
    let source = Source::open(&arguments.plugin)?;
    let api = Api::new(&arguments.host)?;
    let answer =
        install_component(&api, &source.component, &arguments.terms, arguments.replace).await?;
    if common.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
    }
    Ok(())
}

/// Sends a component with its terms.
///
/// # Errors
/// What the host has to say.
pub(crate) async fn install_component(
    api: &Api,
    component: &[u8],
    terms: &Terms,
    replace: bool,
) -> Result<Value> {
    let manifest = component_inspect(component)?.manifest;
    let grant: Capabilities = match &terms.grant {
        Some(path) => required(path)?,
        None => manifest.capabilities.clone(),
    };
    let config: Map<String, Value> = match &terms.config {
        Some(path) => required(path)?,
        None => Map::new(),
    };
    let name = format!("{} {}", manifest.name, manifest.version);
    let answer = api
        .install(component, &grant, &config, replace)
        .await
        .with_context(|| format!("{name} is not installed"))?;
    say::step(&format!("installed {name}"));
    for line in answer
        .get("unfit")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let part = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
        say::step(&format!(
            "the workflow “{}” does not fit it: {} {}",
            part("workflow"),
            part("pointer"),
            part("message")
        ));
    }
    Ok(answer)
}
