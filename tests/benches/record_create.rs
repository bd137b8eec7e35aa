//! Records created over HTTP: each validated and committed with its history, its event, what is
//! indexed, unique and searched of it, and one job. The reference: pgbench with the same rows in
//! the same tables, pipelined, under the same row-level security, on the same server, with as many
//! clients.
//!
//! Both take turns, each in a database of its own; no worker runs, so that the jobs stay. The
//! server makes commits durable, as in production.

use anyhow::{Context, Result, ensure};
use crm_cli::postgres::{PrivatePostgres, find_server};
use crm_model::TenantId;
use crm_store::StoreSettings;
use crm_store::admin::Admin;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Row};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

use crate::load::{Load, Request, quantile};
use crate::pgbench::{self, Pgbench, Seen};
use crate::report::{Aim, Measure, median};
use crate::say;
use crate::serving::{Serving, database, on_postgres};

pub(crate) const NAME: &str = "record_create";

const CLIENTS: usize = 32;
const ROUNDS: u32 = 3;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(8);
/// More than any client creates in one run.
const RUN_CREATES_MAX: u64 = 100_000_000;

const OURS: &str = "bench_ours";
const REFERENCE: &str = "bench_reference";
const TENANT: TenantId = TenantId::new(Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0001));
const PATH: &str = "/api/crm/records/items";
/// Stands in a body where the number of the record goes.
const NUMBER: &str = "{number}";

const DIAMONDS: &str = include_str!("../../templates/jewellery/sample/diamonds.csv");

/// The statements that a create comes down to, in one transaction and one round trip. Ids grow, as
/// ours do: `n` is a client's own, and no two runs have one in common.
const PIPELINE: &str = r"\set n :n + 1
\set id :n * 100 + :client_id
\startpipeline
begin;
select set_config('crm.tenant_id', :tenant, true);
select language::regconfig from tenant_crm_configs where tenant_id = :tenant::uuid and model_version = :model_version::bigint;
insert into crm_records (tenant_id, id, module_slug, data, version, owner_id, created_at, created_by, updated_at, updated_by) values (:tenant::uuid, lpad(to_hex(:id::bigint), 32, '0')::uuid, 'items', :data::jsonb, 1, :person, now(), :person, now(), :person);
insert into crm_record_history (tenant_id, record_id, version, kind, changed_before, changed_after, changed_at, changed_by, cause, event_id) values (:tenant::uuid, lpad(to_hex(:id::bigint), 32, '0')::uuid, 1, 'record_created', null, :data::jsonb, now(), :person, :cause::jsonb, lpad(to_hex(:id::bigint), 32, '0')::uuid);
insert into crm_events (tenant_id, id, kind, module_slug, record_id, record_version, before, after, changed_fields, actor, cause, depth, occurred_at) values (:tenant::uuid, lpad(to_hex(:id::bigint), 32, '0')::uuid, 'record_created', 'items', lpad(to_hex(:id::bigint), 32, '0')::uuid, 1, null, :data::jsonb, :changed_fields::jsonb, :actor::jsonb, :cause::jsonb, 0, now());
insert into crm_index (tenant_id, slot, key, record_id) select :tenant::uuid, u.slot, u.key, lpad(to_hex(:id::bigint), 32, '0')::uuid from unnest(:slots::text[], :keys::text[]) as u (slot, key);
insert into crm_unique (tenant_id, slot, key, record_id) values (:tenant::uuid, :unique_slot, 'D-' || :id, lpad(to_hex(:id::bigint), 32, '0')::uuid);
insert into crm_words (tenant_id, word, module_slug, record_id) select :tenant::uuid, w.word, 'items', lpad(to_hex(:id::bigint), 32, '0')::uuid from unnest(tsvector_to_array(to_tsvector(:language::regconfig, :text))) as w (word);
insert into crm_jobs (tenant_id, id, workflow_slug, event_id, module_slug, record_id, state, available_at, created_at) values (:tenant::uuid, lpad(to_hex(:id::bigint), 32, '0')::uuid, 'valuation', lpad(to_hex(:id::bigint), 32, '0')::uuid, 'items', lpad(to_hex(:id::bigint), 32, '0')::uuid, 'queued', now(), now());
commit;
\endpipeline
";

/// The store's own statement, for comparison: what it costs without HTTP, model and engine. Its
/// arrays and its JSON have to be made here, which costs a little itself.
const STATEMENT: &str = r"\set n :n + 1
\set id :n * 100 + :client_id
select crm_commit(:tenant::uuid, :model_version::bigint, now(), :actor::jsonb, :cause::jsonb, 0, array['record_created'], array['items'], array[lpad(to_hex(:id::bigint), 32, '0')::uuid], array[0::bigint], array[lpad(to_hex(:id::bigint), 32, '0')::uuid], array[null::jsonb], array[:data::jsonb], array[:changed_fields::jsonb], array[null::jsonb], array[null::jsonb], null, null, null, null, null, :slots::text[], :keys::text[], array_fill(lpad(to_hex(:id::bigint), 32, '0')::uuid, array[cardinality(:slots::text[])]), null, null, array[:unique_slot], array['D-' || :id], array[lpad(to_hex(:id::bigint), 32, '0')::uuid], array['items'], array[lpad(to_hex(:id::bigint), 32, '0')::uuid], array[null::text], array[:text], null, null, jsonb_build_array(jsonb_build_object('id', lpad(to_hex(:id::bigint), 32, '0')::uuid, 'workflow', 'valuation', 'event_id', lpad(to_hex(:id::bigint), 32, '0')::uuid, 'module', 'items', 'record_id', lpad(to_hex(:id::bigint), 32, '0')::uuid, 'error', null)), null, null, null, null);
";

