//! A file on its way in: checked piece by piece, kept in chunks of one transaction each, so that
//! a slow client holds nothing open.

use crm_model::import::{
    Column, DELIMITERS, Scanner, Utf8Check, describe_columns, propose, sniff_delimiter,
};
use crm_model::limits::{
    IMPORT_CHUNK_BYTES, IMPORT_COLUMN_MAX_CHARACTERS, IMPORT_FILE_MAX_BYTES,
    IMPORT_FILE_NAME_MAX_CHARACTERS, IMPORT_INFERENCE_MAX_ROWS, IMPORT_MAX_COLUMNS,
};
use crm_model::permission::{Action, Authority, permit};
use crm_model::{Actor, ImportId, ModuleSlug, TenantId, Violations};
use crm_store::TenantTx;
use crm_store::imports::{Import, Uploaded};

use crate::import::file::rows_parse;
use crate::receipt::{ReceiptMaker, receipt_keep};
use crate::{Engine, EngineError, fresh};

const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// An upload under way. [`Upload::finish`] makes it an import; [`Upload::abandon`] leaves no
/// trace of it. What a vanished client leaves goes with the files that expire.
pub struct Upload {
    engine: Engine,
    tenant: TenantId,
    actor: Actor,
    id: ImportId,
    encoding: Utf8Check,
    /// The file's first chunk, for its header and what its columns hold.
    head: Vec<u8>,
    scanner: Option<Scanner>,
    /// None until it is told or found.
    delimiter: Option<u8>,
    chunk: Vec<u8>,
    chunks: i32,
    bytes: u64,
}

fn refused(code: &str, message: impl Into<String>) -> EngineError {
    EngineError::invalid(Violations::one("/file", code, message))
}

impl Engine {
    /// Begins an upload. The delimiter, one of [`DELIMITERS`], is found unless it is told.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`] for those who may create no records at all.
    pub async fn import_upload(
        &self,
        tenant: TenantId,
        actor: Actor,
        file_name: &str,
        delimiter: Option<u8>,
    ) -> Result<Upload, EngineError> {
        if delimiter.is_some_and(|delimiter| !DELIMITERS.contains(&delimiter)) {
            let message = "the delimiter is a comma, a semicolon, a tab or a bar";
            let violation = Violations::one("/options/delimiter", "enum", message);
            return Err(EngineError::invalid(violation));
        }
        self.imports_tidy(tenant).await?;
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let model = self.model_at(tenant, tx.model_version()).await?;
        let permissions = model.map_or_else(Default::default, |model| model.permissions(&actor));
        let mut actions = permissions.values();
        let wanted = [Action::Create, Action::Import];
        if !actions.any(|actions| wanted.iter().all(|action| actions.contains(action))) {
            return Err(EngineError::Forbidden(
                "importing is for those whose role lets them import and create records",
            ));
        }
        let id = ImportId::new(fresh::id());
        let name: String = file_name
            .chars()
            .filter(|character| !character.is_control())
            .take(IMPORT_FILE_NAME_MAX_CHARACTERS)
            .collect();
        let by = &actor.user_id;
        crm_store::imports::import_insert(&mut tx, id, &name, fresh::now(), by).await?;
        tx.commit().await?;
        Ok(Upload {
            engine: self.clone(),
            tenant,
            actor,
            id,
            encoding: Utf8Check::default(),
            head: Vec::new(),
            scanner: None,
            delimiter,
            chunk: Vec::new(),
            chunks: 0,
            bytes: 0,
        })
    }
}

impl Upload {
    /// Takes the next piece of the file.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where it is not UTF-8, too large, or has rows without end.
    pub async fn push(&mut self, piece: &[u8]) -> Result<(), EngineError> {
        self.bytes += piece.len() as u64;
        if self.bytes > IMPORT_FILE_MAX_BYTES {
            let message = format!("a file has at most {IMPORT_FILE_MAX_BYTES} bytes; split it");
            return Err(refused("max_bytes", message));
        }
        let checked = self.encoding.push(piece);
        checked.map_err(|error| refused("encoding", error.to_string()))?;
        self.chunk.extend_from_slice(piece);
        // One byte more than a chunk, so that the first is complete with its mark taken off.
        while self.chunk.len() >= IMPORT_CHUNK_BYTES + BYTE_ORDER_MARK.len() {
            self.take_off_mark();
            let rest = self.chunk.split_off(IMPORT_CHUNK_BYTES);
            self.keep().await?;
            self.chunk = rest;
        }
        Ok(())
    }

    fn take_off_mark(&mut self) {
        if self.chunks == 0 && self.chunk.starts_with(BYTE_ORDER_MARK) {
            self.chunk.drain(..BYTE_ORDER_MARK.len());
            self.bytes -= BYTE_ORDER_MARK.len() as u64;
        }
    }

