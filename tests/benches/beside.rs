//! What neighbours notice: turns of their requests with something beside them and without.

use anyhow::Result;
use crm_store::admin::Admin;
use std::fmt::Debug;
use std::time::Duration;

use crate::load::{Request, quantile};
use crate::neighbours::{list, neighbours};
use crate::report::median;
use crate::say;
use crate::scale::stones;
use crate::serving::Serving;

/// How many rounds, and how long each turn of a round takes.
#[derive(Clone, Copy)]
pub(crate) struct Rounds {
    pub(crate) count: u32,
    /// Of each turn, what does not count.
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What the requests took in the turns of one kind, in microseconds.
#[derive(Default)]
pub(crate) struct Seen {
    /// Fastest first.
    pub(crate) took: Vec<u32>,
    /// Of each turn.
    pub(crate) p99: Vec<f64>,
}

impl Seen {
    /// Over all turns.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        quantile(&self.took, share)
    }

    /// The median of the turns'.
    pub(crate) fn p99(&self) -> f64 {
        median(&self.p99)
    }
}

/// So many tenants with a template, and what each asks for.
pub(crate) async fn tenants(
    serving: &Serving,
    admin: &mut Admin,
    count: usize,
) -> Result<Vec<Request>> {
    let mut asked = Vec::new();
    for number in 0..count as u64 {
        let tenant = stones::tenant(number);
        admin.tenant_create(tenant, "Bench").await?;
        let (person, template) = (serving.person.clone(), "jewellery".parse()?);
        let engine = &serving.host.engine;
        engine
            .template_select(tenant, person, template, None, None)
            .await?;
        asked.push(list(serving.token(tenant)?));
    }
    Ok(asked)
}

/// A turn of each kind in each round. `begin` starts what is beside the requests, `end` stops it
/// and waits until it has ended.
pub(crate) async fn in_turns<K: Copy + Debug, T, const KINDS: usize>(
    serving: &Serving,
    asked: &[Request],
    rounds: Rounds,
    kinds: [K; KINDS],
    begin: impl Fn(K) -> Result<T>,
    mut end: impl AsyncFnMut(T) -> Result<()>,
) -> Result<[Seen; KINDS]> {
    let mut seen = std::array::from_fn(|_| Seen::default());
    // The first does not count: what is met for the first time takes longer.
    for round in 0..=rounds.count {
        let mut turns: Vec<_> = kinds.into_iter().zip(&mut seen).collect();
        // Which of them comes first changes, and what comes after what.
        turns.rotate_left(round as usize % KINDS);
        if (round as usize / KINDS) % 2 == 1 {
            turns.reverse();
        }
        for (kind, seen) in turns {
            let beside = begin(kind)?;
            let mut took = neighbours(serving.address, asked.to_vec(), rounds).await?;
            end(beside).await?;
            if round > 0 {
                took.sort_unstable();
                seen.p99.push(quantile(&took, 0.99));
                seen.took.extend(took);
            }
        }
        let p99 = kinds.iter().zip(&seen).filter_map(|(kind, seen)| {
            let last = seen.p99.last()?;
            Some(format!("{last:.0} µs {kind:?}"))
        });
        let p99: Vec<_> = p99.collect();
        if !p99.is_empty() {
            say(&format!("round {round}: p99 {}", p99.join(", ")));
        }
    }
    for seen in &mut seen {
        seen.took.sort_unstable();
    }
    Ok(seen)
}
