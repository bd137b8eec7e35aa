//! `crm demo`: from nothing to a served demo tenant with data. It does nothing that a client
//! could not do: after creating the tenant, everything goes over HTTP.

mod client;
mod data;
mod import;
mod summary;

use anyhow::{Context, Result, bail};
use clap::Args;
use crm_engine::worker::WorkerSettings;
use crm_model::{Actor, TenantId};
use crm_server::auth::DevIssuer;
use crm_store::StoreSettings;
use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::arguments::Common;
use crate::code::sandbox_settings;
use crate::commands::tenant::new_tenant_id;
use crate::demo::client::Client;
use crate::demo::data::Data;
use crate::host::{Host, HostSettings, ServingSettings, listen, stop_signal};
use crate::{Database, say};

/// The demo tenant.
const TENANT: &str = "Demo Jewellers";
const TEMPLATE: &str = "jewellery";
const USER: &str = "demo-owner";
const TOKEN_TTL: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Stop when the import and its runs are done; status 0 only if all of it landed
    #[arg(long)]
    exit: bool,
    /// Where to listen
    #[arg(
        long,
        env = "CRM_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS"
    )]
    listen: SocketAddr,
    /// Diamonds as CSV; without it the full data set where it is at hand, else the bundled sample
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
}

pub(crate) async fn demo(common: Common, arguments: DemoArguments) -> Result<()> {
    let data = Data::open(arguments.data.as_deref())?;
    std::fs::create_dir_all(&common.data_dir)
        .with_context(|| format!("{} cannot be created", common.data_dir.display()))?;
    let log = log_to_file(&common.data_dir)?;
    // Before anything is started: a taken port is the most likely thing to go wrong.
    let listener = listen(arguments.listen).await?;
    let database =
        Database::open(common.database_url.as_deref(), &common.data_dir, say::step).await?;
    let stop = CancellationToken::new();
    tokio::spawn({
        let stop = stop.clone();
        async move {
            stop_signal().await;
            say::step("stopping");
            stop.cancel();
        }
    });
    let shown = async {
        let settings = HostSettings {
            dev_issuer: true,
            serving: ServingSettings::default(),
            quotas: Default::default(),
            effects: Default::default(),
            store: StoreSettings::default(),
            sandbox: sandbox_settings(&common.data_dir)?,
        };
        let host = Host::prepare(&database, settings, say::step).await?;
        let address = listener.local_addr()?;
        let serving = host.run(
            Some(listener),
            Some(WorkerSettings::default()),
            stop.clone(),
        );
        let showing = async {
            let shown = tokio::select! {
                shown = show(&common, &host, &database, address, &data, &log) => shown,
                () = stop.cancelled() => return Ok(()),
            };
            if arguments.exit || shown.is_err() {
                stop.cancel();
            } else {
                eprintln!("\nServing on http://{address} until Ctrl-C.");
            }
            shown
        };
        let (served, shown) = tokio::join!(serving, showing);
        host.engine.close().await;
        served.and(shown)
    };
    let shown = shown.await;
    database.close().await;
    shown
}

/// The demo's own output is for people; what the host has to say goes to a file.
fn log_to_file(data_dir: &Path) -> Result<PathBuf> {
    let path = data_dir.join("crm.log");
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false);
    let _ = log.with_writer(std::sync::Mutex::new(file)).try_init();
    Ok(path.canonicalize().unwrap_or(path))
}

async fn show(
    common: &Common,
    host: &Host,
    database: &Database,
    address: SocketAddr,
    data: &Data,
    log: &Path,
) -> Result<()> {
    let tenant = find_or_create(database).await?;
    let issuer = host
        .dev_issuer
        .as_ref()
        .context("the demo runs with its own issuer")?;
    let client = Client::new(address, sign(issuer, tenant)?)?;
    let fresh = client.choose_template(TEMPLATE).await?;
    say::step(&if fresh {
        format!("tenant “{TENANT}” picked the template “{TEMPLATE}”")
    } else {
        format!("tenant “{TENANT}” is there, with its template and data")
    });
    let imported = import::import(&client, data, common.json).await?;
    import::wait_for_runs(&host.engine, tenant, common.json).await?;
    let (usage, jobs) = host.engine.usage(tenant).await?;
    let summary = summary::Summary {
        url: format!("http://{address}"),
        tenant,
        token: client.token().to_owned(),
        source: data.name().to_owned(),
        rows: data.rows().len(),
        imported,
        total: imported.started.elapsed(),
        usage,
        jobs,
        log: log.to_owned(),
        postgres_log: database.log_file().map(Path::to_owned),
    };
    summary.print(common.json)?;
    if jobs.dead > 0 {
        bail!(
            "{} runs are dead; GET /api/crm/runs?status=dead tells which and why",
            jobs.dead
        );
    }
    Ok(())
}

async fn find_or_create(database: &Database) -> Result<TenantId> {
    let mut admin = database.admin().await?;
    let tenants = admin.tenants_list().await?;
    if let Some(tenant) = tenants.into_iter().find(|tenant| tenant.name == TENANT) {
        return Ok(tenant.id);
    }
    let id = new_tenant_id();
    admin.tenant_create(id, TENANT).await?;
    say::step(&format!("created tenant “{TENANT}”"));
    Ok(id)
}

fn sign(issuer: &DevIssuer, tenant: TenantId) -> Result<String> {
    let actor = Actor::person(USER.parse()?, vec!["owner".parse()?]);
    issuer
        .sign(tenant, &actor, TOKEN_TTL)
        .map_err(anyhow::Error::msg)
}
