//! `crm plugin dev`: at each change of a plugin's files, a new build, and that to the tenant.

use anyhow::{Context, Result};
use clap::Args;
use crm_model::manifest::TRIAL;
use crm_plugin_build::with_manifest;
use crm_sandbox::{Digest, component_inspect};
use notify::{EventKind, RecursiveMode, Watcher};
use semver::Prerelease;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::install::{Api, HostArguments, Terms, install_component};
use super::source::{Source, write};
use crate::host::stop_signal;
use crate::say;

/// How long files have to be left alone: editors write one change in several steps.
const QUIET: Duration = Duration::from_millis(200);
/// What a build writes, and what says nothing about the plugin.
const IGNORED: [&str; 3] = ["target", ".git", "Cargo.lock"];

#[derive(Debug, Args)]
pub(crate) struct DevArguments {
    /// The plugin's folder
    #[arg(default_value = ".")]
    directory: PathBuf,
    #[command(flatten)]
    host: HostArguments,
    #[command(flatten)]
    terms: Terms,
}

pub(crate) async fn dev(arguments: &DevArguments) -> Result<()> {
    let directory = &arguments.directory;
    let api = Api::new(&arguments.host)?;
    let (watcher, mut changes) = watch(directory)?;
    let mut installed = None;
    let work = async {
        loop {
            match round(&api, directory, &arguments.terms, &mut installed).await {
                Ok(()) => say::step("waiting for changes; Ctrl-C ends this"),
                Err(error) => say::error(&error),
            }
            if settle(&mut changes).await.is_none() {
                return;
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stop_signal() => {}
    }
    drop(watcher);
    Ok(())
}

/// Builds, and installs what is not installed already.
async fn round(
    api: &Api,
    directory: &Path,
    terms: &Terms,
    installed: &mut Option<Digest>,
) -> Result<()> {
    let source = tokio::task::block_in_place(|| Source::build(directory))?;
    let digest = Digest::of(&source.component);
    if *installed == Some(digest) {
        say::step("the component is the same as before");
        return Ok(());
    }
    let trial = trial(&source.component, digest)?;
    // Beside the component itself, so that runs of it can be replayed.
    write(&source.path.with_extension("dev.wasm"), &trial)?;
    install_component(api, &trial, terms, true).await?;
    *installed = Some(digest);
    Ok(())
}

/// The component under a version of its own, because versions are immutable and each build is
/// another: `1.0.0-dev.h…` of its digest. A host forgets it when another takes its place.
fn trial(component: &[u8], digest: Digest) -> Result<Vec<u8>> {
    let mut manifest = component_inspect(component)?.manifest;
    let digest = digest.to_string();
    let short = digest.get(..12).unwrap_or(&digest);
    manifest.version.pre = Prerelease::new(&format!("{TRIAL}.h{short}"))?;
    with_manifest(component, &serde_json::to_string(&manifest)?).context("it has no manifest")
}

fn watch(directory: &Path) -> Result<(notify::RecommendedWatcher, UnboundedReceiver<()>)> {
    let directory = directory
        .canonicalize()
        .with_context(|| format!("{} cannot be watched", directory.display()))?;
    let (send, changes) = unbounded_channel();
    let root = directory.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| matters(&root, &event)) {
            // Nobody listens any more when the command ends.
            let _ = send.send(());
        }
    })?;
    watcher
        .watch(&directory, RecursiveMode::Recursive)
        .with_context(|| format!("{} cannot be watched", directory.display()))?;
    Ok((watcher, changes))
}

fn matters(root: &Path, event: &notify::Event) -> bool {
    if matches!(event.kind, EventKind::Access(_)) {
        return false;
    }
    event.paths.iter().any(|path| {
        let below = path.strip_prefix(root).unwrap_or(path);
        let first = below.components().next();
        first.is_some_and(|first| !IGNORED.iter().any(|ignored| first.as_os_str() == *ignored))
    })
}

/// Waits for a change, and until there are none for a while; `None` when nobody watches any more.
async fn settle(changes: &mut UnboundedReceiver<()>) -> Option<()> {
    changes.recv().await?;
    while let Ok(more) = tokio::time::timeout(QUIET, changes.recv()).await {
        more?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{AccessKind, CreateKind};

    #[test]
    fn builds_do_not_start_builds() {
        let event = |kind, path: &str| notify::Event::new(kind).add_path(path.into());
        let root = Path::new("/p");
        let create = EventKind::Create(CreateKind::File);
        assert!(matters(root, &event(create, "/p/src/lib.rs")));
        assert!(matters(root, &event(create, "/p/plugin.json")));
        for path in ["/p/target/x.wasm", "/p/Cargo.lock", "/p/.git/index"] {
            assert!(!matters(root, &event(create, path)), "{path}");
        }
        let read = EventKind::Access(AccessKind::Any);
        assert!(!matters(root, &event(read, "/p/src/lib.rs")));
    }
}
