//! Roles that a tenant wrote, what it knows of its people, and its teams: read with the model,
//! written with a change of it.

use chrono::{DateTime, Utc};
use crm_model::definition::{RoleDefinition, TeamDefinition};
use crm_model::reach::Subject;
use crm_model::roles::{Member, Members, Teams};
use crm_model::{Data, RoleSlug, TeamSlug, UserId};
use sqlx::types::Json;
use std::collections::BTreeMap;

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
    let rows: Vec<(String, Vec<String>, Json<Data>)> =
        sqlx::query_as("select user_id, roles, attributes from crm_members where tenant_id = $1")
            .bind(tx.tenant_id().uuid())
            .fetch_all(tx.connection())
            .await?;
    let mut members = Members::new();
    for (user, roles, attributes) in rows {
        let roles = roles.iter().map(|role| {
            role.parse()
                .map_err(|error| StoreError::corrupt("role name", error))
        });
        let member = Member {
            roles: roles.collect::<Result<_, StoreError>>()?,
            attributes: attributes.0,
        };
        members.insert(user_id(&user)?, member);
    }
    Ok(members)
}

fn user_id(text: &str) -> Result<UserId, StoreError> {
    text.parse()
        .map_err(|error| StoreError::corrupt("member", error))
}

pub(crate) async fn teams_read(tx: &mut TenantTx) -> Result<Teams, StoreError> {
    let rows: Vec<(String, String, Vec<String>)> =
        sqlx::query_as("select slug, label, members from crm_teams where tenant_id = $1")
            .bind(tx.tenant_id().uuid())
            .fetch_all(tx.connection())
            .await?;
    let mut teams = Teams::new();
    for (slug, label, members) in rows {
        let slug: TeamSlug = slug
            .parse()
            .map_err(|error| StoreError::corrupt("team name", error))?;
        let members = members.iter().map(|user| user_id(user));
        let team = TeamDefinition {
            slug: slug.clone(),
            label,
            members: members.collect::<Result<_, StoreError>>()?,
        };
        teams.insert(slug, team);
    }
    Ok(teams)
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
    member: &Member,
    at: DateTime<Utc>,
    by: &UserId,
) -> Result<(), StoreError> {
    let roles: Vec<&str> = member.roles.iter().map(RoleSlug::as_str).collect();
    sqlx::query(
        "insert into crm_members (
            tenant_id, user_id, roles, attributes, updated_at, updated_by)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (tenant_id, user_id) do update
        set roles = excluded.roles, attributes = excluded.attributes,
            updated_at = excluded.updated_at,
            updated_by = excluded.updated_by",
    )
    .bind(tx.tenant_id().uuid())
    .bind(user.as_str())
    .bind(roles)
    .bind(Json(&member.attributes))
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

pub(crate) async fn team_put(
    tx: &mut TenantTx,
    team: &TeamDefinition,
    at: DateTime<Utc>,
    by: &UserId,
) -> Result<(), StoreError> {
    let members: Vec<&str> = team.members.iter().map(UserId::as_str).collect();
    sqlx::query(
        "insert into crm_teams (tenant_id, slug, label, members, updated_at, updated_by)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (tenant_id, slug) do update
        set label = excluded.label, members = excluded.members,
            updated_at = excluded.updated_at, updated_by = excluded.updated_by",
    )
    .bind(tx.tenant_id().uuid())
    .bind(team.slug.as_str())
    .bind(&team.label)
    .bind(members)
    .bind(at)
    .bind(by.as_str())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// What was shared with it goes too, so that another team of its name does not inherit it.
pub(crate) async fn team_delete(tx: &mut TenantTx, team: &TeamSlug) -> Result<(), StoreError> {
    sqlx::query("delete from crm_teams where tenant_id = $1 and slug = $2")
        .bind(tx.tenant_id().uuid())
        .bind(team.as_str())
        .execute(tx.connection())
        .await?;
    sqlx::query("delete from crm_shares where tenant_id = $1 and subject = $2")
        .bind(tx.tenant_id().uuid())
        .bind(Subject::team(team).as_str())
        .execute(tx.connection())
        .await?;
    Ok(())
}
