//! Requests a second in the large tenant: point read, filtered page, update, creates one by one
//! and in bulk; each beside pgbench with the same statements in one round trip.

use anyhow::Result;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::pages::{Asked, PATH};
use super::stones;
use crate::load::{Load, Request, Requests, quantile};
use crate::pgbench::Pgbench;
use crate::report::{Aim, Measure, median};
use crate::say;
use crate::serving::Serving;

const CLIENTS: usize = 32;
const ROUNDS: u32 = 3;
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(5);
/// Operations of a bulk request.
const BULK_ROWS: u64 = 1_000;
const CUT: &str = "Ideal";

const READ: &str = r"\set n random(0, :last)
\startpipeline
begin;
select set_config('crm.tenant_id', :tenant, true);
select model_version from tenant_crm_configs where tenant_id = :tenant::uuid;
select id, module_slug, data, version, owner_id, created_at, created_by, updated_at, updated_by, deleted_at from crm_records where tenant_id = :tenant::uuid and id = ('01970000-0000-7000-8000-' || lpad(to_hex(:n::bigint), 12, '0'))::uuid and module_slug = 'stones' and deleted_at is null;
commit;
\endpipeline
";

const PAGE: &str = r"\startpipeline
begin;
select set_config('crm.tenant_id', :tenant, true);
select model_version from tenant_crm_configs where tenant_id = :tenant::uuid;
select r.* from crm_index i cross join lateral (select id, module_slug, data, version, owner_id, created_at, created_by, updated_at, updated_by, deleted_at from crm_records r where r.tenant_id = :tenant::uuid and r.id = i.record_id and r.module_slug = 'stones' and r.deleted_at is null and ((r.data ->> 'cut') = 'Ideal') is true offset 0) r where i.tenant_id = :tenant::uuid and i.slot = 'stones.cut' and i.key = 'Ideal' order by i.record_id desc limit 51;
commit;
\endpipeline
";

const UPDATE: &str = r"\set n random(0, :last)
\startpipeline
begin;
select set_config('crm.tenant_id', :tenant, true);
select language::regconfig from tenant_crm_configs where tenant_id = :tenant::uuid;
select id, module_slug, data, version, owner_id, created_at, created_by, updated_at, updated_by, deleted_at from crm_records where tenant_id = :tenant::uuid and id = ('01970000-0000-7000-8000-' || lpad(to_hex(:n::bigint), 12, '0'))::uuid and module_slug = 'stones' and deleted_at is null;
update crm_records set data = :data::jsonb, version = version + 1, updated_at = now(), updated_by = :person where tenant_id = :tenant::uuid and id = ('01970000-0000-7000-8000-' || lpad(to_hex(:n::bigint), 12, '0'))::uuid;
insert into crm_record_history (tenant_id, record_id, version, kind, changed_before, changed_after, changed_at, changed_by, cause, event_id) values (:tenant::uuid, gen_random_uuid(), 2, 'record_updated', :changed::jsonb, :changed::jsonb, now(), :person, :cause::jsonb, gen_random_uuid());
insert into crm_events (tenant_id, id, kind, module_slug, record_id, record_version, before, after, changed_fields, actor, cause, depth, occurred_at) values (:tenant::uuid, gen_random_uuid(), 'record_updated', 'stones', gen_random_uuid(), 2, :data::jsonb, :data::jsonb, :fields::jsonb, :actor::jsonb, :cause::jsonb, 0, now());
delete from crm_index where tenant_id = :tenant::uuid and slot = 'stones.price' and key = '2531' and record_id = ('01970000-0000-7000-8000-' || lpad(to_hex(:n::bigint), 12, '0'))::uuid;
insert into crm_index (tenant_id, slot, key, record_id) values (:tenant::uuid, 'stones.price', '2531', gen_random_uuid());
commit;
\endpipeline
";

