//! The store at size: many small tenants and a large one, with the index rows that the model
//! says they have. How long pages take in either, what more tenants cost a small one, how many
//! requests the large one answers beside pgbench, and the memory that all this takes.
//!
//! `BENCH_FULL=1` takes the sizes that the aims are meant for: 10,000 tenants of 100 records and
//! one of 1,000,000. Without it everything is a tenth of that. `BENCH_TENANTS` and
//! `BENCH_RECORDS` set the two sizes apart.

mod fill;
mod pages;
mod rates;
pub(crate) mod stones;

use anyhow::{Context, Result};
use crm_cli::postgres::{PrivatePostgres, find_server};
use crm_model::{Model, TenantId};
use crm_store::admin::Admin;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::fill::Filler;
use self::pages::{Asked, Took};
use crate::load::{Connection as Http, Request, one_by_one, quantile};
use crate::pgbench::{self, Pgbench};
use crate::report::{Aim, Measure, resident_bytes};
use crate::serving::{Serving, database, on_postgres};
use crate::{is_full, say, size};

pub(crate) const NAME: &str = "scale";

const DATABASE: &str = "bench_scale";
/// Records of a small tenant.
const SMALL_RECORDS: u64 = 100;
/// Small tenants that are there before all others, and are asked.
const FEW: u64 = 10;
/// Tenants that are asked for the first time.
const FIRST_ASKED_MAX: u64 = 2_000;
/// The p99 that a page of a small tenant may take, and one of the large tenant.
const SMALL_MILLISECONDS: f64 = 10.0;
const LARGE_MILLISECONDS: f64 = 50.0;

/// How much there is.
#[derive(Clone, Copy)]
struct Sizes {
    tenants: u64,
    records: u64,
}

impl Sizes {
    fn from_environment() -> Result<Self> {
        let (tenants, records) = if is_full() {
            (10_000, 1_000_000)
        } else {
            (1_000, 100_000)
        };
        Ok(Self {
            tenants: size("BENCH_TENANTS", tenants)?.max(FEW + 1),
            records: size("BENCH_RECORDS", records)?.max(1_000),
        })
    }
}

pub(crate) async fn measure() -> Result<Vec<Measure>> {
    let server = find_server().await?;
    let pgbench = pgbench::find(&server)?;
    let sizes = Sizes::from_environment()?;
    on_postgres(async |postgres| on(postgres, pgbench, sizes).await).await
}

async fn on(postgres: &PrivatePostgres, pgbench: PathBuf, sizes: Sizes) -> Result<Vec<Measure>> {
    let options = database(postgres, DATABASE).await?;
    let serving = Serving::start(&options).await?;
    let first = stones::tenant(0);
    Admin::connect(&options)
        .await?
        .tenant_create(first, "Bench")
        .await?;
    let model = define(&serving, first).await?;

    let mut filler = Filler::connect(&options, Arc::clone(&model)).await?;
    let few: Vec<TenantId> = (0..FEW).map(stones::tenant).collect();
    filler.fill(&few, SMALL_RECORDS).await?;
    let mut small = Vec::new();
    for tenant in few {
        small.push(asked(&serving, tenant, SMALL_RECORDS).await?);
    }
    say("pages of a small tenant, among few:");
    let cases = pages::cases(&serving, &small).await?;
    let among_few = pages::measure(&serving, cases).await?;

    let rest: Vec<TenantId> = (FEW..sizes.tenants).map(stones::tenant).collect();
    filler.fill(&rest, SMALL_RECORDS).await?;
    let large = stones::tenant(sizes.tenants);
    filler.fill(&[large], sizes.records).await?;
    say("pages of a small tenant, among many:");
    let cases = pages::cases(&serving, &small).await?;
    let among_many = pages::measure(&serving, cases).await?;
    say("pages of the large tenant:");
    let large = asked(&serving, large, sizes.records).await?;
    let cases = pages::cases(&serving, std::slice::from_ref(&large)).await?;
    let of_large = pages::measure(&serving, cases).await?;
    let first_asked = first_asked(&serving, sizes).await?;

    let mut measures = vec![
        within("pages_small", &among_many, SMALL_MILLISECONDS, sizes),
        within("pages_large", &of_large, LARGE_MILLISECONDS, sizes),
        growth(&among_few, &among_many, first_asked),
    ];
    let pgbench = Pgbench {
        variables: rates::variables(&large)?,
        clients: 32,
        ..Pgbench::new(pgbench, postgres, DATABASE)
    };
    measures.extend(rates::measure(&serving, &pgbench, &large).await?);
    serving.end().await?;
    Ok(measures)
}

