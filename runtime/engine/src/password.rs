//! Hashing passwords: Argon2id with 19 MiB and two passes (the OWASP Password Storage Cheat
//! Sheet's), away from the threads that serve, so many at a time.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use crm_model::limits::PASSWORD_WAIT_MAX_SECONDS;
use std::time::Duration;

use crate::{Engine, EngineError, fresh};

const MEMORY_KIB: u32 = 19 << 10;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
/// Nobody's: what the password of somebody unknown is compared with, so that looking takes as
/// long as for those who are there.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA\
                      $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn argon2() -> Result<Argon2<'static>, EngineError> {
    let parameters = Params::new(MEMORY_KIB, PASSES, LANES, None);
    let parameters = parameters.map_err(|error| EngineError::Internal(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters))
}

impl Engine {
    /// A password as it is kept.
    pub(crate) async fn password_hash(&self, password: String) -> Result<String, EngineError> {
        let secret = fresh::secret()?;
        self.hashing(move || {
            let salt = secret.get(..SALT_BYTES).unwrap_or(&secret);
            let hash: Result<PasswordHash, _> =
                argon2()?.hash_password_with_salt(password.as_bytes(), salt);
            let hash = hash.map_err(|error| EngineError::Internal(error.to_string()))?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether a password is the one that is kept so. Where nothing is kept it is not, after the
    /// same work.
    pub(crate) async fn password_fits(
        &self,
        password: String,
        kept: Option<String>,
    ) -> Result<bool, EngineError> {
        self.hashing(move || {
            let known = kept.is_some();
            let hash = kept.as_deref().unwrap_or(NOBODY);
            let fits = argon2()?.verify_password(password.as_bytes(), hash).is_ok();
            Ok(fits && known)
        })
        .await
    }

    async fn hashing<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        const BUSY: EngineError = EngineError::Busy("too many passwords are looked at");
        let wait = Duration::from_secs(PASSWORD_WAIT_MAX_SECONDS);
        let turn = tokio::time::timeout(wait, self.inner.hashing.clone().acquire_owned());
        let turn = turn.await.map_err(|_| BUSY)?.map_err(|_| BUSY)?;
        tokio::task::spawn_blocking(move || {
            // Nothing stops the work, so the turn is its own, whoever goes away meanwhile.
            let _turn = turn;
            work()
        })
        .await
        .map_err(|error| EngineError::Internal(error.to_string()))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobodys_password_takes_the_same_work_as_anybodys() {
        let hash: PasswordHash = argon2()
            .unwrap()
            .hash_password_with_salt(b"correct horse battery", &[7; SALT_BYTES])
            .unwrap();
        let kept = hash.to_string();
        assert!(
            kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{kept}"
        );
        let nobody = PasswordHash::new(NOBODY).unwrap();
        assert_eq!(nobody.params, hash.params);
        assert_eq!(nobody.algorithm, hash.algorithm);
        assert_eq!(NOBODY.len(), kept.len());
        let fits =
            |password: &[u8], kept: &str| argon2().unwrap().verify_password(password, kept).is_ok();
        assert!(fits(b"correct horse battery", &kept));
        assert!(!fits(b"correct horse batterx", &kept));
        assert!(!fits(b"", NOBODY));
    }
}
