//! `crm plugin replay`: recorded runs once more, held against the record.

use anyhow::{Context, Result, bail};
use clap::Args;
use crm_sandbox::{Bundle, Digest, GuestLimits, RecordedResult, Replay};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

use super::fixture::required;
use super::running::Runner;
use super::source::Source;
use super::test::difference;
use crate::arguments::Common;
use crate::say;

#[derive(Debug, Args)]
pub(crate) struct ReplayArguments {
    /// Bundles, as `crm plugin run --bundle` or a server wrote them, or folders of them (*.json)
    #[arg(required = true)]
    bundles: Vec<PathBuf>,
    /// The component, or a folder in which those are that the bundles name; target/ here unless
    /// given
    #[arg(long, value_name = "FILE|FOLDER")]
    component: Option<PathBuf>,
}

/// Something that is not as it was recorded.
struct Divergence {
    what: &'static str,
    recorded: Value,
    found: Value,
}

/// What came of one bundle.
struct Replayed {
    path: PathBuf,
    divergences: Vec<Divergence>,
    fuel: u64,
    redacted: bool,
}

pub(crate) async fn replay(common: &Common, arguments: &ReplayArguments) -> Result<()> {
    let mut runners = Runners::of(arguments.component.as_deref())?;
    let mut replayed = Vec::new();
    for path in bundles_of(&arguments.bundles)? {
        let bundle: Bundle = required(&path)?;
        let runner = runners.of_bundle(&bundle)?;
        replayed.push(Replayed {
            divergences: divergences(runner, &bundle).await,
            fuel: bundle.result.fuel,
            redacted: bundle.redacted,
            path,
        });
    }
    if common.json {
        println!("{}", serde_json::to_string_pretty(&account(&replayed))?);
    } else {
        show_all(&replayed)?;
    }
    let mut differing = replayed.iter().filter(|one| !one.divergences.is_empty());
    match (differing.clone().count(), replayed.len()) {
        (0, _) => Ok(()),
        _ if differing.all(|one| one.redacted) => bail!(
            "values were taken out of the bundle, so its run cannot come to the same; somebody of \
             the tenant gets the whole one"
        ),
        (_, 1) => bail!("the run is not as it was recorded"),
        (count, all) => bail!("{count} of {all} runs are not as they were recorded"),
    }
}

/// The bundles that are named, and those in folders that are, by name.
fn bundles_of(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut bundles = Vec::new();
    for path in named {
        match path.is_dir() {
            true => bundles.extend(files_of(path, "json")?),
            false => bundles.push(path.clone()),
        }
    }
    if bundles.is_empty() {
        bail!("there is no bundle (*.json) there");
    }
    Ok(bundles)
}

fn files_of(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    Ok(files)
}

/// The components that were asked for so far, compiled, each for the limits of its bundles.
struct Runners {
    /// Whatever the bundles name.
    one: Option<Vec<u8>>,
    /// By digest.
    components: Vec<(Digest, PathBuf)>,
    folder: PathBuf,
    ready: Vec<(Digest, GuestLimits, Runner)>,
}

impl Runners {
    fn of(named: Option<&Path>) -> Result<Self> {
        let one = match named {
            // A plugin's folder is built, another one is looked through.
            Some(path)
                if !path.is_dir() || path.join(crm_plugin_build::MANIFEST_FILE).is_file() =>
            {
                Some(Source::open(path)?.component)
            }
            _ => None,
        };
        let folder = named.unwrap_or(Path::new("target")).to_owned();
        let files = match one {
            None => files_of(&folder, "wasm").unwrap_or_default(),
            Some(_) => Vec::new(),
        };
        let digests = files.into_iter().filter_map(|path| {
            let bytes = std::fs::read(&path).ok()?;
            Some((Digest::of(&bytes), path))
        });
        Ok(Self {
            one,
            components: digests.collect(),
            folder,
            ready: Vec::new(),
        })
    }

    fn of_bundle(&mut self, bundle: &Bundle) -> Result<&Runner> {
        let wanted = (bundle.digest, bundle.limits);
        let known = self
            .ready
            .iter()
            .position(|(digest, limits, _)| (*digest, *limits) == wanted);
        let place = match known {
            Some(place) => place,
            None => {
                let component = self.component(bundle.digest)?;
                let runner = Runner::limited(&component, Some(bundle.limits))?;
                self.ready.push((bundle.digest, bundle.limits, runner));
                self.ready.len() - 1
            }
        };
        let found = self.ready.get(place).map(|(_, _, runner)| runner);
        found.context("a runner that was just made")
    }

    fn component(&self, digest: Digest) -> Result<Vec<u8>> {
        if let Some(component) = &self.one {
            return Ok(component.clone());
        }
        let mut components = self.components.iter();
        match components.find(|(known, _)| *known == digest) {
            Some((_, path)) => {
                std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
            }
            None => bail!(
                "no component in {}/ has the bundle's digest {digest}: name the component with \
                 --component",
                self.folder.display()
            ),
        }
    }
}

async fn divergences(runner: &Runner, bundle: &Bundle) -> Vec<Divergence> {
    let host = Box::new(Replay::new(bundle.journal.clone()));
    let run = runner.call(bundle.call.clone().into(), host).await;
    let result = RecordedResult::from(&run.report);
    let mut divergences = Vec::new();
    let mut compare = |what, recorded: Value, found: Value| {
        if recorded != found {
            divergences.push(Divergence {
                what,
                recorded,
                found,
            });
        }
    };
    compare("component", json!(bundle.digest), json!(runner.digest()));
    compare("journal", json!(bundle.journal), json!(run.report.journal));
    let (recorded, found) = (bundle.result.parts(), result.parts());
    for ((what, recorded), (_, found)) in recorded.into_iter().zip(found) {
        compare(what, recorded, found);
    }
    divergences
}

fn account(replayed: &[Replayed]) -> Value {
    let differs = replayed.iter().flat_map(|one| {
        one.divergences.iter().map(|divergence| {
            json!({
                "bundle": one.path,
                "what": divergence.what,
                "recorded": divergence.recorded,
                "found": divergence.found,
            })
        })
    });
    json!({ "runs": replayed.len(), "differs": differs.collect::<Vec<_>>() })
}

/// One is shown by itself, of several those that differ.
fn show_all(replayed: &[Replayed]) -> Result<()> {
    if let [one] = replayed {
        return show(&one.divergences, one.fuel);
    }
    let differing: Vec<&Replayed> = replayed
        .iter()
        .filter(|one| !one.divergences.is_empty())
        .collect();
    for one in &differing {
        println!("{}", one.path.display());
        show(&one.divergences, one.fuel)?;
    }
    let same = replayed.len() - differing.len();
    println!(
        "{same} of {} runs are the same, to the last unit of fuel",
        replayed.len()
    );
    Ok(())
}

fn show(divergences: &[Divergence], fuel: u64) -> Result<()> {
    if divergences.is_empty() {
        println!("the same, to the last unit of fuel ({fuel})");
        return Ok(());
    }
    if divergences.iter().any(|one| one.what == "component") {
        say::step("another component ran than the one that was recorded");
    }
    for one in divergences {
        match (&one.recorded, &one.found) {
            (Value::Object(_) | Value::Array(_), _) => {
                println!("{}: - recorded, + here", one.what);
                print!("{}", difference(&one.recorded, &one.found)?);
            }
            (recorded, found) => {
                println!(
                    "{}: recorded {}, here {}",
                    one.what,
                    plain(recorded),
                    plain(found)
                );
            }
        }
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
