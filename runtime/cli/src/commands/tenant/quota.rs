//! `crm tenant quota`: what is set for one tenant.

use anyhow::Result;
use clap::Args;
use crm_model::AuditId;
use crm_model::quota::{QuotaChoice, QuotaName};
use serde_json::Value;

use super::{OPERATOR, fresh_id};
use crate::arguments::Common;
use crate::commands::token::find;
use crate::host::migrate;
use crate::{Database, say};

/// Numbers, `unlimited`, or `default` for what `crm serve` is told.
#[derive(Debug, Args)]
pub(crate) struct QuotaArguments {
    /// Its id or name
    #[arg(long, value_name = "TENANT")]
    tenant: String,
    /// Records that are not deleted
    #[arg(long, value_name = "NUMBER|unlimited|default")]
    records: Option<QuotaChoice>,
    /// Requests to the API in a window
    #[arg(long, value_name = "NUMBER|unlimited|default")]
    api_calls: Option<QuotaChoice>,
    /// Units of fuel that its plugins may burn in a window
    #[arg(long, value_name = "NUMBER|unlimited|default")]
    fuel: Option<QuotaChoice>,
    /// Runs of workflows that may wait at one time
    #[arg(long, value_name = "NUMBER|unlimited|default")]
    jobs: Option<QuotaChoice>,
    /// Runs of workflows that may be under way at one time
    #[arg(long, value_name = "NUMBER|unlimited|default")]
    running: Option<QuotaChoice>,
    /// Bytes of components that it brought along
    #[arg(long, value_name = "NUMBER|unlimited|default")]
    component_bytes: Option<QuotaChoice>,
    /// Bytes of those of them that are of the class `interpreter`; 0 where it may bring none
    #[arg(long, value_name = "NUMBER|unlimited|default")]
    interpreter_bytes: Option<QuotaChoice>,
}

/// Sets what is given, and shows what is set then.
pub(super) async fn quota(
    common: &Common,
    database: &Database,
    arguments: QuotaArguments,
) -> Result<()> {
    let mut admin = database.admin().await?;
    migrate(&mut admin, say::step).await?;
    let tenant = find(&mut admin, &arguments.tenant).await?;
    let wanted = [
        (QuotaName::Records, arguments.records),
        (QuotaName::ApiCalls, arguments.api_calls),
        (QuotaName::Fuel, arguments.fuel),
        (QuotaName::Jobs, arguments.jobs),
        (QuotaName::Running, arguments.running),
        (QuotaName::ComponentBytes, arguments.component_bytes),
        (QuotaName::InterpreterBytes, arguments.interpreter_bytes),
    ];
    let wanted: Vec<(QuotaName, QuotaChoice)> = wanted
        .into_iter()
        .filter_map(|(quota, choice)| Some((quota, choice?)))
        .collect();
    if !wanted.is_empty() {
        let (by, audit) = (OPERATOR.parse()?, AuditId::new(fresh_id()));
        admin.quotas_set(tenant, &wanted, &by, audit).await?;
    }
    let own = admin.quotas_own(tenant).await?;
    if common.json {
        println!("{own}");
        return Ok(());
    }
    for quota in QuotaName::ALL {
        let shown = match own.get(quota.name()) {
            None => "default".to_owned(),
            Some(Value::String(word)) => word.clone(),
            Some(amount) => amount.to_string(),
        };
        println!("{:<17} {shown}", quota.name());
    }
    Ok(())
}
