//! `extism-bench GUEST EVENT`: calls the guest on the event, each time in a fresh plugin of the
//! code that was compiled once, and prints the microseconds of each batch's calls, a line each.

use anyhow::{Context, Result, ensure};
use extism::{CompiledPlugin, Manifest, Plugin, PluginBuilder, Wasm};
use std::time::Instant;

const BATCHES: u32 = 8;
const BATCH_CALLS: u32 = 1_000;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let guest = arguments.next().context("no guest is named")?;
    let event = arguments.next().context("no event is named")?;
    let event = std::fs::read(event)?;
    let manifest = Manifest::new([Wasm::data(std::fs::read(guest)?)]);
    let compiled = CompiledPlugin::new(PluginBuilder::new(manifest))?;
    for batch in 0..=BATCHES {
        let began = Instant::now();
        for _ in 0..BATCH_CALLS {
            let mut plugin = Plugin::new_from_compiled(&compiled)?;
            let answer: &[u8] = plugin.call("run", &event[..])?;
            ensure!(answer.starts_with(b"["), "no mutations");
        }
        // The first one warms up.
        if batch > 0 {
            println!("{}", began.elapsed().as_secs_f64() * 1e6 / f64::from(BATCH_CALLS));
        }
    }
    Ok(())
}
