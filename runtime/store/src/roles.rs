//! Roles that a tenant wrote, and who has which: read with the model, written with a change of it.

use chrono::{DateTime, Utc};
use crm_model::definition::RoleDefinition;
use crm_model::roles::Members;
use crm_model::{RoleSlug, UserId};
use sqlx::types::Json;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::StoreError;
use crate::tenant_tx::TenantTx;

pub(crate) async fn roles_read(
    tx: &mut TenantTx,
) -> Result<BTreeMap<RoleSlug, RoleDefinition>, StoreError> {
    let roles: Vec<(Json<RoleDefinition>,)> =
        sqlx::query_as("select definition from crm_roles where tenant_id = $1")
            .bind(tx.tenant_id().uuid())
            .fetch_all(tx.connection())
            .await?;
    let roles = roles.into_iter().map(|(role,)| role.0);
    Ok(roles.map(|role| (role.slug.clone(), role)).collect())
}

pub(crate) async fn members_read(tx: &mut TenantTx) -> Result<Members, StoreError> {
    let rows: Vec<(String, Vec<String>)> =
        sqlx::query_as("select user_id, roles from crm_members where tenant_id = $1")
            .bind(tx.tenant_id().uuid())
            .fetch_all(tx.connection())
            .await?;
    let mut members = Members::new();
    for (user, roles) in rows {
        let user = user
            .parse()
            .map_err(|error| StoreError::corrupt("member", error))?;
        let roles = roles.iter().map(|role| {
            role.parse()
                .map_err(|error| StoreError::corrupt("role name", error))
        });
        members.insert(user, roles.collect::<Result<_, StoreError>>()?);
    }
    Ok(members)
}

pub(crate) async fn role_put(
    tx: &mut TenantTx,
    role: &RoleDefinition,
    at: DateTime<Utc>,
    by: &UserId,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into crm_roles (tenant_id, slug, definition, updated_at, updated_by)
        values ($1, $2, $3, $4, $5)
        on conflict (tenant_id, slug) do update
        set definition = excluded.definition, updated_at = excluded.updated_at,
            updated_by = excluded.updated_by",
    )
    .bind(tx.tenant_id().uuid())
    .bind(role.slug.as_str())
    .bind(Json(role))
    .bind(at)
    .bind(by.as_str())
    .execute(tx.connection())
    .await?;
    Ok(())
}

pub(crate) async fn role_delete(tx: &mut TenantTx, role: &RoleSlug) -> Result<(), StoreError> {
    sqlx::query("delete from crm_roles where tenant_id = $1 and slug = $2")
        .bind(tx.tenant_id().uuid())
        .bind(role.as_str())
        .execute(tx.connection())
        .await?;
    Ok(())
}

pub(crate) async fn member_put(
    tx: &mut TenantTx,
    user: &UserId,
    roles: &BTreeSet<RoleSlug>,
    at: DateTime<Utc>,
    by: &UserId,
) -> Result<(), StoreError> {
    let roles: Vec<&str> = roles.iter().map(RoleSlug::as_str).collect();
    sqlx::query(
        "insert into crm_members (tenant_id, user_id, roles, updated_at, updated_by)
        values ($1, $2, $3, $4, $5)
        on conflict (tenant_id, user_id) do update
        set roles = excluded.roles, updated_at = excluded.updated_at,
            updated_by = excluded.updated_by",
    )
    .bind(tx.tenant_id().uuid())
    .bind(user.as_str())
    .bind(roles)
    .bind(at)
    .bind(by.as_str())
    .execute(tx.connection())
    .await?;
    Ok(())
}

pub(crate) async fn member_delete(tx: &mut TenantTx, user: &UserId) -> Result<(), StoreError> {
    sqlx::query("delete from crm_members where tenant_id = $1 and user_id = $2")
        .bind(tx.tenant_id().uuid())
        .bind(user.as_str())
        .execute(tx.connection())
        .await?;
    Ok(())
}
