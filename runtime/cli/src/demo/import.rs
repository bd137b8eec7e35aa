//! The import: bulk requests, some at a time; what is there already is left alone, so that an
//! import that was cut off goes on where it stopped.

use anyhow::Result;
use crm_engine::Engine;
use crm_model::TenantId;
use futures::{StreamExt, TryStreamExt};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::{Duration, Instant};

use crate::demo::client::Client;
use crate::demo::data::{Data, sku};
use crate::say;

/// Requests in flight.
const CONCURRENCY: usize = 4;
/// Records of one request.
const BULK_RECORDS: usize = 500;
/// How often to look how many runs are left.
const LOOK: Duration = Duration::from_millis(250);
/// How often to say so where there is no terminal.
const RECORDS_PER_LINE: u64 = 5_000;
const LOOKS_PER_LINE: u32 = 20;

/// What the import did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Imported {
    pub(crate) started: Instant,
    pub(crate) records: usize,
    pub(crate) took: Duration,
}

fn bar(length: u64, what: &'static str, quiet: bool) -> ProgressBar {
    let target = if quiet {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    };
    let bar = ProgressBar::with_draw_target(Some(length), target);
    let template = "· {prefix} {wide_bar} {human_pos}/{human_len} ({per_sec:0}, {eta} left)";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.with_prefix(what)
}

pub(crate) async fn import(client: &Client, data: &Data, quiet: bool) -> Result<Imported> {
    let started = Instant::now();
    let there = match client.count_items().await? {
        0 => std::collections::HashSet::new(),
        _ => client.skus().await?,
    };
    let missing: Vec<usize> = (0..data.rows().len())
        .filter(|index| !there.contains(&sku(*index)))
        .collect();
    if missing.is_empty() {
        say::step(&format!(
            "all {} diamonds of {} are there",
            data.rows().len(),
            data.name()
        ));
        return Ok(Imported {
            started,
            records: 0,
            took: Duration::ZERO,
        });
    }
    say::step(&format!(
        "importing {} diamonds from {} over HTTP",
        missing.len(),
        data.name()
    ));
    let began = Instant::now();
    let bar = bar(missing.len() as u64, "records", quiet);
    futures::stream::iter(missing.chunks(BULK_RECORDS))
        .map(|indexes| {
            let bar = &bar;
            async move {
                let items: Vec<_> = indexes
                    .iter()
                    .filter_map(|index| Some(data.rows().get(*index)?.item(*index)))
                    .collect();
                client.create_items(&items).await?;
                bar.inc(items.len() as u64);
                if bar.is_hidden() && !quiet && bar.position().is_multiple_of(RECORDS_PER_LINE) {
                    say::step(&format!("{} records are imported", bar.position()));
                }
                anyhow::Ok(())
            }
        })
        .buffer_unordered(CONCURRENCY)
        .try_collect::<Vec<()>>()
        .await?;
    bar.finish();
    Ok(Imported {
        started,
        records: missing.len(),
        took: began.elapsed(),
    })
}

/// Waits until no job of the tenant waits or runs.
pub(crate) async fn wait_for_runs(engine: &Engine, tenant: TenantId, quiet: bool) -> Result<()> {
    let open = engine.jobs_open(tenant).await?;
    if open == 0 {
        return Ok(());
    }
    let all = u64::try_from(open).unwrap_or_default();
    let bar = bar(all, "runs   ", quiet);
    let mut looks = 0_u32;
    loop {
        let open = u64::try_from(engine.jobs_open(tenant).await?).unwrap_or_default();
        bar.set_position(all.saturating_sub(open));
        if open == 0 {
            bar.finish();
            return Ok(());
        }
        if bar.is_hidden() && !quiet && looks.is_multiple_of(LOOKS_PER_LINE) {
            say::step(&format!("{open} workflow runs are left"));
        }
        looks += 1;
        tokio::time::sleep(LOOK).await;
    }
}
