//! What a tenant's model is made of: the chosen template, the overlay, the installed plugins.

use chrono::{DateTime, Utc};
use crm_model::business_hours::BusinessHours;
use crm_model::definition::{InstallDefinition, TemplateDefinition};
use crm_model::hooks::TemplateHooks;
use crm_model::manifest::Manifest;
use crm_model::model::{InstalledPlugin, ModelSource, TemplateReference};
use crm_model::plan::Plan;
use crm_model::settings::Settings;
use crm_model::{Grant, TemplateSlug, UserId};
use sqlx::postgres::PgQueryResult;
use sqlx::types::Json;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::building::building_read;
use crate::error::StoreError;
use crate::overlay::overlay_read;
use crate::roles::{members_read, teams_read};
use crate::tenant_tx::TenantTx;
use crate::workflows::counted;

#[derive(sqlx::FromRow)]
struct ConfigRow {
    template_slug: String,
    template_version: String,
    model_version: i64,
    time_zone: String,
    business_hours: Option<Json<BusinessHours>>,
    language: String,
    run_log_days: Option<i32>,
    suspended: bool,
    plan: Option<Json<Plan>>,
    definition: Json<TemplateDefinition>,
    digest: Option<String>,
    manifest: Option<Json<Manifest>>,
}

impl ConfigRow {
    /// None also where the template was published without its component.
    fn hooks(&mut self) -> Option<TemplateHooks> {
        let (digest, manifest) = (self.digest.take()?, self.manifest.take()?.0);
        let asked = manifest.capabilities;
        (!manifest.hooks.is_empty()).then(|| TemplateHooks {
            name: manifest.name,
            plugin: InstalledPlugin {
                version: manifest.version,
                digest,
                grant: Grant::new(asked.clone(), asked),
                settings: Arc::new("{}".to_owned()),
                enabled: true,
                concurrency: None,
            },
            hooks: manifest.hooks,
        })
    }
}

/// Reads everything that the tenant's model is compiled from; none before a template is chosen.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
pub async fn model_source(tx: &mut TenantTx) -> Result<Option<ModelSource>, StoreError> {
    let row: Option<ConfigRow> = sqlx::query_as(
        "select c.template_slug, c.template_version, c.model_version, c.time_zone, c.language,
            c.business_hours, c.run_log_days,
            exists (select from crm_suspensions s where s.tenant_id = c.tenant_id) as suspended,
            (select jsonb_build_object('plan', l.name, 'limits', l.limits)
            from crm_plans l where l.tenant_id = c.tenant_id) as plan,
            t.definition, p.digest, p.manifest
        from tenant_crm_configs c
        join crm_templates t on t.slug = c.template_slug and t.version = c.template_version
        left join crm_plugins p
            on p.name = c.template_slug and p.version = c.template_version and p.world = 'template'
        where c.tenant_id = $1",
    )
    .bind(tx.tenant_id().uuid())
    .fetch_optional(tx.connection())
    .await?;
    let Some(mut config) = row else {
        return Ok(None);
    };
    let overlay = overlay_read(tx).await?;
    let members = members_read(tx).await?;
    let teams = teams_read(tx).await?;
    let building = building_read(tx).await?;
    let workflows = crate::workflows::workflows_read(tx).await?;
    let plugins = crate::plugins::installs_list(tx).await?;
    let subscriptions = crate::webhooks::subscriptions_read(tx).await?;
    Ok(Some(ModelSource {
        tenant_id: tx.tenant_id(),
        version: config.model_version,
        template: TemplateReference {
            slug: config
                .template_slug
                .parse()
                .map_err(|error| StoreError::corrupt("template name", error))?,
            version: config
                .template_version
                .parse()
                .map_err(|error| StoreError::corrupt("template version", error))?,
        },
        hooks: config.hooks(),
        settings: Settings {
            time_zone: config
                .time_zone
                .parse()
                .map_err(|error| StoreError::corrupt("time zone", error))?,
            language: config.language,
            business_hours: config
                .business_hours
                .map(|hours| hours.0)
                .unwrap_or_default(),
            run_log_days: config.run_log_days.map(counted),
        },
        definition: config.definition.0,
        overlay,
        workflows,
        plugins: plugins
            .into_iter()
            .map(installed)
            .collect::<BTreeMap<_, _>>(),
        members,
        teams,
        building,
        suspended: config.suspended,
        plan: config.plan.map(|plan| plan.0).unwrap_or_default(),
        subscriptions,
    }))
}

fn installed(install: crate::plugins::Installed) -> (crm_model::PluginName, InstalledPlugin) {
    let Manifest {
        name,
        version,
        capabilities,
        ..
    } = install.manifest.0;
    (
        name,
        InstalledPlugin {
            version,
            digest: install.digest,
            grant: Grant::new(capabilities, install.granted.0),
            settings: Arc::new(install.settings.0.to_string()),
            enabled: install.enabled,
            concurrency: install.concurrency.map(crate::workflows::counted),
        },
    )
}

