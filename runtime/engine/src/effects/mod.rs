//! Effects: what runs ask for beyond records. [`ask`] holds them against the grant before the run
//! is committed; the store keeps them in that commit; [`worker`] delivers them afterwards, at
//! least once, under the key `<job id>:<number>`. Each kind has its file. No transaction is open
//! while another system is asked.

mod address;
mod answer;
mod ask;
mod email;
mod http;
pub mod mail;
mod next;
pub mod notifications;
mod notify;
mod schedule;
mod seal;
pub mod secrets;
mod told;
mod webhook;
pub mod webhooks;
pub mod worker;

pub(crate) use ask::NotAsked;
pub(crate) use notify::note_keep;
pub use seal::SecretKey;

use crm_store::effects::LoadedEffect;
use serde_json::Value;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use url::Url;

use self::email::Mail;

/// What the host has for effects.
#[derive(Clone, Debug, Default)]
pub struct EffectSettings {
    /// What secrets of tenants are encrypted under; without it there are none.
    pub secret_key: Option<SecretKey>,
    /// Whether requests may go to addresses of this machine and its own network, to this machine
    /// without TLS: for tests, and for those who host everything themselves.
    pub private_addresses: bool,
    /// Where mail goes; without it, mails wait.
    pub smtp: Option<SmtpSettings>,
    /// Where people reach this server; without it mails have no way to unsubscribe.
    pub public_url: Option<Url>,
}

/// A mail server.
#[derive(Clone)]
pub struct SmtpSettings {
    /// `smtps://user:password@mail.example.com`, or `smtp://…?tls=required`.
    pub url: String,
    /// Whom mails are from, where the tenant has no sender: `CRM <crm@example.com>`.
    pub from: String,
    /// Domains that the mail server may send for, so that tenants may have senders there.
    pub sender_domains: Vec<String>,
}

impl std::fmt::Debug for SmtpSettings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SmtpSettings")
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

/// How long an effect waits where this machine can make no requests.
const WITHOUT_CLIENT: Duration = Duration::from_secs(60);

/// The ways out of this process.
#[derive(Clone, Default)]
pub(crate) struct Outside {
    key: Option<SecretKey>,
    private: bool,
    mail: Option<Arc<Mail>>,
    public_url: Option<Url>,
    /// Made at the first request: it reads the machine's certificates.
    client: Arc<OnceLock<reqwest::Client>>,
}

impl Outside {
    /// # Errors
    /// A sentence that says what is wrong with the settings.
    pub(crate) fn new(settings: EffectSettings) -> Result<Self, String> {
        let mail = settings.smtp.as_ref().map(Mail::new).transpose()?;
        Ok(Self {
            key: settings.secret_key,
            private: settings.private_addresses,
            mail: mail.map(Arc::new),
            public_url: settings.public_url,
            client: Arc::default(),
        })
    }

    /// A client that follows nobody anywhere, and connects only to addresses that are allowed.
    ///
    /// # Errors
    /// How the effect ends that wanted it.
    fn client(&self) -> Result<&reqwest::Client, End> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let checked = address::Checked {
            private: self.private,
            look_up: address::look_up,
        };
        let client = address::client(checked).map_err(|error| End::Wait {
            reason: format!("no requests can be made: {error}"),
            after: WITHOUT_CLIENT,
        })?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// How an attempt at an effect ended.
enum End {
    Done {
        status: Option<u16>,
        next: Option<Next>,
    },
    /// May be tried again, where it has been often enough not; not before the pause given.
    Again {
        reason: String,
        status: Option<u16>,
        after: Option<Duration>,
    },
    /// Nothing was tried, for want of something on this side.
    Wait { reason: String, after: Duration },
    /// Will never work.
    Never { reason: String, status: Option<u16> },
    /// Done, but for what the sentence says.
    Partly(String),
    /// Its end is written down already, with what it did.
    Written,
}

impl End {
    fn done() -> Self {
        Self::Done {
            status: None,
            next: None,
        }
    }

    fn again(reason: impl Into<String>) -> Self {
        Self::Again {
            reason: reason.into(),
            status: None,
            after: None,
        }
    }

    fn never(reason: impl Into<String>) -> Self {
        Self::Never {
            reason: reason.into(),
            status: None,
        }
    }
}

/// An event that an effect leads to.
struct Next {
    kind: crm_model::EventKind,
    payload: Value,
    /// Whether the chain of runs begins anew with it.
    new_chain: bool,
}

/// What the other side can tell repetitions by.
fn idempotency_key(effect: &LoadedEffect) -> String {
    format!("{}:{}", effect.job, effect.number)
}
