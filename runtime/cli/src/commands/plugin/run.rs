//! `crm plugin run`: one event, as in production.

mod show;

use anyhow::{Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};

use super::fixture::{Situation, World, required};
use super::running::Runner;
use super::source::{Source, write};
use crate::arguments::Common;
use show::show;

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The plugin's folder, which is built, or a component
    #[arg(default_value = ".")]
    plugin: PathBuf,
    /// The event: a JSON file
    #[arg(long, value_name = "FILE")]
    event: PathBuf,
    #[command(flatten)]
    files: WorldArguments,
    /// Where to leave a bundle that `crm plugin replay` runs again
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
}

/// Files that stand for what a tenant has.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct WorldArguments {
    /// The step's configuration, in place of the event's own
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What the tenant configured for the plugin as a whole
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Records that can be read: {"module": [{"id": …, "data": …}]}
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
    /// Values kept by earlier runs: {"key": …}
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Names of the tenant's secrets: […]
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
    /// Questions with their answers, as a run's journal has them
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// What the tenant grants; all that the manifest asks for unless given
    #[arg(long, value_name = "FILE")]
    grant: Option<PathBuf>,
}

impl WorldArguments {
    /// Every event of a file, or of a folder of cases, which bring their own files.
    pub(crate) fn situations(&self, events: &Path) -> Result<Vec<Situation>> {
        Situation::all(events, self.config.as_deref(), &self.read()?)
    }

    fn read(&self) -> Result<World> {
        fn file<T: serde::de::DeserializeOwned + Default>(path: Option<&PathBuf>) -> Result<T> {
            path.map_or_else(|| Ok(T::default()), |path| required(path))
        }
        Ok(World {
            settings: file(self.settings.as_ref())?,
            records: file(self.records.as_ref())?,
            state: file(self.state.as_ref())?,
            secrets: file(self.secrets.as_ref())?,
            journal: file(self.journal.as_ref())?,
            grant: self.grant.as_ref().map(|path| required(path)).transpose()?,
        })
    }
}

pub(crate) async fn run(common: &Common, arguments: &RunArguments) -> Result<()> {
    let files = &arguments.files;
    let situation = Situation::read(&arguments.event, files.config.as_deref(), files.read()?)?;
    let source = Source::open(&arguments.plugin)?;
    let runner = Runner::new(&source.component)?;
    let run = runner.run(&situation).await;
    if let Some(path) = &arguments.bundle {
        let bundle = run.bundle(&runner);
        write(path, serde_json::to_string_pretty(&bundle)?.as_bytes())?;
    }
    if common.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&run.account(runner.digest()))?
        );
    } else {
        print!("{}", show(&run, &runner.limits()));
    }
    use crm_sandbox::RunFailure::{Retry, Skip};
    match &run.report.outcome {
        Ok(_) if run.refused.is_empty() => Ok(()),
        Ok(_) => bail!("a server would refuse this run: {}", run.refused.join("; ")),
        Err(Skip(_) | Retry { .. }) => Ok(()),
        Err(failure) => bail!("{failure}"),
    }
}