    fn delimiter(&mut self) -> u8 {
        let head = &self.head;
        let sniff = || sniff_delimiter(&String::from_utf8_lossy(head));
        *self.delimiter.get_or_insert_with(sniff)
    }

    async fn keep(&mut self) -> Result<(), EngineError> {
        if self.chunks == 0 {
            self.head = self.chunk.clone();
        }
        let delimiter = self.delimiter();
        let scanner = self.scanner.get_or_insert_with(|| Scanner::new(delimiter));
        let scanned = scanner.push(&self.chunk);
        scanned.map_err(|error| refused("rows", error.to_string()))?;
        let mut tx = TenantTx::begin(self.engine.store(), self.tenant).await?;
        crm_store::imports::chunk_insert(&mut tx, self.id, self.chunks, &self.chunk).await?;
        tx.commit().await?;
        self.chunks += 1;
        Ok(())
    }

    /// The file is complete: its columns, and the fields that they seem to be for.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where the file has no header and rows, or the caller may not
    /// create records of the module.
    pub async fn finish(
        &mut self,
        module: &ModuleSlug,
        receipt: Option<ReceiptMaker<Import>>,
    ) -> Result<Import, EngineError> {
        let checked = self.encoding.finish();
        checked.map_err(|error| refused("encoding", error.to_string()))?;
        self.take_off_mark();
        if !self.chunk.is_empty() {
            self.keep().await?;
        }
        let rows = match self.scanner.take() {
            None => 0,
            Some(scanner) => scanner
                .finish()
                .map_err(|error| refused("rows", error.to_string()))?,
        };
        let delimiter = self.delimiter();
        let mut columns = self.columns(delimiter)?;
        let mut tx = TenantTx::begin(self.engine.store(), self.tenant).await?;
        let model = self
            .engine
            .model_at(self.tenant, tx.model_version())
            .await?;
        let model = model.ok_or_else(|| EngineError::no_module(module))?;
        let authority = Authority::User(&self.actor);
        permit(&model, authority, Action::Import, module)?;
        let permitted = permit(&model, authority, Action::Create, module)?;
        propose(permitted.sight(), &mut columns);
        let uploaded = Uploaded {
            module,
            delimiter,
            columns: &columns,
            row_count: rows.saturating_sub(1),
            byte_count: self.bytes,
        };
        crm_store::imports::import_complete(&mut tx, self.id, &uploaded).await?;
        let import = crm_store::imports::import_read(&mut tx, self.id, false).await?;
        let import = import.ok_or(EngineError::NotFound("import"))?;
        receipt_keep(&mut tx, &self.actor, receipt.as_ref(), &import).await?;
        tx.commit().await?;
        Ok(import)
    }

    fn columns(&self, delimiter: u8) -> Result<Vec<Column>, EngineError> {
        let is_whole = self.chunks <= 1;
        let rows = rows_parse(&self.head, delimiter, is_whole)?;
        let mut rows = rows
            .into_iter()
            .map(|(row, _)| row.iter().map(str::to_owned).collect::<Vec<String>>());
        let names = column_names(rows.next().unwrap_or_default())?;
        let sample: Vec<Vec<String>> = rows.take(IMPORT_INFERENCE_MAX_ROWS).collect();
        if sample.is_empty() {
            return Err(refused("empty", "the file has no rows below its header"));
        }
        Ok(describe_columns(&names, &sample))
    }

    /// Leaves nothing of an upload that did not become an import.
    pub async fn abandon(self) {
        let deleted = async {
            let mut tx = TenantTx::begin(self.engine.store(), self.tenant).await?;
            crm_store::imports::import_delete(&mut tx, self.id).await?;
            tx.commit().await
        };
        if let Err(error) = deleted.await {
            tracing::warn!(import.id = %self.id, %error, "a broken upload could not be deleted");
        }
    }
}

/// The header's names: none twice; a column without one is called by its place.
fn column_names(header: Vec<String>) -> Result<Vec<String>, EngineError> {
    if header.is_empty() {
        return Err(refused("empty", "the file is empty"));
    }
    if header.len() > IMPORT_MAX_COLUMNS {
        let message = format!("a file has at most {IMPORT_MAX_COLUMNS} columns");
        return Err(refused("max_columns", message));
    }
    let mut names: Vec<String> = Vec::with_capacity(header.len());
    for (place, name) in header.iter().enumerate() {
        let name = match name.trim() {
            "" => format!("column {}", place + 1),
            name => name.to_owned(),
        };
        if name.chars().count() > IMPORT_COLUMN_MAX_CHARACTERS {
            let message =
                format!("a column's name has at most {IMPORT_COLUMN_MAX_CHARACTERS} characters");
            return Err(refused("header", message));
        }
        if names.contains(&name) {
            let message = format!("two columns are called “{name}”; rename one");
            return Err(refused("header", message));
        }
        names.push(name);
    }
    Ok(names)
}
