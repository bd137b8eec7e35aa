//! Who gets in, and who does not.

use crm_tests::app::{DEV_KEY, TestApp};
use crm_tests::client::Client;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

fn claims(tenant: crm_model::TenantId) -> Value {
    let now = jsonwebtoken::get_current_timestamp();
    json!({
        "iss": "crm-dev", "aud": "crm", "sub": "u", "tenant": tenant, "roles": ["owner"],
        "iat": now, "exp": now + 600,
    })
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn signed(claims: &Value, algorithm: Algorithm, key: &[u8]) -> String {
    let key = EncodingKey::from_secret(key);
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
}

/// Base64url without padding, for a token that no library would make.
pub(crate) fn base64url(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bytes = [
            chunk[0],
            *chunk.get(1).unwrap_or(&0),
            *chunk.get(2).unwrap_or(&0),
        ];
        let bits = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
        for place in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * place)) & 63;
            encoded.push(ALPHABET[index as usize] as char);
        }
    }
    encoded
}

#[tokio::test]
async fn only_a_good_token_gets_in() {
    let app = TestApp::start().await;
    let tenant = app.tenant("T").await;
    let good = claims(tenant);
    let now = jsonwebtoken::get_current_timestamp();
    let none = {
        let header = base64url(r#"{"alg":"none","typ":"JWT"}"#);
        format!("{header}.{}.", base64url(&good.to_string()))
    };
    let hs256 = |claims: &Value| signed(claims, Algorithm::HS256, DEV_KEY);
    let mut without_expiry = good.clone();
    without_expiry.as_object_mut().unwrap().remove("exp");
    let mut tampered = hs256(&good);
    tampered.insert(tampered.find('.').unwrap() + 3, 'A');
    let bad = [
        (
            "expired",
            hs256(&with(good.clone(), "exp", json!(now - 60))),
        ),
        (
            "mistyped expiry",
            hs256(&with(good.clone(), "exp", json!("tomorrow"))),
        ),
        ("no expiry", hs256(&without_expiry)),
        (
            "not yet valid",
            hs256(&with(good.clone(), "nbf", json!(now + 600))),
        ),
        (
            "wrong issuer",
            hs256(&with(good.clone(), "iss", json!("https://elsewhere"))),
        ),
        (
            "wrong audience",
            hs256(&with(good.clone(), "aud", json!("another-api"))),
        ),
        (
            "no tenant",
            hs256(&with(good.clone(), "tenant", Value::Null)),
        ),
        (
            "malformed tenant",
            hs256(&with(good.clone(), "tenant", json!("x' or true"))),
        ),
        ("wrong key", signed(&good, Algorithm::HS256, b"another key")),
        (
            "another algorithm",
            signed(&good, Algorithm::HS512, DEV_KEY),
        ),
        ("alg: none", none),
        ("tampered", tampered),
        ("nonsense", "nonsense".to_owned()),
        ("empty", String::new()),
    ];
    let anonymous = app.anonymous();
    anonymous
        .with_token(&hs256(&good))
        .get("bootstrap")
        .await
        .expect(200);
    for (what, token) in bad {
        let answer = anonymous.with_token(&token).get("bootstrap").await;
        assert_eq!(answer.status, 401, "{what}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{what}");
        assert_eq!(answer.body["type"], "/problems/unauthorized", "{what}");
    }
    let without: Client = app.anonymous();
    assert_eq!(without.get("bootstrap").await.status, 401);
    let basic = without.call(
        reqwest::Method::GET,
        "bootstrap",
        &[("authorization", "Basic x")],
        None,
    );
    assert_eq!(basic.await.status, 401);
}

#[tokio::test]
async fn without_an_issuer_no_token_counts() {
    use crm_server::auth::Issuers;
    let app = TestApp::start().await;
    let tenant = app.tenant("T").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let closed = crm_server::App::new(app.engine.clone(), Issuers::new(None));
    tokio::spawn(crm_server::serve(listener, closed, Default::default()));
    let client = Client::new(&base, Some(app.token(tenant, "owner")));
    assert_eq!(client.get("bootstrap").await.status, 401);
}
