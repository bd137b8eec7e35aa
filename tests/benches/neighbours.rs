//! What tenants notice of a noisy one: how long their requests take while one tenant asks fifty
//! times as often as it may, beside how long they take without it. Rounds with and without take
//! turns, and the figure is the ratio of the two p99.
//!
//! Everybody's rate is low, so that fifty times as much can be sent from the same machine, and
//! neither the clients nor the server are short of a core: who would be, measures the machine.

use anyhow::{Result, ensure};
use crm_cli::postgres::{PrivatePostgres, Settings};
use crm_server::edges::{Edges, Rate, Rates};
use crm_store::admin::Admin;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::load::{Connection, Request, on_a_thread, quantile};
use crate::report::{Aim, Measure, median};
use crate::scale::stones;
use crate::serving::Serving;
use crate::{TEMPORARY, say};

pub(crate) const NAME: &str = "neighbours";

const DATABASE: &str = "bench_neighbours";
/// What each tenant may send.
const RATE: &str = "20/40";
const RATE_PER_SECOND: f64 = 20.0;
/// How many times as much the noisy one sends, on so many connections.
const NOISE: f64 = 50.0;
const NOISY_CONNECTIONS: u64 = 10;
pub(crate) const NEIGHBOURS: usize = 24;
/// What each of them sends: less than it may.
const NEIGHBOUR_PAUSE: Duration = Duration::from_millis(80);
/// Pairs of a quiet round and a noisy one.
const ROUNDS: u32 = 8;
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(6);
/// How much longer a neighbour's slowest of a hundred may take.
const RATIO_MOST: f64 = 1.2;

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

fn edges() -> Result<Edges> {
    let rate: Rate = RATE.parse().map_err(anyhow::Error::msg)?;
    Ok(Edges {
        rates: Rates {
            tenant: Some(rate),
            ..Rates::default()
        },
        ..Edges::default()
    })
}

async fn on(postgres: &PrivatePostgres) -> Result<Measure> {
    let options = postgres.connect_options().database(DATABASE);
    let mut connection = PgConnection::connect_with(&postgres.connect_options()).await?;
    sqlx::query(AssertSqlSafe(format!("create database {DATABASE}")))
        .execute(&mut connection)
        .await?;
    let serving = Serving::start_with(&options, edges()?).await?;
    let mut admin = Admin::connect(&options).await?;
    let mut tenants = Vec::new();
    for number in 0..=NEIGHBOURS as u64 {
        let tenant = stones::tenant(number);
        admin.tenant_create(tenant, "Bench").await?;
        let (person, template) = (serving.person.clone(), "jewellery".parse()?);
        serving
            .host
            .engine
            .template_select(tenant, person, template, None, None)
            .await?;
        tenants.push(tenant);
    }
    let mut asked = Vec::new();
    for tenant in tenants {
        asked.push(list(serving.token(tenant)?));
    }
    let noisy = asked.pop().map(Arc::new);
    let noisy = noisy.ok_or_else(|| anyhow::anyhow!("there is no noisy tenant"))?;

    let (mut quiet_all, mut noisy_all) = (Vec::new(), Vec::new());
    let (mut quiet_p99, mut noisy_p99, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut refused, mut sent) = (0, 0);
    for round in 1..=ROUNDS {
        let mut p99 = [0.0; 2];
        // Which of the two comes first changes too.
        for turn in 0..2 {
            let with_noise = (turn + round) % 2 == 0;
            let noise = with_noise.then(|| Noise::begin(serving.address, Arc::clone(&noisy)));
            let seen = neighbours(serving.address, asked.clone()).await?;
            if let Some(noise) = noise {
                let (all, limited) = noise.end().await?;
                sent += all;
                refused += limited;
            }
            let mut sorted = seen.clone();
            sorted.sort_unstable();
            let slow = quantile(&sorted, 0.99);
            if with_noise {
                noisy_all.extend(seen);
                noisy_p99.push(slow);
                p99[1] = slow;
            } else {
                quiet_all.extend(seen);
                quiet_p99.push(slow);
                p99[0] = slow;
            }
        }
        let [quiet, loud] = p99;
        ratios.push(loud / quiet);
        say(&format!(
            "round {round}: p99 {quiet:.0} µs without, {loud:.0} µs with the noise"
        ));
    }
    serving.end().await?;
    quiet_all.sort_unstable();
    noisy_all.sort_unstable();
    let seconds = f64::from(ROUNDS) * (WARM_UP + MEASURED).as_secs_f64();
    let per_second = sent as f64 / seconds;
    let wanted = RATE_PER_SECOND * NOISE;
    ensure!(
        per_second > 0.9 * wanted,
        "the noisy tenant sent {per_second:.0} requests a second, not {wanted:.0}"
    );
    ensure!(
        refused as f64 > 0.9 * sent as f64,
        "{refused} of {sent} requests of the noisy tenant were refused"
    );
    Ok(Measure {
        name: NAME,
        unit: "microseconds_p99",
        ours: quantile(&noisy_all, 0.99),
        reference: quantile(&quiet_all, 0.99),
        aim: Aim::AtMost(RATIO_MOST),
        details: json!({
            "neighbours": NEIGHBOURS,
            "tenant_rate": RATE,
            "noisy_per_second": per_second,
            "noisy_refused": refused,
            "samples_without": quiet_all.len(),
            "samples_with": noisy_all.len(),
            "microseconds_p50_without": quantile(&quiet_all, 0.5),
            "microseconds_p50_with": quantile(&noisy_all, 0.5),
            "microseconds_p99_without_by_round": quiet_p99,
            "microseconds_p99_with_by_round": noisy_p99,
            "ratio_of_p99_median_of_rounds": median(&ratios),
        }),
        took: Duration::ZERO,
    })
}

