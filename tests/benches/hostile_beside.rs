//! What API clients notice of hostile guests: how long their requests take while eight that loop
//! for ever are being run, one after the other, beside how long they take without. Rounds with and
//! without take turns, and the figure is the ratio of the two p99, each the median of the rounds: a
//! machine that stands still for some milliseconds makes the p99 of one round several times as high,
//! with the guests or without.

use anyhow::{Context, Result, ensure};
use crm_cli::postgres::PrivatePostgres;
use crm_forged_guests::{Contained, all};
use crm_sandbox::{GuestLimits, NoHost, Plugin, Sandbox, SandboxSettings};
use crm_store::admin::Admin;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

use crate::action_call::call;
use crate::beside::{in_turns, tenants};
use crate::load::quantile;
use crate::neighbours::NEIGHBOURS;
use crate::report::{Aim, Measure, median};
use crate::serving::{Serving, database, on_postgres};

pub(crate) const NAME: &str = "hostile_beside";

const DATABASE: &str = "bench_hostile_beside";
const GUESTS: usize = 8;
/// When each of them is stopped, and run again.
const DEADLINE: Duration = Duration::from_millis(500);
const ROUNDS: u32 = 9;
/// How much longer the slowest of a hundred may take.
const RATIO_MOST: f64 = 1.1;

pub(crate) async fn measure() -> Result<Measure> {
    on_postgres(on).await
}

async fn on(postgres: &PrivatePostgres) -> Result<Measure> {
    let options = database(postgres, DATABASE).await?;
    let serving = Serving::start(&options).await?;
    let mut admin = Admin::connect(&options).await?;
    let asked = tenants(&serving, &mut admin, NEIGHBOURS).await?;
    // As the server's, but that nothing except their deadline ends them.
    let sandbox = Arc::new(Sandbox::new(SandboxSettings {
        limits: GuestLimits {
            fuel_max_units: u64::MAX,
            call_max: DEADLINE,
            ..GuestLimits::default()
        },
        ..SandboxSettings::default()
    })?);
    let loops = all()
        .into_iter()
        .find(|guest| {
            guest.name == "a loop in run" && matches!(guest.contained, Contained::Failed(_))
        })
        .context("there is no guest that loops")?;
    let plugin = sandbox.load(&loops.bytes)?;

    let mut stopped = 0;
    let begin = || Hostile::begin(&sandbox, &plugin);
    let end = async |guests: Hostile| {
        stopped += guests.end().await?;
        Ok(())
    };
    let seen = in_turns(&serving, &asked, ROUNDS, begin, end).await?;
    ensure!(stopped > 0, "no hostile guest was stopped");
    serving.end().await?;
    Ok(Measure {
        name: NAME,
        unit: "microseconds_p99",
        ours: median(&seen.p99_with),
        reference: median(&seen.p99_without),
        aim: Aim::AtMost(RATIO_MOST),
        details: json!({
            "hostile_guests": GUESTS,
            "clients": NEIGHBOURS,
            "samples_without": seen.without.len(),
            "samples_with": seen.with.len(),
            "microseconds_p50_without": quantile(&seen.without, 0.5),
            "microseconds_p50_with": quantile(&seen.with, 0.5),
            "microseconds_p99_without_over_all": quantile(&seen.without, 0.99),
            "microseconds_p99_with_over_all": quantile(&seen.with, 0.99),
            "ratio_of_p99_median_of_rounds": median(&seen.ratios),
        }),
        took: Duration::ZERO,
    })
}

/// Guests that loop, eight at a time, each run again when it was stopped.
struct Hostile {
    is_over: Arc<AtomicBool>,
    running: JoinSet<usize>,
}

impl Hostile {
    fn begin(sandbox: &Arc<Sandbox>, plugin: &Arc<Plugin>) -> Result<Self> {
        let (is_over, mut running) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for _ in 0..GUESTS {
            let (sandbox, plugin, call) = (Arc::clone(sandbox), Arc::clone(plugin), call()?);
            let is_over = Arc::clone(&is_over);
            running.spawn(async move {
                let mut stopped = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let report = sandbox.run_action(&plugin, call.clone(), Box::new(NoHost));
                    stopped += usize::from(report.await.outcome.is_err());
                }
                stopped
            });
        }
        Ok(Self { is_over, running })
    }

    /// How many calls were stopped, when all are over.
    async fn end(self) -> Result<usize> {
        self.is_over.store(true, Ordering::Relaxed);
        Ok(self.running.join_all().await.into_iter().sum())
    }
}
