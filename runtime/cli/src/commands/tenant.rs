//! `crm tenant`: tenants of an installation without a host OS.

mod plan;
mod quota;

use anyhow::{Context, Result};
use clap::Subcommand;
use crm_model::{Actor, AuditId, TemplateSlug, TenantId};
use crm_store::StoreSettings;
use crm_store::admin::Tenant;
use serde_json::json;

use crate::arguments::Common;
use crate::code::sandbox_settings;
use crate::commands::token::find;
use crate::host::{Host, HostSettings, migrate};
use crate::{Database, say};

/// Who chooses a template on the command line.
const OPERATOR: &str = "crm-operator";

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Create a tenant; prints its id alone on standard output
    Create {
        /// What people call it
        #[arg(long)]
        name: String,
        /// The template to give it at once
        #[arg(long, value_name = "TEMPLATE")]
        template: Option<TemplateSlug>,
    },
    /// All tenants: id, name, and whether they are suspended
    List,
    /// Make a tenant read only: nobody writes, its workflows and tasks wait
    Suspend {
        /// Its id or name
        tenant: String,
    },
    /// Let a suspended tenant write again
    Resume {
        /// Its id or name
        tenant: String,
    },
    /// What a tenant may use up, where that differs from what `crm serve` is told
    Quota(quota::QuotaArguments),
    /// What one call of a tenant's plugins may take, where that differs from the defaults
    Plan(plan::PlanArguments),
}

pub(crate) async fn tenant(common: &Common, command: TenantCommand) -> Result<()> {
    let database =
        Database::open(common.database_url.as_deref(), &common.data_dir, say::step).await?;
    let done = match command {
        TenantCommand::Create { name, template } => {
            create(common, &database, &name, template).await
        }
        TenantCommand::List => list(common, &database).await,
        TenantCommand::Suspend { tenant } => suspend(&database, &tenant, true).await,
        TenantCommand::Resume { tenant } => suspend(&database, &tenant, false).await,
        TenantCommand::Quota(arguments) => quota::quota(common, &database, arguments).await,
        TenantCommand::Plan(arguments) => plan::plan(common, &database, arguments).await,
    };
    database.close().await;
    done
}

async fn create(
    common: &Common,
    database: &Database,
    name: &str,
    template: Option<TemplateSlug>,
) -> Result<()> {
    let name = name.trim();
    anyhow::ensure!(!name.is_empty(), "a tenant needs a name");
    let mut admin = database.admin().await?;
    migrate(&mut admin, say::step).await?;
    let id = new_tenant_id();
    match template {
        None => admin.tenant_create(id, name).await?,
        Some(template) => {
            let settings = HostSettings {
                dev_issuer: false,
                serving: Default::default(),
                quotas: Default::default(),
                effects: Default::default(),
                store: StoreSettings::default(),
                sandbox: sandbox_settings(&common.data_dir)?,
            };
            let host = Host::prepare(database, settings, say::step).await?;
            // Asked first, so that a wrong name leaves no tenant behind.
            host.engine.template(id, &template, None).await?;
            admin.tenant_create(id, name).await?;
            let actor = operator()?;
            let chosen = host
                .engine
                .template_select(id, actor, template, None, None)
                .await;
            host.engine.close().await;
            chosen.with_context(|| format!("tenant {id} was created, but has no template"))?;
        }
    }
    if common.json {
        println!("{}", json!({ "id": id, "name": name }));
    } else {
        println!("{id}");
    }
    Ok(())
}

/// Whoever has the database acts as an owner.
pub(crate) fn operator() -> Result<Actor> {
    Ok(Actor::person(OPERATOR.parse()?, vec!["owner".parse()?]))
}

async fn suspend(database: &Database, tenant: &str, suspended: bool) -> Result<()> {
    let mut admin = database.admin().await?;
    migrate(&mut admin, say::step).await?;
    let tenant = find(&mut admin, tenant).await?;
    let (by, audit) = (OPERATOR.parse()?, AuditId::new(fresh_id()));
    let changed = admin.tenant_suspend(tenant, suspended, &by, audit).await?;
    say::step(match (suspended, changed) {
        (true, true) => "suspended: everything can be read and nothing changed",
        (true, false) => "it was suspended already",
        (false, true) => "resumed",
        (false, false) => "it was not suspended",
    });
    Ok(())
}

/// A fresh id for a tenant.
pub(crate) fn new_tenant_id() -> TenantId {
    TenantId::new(fresh_id())
}

#[allow(
    clippy::disallowed_methods,
    reason = "here the command stands in for the host OS"
)]
fn fresh_id() -> uuid::Uuid {
    uuid::Uuid::now_v7()
}

async fn list(common: &Common, database: &Database) -> Result<()> {
    let mut admin = database.admin().await?;
    migrate(&mut admin, say::step).await?;
    let tenants = admin.tenants_list().await?;
    if common.json {
        let tenants: Vec<_> = tenants
            .iter()
            .map(|tenant| {
                let Tenant {
                    id,
                    name,
                    suspended,
                } = tenant;
                json!({ "id": id, "name": name, "suspended": suspended })
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&tenants)?);
    } else {
        for tenant in tenants {
            let suspended = match tenant.suspended {
                true => "  (suspended)",
                false => "",
            };
            println!("{}  {}{suspended}", tenant.id, tenant.name);
        }
    }
    Ok(())
}
