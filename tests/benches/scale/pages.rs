//! How long pages take: filters, sorts, both, and pages at the front, in the middle and at the
//! end, one client after the other, over HTTP.

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, NaiveTime};
use crm_model::query::{Query, QueryInput, RecordView, Scope};
use crm_model::{Model, RecordId};
use serde_json::{Value, json};
use std::sync::Arc;

use super::stones::{self, scattered, which};
use crate::load::{Connection, Request, one_by_one, quantile};
use crate::serving::Serving;

pub(super) const PATH: &str = "/api/crm/records/stones/query";

const IDEAL: &str = "Ideal";
/// Bodies that one case takes in turn.
const BODIES: u64 = 20;
/// Requests of a case whose times count.
const REQUESTS: usize = 400;
const WARM_UP: usize = 40;

/// A tenant that is asked, and what it has.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) model: Arc<Model>,
    pub(super) token: Arc<str>,
    pub(super) records: u64,
}

/// A kind of page, asked for with several values.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) requests: Vec<Request>,
}

/// What a case took.
pub(super) struct Took {
    pub(super) name: &'static str,
    pub(super) p50_milliseconds: f64,
    pub(super) p99_milliseconds: f64,
}

/// Measures each case.
pub(super) async fn measure(serving: &Serving, cases: Vec<Case>) -> Result<Vec<Took>> {
    let mut all = Vec::new();
    for case in cases {
        let requests = case.requests.iter().cycle().take(REQUESTS).cloned();
        let seen = one_by_one(serving.address, requests.collect(), WARM_UP).await;
        let seen = seen.context(case.name)?;
        let took = Took {
            name: case.name,
            p50_milliseconds: quantile(&seen, 0.5) / 1000.0,
            p99_milliseconds: quantile(&seen, 0.99) / 1000.0,
        };
        crate::say(&format!(
            "  {:<22} p50 {:>7.2} ms, p99 {:>7.2} ms",
            took.name, took.p50_milliseconds, took.p99_milliseconds
        ));
        all.push(took);
    }
    Ok(all)
}

/// The worst case's p99, in milliseconds.
pub(super) fn worst(all: &[Took]) -> f64 {
    all.iter()
        .map(|took| took.p99_milliseconds)
        .fold(0.0, f64::max)
}

pub(super) fn json(all: &[Took]) -> Value {
    let cases = all.iter().map(|took| {
        let figures = json!({
            "p50_milliseconds": took.p50_milliseconds,
            "p99_milliseconds": took.p99_milliseconds,
        });
        (took.name.to_owned(), figures)
    });
    Value::Object(cases.collect())
}

type Body = fn(u64) -> Value;

/// Pages from the front, by name: `n` is the number of a stone that is there.
const FRONT: [(&str, Body); 14] = [
    ("newest", |_| json!({})),
    (
        "filter_text",
        |n| json!({ "filter": eq("sku", json!(stones::sku(n))) }),
    ),
    ("filter_text_prefix", |n| {
        let sku = stones::sku(n);
        json!({ "filter": { "field": "sku", "op": "starts_with", "value": sku.get(..7) } })
    }),
    (
        "filter_select",
        |n| json!({ "filter": eq("cut", json!(which(n))) }),
    ),
    ("filter_decimal", |n| json!({ "filter": carat_range(n) })),
    (
        "filter_currency",
        |n| json!({ "filter": { "field": "price", "op": "gte", "value": amount(n) } }),
    ),
    ("filter_date", |n| json!({ "filter": days(n) })),
    (
        "filter_integer",
        |n| json!({ "filter": eq("lot", json!(1 + n % stones::LOTS)) }),
    ),
    (
        "filter_two",
        |n| json!({ "filter": { "and": [eq("cut", json!(which(n))), carat_range(n)] } }),
    ),
    ("sort_currency", |_| json!({ "sort": "-price" })),
    ("sort_text", |_| json!({ "sort": "sku" })),
    (
        "filter_select_sort",
        |n| json!({ "filter": eq("cut", json!(which(n))), "sort": "-price" }),
    ),
    (
        "filter_range_sort",
        |n| json!({ "filter": days(n), "sort": "carat" }),
    ),
    (
        "filter_wide_sort",
        |n| json!({ "filter": { "field": "price", "op": "gte", "value": amount(n) }, "sort": "-bought_on" }),
    ),
];

/// Orders whose first, middle and last pages are asked for.
const PAGED: [([&str; 3], Body); 3] = [
    (["newest_first", "newest_middle", "newest_last"], |_| {
        json!({})
    }),
    (
        ["sorted_first", "sorted_middle", "sorted_last"],
        |_| json!({ "sort": "-price" }),
    ),
    (
        [
            "filtered_sorted_first",
            "filtered_sorted_middle",
            "filtered_sorted_last",
        ],
        |_| json!({ "filter": eq("cut", json!(IDEAL)), "sort": "price" }),
    ),
];

