//! Secrets at rest: XChaCha20-Poly1305 under the host's key, each with a nonce of its own, and
//! bound to the tenant and the name that it stands under, so that none opens in another's place.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use crm_model::TenantId;
use sha2::{Digest, Sha256};

use crate::{EngineError, fresh};

const NONCE_BYTES: usize = 24;

/// The host's key, which no log shows.
#[derive(Clone)]
pub struct SecretKey([u8; 32]);

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SecretKey")
    }
}

impl SecretKey {
    /// The shortest text or sequence of bytes that a key is made from.
    pub const MIN_BYTES: usize = 32;

    /// The key that is made from these bytes: their SHA-256.
    ///
    /// # Errors
    /// A sentence, where there are fewer than [`SecretKey::MIN_BYTES`].
    pub fn new(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() < Self::MIN_BYTES {
            return Err(format!(
                "the key of secrets has at least {} bytes, such as `openssl rand -hex 32` makes",
                Self::MIN_BYTES
            ));
        }
        Ok(Self(Sha256::digest(bytes).into()))
    }

    pub(super) fn seal(
        &self,
        tenant: TenantId,
        place: &str,
        secret: &str,
    ) -> Result<Vec<u8>, EngineError> {
        let random = fresh::secret()?;
        let nonce = random.iter().copied().take(NONCE_BYTES);
        let mut sealed: Vec<u8> = nonce.collect();
        let text = self
            .cipher()
            .encrypt(
                &nonce_of(&sealed)?,
                payload(secret.as_bytes(), &bound(tenant, place)),
            )
            .map_err(|_| EngineError::Internal("a secret cannot be encrypted".to_owned()))?;
        sealed.extend(text);
        Ok(sealed)
    }

    pub(super) fn open(
        &self,
        tenant: TenantId,
        place: &str,
        sealed: &[u8],
    ) -> Result<String, EngineError> {
        let lost = || {
            EngineError::Internal(format!(
                "“{place}” cannot be decrypted: the key of secrets is another than when it was kept"
            ))
        };
        let (nonce, text) = sealed.split_at_checked(NONCE_BYTES).ok_or_else(lost)?;
        let open = self
            .cipher()
            .decrypt(&nonce_of(nonce)?, payload(text, &bound(tenant, place)))
            .map_err(|_| lost())?;
        String::from_utf8(open).map_err(|_| lost())
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.0.into())
    }
}

fn nonce_of(bytes: &[u8]) -> Result<XNonce, EngineError> {
    let nonce: [u8; NONCE_BYTES] = bytes
        .try_into()
        .map_err(|_| EngineError::Internal("a nonce of another length".to_owned()))?;
    Ok(nonce.into())
}

fn bound(tenant: TenantId, place: &str) -> Vec<u8> {
    [tenant.uuid().as_bytes().as_slice(), place.as_bytes()].concat()
}

fn payload<'a>(msg: &'a [u8], aad: &'a [u8]) -> Payload<'a, 'a> {
    Payload { msg, aad }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_secret_opens_in_its_place_alone() {
        let key = SecretKey::new(&[7; 32]).unwrap();
        let [one, two] = [1, 2].map(|id| TenantId::new(Uuid::from_u128(id)));
        let sealed = key.seal(one, "secrets/a", "hush").unwrap();
        assert!(!sealed.windows(4).any(|part| part == b"hush"));
        assert_ne!(sealed, key.seal(one, "secrets/a", "hush").unwrap());
        assert_eq!(key.open(one, "secrets/a", &sealed).unwrap(), "hush");
        assert!(key.open(two, "secrets/a", &sealed).is_err());
        assert!(key.open(one, "secrets/b", &sealed).is_err());
        let other = SecretKey::new(&[8; 32]).unwrap();
        assert!(other.open(one, "secrets/a", &sealed).is_err());
        assert!(key.open(one, "secrets/a", &sealed[..10]).is_err());
        let mut changed = sealed;
        *changed.last_mut().unwrap() ^= 1;
        assert!(key.open(one, "secrets/a", &changed).is_err());
    }

    #[test]
    fn keys_have_a_length_and_are_not_shown() {
        assert!(SecretKey::new(&[7; SecretKey::MIN_BYTES - 1]).is_err());
        let key = SecretKey::new(&[7; SecretKey::MIN_BYTES]).unwrap();
        assert_eq!(format!("{key:?}"), "SecretKey");
    }
}
