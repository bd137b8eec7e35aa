//! An OpenID Connect issuer on this machine: real keys, real HTTP, tokens to order.

use axum::extract::{FromRequest, Query, Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Form, Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use p256::pkcs8::{EncodePrivateKey, LineEnding};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A key with a name.
#[derive(Clone)]
pub struct SigningKey {
    pub id: String,
    pub algorithm: Algorithm,
    key: EncodingKey,
}

impl SigningKey {
    /// RSA with 2,048 bits. Making one takes a while, so a process makes two in all: the tests
    /// take turns with them.
    pub fn rsa(id: &str, which: usize, algorithm: Algorithm) -> Self {
        static KEYS: [OnceLock<EncodingKey>; 2] = [OnceLock::new(), OnceLock::new()];
        let key = KEYS[which].get_or_init(|| rsa_key(2_048));
        Self {
            id: id.to_owned(),
            algorithm,
            key: key.clone(),
        }
    }

    /// RSA with as few bits as nobody should use.
    pub fn weak_rsa(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            algorithm: Algorithm::RS256,
            key: rsa_key(1_024),
        }
    }

    /// P-256, fresh.
    pub fn ec(id: &str) -> Self {
        let key = p256::SecretKey::random(&mut rsa::rand_core::OsRng);
        let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap();
        Self {
            id: id.to_owned(),
            algorithm: Algorithm::ES256,
            key: EncodingKey::from_ec_pem(pem.as_bytes()).unwrap(),
        }
    }

    /// Ed25519, fresh.
    pub fn ed(id: &str) -> Self {
        // What stands before the 32 random bytes of such a key in PKCS #8 (RFC 8410).
        let mut der = vec![
            0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22,
            0x04, 0x20,
        ];
        der.extend(p256::SecretKey::random(&mut rsa::rand_core::OsRng).to_bytes());
        Self {
            id: id.to_owned(),
            algorithm: Algorithm::EdDSA,
            key: EncodingKey::from_ed_der(&der),
        }
    }

    /// The same key under another name.
    pub fn named(&self, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            ..self.clone()
        }
    }

    /// The public half, as an issuer publishes it.
    pub fn public(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }

    /// The header that goes with it.
    pub fn header(&self) -> Header {
        Header {
            kid: Some(self.id.clone()),
            ..Header::new(self.algorithm)
        }
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }

    /// A token with this header.
    pub fn sign_with(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.key).unwrap()
    }
}

fn rsa_key(bits: usize) -> EncodingKey {
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits).unwrap();
    let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap();
    EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()
}

#[derive(Default)]
struct Published {
    discovery: Mutex<Value>,
    keys: Mutex<String>,
    fetches: AtomicUsize,
    logins: Mutex<Option<Logins>>,
    codes: Mutex<HashMap<String, Code>>,
}

/// How people log in with a browser.
#[derive(Clone)]
struct Logins {
    key: SigningKey,
    claims: Value,
}

/// A login that is to be exchanged for a token, once.
struct Code {
    challenge: String,
    redirect_uri: String,
    nonce: String,
}

/// What the tests' server is at this issuer.
pub const CLIENT_ID: &str = "crm-console";
pub const CLIENT_SECRET: &str = "a client's secret: 100%";

/// The issuer's server; gone when it is dropped.
pub struct TestIssuer {
    /// `iss`.
    pub name: String,
    published: Arc<Published>,
    server: JoinHandle<()>,
}

impl Drop for TestIssuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl TestIssuer {
    /// An issuer at this path with these keys.
    pub async fn start(path: &str, keys: &[&SigningKey]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let name = format!("{base}{path}");
        let published = Arc::new(Published::default());
        *published.discovery.lock().unwrap() = json!({"issuer": name, "jwks_uri": format!("{base}/keys"),
                "authorization_endpoint": format!("{base}/authorize"),
                "token_endpoint": format!("{base}/token")});
        let router = Router::new().fallback(answer).with_state(published.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        let issuer = Self {
            name,
            published,
            server,
        };
        issuer.publish(keys);
        issuer
    }

    /// Publishes these keys from now on.
    pub fn publish(&self, keys: &[&SigningKey]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.public()).collect();
        self.publish_text(json!({ "keys": keys }).to_string());
    }

    /// Publishes this from now on, whatever it is.
    pub fn publish_text(&self, text: String) {
        *self.published.keys.lock().unwrap() = text;
    }

    /// Says this of itself from now on.
    pub fn discovery(&self, document: Value) {
        *self.published.discovery.lock().unwrap() = document;
    }

