//! What of `crm serve` concerns what workflows send: mail, requests, and the secrets in them.

use anyhow::{Result, ensure};
use clap::Args;
use crm_engine::effects::worker::DeliverySettings;
use crm_engine::effects::{EffectSettings, SecretKey, SmtpSettings};
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct EffectArguments {
    /// The mail server for what workflows send: smtps://user:password@mail.example.com, or
    /// smtp://…?tls=required; without it, mails wait
    #[arg(
        long,
        env = "CRM_SMTP_URL",
        hide_env_values = true,
        value_name = "URL",
        requires = "smtp_from"
    )]
    smtp_url: Option<String>,
    /// Whom such mails are from, unless the tenant has a sender: CRM <crm@example.com>
    #[arg(long, env = "CRM_SMTP_FROM", value_name = "ADDRESS")]
    smtp_from: Option<String>,
    /// Domains that the mail server may send for, with commas between; tenants may have senders
    /// there: example.com, *.example.com for what is below one, * for any
    #[arg(
        long,
        env = "CRM_SMTP_SENDER_DOMAINS",
        value_delimiter = ',',
        value_name = "DOMAINS"
    )]
    smtp_sender_domains: Vec<String>,
    /// What secrets of tenants are encrypted under, at least 32 characters; the database's own key
    /// if not given. The same on all instances
    #[arg(
        long,
        env = "CRM_SECRET_KEY",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    secret_key: Option<String>,
    /// Let requests of workflows and webhooks go to addresses of this machine and its own network
    #[arg(long, env = "CRM_PRIVATE_ADDRESSES", value_parser = clap::builder::FalseyValueParser::new())]
    private_addresses: bool,
    /// How long a worker holds an effect before another may take it up; longer than any may take
    #[arg(long, env = "CRM_EFFECT_LEASE_SECONDS", value_name = "SECONDS", hide = true,
        value_parser = clap::value_parser!(u64).range(1..=3600), default_value_t = 60)]
    effect_lease_seconds: u64,
}

/// As they are compared.
fn domains(given: &[String]) -> Vec<String> {
    let given = given
        .iter()
        .map(|domain| domain.trim().to_ascii_lowercase());
    given.filter(|domain| !domain.is_empty()).collect()
}

impl EffectArguments {
    /// How workers deliver.
    pub(super) fn delivery(&self) -> DeliverySettings {
        DeliverySettings {
            lease: Duration::from_secs(self.effect_lease_seconds),
            ..DeliverySettings::default()
        }
    }

    /// What they come to.
    pub(super) fn settings(self, public_url: Option<reqwest::Url>) -> Result<EffectSettings> {
        let secret_key = match self.secret_key {
            None => None,
            Some(text) => {
                let key = SecretKey::new(text.as_bytes());
                ensure!(
                    key.is_ok(),
                    "CRM_SECRET_KEY has at least {} characters, such as `openssl rand -hex 32` \
                     makes",
                    SecretKey::MIN_BYTES
                );
                key.ok()
            }
        };
        let smtp = self.smtp_url.zip(self.smtp_from);
        Ok(EffectSettings {
            secret_key,
            private_addresses: self.private_addresses,
            smtp: smtp.map(|(url, from)| SmtpSettings {
                url,
                from,
                sender_domains: domains(&self.smtp_sender_domains),
            }),
            public_url,
        })
    }
}
