//! What the owner of the database does: migrate, publish, stand in for a host OS where there is
//! none. Never used to serve a request.

mod plans;
mod quotas;

use crm_model::definition::TemplateDefinition;
use crm_model::manifest::Manifest;
use crm_model::{AuditId, PluginName, TenantId, UserId};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Connection};
use uuid::Uuid;

use crate::error::StoreError;
use crate::store::RUNTIME_ROLE;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

const SCHEMA_COMMENT: &str = "crm schema ";

/// A connection as the owner.
#[derive(Debug)]
pub struct Admin {
    connection: PgConnection,
}

/// A tenant of a standalone installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    pub id: TenantId,
    pub name: String,
    pub suspended: bool,
}

/// What publishing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    New,
    /// The same component was there already.
    Unchanged,
    /// Another component of this name and version is there: versions are immutable.
    Conflict,
}

/// The version that this build's schema has.
pub fn newest_schema_version() -> i64 {
    MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or_default()
}

pub(crate) fn parse_schema_comment(comment: &str) -> Option<i64> {
    comment.strip_prefix(SCHEMA_COMMENT)?.parse().ok()
}

/// The same connection, as the runtime's role: either the login is that role, or the session
/// takes it on from its first moment.
pub fn runtime_options(options: PgConnectOptions) -> PgConnectOptions {
    if options.get_username() == RUNTIME_ROLE {
        return options;
    }
    options.options([("role", RUNTIME_ROLE)])
}

