//! `crm serve`: the host.

pub(crate) mod edges;
mod effects;
mod quotas;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use crm_engine::worker::WorkerSettings;
use crm_model::RoleSlug;
use crm_server::auth::OsRoles;
use crm_store::StoreSettings;
use std::net::SocketAddr;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::arguments::Common;
use crate::code::sandbox_settings;
use crate::host::{CookieKey, Host, HostSettings, ServingSettings, listen, stop_signal};
use crate::{Database, say};
use edges::EdgeArguments;
use effects::EffectArguments;
use quotas::QuotaArguments;

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Where to listen
    #[arg(
        long,
        env = "CRM_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS"
    )]
    listen: SocketAddr,
    /// Which parts to run here
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "api,worker",
        value_name = "ROLES"
    )]
    role: Vec<Role>,
    /// How long a worker holds a job before another may take it up
    #[arg(long, env = "CRM_LEASE_SECONDS", value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=3600),
        default_value_t = crm_model::limits::LEASE_DEFAULT_SECONDS)]
    lease_seconds: u64,
    /// The role whose holders may act for any tenant, with the header X-Tenant-Id; each such
    /// request stands in that tenant's audit log
    #[arg(long, env = "CRM_SUPER_ADMIN_ROLE", value_name = "ROLE")]
    super_admin_role: Option<RoleSlug>,
    /// Pairs of plugin and tenant with metrics of their own; what further tenants' plugins do
    /// counts as that of the tenant "other"
    #[arg(long, env = "CRM_METRICS_PLUGIN_PAIRS", value_name = "NUMBER",
        default_value_t = crm_model::limits::PLUGIN_SERIES_DEFAULT_PAIRS)]
    metrics_plugin_pairs: usize,
    /// For how many days runs that ended, and the log of runs, are kept at most; tenants may keep
    /// theirs for a shorter time. The same for all processes on one database
    #[arg(long, env = "CRM_RUN_LOG_DAYS", value_name = "DAYS",
        value_parser = clap::value_parser!(u32).range(
            i64::from(crm_model::limits::RUN_LOG_MIN_DAYS)
            ..=i64::from(crm_model::limits::RUN_LOG_MAX_DAYS)),
        default_value_t = crm_model::limits::RUN_LOG_DEFAULT_DAYS)]
    run_log_days: u32,
    /// What the host OS's roles, as tokens name them, are in the CRM: a JSON object, or a file
    /// that holds one, such as {"staff": ["manager"], "tenant_admin": ["admin"], "user": ["agent"]}
    #[arg(long, env = "CRM_OS_ROLES", value_name = "JSON|FILE")]
    os_roles: Option<String>,
    #[command(flatten)]
    edges: EdgeArguments,
    #[command(flatten)]
    quotas: QuotaArguments,
    #[command(flatten)]
    effects: EffectArguments,
    /// Let people log in here with a password; `crm user invite` invites the first
    #[arg(long, env = "CRM_LOCAL_ISSUER", value_parser = clap::builder::FalseyValueParser::new())]
    local_issuer: bool,
    /// What signs cookies, at least 32 characters; the database's own key if not given
    #[arg(
        long,
        env = "CRM_COOKIE_KEY",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    cookie_key: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    Api,
    Worker,
}

/// Logs to standard error; `RUST_LOG` chooses what.
fn log_to_stderr(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let _ = if json {
        log.json().try_init()
    } else {
        log.try_init()
    };
}

/// The roles of this text, or of the file that it names; the default ones without it.
fn os_roles(given: Option<&str>) -> Result<OsRoles> {
    let Some(text) = given.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(OsRoles::default());
    };
    let json = match text.starts_with('{') {
        true => text.to_owned(),
        false => std::fs::read_to_string(text).with_context(|| {
            format!("CRM_OS_ROLES is neither a JSON object nor a file that can be read: {text}")
        })?,
    };
    OsRoles::parse(&json)
        .map_err(anyhow::Error::msg)
        .context("CRM_OS_ROLES cannot be used")
}

pub(crate) async fn serve(common: &Common, arguments: ServeArguments) -> Result<()> {
    log_to_stderr(common.json);
    let serving = ServingSettings {
        local_issuer: arguments.local_issuer,
        cookie_key: arguments.cookie_key.map(CookieKey),
        redis_url: common.redis_url.clone(),
        ..arguments.edges.settings()?
    };
    let os_roles = os_roles(arguments.os_roles.as_deref())?;
    let is = |role| arguments.role.contains(&role);
    let listener = match is(Role::Api) {
        true => Some(listen(arguments.listen).await?),
        false => None,
    };
    let database =
        Database::open(common.database_url.as_deref(), &common.data_dir, say::step).await?;
    let delivery = arguments.effects.delivery();
    let public_url = serving.public_url.clone();
    let settings = HostSettings {
        dev_issuer: common.dev_issuer,
        serving,
        quotas: arguments.quotas.settings(),
        effects: arguments.effects.settings(public_url)?,
        store: StoreSettings::default(),
        sandbox: sandbox_settings(&common.data_dir)?,
    };
    let stop = CancellationToken::new();
    let served = async {
        let mut host = tokio::select! {
            host = Host::prepare(&database, settings, say::step) => host?,
            () = stop_signal() => return Ok(()),
        };
        host.engine = host
            .engine
            .with_plugin_series(arguments.metrics_plugin_pairs)
            .with_run_log_days(arguments.run_log_days);
        host.super_admin_role = arguments.super_admin_role;
        host.os_roles = os_roles;
        host.delivery = delivery;
        if let Some(listener) = &listener {
            say::step(&format!("serving on http://{}", listener.local_addr()?));
        }
        if common.dev_issuer {
            tracing::warn!("the development issuer is enabled: `crm token` lets anybody in");
        }
        let worker = is(Role::Worker).then(|| WorkerSettings {
            lease: Duration::from_secs(arguments.lease_seconds),
            ..WorkerSettings::default()
        });
        tokio::spawn({
            let stop = stop.clone();
            async move {
                stop_signal().await;
                say::step("stopping: running requests and runs come to their end");
                stop.cancel();
            }
        });
        let served = host.run(listener, worker, stop.clone()).await;
        host.engine.close().await;
        served
    };
    let served = served.await;
    database.close().await;
    served
}
