//! The server in this process, on a port of its own: routes, engine and store as in production,
//! without workers.

use anyhow::{Context, Result};
use crm_cli::Database;
use crm_cli::host::{Host, HostSettings};
use crm_cli::postgres::{PrivatePostgres, Settings};
use crm_model::{Actor, TenantId};
use crm_sandbox::SandboxSettings;
use crm_server::App;
use crm_server::auth::{DevIssuer, Issuers};
use crm_server::edges::Edges;
use crm_store::{PgConnectOptions, StoreSettings};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, PgConnection};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::TEMPORARY;

/// Longer than any measure takes.
const TOKEN_SECONDS: u64 = 6 * 3600;

/// Measures on a private PostgreSQL whose commits are durable, which is stopped and gone after it.
pub(crate) async fn on_postgres<T>(
    measure: impl AsyncFnOnce(&PrivatePostgres) -> Result<T>,
) -> Result<T> {
    let settings = Settings {
        durable: true,
        max_connections: 100,
    };
    let postgres = PrivatePostgres::temporary(Path::new(TEMPORARY), settings, crate::say).await?;
    let measured = measure(&postgres).await;
    postgres.stop().await?;
    measured
}

/// Makes an empty database.
pub(crate) async fn database(
    postgres: &PrivatePostgres,
    name: &'static str,
) -> Result<PgConnectOptions> {
    let mut connection = PgConnection::connect_with(&postgres.connect_options()).await?;
    sqlx::query(AssertSqlSafe(format!("create database {name}")))
        .execute(&mut connection)
        .await?;
    Ok(postgres.connect_options().database(name))
}

/// Makes a database that holds what another one does, to which nobody is connected; in the place
/// of one that had this name.
pub(crate) async fn copy_of(
    postgres: &PrivatePostgres,
    other: &'static str,
    name: &'static str,
) -> Result<PgConnectOptions> {
    let mut connection = PgConnection::connect_with(&postgres.connect_options()).await?;
    for statement in [
        format!("drop database if exists {name} with (force)"),
        format!("create database {name} template {other}"),
    ] {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await?;
    }
    Ok(postgres.connect_options().database(name))
}

/// A server that answers.
pub(crate) struct Serving {
    pub(crate) host: Host,
    pub(crate) address: SocketAddr,
    pub(crate) person: Actor,
    issuer: DevIssuer,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl Serving {
    /// Brings the database up to date and serves it.
    pub(crate) async fn start(options: &PgConnectOptions) -> Result<Self> {
        Self::start_with(options, Edges::default()).await
    }

    /// The same with these edges.
    pub(crate) async fn start_with(options: &PgConnectOptions, edges: Edges) -> Result<Self> {
        let url = options.to_url_lossy();
        let database = Database::open(Some(url.as_str()), Path::new(TEMPORARY), crate::say).await?;
        let settings = HostSettings {
            dev_issuer: true,
            serving: Default::default(),
            quotas: Default::default(),
            effects: Default::default(),
            store: StoreSettings::default(),
            sandbox: SandboxSettings::default(),
        };
        let host = Host::prepare(&database, settings, crate::say).await?;
        let issuer = host.dev_issuer.clone().context("there is no issuer")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let app =
            App::new(host.engine.clone(), Issuers::new(Some(issuer.clone()))).with_edges(edges);
        let (metering, stopped) = (host.engine.clone(), stop.clone());
        tokio::spawn(async move { metering.meter(stopped).await });
        Ok(Self {
            task: tokio::spawn(crm_server::serve(listener, app, stop.clone())),
            host,
            address,
            person: Actor::person("bench".parse()?, vec!["owner".parse()?]),
            issuer,
            stop,
        })
    }

    /// The owner's token in a tenant.
    pub(crate) fn token(&self, tenant: TenantId) -> Result<Arc<str>> {
        let lasts = Duration::from_secs(TOKEN_SECONDS);
        let token = self.issuer.sign(tenant, &self.person, lasts);
        Ok(token.map_err(anyhow::Error::msg)?.into())
    }

    /// Stops, and closes all connections to the database.
    pub(crate) async fn end(self) -> Result<()> {
        self.stop.cancel();
        self.task.await??;
        self.host.engine.close().await;
        Ok(())
    }
}
