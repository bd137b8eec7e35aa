//! Published components, as tenants see them.

use chrono::{DateTime, Utc};
use crm_model::manifest::Manifest;
use crm_model::{Capabilities, ModuleSlug, PluginName, TemplateSlug, UserId};
use sqlx::types::Json;

use crate::error::StoreError;
use crate::models::fresh_or_exists;
use crate::store::Store;
use crate::tenant_tx::TenantTx;
use crate::workflows::number;

/// A published template, without its model.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct TemplateSummary {
    pub slug: String,
    pub version: String,
    pub title: String,
    pub description: String,
    pub definition: Json<serde_json::Value>,
}

/// Every version of every published template, or of one.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn templates_list(
    tx: &mut TenantTx,
    slug: Option<&TemplateSlug>,
) -> Result<Vec<TemplateSummary>, StoreError> {
    let templates = sqlx::query_as(
        "select slug, version, title, description, definition
        from crm_templates where $1::text is null or slug = $1
        order by slug, published_at",
    )
    .bind(slug.map(TemplateSlug::as_str))
    .fetch_all(tx.connection())
    .await?;
    Ok(templates)
}

/// What a published plugin says about itself, and its digest.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn plugin_manifest(
    tx: &mut TenantTx,
    name: &PluginName,
    version: &semver::Version,
) -> Result<Option<(Manifest, String)>, StoreError> {
    let row: Option<(Json<Manifest>, String)> =
        sqlx::query_as("select manifest, digest from crm_plugins where name = $1 and version = $2")
            .bind(name.as_str())
            .bind(version.to_string())
            .fetch_optional(tx.connection())
            .await?;
    Ok(row.map(|(manifest, digest)| (manifest.0, digest)))
}

/// The bytes of a published component or one of the tenant’s own, by the digest of them.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn component_read(
    tx: &mut TenantTx,
    digest: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    let component = sqlx::query_scalar(
        "select component from crm_plugins where digest = $1
        union all
        select component from crm_tenant_components where tenant_id = $2 and digest = $1
        limit 1",
    )
    .bind(digest)
    .bind(tx.tenant_id().uuid())
    .fetch_optional(tx.connection())
    .await?;
    Ok(component)
}

/// A plugin as a tenant has it installed.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Installed {
    pub manifest: Json<Manifest>,
    pub digest: String,
    /// Whether the tenant brought it along itself.
    pub own: bool,
    pub granted: Json<Capabilities>,
    pub settings: Json<serde_json::Value>,
    pub enabled: bool,
    /// How many runs may be at a step of it at once; none: any number.
    pub concurrency: Option<i32>,
    pub installed_at: DateTime<Utc>,
    pub installed_by: String,
    pub updated_at: Option<DateTime<Utc>>,
    pub updated_by: Option<String>,
}

/// What a tenant has installed, by name.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn installs_list(tx: &mut TenantTx) -> Result<Vec<Installed>, StoreError> {
    let installs = sqlx::query_as(
        "select coalesce(p.manifest, c.manifest) as manifest, coalesce(p.digest, c.digest) as digest,
            p.name is null as own, i.granted, i.settings, i.enabled, i.concurrency,
            i.installed_at, i.installed_by, i.updated_at, i.updated_by
        from crm_plugin_installs i
        left join crm_plugins p on p.name = i.plugin_name and p.version = i.plugin_version
        left join crm_tenant_components c on c.tenant_id = i.tenant_id
            and c.name = i.plugin_name and c.version = i.plugin_version
        where i.tenant_id = $1 and (p.name is not null or c.name is not null)
        order by i.plugin_name",
    )
    .bind(tx.tenant_id().uuid())
    .fetch_all(tx.connection())
    .await?;
    Ok(installs)
}

/// A version that a tenant can install.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Available {
    pub manifest: Json<Manifest>,
    pub digest: String,
    /// Whether the tenant brought it along itself.
    pub own: bool,
}

/// The versions of actions that a tenant can install, all or those of one name.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn versions_list(
    tx: &mut TenantTx,
    name: Option<&PluginName>,
) -> Result<Vec<Available>, StoreError> {
    let versions = sqlx::query_as(
        "select manifest, digest, false as own from crm_plugins
        where world = 'action' and ($2::text is null or name = $2)
        union all
        select manifest, digest, true from crm_tenant_components
        where tenant_id = $1 and ($2::text is null or name = $2)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(name.map(PluginName::as_str))
    .fetch_all(tx.connection())
    .await?;
    Ok(versions)
}

/// Whether somebody published a plugin of that name for everybody.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn is_published(tx: &mut TenantTx, name: &PluginName) -> Result<bool, StoreError> {
    let found = sqlx::query_scalar("select exists (select from crm_plugins where name = $1)")
        .bind(name.as_str())
        .fetch_one(tx.connection())
        .await?;
    Ok(found)
}

