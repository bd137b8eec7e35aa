//! Who is this? Bearer tokens of configured issuers (`oidc`) and, where somebody turns it on, of
//! the development issuer (`dev`); keys for programs, and sessions of browsers (`browsers`), which
//! the engine knows. None of them is ever logged, and no answer repeats them.

pub(crate) mod browsers;
pub(crate) mod code_flow;
pub(crate) mod cross_site;
pub(crate) mod return_to;

mod claims;
mod dev;
mod keys;
mod oidc;
mod os_roles;
mod settings;

pub use browsers::{BrowserSettings, COOKIE_KEY_MIN_BYTES, LocalSettings, invitation_url};
pub use dev::{AUDIENCE, DEV_ISSUER, DevIssuer};
pub use os_roles::OsRoles;
pub use settings::{
    ClaimPaths, IssuerSettings, OneOrMany, Secret, SigningAlgorithm, parse_issuers,
};

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::{HeaderMap, header, request::Parts};
use crm_engine::api_keys::API_KEY_START;
use crm_model::{Actor, TenantId};
use jsonwebtoken::errors::ErrorKind;
use serde::Deserialize;
use sha2::{Digest, Sha256};
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

    /// Where people log in with a browser.
    pub(crate) fn logins(&self) -> impl Iterator<Item = (&str, &Arc<OidcIssuer>)> {
        let issuers = self.oidc.iter();
        issuers
            .filter(|(_, issuer)| issuer.client_id().is_some())
            .map(|(name, issuer)| (name.as_str(), issuer))
    }

    /// The issuer of this name, if people log in there with a browser.
    pub(crate) fn login(&self, issuer: &str) -> Option<&Arc<OidcIssuer>> {
        self.oidc.get(issuer).filter(|it| it.client_id().is_some())
    }

    /// Whether people log in anywhere with a browser.
    pub fn has_logins(&self) -> bool {
        self.logins().next().is_some()
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
    /// A super admin, in a tenant that is not their own for now.
    pub(crate) is_acting: bool,
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
        let caller = match of_session_alone(app, parts).await? {
            Some(caller) => caller,
            None => of_bearer(app, bearer(&parts.headers)?).await?,
        };
        let is_super_admin = app.super_admins.include(&caller.actor.roles);
        let mut caller = acting(app, parts, caller, is_super_admin).await?;
        app.os_roles.apply(&mut caller.actor.roles);
        // What an operator does is not the tenant's use; and who has used up all must see that.
        if !caller.is_acting && !shows_usage(parts) {
            app.engine.api_call(caller.tenant).await?;
        }
        Ok(caller)
    }
}

fn shows_usage(parts: &Parts) -> bool {
    let route = parts.extensions.get::<MatchedPath>();
    route.is_some_and(|route| route.as_str() == "/api/crm/usage")
}

/// Whose session a request shows that shows nothing else: a token says who asks, whatever the
/// browser sends along.
async fn of_session_alone(app: &App, parts: &Parts) -> Result<Option<Caller>, Problem> {
    if parts.headers.contains_key(header::AUTHORIZATION) {
        return Ok(None);
    }
    let caller = browsers::of_session(app, parts).await?;
    if let Some(caller) = &caller {
        app.limits.check(caller)?;
    }
    Ok(caller)
}

async fn of_bearer(app: &App, token: &str) -> Result<Caller, Problem> {
    if token.starts_with(API_KEY_START) {
        return of_api_key(app, token).await;
    }
    let caller = app.issuers.verify(token).await?;
    app.limits.check(&caller)?;
    Ok(caller)
}

/// Whom a key stands for, the same answer for all that stand for nobody. A key that asked too
/// often a moment ago is refused without asking the database.
async fn of_api_key(app: &App, key: &str) -> Result<Caller, Problem> {
    let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
    app.limits.check_refused(&digest)?;
    let found = app.engine.api_key_actor(key).await?;
    let (tenant, actor) = found.ok_or_else(|| unauthorized("the API key is not valid"))?;
    let caller = Caller {
        tenant,
        actor,
        profile: Profile::default(),
        may_enter: false,
        is_acting: false,
    };
    app.limits.check_key(&caller, digest)?;
    Ok(caller)
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
