//! Tokens of OpenID Connect issuers: the good ones of the usual makes get in, bad ones do not,
//! and an issuer that is away or changes its keys locks nobody out.

use crate::auth::base64url;
use crm_model::TenantId;
use crm_server::auth::{Issuers, parse_issuers};
use crm_tests::app::TestApp;
use crm_tests::client::Client;
use crm_tests::issuer::{SigningKey, TestIssuer};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Arc, Mutex};

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

/// Settings of one issuer, with what is special about it.
fn settings(issuer: &TestIssuer, more: Value) -> Value {
    let mut settings = json!({"issuer": issuer.name, "audience": "crm"});
    let members = settings.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    settings
}

/// Somebody without a token, at a server that trusts these issuers.
async fn trusting(app: &TestApp, issuers: &[Value]) -> Client {
    let issuers = parse_issuers(&json!(issuers).to_string()).unwrap();
    let issuers = Issuers::new(None).with(issuers).unwrap();
    Client::new(&app.serve(|app| app, issuers).await, None)
}

fn claims(issuer: &TestIssuer, tenant: TenantId) -> Value {
    json!({
        "iss": issuer.name, "aud": "crm", "sub": "u-1", "tenant": tenant, "roles": ["owner"],
        "iat": now(), "exp": now() + 600,
    })
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

async fn status(client: &Client, token: &str) -> u16 {
    let answer = client.with_token(token).get("bootstrap").await;
    answer.status.as_u16()
}

#[tokio::test]
async fn the_usual_issuers_get_in() {
    let app = TestApp::start().await;
    let (tenant, _) = app.owner_of("hospital").await;
    let rsa = SigningKey::rsa("rsa-1", 0, Algorithm::RS256);
    let ec = SigningKey::ec("ec-1");
    let ed = SigningKey::ed("ed-1");

    // Firebase: a custom claim for the tenant, one issuer for each project.
    let firebase = TestIssuer::start("/my-project", &[&rsa]).await;
    let firebase_settings = settings(
        &firebase,
        json!({"audience": "my-project", "claims": {"user": "user_id", "tenant": "tenant_id", "roles": "role"}}),
    );
    let firebase_token = rsa.sign(&json!({
        "iss": firebase.name, "aud": "my-project", "auth_time": now(), "user_id": "fb-1",
        "sub": "fb-1", "iat": now(), "exp": now() + 3600, "email": "ada@example.com",
        "email_verified": true, "firebase": {"identities": {}, "sign_in_provider": "password"},
        "name": "Ada", "tenant_id": tenant, "role": "owner",
    }));

    // Keycloak: roles in realm_access, beside its own.
    let keycloak = TestIssuer::start("/realms/crm", &[&rsa, &ec]).await;
    let keycloak_settings = settings(
        &keycloak,
        json!({"algorithms": ["RS256", "ES256"], "user_prefix": "keycloak:",
            "claims": {"tenant": "organization.id", "roles": "realm_access.roles"},
            "roles": {"CRM Owner": "owner"}}),
    );
    let keycloak_token = ec.sign(&json!({
        "iss": keycloak.name, "aud": ["account", "crm"], "sub": "kc-1", "typ": "Bearer",
        "azp": "crm-console", "iat": now(), "exp": now() + 300, "organization": {"id": tenant},
        "realm_access": {"roles": ["offline_access", "uma_authorization", "CRM Owner"]},
        "preferred_username": "ada", "name": "Ada", "email": "ada@example.com",
    }));

    // Auth0: claims with URLs for names; the issuer ends with a slash.
    let auth0 = TestIssuer::start("/", &[&rsa]).await;
    let auth0_settings = settings(
        &auth0,
        json!({"audience": ["https://crm.example.com/api"],
            "claims": {"tenant": "https://crm.example.com/tenant", "roles": "https://crm.example.com/roles"}}),
    );
    let auth0_token = rsa.sign(&json!({
        "iss": auth0.name, "aud": ["https://crm.example.com/api", "https://t.auth0.com/userinfo"],
        "sub": "auth0|1", "iat": now(), "exp": now() + 86_400, "scope": "openid profile",
        "https://crm.example.com/tenant": tenant, "https://crm.example.com/roles": ["owner"],
    }));

    // Entra: `tid` is not our id of the tenant, roles are app roles, the user is `oid`.
    let entra = TestIssuer::start("/72f988bf/v2.0", &[&rsa]).await;
    let entra_settings = settings(
        &entra,
        json!({"audience": "api://crm", "claims": {"user": "oid", "tenant": "tid"},
            "tenants": {"72f988bf-86f1-41af-91ab-2d7cd011db47": tenant},
            "roles": {"Crm.Owner": "owner"}}),
    );
    let entra_token = rsa.sign(&json!({
        "iss": entra.name, "aud": "api://crm", "oid": "entra-1", "sub": "pairwise", "ver": "2.0",
        "tid": "72f988bf-86f1-41af-91ab-2d7cd011db47", "roles": ["Crm.Owner"], "nbf": now(),
        "iat": now(), "exp": now() + 3600, "name": "Ada", "preferred_username": "ada@example.com",
    }));

    // One tenant's own, with Ed25519 and keys that are not discovered.
    let single = TestIssuer::start("/own", &[&ed]).await;
    single.discovery(Value::Null);
    let keys = format!("{}/keys", single.name.trim_end_matches("/own"));
    let single_settings = settings(
        &single,
        json!({"tenant": tenant, "algorithms": ["EdDSA"], "jwks_uri": keys}),
    );
    let single_token = ed.sign(&json!({
        "iss": single.name, "aud": "crm", "sub": "own-1", "exp": now() + 60, "roles": "owner",
    }));

    let client = trusting(
        &app,
        &[
            firebase_settings,
            keycloak_settings,
            auth0_settings,
            entra_settings,
            single_settings,
        ],
    )
    .await;
    for (make, token, user, name) in [
        ("Firebase", firebase_token, "fb-1", Some("Ada")),
        ("Keycloak", keycloak_token, "keycloak:kc-1", Some("Ada")),
        ("Auth0", auth0_token, "auth0|1", None),
        ("Entra", entra_token, "entra-1", Some("Ada")),
        ("its own", single_token, "own-1", None),
    ] {
        let answer = client.with_token(&token).get("bootstrap").await;
        assert_eq!(answer.status, 200, "{make}: {}", answer.body);
        assert_eq!(answer.body["tenant"]["id"], json!(tenant), "{make}");
        assert_eq!(answer.body["user"]["id"], user, "{make}");
        assert_eq!(answer.body["user"]["roles"], json!(["owner"]), "{make}");
        assert_eq!(answer.body["user"]["name"].as_str(), name, "{make}");
    }
}

/// Tokens of which none may get in.
fn bad_tokens(issuer: &TestIssuer, tenant: TenantId, keys: &Keys) -> Vec<(&'static str, String)> {
    let Keys {
        rsa,
        ec,
        strange,
        weak,
    } = keys;
    let good = claims(issuer, tenant);
    let signed = |claims: &Value| rsa.sign(claims);
    let part = |token: &str, number: usize| token.split('.').nth(number).unwrap().to_owned();
    let unsigned = |header: Value, claims: &Value, signature: &str| {
        let (header, claims) = (
            base64url(&header.to_string()),
            base64url(&claims.to_string()),
        );
        format!("{header}.{claims}.{signature}")
    };
    let valid = signed(&good);
    let other = signed(&with(&good, "sub", json!("u-2")));
    let hmac = |secret: &[u8], algorithm| {
        let header = Header {
            kid: Some(rsa.id.clone()),
            ..Header::new(algorithm)
        };
        jsonwebtoken::encode(&header, &good, &EncodingKey::from_secret(secret)).unwrap()
    };
    let public = rsa.public();
    let headed = |change: &dyn Fn(&mut Header)| {
        let mut header = rsa.header();
        change(&mut header);
        rsa.sign_with(&header, &good)
    };
    let mut tampered = valid.clone();
    tampered.insert(tampered.find('.').unwrap() + 5, 'A');
    vec![
        ("expired", signed(&with(&good, "exp", json!(now() - 60)))),
        ("expired for long", signed(&with(&good, "exp", json!(0)))),
        ("no expiry", signed(&without(&good, "exp"))),
        (
            "expiry in words",
            signed(&with(&good, "exp", json!("tomorrow"))),
        ),
        ("expiry null", signed(&with(&good, "exp", Value::Null))),
        ("expiry negative", signed(&with(&good, "exp", json!(-1)))),
        (
            "not valid yet",
            signed(&with(&good, "nbf", json!(now() + 600))),
        ),
        (
            "another issuer",
            signed(&with(&good, "iss", json!("https://elsewhere"))),
        ),
        (
            "issuer with a slash more",
            signed(&with(&good, "iss", json!(format!("{}/", issuer.name)))),
        ),
        ("no issuer", signed(&without(&good, "iss"))),
        (
            "a list of issuers",
            signed(&with(&good, "iss", json!([issuer.name]))),
        ),
        (
            "the development issuer",
            signed(&with(&good, "iss", json!("crm-dev"))),
        ),
        (
            "another audience",
            signed(&with(&good, "aud", json!("another-api"))),
        ),
        (
            "other audiences",
            signed(&with(&good, "aud", json!(["a", "b"]))),
        ),
        ("no audience", signed(&without(&good, "aud"))),
        (
            "an empty list of audiences",
            signed(&with(&good, "aud", json!([]))),
        ),
        (
            "audience as an object",
            signed(&with(&good, "aud", json!({"crm": true}))),
        ),
        ("no user", signed(&without(&good, "sub"))),
        ("an empty user", signed(&with(&good, "sub", json!("")))),
        ("user as a number", signed(&with(&good, "sub", json!(7)))),
        (
            "user with a control character",
            signed(&with(&good, "sub", json!("u\n1"))),
        ),
        (
            "user too long",
            signed(&with(&good, "sub", json!("u".repeat(1_000)))),
        ),
        ("no tenant", signed(&without(&good, "tenant"))),
        ("tenant null", signed(&with(&good, "tenant", Value::Null))),
        (
            "tenant no id",
            signed(&with(&good, "tenant", json!("x' or true"))),
        ),
        (
            "a list of tenants",
            signed(&with(&good, "tenant", json!([tenant]))),
        ),
        (
            "tenant elsewhere",
            signed(&with(&without(&good, "tenant"), "tid", json!(tenant))),
        ),
        ("alg none", unsigned(json!({"alg": "none"}), &good, "")),
        (
            "alg None",
            unsigned(json!({"alg": "None", "kid": rsa.id}), &good, "AAAA"),
        ),
        (
            "no alg",
            unsigned(json!({"kid": rsa.id}), &good, &part(&valid, 2)),
        ),
        (
            "HMAC with the modulus",
            hmac(public["n"].as_str().unwrap().as_bytes(), Algorithm::HS256),
        ),
        (
            "HMAC with the public key",
            hmac(public.to_string().as_bytes(), Algorithm::HS512),
        ),
        ("HMAC with nothing", hmac(b"", Algorithm::HS256)),
        (
            "an algorithm that is not pinned",
            headed(&|header| header.alg = Algorithm::RS512),
        ),
        ("a key for another algorithm", ec.named(&rsa.id).sign(&good)),
        ("an unpinned kind of key", ec.sign(&good)),
        (
            "a strange key under a known name",
            strange.named(&rsa.id).sign(&good),
        ),
        ("a strange key under its own name", strange.sign(&good)),
        ("a strange key without a name", {
            strange.sign_with(
                &Header {
                    kid: None,
                    ..strange.header()
                },
                &good,
            )
        }),
        ("a strange key that it brings along", {
            let jwk = serde_json::from_value(strange.public()).unwrap();
            strange.sign_with(
                &Header {
                    jwk: Some(jwk),
                    ..strange.header()
                },
                &good,
            )
        }),
        ("a key that is too weak", weak.sign(&good)),
        (
            "a critical extension",
            headed(&|header| header.crit = Some(vec!["b64".to_owned()])),
        ),
        (
            "a logout token",
            headed(&|header| header.typ = Some("logout+jwt".to_owned())),
        ),
        ("tampered claims", tampered),
        ("another token's claims", {
            format!(
                "{}.{}.{}",
                part(&valid, 0),
                part(&other, 1),
                part(&valid, 2)
            )
        }),
        (
            "no signature",
            format!("{}.{}.", part(&valid, 0), part(&valid, 1)),
        ),
        ("a signature cut short", valid[..valid.len() - 8].to_owned()),
        (
            "two parts",
            format!("{}.{}", part(&valid, 0), part(&valid, 1)),
        ),
        ("four parts", format!("{valid}.{}", part(&valid, 2))),
        (
            "claims that are a list",
            unsigned(json!({"alg": "RS256"}), &json!([good]), "AAAA"),
        ),
        ("nonsense", "nonsense".to_owned()),
        ("empty", String::new()),
    ]
}

struct Keys {
    rsa: SigningKey,
    ec: SigningKey,
    strange: SigningKey,
    weak: SigningKey,
}

/// What the process logs, all of it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_bad_token_gets_in_and_none_is_logged() {
    let app = TestApp::start().await;
    let log = Log::default();
    let writer = log.clone();
    // Of this thread, on which the server's tasks run too.
    let _logging = tracing::subscriber::set_default(
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish(),
    );
    tracing::callsite::rebuild_interest_cache();
    let tenant = app.tenant("T").await;
    let keys = Keys {
        rsa: SigningKey::rsa("rsa-1", 0, Algorithm::RS256),
        ec: SigningKey::ec("ec-1"),
        strange: SigningKey::rsa("strange", 1, Algorithm::RS256),
        weak: SigningKey::weak_rsa("weak"),
    };
    let published = [&keys.rsa, &keys.ec, &keys.weak];
    let issuer = TestIssuer::start("/crm", &published).await;
    let client = trusting(&app, &[settings(&issuer, json!({}))]).await;

    let good = keys.rsa.sign(&claims(&issuer, tenant));
    assert_eq!(status(&client, &good).await, 200);
    let bad = bad_tokens(&issuer, tenant, &keys);
    assert!(bad.len() >= 30);
    let mut let_in = Vec::new();
    for (what, token) in &bad {
        let answer = client.with_token(token).get("bootstrap").await;
        if answer.status != 401 {
            let_in.push((*what, answer.status.as_u16()));
            continue;
        }
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{what}");
        assert_eq!(answer.body["type"], "/problems/unauthorized", "{what}");
    }
    assert_eq!(let_in, [], "let in");
    let known = client.with_token(&good);
    let doubled = known.call(
        reqwest::Method::GET,
        "bootstrap",
        &[("authorization", "Bearer another")],
        None,
    );
    assert_eq!(doubled.await.status, 401, "two headers");

    let said = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(said.contains("request"), "the log is listened to");
    for (what, token) in bad.iter().chain([&("good", good)]) {
        for part in token.split('.').skip(1).filter(|part| part.len() > 20) {
            assert!(!said.contains(part), "{what} is in the log");
        }
    }
}

