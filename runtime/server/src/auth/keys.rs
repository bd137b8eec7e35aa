//! The public keys of one issuer: fetched when they are first needed, kept, and fetched again
//! when a token names one that is not there (at most once in a while: anybody can make up names).
//! What is known keeps working while the issuer does not answer.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::Url;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

use super::settings::{checked_url, is_loopback};

/// Keys are asked for again at most this often on account of tokens that name unknown ones.
const REFETCH_PAUSE: Duration = Duration::from_secs(30);
/// Keys that are older are fetched anew, so that one that the issuer withdraws ends.
const KEYS_FRESH: Duration = Duration::from_secs(3600);
/// An issuer that takes longer does not answer.
const FETCH_MAX: Duration = Duration::from_secs(5);
const DOCUMENT_MAX_BYTES: usize = 256 << 10;
/// Keys of one issuer that are looked at.
const MAX_KEYS: usize = 100;
/// A modulus of 2,048 bits, in base64url: shorter ones can be broken.
const RSA_MODULUS_MIN_CHARACTERS: usize = 342;

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// The issuer has none of that name.
    Unknown,
    /// The issuer does not answer.
    Away,
}

struct PublicKey {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

struct Known {
    keys: Vec<PublicKey>,
    fetched: Instant,
}

impl Known {
    /// The key of that name; without a name, the only one there is.
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&PublicKey> {
        let fits = |key: &&PublicKey| key.algorithms.contains(&algorithm);
        let mut keys = self.keys.iter().filter(fits);
        match id {
            Some(id) => keys.find(|key| key.id.as_deref() == Some(id)),
            None => keys.next().filter(|_| keys.next().is_none()),
        }
    }
}

#[derive(Default)]
struct Attempts {
    /// The last that counts against the pause.
    last: Option<Instant>,
    failed: bool,
}

impl Attempts {
    fn may(&self) -> bool {
        self.last.is_none_or(|last| last.elapsed() >= REFETCH_PAUSE)
    }
}

/// What an issuer says of itself.
#[derive(Deserialize)]
pub(super) struct Discovered {
    issuer: String,
    jwks_uri: String,
    #[serde(default)]
    pub(super) authorization_endpoint: Option<String>,
    #[serde(default)]
    pub(super) token_endpoint: Option<String>,
    #[serde(default)]
    pub(super) token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// What an issuer answers.
pub(super) struct Answered {
    pub(super) status: reqwest::StatusCode,
    pub(super) kind: Option<HeaderValue>,
    pub(super) body: Vec<u8>,
}

/// The keys of one issuer.
pub(super) struct Keys {
    issuer: String,
    uri: Option<Url>,
    http: reqwest::Client,
    known: RwLock<Option<Arc<Known>>>,
    /// Held while fetching, so that one does it and the others wait for what it brings.
    attempts: Mutex<Attempts>,
}

impl Keys {
    /// # Errors
    /// A sentence, where no client can be made.
    pub(super) fn new(issuer: &str, uri: Option<&str>) -> Result<Self, String> {
        let uri = uri.map(checked_url).transpose()?;
        let mut http = reqwest::Client::builder()
            .timeout(FETCH_MAX)
            .redirect(Policy::none());
        if is_loopback(&checked_url(issuer)?) {
            // Whatever proxy the environment names is not for this machine.
            http = http.no_proxy();
        }
        Ok(Self {
            issuer: issuer.to_owned(),
            uri,
            http: http.build().map_err(|error| error.to_string())?,
            known: RwLock::default(),
            attempts: Mutex::default(),
        })
    }

