//! Secrets that stand for somebody of a tenant: what a browser holds of a session, what the link
//! of an invitation holds. They name their tenant, so that they are looked up under its policies;
//! what is kept of them does not give them away.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crm_model::TenantId;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{EngineError, fresh};

const TENANT_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;

/// A tenant's id and 256 random bits.
#[derive(Clone, PartialEq, Eq)]
pub struct TenantSecret {
    tenant: TenantId,
    secret: [u8; SECRET_BYTES],
}

impl std::fmt::Debug for TenantSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("TenantSecret")
    }
}

impl TenantSecret {
    pub(crate) fn fresh(tenant: TenantId) -> Result<Self, EngineError> {
        let secret = fresh::secret()?;
        Ok(Self { tenant, secret })
    }

    /// Whose it is, if it counts at all.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The text, for the one who is to have it.
    pub fn reveal(&self) -> String {
        let tenant = self.tenant.uuid().into_bytes();
        URL_SAFE_NO_PAD.encode([tenant.as_slice(), &self.secret].concat())
    }

    /// What a page needs to prove that it is the browser's own that holds the secret: another
    /// text for each secret, from which nobody comes back to it.
    pub fn csrf_token(&self) -> String {
        let mut digest = Sha256::new_with_prefix(b"csrf");
        digest.update(self.secret);
        URL_SAFE_NO_PAD.encode(digest.finalize())
    }

    pub(crate) fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.secret).to_vec()
    }
}

/// What is no such secret is one that stands for nobody.
impl std::str::FromStr for TenantSecret {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| ())?;
        let (tenant, secret) = bytes.split_at_checked(TENANT_BYTES).ok_or(())?;
        Ok(Self {
            tenant: TenantId::new(Uuid::from_slice(tenant).map_err(|_| ())?),
            secret: secret.try_into().map_err(|_| ())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_names_its_tenant_and_nothing_else_has_its_form() {
        let tenant = TenantId::new(Uuid::from_u128(7));
        let secret = TenantSecret::fresh(tenant).unwrap();
        let text = secret.reveal();
        assert_eq!(text.parse::<TenantSecret>().unwrap(), secret);
        assert_eq!(secret.tenant(), tenant);
        assert!(!format!("{secret:?}").contains(&text));
        assert_ne!(TenantSecret::fresh(tenant).unwrap(), secret);
        let short = &text[4..];
        for other in [
            short,
            "",
            "=",
            "crm_0",
            &format!("{text}AAAA"),
            &format!("{text}="),
        ] {
            assert!(other.parse::<TenantSecret>().is_err(), "{other}");
        }
    }

    #[test]
    fn what_a_page_shows_is_not_what_is_kept_or_sent() {
        let secret = TenantSecret::fresh(TenantId::new(Uuid::from_u128(7))).unwrap();
        let csrf = secret.csrf_token();
        assert_eq!(csrf, secret.csrf_token());
        assert!(!secret.reveal().contains(&csrf));
        assert_ne!(URL_SAFE_NO_PAD.decode(csrf).unwrap(), secret.hash());
    }
}
