//! How long pages take: filters, sorts, both, and pages at the front, in the middle and at the
//! end, one client after the other, over HTTP.

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use crm_model::query::{Query, QueryInput, RecordView, Scope};
use crm_model::{Data, Model, RecordId};
use serde_json::{Value, json};
use sqlx::PgConnection;
use sqlx::types::Json;
use std::sync::Arc;
use uuid::Uuid;

use super::stones::{self, scattered, which};
use crate::load::{Connection, Request, one_by_one, quantile};
use crate::serving::Serving;

pub(super) const PATH: &str = "/api/crm/records/stones/query";

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
        |_| json!({ "filter": eq("cut", json!("Ideal")), "sort": "price" }),
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
pub(super) async fn cases(
    serving: &Serving,
    owner: &mut PgConnection,
    tenants: &[Asked],
) -> Result<Vec<Case>> {
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
                requests.push(page(serving, owner, tenant, body(0), part).await?);
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
async fn page(
    serving: &Serving,
    owner: &mut PgConnection,
    tenant: &Asked,
    mut body: Value,
    part: f64,
) -> Result<Request> {
    if part > 0.0 {
        let cursor = cursor(serving, owner, tenant, &body, part).await?;
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
async fn cursor(
    serving: &Serving,
    owner: &mut PgConnection,
    tenant: &Asked,
    body: &Value,
    part: f64,
) -> Result<String> {
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
    let (id, version, owner_id, at, data) = row_at(owner, tenant, body, part).await?;
    Ok(query.cursor_after(&RecordView {
        id: RecordId::new(id),
        version,
        owner_id: &owner_id,
        created_at: at,
        created_by: &owner_id,
        updated_at: at,
        updated_by: &owner_id,
        data: &data.0,
    }))
}

type Row = (Uuid, i64, String, DateTime<Utc>, Json<Data>);

/// The record at this part of the list; at the very end, the sixth from the last.
async fn row_at(owner: &mut PgConnection, tenant: &Asked, body: &Value, part: f64) -> Result<Row> {
    let sort = body.get("sort").and_then(Value::as_str);
    let (statement, count) = match sort {
        None => (NEWEST, tenant.records),
        Some("-price") => (DEAREST, tenant.records),
        Some(_) => {
            let count: i64 = sqlx::query_scalar(IDEALS)
                .bind(tenant.model.tenant_id().uuid())
                .fetch_one(&mut *owner)
                .await?;
            (CHEAPEST_IDEAL, u64::try_from(count)?)
        }
    };
    let place = (count as f64 * part) as u64;
    let place = place.min(count.saturating_sub(6));
    Ok(sqlx::query_as(statement)
        .bind(tenant.model.tenant_id().uuid())
        .bind(i64::try_from(place)?)
        .fetch_one(owner)
        .await?)
}

const NEWEST: &str = "select id, version, owner_id, created_at, data from crm_records
    where tenant_id = $1 and module_slug = 'stones' order by id desc offset $2 limit 1";
const DEAREST: &str = "select r.id, r.version, r.owner_id, r.created_at, r.data
    from (select record_id from crm_index where tenant_id = $1 and slot = 'stones.price'
        order by key desc, record_id desc offset $2 limit 1) i
    join crm_records r on r.tenant_id = $1 and r.id = i.record_id";
const IDEALS: &str = "select count(*) from crm_index
    where tenant_id = $1 and slot = 'stones.cut' and key = 'Ideal'";
const CHEAPEST_IDEAL: &str = "select r.id, r.version, r.owner_id, r.created_at, r.data
    from (select p.record_id from crm_index p
        join crm_index c on c.tenant_id = $1 and c.slot = 'stones.cut' and c.key = 'Ideal'
            and c.record_id = p.record_id
        where p.tenant_id = $1 and p.slot = 'stones.price'
        order by p.key, p.record_id offset $2 limit 1) i
    join crm_records r on r.tenant_id = $1 and r.id = i.record_id";
