//! What API clients notice of hostile guests: how long their requests take while eight that loop
//! for ever are being run, one after the other, beside how long they take without. Rounds with and
//! without take turns, and the figure is the ratio of the two p99.

use anyhow::{Context, Result, ensure};
use crm_cli::postgres::{PrivatePostgres, Settings};
use crm_forged_guests::{Contained, all};
use crm_sandbox::{GuestLimits, NoHost, Plugin, Sandbox, SandboxSettings};
use crm_store::admin::Admin;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

use crate::action_call::call;
use crate::load::quantile;
use crate::neighbours::{NEIGHBOURS, list, neighbours};
use crate::report::{Aim, Measure, median};
use crate::scale::stones;
use crate::serving::Serving;
use crate::{TEMPORARY, say};

pub(crate) const NAME: &str = "hostile_beside";

const DATABASE: &str = "bench_hostile_beside";
const GUESTS: usize = 8;
/// When each of them is stopped, and run again.
const DEADLINE: Duration = Duration::from_millis(500);
const ROUNDS: u32 = 8;
/// How much longer the slowest of a hundred may take.
const RATIO_MOST: f64 = 1.1;

pub(crate) async fn measure() -> Result<Measure> {
    let settings = Settings {
        durable: true,
        max_connections: 100,
    };
    let postgres = PrivatePostgres::temporary(Path::new(TEMPORARY), settings, say).await?;
    let measured = on(&postgres).await;
    postgres.stop().await?;
    measured
}

async fn on(postgres: &PrivatePostgres) -> Result<Measure> {
    let options = postgres.connect_options().database(DATABASE);
    let mut connection = PgConnection::connect_with(&postgres.connect_options()).await?;
    sqlx::query(AssertSqlSafe(format!("create database {DATABASE}")))
        .execute(&mut connection)
        .await?;
    let serving = Serving::start(&options).await?;
    let mut admin = Admin::connect(&options).await?;
    let mut asked = Vec::new();
    for number in 0..NEIGHBOURS as u64 {
        let tenant = stones::tenant(number);
        admin.tenant_create(tenant, "Bench").await?;
        let (person, template) = (serving.person.clone(), "jewellery".parse()?);
        let engine = &serving.host.engine;
        engine
            .template_select(tenant, person, template, None, None)
            .await?;
        asked.push(list(serving.token(tenant)?));
    }
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

    let (mut quiet_all, mut beside_all, mut ratios, mut stopped) =
        (Vec::new(), Vec::new(), Vec::new(), 0);
    for round in 1..=ROUNDS {
        let mut p99 = [0.0; 2];
        // Which of the two comes first changes too.
        for turn in 0..2 {
            let with_guests = (turn + round) % 2 == 0;
            let guests = with_guests
                .then(|| Hostile::begin(&sandbox, &plugin))
                .transpose()?;
            let seen = neighbours(serving.address, asked.clone()).await?;
            if let Some(guests) = guests {
                stopped += guests.end().await?;
            }
            let mut sorted = seen.clone();
            sorted.sort_unstable();
            let slow = quantile(&sorted, 0.99);
            if with_guests {
                beside_all.extend(seen);
                p99[1] = slow;
            } else {
                quiet_all.extend(seen);
                p99[0] = slow;
            }
        }
        let [quiet, beside] = p99;
        ratios.push(beside / quiet);
        say(&format!(
            "round {round}: p99 {quiet:.0} µs without, {beside:.0} µs with hostile guests"
        ));
    }
    ensure!(stopped > 0, "no hostile guest was stopped");
    serving.end().await?;
    quiet_all.sort_unstable();
    beside_all.sort_unstable();
    Ok(Measure {
        name: NAME,
        unit: "microseconds_p99",
        ours: quantile(&beside_all, 0.99),
        reference: quantile(&quiet_all, 0.99),
        aim: Aim::AtMost(RATIO_MOST),
        details: json!({
            "hostile_guests": GUESTS,
            "clients": NEIGHBOURS,
            "samples_without": quiet_all.len(),
            "samples_with": beside_all.len(),
            "microseconds_p50_without": quantile(&quiet_all, 0.5),
            "microseconds_p50_with": quantile(&beside_all, 0.5),
            "ratio_of_p99_median_of_rounds": median(&ratios),
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