fn eq(field: &str, value: Value) -> Value {
    json!({ "field": field, "op": "eq", "value": value })
}

fn amount(n: u64) -> Value {
    stones::price(n).get("amount").cloned().unwrap_or_default()
}

fn carat_range(n: u64) -> Value {
    let low = 20 + scattered(n, 2) % 470;
    let hundredths = |number: u64| format!("{}.{:02}", number / 100, number % 100);
    json!({ "field": "carat", "op": "between", "value": [hundredths(low), hundredths(low + 5)] })
}

fn days(n: u64) -> Value {
    let day = stones::bought_on(n)
        .map(|day| day.to_string())
        .unwrap_or_default();
    json!({ "field": "bought_on", "op": "between", "value": [day, day] })
}

/// The cases, each spread over all of the tenants.
pub(super) async fn cases(serving: &Serving, tenants: &[Asked]) -> Result<Vec<Case>> {
    let mut cases: Vec<Case> = Vec::new();
    for (name, body) in FRONT {
        let mut requests = Vec::new();
        for turn in 0..BODIES {
            for tenant in tenants {
                let number = scattered(turn, 7) % tenant.records;
                requests.push(request(tenant, &body(number)));
            }
        }
        cases.push(Case { name, requests });
    }
    for (names, body) in PAGED {
        for (name, part) in names.into_iter().zip([0.0, 0.5, 1.0]) {
            let mut requests = Vec::new();
            for tenant in tenants {
                requests.push(page(serving, tenant, body(0), part).await?);
            }
            cases.push(Case { name, requests });
        }
    }
    Ok(cases)
}

fn request(tenant: &Asked, body: &Value) -> Request {
    Request {
        method: "POST",
        path: PATH.to_owned(),
        token: Arc::clone(&tenant.token),
        body: body.to_string(),
        status: 200,
    }
}

/// The page that begins behind this part of the list; the very end means the last page.
async fn page(serving: &Serving, tenant: &Asked, mut body: Value, part: f64) -> Result<Request> {
    if part > 0.0 {
        let cursor = cursor(serving, tenant, &body, part)?;
        if let Some(body) = body.as_object_mut() {
            body.insert("cursor".to_owned(), Value::String(cursor));
        }
    }
    let request = request(tenant, &body);
    let mut connection = Connection::open(serving.address).await?;
    let found: Value = serde_json::from_slice(connection.send(&request).await?)?;
    let is_last = found.get("next_cursor").is_none_or(Value::is_null);
    let rows = found
        .get("data")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    ensure!(rows > 0, "an empty page: {}", request.body);
    ensure!(part < 1.0 || is_last, "not the last page: {}", request.body);
    Ok(request)
}

/// Where a part of the list ends, as the server itself says it.
fn cursor(serving: &Serving, tenant: &Asked, body: &Value, part: f64) -> Result<String> {
    let slug = stones::MODULE.parse()?;
    let input = QueryInput {
        filter: body.get("filter").cloned(),
        sort: body
            .get("sort")
            .cloned()
            .map(serde_json::from_value)
            .transpose()?,
        ..QueryInput::default()
    };
    let scope = Scope::person(&tenant.model, &serving.person, DateTime::UNIX_EPOCH);
    let query = Query::parse(scope, &slug, &input)
        .map_err(|violations| anyhow::anyhow!("{violations:?}"))?;
    let number = number_at(tenant, body, part).context("there are no records")?;
    let at = stones::bought_on(number)?
        .and_time(NaiveTime::MIN)
        .and_utc();
    Ok(query.cursor_after(&RecordView {
        id: RecordId::new(stones::record_id(number)),
        version: 1,
        owner_id: "bench",
        created_at: at,
        created_by: "bench",
        updated_at: at,
        updated_by: "bench",
        data: &stones::stone(number)?,
    }))
}

/// The number of the stone at this part of the list; at the very end, of the sixth from the last.
/// Found in memory: asking the database would sort a million rows anew for each page.
fn number_at(tenant: &Asked, body: &Value, part: f64) -> Option<u64> {
    let sort = body.get("sort").and_then(Value::as_str);
    let mut numbers: Vec<u64> = match sort {
        Some("price") => (0..tenant.records)
            .filter(|n| stones::cut(*n) == IDEAL)
            .collect(),
        _ => (0..tenant.records).collect(),
    };
    if sort.is_some() {
        numbers.sort_by_key(|number| (stones::price_hundredths(*number), *number));
    }
    // All but the cheapest first are from the largest down.
    if sort != Some("price") {
        numbers.reverse();
    }
    let place = (numbers.len() as f64 * part) as usize;
    numbers
        .get(place.min(numbers.len().saturating_sub(6)))
        .copied()
}
