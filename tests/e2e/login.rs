//! Logging in with a browser: a real issuer over HTTP, and everything that must not get somebody
//! in, or let another page act for them.

use crm_engine::secret::TenantSecret;
use crm_model::TenantId;
use crm_server::App;
use crm_server::auth::{BrowserSettings, Issuers, parse_issuers};
use crm_store::admin::Admin;
use crm_tests::app::{TestApp, browsers};
use crm_tests::browser::{Browser, PASSWORD};
use crm_tests::client::Answer;
use crm_tests::issuer::{CLIENT_ID, CLIENT_SECRET, SigningKey, TestIssuer};
use jsonwebtoken::Algorithm;
use reqwest::header::SET_COOKIE;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

pub(crate) const SESSION: &str = "crm_session";
const LOGIN: &str = "crm_login";

fn key() -> SigningKey {
    SigningKey::rsa("rsa-1", 0, Algorithm::RS256)
}

/// An issuer where Ada logs in, who owns this tenant.
async fn issuer_of(tenant: TenantId) -> TestIssuer {
    let issuer = TestIssuer::start("/realms/crm", &[&key()]).await;
    issuer.logs_in(&key(), ada(tenant));
    issuer
}

fn ada(tenant: TenantId) -> Value {
    json!({
        "sub": "ada", "name": "Ada", "email": "ada@example.com", "tenant": tenant,
        "realm_access": {"roles": ["offline_access", "CRM Owner"]},
    })
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

fn settings(issuer: &TestIssuer) -> Value {
    json!({
        "issuer": issuer.name, "audience": "crm", "user_prefix": "kc:",
        "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "label": "Company <login>",
        "claims": {"roles": "realm_access.roles"}, "roles": {"CRM Owner": "owner"},
    })
}

/// A server where people log in at these issuers, and nowhere else.
async fn serve(app: &TestApp, issuers: &[Value]) -> String {
    let settings = BrowserSettings {
        local: None,
        ..browsers()
    };
    serve_with(app, issuers, settings).await
}

async fn serve_with(app: &TestApp, issuers: &[Value], settings: BrowserSettings) -> String {
    let issuers = parse_issuers(&json!(issuers).to_string()).unwrap();
    let issuers = Issuers::new(None).with(issuers).unwrap();
    let with = |app: App| app.with_browsers(settings).unwrap();
    app.serve(with, issuers).await
}

/// A server with one issuer, a tenant with a template, and a browser in front of it.
async fn start() -> (TestApp, TenantId, TestIssuer, Browser) {
    let app = TestApp::start().await;
    let (tenant, _) = app.owner_of("hospital").await;
    let issuer = issuer_of(tenant).await;
    let base = serve(&app, &[settings(&issuer)]).await;
    (app, tenant, issuer, Browser::new(&base))
}

/// From the login to the issuer: the address that the issuer sends the browser back to.
async fn to_issuer(browser: &mut Browser, path: &str) -> String {
    let away = browser.open(path).await.location().to_owned();
    browser.open(&away).await.location().to_owned()
}

/// The whole way; the answer to the callback.
async fn log_in(browser: &mut Browser) -> crm_tests::browser::Shown {
    let back = to_issuer(browser, "/auth/login").await;
    browser.open(&back).await
}

pub(crate) async fn patient(browser: &mut Browser, name: &str) -> Answer {
    let body = json!({"data": {"full_name": name}});
    browser
        .call(Method::POST, "/api/crm/records/patients", Some(body))
        .await
}

#[tokio::test]
async fn somebody_logs_in_at_an_issuer_and_is_who_it_says() {
    let (app, tenant, _issuer, mut browser) = start().await;
    assert_eq!(browser.session().await.status, 401);

    let away = browser.open("/auth/login?return_to=/records%3Fq=a").await;
    let away: Url = away.location().parse().unwrap();
    let asked: std::collections::HashMap<_, _> = away.query_pairs().into_owned().collect();
    assert_eq!(asked["code_challenge_method"], "S256");
    assert_eq!(asked["response_type"], "code");
    assert_eq!(asked["scope"], "openid profile email");
    assert_eq!(
        asked["redirect_uri"],
        format!("{}/auth/callback", browser.base)
    );
    assert!(asked["state"].len() >= 22 && asked["nonce"].len() >= 22);

    let back = browser.open(away.as_str()).await.location().to_owned();
    let answer = browser.open(&back).await;
    assert_eq!(answer.location(), "/records?q=a");
    let cookies: Vec<&str> = answer
        .headers
        .get_all(SET_COOKIE)
        .iter()
        .map(|it| it.to_str().unwrap())
        .collect();
    let cookie = cookies
        .iter()
        .find(|it| it.starts_with("crm_session="))
        .unwrap();
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(
        !cookie.contains("Domain") && !cookie.contains("Secure"),
        "{cookie}"
    );
    assert!(!browser.cookies.contains_key(LOGIN), "the login has ended");

    let session = browser.session().await;
    assert_eq!(session.header("cache-control"), Some("no-store"));
    let session = session.expect(200);
    assert_eq!(session["user_id"], "kc:ada");
    assert_eq!(session["name"], "Ada");
    assert_eq!(session["email"], "ada@example.com");
    assert_eq!(session["roles"], json!(["owner"]));
    assert_eq!(session["tenant"], json!(tenant));
    let me = browser
        .ask(Method::GET, "/api/crm/bootstrap", &[], None)
        .await
        .expect(200);
    assert_eq!(me["user"]["id"], "kc:ada");
    assert_eq!(me["user"]["name"], "Ada");
    let made = patient(&mut browser, "By Ada").await.expect(201);
    assert_eq!(made["created_by"], "kc:ada");
    let page = browser.open("/auth/account").await.expect(200);
    assert!(page.contains("ada@example.com"), "{page}");

    // What the browser holds is nowhere.
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let kept: String = sqlx::query_scalar("select s::text from crm_sessions s")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    let held = &browser.cookies[SESSION];
    assert!(!kept.contains(&held[held.len() - 40..]), "{kept}");
}

#[tokio::test]
async fn where_there_are_several_people_choose() {
    let app = TestApp::start().await;
    let (tenant, _) = app.owner_of("hospital").await;
    let issuer = issuer_of(tenant).await;
    let silent = TestIssuer::start("/silent", &[&key()]).await;
    silent.discovery(json!({"issuer": silent.name}));
    let other = json!({"issuer": silent.name, "audience": "crm", "client_id": "x"});
    let tokens = json!({"issuer": "https://tokens.example.com", "audience": "crm"});
    let issuers = [settings(&issuer), other, tokens];
    let mut browser = Browser::new(&serve_with(&app, &issuers, browsers()).await);
    let page = browser
        .open("/auth/login?return_to=/x%22")
        .await
        .expect(200);
    assert!(page.contains("Company &lt;login&gt;"), "{page}");
    assert!(page.contains("issuer=local"), "{page}");
    assert!(page.contains("return_to=%2Fx%22"), "{page}");
    assert!(!page.contains("tokens.example.com"), "{page}");
    assert!(
        !page.contains("<script") && !page.contains("style="),
        "{page}"
    );

    let to = |name: &str| format!("/auth/login?issuer={name}");
    let away = browser.open(&to(&issuer.name)).await;
    assert!(
        away.location()
            .starts_with(issuer.name.trim_end_matches("/realms/crm"))
    );
    let local = browser.open(&to("local")).await;
    assert_eq!(local.location(), "/auth/local?return_to=%2Fauth%2Faccount");
    // It does not say where people log in: a word for people, and a time to come back.
    let away = browser.open(&to(&silent.name)).await;
    assert_eq!(away.headers["retry-after"], "2");
    assert!(
        away.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    assert!(away.expect(503).contains("does not answer"));
    for nowhere in ["https://tokens.example.com", "https://evil.example", ""] {
        assert_eq!(browser.open(&to(nowhere)).await.status, 404, "{nowhere}");
    }
}

#[tokio::test]
async fn a_callback_counts_once_in_the_browser_that_asked() {
    let (app, tenant, issuer, mut browser) = start().await;
    let nobody = async |browser: &mut Browser, what: &str| {
        assert!(!browser.cookies.contains_key(SESSION), "{what}");
        assert_eq!(browser.session().await.status, 401, "{what}");
    };
    let change = |back: &str, name: &str, value: &str| {
        let mut url: Url = back.parse().unwrap();
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let kept = pairs.iter().filter(|(key, _)| key != name);
        url.query_pairs_mut().clear().extend_pairs(kept);
        if !value.is_empty() {
            url.query_pairs_mut().append_pair(name, value);
        }
        url.to_string()
    };

    let back = to_issuer(&mut browser, "/auth/login").await;
    assert_eq!(
        Browser::new(&browser.base).open(&back).await.status,
        400,
        "no cookie"
    );
    for (name, value, status) in [
        ("state", "wrong", 400),
        ("state", "", 400),
        ("iss", "https://evil.example", 401),
        ("code", "", 401),
        ("code", "made up", 401),
        ("error", "access_denied", 401),
    ] {
        let mut browser = browser.clone();
        let shown = browser.open(&change(&back, name, value)).await;
        assert_eq!(shown.status, status, "{name}={value}: {}", shown.text);
        assert!(shown.text.contains("<h1>"), "a page: {}", shown.text);
        nobody(&mut browser, name).await;
        if status == 401 {
            assert_eq!(browser.open(&back).await.status, 400, "it comes back once");
        }
    }

    // A login of this browser with the code of somebody else's: PKCE does not let it through.
    let mut other = Browser::new(&browser.base);
    let theirs: Url = to_issuer(&mut other, "/auth/login").await.parse().unwrap();
    let code = theirs
        .query_pairs()
        .find(|(name, _)| name == "code")
        .unwrap()
        .1
        .into_owned();
    let mut injected = browser.clone();
    let shown = injected.open(&change(&back, "code", &code)).await;
    assert_eq!(shown.status, 401, "{}", shown.text);
    nobody(&mut injected, "another's code").await;

    let mut again = browser.clone();
    assert_eq!(browser.open(&back).await.location(), "/auth/account");
    assert_eq!(browser.open(&back).await.status, 400, "no login is open");
    let replayed = again.open(&back).await;
    assert_eq!(replayed.status, 401, "the code is spent: {}", replayed.text);
    nobody(&mut again, "replayed").await;

    // What the issuer signs has to be for this login, this server, this moment.
    let now = jsonwebtoken::get_current_timestamp();
    for (name, value) in [
        ("nonce", json!("of another login")),
        ("nonce", Value::Null),
        ("aud", json!("crm")),
        ("aud", json!("somebody else")),
        ("azp", json!("somebody else")),
        ("iss", json!("https://evil.example")),
        ("exp", json!(now - 60)),
        ("tenant", json!("nobody")),
        ("sub", Value::Null),
    ] {
        issuer.logs_in(&key(), with(&ada(tenant), name, value.clone()));
        let mut browser = Browser::new(&browser.base);
        let shown = log_in(&mut browser).await;
        assert_eq!(shown.status, 401, "{name}: {value}: {}", shown.text);
        nobody(&mut browser, name).await;
    }
    let strange = SigningKey::ec("rsa-1");
    issuer.logs_in(&strange, ada(tenant));
    assert_eq!(log_in(&mut Browser::new(&browser.base)).await.status, 401);
    issuer.logs_in(
        &key(),
        with(&ada(tenant), "aud", json!([CLIENT_ID, "account"])),
    );
    assert_eq!(log_in(&mut Browser::new(&browser.base)).await.status, 303);
    // An id of this server's own is nobody's there.
    issuer.logs_in(&key(), ada(tenant));
    let without = with(&settings(&issuer), "user_prefix", json!("local:"));
    let mut browser = Browser::new(&serve(&app, &[without]).await);
    assert_eq!(log_in(&mut browser).await.status, 401);
}

#[tokio::test]
async fn a_login_leads_to_a_path_of_this_server_alone() {
    let (_app, _tenant, _issuer, mut browser) = start().await;
    for evil in [
        "https://evil.example/",
        "//evil.example/",
        "/%5Cevil.example/",
        "/%09/evil.example/",
        "javascript:alert(1)",
        "/.//evil.example",
    ] {
        let back = to_issuer(&mut browser, &format!("/auth/login?return_to={evil}")).await;
        assert_eq!(
            browser.open(&back).await.location(),
            "/auth/account",
            "{evil}"
        );
    }
}

#[tokio::test]
async fn a_cookie_counts_only_as_it_was_made() {
    let (app, tenant, issuer, mut browser) = start().await;
    log_in(&mut browser).await;
    let good = browser.cookies[SESSION].clone();
    let status = async |cookie: &str| {
        let mut browser = Browser::new(&browser.base);
        browser
            .cookies
            .insert(SESSION.to_owned(), cookie.to_owned());
        let session = browser.session().await.status;
        let asked = browser
            .ask(Method::GET, "/api/crm/bootstrap", &[], None)
            .await;
        assert_eq!(asked.status, session, "{cookie}");
        session.as_u16()
    };
    assert_eq!(status(&good).await, 200);
    // A signature, and behind it what is signed.
    let (signature, signed) = good.split_at(good.len() - 64);
    for place in [0, 10, signature.len(), signature.len() + 20, good.len() - 2] {
        let mut bytes = good.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        assert_eq!(
            status(&String::from_utf8(bytes).unwrap()).await,
            401,
            "{place}"
        );
    }
    // Without its signature; with another cookie's; of nothing.
    let tenant_cookie = browser.cookies["crm_tenant"].clone();
    for bad in [signed, &tenant_cookie, "", "x", signature] {
        assert_eq!(status(bad).await, 401, "{bad}");
    }
    // Signed with another key.
    let other = BrowserSettings {
        cookie_key: vec![7; 32],
        local: None,
        ..browsers()
    };
    let other = serve_with(&app, &[settings(&issuer)], other).await;
    let mut elsewhere = browser.clone();
    elsewhere.base = other;
    assert_eq!(elsewhere.session().await.status, 401);

    // What names another tenant is looked up there, and is not there.
    let (foreign, _) = app.owner_of("hospital").await;
    let secret: TenantSecret = signed.parse().unwrap();
    assert!(app.engine.session(&secret).await.unwrap().is_some());
    let moved = {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let mut bytes = URL_SAFE_NO_PAD.decode(signed).unwrap();
        assert_eq!(bytes[..16], tenant.uuid().into_bytes());
        bytes[..16].copy_from_slice(&foreign.uuid().into_bytes());
        URL_SAFE_NO_PAD
            .encode(bytes)
            .parse::<TenantSecret>()
            .unwrap()
    };
    assert!(app.engine.session(&moved).await.unwrap().is_none());
    assert!(app.engine.session(&secret).await.unwrap().is_some());
}

#[tokio::test]
async fn what_changes_something_comes_from_an_own_page_that_knows_the_session() {
    let (_app, _tenant, _issuer, mut browser) = start().await;
    log_in(&mut browser).await;
    let csrf = browser.session().await.expect(200)["csrf_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut other = Browser::new(&browser.base);
    log_in(&mut other).await;
    let theirs = other.session().await.expect(200)["csrf_token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_ne!(csrf, theirs);
    let base = browser.base.clone();
    let token = ("x-csrf-token", csrf.as_str());
    let origin = ("origin", base.as_str());
    let same = ("sec-fetch-site", "same-origin");
    let before = count(&mut browser).await;
    for (what, headers) in [
        ("nothing", vec![]),
        ("no token", vec![origin, same]),
        ("an empty token", vec![origin, same, ("x-csrf-token", "")]),
        (
            "another's token",
            vec![origin, same, ("x-csrf-token", &theirs)],
        ),
        ("no origin", vec![token]),
        (
            "another origin",
            vec![token, ("origin", "https://evil.example")],
        ),
        ("no origin to speak of", vec![token, ("origin", "null")]),
        (
            "another site",
            vec![token, origin, ("sec-fetch-site", "cross-site")],
        ),
        (
            "a neighbour",
            vec![token, origin, ("sec-fetch-site", "same-site")],
        ),
        (
            "an address bar",
            vec![token, origin, ("sec-fetch-site", "none")],
        ),
    ] {
        let body = json!({"data": {"full_name": "Forged"}});
        for (method, path, body) in [
            (Method::POST, "/api/crm/records/patients", Some(body)),
            (
                Method::PATCH,
                "/api/crm/settings",
                Some(json!({"language": "german"})),
            ),
            (Method::DELETE, "/api/crm/members/somebody", None),
            (Method::POST, "/auth/logout", None),
            (Method::POST, "/auth/logout-everywhere", None),
        ] {
            let answer = browser.ask(method.clone(), path, &headers, body).await;
            assert_eq!(
                answer.status, 403,
                "{what}: {method} {path}: {}",
                answer.body
            );
            assert_eq!(
                answer.body["type"], "/problems/cross-site",
                "{what}: {method} {path}"
            );
        }
    }
    assert_eq!(count(&mut browser).await, before, "nothing was made");
    // The browser's word is enough either way; reading needs none.
    for headers in [vec![token, same], vec![token, origin]] {
        let body = json!({"data": {"full_name": "Own"}});
        let path = "/api/crm/records/patients";
        let made = browser.ask(Method::POST, path, &headers, Some(body)).await;
        assert_eq!(made.status, 201, "{}", made.body);
    }
    // A page elsewhere may not read answers, whatever the cookie.
    let headers = [("origin", "https://evil.example")];
    let read = browser
        .ask(Method::GET, "/auth/session", &headers, None)
        .await;
    assert_eq!(read.header("access-control-allow-origin"), None);
    assert_eq!(read.header("access-control-allow-credentials"), None);
}

async fn count(browser: &mut Browser) -> Value {
    let path = "/api/crm/records/patients?include=total";
    let listed = browser.ask(Method::GET, path, &[], None).await;
    listed.expect(200)["total"].clone()
}

#[tokio::test]
async fn a_token_says_who_asks_whatever_the_browser_sends_along() {
    let app = TestApp::start().await;
    let (tenant, _) = app.owner_of("hospital").await;
    let mut browser = Browser::of_user(&app, tenant, "ada@example.com", "viewer").await;
    let token = format!("Bearer {}", app.token(tenant, "owner"));
    let path = "/api/crm/bootstrap";
    let headers = [("authorization", token.as_str())];
    let me = browser
        .ask(Method::GET, path, &headers, None)
        .await
        .expect(200);
    assert_eq!(me["user"]["id"], "owner-1");
    // With it, a page's proof is not needed.
    let made = browser
        .ask(
            Method::POST,
            "/api/crm/records/patients",
            &headers,
            Some(json!({"data": {"full_name": "A"}})),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    for bad in ["Bearer nothing", "Basic eDp5", ""] {
        let headers = [("authorization", bad)];
        let answer = browser.ask(Method::GET, path, &headers, None).await;
        assert_eq!(answer.status, 401, "{bad}");
    }
}

#[tokio::test]
async fn sessions_end() {
    let (app, tenant, _issuer, mut browser) = start().await;
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let mut change = async |set: &str| {
        let update = format!("update crm_sessions set {set}");
        let done = sqlx::query(AssertSqlSafe(update)).execute(&mut admin).await;
        done.unwrap().rows_affected()
    };
    log_in(&mut browser).await;
    // Two hours without a request, and one before; then the use counts from now.
    change("last_used_at = now() - interval '119 minutes'").await;
    assert_eq!(browser.session().await.status, 200);
    let moved = change("last_used_at = last_used_at - interval '119 minutes'").await;
    assert_eq!(moved, 1);
    assert_eq!(browser.session().await.status, 200, "the use was noted");
    change("last_used_at = now() - interval '121 minutes'").await;
    assert_eq!(browser.session().await.status, 401);
    change("last_used_at = now()").await;
    change("expires_at = now() + interval '10 seconds'").await;
    assert_eq!(browser.session().await.status, 200);
    change("expires_at = now() - interval '1 second'").await;
    assert_eq!(browser.session().await.status, 401);
    let asked = browser
        .ask(Method::GET, "/api/crm/bootstrap", &[], None)
        .await;
    assert_eq!(asked.status, 401);
    // Pages lead to the login.
    let account = browser.open("/auth/account").await;
    assert_eq!(account.location(), "/auth/login?return_to=/auth/account");

    // The next login takes those away that have ended.
    let mut next = Browser::new(&browser.base);
    log_in(&mut next).await;
    assert_eq!(change("expires_at = expires_at").await, 1);
    // And there are no more of one person than may be.
    for _ in 0..crm_model::limits::USER_MAX_SESSIONS {
        log_in(&mut browser).await;
        browser.cookies.clear();
    }
    assert_eq!(next.session().await.status, 401, "the oldest went");
    let left = change("expires_at = expires_at").await;
    assert_eq!(
        left,
        u64::try_from(crm_model::limits::USER_MAX_SESSIONS).unwrap()
    );

    // At twelve hours, whatever is done.
    log_in(&mut browser).await;
    let session = browser.session().await.expect(200);
    let at = |name: &str| {
        session[name]
            .as_str()
            .unwrap()
            .parse::<chrono::DateTime<chrono::Utc>>()
            .unwrap()
    };
    assert_eq!(
        (at("expires_at") - at("created_at")).num_seconds(),
        12 * 3600
    );
    let _ = tenant;
}

#[tokio::test]
async fn each_login_has_a_session_of_its_own() {
    let (_app, _tenant, _issuer, mut browser) = start().await;
    log_in(&mut browser).await;
    let mut before = browser.clone();
    assert_eq!(before.session().await.status, 200);
    // What somebody else put into the browser is not what it holds afterwards.
    log_in(&mut browser).await;
    assert_ne!(browser.cookies[SESSION], before.cookies[SESSION]);
    assert_eq!(browser.session().await.status, 200);
    assert_eq!(
        before.session().await.status,
        401,
        "the one before has ended"
    );
}

#[tokio::test]
async fn logging_out_is_for_this_browser_or_for_all() {
    let app = TestApp::start().await;
    let (tenant, _) = app.owner_of("hospital").await;
    let mut ada = Browser::of_user(&app, tenant, "ada@example.com", "owner").await;
    let mut phone = Browser::new(&app.base);
    let mut second = Browser::new(&app.second().await);
    for browser in [&mut phone, &mut second] {
        let shown = browser.log_in(tenant, "ada@example.com", PASSWORD).await;
        assert_eq!(shown.location(), "/auth/account");
    }
    let mut bob = Browser::of_user(&app, tenant, "bob@example.com", "owner").await;
    let held = ada.clone();

    let out = ada.call(Method::POST, "/auth/logout", None).await;
    assert_eq!(out.status, 204);
    assert!(!ada.cookies.contains_key(SESSION));
    assert_eq!(
        held.clone().session().await.status,
        401,
        "also for who kept the cookie"
    );
    assert_eq!(phone.session().await.status, 200);

    // By a form, without script; from one instance, for all.
    let page = phone.open("/auth/account").await;
    let token = page.field("csrf_token");
    let wrong = phone
        .submit("/auth/logout-everywhere", &[("csrf_token", "x")])
        .await;
    assert_eq!(wrong.status, 403);
    let out = phone
        .submit("/auth/logout-everywhere", &[("csrf_token", &token)])
        .await;
    assert!(out.expect(200).contains("You are logged out"));
    assert_eq!(second.session().await.status, 401, "at once");
    let asked = second
        .ask(Method::GET, "/api/crm/bootstrap", &[], None)
        .await;
    assert_eq!(asked.status, 401);
    assert_eq!(bob.session().await.status, 200, "not for others");
}

#[tokio::test]
async fn a_session_is_as_good_as_a_token_and_no_better() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let mut ada = Browser::of_user(&app, tenant, "ada@example.com", "viewer").await;
    assert_eq!(patient(&mut ada, "A").await.status, 403);
    let id = ada.session().await.expect(200)["user_id"].clone();
    let member = json!({"user_id": id, "roles": ["owner"]});
    owner.post("members", member).await.expect(201);
    patient(&mut ada, "A").await.expect(201);
    let left = owner
        .delete(&format!("members/{}", id.as_str().unwrap()))
        .await;
    assert_eq!(left.status, 204);
    assert_eq!(patient(&mut ada, "A").await.status, 403);

    let mut admin = Admin::connect(&app.database.owner()).await.unwrap();
    let by = "operator".parse().unwrap();
    let mut suspend = async |suspended| {
        let audit = crm_model::AuditId::new(uuid::Uuid::now_v7());
        admin
            .tenant_suspend(tenant, suspended, &by, audit)
            .await
            .unwrap();
    };
    let mut bob = Browser::of_user(&app, tenant, "bob@example.com", "owner").await;
    suspend(true).await;
    assert_eq!(bob.session().await.status, 200);
    let read = bob
        .ask(Method::GET, "/api/crm/records/patients", &[], None)
        .await;
    assert_eq!(read.status, 200);
    let refused = patient(&mut bob, "B").await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.body["type"], "/problems/suspended");
    // One still logs in, and out.
    let mut fresh = Browser::new(&app.base);
    assert_eq!(
        fresh
            .log_in(tenant, "bob@example.com", PASSWORD)
            .await
            .status,
        303
    );
    assert_eq!(
        fresh.call(Method::POST, "/auth/logout", None).await.status,
        204
    );
    suspend(false).await;
    patient(&mut bob, "B").await.expect(201);
}

#[tokio::test]
async fn behind_https_cookies_stay_there() {
    let app = TestApp::start().await;
    let (tenant, _) = app.owner_of("hospital").await;
    let issuer = issuer_of(tenant).await;
    let public = BrowserSettings {
        public_url: Some("https://crm.example.com".parse().unwrap()),
        local: None,
        ..browsers()
    };
    let mut browser = Browser::new(&serve_with(&app, &[settings(&issuer)], public).await);
    let away = browser.open("/auth/login").await;
    assert!(
        away.location()
            .contains("redirect_uri=https%3A%2F%2Fcrm.example.com%2Fauth%2Fcallback")
    );
    let back = browser.open(away.location()).await.location().to_owned();
    let back = back.replace("https://crm.example.com", "");
    let answer = browser.open(&back).await;
    assert_eq!(answer.location(), "/auth/account");
    for cookie in answer.headers.get_all(SET_COOKIE) {
        let cookie = cookie.to_str().unwrap();
        assert!(cookie.starts_with("__Host-crm_"), "{cookie}");
        assert!(
            cookie.contains("Secure") && cookie.contains("Path=/"),
            "{cookie}"
        );
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
    assert_eq!(browser.session().await.status, 200);
    // Another name is another cookie.
    let held = browser.cookies["__Host-crm_session"].clone();
    browser.cookies.clear();
    browser.cookies.insert(SESSION.to_owned(), held);
    assert_eq!(browser.session().await.status, 401);
}

#[tokio::test]
async fn where_nobody_logs_in_there_is_nothing() {
    let app = TestApp::start().await;
    let (tenant, _) = app.owner_of("hospital").await;
    let mut browser = Browser::of_user(&app, tenant, "ada@example.com", "owner").await;
    let issuers = Issuers::new(Some(app.issuer.clone()));
    browser.base = app.serve(|app| app, issuers).await;
    for path in [
        "login",
        "callback",
        "session",
        "account",
        "local",
        "password",
        "invitation?token=x",
    ] {
        assert_eq!(
            browser.open(&format!("/auth/{path}")).await.status,
            404,
            "{path}"
        );
    }
    let asked = browser
        .ask(Method::GET, "/api/crm/bootstrap", &[], None)
        .await;
    assert_eq!(asked.status, 401, "a cookie is nothing there");
}
