//! An OpenID Connect issuer on this machine: real keys, real HTTP, tokens to order.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use p256::pkcs8::{EncodePrivateKey, LineEnding};
use serde_json::{Value, json};
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
}

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
        *published.discovery.lock().unwrap() =
            json!({"issuer": name, "jwks_uri": format!("{base}/keys")});
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

    /// How often its keys were fetched.
    pub fn fetches(&self) -> usize {
        self.published.fetches.load(Ordering::SeqCst)
    }

    /// Answers nobody any more.
    pub fn stop(&self) {
        self.server.abort();
    }
}

async fn answer(State(published): State<Arc<Published>>, uri: Uri) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    match uri.path() {
        "/keys" => {
            published.fetches.fetch_add(1, Ordering::SeqCst);
            (json, published.keys.lock().unwrap().clone()).into_response()
        }
        "/moved" => (StatusCode::FOUND, [(header::LOCATION, "/keys")]).into_response(),
        path if path.ends_with("/.well-known/openid-configuration") => {
            let document = published.discovery.lock().unwrap().to_string();
            (json, document).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}
