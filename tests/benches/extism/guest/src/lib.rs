//! What the valuation action does, as an extism plugin and somewhat less of it: reads an event of
//! about 1 kB, works out a price, answers with a mutation.

use extism_pdk::{FnResult, plugin_fn};
use serde_json::{Value, json};

/// JSON to JSON.
#[plugin_fn]
pub fn run(event: Vec<u8>) -> FnResult<Vec<u8>> {
    let event: Value = serde_json::from_slice(&event)?;
    let after = &event["after"];
    let carat: f64 = after["carat"].as_str().unwrap_or_default().parse()?;
    let mutation = json!([{
        "op": "update",
        "module": event["module"],
        "record_id": event["record_id"],
        "expected_version": event["record_version"],
        "patch": { "price": { "amount": (carat * 1_500.0).to_string(), "currency": "USD" } },
    }]);
    Ok(serde_json::to_vec(&mutation)?)
}
