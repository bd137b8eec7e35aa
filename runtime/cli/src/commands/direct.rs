//! Commands that work on a tenant's data without a server: the engine on the database itself.

use anyhow::Result;
use crm_engine::Engine;
use crm_model::TenantId;
use crm_store::StoreSettings;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::arguments::Common;
use crate::code::sandbox_settings;
use crate::commands::token::find;
use crate::host::{Host, HostSettings, ServingSettings, migrate};
use crate::{Database, say};

/// Opens the database, finds the tenant, does the work, and closes everything again.
pub(crate) async fn with_tenant(
    common: &Common,
    tenant: &str,
    work: impl AsyncFnOnce(&Engine, TenantId) -> Result<()>,
) -> Result<()> {
    let database =
        Database::open(common.database_url.as_deref(), &common.data_dir, say::step).await?;
    let done = async {
        let mut admin = database.admin().await?;
        migrate(&mut admin, say::step).await?;
        let tenant = find(&mut admin, tenant).await?;
        let settings = HostSettings {
            dev_issuer: false,
            serving: ServingSettings {
                redis_url: common.redis_url.clone(),
                ..ServingSettings::default()
            },
            quotas: Default::default(),
            effects: Default::default(),
            store: StoreSettings::default(),
            sandbox: sandbox_settings(&common.data_dir)?,
        };
        let host = Host::prepare(&database, settings, say::step).await?;
        let done = work(&host.engine, tenant).await;
        host.engine.close().await;
        done
    };
    let done = done.await;
    database.close().await;
    done
}

/// A bar of this length, on a terminal.
pub(crate) fn bar(common: &Common, length: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), target(common));
    let template = "· {prefix} {wide_bar} {human_pos}/{human_len} ({per_sec:0}, {eta} left)";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.with_prefix(what)
}

/// The same, where nobody knows the length.
pub(crate) fn spinner(common: &Common, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, target(common));
    if let Ok(style) = ProgressStyle::with_template("· {human_pos} {prefix} ({per_sec:0})") {
        bar.set_style(style);
    }
    bar.with_prefix(what)
}

fn target(common: &Common) -> ProgressDrawTarget {
    match common.json {
        true => ProgressDrawTarget::hidden(),
        false => ProgressDrawTarget::stderr(),
    }
}
