//! `crm tenant plan`: the limits of one tenant's plugins.

use anyhow::{Context, Result, ensure};
use clap::Args;
use crm_engine::plans::plan_check;
use crm_model::AuditId;
use crm_model::plan::Plan;
use serde_json::{Value, json};
use std::path::PathBuf;

use super::{OPERATOR, fresh_id};
use crate::arguments::Common;
use crate::commands::token::find;
use crate::host::migrate;
use crate::{Database, say};

/// One file for each plan that you offer, given to as many tenants as you like.
#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    /// Its id or name
    #[arg(long, value_name = "TENANT")]
    tenant: String,
    /// The plan: {"plan": "business", "limits": {"fuel_max_units": 5000000000}}
    #[arg(long, value_name = "JSON", conflicts_with = "default")]
    file: Option<PathBuf>,
    /// Back to the defaults
    #[arg(long)]
    default: bool,
}

/// Sets the plan that is given, and shows what is set then.
pub(super) async fn plan(
    common: &Common,
    database: &Database,
    arguments: PlanArguments,
) -> Result<()> {
    let mut admin = database.admin().await?;
    migrate(&mut admin, say::step).await?;
    let tenant = find(&mut admin, &arguments.tenant).await?;
    let wanted = match &arguments.file {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("{} cannot be read", file.display()))?;
            let plan: Plan = serde_json::from_str(&text)
                .with_context(|| format!("{} is no plan", file.display()))?;
            let checked = plan_check(&plan).map_err(|violations| violations.to_string());
            ensure!(
                checked.is_ok(),
                "{}: {}",
                file.display(),
                checked.err().unwrap_or_default()
            );
            Some(plan)
        }
        None => arguments.default.then(Plan::default),
    };
    if let Some(plan) = &wanted {
        let (by, audit) = (OPERATOR.parse()?, AuditId::new(fresh_id()));
        admin.plan_set(tenant, plan, &by, audit).await?;
    }
    let plan = admin.plan_own(tenant).await?;
    let limits = serde_json::to_value(plan.limits)?;
    let set = limits.as_object().into_iter().flatten();
    let set: Vec<(&String, &Value)> = set.filter(|(_, value)| !value.is_null()).collect();
    if common.json {
        let limits: serde_json::Map<_, _> = set
            .into_iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        println!("{}", json!({ "plan": plan.name, "limits": limits }));
        return Ok(());
    }
    println!("{}", plan.name.as_deref().unwrap_or("default"));
    for (name, value) in set {
        println!("{name:<30} {value}");
    }
    Ok(())
}
