//! `crm migrate`: the schema, and the components that the binary brings.

use anyhow::Result;
use crm_sandbox::Sandbox;

use crate::arguments::Common;
use crate::code::sandbox_settings;
use crate::host::{migrate as bring_up_to_date, publish_bundled};
use crate::{Database, say};

pub(crate) async fn migrate(common: &Common) -> Result<()> {
    let database =
        Database::open(common.database_url.as_deref(), &common.data_dir, say::step).await?;
    let migrated = async {
        let mut admin = database.admin().await?;
        bring_up_to_date(&mut admin, say::step).await?;
        let sandbox = Sandbox::new(sandbox_settings(&common.data_dir)?)?;
        publish_bundled(&mut admin, &sandbox, say::step).await?;
        anyhow::Ok(())
    };
    let migrated = migrated.await;
    database.close().await;
    migrated?;
    say::step("the database is up to date");
    Ok(())
}
