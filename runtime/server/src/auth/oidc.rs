//! Tokens of one OpenID Connect issuer: which key, which signature, for whom, until when; then
//! whose they are.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde_json::Value;
use std::sync::Arc;

use super::claims::identify;
use super::code_flow::EndpointsCache;
use super::keys::{Keys, Missing};
use super::settings::IssuerSettings;
use super::{Caller, refusal, unauthorized};
use crate::problem::{Kind, Problem};

/// What a token for an API may call itself; others, such as logout tokens, are not for showing.
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// An issuer with its keys.
pub(crate) struct OidcIssuer {
    pub(super) settings: IssuerSettings,
    algorithms: Vec<Algorithm>,
    pub(super) keys: Arc<Keys>,
    pub(super) endpoints: EndpointsCache,
}

impl OidcIssuer {
    /// # Errors
    /// A sentence that says what is wrong with the settings.
    pub(super) fn new(settings: IssuerSettings) -> Result<Self, String> {
        settings.check()?;
        let keys = Keys::new(&settings.issuer, settings.jwks_uri.as_deref())?;
        Ok(Self {
            algorithms: settings.algorithms.iter().map(|&one| one.into()).collect(),
            keys: Arc::new(keys),
            endpoints: EndpointsCache::default(),
            settings,
        })
    }

    pub(super) fn names_super_admins(&self) -> bool {
        self.settings.names_super_admins()
    }

    pub(super) async fn verify(&self, header: &Header, token: &str) -> Result<Caller, Problem> {
        let audience = self.settings.audience.as_slice();
        let claims = self.claims(header, token, audience).await?;
        identify(&self.settings, &claims).map_err(unauthorized)
    }

    /// Who an ID token is about that the issuer gave to this server itself, in answer to a login
    /// of this nonce.
    /// <https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation>
    pub(super) async fn verify_login(
        &self,
        client_id: &str,
        token: &str,
        nonce: &str,
    ) -> Result<Caller, Problem> {
        let header = jsonwebtoken::decode_header(token);
        let header = header.map_err(|_| unauthorized("the token is not valid"))?;
        let audience = [client_id.to_owned()];
        let claims = self.claims(&header, token, &audience).await?;
        if claims.get("nonce").and_then(Value::as_str) != Some(nonce) {
            return Err(unauthorized("the token belongs to another login"));
        }
        let party = claims.get("azp").and_then(Value::as_str);
        if party.is_some_and(|party| party != client_id) {
            return Err(unauthorized(refusal(&ErrorKind::InvalidAudience)));
        }
        identify(&self.settings, &claims).map_err(unauthorized)
    }

    async fn claims(
        &self,
        header: &Header,
        token: &str,
        audience: &[String],
    ) -> Result<Value, Problem> {
        if !self.algorithms.contains(&header.alg) {
            return Err(unauthorized(
                "the token is signed in a way that does not count",
            ));
        }
        let kind = header.typ.as_deref().unwrap_or("jwt").to_ascii_lowercase();
        if !TYPES.contains(&kind.trim_start_matches("application/")) || header.crit.is_some() {
            return Err(unauthorized("the token is of a kind that does not count"));
        }
        let key = self.keys.find(header.kid.as_deref(), header.alg).await;
        let key = key.map_err(|missing| match missing {
            Missing::Unknown => unauthorized("the token's key is not one of its issuer's"),
            Missing::Away => Problem::detailed(
                Kind::Unavailable,
                "the keys of the token's issuer cannot be had at the moment",
            ),
        })?;
        let validation = self.validation(header.alg, audience);
        let decoded = jsonwebtoken::decode::<Value>(token, &key, &validation);
        let decoded = decoded.map_err(|error| unauthorized(refusal(error.kind())))?;
        Ok(decoded.claims)
    }

    fn validation(&self, algorithm: Algorithm, audience: &[String]) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.settings.leeway_seconds;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(audience);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation
    }
}
