//! Keys for programs: made, replaced and ended by those who manage the whole model, never by a
//! key. The secret is told once; what is kept does not give it away.

use chrono::TimeDelta;
use crm_model::api_key::{NewApiKey, check_api_key};
use crm_model::limits::{API_KEY_OVERLAP_MAX_SECONDS, TENANT_MAX_API_KEYS};
use crm_model::permission::manages_all;
use crm_model::{Actor, ApiKeyId, TenantId, UserId, Violations};
use crm_store::TenantTx;
use crm_store::api_keys::ApiKey;
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::audit::{Act, audit_write};
use crate::read::{Page, PageRequest};
use crate::receipt::{ReceiptMaker, receipt_keep};
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

/// Every key begins like this, which tells it from other tokens, also for those who search for
/// lost secrets.
pub const API_KEY_START: &str = "crm_";
const SECRET_BYTES: usize = 32;
/// How much of a key people see later.
const PREFIX_CHARACTERS: usize = 12;
const NOT_FOUND: EngineError = EngineError::NotFound("API key");

/// A key in full: `crm_`, the secret, `_`, the tenant; the last two in hexadecimal. The same of an
/// address at which requests start a workflow, which begins with `hook_`. It names its tenant so
/// that it is looked up under that tenant's policies.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiSecret(String);

impl std::fmt::Debug for ApiSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ApiSecret")
    }
}

impl ApiSecret {
    pub(crate) fn new(start: &str, tenant: TenantId, secret: [u8; SECRET_BYTES]) -> Self {
        let tenant = tenant.uuid().simple();
        Self(format!("{start}{}_{tenant}", hexadecimal(&secret)))
    }

    /// The text, for the one who asked for it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn prefix(&self) -> String {
        self.0.chars().take(PREFIX_CHARACTERS).collect()
    }

    pub(crate) fn hash(&self) -> Vec<u8> {
        hash(&self.0)
    }
}

pub(crate) fn hash(text: &str) -> Vec<u8> {
    Sha256::digest(text.as_bytes()).to_vec()
}

