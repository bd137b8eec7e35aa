//! Records on their way out, as CSV or one JSON object a line: a page at a time, never the whole
//! set in memory. It never ends early as if it were complete: what goes wrong in the middle is
//! an error of the stream.

use bytes::Bytes;
use crm_model::import::{ExportColumn, export_columns};
use crm_model::limits::EXPORT_PAGE_RECORDS;
use crm_model::permission::{Action, Authority, permit};
use crm_model::query::QueryInput;
use crm_model::sight::Sight;
use crm_model::{Actor, Data, FieldKey, ModuleSlug, TenantId, Violations};
use crm_store::records::Record;
use futures::Stream;
use serde_json::json;
use std::collections::BTreeSet;

use crate::audit::Act;
use crate::{Engine, EngineError};

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// RFC 4180, a header first; money has a column for the amount and one for the currency.
    Csv,
    /// A record a line, in the shape of the API.
    Ndjson,
}

/// What to export.
#[derive(Clone, Debug)]
pub struct ExportRequest {
    pub module: ModuleSlug,
    pub format: ExportFormat,
    /// Fields, and `id`, `version`, `owner_id`, `created_at`, `created_by`, `updated_at`,
    /// `updated_by`; all fields with id and times where none are named.
    pub fields: Option<Vec<String>>,
    /// Which records, and in which order: filter, sort, words.
    pub query: QueryInput,
}

/// What a record has beside its fields.
const ATTRIBUTES: [&str; 7] = [
    "id",
    "version",
    "owner_id",
    "created_at",
    "created_by",
    "updated_at",
    "updated_by",
];

/// A column of the file.
enum Column {
    Attribute(&'static str),
    Field(ExportColumn),
}

/// An export under way.
struct Export {
    engine: Engine,
    tenant: TenantId,
    actor: Actor,
    request: ExportRequest,
    columns: Vec<Column>,
    ended: bool,
}

impl Engine {
    /// Begins an export of what the caller may read.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where the module does not exist for the caller, they may not
    /// export it, or a field is unknown. What goes wrong later is an item of the stream, its last.
    pub async fn export(
        &self,
        tenant: TenantId,
        actor: Actor,
        request: ExportRequest,
    ) -> Result<impl Stream<Item = Result<Bytes, EngineError>> + Send + use<>, EngineError> {
        // Asks the permission, and finds what is wrong with the query.
        self.records_many(tenant, &actor, &request.module, &request.query, 1)
            .await?;
        let model = self.model(tenant).await?;
        let model = model.as_deref();
        let model = model.ok_or_else(|| EngineError::no_module(&request.module))?;
        let permitted = permit(
            model,
            Authority::User(&actor),
            Action::Export,
            &request.module,
        )?;
        let columns = columns(permitted.sight(), request.fields.as_deref());
        let columns = columns.map_err(EngineError::invalid)?;
        let act = Act {
            action: "records.exported",
            target: format!("records/{}", request.module),
            before: None,
            after: Some(json!({ "fields": request.fields })),
        };
        self.audit_note(tenant, &actor, act).await?;
        let export = Export {
            engine: self.clone(),
            tenant,
            actor,
            request,
            columns,
            ended: false,
        };
        let head = Ok(export.head()?);
        let pages = futures::stream::try_unfold(export, Export::next);
        Ok(futures::StreamExt::chain(
            futures::stream::iter([head]),
            pages,
        ))
    }
}

impl Export {
    fn head(&self) -> Result<Bytes, EngineError> {
        match self.request.format {
            ExportFormat::Ndjson => Ok(Bytes::new()),
            ExportFormat::Csv => written(|csv| {
                csv.write_record(self.columns.iter().map(|column| match column {
                    Column::Attribute(name) => name,
                    Column::Field(column) => column.name(),
                }))
            }),
        }
    }

    async fn next(mut self) -> Result<Option<(Bytes, Self)>, EngineError> {
        if self.ended {
            return Ok(None);
        }
        let records = self.page().await?;
        if records.is_empty() {
            return Ok(None);
        }
        let text = match self.request.format {
            ExportFormat::Csv => self.csv(&records)?,
            ExportFormat::Ndjson => self.lines(&records),
        };
        Ok(Some((text, self)))
    }