#[tokio::test]
async fn keys_may_change_and_strange_names_are_asked_for_once() {
    let app = TestApp::start().await;
    let tenant = app.tenant("T").await;
    let (first, second) = (SigningKey::ec("k-1"), SigningKey::ec("k-2"));
    let issuer = TestIssuer::start("/crm", &[&first]).await;
    let client = trusting(&app, &[settings(&issuer, json!({"algorithms": ["ES256"]}))]).await;
    let claims = claims(&issuer, tenant);

    assert_eq!(issuer.fetches(), 0, "not before somebody comes");
    let many = (0..8).map(|_| {
        let (client, token) = (client.clone(), first.sign(&claims));
        async move { status(&client, &token).await }
    });
    assert_eq!(futures::future::join_all(many).await, [200; 8]);
    assert_eq!(issuer.fetches(), 1, "one fetches, the others wait");

    // The issuer has a new key, and keeps the old one for a while.
    issuer.publish(&[&first, &second]);
    assert_eq!(status(&client, &second.sign(&claims)).await, 200);
    assert_eq!(status(&client, &first.sign(&claims)).await, 200);
    assert_eq!(issuer.fetches(), 2);

    // Made-up names reach the issuer no more.
    for number in 0..20 {
        let strange = SigningKey::ec(&format!("made-up-{number}"));
        assert_eq!(status(&client, &strange.sign(&claims)).await, 401);
    }
    assert_eq!(issuer.fetches(), 2);

    // What is known does without the issuer.
    issuer.stop();
    assert_eq!(status(&client, &second.sign(&claims)).await, 200);
    assert_eq!(issuer.fetches(), 2);
}