/// How the audit log tells of a key: without anything of its secret.
fn act(action: &'static str, key: &ApiKey) -> Act {
    Act {
        after: Some(json!({
            "name": key.name,
            "roles": key.roles,
            "scopes": key.scope,
            "expires_at": key.expires_at,
        })),
        ..Act::plain(action, format!("api-keys/{}", key.id))
    }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The tenant that a secret names which begins like that, where it has the form of one.
pub(crate) fn tenant_of(start: &str, text: &str) -> Option<TenantId> {
    let (secret, tenant) = text.strip_prefix(start)?.split_once('_')?;
    let is_hexadecimal = |text: &str, length| {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        text.len() == length && text.bytes().all(digit)
    };
    let well_formed = is_hexadecimal(secret, 2 * SECRET_BYTES) && is_hexadecimal(tenant, 32);
    let tenant = well_formed.then(|| Uuid::try_parse(tenant).ok())??;
    Some(TenantId::new(tenant))
}

impl Engine {
    /// Whom a key stands for at this moment. Asked at each request, so that a revoked one ends
    /// at once.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn api_key_actor(
        &self,
        text: &str,
    ) -> Result<Option<(TenantId, Actor)>, EngineError> {
        let Some(tenant) = tenant_of(API_KEY_START, text) else {
            return Ok(None);
        };
        let (hash, at) = (hash(text), fresh::now());
        let found = crm_store::api_keys::api_key_use(self.store(), tenant, &hash, at).await?;
        Ok(found.map(|(_, actor)| (tenant, actor)))
    }

    /// A page of the tenant's keys, newest first, those that have ended too.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub async fn api_keys(
        &self,
        tenant: TenantId,
        actor: &Actor,
        page: PageRequest<ApiKeyId>,
    ) -> Result<Page<ApiKey>, EngineError> {
        let (mut tx, _) = self.begin_api_keys(tenant, actor).await?;
        let limit = page.limit + 1;
        let rows = crm_store::api_keys::api_keys_page(&mut tx, page.before, limit).await?;
        let mut answer = Page::cut(rows, page.limit);
        if page.total {
            let (value, _) = crm_store::api_keys::api_keys_count(&mut tx, fresh::now()).await?;
            answer.total = Some(crate::read::Total { value, exact: true });
        }
        Ok(answer)
    }

    /// Makes a key. It acts as itself, with roles of its maker's.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::Refused`] where it would do more than its maker;
    /// [`EngineError::Conflict`] where the tenant has too many.
    pub async fn api_key_add(
        &self,
        tenant: TenantId,
        actor: Actor,
        wanted: NewApiKey,
        receipt: Option<ReceiptMaker<ApiKey>>,
    ) -> Result<(ApiKey, ApiSecret), EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let (mut tx, maker) = engine.begin_api_keys(tenant, &actor).await?;
            let at = fresh::now();
            let violations = check_api_key(&wanted, &maker, at);
            violations.into_result().map_err(EngineError::invalid)?;
            crm_store::api_keys::api_keys_lock(&mut tx).await?;
            let (_, live) = crm_store::api_keys::api_keys_count(&mut tx, at).await?;
            if live >= TENANT_MAX_API_KEYS {
                return Err(EngineError::Conflict(format!(
                    "there are {TENANT_MAX_API_KEYS} API keys, which is the most: revoke one first"
                )));
            }
            let secret = ApiSecret::new(API_KEY_START, tenant, fresh::secret()?);
            let id = ApiKeyId::new(fresh::id());
            let user_id = format!("api-key:{id}");
            let key = ApiKey {
                id,
                name: wanted.name,
                prefix: secret.prefix(),
                user_id: UserId::try_from(user_id)
                    .map_err(|error| EngineError::Internal(error.to_string()))?,
                roles: wanted.roles.unwrap_or(maker.roles),
                scope: wanted.scopes,
                created_at: at,
                created_by: actor.user_id.clone(),
                expires_at: wanted.expires_at,
                last_used_at: None,
                revoked_at: None,
            };
            crm_store::api_keys::api_key_insert(&mut tx, &key).await?;
            let hash = secret.hash();
            crm_store::api_keys::api_key_secret_insert(&mut tx, &key, &hash, at, at).await?;
            audit_write(&mut tx, &actor, act("api_key.added", &key)).await?;
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &key).await?;
            tx.commit().await?;
            Ok((key, secret))
        })
        .await
    }

    /// Gives a key a new secret; the old one works for so many seconds more.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], also where the key has roles that the caller has not;
    /// [`EngineError::NotFound`].
    pub async fn api_key_rotate(
        &self,
        tenant: TenantId,
        actor: Actor,
        key: ApiKeyId,
        overlap_seconds: i64,
        receipt: Option<ReceiptMaker<ApiKey>>,
    ) -> Result<(ApiKey, ApiSecret), EngineError> {
        if !(0..=API_KEY_OVERLAP_MAX_SECONDS).contains(&overlap_seconds) {
            let message = format!("is 0 to {API_KEY_OVERLAP_MAX_SECONDS}");
            let violations = Violations::one("/overlap_seconds", "range", message);
            return Err(EngineError::invalid(violations));
        }
        let engine = self.clone();
        uncancelled(async move {
            let (mut tx, maker) = engine.begin_api_keys(tenant, &actor).await?;
            let found = crm_store::api_keys::api_key_lock(&mut tx, key).await?;
            let mut key = found.ok_or(NOT_FOUND)?;
            if !key.roles.iter().all(|role| maker.roles.contains(role)) {
                return Err(EngineError::Forbidden(
                    "the key has roles that you have not, and who gets its secret gets those",
                ));
            }
            let secret = ApiSecret::new(API_KEY_START, tenant, fresh::secret()?);
            key.prefix = secret.prefix();
            let (hash, at) = (secret.hash(), fresh::now());
            let until = at + TimeDelta::seconds(overlap_seconds);
            crm_store::api_keys::api_key_secret_insert(&mut tx, &key, &hash, at, until).await?;
            audit_write(&mut tx, &actor, act("api_key.rotated", &key)).await?;
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &key).await?;
            tx.commit().await?;
            Ok((key, secret))
        })
        .await
    }

    /// Ends a key at once, with all its secrets.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::NotFound`], also for one that has been ended.
    pub async fn api_key_revoke(
        &self,
        tenant: TenantId,
        actor: Actor,
        key: ApiKeyId,
    ) -> Result<(), EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let (mut tx, _) = engine.begin_api_keys(tenant, &actor).await?;
            let found = crm_store::api_keys::api_key_lock(&mut tx, key).await?;
            let key = found.ok_or(NOT_FOUND)?;
            crm_store::api_keys::api_key_revoke(&mut tx, key.id, fresh::now()).await?;
            audit_write(&mut tx, &actor, act("api_key.revoked", &key)).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// A transaction, and the caller with all of their roles: those of the login, and those that
    /// they have here.
    async fn begin_api_keys(
        &self,
        tenant: TenantId,
        actor: &Actor,
    ) -> Result<(TenantTx, Actor), EngineError> {
        let tx = TenantTx::begin(self.store(), tenant).await?;
        let model = self.model_at(tenant, tx.model_version()).await?;
        if actor.scope.is_some() {
            return Err(EngineError::Forbidden(
                "an API key has no say over API keys: ask as a person",
            ));
        }
        match model {
            Some(model) if manages_all(&model, actor) => {
                let roles = model.roles_of(actor).into_iter().cloned().collect();
                Ok((tx, Actor::person(actor.user_id.clone(), roles)))
            }
            _ => Err(EngineError::Forbidden(
                "API keys are for those who may manage all modules",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_its_tenant_and_nothing_else_has_its_form() {
        let tenant = TenantId::new(Uuid::from_u128(7));
        let key = ApiSecret::new(API_KEY_START, tenant, [0xab; SECRET_BYTES]);
        assert_eq!(tenant_of(API_KEY_START, key.reveal()), Some(tenant));
        assert_eq!(key.prefix(), "crm_abababab");
        assert!(!format!("{key:?}").contains("abab"));
        let text = key.reveal();
        for other in [
            text.to_uppercase(),
            text.replace("crm_", "crm-"),
            format!("{text}0"),
            text.replacen("ab", "", 1),
            text.replacen("ab", "zz", 1),
            "crm_".to_owned(),
            "crm__".to_owned(),
        ] {
            assert_eq!(tenant_of(API_KEY_START, &other), None, "{other}");
        }
    }
}
