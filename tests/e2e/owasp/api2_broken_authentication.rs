//! API2:2023 Broken Authentication: who shows no good credential in its one place is nobody; one
//! issuer's word counts for that issuer's people alone; and refusals help nobody to guess. Here
//! credentials are bearer tokens of configured issuers and API keys. Bad tokens one by one are in
//! `auth.rs` and `identity.rs`, the life of keys in `api_keys.rs`, limits for those who guess in
//! `edges.rs`.

use super::quiet;
use crm_server::auth::{Issuers, parse_issuers};
use crm_server::edges::{Edges, Rates};
use crm_tests::client::Client;
use crm_tests::issuer::{SigningKey, TestIssuer};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_credential_counts_in_its_one_place() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    let key = owner
        .post("api-keys", json!({"name": "k"}))
        .await
        .expect(201);
    let key = key["key"].as_str().unwrap();
    let anonymous = app.anonymous();
    anonymous.with_token(key).get("bootstrap").await.expect(200);
    for good in [key, owner.token().unwrap()] {
        let mut let_in = Vec::new();
        for name in [
            "access_token",
            "token",
            "api_key",
            "apikey",
            "key",
            "authorization",
        ] {
            // Addresses are logged and passed on; secrets do not belong there.
            let path = format!("bootstrap?{name}={good}");
            if anonymous.get(&path).await.status != 401 {
                let_in.push(format!("?{name}="));
            }
            let cookie = format!("{name}={good}");
            let cookie = [("cookie", cookie.as_str())];
            let answer = anonymous
                .call(Method::GET, "bootstrap", &cookie, None)
                .await;
            if answer.status != 401 {
                let_in.push(format!("cookie {name}"));
            }
        }
        let basic = crate::auth::base64url(&format!("crm:{good}"));
        for (name, value) in [
            ("x-api-key", good.to_owned()),
            ("x-auth-token", good.to_owned()),
            ("x-access-token", good.to_owned()),
            ("x-forwarded-user", "owner-1".to_owned()),
            ("x-user-id", "owner-1".to_owned()),
            ("proxy-authorization", format!("Bearer {good}")),
            ("authorization", good.to_owned()),
            ("authorization", format!("ApiKey {good}")),
            ("authorization", format!("Token {good}")),
            ("authorization", format!("Bearer, {good}")),
            ("authorization", format!("Bearer {good}, Bearer {good}")),
            ("authorization", format!("Bearer \"{good}\"")),
            ("authorization", format!("Basic {basic}")),
        ] {
            let headers = [(name, value.as_str())];
            let answer = anonymous
                .call(Method::GET, "bootstrap", &headers, None)
                .await;
            if answer.status != 401 {
                let_in.push(format!("{name}: {}", value.replace(good, "…")));
            }
        }
        let body = json!({"access_token": good, "data": {"full_name": "x"}});
        let answer = anonymous.post("records/patients", body).await;
        assert_eq!(answer.status, 401);
        assert_eq!(let_in, [""; 0], "let in");
    }
}

async fn trusting(app: &crm_tests::app::TestApp, issuers: &[Value]) -> Client {
    let issuers = parse_issuers(&json!(issuers).to_string()).unwrap();
    let issuers = Issuers::new(None).with(issuers).unwrap();
    Client::new(&app.serve(|app| app, issuers).await, None)
}

#[tokio::test]
async fn an_issuer_speaks_for_its_own_people_alone() {
    let app = quiet().await;
    let (first, _) = app.owner_of("hospital").await;
    let (second, _) = app.owner_of("hospital").await;
    let (key, other) = (SigningKey::ec("same-name"), SigningKey::ec("same-name"));
    let ours = TestIssuer::start("/ours", &[&key]).await;
    let theirs = TestIssuer::start("/theirs", &[&other]).await;
    let settings = |issuer: &TestIssuer, tenant, prefix: &str| {
        json!({"issuer": issuer.name, "audience": "crm", "tenant": tenant,
            "algorithms": ["ES256"], "user_prefix": prefix})
    };
    let both = [
        settings(&ours, first, "ours:"),
        settings(&theirs, second, "theirs:"),
    ];
    let client = trusting(&app, &both).await;
    let now = jsonwebtoken::get_current_timestamp();
    let claims = |issuer: &TestIssuer, tenant| {
        json!({"iss": issuer.name, "aud": "crm", "sub": "ours:u", "tenant": tenant,
            "tid": tenant, "roles": ["owner"], "exp": now + 600})
    };
    let told = async |token: String| client.with_token(&token).get("bootstrap").await;
    told(key.sign(&claims(&ours, first))).await.expect(200);
    // One's key under the other's name, which has a key of the same id.
    assert_eq!(told(other.sign(&claims(&ours, first))).await.status, 401);
    assert_eq!(told(key.sign(&claims(&theirs, second))).await.status, 401);
    // Nor does a token move its bearer into another tenant, or into another's person.
    let moved = told(other.sign(&claims(&theirs, first))).await.expect(200);
    assert_eq!(moved["tenant"]["id"], json!(second));
    assert_eq!(moved["user"]["id"], "theirs:ours:u");
}

#[tokio::test]
async fn refusals_help_nobody_to_guess() {
    let app = quiet().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let made = owner
        .post("api-keys", json!({"name": "k"}))
        .await
        .expect(201);
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    let (_, revoked) = (
        owner.delete(&format!("api-keys/{id}")).await,
        key.to_owned(),
    );
    let simple = tenant.uuid().simple().to_string();
    let never = format!("crm_{}_{simple}", "a".repeat(64));
    let mut answers = Vec::new();
    for guess in [
        revoked,
        never,
        format!("crm_{}_{}", "b".repeat(64), "0".repeat(32)),
    ] {
        let answer = owner.with_token(&guess).get("bootstrap").await;
        assert_eq!(answer.status, 401);
        let headers = format!("{:?}", answer.headers);
        let told = format!("{headers} {}", answer.body);
        assert!(
            !told.contains(&guess[..20]),
            "repeats what it was shown: {told}"
        );
        assert!(!told.contains(&simple), "names the tenant: {told}");
        let mut names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort();
        answers.push((crate::authorisation::comparable(&answer), names));
    }
    answers.dedup();
    assert_eq!(
        answers.len(),
        1,
        "what was once a key is as what never was: {answers:?}"
    );
}

/// Whoever guesses cannot pass for many by saying so.
#[tokio::test]
async fn no_header_hides_who_guesses() {
    let app = quiet().await;
    let rates = Rates {
        address: "1/3".parse().ok(),
        ..Rates::default()
    };
    let edges = Edges {
        rates,
        ..Edges::default()
    };
    let issuers = Issuers::new(Some(app.issuer.clone()));
    let base = app.serve(|app| app.with_edges(edges), issuers).await;
    let guesser = Client::new(&base, None);
    let mut refused = 0;
    for number in 0..20 {
        let address = format!("192.0.2.{number}");
        let forwarded = format!("for={address}");
        let headers = [
            ("x-forwarded-for", address.as_str()),
            ("x-real-ip", address.as_str()),
            ("cf-connecting-ip", address.as_str()),
            ("true-client-ip", address.as_str()),
            ("forwarded", forwarded.as_str()),
        ];
        let guess = guesser.with_token(&format!("guess-{number}"));
        let answer = guess.call(Method::GET, "bootstrap", &headers, None).await;
        refused += u32::from(answer.status == 429);
    }
    assert!(refused >= 10, "{refused} of 20 guesses were refused");
}
