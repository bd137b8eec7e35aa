//! What the tenants of the scale measures hold: a module of their own with an indexed field of
//! each everyday type, and stones that look random but follow from their number alone.

use anyhow::{Context, Result};
use chrono::{Days, NaiveDate};
use crm_model::{Data, TenantId};
use serde_json::{Value, json};
use uuid::Uuid;

pub(super) const MODULE: &str = "stones";
pub(super) const CUTS: [&str; 5] = ["Fair", "Good", "Very Good", "Premium", "Ideal"];
/// Days on which stones were bought.
const DAYS: u64 = 2_000;
/// Lots in which they were bought.
pub(super) const LOTS: u64 = 500;

/// The module as `POST /modules` takes it.
pub(super) fn definition() -> Value {
    let options: Vec<Value> = CUTS
        .iter()
        .map(|cut| json!({ "value": cut, "label": cut }))
        .collect();
    json!({
        "slug": MODULE,
        "label": "Stone",
        "title_field": "sku",
        "fields": [
            { "key": "sku", "label": "Stock number", "type": "text", "indexed": true },
            { "key": "name", "label": "Name", "type": "text" },
            { "key": "carat", "label": "Carat", "type": "decimal", "precision": 7, "scale": 3, "indexed": true },
            { "key": "cut", "label": "Cut", "type": "select", "indexed": true, "options": options },
            { "key": "price", "label": "Price", "type": "currency", "indexed": true },
            { "key": "bought_on", "label": "Bought on", "type": "date", "indexed": true },
            { "key": "lot", "label": "Lot", "type": "integer", "indexed": true },
            { "key": "notes", "label": "Notes", "type": "long_text" },
        ],
    })
}

/// A tenant by its number.
pub(crate) fn tenant(number: u64) -> TenantId {
    TenantId::new(id(0x0196_0000_0000_7000_8000, number))
}

/// A record's id by its number; every tenant counts its own.
pub(super) fn record_id(number: u64) -> Uuid {
    id(0x0197_0000_0000_7000_8000, number)
}

fn id(first: u128, number: u64) -> Uuid {
    Uuid::from_u128(first << 48 | u128::from(number))
}

/// The stock number of a stone; their order is not the order of the numbers.
pub(super) fn sku(number: u64) -> String {
    format!("S-{:010}", scattered(number, 0) % 10_000_000_000)
}

/// The day of a stone.
pub(super) fn bought_on(number: u64) -> Result<NaiveDate> {
    NaiveDate::from_ymd_opt(2020, 1, 1)
        .and_then(|first| first.checked_add_days(Days::new(scattered(number, 1) % DAYS)))
        .context("not a day")
}

/// A stone's data, as it is stored.
pub(super) fn stone(number: u64) -> Result<Data> {
    let carat = hundredths(20 + scattered(number, 2) % 480);
    let cut = cut(number);
    let data = json!({
        "sku": sku(number),
        "name": format!("{carat} ct {cut} diamond"),
        "carat": carat.trim_end_matches('0').trim_end_matches('.'),
        "cut": cut,
        "price": price(number),
        "bought_on": bought_on(number)?.to_string(),
        "lot": 1 + scattered(number, 5) % LOTS,
        "notes": "Bought at auction, with a certificate of its grading.",
    });
    data.as_object().cloned().context("not an object")
}

/// How a stone is cut.
pub(super) fn cut(number: u64) -> &'static str {
    which(scattered(number, 3))
}

/// What a stone costs, in hundredths.
pub(super) fn price_hundredths(number: u64) -> u64 {
    10_000 + scattered(number, 4) % 2_000_000
}

/// What a stone costs.
pub(super) fn price(number: u64) -> Value {
    let amount = hundredths(price_hundredths(number));
    json!({ "amount": amount, "currency": "USD" })
}

pub(super) fn which(number: u64) -> &'static str {
    let place = usize::try_from(number % 5).unwrap_or(0);
    CUTS.get(place).copied().unwrap_or("Ideal")
}

fn hundredths(number: u64) -> String {
    format!("{}.{:02}", number / 100, number % 100)
}

/// A number that looks random (the finalizer of splitmix64).
pub(super) fn scattered(number: u64, salt: u64) -> u64 {
    let mut mixed = number
        .wrapping_add(salt << 48)
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