pub(crate) async fn measure() -> Result<Measure> {
    let server = find_server().await?;
    let pgbench = pgbench::find(&server)?;
    on_postgres(async |postgres| on(postgres, pgbench).await).await
}

async fn on(postgres: &PrivatePostgres, pgbench: std::path::PathBuf) -> Result<Measure> {
    let ours_options = database(postgres, OURS).await?;
    let reference_options = database(postgres, REFERENCE).await?;
    let mut connection = PgConnection::connect_with(&postgres.connect_options()).await?;
    let serving = Serving::start(&ours_options).await?;
    Admin::connect(&reference_options).await?.migrate().await?;
    let mut admin = Admin::connect(&ours_options).await?;
    admin.tenant_create(TENANT, "Bench").await?;
    let server_version = admin.server_version().await?;
    serving
        .host
        .engine
        .template_select(
            TENANT,
            serving.person.clone(),
            "jewellery".parse()?,
            None,
            None,
        )
        .await?;
    let load = load(&serving)?;

    // One record, so that the reference writes just what ours stores.
    let first = Arc::clone(&load)
        .run(1, Duration::ZERO, Duration::from_millis(1))
        .await?;
    let mut ours_connection = PgConnection::connect_with(&ours_options).await?;
    let mut reference_connection = PgConnection::connect_with(&reference_options).await?;
    let mut pgbench = Pgbench {
        variables: variables(&mut ours_connection, &mut reference_connection).await?,
        clients: CLIENTS,
        ..Pgbench::new(pgbench, postgres, REFERENCE)
    };

    let mut runs = 0;
    let mut ours = Vec::new();
    let mut reference = Vec::new();
    let mut latencies = Vec::new();
    let (mut acknowledged, mut transactions) = (first.acknowledged, 0);
    for round in 1..=ROUNDS {
        // Both begin with the whole log ahead of them.
        sqlx::query("checkpoint").execute(&mut connection).await?;
        let seen = Arc::clone(&load).run(CLIENTS, WARM_UP, MEASURED).await?;
        say(&format!(
            "round {round}: ours {:.0} creates/s",
            seen.per_second
        ));
        ours.push(seen.per_second);
        acknowledged += seen.acknowledged;
        latencies.push(latencies_json(&seen.latencies_microseconds));

        sqlx::query("checkpoint").execute(&mut connection).await?;
        transactions += numbered(&mut pgbench, &mut runs, PIPELINE, WARM_UP)
            .await?
            .transactions;
        let seen = numbered(&mut pgbench, &mut runs, PIPELINE, MEASURED).await?;
        say(&format!(
            "round {round}: pgbench {:.0} creates/s",
            seen.per_second
        ));
        reference.push(seen.per_second);
        transactions += seen.transactions;
    }
    let statement = numbered(&mut pgbench, &mut runs, STATEMENT, MEASURED).await?;
    transactions += statement.transactions;
    say(&format!(
        "pgbench with the store's statement: {:.0} creates/s",
        statement.per_second
    ));

    // All that was acknowledged is there, and nothing else, on both sides.
    for (connection, expected) in [
        (&mut ours_connection, acknowledged),
        (&mut reference_connection, transactions),
    ] {
        for (table, rows) in count(connection).await? {
            ensure!(
                u64::try_from(rows)? == expected,
                "{expected} creates were acknowledged, and {table} holds {rows} rows"
            );
        }
    }
    serving.end().await?;

    let details = json!({
        "postgresql_version": server_version,
        "fsync": true,
        "clients": CLIENTS,
        "store_statement_connections": StoreSettings::default().statement_connections,
        "rounds": ROUNDS,
        "warm_up_seconds": WARM_UP.as_secs_f64(),
        "measured_seconds": MEASURED.as_secs_f64(),
        "figure": "the median of the rounds, which took turns",
        "ours_creates_per_second_by_round": ours,
        "ours_latency_by_round": latencies,
        "reference_creates_per_second_by_round": reference,
        "pgbench_store_statement_creates_per_second": statement.per_second,
        "ratio_to_pgbench_store_statement": median(&ours) / statement.per_second,
        "ours_creates_acknowledged_and_found": acknowledged,
    });
    Ok(Measure {
        name: NAME,
        unit: "creates_per_second",
        ours: median(&ours),
        reference: median(&reference),
        aim: Aim::AtLeast(0.5),
        details,
        took: Duration::ZERO,
    })
}

