//! What neighbours notice: rounds of their requests with something beside them and without, in
//! turns.

use anyhow::Result;
use crm_store::admin::Admin;

use crate::load::{Request, quantile};
use crate::neighbours::{list, neighbours};
use crate::say;
use crate::scale::stones;
use crate::serving::Serving;

/// What the requests took, in microseconds.
#[derive(Default)]
pub(crate) struct Seen {
    /// Fastest first.
    pub(crate) without: Vec<u32>,
    pub(crate) with: Vec<u32>,
    /// Of each round.
    pub(crate) p99_without: Vec<f64>,
    pub(crate) p99_with: Vec<f64>,
    /// With to without.
    pub(crate) ratios: Vec<f64>,
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

/// `begin` starts what is beside the requests, `end` stops it and waits until it has ended.
pub(crate) async fn in_turns<T>(
    serving: &Serving,
    asked: &[Request],
    rounds: u32,
    begin: impl Fn() -> Result<T>,
    mut end: impl AsyncFnMut(T) -> Result<()>,
) -> Result<Seen> {
    let mut seen = Seen::default();
    // The first does not count: what is met for the first time takes longer.
    for round in 0..=rounds {
        // Which of the two comes first changes too.
        for turn in 0..2 {
            let is_with = (turn + round) % 2 == 0;
            let beside = is_with.then(&begin).transpose()?;
            let mut took = neighbours(serving.address, asked.to_vec()).await?;
            if let Some(beside) = beside {
                end(beside).await?;
            }
            took.sort_unstable();
            if round == 0 {
                continue;
            }
            let slow = quantile(&took, 0.99);
            let (all, p99) = match is_with {
                true => (&mut seen.with, &mut seen.p99_with),
                false => (&mut seen.without, &mut seen.p99_without),
            };
            all.extend(took);
            p99.push(slow);
        }
        if let (Some(without), Some(with)) = (seen.p99_without.last(), seen.p99_with.last()) {
            seen.ratios.push(with / without);
            say(&format!(
                "round {round}: p99 {without:.0} µs without, {with:.0} µs with"
            ));
        }
    }
    seen.without.sort_unstable();
    seen.with.sort_unstable();
    Ok(seen)
}
