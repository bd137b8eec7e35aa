//! API10:2023 Unsafe Consumption of APIs: what others answer is no more trusted than what clients
//! send. Others are the issuers whose keys the server fetches, and guests, whose answers are
//! proposals. The usual odd issuers are in `identity.rs`; guests that trap, spin, hoard and
//! overreach in `guests.rs`; what imports bring in `imports.rs`.

use super::{PATIENCE, quiet};
use crm_server::auth::{Issuers, parse_issuers};
use crm_tests::app::TestApp;
use crm_tests::client::Client;
use crm_tests::issuer::{SigningKey, TestIssuer};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// How a hostile issuer answers, whatever it is asked.
#[derive(Clone)]
enum Manner {
    /// These bytes, and the end.
    Says(Vec<u8>),
    /// Nothing, ever.
    Hangs,
    /// A good head, then a byte now and then.
    Trickles,
    /// A body without an end.
    Floods,
}

/// An issuer that speaks no HTTP but what it is told to. `iss` of its tokens, and who came.
async fn hostile(manner: Manner) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let name = format!("http://{}", listener.local_addr().unwrap());
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = visits.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let manner = manner.clone();
            tokio::spawn(async move {
                let mut asked = [0; 4_096];
                let _ = stream.read(&mut asked).await;
                let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
                match manner {
                    Manner::Says(bytes) => {
                        let _ = stream.write_all(&bytes).await;
                    }
                    Manner::Hangs => std::future::pending().await,
                    Manner::Trickles => {
                        let _ = stream.write_all(head).await;
                        while stream.write_all(b" ").await.is_ok() {
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                    }
                    Manner::Floods => {
                        let _ = stream.write_all(head).await;
                        while stream.write_all(&[b' '; 65_536]).await.is_ok() {}
                    }
                }
            });
        }
    });
    (name, visits)
}

fn says(head: &str, body: &str) -> Manner {
    let length = body.len();
    let text = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n{body}");
    Manner::Says(text.into_bytes())
}

/// A server that trusts this issuer, found or with keys at `keys`, and one that is as it should be.
async fn trusting(app: &TestApp, issuer: &str, keys: Option<&str>, good: &TestIssuer) -> Client {
    let mut settings = json!({"issuer": issuer, "audience": "crm", "algorithms": ["ES256"]});
    if let Some(keys) = keys {
        settings["jwks_uri"] = json!(keys);
    }
    let good = json!({"issuer": good.name, "audience": "crm", "algorithms": ["ES256"]});
    let issuers = parse_issuers(&json!([settings, good]).to_string()).unwrap();
    let issuers = Issuers::new(None).with(issuers).unwrap();
    Client::new(&app.serve(|app| app, issuers).await, None)
}

fn claims(issuer: &str, tenant: crm_model::TenantId) -> Value {
    let now = jsonwebtoken::get_current_timestamp();
    json!({"iss": issuer, "aud": "crm", "sub": "u", "tenant": tenant, "roles": ["owner"],
        "exp": now + 600})
}

