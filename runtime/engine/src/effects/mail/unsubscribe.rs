//! The way out for whoever gets mail: an address at this server that names a tenant and an address
//! of theirs, encrypted under the host's key, so that nobody makes one up and no log shows whose it
//! is.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crm_model::TenantId;
use crm_model::mail::SuppressionReason;
use crm_store::TenantTx;
use uuid::Uuid;

use super::super::SecretKey;
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

/// Where such an address stands, which it is bound to.
const PLACE: &str = "mail/unsubscribe";
const TENANT_BYTES: usize = 16;
/// Longer than any that was made.
const TOKEN_MAX_BYTES: usize = 1_000;
const UNKNOWN: EngineError = EngineError::NotFound("way to unsubscribe");
/// Who stands beside what somebody outside said.
const READER: &str = "reader";

fn seal(key: &SecretKey, tenant: TenantId, address: &str) -> Result<String, EngineError> {
    let sealed = key.seal(tenant, PLACE, address)?;
    let bytes = [tenant.uuid().as_bytes().as_slice(), &sealed].concat();
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn open(key: &SecretKey, token: &str) -> Option<(TenantId, String)> {
    if token.len() > TOKEN_MAX_BYTES {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (tenant, sealed) = bytes.split_at_checked(TENANT_BYTES)?;
    let tenant = TenantId::new(Uuid::from_slice(tenant).ok()?);
    let address = key.open(tenant, PLACE, sealed).ok()?;
    Some((tenant, address))
}

impl Engine {
    /// Where the reader of that address has a tenant's mails end; none where this server does not
    /// know where people reach it, or keeps no secrets.
    pub(in crate::effects) fn unsubscribe_url(
        &self,
        tenant: TenantId,
        address: &str,
    ) -> Result<Option<String>, EngineError> {
        let outside = self.outside();
        let (Some(url), Some(key)) = (&outside.public_url, &outside.key) else {
            return Ok(None);
        };
        let token = seal(key, tenant, address)?;
        let url = url.join(&format!("/{PLACE}/{token}"));
        Ok(url.ok().map(String::from))
    }

    /// The address that such a token is of.
    ///
    /// # Errors
    /// [`EngineError::NotFound`].
    pub fn mail_unsubscribe_address(&self, token: &str) -> Result<String, EngineError> {
        let key = self.outside().key.as_ref().ok_or(UNKNOWN)?;
        let (_, address) = open(key, token).ok_or(UNKNOWN)?;
        Ok(address)
    }

    /// Has no mail of the tenant go to the address any more, however often it is asked. The address.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]; [`EngineError::Store`] where the tenant is suspended.
    pub async fn mail_unsubscribe(&self, token: &str) -> Result<String, EngineError> {
        let key = self.outside().key.as_ref().ok_or(UNKNOWN)?;
        let (tenant, address) = open(key, token).ok_or(UNKNOWN)?;
        let engine = self.clone();
        uncancelled(async move {
            let mut tx = TenantTx::begin(engine.store(), tenant).await?;
            let what = (address.as_str(), SuppressionReason::Unsubscribed);
            let by = (fresh::now(), READER);
            crm_store::mail::suppression_add(&mut tx, what, None, by).await?;
            tx.commit().await?;
            Ok(address)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_makes_up_a_way_to_unsubscribe_another() {
        let key = SecretKey::new(&[7; 32]).unwrap();
        let [one, two] = [1, 2].map(|id| TenantId::new(Uuid::from_u128(id)));
        let token = seal(&key, one, "ada@example.com").unwrap();
        assert_eq!(
            open(&key, &token),
            Some((one, "ada@example.com".to_owned()))
        );
        let mut bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        assert!(!bytes.windows(3).any(|part| part == b"ada"));
        bytes[..TENANT_BYTES].copy_from_slice(two.uuid().as_bytes());
        let other_tenant = URL_SAFE_NO_PAD.encode(&bytes);
        let other_key = seal(&SecretKey::new(&[8; 32]).unwrap(), one, "ada@example.com").unwrap();
        let other_place = key.seal(one, "secrets/a", "ada@example.com").unwrap();
        let other_place =
            URL_SAFE_NO_PAD.encode([one.uuid().as_bytes().as_slice(), &other_place].concat());
        let longer = format!("{token}AAAA");
        for forged in [
            other_tenant.as_str(),
            &other_key,
            &other_place,
            &longer,
            &token[1..],
            "",
            "x",
            "%",
        ] {
            assert_eq!(open(&key, forged), None, "{forged}");
        }
    }
}
