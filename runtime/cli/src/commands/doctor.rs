//! `crm doctor`, on the command line.

use anyhow::{Result, bail};
use std::net::SocketAddr;

use crate::arguments::Common;
use crate::doctor::{Subject, checks, is_ready, render};

pub(crate) async fn doctor(common: &Common, listen: SocketAddr) -> Result<()> {
    let subject = Subject {
        data_dir: &common.data_dir,
        listen,
        database_url: common.database_url.as_deref(),
    };
    let checks = checks(&subject).await;
    if common.json {
        println!("{}", serde_json::to_string_pretty(&checks)?);
    } else {
        print!("{}", render(&checks));
    }
    if !is_ready(&checks) {
        bail!("something is missing; the arrows say how to get it");
    }
    Ok(())
}