/// The name that the host OS has for the tenant; none where it knows no such tenant.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn tenant_name(tx: &mut TenantTx) -> Result<Option<String>, StoreError> {
    let name = sqlx::query_scalar("select name from crm_tenants where id = $1")
        .bind(tx.tenant_id().uuid())
        .fetch_optional(tx.connection())
        .await?;
    Ok(name)
}

/// Writes down which template the tenant chose; its model is version 1 then.
///
/// # Errors
/// [`StoreError::Exists`] where one is chosen already.
pub async fn template_select(
    tx: &mut TenantTx,
    slug: &TemplateSlug,
    version: &semver::Version,
    at: DateTime<Utc>,
    by: &UserId,
) -> Result<(), StoreError> {
    let inserted = sqlx::query(
        "insert into tenant_crm_configs (
            tenant_id, template_slug, template_version, model_version, selected_at, selected_by)
        values ($1, $2, $3, 1, $4, $5)
        on conflict do nothing",
    )
    .bind(tx.tenant_id().uuid())
    .bind(slug.as_str())
    .bind(version.to_string())
    .bind(at)
    .bind(by.as_str())
    .execute(tx.connection())
    .await?;
    fresh_or_exists(&inserted, || "a template choice".to_owned())
}

/// Installs a plugin with what the tenant grants it.
///
/// # Errors
/// [`StoreError::Exists`] where it is installed already.
pub async fn plugin_install(
    tx: &mut TenantTx,
    install: &InstallDefinition,
    at: DateTime<Utc>,
    by: &UserId,
) -> Result<(), StoreError> {
    let inserted = sqlx::query(
        "insert into crm_plugin_installs (
            tenant_id, plugin_name, plugin_version, granted, installed_at, installed_by)
        values ($1, $2, $3, $4, $5, $6)
        on conflict do nothing",
    )
    .bind(tx.tenant_id().uuid())
    .bind(install.plugin.as_str())
    .bind(install.version.to_string())
    .bind(Json(&install.grant))
    .bind(at)
    .bind(by.as_str())
    .execute(tx.connection())
    .await?;
    fresh_or_exists(&inserted, || format!("the install of “{}”", install.plugin))
}

/// An insert that found its key taken did nothing.
pub(crate) fn fresh_or_exists(
    inserted: &PgQueryResult,
    what: impl FnOnce() -> String,
) -> Result<(), StoreError> {
    match inserted.rows_affected() {
        0 => Err(StoreError::Exists(what())),
        _ => Ok(()),
    }
}

/// Locks the tenant's model against other changes of it and gives it the next version. Writers
/// of records do not wait.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn model_advance(tx: &mut TenantTx) -> Result<i64, StoreError> {
    let version = sqlx::query_scalar(
        "update tenant_crm_configs set model_version = model_version + 1
        where tenant_id = $1 returning model_version",
    )
    .bind(tx.tenant_id().uuid())
    .fetch_one(tx.connection())
    .await?;
    Ok(version)
}

/// The tenant's dashboards: name, title, layout.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn dashboards_list(
    tx: &mut TenantTx,
) -> Result<Vec<(String, String, serde_json::Value)>, StoreError> {
    let rows: Vec<(String, String, Json<serde_json::Value>)> = sqlx::query_as(
        "select slug, title, layout from crm_dashboards where tenant_id = $1 order by slug",
    )
    .bind(tx.tenant_id().uuid())
    .fetch_all(tx.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|(slug, title, layout)| (slug, title, layout.0))
        .collect())
}

/// What a tenant has, for a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Usage {
    pub records: i64,
    pub events: i64,
    pub activities: i64,
    /// Attempts at jobs that the run log holds.
    pub attempts: i64,
    /// Mutations that runs committed.
    pub mutations: i64,
}

/// Counts what a tenant has. Reads whole tables of the tenant: for summaries, not for requests.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn usage(tx: &mut TenantTx) -> Result<Usage, StoreError> {
    let usage = sqlx::query_as(
        "select
            (select count(*) from crm_records where tenant_id = $1 and deleted_at is null)
                as records,
            (select count(*) from crm_events where tenant_id = $1) as events,
            (select count(*) from crm_activities where tenant_id = $1) as activities,
            (select count(*) from crm_workflow_logs where tenant_id = $1) as attempts,
            (select coalesce(sum(jsonb_array_length(mutations)), 0)::bigint
            from crm_workflow_logs where tenant_id = $1 and status = 'done') as mutations",
    )
    .bind(tx.tenant_id().uuid())
    .fetch_one(tx.connection())
    .await?;
    Ok(usage)
}
