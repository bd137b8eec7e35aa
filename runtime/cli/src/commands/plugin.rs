//! `crm plugin`: what the author of a component works with, and what brings it to tenants.

mod author;
mod build;
mod check;
mod finding;
mod model_of;
mod new;
mod pack;
mod publish;
mod source;
mod types;

use anyhow::Result;
use clap::Subcommand;

use crate::arguments::Common;

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// A new plugin, in a folder of its own, ready to build and to test
    New(new::NewArguments),
    /// Build a plugin's crate into its component, target/<name>.wasm
    Build(build::BuildArguments),
    /// Find what is wrong with a plugin before a host does
    Check(check::CheckArguments),
    /// The file to hand on, with its digest
    Pack(pack::PackArguments),
    /// Types for the records of a template, to standard output or a file
    Types(types::TypesArguments),
    /// Make a component (an action or a template) known to this installation
    Publish(publish::PublishArguments),
}

pub(crate) async fn plugin(common: &Common, command: PluginCommand) -> Result<()> {
    match command {
        PluginCommand::New(arguments) => new::new(&arguments).await,
        PluginCommand::Build(arguments) => build::build(common, &arguments),
        PluginCommand::Check(arguments) => check::check(common, &arguments).await,
        PluginCommand::Pack(arguments) => pack::pack(common, &arguments),
        PluginCommand::Types(arguments) => types::types(&arguments).await,
        PluginCommand::Publish(arguments) => publish::publish(common, &arguments).await,
    }
}
