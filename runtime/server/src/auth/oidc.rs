//! Tokens of one OpenID Connect issuer: which key, which signature, for whom, until when; then
//! whose they are.

use jsonwebtoken::{Algorithm, Header, Validation};
use serde_json::Value;
use std::sync::Arc;

use super::claims::identify;
use super::keys::{Keys, Missing};
use super::settings::IssuerSettings;
use super::{Caller, refusal, unauthorized};
use crate::problem::{Kind, Problem};

/// What a token for an API may call itself; others, such as logout tokens, are not for showing.
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// An issuer with its keys.
pub(super) struct OidcIssuer {
    settings: IssuerSettings,
    algorithms: Vec<Algorithm>,
    keys: Arc<Keys>,
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
            settings,
        })
    }

    pub(super) async fn verify(&self, header: &Header, token: &str) -> Result<Caller, Problem> {
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
        let claims = jsonwebtoken::decode::<Value>(token, &key, &self.validation(header.alg))
            .map_err(|error| unauthorized(refusal(error.kind())))?
            .claims;
        identify(&self.settings, &claims).map_err(unauthorized)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.settings.leeway_seconds;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(self.settings.audience.as_slice());
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation
    }
}
