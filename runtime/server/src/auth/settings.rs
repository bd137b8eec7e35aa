//! Which issuers count, as the operator writes it down: `CRM_ISSUERS`. A setting that would let
//! in more than it says is refused at the start, not at the first token.

use crm_model::{RoleSlug, TenantId};
use jsonwebtoken::Algorithm;
use reqwest::Url;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Issuers of one server.
const MAX_ISSUERS: usize = 50;
/// How far an issuer's clock may be from this server's.
const LEEWAY_MAX_SECONDS: u64 = 300;
const LEEWAY_DEFAULT_SECONDS: u64 = 5;

/// An issuer whose tokens count.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSettings {
    /// `iss` of its tokens, to the letter.
    pub issuer: String,
    /// A token is for us if its `aud` names one of these.
    #[serde(alias = "audiences")]
    pub audience: OneOrMany,
    /// Where its keys are; found through `{issuer}/.well-known/openid-configuration` if not given.
    #[serde(default)]
    pub jwks_uri: Option<String>,
    /// What it signs with. Nothing else counts, whatever a token or a key says.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<SigningAlgorithm>,
    #[serde(default = "default_leeway", alias = "leeway")]
    pub leeway_seconds: u64,
    /// Where in a token things are.
    #[serde(default)]
    pub claims: ClaimPaths,
    /// From what the issuer calls a role to what the model does. Where it is given, only what it
    /// names counts; without it, roles have the model's own names.
    #[serde(default)]
    pub roles: Option<BTreeMap<String, RoleSlug>>,
    /// For an issuer of one tenant: its tokens are for this one, whatever they say.
    #[serde(default)]
    pub tenant: Option<TenantId>,
    /// From what the issuer calls a tenant to its id. Where it is given, only what it names counts;
    /// without it, the claim is the id.
    #[serde(default)]
    pub tenants: Option<BTreeMap<String, TenantId>>,
    /// Stands before its users' ids, so that two issuers' users are never taken for each other.
    #[serde(default)]
    pub user_prefix: String,
    /// For logging in with a browser: what the issuer calls this server. Without it, only tokens
    /// count.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The same: by what this server proves that it is that; none for what OAuth calls a public
    /// client.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// What it asks the issuer for.
    #[serde(default = "default_scopes")]
    pub scopes: Vec<String>,
    /// What people read who choose where to log in; its host unless given.
    #[serde(default)]
    pub label: Option<String>,
}

/// A text that no log shows.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret")
    }
}

impl Secret {
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

/// `"a"` or `["a", "b"]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// Where a claim is: its name; a path with dots, such as `realm_access.roles`; or, beginning with
/// a slash, a JSON pointer.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClaimPaths {
    pub user: String,
    pub tenant: String,
    pub roles: String,
    pub name: String,
    pub email: String,
}

impl Default for ClaimPaths {
    fn default() -> Self {
        Self {
            user: "sub".to_owned(),
            tenant: "tenant".to_owned(),
            roles: "roles".to_owned(),
            name: "name".to_owned(),
            email: "email".to_owned(),
        }
    }
}

/// Signatures that are made with one key and checked with another. A shared key would let this
/// server, and whoever reads its configuration, make tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum SigningAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl From<SigningAlgorithm> for Algorithm {
    fn from(algorithm: SigningAlgorithm) -> Self {
        match algorithm {
            SigningAlgorithm::RS256 => Self::RS256,
            SigningAlgorithm::RS384 => Self::RS384,
            SigningAlgorithm::RS512 => Self::RS512,
            SigningAlgorithm::PS256 => Self::PS256,
            SigningAlgorithm::PS384 => Self::PS384,
            SigningAlgorithm::PS512 => Self::PS512,
            SigningAlgorithm::ES256 => Self::ES256,
            SigningAlgorithm::ES384 => Self::ES384,
            SigningAlgorithm::EdDSA => Self::EdDSA,
        }
    }
}

fn default_algorithms() -> Vec<SigningAlgorithm> {
    vec![SigningAlgorithm::RS256]
}

fn default_scopes() -> Vec<String> {
    ["openid", "profile", "email"].map(str::to_owned).into()
}

const fn default_leeway() -> u64 {
    LEEWAY_DEFAULT_SECONDS
}

