//! What a guest is told when it asks: the tenant's records as the person behind the event sees
//! them, within the plugin's grant, and the values that the plugin keeps. Each question is a short
//! transaction of its own; none is open while the guest runs.

use crm_model::limits::{
    PLUGIN_STATE_KEY_MAX_CHARACTERS, PLUGIN_STATE_MAX_KEYS, PLUGIN_STATE_VALUE_MAX_BYTES,
    QUERY_MAX_MILLISECONDS,
};
use crm_model::names::PluginName;
use crm_model::query::{AggregateInput, Query, QueryInput, Scope};
use crm_model::{Actor, Grant, JobId, Model, ModuleSlug, RecordId, TenantId};
use crm_sandbox::{Answer, Answering, FoundRecord, GuestHost, Question, Refusal, StateEntry};
use crm_store::commit::StateWrite;
use crm_store::records::Record;
use crm_store::{StoreError, TenantTx, plugin_state};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::query::{aggregated_rows, read_groups, read_page};
use crate::{Engine, EngineError, fresh};

/// What one run's guest is told.
pub(crate) struct RunHost {
    pub(crate) engine: Engine,
    pub(crate) tenant: TenantId,
    pub(crate) model: Arc<Model>,
    pub(crate) plugin: PluginName,
    pub(crate) grant: Grant,
    /// Whose sight counts; none where the workflow runs as itself.
    pub(crate) reader: Option<Actor>,
    pub(crate) job: JobId,
    pub(crate) kept: Kept,
}

/// The values that a run read and wrote, shared with whoever commits it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<BTreeMap<String, Slot>>>);

#[derive(Clone, Debug)]
struct Slot {
    /// As it was read; 0: there was none.
    version: i64,
    value: Option<String>,
    written: bool,
}

impl Kept {
    fn slot(&self, key: &str) -> Option<Slot> {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(key).cloned()
    }

    fn put(&self, key: &str, slot: Slot) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.insert(key.to_owned(), slot);
    }

    /// What is to be written at the end of the run.
    pub(crate) fn writes(&self, plugin: &PluginName) -> Vec<StateWrite> {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let written = slots.iter().filter(|(_, slot)| slot.written);
        let writes = written.map(|(key, slot)| StateWrite {
            plugin: plugin.clone(),
            key: key.clone(),
            value: slot.value.clone(),
            expected_version: slot.version,
        });
        writes.collect()
    }
}

impl GuestHost for RunHost {
    fn answer<'a>(&'a mut self, question: &'a Question) -> Answering<'a> {
        Box::pin(async move {
            match self.told(question).await {
                Ok(answer) => answer,
                Err(refusal) => Answer::Refused(refusal),
            }
        })
    }
}

impl RunHost {
    async fn told(&self, question: &Question) -> Result<Answer, Refusal> {
        match question {
            Question::RecordGet { module, id } => self.record(module, id).await,
            Question::RecordQuery { module, query } => self.records(module, query).await,
            Question::RecordAggregate { module, query } => self.aggregate(module, query).await,
            Question::SecretHandle { name } => self.secret(name).await,
            Question::StateGet { key } => {
                let slot = self.read_slot(key).await?;
                let version = u64::try_from(slot.version).unwrap_or_default();
                Ok(Answer::Entry {
                    entry: slot.value.map(|value| StateEntry { value, version }),
                })
            }
            Question::StateSet { key, value } => {
                check_value(value)?;
                self.write_slot(key, Some(value.clone())).await
            }
            Question::StateDelete { key } => self.write_slot(key, None).await,
        }
    }

