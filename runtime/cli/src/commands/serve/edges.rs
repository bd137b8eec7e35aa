//! What of `crm serve` concerns its edges: who may ask, from where and how often.

use anyhow::{Context, Result};
use clap::Args;
use crm_server::auth::{IssuerSettings, parse_issuers};
use crm_server::edges::{Edges, Origin, Rate, Rates};
use std::time::Duration;

use crate::host::{DRAIN_MAX_SECONDS, ServingSettings};

/// A balancer that looks every second needs no longer.
const DRAIN_DEFAULT_SECONDS: u64 = 2;

#[derive(Debug, Args)]
pub(super) struct EdgeArguments {
    /// Whose tokens count: a JSON list of OpenID Connect issuers, or a file that holds one
    #[arg(long, env = "CRM_ISSUERS", value_name = "JSON|FILE")]
    issuers: Option<String>,
    /// Where browsers reach this server; with https:// they are told to stay with it
    #[arg(long, env = "CRM_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    /// Whose pages may read answers, beside the server's own: https://app.example.com,…
    #[arg(
        long,
        env = "CRM_CORS_ORIGINS",
        value_delimiter = ',',
        value_name = "ORIGINS"
    )]
    cors_origins: Vec<Origin>,
    /// Requests in a second for each person or API key, and how many at once; or off
    #[arg(
        long,
        env = "CRM_RATE_CREDENTIAL",
        default_value = "20000/40000",
        value_name = "RATE"
    )]
    rate_credential: RateOrOff,
    /// The same for each tenant
    #[arg(
        long,
        env = "CRM_RATE_TENANT",
        default_value = "40000/80000",
        value_name = "RATE"
    )]
    rate_tenant: RateOrOff,
    /// The same for each address, without a valid token
    #[arg(
        long,
        env = "CRM_RATE_ADDRESS",
        default_value = "200/2000",
        value_name = "RATE"
    )]
    rate_address: RateOrOff,
    /// How long to take connections after SIGTERM, while /readyz says that this instance stops: as
    /// long as a balancer needs to notice
    #[arg(long, env = "CRM_DRAIN_SECONDS", value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(0..=DRAIN_MAX_SECONDS),
        default_value_t = DRAIN_DEFAULT_SECONDS)]
    drain_seconds: u64,
}

#[derive(Clone, Copy, Debug)]
struct RateOrOff(Option<Rate>);

impl std::str::FromStr for RateOrOff {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            rate => Ok(Self(Some(rate.parse()?))),
        }
    }
}

impl EdgeArguments {
    /// What they come to.
    pub(super) fn settings(self) -> Result<ServingSettings> {
        let issuers = match self.issuers.as_deref().map(str::trim) {
            Some(text) if !text.is_empty() => issuers(text)?,
            _ => Vec::new(),
        };
        let public_url = self.public_url.as_deref().map(web_address).transpose()?;
        let https = public_url
            .as_ref()
            .is_some_and(|url| url.scheme() == "https");
        let edges = Edges {
            https,
            cors_origins: self.cors_origins,
            rates: Rates {
                credential: self.rate_credential.0,
                tenant: self.rate_tenant.0,
                address: self.rate_address.0,
            },
            drain: Duration::from_secs(self.drain_seconds),
            ..Edges::default()
        };
        Ok(ServingSettings {
            issuers,
            edges,
            public_url,
            ..ServingSettings::default()
        })
    }
}

pub(crate) fn web_address(url: &str) -> Result<reqwest::Url> {
    let wrong =
        || format!("CRM_PUBLIC_URL is no web address, such as https://crm.example.com: {url}");
    let parsed: reqwest::Url = url.parse().with_context(wrong)?;
    match parsed.scheme() {
        "https" | "http" => Ok(parsed),
        _ => anyhow::bail!(wrong()),
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
