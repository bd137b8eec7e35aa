//! `crm export`: records of a module to a file, or to standard output.

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use crm_engine::Engine;
use crm_engine::export::{ExportFormat, ExportRequest};
use crm_model::query::{Names, QueryInput};
use crm_model::{ModuleSlug, TenantId};
use futures::TryStreamExt;
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::arguments::Common;
use crate::commands::direct;
use crate::commands::tenant::operator;

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The tenant: its id or its name
    #[arg(long)]
    tenant: String,
    /// The module whose records to write
    #[arg(long)]
    module: ModuleSlug,
    /// How to write them
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// Fields, between commas; all of them unless given
    #[arg(long, value_delimiter = ',', value_name = "FIELDS")]
    fields: Option<Vec<String>>,
    /// Which records: a filter of the API, as JSON
    #[arg(long, value_name = "JSON", value_parser = parse_filter)]
    filter: Option<serde_json::Value>,
    /// In which order: `-price,name`
    #[arg(long, value_name = "FIELDS", allow_hyphen_values = true)]
    sort: Option<String>,
    /// Where to write; standard output unless given
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn parse_filter(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("a filter is JSON: {error}"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Csv,
    Ndjson,
}

pub(crate) async fn export(common: &Common, arguments: ExportArguments) -> Result<()> {
    let ExportArguments {
        tenant,
        module,
        format,
        fields,
        filter,
        sort,
        output,
    } = arguments;
    let request = ExportRequest {
        module,
        format: match format {
            Format::Csv => ExportFormat::Csv,
            Format::Ndjson => ExportFormat::Ndjson,
        },
        fields,
        query: QueryInput {
            filter,
            sort: sort.map(Names::Text),
            ..QueryInput::default()
        },
    };
    direct::with_tenant(common, &tenant, async |engine, tenant| match &output {
        None => {
            let mut out = tokio::io::stdout();
            write(engine, tenant, request, &mut out, &ProgressBar::hidden()).await
        }
        Some(path) => to_file(common, engine, tenant, request, path).await,
    })
    .await
}

/// Writes beside the file and moves it into place at the end, so that a part never passes for
/// the whole.
async fn to_file(
    common: &Common,
    engine: &Engine,
    tenant: TenantId,
    request: ExportRequest,
    path: &Path,
) -> Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let partial = tempfile::NamedTempFile::new_in(directory)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    let mut file = tokio::fs::File::from_std(partial.reopen()?);
    let bar = direct::spinner(common, "bytes");
    write(engine, tenant, request, &mut file, &bar).await?;
    file.sync_all().await?;
    partial
        .persist(path)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    bar.finish();
    Ok(())
}

async fn write(
    engine: &Engine,
    tenant: TenantId,
    request: ExportRequest,
    out: &mut (impl AsyncWrite + Unpin),
    bar: &ProgressBar,
) -> Result<()> {
    let records = engine.export(tenant, operator()?, request).await?;
    let mut records = std::pin::pin!(records);
    while let Some(piece) = records.try_next().await? {
        out.write_all(&piece).await?;
        bar.inc(piece.len() as u64);
    }
    out.flush().await?;
    Ok(())
}