impl Admin {
    /// Connects.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn connect(options: &PgConnectOptions) -> Result<Self, StoreError> {
        Ok(Self {
            connection: PgConnection::connect_with(options).await?,
        })
    }

    /// PostgreSQL's own name for its version.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn server_version(&mut self) -> Result<String, StoreError> {
        let version = sqlx::query_scalar("show server_version")
            .fetch_one(&mut self.connection)
            .await?;
        Ok(version)
    }

    /// The version of the schema that the database has; none before the first migration.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn schema_version(&mut self) -> Result<Option<i64>, StoreError> {
        let comment: Option<String> =
            sqlx::query_scalar("select obj_description(to_regclass('crm_records'))")
                .fetch_one(&mut self.connection)
                .await?;
        Ok(comment.as_deref().and_then(parse_schema_comment))
    }

    /// Whether this login may publish: it owns the tables, or is a member of their owner.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn is_owner(&mut self) -> Result<bool, StoreError> {
        let is_owner = sqlx::query_scalar(
            "select pg_has_role(current_user, c.relowner, 'usage') from pg_class c
            where c.oid = to_regclass('crm_plugins')",
        )
        .fetch_optional(&mut self.connection)
        .await?;
        Ok(is_owner.unwrap_or(false))
    }

    /// Brings the schema to this build's version; says how many steps that took. Safe to call
    /// from many processes at once: the others wait and find it done.
    ///
    /// # Errors
    /// [`StoreError::Database`] names the migration that failed; it leaves nothing behind.
    pub async fn migrate(&mut self) -> Result<usize, StoreError> {
        let before = self.schema_version().await?.unwrap_or_default();
        MIGRATIONS
            .run(&mut self.connection)
            .await
            .map_err(|error| StoreError::Database(sqlx::Error::Migrate(Box::new(error))))?;
        let newest = newest_schema_version();
        if before != newest {
            // Everybody may read comments: the runtime's role learns the version without a
            // right to any table of ours.
            sqlx::query(AssertSqlSafe(format!(
                "comment on table crm_records is '{SCHEMA_COMMENT}{newest}'"
            )))
            .execute(&mut self.connection)
            .await?;
        }
        Ok(MIGRATIONS
            .iter()
            .filter(|migration| migration.version > before)
            .count())
    }

    /// Lets the runtime's role log in with this password. For a private server only: roles and
    /// their passwords are the whole server's.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn allow_runtime_login(&mut self, password: &str) -> Result<(), StoreError> {
        let mut transaction = self.connection.begin().await?;
        // Statements that change roles take no parameters; format(%L) quotes as PostgreSQL does.
        sqlx::query("select pg_advisory_xact_lock(7406), set_config('crm.password', $1, true)")
            .bind(password)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "do $$ begin execute format('alter role crm_runtime login password %L',
                current_setting('crm.password')); end $$",
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The digest of the component published under this name and version.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn published_digest(
        &mut self,
        manifest: &Manifest,
    ) -> Result<Option<String>, StoreError> {
        let digest =
            sqlx::query_scalar("select digest from crm_plugins where name = $1 and version = $2")
                .bind(manifest.name.as_str())
                .bind(manifest.version.to_string())
                .fetch_optional(&mut self.connection)
                .await?;
        Ok(digest)
    }

    /// What a published plugin says about itself.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn published_manifest(
        &mut self,
        name: &PluginName,
        version: &semver::Version,
    ) -> Result<Option<Manifest>, StoreError> {
        let manifest: Option<Json<Manifest>> =
            sqlx::query_scalar("select manifest from crm_plugins where name = $1 and version = $2")
                .bind(name.as_str())
                .bind(version.to_string())
                .fetch_optional(&mut self.connection)
                .await?;
        Ok(manifest.map(|manifest| manifest.0))
    }

    /// Stops a version of a plugin everywhere, or lets it go on where there is no reason.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn plugin_kill(
        &mut self,
        name: &str,
        version: &str,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        match reason {
            Some(reason) => {
                sqlx::query(
                    "insert into crm_plugin_kills (name, version, reason) values ($1, $2, $3)
                    on conflict (name, version) do update set reason = excluded.reason",
                )
                .bind(name)
                .bind(version)
                .bind(reason)
                .execute(&mut self.connection)
                .await?
            }
            None => {
                sqlx::query("delete from crm_plugin_kills where name = $1 and version = $2")
                    .bind(name)
                    .bind(version)
                    .execute(&mut self.connection)
                    .await?
            }
        };
        Ok(())
    }

    /// Publishes a component; a template comes with its model.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn publish(
        &mut self,
        manifest: &Manifest,
        digest: &str,
        component: &[u8],
        template: Option<&TemplateDefinition>,
    ) -> Result<Published, StoreError> {
        let (name, version) = (manifest.name.as_str(), manifest.version.to_string());
        let mut transaction = self.connection.begin().await?;
        let inserted = sqlx::query(
            "insert into crm_plugins (name, version, world, digest, manifest, component)
            values ($1, $2, $3, $4, $5, $6)
            on conflict do nothing",
        )
        .bind(name)
        .bind(&version)
        .bind(manifest.world.name())
        .bind(digest)
        .bind(Json(manifest))
        .bind(component)
        .execute(&mut *transaction)
        .await?;
        if inserted.rows_affected() == 0 {
            drop(transaction);
            // Another process published it in between.
            return Ok(match self.published_digest(manifest).await? {
                Some(there) if there == digest => Published::Unchanged,
                _ => Published::Conflict,
            });
        }
        if let Some(definition) = template {
            sqlx::query(
                "insert into crm_templates (slug, version, title, description, definition, digest)
                values ($1, $2, $3, $4, $5, $6)",
            )
            .bind(name)
            .bind(&version)
            .bind(&manifest.title)
            .bind(&manifest.description)
            .bind(Json(definition))
            .bind(digest)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(Published::New)
    }

    /// Creates a tenant in the stand-in for a host OS.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn tenant_create(&mut self, id: TenantId, name: &str) -> Result<(), StoreError> {
        sqlx::query("insert into os.tenants (id, name) values ($1, $2)")
            .bind(id.uuid())
            .bind(name)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// Makes a tenant read only, or lets it write again: for the next request on every instance,
    /// because its model gets another version. Whether that changed anything.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn tenant_suspend(
        &mut self,
        tenant: TenantId,
        suspended: bool,
        by: &UserId,
        audit: AuditId,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.connection.begin().await?;
        sqlx::query("select set_config('crm.tenant_id', $1, true)")
            .bind(tenant.to_string())
            .execute(&mut *transaction)
            .await?;
        let done = match suspended {
            true => sqlx::query(
                "insert into crm_suspensions (tenant_id, suspended_at, suspended_by)
                values ($1, now(), $2) on conflict do nothing",
            )
            .bind(tenant.uuid())
            .bind(by.as_str()),
            false => {
                sqlx::query("delete from crm_suspensions where tenant_id = $1").bind(tenant.uuid())
            }
        };
        if done.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "update tenant_crm_configs set model_version = model_version + 1
            where tenant_id = $1",
        )
        .bind(tenant.uuid())
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "insert into crm_audit (tenant_id, id, at, actor, action, target)
            values ($1, $2, now(), $3, $4, 'tenant')",
        )
        .bind(tenant.uuid())
        .bind(audit.uuid())
        .bind(by.as_str())
        .bind(match suspended {
            true => "tenant.suspended",
            false => "tenant.resumed",
        })
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// All tenants; those that this command made, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn tenants_list(&mut self) -> Result<Vec<Tenant>, StoreError> {
        let rows: Vec<(Uuid, String, bool)> = sqlx::query_as(
            "select t.id, t.name, s.tenant_id is not null
            from os.tenants t
            left join crm_suspensions s on s.tenant_id = t.id
            order by t.id",
        )
        .fetch_all(&mut self.connection)
        .await?;
        Ok(rows
            .into_iter()
            .map(|(id, name, suspended)| Tenant {
                id: TenantId::new(id),
                name,
                suspended,
            })
            .collect())
    }

    /// The key of the development issuer; `fresh` is kept where there was none.
    ///
    /// # Errors
    /// [`StoreError::Database`] where the login is not the owner.
    pub async fn dev_issuer_key(&mut self, fresh: &[u8]) -> Result<Vec<u8>, StoreError> {
        sqlx::query("insert into crm_dev_issuer (key) values ($1) on conflict do nothing")
            .bind(fresh)
            .execute(&mut self.connection)
            .await?;
        let key = sqlx::query_scalar("select key from crm_dev_issuer")
            .fetch_one(&mut self.connection)
            .await?;
        Ok(key)
    }

    /// The key that secrets of tenants are encrypted under; `fresh` is kept where there was none.
    ///
    /// # Errors
    /// [`StoreError::Database`] where the login is not the owner.
    pub async fn secret_key(&mut self, fresh: &[u8]) -> Result<Vec<u8>, StoreError> {
        sqlx::query("insert into crm_secret_key (key) values ($1) on conflict do nothing")
            .bind(fresh)
            .execute(&mut self.connection)
            .await?;
        let key = sqlx::query_scalar("select key from crm_secret_key")
            .fetch_one(&mut self.connection)
            .await?;
        Ok(key)
    }

    /// The key that signs cookies; `fresh` is kept where there was none.
    ///
    /// # Errors
    /// [`StoreError::Database`] where the login is not the owner.
    pub async fn cookie_key(&mut self, fresh: &[u8]) -> Result<Vec<u8>, StoreError> {
        sqlx::query("insert into crm_cookie_key (key) values ($1) on conflict do nothing")
            .bind(fresh)
            .execute(&mut self.connection)
            .await?;
        let key = sqlx::query_scalar("select key from crm_cookie_key")
            .fetch_one(&mut self.connection)
            .await?;
        Ok(key)
    }
}