    /// Whoever comes with a browser is this person from now on: `iss`, `aud`, `nonce` and times are
    /// added where the claims do not say others.
    pub fn logs_in(&self, key: &SigningKey, claims: Value) {
        let key = key.clone();
        *self.published.logins.lock().unwrap() = Some(Logins { key, claims });
    }

    /// How often its keys were fetched.
    pub fn fetches(&self) -> usize {
        self.published.fetches.load(Ordering::SeqCst)
    }

    /// Answers nobody any more.
    pub fn stop(&self) {
        self.server.abort();
    }
}

async fn answer(State(published): State<Arc<Published>>, request: Request) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    match request.uri().path() {
        "/keys" => {
            published.fetches.fetch_add(1, Ordering::SeqCst);
            (json, published.keys.lock().unwrap().clone()).into_response()
        }
        "/moved" => (StatusCode::FOUND, [(header::LOCATION, "/keys")]).into_response(),
        "/authorize" => authorize(&published, request.uri()).await,
        "/token" => token(&published, request).await,
        path if path.ends_with("/.well-known/openid-configuration") => {
            let document = published.discovery.lock().unwrap().to_string();
            (json, document).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Logs in whoever comes, and sends the browser back; what a client has to send has to be there.
async fn authorize(published: &Published, uri: &Uri) -> Response {
    let Query(asked): Query<HashMap<String, String>> = Query::try_from_uri(uri).unwrap();
    let is = |name: &str, value: &str| asked.get(name).is_some_and(|it| it == value);
    let scopes = asked.get("scope").map_or("", String::as_str);
    let known = is("response_type", "code")
        && is("client_id", CLIENT_ID)
        && is("code_challenge_method", "S256")
        && scopes.split(' ').any(|scope| scope == "openid");
    if !known {
        return (StatusCode::BAD_REQUEST, format!("{asked:?}")).into_response();
    }
    let code = uuid::Uuid::new_v4().to_string();
    let redirect_uri = asked["redirect_uri"].clone();
    let mut back: reqwest::Url = redirect_uri.parse().unwrap();
    let issuer = published.discovery.lock().unwrap()["issuer"].clone();
    back.query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", &asked["state"])
        .append_pair("iss", issuer.as_str().unwrap())
        .append_pair("session_state", "of no concern");
    let login = Code {
        challenge: asked["code_challenge"].clone(),
        nonce: asked["nonce"].clone(),
        redirect_uri,
    };
    published.codes.lock().unwrap().insert(code, login);
    Redirect::to(back.as_str()).into_response()
}

/// A token for a code: to the client itself, for the login that it began, once.
async fn token(published: &Published, request: Request) -> Response {
    // RFC 6749, section 2.3.1: both are encoded as in a form before they are joined.
    let encoded = |text: &str| {
        let mut url: reqwest::Url = "http://x/".parse().unwrap();
        url.query_pairs_mut().append_key_only(text);
        url.query().unwrap().to_owned()
    };
    let client = format!("{}:{}", encoded(CLIENT_ID), encoded(CLIENT_SECRET));
    let basic = format!("Basic {}", STANDARD.encode(client));
    let authorized = request.headers().get(header::AUTHORIZATION);
    let authorized = authorized.is_some_and(|it| it.to_str().unwrap() == basic);
    let Form(asked): Form<HashMap<String, String>> =
        Form::from_request(request, &()).await.unwrap();
    let refuse = |error: &str| {
        let error = Json(json!({ "error": error }));
        (StatusCode::BAD_REQUEST, error).into_response()
    };
    if !authorized {
        return refuse("invalid_client");
    }
    let Some(code) = published.codes.lock().unwrap().remove(&asked["code"]) else {
        return refuse("invalid_grant");
    };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&asked["code_verifier"]));
    if challenge != code.challenge || asked["redirect_uri"] != code.redirect_uri {
        return refuse("invalid_grant");
    }
    let Logins { key, claims } = published.logins.lock().unwrap().clone().unwrap();
    let now = jsonwebtoken::get_current_timestamp();
    let issuer = published.discovery.lock().unwrap()["issuer"].clone();
    let mut all = json!({
        "iss": issuer, "aud": CLIENT_ID, "nonce": code.nonce, "iat": now, "exp": now + 300,
    });
    let given = claims.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(given);
    Json(json!({
        "access_token": "of no concern", "token_type": "Bearer", "id_token": key.sign(&all),
    }))
    .into_response()
}
