//! What one currency is worth in another.

use crm_plugin_sdk::Failure;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// How many of each currency are one of the base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rates {
    base: String,
    rates: BTreeMap<String, Rate>,
}

/// Written as text, so that it is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Rate(#[serde(with = "rust_decimal::serde::str")] Decimal);

impl Rates {
    /// The rates that an event brings: as its payload, or in the answer of another system.
    pub(crate) fn brought_by(payload: Option<&Value>) -> Result<Option<Self>, Failure> {
        let Some(payload) = payload else {
            return Ok(None);
        };
        let text = payload["body"].as_str();
        let parsed = text.and_then(|text| serde_json::from_str(text).ok());
        let body = parsed.unwrap_or_else(|| payload["body"].clone());
        let brought = [payload, &body]
            .into_iter()
            .find(|one| one.get("rates").is_some());
        let Some(brought) = brought else {
            return Ok(None);
        };
        let rates = Self::deserialize(brought);
        let rates = rates
            .map_err(|error| Failure::fail(format!("the rates could not be read: {error}")))?;
        if rates.rates.values().any(|rate| rate.0 <= Decimal::ZERO) {
            return Err(Failure::fail("a rate is not positive: none are kept"));
        }
        Ok(Some(rates))
    }

    /// How many of the currency are one of the base.
    pub(crate) fn of(&self, currency: &str) -> Result<Decimal, Failure> {
        if currency == self.base {
            return Ok(Decimal::ONE);
        }
        let rate = self.rates.get(currency).map(|rate| rate.0);
        rate.filter(|rate| *rate > Decimal::ZERO)
            .ok_or_else(|| Failure::fail(format!("there is no rate for {currency}")))
    }
}
