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
    /// Whom such mails are from: CRM <crm@example.com>
    #[arg(long, env = "CRM_SMTP_FROM", value_name = "ADDRESS")]
    smtp_from: Option<String>,
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

impl EffectArguments {
    /// How workers deliver.
    pub(super) fn delivery(&self) -> DeliverySettings {
        DeliverySettings {
            lease: Duration::from_secs(self.effect_lease_seconds),
            ..DeliverySettings::default()
        }
    }

    /// What they come to.
    pub(super) fn settings(self) -> Result<EffectSettings> {
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
            smtp: smtp.map(|(url, from)| SmtpSettings { url, from }),
        })
    }
}
