//! Fills tenants with records and with the index rows that the model says they have, through
//! COPY, as the owner. What the door would write beside them (history, events) is left out: no
//! measure reads it.

use anyhow::{Context, Result};
use crm_model::{Model, TenantId};
use sqlx::{Connection, Executor, PgConnection};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

use super::stones;
use crate::say;

/// Records that are sent at once.
const CHUNK_RECORDS: u64 = 20_000;

const RECORDS: &str = "copy crm_records (tenant_id, id, module_slug, data, version, owner_id, \
    created_at, created_by, updated_at, updated_by) from stdin";
const INDEX: &str = "copy crm_index (tenant_id, slot, key, record_id) from stdin";

/// Fills a database.
pub(super) struct Filler {
    records: PgConnection,
    index: PgConnection,
    /// Compiled from the definition that all tenants share.
    model: Arc<Model>,
    /// The tenant whose model the others get.
    first: TenantId,
}

impl Filler {
    pub(super) async fn connect(
        options: &crm_store::PgConnectOptions,
        model: Arc<Model>,
    ) -> Result<Self> {
        let mut index = PgConnection::connect_with(options).await?;
        index
            .execute("set maintenance_work_mem = '1GB'; set max_parallel_maintenance_workers = 2")
            .await?;
        Ok(Self {
            records: PgConnection::connect_with(options).await?,
            index,
            first: model.tenant_id(),
            model,
        })
    }

    /// Makes tenants, with the first one's model, and their records: so many for each.
    pub(super) async fn fill(&mut self, tenants: &[TenantId], records: u64) -> Result<()> {
        let began = Instant::now();
        self.make(tenants).await?;
        let all: Vec<(Uuid, u64)> = tenants
            .iter()
            .flat_map(|tenant| (0..records).map(|number| (tenant.uuid(), number)))
            .collect();
        // Along with the rows, the key of a large table is written several times over.
        self.index
            .execute("alter table crm_index drop constraint crm_index_pkey")
            .await?;
        let mut records = self.records.copy_in_raw(RECORDS).await?;
        let mut index = self.index.copy_in_raw(INDEX).await?;
        for chunk in all.chunks(usize::try_from(CHUNK_RECORDS)?) {
            let (records_text, index_text) = texts(&self.model, chunk)?;
            tokio::try_join!(
                records.send(records_text.into_bytes()),
                index.send(index_text.into_bytes())
            )?;
        }
        tokio::try_join!(records.finish(), index.finish())?;
        self.index
            .execute("alter table crm_index add primary key (tenant_id, slot, key, record_id)")
            .await?;
        // Reads along an index alone need to know that all rows are there to see.
        for table in ["crm_records", "crm_index", "tenant_crm_configs"] {
            let vacuum = sqlx::AssertSqlSafe(format!("vacuum analyze {table}"));
            sqlx::query(vacuum).execute(&mut self.records).await?;
        }
        self.records.execute("checkpoint").await?;
        say(&format!(
            "{} tenants with {} records together are there after {:.0} s",
            tenants.len(),
            all.len(),
            began.elapsed().as_secs_f64()
        ));
        Ok(())
    }

    /// The tenants themselves, and what the first one chose and added to it.
    async fn make(&mut self, tenants: &[TenantId]) -> Result<()> {
        let ids: Vec<Uuid> = tenants.iter().map(|tenant| tenant.uuid()).collect();
        for statement in [
            "insert into os.tenants (id, name)
            select id, 'Bench' from unnest($1::uuid[]) as t (id) where $2::uuid is not null
            on conflict do nothing",
            "insert into tenant_crm_configs (tenant_id, template_slug, template_version,
                model_version, selected_at, selected_by)
            select t.id, c.template_slug, c.template_version, c.model_version, c.selected_at,
                c.selected_by
            from tenant_crm_configs c, unnest($1::uuid[]) as t (id)
            where c.tenant_id = $2 on conflict do nothing",
            "insert into crm_plugin_installs (tenant_id, plugin_name, plugin_version, granted,
                installed_at, installed_by)
            select t.id, p.plugin_name, p.plugin_version, p.granted, p.installed_at,
                p.installed_by
            from crm_plugin_installs p, unnest($1::uuid[]) as t (id)
            where p.tenant_id = $2 on conflict do nothing",
            "insert into crm_modules (tenant_id, slug, definition, created_at, created_by)
            select t.id, m.slug, m.definition, m.created_at, m.created_by
            from crm_modules m, unnest($1::uuid[]) as t (id)
            where m.tenant_id = $2 on conflict do nothing",
            "insert into crm_module_fields (tenant_id, module_slug, field_key, position,
                definition, created_at, created_by)
            select t.id, f.module_slug, f.field_key, f.position, f.definition, f.created_at,
                f.created_by
            from crm_module_fields f, unnest($1::uuid[]) as t (id)
            where f.tenant_id = $2 on conflict do nothing",
        ] {
            sqlx::query(statement)
                .bind(&ids)
                .bind(self.first.uuid())
                .execute(&mut self.records)
                .await?;
        }
        Ok(())
    }
}

/// Records and their index rows as COPY reads them, the index rows in the order of tenants.
fn texts(model: &Model, chunk: &[(Uuid, u64)]) -> Result<(String, String)> {
    let slug = stones::MODULE.parse()?;
    let module = model.module(&slug).context("the module is not there")?;
    let (mut records, mut index) = (String::new(), String::new());
    for (tenant, number) in chunk {
        let data = stones::stone(*number)?;
        let id = stones::record_id(*number);
        let json = escaped(&serde_json::to_string(&data)?);
        let day = stones::bought_on(*number)?;
        writeln!(
            records,
            "{tenant}\t{id}\t{slug}\t{json}\t1\tbench\t{day}\tbench\t{day}\tbench"
        )?;
        for entry in module.index_entries(&data) {
            let key = escaped(&entry.key);
            writeln!(index, "{tenant}\t{}\t{key}\t{id}", entry.slot)?;
        }
    }
    Ok((records, index))
}

/// A text as COPY reads it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\t', "\\t")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
}
