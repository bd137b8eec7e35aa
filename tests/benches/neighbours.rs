//! What tenants notice of a noisy one: how long their requests take while one tenant asks fifty
//! times as often as it may, beside how long they take without it. Rounds with and without take
//! turns, and the figure is the ratio of the two p99.
//!
//! Everybody's rate is low, so that fifty times as much can be sent from the same machine, and
//! neither the clients nor the server are short of a core: who would be, measures the machine.

use anyhow::{Result, ensure};
use crm_cli::postgres::PrivatePostgres;
use crm_server::edges::{Edges, Rate, Rates};
use crm_store::admin::Admin;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::beside::{Rounds, in_turns, tenants};
use crate::load::{Connection, Request, on_a_thread};
use crate::report::{Aim, Measure};
use crate::serving::{Serving, database, on_postgres};

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
const ROUNDS: Rounds = Rounds {
    count: 8,
    warm_up: Duration::from_secs(1),
    measured: Duration::from_secs(6),
};
/// How much longer a neighbour's slowest of a hundred may take.
const RATIO_MOST: f64 = 1.2;

pub(crate) async fn measure() -> Result<Measure> {
    on_postgres(on).await
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
    let options = database(postgres, DATABASE).await?;
    let serving = Serving::start_with(&options, edges()?).await?;
    let mut admin = Admin::connect(&options).await?;
    let mut asked = tenants(&serving, &mut admin, NEIGHBOURS + 1).await?;
    let noisy = asked.pop().map(Arc::new);
    let noisy = noisy.ok_or_else(|| anyhow::anyhow!("there is no noisy tenant"))?;

    let (mut refused, mut sent) = (0, 0);
    let begin = |beside| match beside {
        Beside::Nothing => Ok(None),
        Beside::Noise => Ok(Some(Noise::begin(serving.address, Arc::clone(&noisy)))),
    };
    let end = async |noise: Option<Noise>| {
        if let Some(noise) = noise {
            let (all, limited) = noise.end().await?;
            sent += all;
            refused += limited;
        }
        Ok(())
    };
    let kinds = [Beside::Nothing, Beside::Noise];
    let [without, with] = in_turns(&serving, &asked, ROUNDS, kinds, begin, end).await?;
    serving.end().await?;
    // Those of the round that does not count too.
    let seconds = f64::from(ROUNDS.count + 1) * (ROUNDS.warm_up + ROUNDS.measured).as_secs_f64();
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
        ours: with.quantile(0.99),
        reference: without.quantile(0.99),
        aim: Aim::AtMost(RATIO_MOST),
        details: json!({
            "neighbours": NEIGHBOURS,
            "tenant_rate": RATE,
            "noisy_per_second": per_second,
            "noisy_refused": refused,
            "samples_without": without.took.len(),
            "samples_with": with.took.len(),
            "microseconds_p50_without": without.quantile(0.5),
            "microseconds_p50_with": with.quantile(0.5),
            "microseconds_p99_without_by_round": without.p99,
            "microseconds_p99_with_by_round": with.p99,
            "ratio_of_p99_medians_of_rounds": with.p99() / without.p99(),
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

/// A turn: what each request of the neighbours took, in microseconds.
pub(crate) async fn neighbours(
    address: SocketAddr,
    asked: Vec<Request>,
    rounds: Rounds,
) -> Result<Vec<u32>> {
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
                // Nor after a moment in which the machine stood still: they would for the whole turn.
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
                let mut took = Vec::new();
                while began.elapsed() < rounds.warm_up + rounds.measured {
                    ticks.tick().await;
                    let asked = Instant::now();
                    connection.send(request).await?;
                    if asked - began >= rounds.warm_up {
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

#[derive(Clone, Copy, Debug)]
enum Beside {
    Nothing,
    Noise,
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
