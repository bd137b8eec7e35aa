//! What became of a record's values, and how long it stood in each stage. What is out of use
//! or hidden from the reader stays out of the answer.

use chrono::{DateTime, Utc};
use crm_model::stages::{Stay, stays};
use crm_model::{Actor, FieldKey, Model, ModuleSlug, RecordId, TenantId, Violations};
use crm_store::TenantTx;
use crm_store::history::HistoryEntry;
use std::sync::Arc;

use crate::read::{Page, PageRequest};
use crate::{Engine, EngineError, fresh};

impl Engine {
    /// A page of a record's history, newest first; of one field, or of all.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where the record does not exist for the caller, or the module has
    /// no such field.
    pub async fn history(
        &self,
        tenant: TenantId,
        actor: &Actor,
        (slug, record): (&ModuleSlug, RecordId),
        field: Option<&str>,
        page: PageRequest<i64>,
    ) -> Result<Page<HistoryEntry>, EngineError> {
        let (mut tx, model) = self.begin_of_record(tenant, actor, slug, record).await?;
        let module = Engine::module_of(&model, slug)?;
        let sight = model.sight(module, Some(actor));
        let field = field.map(|name| {
            let field = sight.field(name).map(|field| &field.key);
            field.ok_or_else(|| {
                let message = format!("there is no field “{name}”");
                EngineError::invalid(Violations::one("/field", "field", message))
            })
        });
        let field: Option<&FieldKey> = field.transpose()?;
        let (before, limit) = (page.before, page.limit + 1);
        let rows = crm_store::history::history_page(&mut tx, record, field, before, limit).await?;
        let shown = |mut entry: HistoryEntry| {
            entry.before = sight.show(&entry.before).into_owned();
            entry.after = sight.show(&entry.after).into_owned();
            entry
        };
        let rows = rows.into_iter().map(shown).collect();
        Ok(Page::cut(rows, page.limit))
    }

    /// How long a record stood in each stage of the module's pipelines, field by field, the
    /// first stay first; and until when that was computed.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where the record does not exist for the caller.
    pub async fn stages(
        &self,
        tenant: TenantId,
        actor: &Actor,
        slug: &ModuleSlug,
        record: RecordId,
    ) -> Result<(Vec<Stay>, DateTime<Utc>), EngineError> {
        let (mut tx, model) = self.begin_of_record(tenant, actor, slug, record).await?;
        let module = Engine::module_of(&model, slug)?;
        let sight = model.sight(module, Some(actor));
        let pipelines = module.pipelines().map(|field| &field.key);
        let fields: Vec<&FieldKey> = pipelines
            .filter(|key| sight.clear_field(key.as_str()).is_some())
            .collect();
        let now = fresh::now();
        if fields.is_empty() {
            return Ok((Vec::new(), now));
        }
        let changes = crm_store::history::stage_changes(&mut tx, record, &fields).await?;
        let stays = fields.into_iter().flat_map(|field| stays(field, &changes));
        Ok((stays.collect(), now))
    }

    /// A transaction to read what is known of a record, if it exists for the caller.
    pub(crate) async fn begin_of_record(
        &self,
        tenant: TenantId,
        actor: &Actor,
        module: &ModuleSlug,
        record: RecordId,
    ) -> Result<(TenantTx, Arc<Model>), EngineError> {
        self.record(tenant, actor, module, record).await?;
        self.begin_across(tenant).await
    }
}
