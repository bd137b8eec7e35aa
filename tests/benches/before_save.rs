//! What a template's `before-save` adds to a create: records of two modules with the same fields,
//! one of which the hook is asked about, created over HTTP by one client, one of each in turns: a
//! disk changes its pace within seconds by more than is measured here. The figure is the difference
//! of the medians; the reference is what it may be.

use anyhow::Result;
use crm_cli::postgres::PrivatePostgres;
use crm_engine::publish::publish;
use crm_model::TenantId;
use crm_sandbox::{Sandbox, SandboxSettings};
use crm_store::admin::Admin;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

use crate::load::{Request, in_order, quantile};
use crate::report::{Aim, Measure, median};
use crate::say;
use crate::serving::{Serving, database, on_postgres};

pub(crate) const NAME: &str = "before_save";

const DATABASE: &str = "bench_before_save";
const TENANT: TenantId = TenantId::new(Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0002));
/// Of the template of `tests/guests/hooked`: with the hook, and without.
const MODULES: [&str; 2] = ["extras", "bare"];
const ROUNDS: u32 = 5;
/// Of each.
const CREATES: usize = 1_000;
/// Of both.
const WARM_UP: usize = 100;
const MOST_MICROSECONDS: f64 = 100.0;

pub(crate) async fn measure() -> Result<Measure> {
    on_postgres(on).await
}

async fn on(postgres: &PrivatePostgres) -> Result<Measure> {
    let options = database(postgres, DATABASE).await?;
    let serving = Serving::start(&options).await?;
    let mut admin = Admin::connect(&options).await?;
    let sandbox = Sandbox::new(SandboxSettings::default())?;
    publish(&mut admin, &sandbox, crm_tests::guests::component("hooked")).await?;
    admin.tenant_create(TENANT, "Bench").await?;
    let (person, template) = (serving.person.clone(), "hooked".parse()?);
    let engine = &serving.host.engine;
    engine
        .template_select(TENANT, person, template, None, None)
        .await?;

    let token = serving.token(TENANT)?;
    let mut medians = [Vec::new(), Vec::new()];
    let mut differences = Vec::new();
    for _ in 0..ROUNDS {
        let found = round(serving.address, Arc::clone(&token)).await?;
        let [with, without] = found.map(|took| quantile(&took, 0.5));
        differences.push(with - without);
        for (medians, found) in medians.iter_mut().zip([with, without]) {
            medians.push(found);
        }
    }
    serving.end().await?;
    let [with, without] = medians;
    let added = median(&with) - median(&without);
    say(&format!("before-save adds {added:.0} µs to a create"));
    Ok(Measure {
        name: NAME,
        unit: "microseconds_added_at_p50",
        ours: added,
        reference: MOST_MICROSECONDS,
        aim: Aim::AtMost(1.0),
        details: json!({
            "rounds": ROUNDS,
            "creates_per_round": CREATES,
            "microseconds_p50_with_by_round": with,
            "microseconds_p50_without_by_round": without,
            "microseconds_added_median_of_rounds": median(&differences),
        }),
        took: Duration::ZERO,
    })
}

/// What the creates took, in microseconds, fastest first: those with the hook, and those without.
async fn round(address: SocketAddr, token: Arc<str>) -> Result<[Vec<u32>; 2]> {
    let [with, without] = MODULES;
    // Which of the two comes first changes.
    let order = (0..CREATES).flat_map(|number| match number % 2 {
        0 => [with, without],
        _ => [without, with],
    });
    let order: Vec<&str> = order.collect();
    let requests = order.iter().enumerate();
    let requests = requests.map(|(number, module)| create(module, number, Arc::clone(&token)));
    let took = in_order(address, requests.collect(), WARM_UP).await?;
    Ok(MODULES.map(|module| {
        let own = order.iter().zip(&took).filter(|(of, _)| **of == module);
        let mut own: Vec<u32> = own.map(|(_, took)| *took).collect();
        own.sort_unstable();
        own
    }))
}

fn create(module: &str, number: usize, token: Arc<str>) -> Request {
    let data = json!({ "name": format!("Number {number}"), "mode": "fine", "age": 7 });
    Request {
        method: "POST",
        path: format!("/api/crm/records/{module}"),
        token,
        body: json!({ "data": data }).to_string(),
        status: 201,
    }
}
