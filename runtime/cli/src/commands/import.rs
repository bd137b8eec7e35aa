//! `crm import`: a CSV file to records of a module, by the same verbs as over HTTP: upload, run,
//! look how far it came. The task is worked on here; a server that runs beside may take it too.

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use crm_engine::Engine;
use crm_engine::tasks::TaskSettings;
use crm_model::import::{ImportState, MappingInput, OnError, RunInput};
use crm_model::{FieldKey, ImportId, ModuleSlug, TenantId};
use crm_store::imports::Import;
use crm_store::tasks::TaskStatus;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use crate::arguments::Common;
use crate::commands::direct;
use crate::commands::tenant::operator;
use crate::say;

/// What is read of the file at a time.
const PIECE_BYTES: usize = 64 << 10;
/// How often to look how far it came.
const LOOK: Duration = Duration::from_millis(100);
/// Errors that are shown.
const SHOWN_ERRORS: usize = 20;

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// CSV in UTF-8 with a header
    file: PathBuf,
    /// The tenant: its id or its name
    #[arg(long)]
    tenant: String,
    /// The module to import into
    #[arg(long)]
    module: ModuleSlug,
    /// What a column is for; may be given several times. Without any, what the names suggest
    #[arg(long = "map", value_name = "COLUMN=FIELD")]
    mapping: Vec<String>,
    /// Judge every row, write none
    #[arg(long)]
    dry_run: bool,
    /// A unique field: rows whose value a record has update that record
    #[arg(long, value_name = "FIELD")]
    upsert_key: Option<FieldKey>,
    /// Start no workflows
    #[arg(long)]
    no_workflows: bool,
    /// What becomes of the import when a row is refused
    #[arg(long, value_enum, default_value_t = Refused::Skip)]
    on_error: Refused,
    /// For amounts that come without a currency (ISO 4217)
    #[arg(long, value_name = "CODE")]
    default_currency: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Refused {
    /// The row is left out and named
    Skip,
    /// The import stops before it
    Abort,
}

impl ImportArguments {
    fn input(&self) -> Result<RunInput> {
        let mut mapping = BTreeMap::new();
        for pair in &self.mapping {
            let (column, field) = pair
                .split_once('=')
                .with_context(|| format!("--map is COLUMN=FIELD, not “{pair}”"))?;
            mapping.insert(
                column.to_owned(),
                Some(MappingInput::Name(field.to_owned())),
            );
        }
        Ok(RunInput {
            mapping: (!mapping.is_empty()).then_some(mapping),
            dry_run: self.dry_run,
            upsert_key: self.upsert_key.as_ref().map(ToString::to_string),
            run_workflows: !self.no_workflows,
            on_error: match self.on_error {
                Refused::Skip => OnError::Skip,
                Refused::Abort => OnError::Abort,
            },
            default_currency: self.default_currency.clone(),
            date_order: None,
        })
    }
}

pub(crate) async fn import(common: &Common, arguments: ImportArguments) -> Result<()> {
    let input = arguments.input()?;
    direct::with_tenant(common, &arguments.tenant, async |engine, tenant| {
        let (file, module) = (&arguments.file, &arguments.module);
        let import = upload(common, engine, tenant, file, module).await?;
        let stop = CancellationToken::new();
        let working = engine.work_tasks(TaskSettings::default(), stop.clone());
        let following = async {
            let ended = run(common, engine, tenant, import.id, input).await;
            stop.cancel();
            ended
        };
        let ((), ended) = tokio::join!(working, following);
        report(common, &ended?)
    })
    .await
}

async fn upload(
    common: &Common,
    engine: &Engine,
    tenant: TenantId,
    path: &Path,
    module: &ModuleSlug,
) -> Result<Import> {
    let unread = || format!("{} cannot be read", path.display());
    let mut file = tokio::fs::File::open(path).await.with_context(unread)?;
    let length = file.metadata().await.with_context(unread)?.len();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut upload = engine
        .import_upload(tenant, operator()?, &name, None)
        .await?;
    let bar = direct::bar(common, length, "upload");
    let taken = async {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = file.read(&mut piece).await.with_context(unread)?;
            let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else {
                break;
            };
            upload.push(piece).await?;
            bar.inc(piece.len() as u64);
        }
        anyhow::Ok(upload.finish(module, None).await?)
    };
    let taken = taken.await;
    bar.finish();
    if taken.is_err() {
        upload.abandon().await;
    }
    taken
}

/// Runs the import and follows it to its end.
async fn run(
    common: &Common,
    engine: &Engine,
    tenant: TenantId,
    id: ImportId,
    input: RunInput,
) -> Result<Import> {
    let import = engine
        .import_run(tenant, operator()?, id, input, None)
        .await?;
    let bar = direct::bar(common, import.row_count, "rows  ");
    loop {
        let import = engine.import(tenant, &operator()?, id).await?;
        bar.set_position(state(&import).rows);
        let status = import.task.as_ref().map(|task| task.status);
        if status.is_some_and(TaskStatus::is_final) {
            bar.finish();
            return Ok(import);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn state(import: &Import) -> ImportState {
    let state = import.task.as_ref().map(|task| task.state.clone());
    state
        .and_then(|state| serde_json::from_value(state).ok())
        .unwrap_or_default()
}

fn report(common: &Common, import: &Import) -> Result<()> {
    let state = state(import);
    if common.json {
        println!(
            "{}",
            json!({
                "id": import.id, "rows": state.rows, "total": import.row_count,
                "created": state.created, "updated": state.updated, "failed": state.failed,
                "errors": state.errors, "error_count": state.error_count,
            })
        );
    } else {
        for error in state.errors.iter().take(SHOWN_ERRORS) {
            let column = error.column.as_deref().or(error.field.as_deref());
            let place = column.map_or_else(String::new, |column| format!(", “{column}”"));
            eprintln!("  row {}{place}: {}", error.row, error.message);
        }
        say::step(&format!(
            "{} of {} rows: {} created, {} updated, {} refused",
            state.rows, import.row_count, state.created, state.updated, state.failed
        ));
    }
    let task = import.task.as_ref();
    match task.map(|task| (task.status, task.error.as_deref())) {
        Some((TaskStatus::Done, _)) if state.failed == 0 => Ok(()),
        Some((TaskStatus::Done, _)) => {
            bail!(
                "{} rows were refused; mend them and import again",
                state.failed
            )
        }
        Some((TaskStatus::Cancelled, _)) => bail!("the import was cancelled"),
        Some((_, Some(error))) => bail!("the import failed: {error}"),
        _ => bail!("the import did not come to its end"),
    }
}
