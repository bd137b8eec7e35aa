//! Secrets of tenants: kept encrypted, named to everybody who manages everything, shown to
//! nobody. What a run gets is a handle, which the host replaces in the headers of requests to
//! hosts that the secret is for.

use crm_model::effect::names_host;
use crm_model::limits::{SECRET_MAX_BYTES, SECRET_MAX_HOSTS, SECRET_MIN_BYTES, TENANT_MAX_SECRETS};
use crm_model::permission::manages_all;
use crm_model::{Actor, JobId, TenantId, Violations};
use crm_sandbox::{Answer, Refusal};
use crm_store::TenantTx;
use crm_store::secrets::{Secret, secret_exists};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

use crate::api_keys::hexadecimal;
use crate::audit::{Act, audit_write};
use crate::receipt::{ReceiptMaker, receipt_keep};
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

/// Every handle begins like this.
pub(super) const HANDLE_START: &str = "crm-secret-";
/// What of a SHA-256 stands in a handle.
const HANDLE_BYTES: usize = 16;
const NAME_MAX_CHARACTERS: usize = 63;

/// What stands for a secret in one run: `crm-secret-` and 32 hexadecimal digits. It gives nothing
/// away, and is worth nothing elsewhere.
pub(crate) fn secret_handle(job: JobId, name: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(job.uuid().as_bytes());
    digest.update(name.as_bytes());
    let digest = digest.finalize();
    let (start, _) = digest.split_at(HANDLE_BYTES);
    format!("{HANDLE_START}{}", hexadecimal(start))
}

/// Where a secret stands, which it is bound to.
pub(super) fn place(name: &str) -> String {
    format!("secrets/{name}")
}

/// Whether a secret for these hosts may be sent to this one.
pub(super) fn is_for(hosts: &[String], host: &str) -> bool {
    hosts.iter().any(|pattern| names_host(pattern, host))
}

/// A secret that somebody wants kept.
#[derive(Clone)]
pub struct NewSecret {
    pub name: String,
    pub value: String,
    /// Where it may be sent: names of hosts; `*.example.com` is what is below one.
    pub hosts: Vec<String>,
}

impl NewSecret {
    fn check(&self) -> Violations {
        let mut violations = Violations::default();
        if !is_name(&self.name) {
            let message = format!(
                "a name has 1 to {NAME_MAX_CHARACTERS} small letters, digits, dots, dashes and \
                 underscores"
            );
            violations.add("/name".to_owned(), "format", message);
        }
        let visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        if !(SECRET_MIN_BYTES..=SECRET_MAX_BYTES).contains(&self.value.len()) {
            let message = format!("a secret has {SECRET_MIN_BYTES} to {SECRET_MAX_BYTES} bytes");
            violations.add("/value".to_owned(), "length", message);
        } else if !self.value.bytes().all(visible) {
            let message = "a secret has visible ASCII characters, so that it fits into a header";
            violations.add("/value".to_owned(), "format", message);
        }
        if self.hosts.is_empty() || self.hosts.len() > SECRET_MAX_HOSTS {
            let message = format!("say 1 to {SECRET_MAX_HOSTS} hosts that it may be sent to");
            violations.add("/hosts".to_owned(), "length", message);
        }
        for (index, host) in self.hosts.iter().enumerate() {
            if !is_host(host.strip_prefix("*.").unwrap_or(host)) {
                let message = "is no name of a host: `api.example.com`, or `*.example.com`";
                violations.add(format!("/hosts/{index}"), "format", message);
            }
        }
        violations
    }
}

fn is_name(text: &str) -> bool {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
    (1..=NAME_MAX_CHARACTERS).contains(&text.chars().count()) && text.chars().all(known)
}

/// Whether it is a host as addresses name it: in small letters, without a port.
fn is_host(text: &str) -> bool {
    let url = url::Url::parse(&format!("https://{text}/"));
    // An asterisk is a host to whoever reads addresses.
    !text.contains('*') && url.is_ok_and(|url| url.host_str() == Some(text) && url.port().is_none())
}

fn act(action: &'static str, name: &str, hosts: Option<&[String]>) -> Act {
    Act {
        after: hosts.map(|hosts| json!({ "hosts": hosts })),
        ..Act::plain(action, place(name))
    }
}

impl Engine {
    /// A transaction, for those who manage everything; keys of programs do not.
    pub(super) async fn begin_managed(
        &self,
        tenant: TenantId,
        actor: &Actor,
        refusal: &'static str,
    ) -> Result<TenantTx, EngineError> {
        let tx = TenantTx::begin(self.store(), tenant).await?;
        match self.model_at(tenant, tx.model_version()).await? {
            Some(model) if actor.scope.is_none() && manages_all(&model, actor) => Ok(tx),
            _ => Err(EngineError::Forbidden(refusal)),
        }
    }

    async fn begin_secrets(
        &self,
        tenant: TenantId,
        actor: &Actor,
    ) -> Result<TenantTx, EngineError> {
        self.begin_managed(
            tenant,
            actor,
            "secrets are for people who may manage all modules",
        )
        .await
    }