/// Keeps a component that the tenant brought along.
///
/// # Errors
/// [`StoreError::Exists`] where it has that version already.
pub async fn component_keep(
    tx: &mut TenantTx,
    (manifest, digest, component): (&Manifest, &str, &[u8]),
    at: DateTime<Utc>,
    by: &UserId,
) -> Result<(), StoreError> {
    let inserted = sqlx::query(
        "insert into crm_tenant_components (
            tenant_id, name, version, digest, manifest, component, uploaded_at, uploaded_by)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        on conflict do nothing",
    )
    .bind(tx.tenant_id().uuid())
    .bind(manifest.name.as_str())
    .bind(manifest.version.to_string())
    .bind(digest)
    .bind(Json(manifest))
    .bind(component)
    .bind(at)
    .bind(by.as_str())
    .execute(tx.connection())
    .await?;
    fresh_or_exists(&inserted, || {
        format!("“{}” {}", manifest.name, manifest.version)
    })
}

/// Forgets components that the tenant brought along: all versions of a name, or one. How many.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn components_forget(
    tx: &mut TenantTx,
    name: &PluginName,
    version: Option<&semver::Version>,
) -> Result<u64, StoreError> {
    let forgotten = sqlx::query(
        "delete from crm_tenant_components
        where tenant_id = $1 and name = $2 and ($3::text is null or version = $3)",
    )
    .bind(tx.tenant_id().uuid())
    .bind(name.as_str())
    .bind(version.map(ToString::to_string))
    .execute(tx.connection())
    .await?;
    Ok(forgotten.rows_affected())
}

/// How much the components take that the tenant brought along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ComponentBytes {
    pub total: i64,
    /// Those of the class `interpreter`.
    pub interpreters: i64,
}

/// How much they take. Reads no component.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn component_bytes(tx: &mut TenantTx) -> Result<ComponentBytes, StoreError> {
    let bytes = sqlx::query_as(
        "select coalesce(sum(octet_length(component)), 0)::bigint as total,
            coalesce(sum(octet_length(component))
                filter (where manifest ->> 'class' = 'interpreter'), 0)::bigint as interpreters
        from crm_tenant_components where tenant_id = $1",
    )
    .bind(tx.tenant_id().uuid())
    .fetch_one(tx.connection())
    .await?;
    Ok(bytes)
}

/// What a tenant says of a plugin.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    pub name: &'a PluginName,
    pub version: &'a semver::Version,
    pub granted: &'a Capabilities,
    pub settings: &'a serde_json::Value,
    pub enabled: bool,
    pub concurrency: Option<u32>,
}

/// Installs a plugin, or changes what is said of it.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn install_put(
    tx: &mut TenantTx,
    terms: &Terms<'_>,
    at: DateTime<Utc>,
    by: &UserId,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into crm_plugin_installs as i (
            tenant_id, plugin_name, plugin_version, granted, settings, enabled, installed_at,
            installed_by, concurrency)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        on conflict (tenant_id, plugin_name) do update
        set plugin_version = excluded.plugin_version, granted = excluded.granted,
            settings = excluded.settings, enabled = excluded.enabled,
            concurrency = excluded.concurrency, updated_at = $7, updated_by = $8",
    )
    .bind(tx.tenant_id().uuid())
    .bind(terms.name.as_str())
    .bind(terms.version.to_string())
    .bind(Json(terms.granted))
    .bind(Json(terms.settings))
    .bind(terms.enabled)
    .bind(at)
    .bind(by.as_str())
    .bind(terms.concurrency.map(number))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Takes a plugin out, with the values that it kept.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn install_remove(tx: &mut TenantTx, name: &PluginName) -> Result<(), StoreError> {
    for statement in [
        "delete from crm_plugin_installs where tenant_id = $1 and plugin_name = $2",
        "delete from crm_plugin_state where tenant_id = $1 and plugin_name = $2",
    ] {
        sqlx::query(statement)
            .bind(tx.tenant_id().uuid())
            .bind(name.as_str())
            .execute(tx.connection())
            .await?;
    }
    Ok(())
}

/// A version that runs nowhere any more.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Kill {
    pub name: String,
    pub version: String,
    pub reason: String,
}

/// All of them.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn kills_list(store: &Store) -> Result<Vec<Kill>, StoreError> {
    let mut lent = store.for_statement().await?;
    let rows = sqlx::query_as("select name, version, reason from crm_plugin_kills_list()")
        .fetch_all(lent.connection())
        .await;
    lent.give_back(rows)
}

/// The newest events of a module's records, for a look at what a plugin would do.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn events_newest(
    tx: &mut TenantTx,
    module: &ModuleSlug,
    limit: u32,
) -> Result<Vec<crm_model::Event>, StoreError> {
    let rows: Vec<crate::jobs::EventRow> = sqlx::query_as(
        "select id as event_id, kind, module_slug, record_id, record_version, before, after,
            changed_fields, payload, actor, cause, depth, occurred_at
        from crm_events
        where tenant_id = $1 and module_slug = $2 and payload is null
        order by id desc
        limit $3",
    )
    .bind(tx.tenant_id().uuid())
    .bind(module.as_str())
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(crm_model::Event::try_from).collect()
}
