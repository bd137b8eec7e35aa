//! `crm plugin diff`: what changes from one version to the next: the contract, what it may do, the
//! schemas, and how it behaves on the same events.

mod behaviour;
mod flat;

use anyhow::{Context, Result};
use clap::Args;
use console::style;
use crm_model::Manifest;
use crm_model::manifest::World;
use crm_sandbox::component_inspect;
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

use super::model_of::model_of;
use super::run::WorldArguments;
use super::source::Source;
use crate::arguments::Common;
use crate::say;
use behaviour::Behaviour;
use flat::{Change, changes};

#[derive(Debug, Args)]
pub(crate) struct DiffArguments {
    /// The version that there is: a component or a plugin's folder
    old: PathBuf,
    /// The version that is to come
    new: PathBuf,
    /// Events that both are called with: a file with one on each line, or a folder of cases
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    #[command(flatten)]
    files: WorldArguments,
}

/// What changes. Nothing of what stays the same.
#[derive(Debug, Serialize)]
struct Differences {
    old: String,
    new: String,
    /// Bytes of the components.
    bytes: [usize; 2],
    /// The manifest, with what it may do.
    manifest: Vec<Change>,
    /// Interfaces of the contract that it can use.
    imports: Vec<Change>,
    /// A template's modules, workflows, roles and installs.
    model: Vec<Change>,
    #[serde(skip_serializing_if = "Option::is_none")]
    behaviour: Option<Behaviour>,
}

/// One of the two.
struct Side {
    source: Source,
    manifest: Manifest,
    imports: Vec<String>,
    model: Value,
}

impl Side {
    async fn open(path: &Path) -> Result<Self> {
        let source = Source::open(path)?;
        let inspected = component_inspect(&source.component)
            .with_context(|| format!("{} is refused", path.display()))?;
        let model = match inspected.manifest.world {
            World::Action => Value::Null,
            World::Template => {
                let template = model_of(&source.path.to_string_lossy()).await?;
                serde_json::to_value(&template.definition)?
            }
        };
        Ok(Self {
            source,
            manifest: inspected.manifest,
            imports: inspected.imports,
            model,
        })
    }

    fn name(&self) -> String {
        format!("{} {}", self.manifest.name, self.manifest.version)
    }
}

pub(crate) async fn diff(common: &Common, arguments: &DiffArguments) -> Result<()> {
    let old = Side::open(&arguments.old).await?;
    let new = Side::open(&arguments.new).await?;
    let behaviour = match &arguments.events {
        None => None,
        Some(events) => {
            let components = [&old.source.component, &new.source.component];
            Some(behaviour::compare(components, events, &arguments.files).await?)
        }
    };
    let manifest = |side: &Side| serde_json::to_value(&side.manifest);
    let imports = |side: &Side| serde_json::to_value(&side.imports);
    let differences = Differences {
        old: old.name(),
        new: new.name(),
        bytes: [old.source.component.len(), new.source.component.len()],
        manifest: changes(&manifest(&old)?, &manifest(&new)?),
        imports: changes(&imports(&old)?, &imports(&new)?),
        model: changes(&old.model, &new.model),
        behaviour,
    };
    if common.json {
        println!("{}", serde_json::to_string_pretty(&differences)?);
    } else {
        print(&differences);
    }
    Ok(())
}

fn print(differences: &Differences) {
    let [old, new] = differences.bytes.map(say::bytes);
    println!("{} ({old}) → {} ({new})", differences.old, differences.new);
    for (name, changes) in [
        ("manifest", &differences.manifest),
        ("imports", &differences.imports),
        ("model", &differences.model),
    ] {
        if changes.is_empty() {
            println!("{name}: {}", style("the same").dim());
            continue;
        }
        println!("{name}:");
        for change in changes {
            println!("  {change}");
        }
    }
    if let Some(behaviour) = &differences.behaviour {
        behaviour.print();
    }
}
