//! API7:2023 Server Side Request Forgery: no value that somebody sends makes the server ask
//! another. The only requests that it makes are to issuers that the operator configured, and those
//! that workflows ask for within their plugins' grants, whose addresses are `effects.rs`'s. A
//! listener waits behind every address that is put in here, and nobody comes. What issuers answer
//! is `api10_unsafe_consumption_of_apis.rs`'s.

use crm_server::auth::{Issuers, parse_issuers};
use crm_tests::app::TestApp;
use crm_tests::client::Client;
use crm_tests::issuer::{SigningKey, TestIssuer};
use jsonwebtoken::Header;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};

/// Counts whoever comes.
struct Trap {
    url: String,
    address: String,
    visits: Arc<AtomicUsize>,
}

impl Trap {
    async fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let visits = Arc::new(AtomicUsize::new(0));
        let counted = visits.clone();
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self {
            url: format!("http://{address}/latest/meta-data"),
            address,
            visits,
        }
    }

    /// That nobody came, and that whoever had come would have been seen.
    async fn assert_untouched(&self) {
        let before = self.visits.load(Ordering::SeqCst);
        assert_eq!(before, 0, "somebody asked {}", self.url);
        let _visit = TcpStream::connect(&self.address).await.unwrap();
        crm_tests::client::wait_until("a visit is seen", async || {
            self.visits.load(Ordering::SeqCst) == 1
        })
        .await;
    }
}

#[tokio::test]
async fn no_value_that_is_sent_is_fetched() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let trap = Trap::set().await;
    let url = trap.url.as_str();
    let fields = json!([
        {"key": "name", "label": url, "type": "text", "searchable": true, "help": url},
        {"key": "site", "label": "Site", "type": "url", "indexed": true},
        {"key": "more", "label": "More", "type": "json"},
        {"key": "text", "label": "Text", "type": "rich_text"},
    ]);
    let module = json!({"slug": "pages", "label": "Pages", "description": url, "fields": fields});
    let mut taken = vec![owner.post("modules", module).await];
    if taken[0].status != 201 {
        // Without the one type that this model may not know.
        let fields: Vec<Value> = fields.as_array().unwrap()[..3].to_vec();
        let module =
            json!({"slug": "pages", "label": "Pages", "description": url, "fields": fields});
        taken = vec![owner.post("modules", module).await];
    }
    let reference = json!({"$ref": url, "$schema": url, "$id": url, "@context": url,
        "href": url, "url": url, "callback_url": url, "image": format!("<img src='{url}'>")});
    let entity = format!("<!DOCTYPE x [<!ENTITY e SYSTEM \"{url}\">]><x>&e;</x>");
    let data = json!({"name": entity, "site": url, "more": reference});
    let page = owner.create("pages", data).await;
    let path = format!("records/pages/{page}");
    let pattern = json!({"key": "by_schema", "label": "S", "type": "text", "$ref": url});
    let step = |config: Value| {
        json!({"slug": "w", "name": url, "module": "pages", "trigger": {"on": "record_updated"},
            "steps": [{"action": "field-set", "config": config}]})
    };
    let requests = [
        ("modules/pages/fields", pattern),
        (
            "workflows",
            step(json!({"set": {"name": format!("'{url}'")}})),
        ),
        ("workflows", step(json!({"url": url, "webhook": url}))),
        ("templates/select", json!({"template_id": url})),
        (
            "views",
            json!({"name": url, "module": "pages", "filter": {"$ref": url}}),
        ),
        ("views", json!({"name": url, "module": "pages"})),
        ("api-keys", json!({"name": "k", "callback": url})),
        (
            "webhooks",
            json!({"url": url, "events": ["record_created"]}),
        ),
        ("plugins", json!({"url": url, "component": url})),
        (
            "members",
            json!({"user_id": url, "roles": ["viewer"], "attributes": {"picture": url}}),
        ),
    ];
    for (path, body) in requests {
        taken.push(owner.post(path, body).await);
    }
    let note = json!({"kind": "note", "title": url, "body": format!("![x]({url})")});
    taken.push(owner.post(&format!("{path}/activities"), note).await);
    taken.push(owner.patch(&path, json!({"data": {"name": url}})).await);
    for path in [
        format!("records/pages?site=eq.{url}"),
        format!("search?q={url}"),
        format!("records/pages/export?site=eq.{url}"),
        format!("templates/{}", url.replace('/', "%2f")),
        format!("/docs?url={url}"),
        format!("/problems/{}", url.replace('/', "%2f")),
        "modules/pages/schema".to_owned(),
    ] {
        taken.push(owner.get(&path).await);
    }
    let file = format!("name,site\n\"=IMPORTXML(\"\"{url}\"\")\",{url}\n");
    let import = owner.upload("pages", file).await.expect(201);
    let done = owner
        .import(import["id"].as_str().unwrap(), json!({}))
        .await;
    assert_eq!(done["progress"]["created"], 1, "{done}");
    for name in [
        "origin",
        "referer",
        "x-forwarded-host",
        "x-forwarded-for",
        "forwarded",
        "x-original-url",
        "x-callback-url",
        "link",
        "traceparent",
    ] {
        let headers = [(name, url)];
        taken.push(owner.call(Method::GET, "bootstrap", &headers, None).await);
    }
    assert!(taken.iter().all(|answer| answer.status.as_u16() < 500));
    let well = taken
        .iter()
        .filter(|answer| answer.status.is_success())
        .count();
    assert!(well >= 12, "most of it is fine, as data: {well}");
    owner.tasks_end().await;
    trap.assert_untouched().await;
}

