//! Who is this? Bearer tokens of configured issuers, each with its algorithm pinned. So far there
//! is one: the development issuer, off unless somebody turns it on.

use axum::extract::FromRequestParts;
use axum::http::{header, request::Parts};
use crm_model::{Actor, RoleSlug, TenantId, UserId};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::acting::acting;
use crate::app::App;
use crate::problem::{Kind, Problem};

/// `iss` of development tokens.
pub const DEV_ISSUER: &str = "crm-dev";
/// `aud` of tokens for this API.
pub const AUDIENCE: &str = "crm";
/// How far clocks may be apart.
const LEEWAY_SECONDS: u64 = 5;
/// Roles that one token may carry.
const TOKEN_MAX_ROLES: usize = 20;

/// Whose tokens count.
#[derive(Clone, Debug, Default)]
pub struct Issuers {
    dev: Option<DevIssuer>,
}

impl Issuers {
    /// Nobody's tokens count, but for the development issuer's where it is given.
    pub fn new(dev: Option<DevIssuer>) -> Self {
        Self { dev }
    }
}

/// The local issuer for development: signs and verifies with one shared key (HMAC-SHA-256).
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

    fn verify(&self, token: &str) -> Result<Caller, Problem> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.verifying, &self.validation)
            .map_err(|error| unauthorized(refusal(error.kind())))?
            .claims;
        if claims.roles.len() > TOKEN_MAX_ROLES {
            return Err(unauthorized("the token carries too many roles"));
        }
        Ok(Caller {
            tenant: claims.tenant,
            actor: Actor {
                user_id: claims.sub,
                roles: claims.roles,
            },
        })
    }
}

fn refusal(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidIssuer => "the token's issuer is not one of this server's",
        ErrorKind::InvalidAudience => "the token is for somebody else",
        _ => "the token is not valid",
    }
}

fn unauthorized(detail: &str) -> Problem {
    Problem::detailed(Kind::Unauthorized, detail)
}

/// Who asks: a person, for one tenant.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) tenant: TenantId,
    pub(crate) actor: Actor,
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let header = parts.headers.get(header::AUTHORIZATION);
        let header = header.ok_or_else(|| unauthorized("there is no token"))?;
        let token = header
            .to_str()
            .ok()
            .and_then(|header| header.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| unauthorized("the Authorization header is not `Bearer <token>`"))?;
        let dev = app.issuers.dev.as_ref();
        let caller = dev
            .ok_or_else(|| unauthorized("no issuer is configured on this server"))?
            .verify(token)?;
        acting(app, parts, caller).await
    }
}