/// Gives the first tenant the module that all have.
async fn define(serving: &Serving, tenant: TenantId) -> Result<Arc<Model>> {
    let engine = &serving.host.engine;
    engine
        .template_select(
            tenant,
            serving.person.clone(),
            "jewellery".parse()?,
            None,
            None,
        )
        .await?;
    let request = Request {
        method: "POST",
        path: "/api/crm/modules".to_owned(),
        token: serving.token(tenant)?,
        body: stones::definition().to_string(),
        status: 201,
    };
    Http::open(serving.address).await?.send(&request).await?;
    engine.model(tenant).await?.context("there is no model")
}

async fn asked(serving: &Serving, tenant: TenantId, records: u64) -> Result<Asked> {
    let model = serving.host.engine.model(tenant).await?;
    Ok(Asked {
        model: model.context("there is no model")?,
        token: serving.token(tenant)?,
        records,
    })
}

/// What the first request of a tenant takes, which compiles its model, and what that keeps in
/// memory.
async fn first_asked(serving: &Serving, sizes: Sizes) -> Result<Value> {
    let last = sizes.tenants.min(FEW + FIRST_ASKED_MAX);
    let mut requests = Vec::new();
    for number in FEW..last {
        requests.push(Request {
            method: "POST",
            path: pages::PATH.to_owned(),
            token: serving.token(stones::tenant(number))?,
            body: "{}".to_owned(),
            status: 200,
        });
    }
    let count = requests.len();
    let before = resident_bytes();
    let seen = one_by_one(serving.address, requests, 0).await?;
    let after = resident_bytes();
    let grown = before
        .zip(after)
        .map(|(before, after)| after.saturating_sub(before));
    let found = json!({
        "tenants": count,
        "p50_milliseconds": quantile(&seen, 0.5) / 1000.0,
        "p99_milliseconds": quantile(&seen, 0.99) / 1000.0,
        "resident_bytes_per_tenant": grown.map(|grown| grown as f64 / count as f64),
    });
    say(&format!("the first request of a tenant: {found}"));
    Ok(found)
}

/// The worst case's p99 beside what it may be.
fn within(name: &'static str, seen: &[Took], most: f64, sizes: Sizes) -> Measure {
    Measure {
        name,
        unit: "p99_milliseconds",
        ours: pages::worst(seen),
        reference: most,
        aim: Aim::AtMost(1.0),
        details: json!({
            "figure": "the slowest kind of page; the reference is what it may take",
            "tenants": sizes.tenants,
            "records_of_a_small_tenant": SMALL_RECORDS,
            "records_of_the_large_tenant": sizes.records,
            "pages": pages::json(seen),
        }),
        took: Duration::ZERO,
    }
}

/// What a small tenant's pages take among many, beside what they took among few.
fn growth(few: &[Took], many: &[Took], first_asked: Value) -> Measure {
    let mean = |seen: &[Took]| {
        let sum: f64 = seen.iter().map(|took| took.p50_milliseconds).sum();
        sum / seen.len() as f64
    };
    Measure {
        name: "pages_growth",
        unit: "p50_milliseconds",
        ours: mean(many),
        reference: mean(few),
        aim: Aim::AtMost(1.5),
        details: json!({
            "figure": "the mean of the medians of all kinds of pages; the reference is among few tenants",
            "few_tenants": FEW,
            "pages_among_few": pages::json(few),
            "first_request_of_a_tenant": first_asked,
        }),
        took: Duration::ZERO,
    }
}