#[tokio::test]
async fn a_hostile_issuer_lets_nobody_in_and_holds_up_nobody_else() {
    let app = quiet().await;
    let tenant = app.tenant("T").await;
    let key = SigningKey::ec("k");
    let good = TestIssuer::start("/good", &[&key]).await;
    let json = "200 OK\r\ncontent-type: application/json";
    let keys = json!({"keys": [key.public()]}).to_string();
    let (elsewhere, arrived) = hostile(says(json, &keys)).await;
    let moved = format!("302 Found\r\nlocation: {elsewhere}/keys");
    let forever = format!("308 Permanent Redirect\r\nlocation: {elsewhere}/keys");
    let heads: String = (0..5_000)
        .map(|number| format!("x-{number}: 1\r\n"))
        .collect();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let wide = json!({"keys": vec![json!({"kty": "EC"}); 1_500]}).to_string();
    let one = says(json, &keys);
    let Manner::Says(cut) = one else {
        unreachable!()
    };
    let lies = "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{\"keys\":[]}";
    let lies = Manner::Says(lies.into());
    let manners = [
        ("nothing", Manner::Says(Vec::new())),
        ("no HTTP", Manner::Says(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec())),
        ("cut short", Manner::Says(cut[..cut.len() - 9].to_vec())),
        ("another length", lies),
        ("redirects", says(&moved, &keys)),
        ("redirects for good", says(&forever, &keys)),
        (
            "an error with keys",
            says("500 Internal Server Error", &keys),
        ),
        ("nothing new", says("304 Not Modified", "")),
        (
            "heads",
            says(&format!("200 OK\r\n{}", heads.trim_end()), &keys),
        ),
        ("depth", says(json, &deep)),
        ("no object", says(json, "\"keys\"")),
        ("keys that are none", says(json, &wide)),
        (
            "bytes",
            Manner::Says(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\xff\xfe\0\0".to_vec()),
        ),
        (
            "packed",
            says(&format!("{json}\r\ncontent-encoding: gzip"), "\u{1f}\u{8b}"),
        ),
        ("a flood", Manner::Floods),
        ("a trickle", Manner::Trickles),
        ("silence", Manner::Hangs),
    ];
    let tried = manners.map(|(what, manner)| {
        let (app, key, good) = (&app, &key, &good);
        async move {
            let (name, visits) = hostile(manner).await;
            let keys = format!("{name}/keys");
            let client = trusting(app, &name, Some(&keys), good).await;
            let token = key.sign(&claims(&name, tenant));
            let hostile = client.with_token(&token);
            let ours = client.with_token(&key.sign(&claims(&good.name, tenant)));
            let began = Instant::now();
            let (bad, good) = tokio::join!(hostile.get("bootstrap"), async {
                let answer = ours.get("bootstrap").await;
                (answer.status, began.elapsed())
            });
            let status = bad.status.as_u16();
            assert!([401, 503].contains(&status), "{what}: {}", bad.body);
            assert!(began.elapsed() < PATIENCE, "{what}: {:?}", began.elapsed());
            assert_eq!(good.0, 200, "{what}: the other issuer's");
            assert!(
                good.1 < Duration::from_secs(4),
                "{what}: held up for {:?}",
                good.1
            );
            let told = bad.body.to_string();
            for inside in [
                name.trim_start_matches("http://"),
                "OpenSSH",
                "reqwest",
                "expected",
            ] {
                assert!(!told.contains(inside), "{what}: {told}");
            }
            // Whoever comes again meanwhile asks it no more.
            hostile.get("bootstrap").await;
            assert!(
                visits.load(Ordering::SeqCst) <= 2,
                "{what}: asked again at once"
            );
        }
    });
    futures::future::join_all(tried).await;
    assert_eq!(arrived.load(Ordering::SeqCst), 0, "a redirect was followed");
}

/// Keys that an issuer publishes count for what they are, not for what they say.
#[tokio::test]
async fn keys_that_an_issuer_should_not_publish_are_no_keys() {
    let app = quiet().await;
    let tenant = app.tenant("T").await;
    let key = SigningKey::ec("k");
    let good = TestIssuer::start("/good", &[&key]).await;
    let secret = b"0123456789abcdef0123456789abcdef";
    let symmetric = json!({"kty": "oct", "kid": "k", "alg": "HS256", "use": "sig",
        "k": crate::auth::base64url(std::str::from_utf8(secret).unwrap())});
    let mut to_encrypt = key.public();
    to_encrypt["use"] = json!("enc");
    let mut of_another_algorithm = key.public();
    of_another_algorithm["alg"] = json!("ES384");
    let mut nowhere = key.public();
    nowhere["x"] = json!("AAAA");
    let issuer = TestIssuer::start("/odd", &[]).await;
    for (what, published) in [
        ("a shared secret", json!([symmetric])),
        ("for encryption", json!([to_encrypt])),
        ("for another algorithm", json!([of_another_algorithm])),
        ("not on the curve", json!([nowhere])),
        ("nothing", json!([])),
        ("no keys", json!([null, 1, "k", [], {}])),
    ] {
        issuer.publish_text(json!({ "keys": published }).to_string());
        let client = trusting(&app, &issuer.name, None, &good).await;
        let claims = claims(&issuer.name, tenant);
        let header = Header {
            kid: Some("k".to_owned()),
            ..Header::new(Algorithm::HS256)
        };
        let shared = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret));
        for token in [key.sign(&claims), shared.unwrap()] {
            let answer = client.with_token(&token).get("bootstrap").await;
            assert_eq!(answer.status, 401, "{what}: {}", answer.body);
        }
    }
}

/// What a good issuer says of a person is that person's to choose, in part.
#[tokio::test]
async fn claims_of_a_good_issuer_are_data() {
    let app = quiet().await;
    let (tenant, _) = app.owner_of("hospital").await;
    let key = SigningKey::ec("k");
    let issuer = TestIssuer::start("/good", &[&key]).await;
    let client = trusting(&app, "http://127.0.0.1:1", None, &issuer).await;
    let long = "n".repeat(100_000);
    for (name, email, roles) in [
        (json!(long), json!(long), json!(["viewer"])),
        (
            json!({"$ne": null}),
            json!(["a", "b"]),
            json!(["viewer", {"owner": true}, 7, null]),
        ),
        (
            json!("<script>alert(1)</script>"),
            json!("a@b\r\nx: y"),
            json!("viewer"),
        ),
        (
            json!("\u{202e}nimda\u{0}"),
            json!(null),
            json!(["viewer", "OWNER", "owner ", "*"]),
        ),
    ] {
        let mut claims = claims(&issuer.name, tenant);
        claims["name"] = name.clone();
        claims["email"] = email;
        claims["roles"] = roles.clone();
        let person = client.with_token(&key.sign(&claims));
        let answer = person.get("bootstrap").await;
        // A head that is too long is refused as such.
        if [400, 431].contains(&answer.status.as_u16()) {
            continue;
        }
        let told = answer.expect(200);
        let shown = told["user"]["name"].as_str().unwrap_or_default();
        assert!(shown.chars().count() <= 200, "{name}");
        assert_eq!(told["user"]["roles"], json!(["viewer"]), "{roles}");
        assert_eq!(person.get("roles").await.status, 403, "{roles}");
    }
}

/// What a guest answers is written as it stands, by the one door, or not at all.
#[tokio::test]
async fn a_guests_answer_is_data() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    let names = [
        "'; drop table crm_records; --",
        "<script>alert(1)</script>",
        "{{constructor}} ${7*7} %s%n",
        "\u{202e}\u{feff}",
        "\u{1b}[31mred\r\nx: y",
    ];
    for name in names {
        let data = json!({"name": name, "mode": "tell"});
        let created = owner.post("records/victims", json!({ "data": data })).await;
        if created.status == 422 {
            continue;
        }
        let record = created.expect(201)["id"].as_str().unwrap().to_owned();
        owner.run("tell", &record, &["done"]).await;
        let path = format!("records/victims/{record}");
        let told = owner.get(&path).await.expect(200);
        let note: Value = serde_json::from_str(told["data"]["note"].as_str().unwrap()).unwrap();
        assert_eq!(note["name"], name);
        assert_eq!(told["version"], 2, "{told}");
    }
    let all = owner.get("records/victims?include=total").await.expect(200);
    assert!(all["total"]["value"].as_u64().unwrap() >= 3, "{all}");
}
