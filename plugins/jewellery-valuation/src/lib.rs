//! Values a gemstone: price per carat and a band, written to the item and noted on its timeline.
//!
//! Reads `carat`, `price`, `price_per_carat` and `value_band`; writes the last two. All arithmetic
//! is exact; the price per carat is rounded commercially, half away from zero.

mod config;

use crm_plugin_sdk::{ActivityKind, Answer, Event, Failure, Mutation, Outcome, json};
use rust_decimal::{Decimal, RoundingStrategy};
use serde::Deserialize;

pub use config::Config;

/// What of an item matters here.
#[derive(Debug, Deserialize)]
pub struct Item {
    #[serde(default, with = "rust_decimal::serde::str_option")]
    carat: Option<Decimal>,
    price: Option<Money>,
    price_per_carat: Option<Money>,
    value_band: Option<String>,
}

/// An amount in a currency.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Money {
    #[serde(with = "rust_decimal::serde::str")]
    amount: Decimal,
    currency: String,
}

/// Updates the item and notes it.
///
/// # Errors
/// Skips when there is nothing to value or the values are already right; fails for a weight that
/// is not positive, a price out of range, and a currency that the thresholds are not in.
pub fn run(event: Event<Item>, config: Config) -> Outcome {
    let Some(item) = &event.after else {
        return Err(Failure::skip("the item was deleted"));
    };
    let (Some(carat), Some(price)) = (item.carat, &item.price) else {
        return Err(Failure::skip("the item has no weight or no price yet"));
    };
    if carat <= Decimal::ZERO {
        return Err(Failure::fail(format!(
            "a weight of {carat} carat cannot be valued"
        )));
    }
    if price.currency != config.currency {
        return Err(Failure::fail(format!(
            "the thresholds are in {}, but the price is in {}",
            config.currency, price.currency
        )));
    }
    let per_carat = price_per_carat(price.amount, carat, config.decimals)
        .ok_or_else(|| Failure::fail("the price per carat is out of range"))?;
    let band = config.band(per_carat);
    let per_carat = Money {
        amount: per_carat,
        currency: price.currency.clone(),
    };
    if item.price_per_carat.as_ref() == Some(&per_carat) && item.value_band.as_deref() == Some(band)
    {
        return Err(Failure::skip("the valuation is already right"));
    }
    let Money { amount, currency } = per_carat;
    let title = format!("Valued at {currency} {amount} per carat: {band}");
    let patch = json!({
        "price_per_carat": { "amount": amount.to_string(), "currency": currency },
        "value_band": band,
    });
    Ok(Answer::new()
        .with(Mutation::update(&event, patch))
        .with(Mutation::activity(&event, ActivityKind::System, title)))
}

/// With exactly that many decimal places, as amounts of money are written.
fn price_per_carat(amount: Decimal, carat: Decimal, decimals: u32) -> Option<Decimal> {
    let mut rounded = amount
        .checked_div(carat)?
        .round_dp_with_strategy(decimals, RoundingStrategy::MidpointAwayFromZero);
    rounded.rescale(decimals);
    Some(rounded)
}

crm_plugin_sdk::export_action!(run);

#[cfg(test)]
mod tests;
