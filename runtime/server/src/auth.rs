//! Who is this? Bearer tokens of configured issuers (`oidc`) and, where somebody turns it on, of
//! the development issuer (`dev`); keys for programs, which the engine knows. Neither is ever
//! logged, and no answer repeats it.

mod claims;
mod dev;
mod keys;
mod oidc;
mod settings;

pub use dev::{AUDIENCE, DEV_ISSUER, DevIssuer};
pub use settings::{ClaimPaths, IssuerSettings, OneOrMany, SigningAlgorithm, parse_issuers};

use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, header, request::Parts};
use crm_engine::api_keys::API_KEY_START;
use crm_model::{Actor, TenantId};
use jsonwebtoken::errors::ErrorKind;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::acting::acting;
use crate::app::App;
use crate::problem::{Kind, Problem};
use oidc::OidcIssuer;

/// Roles that one token may carry.
const TOKEN_MAX_ROLES: usize = 20;

/// Whose tokens count.
#[derive(Clone, Default)]
pub struct Issuers {
    dev: Option<DevIssuer>,
    oidc: BTreeMap<String, Arc<OidcIssuer>>,
}

impl std::fmt::Debug for Issuers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.oidc.keys();
        formatter.debug_set().entries(names).finish()
    }
}

impl Issuers {
    /// Nobody's tokens count, but for the development issuer's where it is given.
    pub fn new(dev: Option<DevIssuer>) -> Self {
        Self {
            dev,
            ..Self::default()
        }
    }

    /// Those of these issuers count too.
    ///
    /// # Errors
    /// A sentence that says what is wrong with which.
    pub fn with(mut self, issuers: Vec<IssuerSettings>) -> Result<Self, String> {
        crate::tls::install();
        for settings in issuers {
            let name = settings.issuer.clone();
            let issuer =
                OidcIssuer::new(settings).map_err(|error| format!("issuer “{name}”: {error}"))?;
            if self.oidc.insert(name.clone(), Arc::new(issuer)).is_some() {
                return Err(format!("issuer “{name}” stands there twice"));
            }
        }
        Ok(self)
    }

    async fn verify(&self, token: &str) -> Result<Caller, Problem> {
        /// Whom to ask; nothing of it counts before the signature does.
        #[derive(Deserialize)]
        struct Unverified {
            iss: String,
        }
        if self.dev.is_none() && self.oidc.is_empty() {
            return Err(unauthorized("no issuer is configured on this server"));
        }
        let invalid = |_| unauthorized("the token is not valid");
        let header = jsonwebtoken::decode_header(token).map_err(invalid)?;
        let claims = jsonwebtoken::dangerous::insecure_decode_claims::<Unverified>(token);
        let issuer = claims.map_err(invalid)?.iss;
        if issuer == DEV_ISSUER
            && let Some(dev) = &self.dev
        {
            return dev.verify(token);
        }
        match self.oidc.get(&issuer) {
            Some(issuer) => issuer.verify(&header, token).await,
            None => Err(unauthorized(refusal(&ErrorKind::InvalidIssuer))),
        }
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
    pub(crate) profile: Profile,
    /// Whether a super admin's role counts as such: it is the operator's to give, so neither a
    /// key has it, nor the word of an issuer that speaks for one tenant.
    pub(crate) may_enter: bool,
}

/// What an issuer says of a person beside who they are. Decides nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Profile {
    pub(crate) name: Option<String>,
    pub(crate) email: Option<String>,
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let token = bearer(&parts.headers)?;
        let caller = match token.starts_with(API_KEY_START) {
            true => of_api_key(app, token).await,
            false => app.issuers.verify(token).await,
        }?;
        app.limits.check(&caller)?;
        acting(app, parts, caller).await
    }
}

/// Whom a key stands for, the same answer for all that stand for nobody.
async fn of_api_key(app: &App, key: &str) -> Result<Caller, Problem> {
    let found = app.engine.api_key_actor(key).await?;
    let (tenant, actor) = found.ok_or_else(|| unauthorized("the API key is not valid"))?;
    Ok(Caller {
        tenant,
        actor,
        profile: Profile::default(),
        may_enter: false,
    })
}

/// The token of a request. Of several headers nobody could say which one counts.
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let header = given
        .next()
        .ok_or_else(|| unauthorized("there is no token"))?;
    header
        .to_str()
        .ok()
        .filter(|_| given.next().is_none())
        .and_then(|header| header.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| unauthorized("the Authorization header is not `Bearer <token>`"))
}