const CREATE: &str = r"\startpipeline
begin;
select set_config('crm.tenant_id', :tenant, true);
select language::regconfig from tenant_crm_configs where tenant_id = :tenant::uuid;
insert into crm_records (tenant_id, id, module_slug, data, version, owner_id, created_at, created_by, updated_at, updated_by) values (:tenant::uuid, gen_random_uuid(), 'stones', :data::jsonb, 1, :person, now(), :person, now(), :person);
insert into crm_record_history (tenant_id, record_id, version, kind, changed_before, changed_after, changed_at, changed_by, cause, event_id) values (:tenant::uuid, gen_random_uuid(), 1, 'record_created', null, :data::jsonb, now(), :person, :cause::jsonb, gen_random_uuid());
insert into crm_events (tenant_id, id, kind, module_slug, record_id, record_version, before, after, changed_fields, actor, cause, depth, occurred_at) values (:tenant::uuid, gen_random_uuid(), 'record_created', 'stones', gen_random_uuid(), 1, null, :data::jsonb, :fields::jsonb, :actor::jsonb, :cause::jsonb, 0, now());
insert into crm_index (tenant_id, slot, key, record_id) select :tenant::uuid, u.slot, u.key, gen_random_uuid() from unnest(:slots::text[], :keys::text[]) as u (slot, key);
commit;
\endpipeline
";

/// The measures, in the large tenant.
pub(super) async fn measure(
    serving: &Serving,
    pgbench: &Pgbench,
    asked: &Asked,
) -> Result<Vec<Measure>> {
    let mut measures = Vec::new();
    for (name, script, aim, requests) in [
        ("record_read", READ, 0.4, reads(asked)),
        ("record_page", PAGE, 0.4, pages(asked)),
        ("record_update", UPDATE, 0.4, updates(asked)),
        ("stone_create", CREATE, 0.5, creates(asked)),
    ] {
        let load = Load::new(serving.address, requests);
        measures.push(against_pgbench(name, load, pgbench, script, aim).await?);
    }
    measures.push(bulk(serving, asked).await?);
    Ok(measures)
}

/// What the scripts name.
pub(super) fn variables(asked: &Asked) -> Result<Vec<(&'static str, String)>> {
    let slug = stones::MODULE.parse()?;
    let data = stones::stone(1)?;
    let entries = asked
        .model
        .module(&slug)
        .map(|module| module.index_entries(&data));
    let entries = entries.unwrap_or_default();
    let fields: Vec<&String> = data.keys().collect();
    let list = |part: fn(&crm_model::derived::Entry) -> &String| {
        let quoted: Vec<String> = entries
            .iter()
            .map(|entry| format!("\"{}\"", part(entry)))
            .collect();
        format!("{{{}}}", quoted.join(","))
    };
    Ok(vec![
        ("tenant", asked.model.tenant_id().to_string()),
        ("last", (asked.records - 1).to_string()),
        ("person", "bench".to_owned()),
        ("fields", serde_json::to_string(&fields)?),
        ("changed", json!({ "price": stones::price(1) }).to_string()),
        (
            "actor",
            json!({ "user_id": "bench", "roles": ["owner"] }).to_string(),
        ),
        ("cause", json!({ "type": "user" }).to_string()),
        ("slots", list(|entry| &entry.slot)),
        ("keys", list(|entry| &entry.key)),
        ("data", serde_json::to_string(&data)?),
    ])
}

async fn against_pgbench(
    name: &'static str,
    load: Arc<Load>,
    pgbench: &Pgbench,
    script: &str,
    aim: f64,
) -> Result<Measure> {
    let (mut ours, mut reference, mut p99) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let seen = Arc::clone(&load).run(CLIENTS, WARM_UP, MEASURED).await?;
        ours.push(seen.per_second);
        p99.push(quantile(&seen.latencies_microseconds, 0.99) / 1000.0);
        pgbench.run(script, WARM_UP).await?;
        let bare = pgbench.run(script, MEASURED).await?.per_second;
        reference.push(bare);
        say(&format!(
            "{name}, round {round}: ours {:.0}/s, pgbench {bare:.0}/s",
            seen.per_second
        ));
    }
    Ok(Measure {
        name,
        unit: "requests_per_second",
        ours: median(&ours),
        reference: median(&reference),
        aim: Aim::AtLeast(aim),
        details: json!({
            "clients": CLIENTS,
            "figure": "the median of the rounds, which took turns",
            "measured_seconds": MEASURED.as_secs_f64(),
            "ours_requests_per_second_by_round": ours,
            "reference_requests_per_second_by_round": reference,
            "ours_p99_milliseconds_by_round": p99,
        }),
        took: Duration::ZERO,
    })
}