    /// The key that a token names.
    pub(super) async fn find(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, Missing> {
        if let Some(known) = self.known()
            && let Some(key) = known.find(id, algorithm)
        {
            if known.fetched.elapsed() > KEYS_FRESH {
                self.refresh();
            }
            return Ok(key.key.clone());
        }
        let mut attempts = self.attempts.lock().await;
        let found = |known: Option<Arc<Known>>| {
            let known = known?;
            known.find(id, algorithm).map(|key| key.key.clone())
        };
        // Somebody else may have fetched while this one waited.
        if let Some(key) = found(self.known()) {
            return Ok(key);
        }
        if attempts.may() {
            self.fetch(&mut attempts).await;
        }
        found(self.known()).ok_or(match attempts.failed {
            true => Missing::Away,
            false => Missing::Unknown,
        })
    }

    fn known(&self) -> Option<Arc<Known>> {
        let known = self.known.read();
        known.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches behind the back of whoever asks: old keys do until there are new ones.
    fn refresh(self: &Arc<Self>) {
        if !self
            .attempts
            .try_lock()
            .is_ok_and(|attempts| attempts.may())
        {
            return;
        }
        let keys = Arc::clone(self);
        tokio::spawn(async move {
            let mut attempts = keys.attempts.lock().await;
            if attempts.may() {
                keys.fetch(&mut attempts).await;
            }
        });
    }

    async fn fetch(&self, attempts: &mut Attempts) {
        // Before the answer: whoever asked may go away meanwhile, and that is an attempt too.
        attempts.last = Some(Instant::now());
        attempts.failed = true;
        let first = self.known().is_none();
        let fetched = self.fetch_keys().await;
        attempts.failed = fetched.is_err();
        match fetched {
            Ok(keys) => {
                if first {
                    // It was on account of no unknown key.
                    attempts.last = None;
                }
                let known = Known {
                    keys,
                    fetched: Instant::now(),
                };
                let mut place = self.known.write().unwrap_or_else(PoisonError::into_inner);
                *place = Some(Arc::new(known));
            }
            Err(error) => {
                tracing::warn!(
                    auth.issuer = self.issuer,
                    error,
                    "an issuer's keys cannot be fetched"
                );
            }
        }
    }

    async fn fetch_keys(&self) -> Result<Vec<PublicKey>, String> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<serde_json::Value>,
        }
        let uri = match &self.uri {
            Some(uri) => uri.clone(),
            None => checked_url(&self.discover().await?.jwks_uri)?,
        };
        let document: Document = self.get(uri).await?;
        let keys = document.keys.into_iter().take(MAX_KEYS);
        // Issuers publish keys of kinds that are not for us, or not known to us, beside others.
        Ok(keys
            .filter_map(|key| serde_json::from_value(key).ok())
            .filter_map(public_key)
            .collect())
    }

    /// <https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig>
    pub(super) async fn discover(&self) -> Result<Discovered, String> {
        let base = self.issuer.trim_end_matches('/');
        let uri = checked_url(&format!("{base}/.well-known/openid-configuration"))?;
        let document: Discovered = self.get(uri).await?;
        if document.issuer != self.issuer {
            return Err("its openid-configuration is another issuer's".to_owned());
        }
        Ok(document)
    }

    /// Asks the issuer for anything else.
    pub(super) async fn ask(&self, request: reqwest::Request) -> Result<Answered, String> {
        let response = self.http.execute(request).await;
        let response = response.map_err(|error| error.to_string())?;
        let status = response.status();
        let kind = response.headers().get(CONTENT_TYPE).cloned();
        let body = read(response).await?;
        Ok(Answered { status, kind, body })
    }

    async fn get<T: DeserializeOwned>(&self, uri: Url) -> Result<T, String> {
        let request = self.http.get(uri).header(ACCEPT, "application/json");
        let response = request.send().await;
        let response = response.map_err(|error| error.to_string())?;
        if !response.status().is_success() {
            return Err(format!("it answers {}", response.status()));
        }
        serde_json::from_slice(&read(response).await?).map_err(|error| error.to_string())
    }
}

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| error.to_string())? {
        if body.len() + chunk.len() > DOCUMENT_MAX_BYTES {
            return Err(format!("it answers more than {DOCUMENT_MAX_BYTES} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A key for signatures, with what it may be used for.
fn public_key(jwk: Jwk) -> Option<PublicKey> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let common = &jwk.common;
    if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) if key.n.len() >= RSA_MODULUS_MIN_CHARACTERS => {
            vec![RS256, RS384, RS512, PS256, PS384, PS512]
        }
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => vec![ES256],
            EllipticCurve::P384 => vec![ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            vec![EdDSA]
        }
        _ => return None,
    };
    if let Some(only) = common.key_algorithm {
        algorithms.retain(|algorithm| format!("{algorithm:?}") == format!("{only:?}"));
    }
    Some(PublicKey {
        id: common.key_id.clone(),
        algorithms,
        key: DecodingKey::from_jwk(&jwk).ok()?,
    })
}