    fn scope(&self) -> Scope<'_> {
        Scope::plugin(&self.model, &self.grant, self.reader.as_ref(), fresh::now())
    }

    fn module(&self, name: &str) -> Result<ModuleSlug, Refusal> {
        let missing = || Refusal::Invalid(format!("there is no module “{name}”"));
        let slug: ModuleSlug = name.parse().map_err(|_| missing())?;
        self.scope().module(&slug).ok_or_else(missing)?;
        Ok(slug)
    }

    async fn record(&self, module: &str, id: &str) -> Result<Answer, Refusal> {
        let slug = self.module(module)?;
        let id: RecordId = id
            .parse()
            .map_err(|_| Refusal::Invalid(format!("“{id}” is not the id of a record")))?;
        let store = self.engine.store();
        let found = crm_store::records::record_read(store, self.tenant, &slug, id).await;
        let (_, found) = found.map_err(away)?;
        let Some(found) = found else {
            return Ok(Answer::Record { record: None });
        };
        if let Some(reader) = &self.reader {
            let there = self.engine.check_there(&self.model, reader, (&slug, id));
            match there.await {
                Ok(()) => {}
                Err(EngineError::Store(error)) => return Err(away(error)),
                Err(_) => return Ok(Answer::Record { record: None }),
            }
        }
        Ok(Answer::Record {
            record: Some(self.shown(&found)),
        })
    }

    /// A record as it was stored, cut down to what may be seen.
    fn shown(&self, record: &Record) -> FoundRecord {
        let scope = self.scope();
        let module = scope.module(&record.module);
        let data = module.map(|module| scope.sight(module).show(&record.data).into_owned());
        found(record, &data.unwrap_or_default())
    }

    async fn records(&self, module: &str, query: &str) -> Result<Answer, Refusal> {
        let slug = self.module(module)?;
        let input: QueryInput = parse("the query", query)?;
        if input.deleted.is_some() || input.expand.is_some() {
            let reason = "a plugin’s query has neither “deleted” nor “expand”";
            return Err(Refusal::Invalid(reason.to_owned()));
        }
        let parsed = Query::parse(self.scope(), &slug, &input)
            .map_err(|violations| Refusal::Invalid(violations.to_string()))?;
        let mut tx = self.begin_query().await?;
        let page = read_page(&mut tx, self.scope(), &parsed)
            .await
            .map_err(refusal)?;
        let rows = page.rows.iter();
        Ok(Answer::Page {
            // What the reader may see was taken out when the page was read.
            records: rows
                .map(|row| found(&row.found.record, &row.found.record.data))
                .collect(),
            next_cursor: page.next_cursor,
        })
    }

    async fn aggregate(&self, module: &str, query: &str) -> Result<Answer, Refusal> {
        let slug = self.module(module)?;
        let input: AggregateInput = parse("the query", query)?;
        let mut tx = self.begin_query().await?;
        let (aggregate, found) = read_groups(&mut tx, self.scope(), &slug, &input)
            .await
            .map_err(refusal)?;
        let more = found.more;
        let data = aggregated_rows(&aggregate, found);
        let json = serde_json::json!({ "data": data, "more": more });
        Ok(Answer::Json {
            json: json.to_string(),
        })
    }

    async fn secret(&self, name: &str) -> Result<Answer, Refusal> {
        self.engine.secret_told(self.tenant, self.job, name).await
    }

    async fn read_slot(&self, key: &str) -> Result<Slot, Refusal> {
        if let Some(slot) = self.kept.slot(key) {
            return Ok(slot);
        }
        check_key(key)?;
        let mut tx = self.begin().await?;
        let entry = plugin_state::value_read(&mut tx, &self.plugin, key)
            .await
            .map_err(away)?;
        let slot = match entry {
            Some((value, version)) => Slot {
                version,
                value: Some(value),
                written: false,
            },
            None => Slot {
                version: 0,
                value: None,
                written: false,
            },
        };
        self.kept.put(key, slot.clone());
        Ok(slot)
    }

    async fn write_slot(&self, key: &str, value: Option<String>) -> Result<Answer, Refusal> {
        let slot = self.read_slot(key).await?;
        if slot.version == 0 && value.is_some() {
            let mut tx = self.begin().await?;
            let keys = plugin_state::keys_count(&mut tx, &self.plugin)
                .await
                .map_err(away)?;
            if keys >= PLUGIN_STATE_MAX_KEYS {
                return Err(Refusal::Limited(format!(
                    "a plugin keeps at most {PLUGIN_STATE_MAX_KEYS} values"
                )));
            }
        }
        let written = Slot {
            value,
            written: true,
            ..slot
        };
        self.kept.put(key, written);
        Ok(Answer::Done)
    }

    async fn begin(&self) -> Result<TenantTx, Refusal> {
        TenantTx::begin(self.engine.store(), self.tenant)
            .await
            .map_err(away)
    }

    async fn begin_query(&self) -> Result<TenantTx, Refusal> {
        TenantTx::begin_query(self.engine.store(), self.tenant, QUERY_MAX_MILLISECONDS)
            .await
            .map_err(away)
    }
}

fn found(record: &Record, data: &crm_model::Data) -> FoundRecord {
    let moment =
        |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    FoundRecord {
        id: record.id.to_string(),
        version: record.version.unsigned_abs(),
        data: serde_json::to_string(data).unwrap_or_default(),
        owner_id: record.owner_id.clone(),
        created_at: moment(record.created_at),
        updated_at: moment(record.updated_at),
    }
}

fn parse<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, Refusal> {
    serde_json::from_str(text)
        .map_err(|error| Refusal::Invalid(format!("{what} could not be read: {error}")))
}

fn check_key(key: &str) -> Result<(), Refusal> {
    let length = key.chars().count();
    if length == 0 || length > PLUGIN_STATE_KEY_MAX_CHARACTERS || key.contains('\0') {
        return Err(Refusal::Invalid(format!(
            "a key has 1 to {PLUGIN_STATE_KEY_MAX_CHARACTERS} characters"
        )));
    }
    Ok(())
}

fn check_value(value: &str) -> Result<(), Refusal> {
    if value.len() > PLUGIN_STATE_VALUE_MAX_BYTES {
        return Err(Refusal::Limited(format!(
            "a kept value has at most {PLUGIN_STATE_VALUE_MAX_BYTES} bytes; this one has {}",
            value.len()
        )));
    }
    if value.contains('\0') {
        return Err(Refusal::Invalid("a kept value has no NUL".to_owned()));
    }
    parse::<serde_json::Value>("the value", value).map(|_| ())
}

/// The database’s fault.
fn away(error: StoreError) -> Refusal {
    tracing::warn!(%error, "a guest’s question was not answered");
    Refusal::Unavailable("the records cannot be read now".to_owned())
}

fn refusal(error: EngineError) -> Refusal {
    match error {
        EngineError::Store(error) => away(error),
        other => Refusal::Invalid(other.to_string()),
    }
}
