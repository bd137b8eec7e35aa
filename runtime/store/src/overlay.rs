//! The tenant's own part of its model: what it adds to the template and says otherwise of it. None
//! of this touches records, so none of it waits for them.

use chrono::{DateTime, Utc};
use crm_model::definition::{FieldDefinition, ModuleDefinition};
use crm_model::overlay::{FieldEdit, ModuleEdit, Overlay, OverlayWrite, WorkflowEdit};
use crm_model::settings::Settings;
use crm_model::{FieldKey, ModuleSlug, UserId, WorkflowSlug};
use sqlx::types::Json;

use crate::error::StoreError;
use crate::roles::{
    member_delete, member_put, role_delete, role_put, roles_read, team_delete, team_put,
};
use crate::tenant_tx::TenantTx;
use crate::workflows::number;

pub(crate) async fn overlay_read(tx: &mut TenantTx) -> Result<Overlay, StoreError> {
    let tenant = tx.tenant_id().uuid();
    let modules: Vec<(Json<ModuleDefinition>,)> =
        sqlx::query_as("select definition from crm_modules where tenant_id = $1 order by slug")
            .bind(tenant)
            .fetch_all(tx.connection())
            .await?;
    let fields: Vec<(String, Json<FieldDefinition>)> = sqlx::query_as(
        "select module_slug, definition from crm_module_fields
        where tenant_id = $1 order by module_slug, position, field_key",
    )
    .bind(tenant)
    .fetch_all(tx.connection())
    .await?;
    let module_edits: Vec<(String, Json<ModuleEdit>)> =
        sqlx::query_as("select module_slug, edit from crm_module_edits where tenant_id = $1")
            .bind(tenant)
            .fetch_all(tx.connection())
            .await?;
    let field_edits: Vec<(String, String, Json<FieldEdit>)> = sqlx::query_as(
        "select module_slug, field_key, edit from crm_field_edits where tenant_id = $1",
    )
    .bind(tenant)
    .fetch_all(tx.connection())
    .await?;
    let mut overlay = Overlay {
        modules: modules.into_iter().map(|(module,)| module.0).collect(),
        ..Overlay::default()
    };
    for (module, field) in fields {
        overlay.fields.push((module_slug(&module)?, field.0));
    }
    for (module, edit) in module_edits {
        overlay.module_edits.insert(module_slug(&module)?, edit.0);
    }
    for (module, field, edit) in field_edits {
        let place = (module_slug(&module)?, field_key(&field)?);
        overlay.field_edits.insert(place, edit.0);
    }
    let workflow_edits: Vec<(String, Json<WorkflowEdit>)> =
        sqlx::query_as("select slug, edit from crm_workflow_edits where tenant_id = $1")
            .bind(tenant)
            .fetch_all(tx.connection())
            .await?;
    for (slug, edit) in workflow_edits {
        let slug = slug
            .parse()
            .map_err(|error| StoreError::corrupt("workflow name", error))?;
        overlay.workflow_edits.insert(slug, edit.0);
    }
    overlay.roles = roles_read(tx).await?;
    Ok(overlay)
}

pub(crate) fn module_slug(text: &str) -> Result<ModuleSlug, StoreError> {
    text.parse()
        .map_err(|error| StoreError::corrupt("module name", error))
}

pub(crate) fn field_key(text: &str) -> Result<FieldKey, StoreError> {
    text.parse()
        .map_err(|error| StoreError::corrupt("field key", error))
}

/// Writes down one part of a change of the model.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn overlay_write(
    tx: &mut TenantTx,
    write: &OverlayWrite,
    at: DateTime<Utc>,
    by: &UserId,
) -> Result<(), StoreError> {
    match write {
        OverlayWrite::Module(module) => module_put(tx, module, at, by).await,
        OverlayWrite::ModuleGone(module) => module_delete(tx, module).await,
        OverlayWrite::ModuleEdit(module, edit) => module_edit_put(tx, module, edit, at, by).await,
        OverlayWrite::Field(module, field) => field_put(tx, module, field, at, by).await,
        OverlayWrite::FieldGone(module, field) => field_delete(tx, module, field).await,
        OverlayWrite::FieldEdit(module, field, edit) => {
            field_edit_put(tx, module, field, edit, at, by).await
        }
        OverlayWrite::Workflow {
            definition,
            version,
            note,
        } => {
            let note = note.as_deref();
            crate::workflows::version_insert(tx, (definition, *version, note), at, by).await
        }
        OverlayWrite::WorkflowGone(slug) => crate::workflows::workflow_end(tx, slug).await,
        OverlayWrite::WorkflowEdit(workflow, edit) => {
            workflow_edit_put(tx, workflow, *edit, at, by).await
        }
        OverlayWrite::Settings(settings) => settings_put(tx, settings).await,
        OverlayWrite::Role(role) => role_put(tx, role, at, by).await,
        OverlayWrite::RoleGone(role) => role_delete(tx, role).await,
        OverlayWrite::Member(user, member) => member_put(tx, user, member, at, by).await,
        OverlayWrite::MemberGone(user) => member_delete(tx, user).await,
        OverlayWrite::Team(team) => team_put(tx, team, at, by).await,
        OverlayWrite::TeamGone(team) => team_delete(tx, team).await,
    }
}

