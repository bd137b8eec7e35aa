//! `crm plugin`: what the author of a component works with, and what brings it to tenants.

mod author;
mod bench;
mod build;
mod check;
mod dev;
mod diff;
mod finding;
mod fixture;
mod install;
mod model_of;
mod new;
mod pack;
mod publish;
mod replay;
mod run;
mod running;
mod source;
mod stop;
mod test;
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
    /// Run a folder of cases and compare what comes out with what is expected
    Test(test::TestArguments),
    /// Run one event as a host does, and show what the action wants
    Run(run::RunArguments),
    /// How fuel and time are spread over many events
    Bench(bench::BenchArguments),
    /// Run a recorded run again, and say whether it comes to the same
    Replay(replay::ReplayArguments),
    /// What changes from one version to the next
    Diff(diff::DiffArguments),
    /// Types for the records of a template, to standard output or a file
    Types(types::TypesArguments),
    /// The file to hand on, with its digest
    Pack(pack::PackArguments),
    /// Bring a plugin to a tenant
    Install(install::InstallArguments),
    /// Build and install a plugin at each change of its files
    Dev(dev::DevArguments),
    /// Make a component (an action or a template) known to this installation
    Publish(publish::PublishArguments),
    /// Stop a version of a plugin or template everywhere, for all tenants; its runs wait, and
    /// changes that a template's before-save would be asked about are refused or let pass as where
    /// it fails
    Stop(stop::StopArguments),
    /// Let a stopped version run again
    Resume(stop::Which),
}

pub(crate) async fn plugin(common: &Common, command: PluginCommand) -> Result<()> {
    match command {
        PluginCommand::New(arguments) => new::new(&arguments).await,
        PluginCommand::Build(arguments) => build::build(common, &arguments),
        PluginCommand::Check(arguments) => check::check(common, &arguments).await,
        PluginCommand::Test(arguments) => test::test(common, &arguments).await,
        PluginCommand::Run(arguments) => run::run(common, &arguments).await,
        PluginCommand::Bench(arguments) => bench::bench(common, &arguments).await,
        PluginCommand::Replay(arguments) => replay::replay(common, &arguments).await,
        PluginCommand::Diff(arguments) => diff::diff(common, &arguments).await,
        PluginCommand::Types(arguments) => types::types(&arguments).await,
        PluginCommand::Pack(arguments) => pack::pack(common, &arguments),
        PluginCommand::Install(arguments) => install::install(common, &arguments).await,
        PluginCommand::Dev(arguments) => dev::dev(&arguments).await,
        PluginCommand::Publish(arguments) => publish::publish(common, &arguments).await,
        PluginCommand::Stop(arguments) => stop::stop(common, &arguments).await,
        PluginCommand::Resume(which) => stop::resume(common, &which).await,
    }
}