/// The sample's diamonds, posted in turn, each under a number of its own.
fn load(serving: &Serving) -> Result<Arc<Load>> {
    let (token, bodies) = (serving.token(TENANT)?, bodies()?);
    let requests = move |number: u64| {
        let which = usize::try_from(number).unwrap_or(0) % bodies.len().max(1);
        let (before, after) = bodies.get(which).map_or(("", ""), |(b, a)| (b, a));
        Request {
            method: "POST",
            path: PATH.to_owned(),
            token: Arc::clone(&token),
            body: format!("{before}{number:08}{after}"),
            status: 201,
        }
    };
    Ok(Load::new(serving.address, Box::new(requests)))
}

/// The sample's diamonds as bodies of requests, each with a place for its number.
fn bodies() -> Result<Vec<(String, String)>> {
    let mut bodies = Vec::new();
    for line in DIAMONDS.lines().skip(1) {
        let row: Vec<&str> = line.split(',').map(|cell| cell.trim_matches('"')).collect();
        let [carat, cut, color, clarity, depth, table, price, x, y, z] = row.as_slice() else {
            anyhow::bail!("not a diamond: {line}");
        };
        let body = json!({ "data": {
            "sku": format!("D-{NUMBER}"),
            "name": format!("{carat} ct {cut} diamond, {color} {clarity}"),
            "carat": carat,
            "cut": cut,
            "color": color,
            "clarity": clarity,
            "depth": depth,
            "table": table,
            "price": { "amount": price, "currency": "USD" },
            "length_mm": x,
            "width_mm": y,
            "depth_mm": z,
        }});
        let body = body.to_string();
        let (before, after) = body.split_once(NUMBER).context("a body without a number")?;
        bodies.push((before.to_owned(), after.to_owned()));
    }
    Ok(bodies)
}

/// What the reference writes: the texts of a record that ours stored. Gives the reference's
/// tenant its model, too.
async fn variables(
    ours: &mut PgConnection,
    reference: &mut PgConnection,
) -> Result<Vec<(&'static str, String)>> {
    let stored = sqlx::query(
        "select e.after::text as data, e.changed_fields::text, e.actor::text, e.cause::text,
            c.model_version::text, c.language,
            i.slots, i.keys, q.slot as unique_slot, w.text
        from crm_events e
        join tenant_crm_configs c using (tenant_id)
        join crm_unique q using (tenant_id, record_id)
        cross join lateral (
            select array_agg(slot order by slot, key)::text as slots,
                array_agg(key order by slot, key)::text as keys
            from crm_index where record_id = e.record_id) i
        cross join lateral (
            select string_agg(word, ' ') as text from crm_words where record_id = e.record_id) w
        limit 1",
    )
    .fetch_one(ours)
    .await?;
    let mut variables = vec![
        ("tenant", TENANT.to_string()),
        ("person", "bench".to_owned()),
    ];
    for name in [
        "data",
        "changed_fields",
        "actor",
        "cause",
        "model_version",
        "language",
        "slots",
        "keys",
        "unique_slot",
        "text",
    ] {
        variables.push((name, stored.try_get(name)?));
    }
    let model_version: String = stored.try_get("model_version")?;
    sqlx::query(
        "insert into tenant_crm_configs (tenant_id, template_slug, template_version,
            model_version, selected_at, selected_by)
        values ($1, 'jewellery', '0.1.0', $2::bigint, now(), 'bench')",
    )
    .bind(TENANT.uuid())
    .bind(model_version)
    .execute(reference)
    .await?;
    Ok(variables)
}

/// Runs a script, with ids that begin where no earlier run's can have ended.
async fn numbered(
    pgbench: &mut Pgbench,
    runs: &mut u64,
    script: &str,
    time: Duration,
) -> Result<Seen> {
    *runs += 1;
    let first = *runs * RUN_CREATES_MAX;
    pgbench.variables.retain(|(name, _)| *name != "n");
    pgbench.variables.push(("n", first.to_string()));
    pgbench.run(script, time).await
}

/// Rows of the tables that a create writes, counted as the owner of the server.
async fn count(connection: &mut PgConnection) -> Result<[(&'static str, i64); 5]> {
    let (records, history, events, jobs, values): (i64, i64, i64, i64, i64) = sqlx::query_as(
        "select (select count(*) from crm_records), (select count(*) from crm_record_history),
            (select count(*) from crm_events), (select count(*) from crm_jobs),
            (select count(*) from crm_unique)",
    )
    .fetch_one(connection)
    .await?;
    Ok([
        ("crm_records", records),
        ("crm_record_history", history),
        ("crm_events", events),
        ("crm_jobs", jobs),
        ("crm_unique", values),
    ])
}

fn latencies_json(sorted: &[u32]) -> Value {
    let at = |share: f64| quantile(sorted, share) / 1000.0;
    json!({ "p50_milliseconds": at(0.5), "p99_milliseconds": at(0.99) })
}