async fn module_put(
    tx: &mut TenantTx,
    module: &ModuleDefinition,
    at: DateTime<Utc>,
    by: &UserId,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into crm_modules (tenant_id, slug, definition, created_at, created_by)
        values ($1, $2, $3, $4, $5)
        on conflict (tenant_id, slug) do update set definition = excluded.definition",
    )
    .bind(tx.tenant_id().uuid())
    .bind(module.slug.as_str())
    .bind(Json(module))
    .bind(at)
    .bind(by.as_str())
    .execute(tx.connection())
    .await?;
    Ok(())
}

async fn module_delete(tx: &mut TenantTx, module: &ModuleSlug) -> Result<(), StoreError> {
    for statement in [
        "delete from crm_modules where tenant_id = $1 and slug = $2",
        "delete from crm_module_fields where tenant_id = $1 and module_slug = $2",
        "delete from crm_module_edits where tenant_id = $1 and module_slug = $2",
        "delete from crm_fields_building where tenant_id = $1 and module_slug = $2",
        "delete from crm_views where tenant_id = $1 and module_slug = $2",
    ] {
        sqlx::query(statement)
            .bind(tx.tenant_id().uuid())
            .bind(module.as_str())
            .execute(tx.connection())
            .await?;
    }
    Ok(())
}

async fn module_edit_put(
    tx: &mut TenantTx,
    module: &ModuleSlug,
    edit: &ModuleEdit,
    at: DateTime<Utc>,
    by: &UserId,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into crm_module_edits (tenant_id, module_slug, edit, updated_at, updated_by)
        values ($1, $2, $3, $4, $5)
        on conflict (tenant_id, module_slug) do update
        set edit = excluded.edit, updated_at = excluded.updated_at,
            updated_by = excluded.updated_by",
    )
    .bind(tx.tenant_id().uuid())
    .bind(module.as_str())
    .bind(Json(edit))
    .bind(at)
    .bind(by.as_str())
    .execute(tx.connection())
    .await?;
    Ok(())
}

async fn field_put(
    tx: &mut TenantTx,
    module: &ModuleSlug,
    field: &FieldDefinition,
    at: DateTime<Utc>,
    by: &UserId,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into crm_module_fields (
            tenant_id, module_slug, field_key, position, definition, created_at, created_by)
        values ($1, $2, $3,
            (select coalesce(max(f.position) + 1, 0) from crm_module_fields f
            where f.tenant_id = $1 and f.module_slug = $2),
            $4, $5, $6)
        on conflict (tenant_id, module_slug, field_key) do update
        set definition = excluded.definition",
    )
    .bind(tx.tenant_id().uuid())
    .bind(module.as_str())
    .bind(field.key.as_str())
    .bind(Json(field))
    .bind(at)
    .bind(by.as_str())
    .execute(tx.connection())
    .await?;
    Ok(())
}

async fn field_delete(
    tx: &mut TenantTx,
    module: &ModuleSlug,
    field: &FieldKey,
) -> Result<(), StoreError> {
    for statement in [
        "delete from crm_module_fields
        where tenant_id = $1 and module_slug = $2 and field_key = $3",
        "delete from crm_fields_building
        where tenant_id = $1 and module_slug = $2 and field_key = $3",
    ] {
        sqlx::query(statement)
            .bind(tx.tenant_id().uuid())
            .bind(module.as_str())
            .bind(field.as_str())
            .execute(tx.connection())
            .await?;
    }
    Ok(())
}

async fn field_edit_put(
    tx: &mut TenantTx,
    module: &ModuleSlug,
    field: &FieldKey,
    edit: &FieldEdit,
    at: DateTime<Utc>,
    by: &UserId,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into crm_field_edits (
            tenant_id, module_slug, field_key, edit, updated_at, updated_by)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (tenant_id, module_slug, field_key) do update
        set edit = excluded.edit, updated_at = excluded.updated_at,
            updated_by = excluded.updated_by",
    )
    .bind(tx.tenant_id().uuid())
    .bind(module.as_str())
    .bind(field.as_str())
    .bind(Json(edit))
    .bind(at)
    .bind(by.as_str())
    .execute(tx.connection())
    .await?;
    Ok(())
}

async fn workflow_edit_put(
    tx: &mut TenantTx,
    workflow: &WorkflowSlug,
    edit: WorkflowEdit,
    at: DateTime<Utc>,
    by: &UserId,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into crm_workflow_edits (tenant_id, slug, edit, updated_at, updated_by)
        values ($1, $2, $3, $4, $5)
        on conflict (tenant_id, slug) do update
        set edit = excluded.edit, updated_at = excluded.updated_at,
            updated_by = excluded.updated_by",
    )
    .bind(tx.tenant_id().uuid())
    .bind(workflow.as_str())
    .bind(Json(edit))
    .bind(at)
    .bind(by.as_str())
    .execute(tx.connection())
    .await?;
    Ok(())
}

async fn settings_put(tx: &mut TenantTx, settings: &Settings) -> Result<(), StoreError> {
    sqlx::query(
        "update tenant_crm_configs
        set time_zone = $2, language = $3, business_hours = $4, run_log_days = $5
        where tenant_id = $1",
    )
    .bind(tx.tenant_id().uuid())
    .bind(settings.time_zone.name())
    .bind(settings.language.as_str())
    .bind(Json(&settings.business_hours))
    .bind(settings.run_log_days.map(number))
    .execute(tx.connection())
    .await?;
    Ok(())
}