/// Rows a second of bulk requests beside creates one by one: with one client each, and with as
/// many as keep both cores busy.
async fn bulk(serving: &Serving, asked: &Asked) -> Result<Measure> {
    let single = Load::new(serving.address, creates(asked));
    let bulk = Load::new(serving.address, bulks(asked));
    let (mut ours, mut reference) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let seen = Arc::clone(&bulk).run(1, WARM_UP, MEASURED).await?;
        let rows = seen.per_second * BULK_ROWS as f64;
        let one = Arc::clone(&single)
            .run(1, WARM_UP, MEASURED)
            .await?
            .per_second;
        say(&format!(
            "record_bulk, round {round}: {rows:.0} rows/s, one by one {one:.0}/s"
        ));
        ours.push(rows);
        reference.push(one);
    }
    let many = Arc::clone(&bulk)
        .run(4, WARM_UP, MEASURED)
        .await?
        .per_second
        * BULK_ROWS as f64;
    let singles = Arc::clone(&single)
        .run(CLIENTS, WARM_UP, MEASURED)
        .await?
        .per_second;
    Ok(Measure {
        name: "record_bulk",
        unit: "rows_per_second",
        ours: median(&ours),
        reference: median(&reference),
        aim: Aim::AtLeast(10.0),
        details: json!({
            "figure": "one client sends bulk requests, or creates one by one; the median of the rounds",
            "rows_of_a_request": BULK_ROWS,
            "rows_per_second_of_4_clients": many,
            "creates_per_second_of_32_clients": singles,
            "ratio_of_many_clients": many / singles,
        }),
        took: Duration::ZERO,
    })
}

fn reads(asked: &Asked) -> Requests {
    let (token, records) = (Arc::clone(&asked.token), asked.records);
    Box::new(move |number| Request {
        method: "GET",
        path: record_path(number, records),
        token: Arc::clone(&token),
        body: String::new(),
        status: 200,
    })
}

fn record_path(number: u64, records: u64) -> String {
    let id = stones::record_id(stones::scattered(number, 8) % records);
    format!("/api/crm/records/{}/{id}", stones::MODULE)
}

fn pages(asked: &Asked) -> Requests {
    let token = Arc::clone(&asked.token);
    let body = json!({ "filter": { "field": "cut", "op": "eq", "value": CUT } }).to_string();
    Box::new(move |_| Request {
        method: "POST",
        path: PATH.to_owned(),
        token: Arc::clone(&token),
        body: body.clone(),
        status: 200,
    })
}

fn updates(asked: &Asked) -> Requests {
    let (token, records) = (Arc::clone(&asked.token), asked.records);
    Box::new(move |number| Request {
        method: "PATCH",
        path: record_path(number, records),
        token: Arc::clone(&token),
        body: json!({ "data": { "price": stones::price(number + records) } }).to_string(),
        status: 200,
    })
}

/// Numbers of new stones, behind all that are there.
fn fresh_numbers(asked: &Asked) -> Arc<AtomicU64> {
    Arc::new(AtomicU64::new(asked.records))
}

fn creates(asked: &Asked) -> Requests {
    let (token, numbers) = (Arc::clone(&asked.token), fresh_numbers(asked));
    Box::new(move |_| {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        Request {
            method: "POST",
            path: format!("/api/crm/records/{}", stones::MODULE),
            token: Arc::clone(&token),
            body: json!({ "data": stones::stone(number).unwrap_or_default() }).to_string(),
            status: 201,
        }
    })
}

fn bulks(asked: &Asked) -> Requests {
    let (token, numbers) = (Arc::clone(&asked.token), fresh_numbers(asked));
    let operations: Vec<_> = (0..BULK_ROWS)
        .map(|_| {
            let number = numbers.fetch_add(1, Ordering::Relaxed);
            json!({ "op": "create", "data": stones::stone(number).unwrap_or_default() })
        })
        .collect();
    // Written once: making it would cost the load generator more than the server.
    let body = json!({ "atomic": true, "operations": operations }).to_string();
    Box::new(move |_| Request {
        method: "POST",
        path: format!("/api/crm/records/{}/bulk", stones::MODULE),
        token: Arc::clone(&token),
        body: body.clone(),
        status: 200,
    })
}