/// Takes an issuer and its base URL.
type MakeOdd<'a> = dyn Fn(&TestIssuer, &str) + 'a;

#[tokio::test]
async fn an_issuer_that_is_away_or_odd_lets_nobody_in() {
    let app = TestApp::start().await;
    let tenant = app.tenant("T").await;
    let key = SigningKey::ec("k-1");
    let oversized = {
        let mut keys = json!({"keys": [key.public()]});
        keys["padding"] = json!("x".repeat(300 << 10));
        keys.to_string()
    };
    let odd: [(&str, &MakeOdd); 6] = [
        ("away", &|issuer, _| issuer.stop()),
        ("keys elsewhere", &|issuer, base| {
            issuer.discovery(json!({"issuer": issuer.name, "jwks_uri": format!("{base}/moved")}));
        }),
        ("keys without TLS", &|issuer, _| {
            issuer.discovery(json!({"issuer": issuer.name, "jwks_uri": "http://192.0.2.1/keys"}));
        }),
        ("speaks for another", &|issuer, base| {
            issuer.discovery(json!({"issuer": "https://x", "jwks_uri": format!("{base}/keys")}));
        }),
        ("endless", &|issuer, _| {
            issuer.publish_text(oversized.clone())
        }),
        ("no JSON", &|issuer, _| {
            issuer.publish_text("<html>".to_owned())
        }),
    ];
    let mut wrong = Vec::new();
    for (what, make_odd) in odd {
        let issuer = TestIssuer::start("/crm", &[&key]).await;
        make_odd(&issuer, issuer.name.trim_end_matches("/crm"));
        let client = trusting(&app, &[settings(&issuer, json!({"algorithms": ["ES256"]}))]).await;
        let token = key.sign(&claims(&issuer, tenant));
        for _ in 0..5 {
            let answer = client.with_token(&token).get("bootstrap").await;
            if answer.status != 503 || answer.header("retry-after").is_none() {
                wrong.push((what, answer.status.as_u16()));
                break;
            }
        }
        assert!(issuer.fetches() <= 1, "{what}: asked once");
    }
    assert_eq!(wrong, []);
}
