//! What a template's `before-save` adds to a create: records of two modules with the same fields,
//! one of which the hook is asked about, created over HTTP by one client in turns. The figure is
//! the difference of the medians; the reference is what it may be.

use anyhow::Result;
use crm_cli::postgres::PrivatePostgres;
use crm_engine::publish::publish;
use crm_model::TenantId;
use crm_sandbox::{Sandbox, SandboxSettings};
use crm_store::admin::Admin;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

use crate::load::{Request, one_by_one, quantile};
use crate::report::{Aim, Measure, median};
use crate::say;
use crate::serving::{Serving, database, on_postgres};

pub(crate) const NAME: &str = "before_save";

const DATABASE: &str = "bench_before_save";
const TENANT: TenantId = TenantId::new(Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0002));
/// Of the template of `tests/guests/hooked`: with the hook, and without.
const MODULES: [&str; 2] = ["extras", "bare"];
const ROUNDS: u32 = 10;
const CREATES: usize = 500;
const WARM_UP: usize = 50;
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
    for round in 0..ROUNDS {
        let mut found = [0.0; 2];
        // Which of the two comes first changes.
        for turn in 0..2 {
            let which = ((turn + round) % 2) as usize;
            let Some(module) = MODULES.get(which) else {
                continue;
            };
            let requests = (0..CREATES).map(|number| create(module, number, Arc::clone(&token)));
            let took = one_by_one(serving.address, requests.collect(), WARM_UP).await?;
            let p50 = quantile(&took, 0.5);
            if let (Some(found), Some(medians)) = (found.get_mut(which), medians.get_mut(which)) {
                *found = p50;
                medians.push(p50);
            }
        }
        let [with, without] = found;
        differences.push(with - without);
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
