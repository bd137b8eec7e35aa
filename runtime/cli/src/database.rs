//! Which PostgreSQL: the one of the URL, or a private one in the data directory.

use anyhow::{Context, Result};
use crm_store::PgConnectOptions;
use crm_store::admin::{Admin, runtime_options};
use std::path::Path;
use std::str::FromStr;

use crate::postgres::{PrivatePostgres, Settings};

/// A database, and how to reach it as its owner and as the runtime's role.
pub struct Database {
    owner: PgConnectOptions,
    private: Option<PrivatePostgres>,
}

impl Database {
    /// The database of the URL, or a private server's, which is started unless it runs.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub async fn open(
        url: Option<&str>,
        data_dir: &Path,
        progress: impl FnMut(&str) + Send,
    ) -> Result<Self> {
        if let Some(url) = url {
            let owner = PgConnectOptions::from_str(url)
                .context("DATABASE_URL is not a URL such as postgres://user@host:5432/name")?;
            return Ok(Self {
                owner,
                private: None,
            });
        }
        let private =
            PrivatePostgres::join_or_start(data_dir, Settings::default(), progress).await?;
        Ok(Self {
            owner: private.connect_options(),
            private: Some(private),
        })
    }

    /// A connection as the owner.
    ///
    /// # Errors
    /// A sentence that names the server.
    pub async fn admin(&self) -> Result<Admin> {
        let (host, port) = (self.owner.get_host(), self.owner.get_port());
        Admin::connect(&self.owner).await.with_context(|| {
            format!(
                "PostgreSQL at {host}:{port} does not let us in; check that it runs and that \
                 DATABASE_URL is right"
            )
        })
    }

    /// Connection settings as the runtime's role. On a private server that role logs in itself;
    /// elsewhere the session takes it on from its first moment.
    ///
    /// # Errors
    /// From the database.
    pub async fn runtime(&self, admin: &mut Admin) -> Result<PgConnectOptions> {
        let Some(private) = &self.private else {
            return Ok(runtime_options(self.owner.clone()));
        };
        admin.allow_runtime_login(private.password()).await?;
        Ok(self
            .owner
            .clone()
            .username("crm_runtime")
            .password(private.password()))
    }

    pub(crate) fn owner_options(&self) -> PgConnectOptions {
        self.owner.clone()
    }

    /// Where the server's log is, if it is the private one.
    pub fn log_file(&self) -> Option<&Path> {
        self.private.as_ref().map(PrivatePostgres::log_file)
    }

    /// Stops a private server, unless other processes use it.
    pub async fn close(&self) {
        if let Some(private) = &self.private
            && let Err(error) = private.stop().await
        {
            tracing::warn!(%error, "the private PostgreSQL did not stop");
        }
    }
}
