//! `crm plugin replay`: a recorded run once more, held against the record.

use anyhow::{Result, bail};
use clap::Args;
use crm_sandbox::{Bundle, Digest, RecordedResult, Replay};
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
    /// The bundle, as `crm plugin run --bundle` or a server wrote it
    bundle: PathBuf,
    /// The component; the one in target/ here that the bundle names unless given
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
}

/// Something that is not as it was recorded.
struct Divergence {
    what: &'static str,
    recorded: Value,
    found: Value,
}

pub(crate) async fn replay(common: &Common, arguments: &ReplayArguments) -> Result<()> {
    let bundle: Bundle = required(&arguments.bundle)?;
    let path = match &arguments.component {
        Some(path) => path.clone(),
        None => component_of(bundle.digest)?,
    };
    let source = Source::open(&path)?;
    let runner = Runner::limited(&source.component, Some(bundle.limits))?;
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
    if common.json {
        println!("{}", serde_json::to_string_pretty(&account(&divergences))?);
    } else {
        show(&divergences, bundle.result.fuel)?;
    }
    match divergences.len() {
        0 => Ok(()),
        _ if bundle.redacted => bail!(
            "values were taken out of the bundle, so its run cannot come to the same; somebody of \
             the tenant gets the whole one"
        ),
        _ => bail!("the run is not as it was recorded"),
    }
}

/// The component of that digest among those that were built here.
fn component_of(digest: Digest) -> Result<PathBuf> {
    let found = std::fs::read_dir(Path::new("target"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "wasm")
        })
        .find(|path| std::fs::read(path).is_ok_and(|bytes| Digest::of(&bytes) == digest));
    match found {
        Some(path) => Ok(path),
        None => bail!(
            "no component in target/ has the bundle's digest {digest}: name the component with \
             --component"
        ),
    }
}

fn account(divergences: &[Divergence]) -> Value {
    let divergences = divergences
        .iter()
        .map(|one| json!({ "what": one.what, "recorded": one.recorded, "found": one.found }));
    json!({ "differs": divergences.collect::<Vec<_>>() })
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
