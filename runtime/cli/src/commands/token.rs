//! `crm token`: a token of the development issuer, which has to be enabled.

use anyhow::{Result, bail};
use clap::Args;
use crm_model::{Actor, RoleSlug, TenantId, UserId};
use crm_store::admin::{Admin, Tenant};
use std::time::Duration;

use crate::arguments::Common;
use crate::host::{dev_issuer, migrate};
use crate::{Database, say};

#[derive(Debug, Args)]
pub(crate) struct TokenArguments {
    /// The tenant: its id or its name
    #[arg(long)]
    tenant: String,
    /// A role of the tenant's template; may be given several times
    #[arg(long, required = true)]
    role: Vec<RoleSlug>,
    /// Whose token it is
    #[arg(long, default_value = "dev-user")]
    user: UserId,
    /// How long it is good for, in seconds
    #[arg(long, default_value_t = 3600, value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    ttl: u64,
}

pub(crate) async fn token(common: &Common, arguments: TokenArguments) -> Result<()> {
    if !common.dev_issuer {
        bail!(
            "the development issuer is not enabled; set CRM_DEV_ISSUER=1 here and for `crm serve` \
             (never on a public server: whoever runs this command gets in)"
        );
    }
    let database =
        Database::open(common.database_url.as_deref(), &common.data_dir, say::step).await?;
    let token = sign(&database, &arguments).await;
    database.close().await;
    let token = token?;
    if common.json {
        println!(
            "{}",
            serde_json::json!({ "token": token, "expires_in": arguments.ttl })
        );
    } else {
        println!("{token}");
    }
    Ok(())
}

async fn sign(database: &Database, arguments: &TokenArguments) -> Result<String> {
    let mut admin = database.admin().await?;
    migrate(&mut admin, say::step).await?;
    let tenant = find(&mut admin, &arguments.tenant).await?;
    let actor = Actor::person(arguments.user.clone(), arguments.role.clone());
    let issuer = dev_issuer(&mut admin).await?;
    issuer
        .sign(tenant, &actor, Duration::from_secs(arguments.ttl))
        .map_err(anyhow::Error::msg)
}

/// The tenant of that id or name.
pub(crate) async fn find(admin: &mut Admin, tenant: &str) -> Result<TenantId> {
    let tenants = admin.tenants_list().await?;
    let id = tenant.parse::<TenantId>().ok();
    let matches: Vec<&Tenant> = tenants
        .iter()
        .filter(|known| Some(known.id) == id || known.name == tenant)
        .collect();
    match matches.as_slice() {
        [one] => Ok(one.id),
        [] => bail!("there is no tenant “{tenant}”; `crm tenant list` shows them all"),
        _ => bail!("several tenants are called “{tenant}”; use the id (`crm tenant list`)"),
    }
}
