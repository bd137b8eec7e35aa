//! Published components, as tenants see them.

use crm_model::manifest::Manifest;
use crm_model::{PluginName, TemplateSlug};
use sqlx::types::Json;

use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

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

/// The bytes of a published component, by the digest of them.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn component_read(
    tx: &mut TenantTx,
    digest: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    let component = sqlx::query_scalar("select component from crm_plugins where digest = $1")
        .bind(digest)
        .fetch_optional(tx.connection())
        .await?;
    Ok(component)
}
