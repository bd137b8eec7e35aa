//! The development issuer: signs and verifies with one shared key. Off unless somebody turns it
//! on; never for a public server.

use crm_model::{Actor, RoleSlug, TenantId, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::{Caller, Profile, TOKEN_MAX_ROLES, refusal, unauthorized};
use crate::problem::Problem;

/// `iss` of development tokens.
pub const DEV_ISSUER: &str = "crm-dev";
/// `aud` of tokens for this API.
pub const AUDIENCE: &str = "crm";
/// How far clocks may be apart.
const LEEWAY_SECONDS: u64 = 5;

/// The local issuer for development (HMAC-SHA-256).
#[derive(Clone)]
pub struct DevIssuer {
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
}

impl std::fmt::Debug for DevIssuer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("DevIssuer")
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    tenant: TenantId,
    roles: Vec<RoleSlug>,
    iat: u64,
    exp: u64,
}

impl DevIssuer {
    /// An issuer with this key.
    pub fn new(key: &[u8]) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_issuer(&[DEV_ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        Self {
            signing: EncodingKey::from_secret(key),
            verifying: DecodingKey::from_secret(key),
            validation,
        }
    }

    /// Signs a token for a person of a tenant, good for `ttl` from now.
    ///
    /// # Errors
    /// A sentence, should signing fail.
    pub fn sign(&self, tenant: TenantId, actor: &Actor, ttl: Duration) -> Result<String, String> {
        let now = jsonwebtoken::get_current_timestamp();
        let claims = Claims {
            iss: DEV_ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: actor.user_id.clone(),
            tenant,
            roles: actor.roles.clone(),
            iat: now,
            exp: now + ttl.as_secs(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing)
            .map_err(|error| error.to_string())
    }

    pub(super) fn verify(&self, token: &str) -> Result<Caller, Problem> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.verifying, &self.validation)
            .map_err(|error| unauthorized(refusal(error.kind())))?
            .claims;
        if claims.roles.len() > TOKEN_MAX_ROLES {
            return Err(unauthorized("the token carries too many roles"));
        }
        Ok(Caller {
            tenant: claims.tenant,
            actor: Actor::person(claims.sub, claims.roles),
            profile: Profile::default(),
            may_enter: true,
            is_acting: false,
        })
    }
}