    /// The next records. Which ones, and in which order, is decided here alone.
    async fn page(&mut self) -> Result<Vec<Record>, EngineError> {
        let (module, query) = (&self.request.module, &self.request.query);
        let page = self
            .engine
            .records_many(self.tenant, &self.actor, module, query, EXPORT_PAGE_RECORDS)
            .await?;
        self.ended = page.next_cursor.is_none();
        self.request.query.cursor = page.next_cursor;
        let records = page.rows.into_iter();
        Ok(records.map(|shown| shown.found.record).collect())
    }

    fn csv(&self, records: &[Record]) -> Result<Bytes, EngineError> {
        written(|csv| {
            for record in records {
                csv.write_record(self.columns.iter().map(|column| match column {
                    Column::Attribute(name) => attribute(record, name),
                    Column::Field(column) => column.cell(&record.data),
                }))?;
            }
            Ok(())
        })
    }

    fn lines(&self, records: &[Record]) -> Bytes {
        let fields: BTreeSet<&FieldKey> = self
            .columns
            .iter()
            .filter_map(|column| match column {
                Column::Field(column) => Some(column.field()),
                Column::Attribute(_) => None,
            })
            .collect();
        let mut text = String::new();
        for record in records {
            let data: Data = fields
                .iter()
                .filter_map(|field| {
                    let value = record.data.get(field.as_str())?;
                    Some((field.to_string(), value.clone()))
                })
                .collect();
            let line = json!({
                "id": record.id, "module": record.module, "version": record.version,
                "data": data, "owner_id": record.owner_id, "created_at": record.created_at,
                "created_by": record.created_by, "updated_at": record.updated_at,
                "updated_by": record.updated_by,
            });
            text.push_str(&line.to_string());
            text.push('\n');
        }
        text.into()
    }
}

fn attribute(record: &Record, name: &str) -> String {
    match name {
        "id" => record.id.to_string(),
        "version" => record.version.to_string(),
        "owner_id" => record.owner_id.clone(),
        "created_at" => record.created_at.to_rfc3339(),
        "created_by" => record.created_by.clone(),
        "updated_at" => record.updated_at.to_rfc3339(),
        _ => record.updated_by.clone(),
    }
}

fn columns(sight: &Sight<'_>, names: Option<&[String]>) -> Result<Vec<Column>, Violations> {
    let Some(names) = names else {
        let fields = export_columns(sight, None).unwrap_or_default();
        let fields = fields.into_iter().map(Column::Field);
        let times = ["created_at", "updated_at"].map(Column::Attribute);
        return Ok([Column::Attribute("id")]
            .into_iter()
            .chain(fields)
            .chain(times)
            .collect());
    };
    let mut violations = Violations::default();
    let mut columns = Vec::new();
    for name in names {
        let key = name.parse::<FieldKey>().ok();
        let field = key.and_then(|key| export_columns(sight, Some(&[key])).ok());
        let known = ATTRIBUTES.iter().find(|attribute| *attribute == name);
        match (field, known) {
            (Some(found), _) => columns.extend(found.into_iter().map(Column::Field)),
            (None, Some(attribute)) => columns.push(Column::Attribute(attribute)),
            (None, None) => {
                let message = format!("there is no field “{name}”");
                violations.add("/fields".to_owned(), "unknown_field", message);
            }
        }
    }
    violations.into_result()?;
    Ok(columns)
}

fn written(
    write: impl FnOnce(&mut csv::Writer<Vec<u8>>) -> Result<(), csv::Error>,
) -> Result<Bytes, EngineError> {
    let broken = |error: &dyn std::fmt::Display| EngineError::Internal(format!("csv: {error}"));
    let mut csv = csv::Writer::from_writer(Vec::new());
    write(&mut csv).map_err(|error| broken(&error))?;
    let bytes = csv.into_inner().map_err(|error| broken(&error))?;
    Ok(bytes.into())
}