/// What everybody asks: a page of records, which takes several statements.
pub(crate) fn list(token: Arc<str>) -> Request {
    Request {
        method: "GET",
        path: "/api/crm/records/items?limit=20".to_owned(),
        token,
        body: String::new(),
        status: 200,
    }
}

/// A round: what each request of the neighbours took, in microseconds.
pub(crate) async fn neighbours(address: SocketAddr, asked: Vec<Request>) -> Result<Vec<u32>> {
    on_a_thread(async move || {
        let began = Instant::now();
        let clients = asked
            .iter()
            .enumerate()
            .map(|(number, request)| async move {
                let mut connection = Connection::open(address).await?;
                // They do not come together.
                let share = number as f64 / NEIGHBOURS as f64;
                tokio::time::sleep(NEIGHBOUR_PAUSE.mul_f64(share)).await;
                let mut ticks = tokio::time::interval(NEIGHBOUR_PAUSE);
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                let mut took = Vec::new();
                while began.elapsed() < WARM_UP + MEASURED {
                    ticks.tick().await;
                    let asked = Instant::now();
                    connection.send(request).await?;
                    if asked - began >= WARM_UP {
                        took.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
                    }
                }
                anyhow::Ok(took)
            });
        let took = futures::future::try_join_all(clients).await?;
        Ok(took.into_iter().flatten().collect())
    })
    .await
}

/// The noisy tenant, on a thread of its own.
struct Noise {
    counts: Arc<Counts>,
    sending: tokio::task::JoinHandle<Result<()>>,
}

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    refused: AtomicU64,
    is_over: std::sync::atomic::AtomicBool,
}

impl Noise {
    fn begin(address: SocketAddr, request: Arc<Request>) -> Self {
        let counts = Arc::new(Counts::default());
        let counting = Arc::clone(&counts);
        let sending = tokio::spawn(on_a_thread(async move || {
            let pause = NOISY_CONNECTIONS as f64 / (RATE_PER_SECOND * NOISE);
            let clients = (0..NOISY_CONNECTIONS).map(|number| {
                let (counts, request) = (&counting, &request);
                async move {
                    let mut connection = Connection::open(address).await?;
                    let first = Duration::from_secs_f64(pause / 10.0 * number as f64);
                    tokio::time::sleep(first).await;
                    let mut ticks = tokio::time::interval(Duration::from_secs_f64(pause));
                    while !counts.is_over.load(Ordering::Relaxed) {
                        ticks.tick().await;
                        let status = connection.send_any(request).await?;
                        counts.sent.fetch_add(1, Ordering::Relaxed);
                        if status == 429 {
                            counts.refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    anyhow::Ok(())
                }
            });
            futures::future::try_join_all(clients).await.map(drop)
        }));
        Self { counts, sending }
    }

    /// How many requests it sent, and how many of them were refused.
    async fn end(self) -> Result<(u64, u64)> {
        self.counts.is_over.store(true, Ordering::Relaxed);
        self.sending.await??;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Ok((read(&self.counts.sent), read(&self.counts.refused)))
    }
}
