//! What API clients notice of hostile guests: how long their requests take while eight that loop
//! for ever are being run, each again when it was stopped, beside how long they take without. The
//! two take turns, and the figure is the ratio of the two p99, each the median of the turns'. The
//! turns are short and many: a machine that stands still for some milliseconds makes the p99 of that
//! turn several times as high, with the guests or without, and of long turns most have such a moment.
//!
//! A third kind of turn says how much of it is what any program costs that computes: a shell that
//! loops, as low in priority as can be, in the guests' place.

use anyhow::{Context, Result, ensure};
use crm_cli::postgres::PrivatePostgres;
use crm_forged_guests::{Contained, all};
use crm_sandbox::{GuestLimits, NoHost, Plugin, Sandbox, SandboxSettings};
use crm_store::admin::Admin;
use serde_json::json;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::action_call::call;
use crate::beside::{Rounds, in_turns, tenants};
use crate::neighbours::NEIGHBOURS;
use crate::report::{Aim, Measure};
use crate::serving::{Serving, database, on_postgres};

pub(crate) const NAME: &str = "hostile_beside";

const DATABASE: &str = "bench_hostile_beside";
const GUESTS: usize = 8;
/// When each of them is stopped, and run again.
const DEADLINE: Duration = Duration::from_millis(500);
const ROUNDS: Rounds = Rounds {
    count: 36,
    warm_up: Duration::from_millis(500),
    measured: Duration::from_millis(1500),
};
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
    let begin = |beside| match beside {
        Beside::Nothing => Ok(Running::Nothing),
        Beside::Guests => Hostile::begin(&sandbox, &plugin).map(Running::Guests),
        Beside::Program => program().map(Running::Program),
    };
    let end = async |running: Running| {
        match running {
            Running::Nothing => {}
            Running::Guests(guests) => stopped += guests.end().await?,
            Running::Program(mut program) => program.kill().await?,
        }
        Ok(())
    };
    let kinds = [Beside::Nothing, Beside::Guests, Beside::Program];
    let seen = in_turns(&serving, &asked, ROUNDS, kinds, begin, end).await?;
    let [without, with, program] = seen;
    ensure!(stopped > 0, "no hostile guest was stopped");
    serving.end().await?;
    Ok(Measure {
        name: NAME,
        unit: "microseconds_p99",
        ours: with.p99(),
        reference: without.p99(),
        aim: Aim::AtMost(RATIO_MOST),
        details: json!({
            "hostile_guests": GUESTS,
            "clients": NEIGHBOURS,
            "samples_without": without.took.len(),
            "samples_with": with.took.len(),
            "microseconds_p50_without": without.quantile(0.5),
            "microseconds_p50_with": with.quantile(0.5),
            "microseconds_p90_without": without.quantile(0.9),
            "microseconds_p90_with": with.quantile(0.9),
            "microseconds_p99_without_over_all": without.quantile(0.99),
            "microseconds_p99_with_over_all": with.quantile(0.99),
            "microseconds_p99_beside_a_program": program.p99(),
            "microseconds_p99_beside_a_program_over_all": program.quantile(0.99),
        }),
        took: Duration::ZERO,
    })
}

#[derive(Clone, Copy, Debug)]
enum Beside {
    Nothing,
    Guests,
    Program,
}

enum Running {
    Nothing,
    Guests(Hostile),
    Program(Child),
}

/// A program that computes for nothing, and lets everybody go first as far as the system knows how.
fn program() -> Result<Child> {
    Command::new("nice")
        .args(["-n", "19", "sh", "-c", "while :; do :; done"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start `nice`")
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