    /// The tenant's secrets by name, without their values.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub async fn secrets(
        &self,
        tenant: TenantId,
        actor: &Actor,
    ) -> Result<Vec<Secret>, EngineError> {
        let mut tx = self.begin_secrets(tenant, actor).await?;
        Ok(crm_store::secrets::secrets_list(&mut tx).await?)
    }

    /// Keeps a secret, in the place of the one of that name.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::Refused`]; [`EngineError::Conflict`] where the
    /// tenant has too many, or the server has no key.
    pub async fn secret_put(
        &self,
        tenant: TenantId,
        actor: Actor,
        wanted: NewSecret,
        receipt: Option<ReceiptMaker<Secret>>,
    ) -> Result<Secret, EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let mut tx = engine.begin_secrets(tenant, &actor).await?;
            wanted.check().into_result().map_err(EngineError::invalid)?;
            crm_store::api_keys::api_keys_lock(&mut tx).await?;
            let there = crm_store::secrets::secrets_list(&mut tx).await?;
            let is_new = there.iter().all(|secret| secret.name != wanted.name);
            if is_new && there.len() >= TENANT_MAX_SECRETS {
                return Err(EngineError::Conflict(format!(
                    "there are {TENANT_MAX_SECRETS} secrets, which is the most: remove one first"
                )));
            }
            let key = engine.secret_key()?;
            let sealed = key.seal(tenant, &place(&wanted.name), &wanted.value)?;
            let hosts: BTreeSet<String> = wanted.hosts.into_iter().collect();
            let secret = Secret {
                name: wanted.name,
                hosts: hosts.into_iter().collect(),
                updated_at: fresh::now(),
                updated_by: actor.user_id.to_string(),
            };
            crm_store::secrets::secret_put(&mut tx, &secret, &sealed).await?;
            let put = act("secret.put", &secret.name, Some(&secret.hosts));
            audit_write(&mut tx, &actor, put).await?;
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &secret).await?;
            tx.commit().await?;
            Ok(secret)
        })
        .await
    }

    /// Forgets a secret; requests that wait with its handle fail.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn secret_remove(
        &self,
        tenant: TenantId,
        actor: Actor,
        name: String,
    ) -> Result<(), EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let mut tx = engine.begin_secrets(tenant, &actor).await?;
            if !is_name(&name) || !crm_store::secrets::secret_remove(&mut tx, &name).await? {
                return Err(EngineError::NotFound("secret"));
            }
            audit_write(&mut tx, &actor, act("secret.removed", &name, None)).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// What a guest is told that asks for a secret, which its grant names.
    pub(crate) async fn secret_told(
        &self,
        tenant: TenantId,
        job: JobId,
        name: &str,
    ) -> Result<Answer, Refusal> {
        let there = async {
            let mut tx = TenantTx::begin(self.store(), tenant).await?;
            match is_name(name) {
                true => secret_exists(&mut tx, name).await,
                false => Ok(false),
            }
        };
        match there.await {
            Ok(true) => Ok(Answer::Handle {
                handle: secret_handle(job, name),
            }),
            Ok(false) => Err(Refusal::Invalid(format!("there is no secret “{name}”"))),
            Err(error) => Err(Refusal::Unavailable(error.to_string())),
        }
    }

    /// What secrets are encrypted under.
    pub(super) fn secret_key(&self) -> Result<&super::SecretKey, EngineError> {
        let missing = || {
            EngineError::Conflict(
                "this server keeps no secrets: whoever runs it sets CRM_SECRET_KEY".to_owned(),
            )
        };
        self.outside().key.as_ref().ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_handle_is_of_one_run_and_one_name() {
        let [one, two] = [1, 2].map(|id| JobId::new(Uuid::from_u128(id)));
        let handle = secret_handle(one, "token");
        assert_eq!(handle.len(), HANDLE_START.len() + 32);
        assert_eq!(handle, secret_handle(one, "token"));
        assert_ne!(handle, secret_handle(two, "token"));
        assert_ne!(handle, secret_handle(one, "tokens"));
    }

    #[test]
    fn a_secret_goes_to_its_hosts_alone() {
        let hosts = ["api.example.com", "*.partner.example"].map(str::to_owned);
        for host in ["api.example.com", "eu.partner.example"] {
            assert!(is_for(&hosts, host), "{host}");
        }
        for host in [
            "example.com",
            "partner.example",
            "badpartner.example",
            "api.example.com.evil",
        ] {
            assert!(!is_for(&hosts, host), "{host}");
        }
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let secret = |name: &str, value: &str, host: &str| {
            let (name, value) = (name.to_owned(), value.to_owned());
            let hosts = vec![host.to_owned()];
            let violations = NewSecret { name, value, hosts }.check();
            violations.into_result().is_ok()
        };
        assert!(secret("stripe_live.key-2", "sk live x", "*.example.com"));
        assert!(secret("a", "bbbbbbbb", "127.0.0.1"));
        for (name, value, host) in [
            ("", "bbbbbbbb", "c.example"),
            ("A", "bbbbbbbb", "c.example"),
            ("a", "bbbbbbb", "c.example"),
            ("a", "bbbbbbbb\n", "c.example"),
            ("a", "bbbbbbbb", ""),
            ("a", "bbbbbbbb", "*"),
            ("a", "bbbbbbbb", "*."),
            ("a", "bbbbbbbb", "C.example"),
            ("a", "bbbbbbbb", "c.example:1"),
            ("a", "bbbbbbbb", "c.example/"),
            ("a", "bbbbbbbb", "u@c.example"),
        ] {
            assert!(!secret(name, value, host), "{name} {value} {host}");
        }
        let long = "x".repeat(SECRET_MAX_BYTES);
        assert!(secret("a", &long, "c.example"));
        assert!(!secret("a", &format!("{long}x"), "c.example"));
    }
}