/// Reads a JSON list of issuers.
///
/// # Errors
/// A sentence that says what is wrong with which.
pub fn parse_issuers(json: &str) -> Result<Vec<IssuerSettings>, String> {
    let issuers: Vec<IssuerSettings> =
        serde_json::from_str(json).map_err(|error| format!("not a list of issuers: {error}"))?;
    if issuers.len() > MAX_ISSUERS {
        return Err(format!("there are at most {MAX_ISSUERS} issuers"));
    }
    for issuer in &issuers {
        issuer
            .check()
            .map_err(|error| format!("issuer “{}”: {error}", issuer.issuer))?;
    }
    Ok(issuers)
}

impl IssuerSettings {
    /// Whether a super admin's role in its tokens counts as such. Whoever runs one tenant's issuer
    /// runs one tenant, unless the operator's own settings say which of its roles are more.
    pub(super) fn names_super_admins(&self) -> bool {
        self.tenant.is_none() || self.roles.is_some()
    }

    pub(super) fn check(&self) -> Result<(), String> {
        checked_url(&self.issuer)?;
        if let Some(uri) = &self.jwks_uri {
            checked_url(uri)?;
        }
        let audiences = self.audience.as_slice();
        if audiences.is_empty() || audiences.iter().any(String::is_empty) {
            return Err("audience names whom its tokens are for".to_owned());
        }
        if self.algorithms.is_empty() {
            return Err("algorithms names at least one".to_owned());
        }
        if self.leeway_seconds > LEEWAY_MAX_SECONDS {
            return Err(format!("leeway_seconds is at most {LEEWAY_MAX_SECONDS}"));
        }
        if self.client_secret.is_some() && self.client_id.is_none() {
            return Err("client_secret needs client_id".to_owned());
        }
        if !self.scopes.iter().any(|scope| scope == "openid") {
            return Err("scopes names openid, or there is no login".to_owned());
        }
        if self.tenant.is_some() && self.tenants.is_some() {
            return Err("give tenant or tenants, not both".to_owned());
        }
        Ok(())
    }
}

/// Keys are fetched over TLS, but from this machine.
pub(super) fn checked_url(text: &str) -> Result<Url, String> {
    let url: Url = text
        .parse()
        .map_err(|error| format!("“{text}” is not a URL: {error}"))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(format!("“{text}” has to begin with https://")),
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address: Result<std::net::IpAddr, _> = address.parse();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(change: impl FnOnce(&mut Value)) -> Result<Vec<IssuerSettings>, String> {
        let mut issuer = json!({"issuer": "https://id.example.com", "audience": "crm"});
        change(&mut issuer);
        parse_issuers(&json!([issuer]).to_string())
    }

    #[test]
    fn the_least_that_an_issuer_says_is_enough() {
        let issuers = read(|_| {}).unwrap();
        assert_eq!(issuers[0].algorithms, [SigningAlgorithm::RS256]);
        assert_eq!(issuers[0].claims.user, "sub");
        assert!(read(|issuer| issuer["audience"] = json!(["crm", "crm-console"])).is_ok());
        assert!(read(|issuer| issuer["issuer"] = json!("http://127.0.0.1:9")).is_ok());
        assert!(read(|issuer| issuer["issuer"] = json!("http://[::1]:9")).is_ok());
    }

    #[test]
    fn no_log_shows_a_secret() {
        let issuers = read(|issuer| {
            issuer["client_id"] = json!("crm");
            issuer["client_secret"] = json!("hush");
        });
        assert!(!format!("{issuers:?}").contains("hush"));
        assert_eq!(
            issuers.unwrap()[0].client_secret.as_ref().unwrap().reveal(),
            "hush"
        );
    }

    #[test]
    fn settings_that_let_in_too_much_are_refused() {
        for (member, value) in [
            ("algorithms", json!(["HS256"])),
            ("algorithms", json!(["none"])),
            ("algorithms", json!([])),
            ("audience", json!([])),
            ("audience", json!("")),
            ("issuer", json!("http://id.example.com")),
            ("issuer", json!("http://127.0.0.1.example.com")),
            ("issuer", json!("id.example.com")),
            ("jwks_uri", json!("http://id.example.com/keys")),
            ("jwks_uri", json!("file:///etc/passwd")),
            ("leeway", json!(LEEWAY_MAX_SECONDS + 1)),
            ("tenant", json!("all")),
            ("roles", json!({"admin": "Not A Role"})),
            ("verify", json!(false)),
            ("client_secret", json!("of no client")),
            ("scopes", json!(["profile"])),
        ] {
            assert!(
                read(|issuer| issuer[member] = value.clone()).is_err(),
                "{member}: {value}"
            );
        }
    }
}
