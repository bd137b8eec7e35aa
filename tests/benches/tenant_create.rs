//! A tenant from nothing to its first template: the row that a host OS would write, and the choice
//! of the template over HTTP, one tenant after the other. The reference is the second that it may
//! take; what counts is the slowest of a hundred.

use anyhow::{Context, Result, ensure};
use crm_cli::postgres::PrivatePostgres;
use crm_store::admin::Admin;
use serde_json::json;
use std::time::{Duration, Instant};

use crate::load::{Connection, Request, quantile};
use crate::report::{Aim, Measure};
use crate::scale::stones;
use crate::serving::{Serving, database, on_postgres};

pub(crate) const NAME: &str = "tenant_create";

const DATABASE: &str = "bench_tenants";
const TEMPLATE: &str = "hospital";
const TENANTS: usize = 500;
const LIMIT_MILLISECONDS: f64 = 1000.0;

pub(crate) async fn measure() -> Result<Measure> {
    on_postgres(on).await
}

async fn on(postgres: &PrivatePostgres) -> Result<Measure> {
    let options = database(postgres, DATABASE).await?;
    let serving = Serving::start(&options).await?;
    let mut admin = Admin::connect(&options).await?;
    let mut http = Connection::open(serving.address).await?;
    let mut took = Vec::with_capacity(TENANTS);
    for number in 0..TENANTS as u64 {
        let tenant = stones::tenant(number);
        let choice = Request {
            method: "POST",
            path: "/api/crm/templates/select".to_owned(),
            token: serving.token(tenant)?,
            body: json!({ "template_id": TEMPLATE }).to_string(),
            status: 201,
        };
        let bootstrap = Request {
            method: "GET",
            path: "/api/crm/bootstrap".to_owned(),
            body: String::new(),
            status: 200,
            ..choice.clone()
        };
        let began = Instant::now();
        admin.tenant_create(tenant, "Bench").await?;
        http.send(&choice).await?;
        // It is not made before it can be used.
        let answer = String::from_utf8_lossy(http.send(&bootstrap).await?).into_owned();
        took.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
        ensure!(answer.contains("\"ready\""), "it is not ready: {answer}");
    }
    took.sort_unstable();
    serving.end().await?;
    let milliseconds = |share| quantile(&took, share) / 1000.0;
    let slowest = took.last().context("no tenant was made")?;
    Ok(Measure {
        name: NAME,
        unit: "milliseconds_p99",
        ours: milliseconds(0.99),
        reference: LIMIT_MILLISECONDS,
        aim: Aim::AtMost(1.0),
        details: json!({
            "tenants": TENANTS,
            "template": TEMPLATE,
            "milliseconds_p50": milliseconds(0.5),
            "milliseconds_p99": milliseconds(0.99),
            "milliseconds_most": f64::from(*slowest) / 1000.0,
        }),
        took: Duration::ZERO,
    })
}