/// A token may say where its key is to be found; that is not where it is looked for.
#[tokio::test]
async fn no_token_names_where_its_key_is() {
    let app = TestApp::start().await;
    let tenant = app.tenant("T").await;
    let trap = Trap::set().await;
    let (key, strange) = (SigningKey::ec("k"), SigningKey::ec("k"));
    let issuer = TestIssuer::start("/idp", &[&key]).await;
    let settings = json!([{"issuer": issuer.name, "audience": "crm", "algorithms": ["ES256"]}]);
    let issuers = parse_issuers(&settings.to_string()).unwrap();
    let issuers = Issuers::new(Some(app.issuer.clone()))
        .with(issuers)
        .unwrap();
    let client = Client::new(&app.serve(|app| app, issuers).await, None);
    let now = jsonwebtoken::get_current_timestamp();
    let claims = |issuer: &str| {
        json!({"iss": issuer, "aud": "crm", "sub": "u", "tenant": tenant, "exp": now + 600,
            "roles": ["owner"], "jwks_uri": trap.url, "_claim_sources":
            {"src": {"endpoint": trap.url}}, "_claim_names": {"roles": "src"}})
    };
    let url = || Some(trap.url.clone());
    let plain = Header {
        kid: Some("k".to_owned()),
        ..strange.header()
    };
    let own = issuer.name.as_str();
    for (what, header, iss) in [
        (
            "jku",
            Header {
                jku: url(),
                ..plain.clone()
            },
            own,
        ),
        (
            "x5u",
            Header {
                x5u: url(),
                ..plain.clone()
            },
            own,
        ),
        (
            "kid",
            Header {
                kid: url(),
                ..plain.clone()
            },
            own,
        ),
        (
            "kid as a path",
            Header {
                kid: Some("../../keys".to_owned()),
                ..plain.clone()
            },
            own,
        ),
        ("iss", plain.clone(), trap.url.as_str()),
        (
            "iss behind the true one",
            plain.clone(),
            &format!("{own}@{}", trap.address),
        ),
        (
            "iss below the true one",
            plain.clone(),
            &format!("{own}/../../{}", trap.url),
        ),
    ] {
        let token = strange.sign_with(&header, &claims(iss));
        let answer = client.with_token(&token).get("bootstrap").await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.body);
    }
    // The same of a token that is good: none of it is looked at.
    let good = Header {
        jku: url(),
        x5u: url(),
        ..key.header()
    };
    let token = key.sign_with(&good, &claims(own));
    client.with_token(&token).get("bootstrap").await.expect(200);
    assert!(issuer.fetches() <= 2, "{}", issuer.fetches());
    trap.assert_untouched().await;
}
