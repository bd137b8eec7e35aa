//! Converts an amount of money into another currency, exactly, and keeps the rates.
//!
//! Configuration: `{"from": "price", "to": "price_home", "currency": "CHF", "decimals": 2}`, and
//! `rates`, for as long as none are kept. Rates are `{"base": "EUR", "rates": {"USD": "1.0870",
//! "CHF": "0.9500"}}`: so many of each are one of the base. An event that brings some, as its
//! payload or as the body of an answer, has them kept for all later ones. The result is rounded
//! commercially, half away from zero.

mod rates;

use crm_actions::{Record, current};
use crm_plugin_sdk::{Answer, Event, Failure, Mutation, Outcome, json, state};
use rust_decimal::{Decimal, RoundingStrategy};
use serde::Deserialize;
use serde_json::Value;

use rates::Rates;

/// Where the rates are kept.
const KEY: &str = "rates";

/// The step's configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    from: String,
    to: String,
    /// ISO 4217 code.
    currency: String,
    #[serde(default = "two")]
    decimals: u32,
    rates: Option<Rates>,
}

const fn two() -> u32 {
    2
}

#[derive(Debug, Deserialize)]
struct Money {
    #[serde(with = "rust_decimal::serde::str")]
    amount: Decimal,
    currency: String,
}

/// An update of the amount or, for an event that brings rates, nothing but their being kept.
///
/// # Errors
/// Skips when the record is gone, has no amount, or has the right one already; fails where there
/// is no rate, and where a result is out of range.
pub fn run(event: Event<Record>, config: Config) -> Outcome {
    if let Some(rates) = Rates::brought_by(event.payload.as_ref())? {
        state::set(KEY, &rates)?;
        return Ok(Answer::new());
    }
    let record = current(&event)?;
    let there = record.get(&config.to).unwrap_or(&Value::Null);
    let wanted = match record.get(&config.from) {
        None | Some(Value::Null) => Value::Null,
        Some(money) => converted(money, &config)?,
    };
    if wanted == *there {
        return Err(Failure::skip("the amount is right already"));
    }
    let patch = json!({ config.to.clone(): wanted });
    Ok(Mutation::update(&event, patch).into())
}

fn converted(money: &Value, config: &Config) -> Result<Value, Failure> {
    let money = Money::deserialize(money).map_err(|error| {
        Failure::fail(format!("`{}` is no amount of money: {error}", config.from))
    })?;
    let amount = if money.currency == config.currency {
        money.amount
    } else {
        let kept: Option<Rates> = state::get(KEY)?;
        let rates = kept.as_ref().or(config.rates.as_ref());
        let rates = rates.ok_or_else(|| Failure::fail("there are no rates yet"))?;
        let (from, to) = (rates.of(&money.currency)?, rates.of(&config.currency)?);
        let product = money.amount.checked_mul(to);
        let quotient = product.and_then(|product| product.checked_div(from));
        quotient.ok_or_else(|| Failure::fail("the converted amount is out of range"))?
    };
    let strategy = RoundingStrategy::MidpointAwayFromZero;
    let mut rounded = amount.round_dp_with_strategy(config.decimals, strategy);
    rounded.rescale(config.decimals);
    Ok(json!({ "amount": rounded.to_string(), "currency": config.currency }))
}

crm_plugin_sdk::export_action!(run);

#[cfg(test)]
mod tests;
