//! What of `crm serve` concerns its edges: who may ask.

use anyhow::{Context, Result};
use clap::Args;
use crm_server::auth::{IssuerSettings, parse_issuers};

use crate::host::ServingSettings;

#[derive(Debug, Args)]
pub(super) struct EdgeArguments {
    /// Whose tokens count: a JSON list of OpenID Connect issuers, or a file that holds one
    #[arg(long, env = "CRM_ISSUERS", value_name = "JSON|FILE")]
    issuers: Option<String>,
}

impl EdgeArguments {
    /// What they come to.
    pub(super) fn settings(self) -> Result<ServingSettings> {
        let issuers = match self.issuers.as_deref().map(str::trim) {
            Some(text) if !text.is_empty() => issuers(text)?,
            _ => Vec::new(),
        };
        Ok(ServingSettings { issuers })
    }
}

/// The issuers of this text, or of the file that it names.
fn issuers(text: &str) -> Result<Vec<IssuerSettings>> {
    let json = match text.starts_with('[') {
        true => text.to_owned(),
        false => std::fs::read_to_string(text).with_context(|| {
            format!("CRM_ISSUERS is neither a JSON list nor a file that can be read: {text}")
        })?,
    };
    parse_issuers(&json)
        .map_err(anyhow::Error::msg)
        .context("CRM_ISSUERS cannot be used")
}
