//! People who log in here, with a password: invited, let in, kept out, and never told of.

use crm_model::TenantId;
use crm_server::auth::{Issuers, LocalSettings};
use crm_tests::app::{TestApp, browsers};
use crm_tests::browser::{Browser, PASSWORD};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::{Duration, Instant};

async fn start() -> (TestApp, TenantId) {
    let app = TestApp::start().await;
    let (tenant, _) = app.owner_of("hospital").await;
    (app, tenant)
}

/// Changes what is stored of people, as time would.
async fn change(app: &TestApp, set: &str) {
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let update = format!("update crm_users set {set}");
    sqlx::query(AssertSqlSafe(update))
        .execute(&mut admin)
        .await
        .unwrap();
}

async fn stored(app: &TestApp) -> String {
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let rows: Vec<String> = sqlx::query_scalar("select u::text from crm_users u")
        .fetch_all(&mut admin)
        .await
        .unwrap();
    rows.join("\n")
}

async fn invite(app: &TestApp, tenant: TenantId, email: &str) -> Value {
    let owner = app.client(tenant, "owner");
    let invite = json!({"email": email, "name": "Ada", "roles": ["manager"]});
    owner.post("users", invite).await.expect(201)
}

#[tokio::test]
async fn somebody_is_invited_once_and_logs_in() {
    let (app, tenant) = start().await;
    let invited = invite(&app, tenant, "Ada@Example.com").await;
    assert_eq!(invited["state"], "invited");
    assert_eq!(invited["email"], "Ada@Example.com");
    let url = invited["invitation_url"].as_str().unwrap();
    assert!(
        url.starts_with(&format!("{}/auth/invitation?token=", app.base)),
        "{url}"
    );

    let mut browser = Browser::new(&app.base);
    let page = browser.open(url).await.expect(200);
    assert!(
        page.contains("Ada@Example.com") && page.contains("for=\"password\""),
        "{page}"
    );
    for (password, again) in [
        ("short", "short"),
        (PASSWORD, "another one, really"),
        ("ada@example.com", "ada@example.com"),
    ] {
        let token = url.split_once("token=").unwrap().1;
        let fields = [
            ("token", token),
            ("name", "Ada"),
            ("password", password),
            ("again", again),
        ];
        let shown = browser.submit("/auth/invitation", &fields).await;
        assert_eq!(shown.status, 422, "{password}");
        assert!(shown.text.contains("role=\"alert\""), "{}", shown.text);
        assert!(
            !shown.text.contains(password),
            "{password} is not shown again"
        );
    }
    let accepted = browser.accept(&invited, PASSWORD).await;
    assert_eq!(accepted.location(), "/auth/account");
    let session = browser.session().await.expect(200);
    assert_eq!(session["issuer"], "local");
    assert_eq!(session["roles"], json!(["manager"]));
    assert_eq!(session["name"], "Ada Lovelace");
    assert_eq!(session["user_id"], invited["user_id"]);

    // It was one invitation.
    let mut other = Browser::new(&app.base);
    assert_eq!(other.open(url).await.status, 404);
    assert_eq!(
        other.accept(&invited, "another good password").await.status,
        404
    );
    assert!(!other.cookies.contains_key("crm_session"));

    // The address is found however it is written; the browser remembers whose people log in.
    let shown = other.log_in(tenant, " ADA@example.COM ", PASSWORD).await;
    assert_eq!(shown.location(), "/auth/account");
    let form = other.open("/auth/local?return_to=/records").await;
    assert_eq!(form.field("tenant"), tenant.to_string());
    assert_eq!(form.field("return_to"), "/records");
    let tenant = tenant.to_string();
    for (to, lands) in [
        ("/records", "/records"),
        ("//evil.example", "/auth/account"),
    ] {
        let fields = [
            ("tenant", tenant.as_str()),
            ("email", "ada@example.com"),
            ("password", PASSWORD),
            ("return_to", to),
        ];
        assert_eq!(other.submit("/auth/local", &fields).await.location(), lands);
    }
    let owner = app.client(tenant.parse().unwrap(), "owner");
    let listed = owner.get("users").await.expect(200);
    assert_eq!(listed["data"][0]["state"], "active");
    assert!(listed["data"][0]["last_login_at"].is_string());
    assert!(!listed.to_string().contains("token="), "{listed}");
    let kept = stored(&app).await;
    assert!(kept.contains("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
    assert!(!kept.contains(PASSWORD) && !kept.contains(url.split_once("token=").unwrap().1));
}

#[tokio::test]
async fn invitations_end() {
    let (app, tenant) = start().await;
    let invited = invite(&app, tenant, "ada@example.com").await;
    let mut browser = Browser::new(&app.base);
    change(&app, "invited_until = now() - interval '1 second'").await;
    assert_eq!(
        browser.accept(&invited, PASSWORD).await.status,
        404,
        "expired"
    );

    let owner = app.client(tenant, "owner");
    let path = format!("users/{}/invitation", invited["id"].as_str().unwrap());
    let second = owner.post(&path, json!({})).await.expect(200);
    let third = owner.post(&path, json!({})).await.expect(200);
    assert_eq!(
        browser.accept(&second, PASSWORD).await.status,
        404,
        "replaced"
    );
    assert_eq!(browser.accept(&third, PASSWORD).await.status, 303);

    // Another link later is for another password, and ends what the old one began.
    let fourth = owner.post(&path, json!({})).await.expect(200);
    let mut phone = Browser::new(&app.base);
    assert_eq!(
        phone.accept(&fourth, "another good password").await.status,
        303
    );
    assert_eq!(browser.session().await.status, 401);
    assert_eq!(
        browser
            .log_in(tenant, "ada@example.com", PASSWORD)
            .await
            .status,
        401
    );

    // Who is disabled has none.
    let fifth = owner.post(&path, json!({})).await.expect(200);
    let edit = format!("users/{}", invited["id"].as_str().unwrap());
    owner
        .patch(&edit, json!({"disabled": true}))
        .await
        .expect(200);
    assert_eq!(browser.accept(&fifth, PASSWORD).await.status, 404);
    assert_eq!(owner.post(&path, json!({})).await.status, 409);
    for bad in ["", "x", &"A".repeat(64), &"A".repeat(65)] {
        let shown = browser.open(&format!("/auth/invitation?token={bad}")).await;
        assert_eq!(shown.status, 404, "{bad}");
    }

    // A key under which the request is repeated tells who, and no link.
    let invite = json!({"email": "bob@example.com", "roles": ["viewer"]});
    let first = owner
        .post_once("users", "k", invite.clone())
        .await
        .expect(201);
    let again = owner.post_once("users", "k", invite.clone()).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let again = again.expect(201);
    assert_eq!(again["id"], first["id"]);
    assert!(first["invitation_url"].is_string() && again["invitation_url"].is_null());
    assert_eq!(
        owner.post("users", invite).await.status,
        409,
        "the address is taken"
    );
    let capitals = json!({"email": "BOB@example.com", "roles": ["viewer"]});
    assert_eq!(owner.post("users", capitals).await.status, 409);
    let (_, elsewhere) = app.owner_of("hospital").await;
    let same = json!({"email": "bob@example.com", "roles": ["viewer"]});
    elsewhere.post("users", same).await.expect(201);
}

#[tokio::test]
async fn nobody_learns_who_is_there() {
    let (app, tenant) = start().await;
    Browser::of_user(&app, tenant, "ada@example.com", "owner").await;
    invite(&app, tenant, "invited@example.com").await;
    let gone = Browser::of_user(&app, tenant, "gone@example.com", "viewer").await;
    drop(gone);
    change(&app, "disabled_at = now() where email = 'gone@example.com'").await;
    let (foreign, _) = app.owner_of("hospital").await;
    let page = async |tenant: TenantId, email: &str, password: &str| {
        let mut browser = Browser::new(&app.base);
        let began = Instant::now();
        let shown = browser.log_in(tenant, email, password).await;
        assert!(browser.cookies.is_empty(), "{email}");
        assert_eq!(shown.status, 401, "{email}");
        let text = shown
            .text
            .replace(email, "…")
            .replace(&tenant.to_string(), "…");
        (text, began.elapsed())
    };
    let wrong = "a wrong password";
    let (known, _) = page(tenant, "ada@example.com", wrong).await;
    assert!(known.contains("role=\"alert\""), "{known}");
    for (tenant, email, password) in [
        (tenant, "nobody@example.com", wrong),
        (tenant, "invited@example.com", wrong),
        (tenant, "invited@example.com", ""),
        (tenant, "gone@example.com", PASSWORD),
        (foreign, "ada@example.com", PASSWORD),
        (
            TenantId::new(uuid::Uuid::now_v7()),
            "ada@example.com",
            PASSWORD,
        ),
        (tenant, "ada@example.com", &"x".repeat(513)),
    ] {
        let (other, _) = page(tenant, email, password).await;
        assert_eq!(other, known, "{email}");
    }
    for _ in 0..6 {
        assert_eq!(page(tenant, "ada@example.com", wrong).await.0, known);
    }
    assert_eq!(
        page(tenant, "ada@example.com", PASSWORD).await.0,
        known,
        "locked"
    );

    // The same work, which a password that is too long is not: the shortest of several times, so
    // that what else the machine does counts for little.
    let long = "x".repeat(513);
    let mut shortest = [Duration::MAX; 4];
    for _ in 0..5 {
        for (number, (email, password)) in [
            ("nobody@example.com", long.as_str()),
            ("nobody@example.com", wrong),
            ("invited@example.com", wrong),
            ("ada@example.com", wrong),
        ]
        .into_iter()
        .enumerate()
        {
            let (_, took) = page(tenant, email, password).await;
            shortest[number] = shortest[number].min(took);
        }
    }
    let [nothing, nobody, invited, locked] = shortest;
    for work in [nobody, invited, locked] {
        assert!(work > nothing * 3, "{shortest:?}");
    }
}

#[tokio::test]
async fn who_guesses_is_locked_out_for_longer_and_longer() {
    let (app, tenant) = start().await;
    Browser::of_user(&app, tenant, "ada@example.com", "owner").await;
    let attempt = async |password: &str| {
        let mut browser = Browser::new(&app.base);
        browser
            .log_in(tenant, "ada@example.com", password)
            .await
            .status
    };
    let locked_for = async || {
        let mut admin = PgConnection::connect_with(&app.database.owner())
            .await
            .unwrap();
        let seconds: Option<f64> = sqlx::query_scalar(
            "select extract(epoch from locked_until - now())::float8 from crm_users",
        )
        .fetch_one(&mut admin)
        .await
        .unwrap();
        seconds
    };
    for _ in 0..4 {
        assert_eq!(attempt("wrong").await, 401);
        assert_eq!(locked_for().await, None);
    }
    assert_eq!(attempt(PASSWORD).await, 303, "four are free");
    for _ in 0..5 {
        assert_eq!(attempt("wrong").await, 401);
    }
    let mut expected = 30.0;
    for _ in 0..7 {
        let seconds = locked_for().await.unwrap();
        assert!(
            (expected - 20.0..=expected).contains(&seconds),
            "{seconds} of {expected}"
        );
        assert_eq!(attempt(PASSWORD).await, 401, "even with the right one");
        change(&app, "locked_until = now() - interval '1 second'").await;
        assert_eq!(attempt("wrong").await, 401);
        expected = f64::min(expected * 2.0, 900.0);
    }
    change(&app, "locked_until = now() - interval '1 second'").await;
    assert_eq!(attempt(PASSWORD).await, 303, "the wait is over");
    assert_eq!(locked_for().await, None);

    // Twenty at once are no more than twenty in a row.
    change(&app, "attempts = 0, locked_until = null").await;
    let guesses = (0..20).map(|_| attempt("wrong"));
    futures::future::join_all(guesses).await;
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let looked_at: i32 = sqlx::query_scalar("select attempts from crm_users")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert_eq!(looked_at, 5, "and then the account was locked");
}

#[tokio::test]
async fn one_address_guesses_only_so_often() {
    let (app, tenant) = start().await;
    let mut browser = Browser::new(&app.base);
    let mut limited = None;
    for number in 0..70 {
        let email = format!("nobody-{number}@example.com");
        let shown = browser.log_in(tenant, &email, &"x".repeat(600)).await;
        if shown.status == 429 {
            limited = Some(shown);
            break;
        }
        assert_eq!(shown.status, 401);
    }
    let limited = limited.expect("a limit");
    assert!(limited.headers.contains_key("retry-after"));
    assert!(limited.text.contains("<h1>"), "{}", limited.text);
    // A cookie, good or bad, does not help.
    browser
        .cookies
        .insert("crm_session".to_owned(), "x".to_owned());
    let shown = browser.log_in(tenant, "a@example.com", "x").await;
    assert_eq!(shown.status, 429);
}

#[tokio::test]
async fn a_new_password_ends_other_sessions() {
    let (app, tenant) = start().await;
    let mut ada = Browser::of_user(&app, tenant, "ada@example.com", "owner").await;
    let mut phone = Browser::new(&app.base);
    phone.log_in(tenant, "ada@example.com", PASSWORD).await;
    let token = ada.open("/auth/password").await.field("csrf_token");
    let new = "another good password";
    let fields = |old: &'static str, new: &'static str, again: &'static str, token: String| {
        [
            ("csrf_token", token),
            ("old", old.to_owned()),
            ("password", new.to_owned()),
            ("again", again.to_owned()),
        ]
    };
    for (fields, status) in [
        (fields("wrong", new, new, token.clone()), 422),
        (fields(PASSWORD, new, "not the same", token.clone()), 422),
        (fields(PASSWORD, "short", "short", token.clone()), 422),
        (fields(PASSWORD, new, new, "not the token".to_owned()), 403),
    ] {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let shown = ada.submit("/auth/password", &fields).await;
        assert_eq!(shown.status, status, "{fields:?}: {}", shown.text);
    }
    let good = fields(PASSWORD, new, new, token);
    let good: Vec<_> = good
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let elsewhere = [("origin", "https://evil.example")];
    assert_eq!(
        ada.submit_from("/auth/password", &elsewhere, &good)
            .await
            .status,
        403
    );
    assert_eq!(
        phone.session().await.status,
        200,
        "nothing has happened yet"
    );

    let held = ada.clone();
    assert_eq!(
        ada.submit("/auth/password", &good).await.location(),
        "/auth/account"
    );
    assert_eq!(
        ada.session().await.status,
        200,
        "this one goes on, under another secret"
    );
    assert_ne!(ada.cookies["crm_session"], held.cookies["crm_session"]);
    assert_eq!(held.clone().session().await.status, 401);
    assert_eq!(phone.session().await.status, 401);
    assert_eq!(
        phone
            .log_in(tenant, "ada@example.com", PASSWORD)
            .await
            .status,
        401
    );
    assert_eq!(
        phone.log_in(tenant, "ada@example.com", new).await.status,
        303
    );
    let owner = app.client(tenant, "owner");
    let audit = owner
        .get("audit?action=user.password_changed")
        .await
        .expect(200);
    assert_eq!(audit["data"].as_array().unwrap().len(), 1);
    assert!(!audit.to_string().contains(new));

    // Guessing the old one counts as guessing at the login.
    let token = ada.open("/auth/password").await.field("csrf_token");
    for _ in 0..5 {
        let wrong = [
            ("csrf_token", token.as_str()),
            ("old", "x"),
            ("password", new),
            ("again", new),
        ];
        assert_eq!(ada.submit("/auth/password", &wrong).await.status, 422);
    }
    assert_eq!(
        phone.log_in(tenant, "ada@example.com", new).await.status,
        401,
        "locked"
    );
}

#[tokio::test]
async fn pages_elsewhere_log_nobody_in() {
    let (app, tenant) = start().await;
    Browser::of_user(&app, tenant, "mallory@example.com", "owner").await;
    let invited = invite(&app, tenant, "ada@example.com").await;
    let tenant = tenant.to_string();
    let url = invited["invitation_url"].as_str().unwrap();
    let token = url.split_once("token=").unwrap().1;
    let login = [
        ("tenant", tenant.as_str()),
        ("email", "mallory@example.com"),
        ("password", PASSWORD),
    ];
    let accept = [
        ("token", token),
        ("name", "x"),
        ("password", PASSWORD),
        ("again", PASSWORD),
    ];
    let mut browser = Browser::new(&app.base);
    for headers in [
        vec![],
        vec![("origin", "https://evil.example")],
        vec![("origin", "null")],
        vec![("sec-fetch-site", "cross-site")],
    ] {
        for (path, fields) in [
            ("/auth/local", login.as_slice()),
            ("/auth/invitation", &accept),
        ] {
            let shown = browser.submit_from(path, &headers, fields).await;
            assert_eq!(shown.status, 403, "{path} {headers:?}");
            assert!(browser.cookies.is_empty());
        }
    }
}

#[tokio::test]
async fn those_who_manage_everything_manage_people() {
    let (app, tenant) = start().await;
    let owner = app.client(tenant, "owner");
    let mut ada = Browser::of_user(&app, tenant, "ada@example.com", "owner").await;
    let mut bob = Browser::of_user(&app, tenant, "bob@example.com", "viewer").await;
    let listed = owner.get("users?include=total").await.expect(200);
    assert_eq!(listed["total"]["value"], 2);
    let page = owner.get("users?limit=1").await.expect(200);
    assert_eq!(page["data"][0]["email"], "bob@example.com");
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = owner
        .get(&format!("users?limit=1&cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(next["data"][0]["email"], "ada@example.com");
    let id = |number: usize| listed["data"][number]["id"].as_str().unwrap().to_owned();
    let (bob_path, ada_path) = (format!("users/{}", id(0)), format!("users/{}", id(1)));

    for client in [app.client(tenant, "agent"), app.client(tenant, "viewer")] {
        let invite = json!({"email": "x@example.com", "roles": ["viewer"]});
        assert_eq!(client.get("users").await.status, 403);
        assert_eq!(client.post("users", invite).await.status, 403);
        assert_eq!(
            client
                .patch(&bob_path, json!({"disabled": true}))
                .await
                .status,
            403
        );
        assert_eq!(
            client
                .post(&format!("{bob_path}/invitation"), json!({}))
                .await
                .status,
            403
        );
    }
    let key = owner
        .post("api-keys", json!({"name": "k"}))
        .await
        .expect(201);
    let program = app.anonymous().with_token(key["key"].as_str().unwrap());
    assert_eq!(
        program.get("users").await.status,
        403,
        "a key has no say over people"
    );

    for (body, code) in [
        (json!({"email": "x", "roles": ["viewer"]}), "format"),
        (json!({"email": "x@example.com", "roles": []}), "length"),
        (
            json!({"email": "x@example.com", "roles": ["nobody"]}),
            "role",
        ),
        (
            json!({"email": "x@example.com", "name": "a\nb", "roles": ["viewer"]}),
            "format",
        ),
    ] {
        let refused = owner.post("users", body).await;
        assert_eq!(refused.violations()[0].1, code, "{}", refused.body);
    }
    let unknown = owner.patch(&bob_path, json!({"roles": ["nobody"]})).await;
    assert_eq!(unknown.status, 422);

    // Other roles hold from the next login on, which is now.
    owner
        .patch(&bob_path, json!({"roles": ["agent"]}))
        .await
        .expect(200);
    assert_eq!(bob.session().await.status, 401);
    bob.log_in(tenant, "bob@example.com", PASSWORD).await;
    assert_eq!(bob.session().await.expect(200)["roles"], json!(["agent"]));
    // In a browser as elsewhere; not for oneself.
    let disable = Some(json!({"disabled": true}));
    let own = ada
        .call(
            Method::PATCH,
            &format!("/api/crm/{ada_path}"),
            disable.clone(),
        )
        .await;
    assert_eq!(own.status, 409, "{}", own.body);
    let disabled = ada
        .call(Method::PATCH, &format!("/api/crm/{bob_path}"), disable)
        .await;
    assert_eq!(disabled.expect(200)["state"], "disabled");
    assert_eq!(bob.session().await.status, 401);
    assert_eq!(
        bob.log_in(tenant, "bob@example.com", PASSWORD).await.status,
        401
    );
    owner
        .patch(&bob_path, json!({"disabled": false}))
        .await
        .expect(200);
    assert_eq!(
        bob.log_in(tenant, "bob@example.com", PASSWORD).await.status,
        303
    );

    let audit = owner
        .get(&format!("audit?target={bob_path}"))
        .await
        .expect(200);
    let acts: Vec<&str> = audit["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|act| act["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        acts,
        [
            "user.edited",
            "user.edited",
            "user.edited",
            "user.invitation_accepted",
            "user.invited"
        ]
    );
    let disabled = &audit["data"][1];
    assert_eq!(disabled["before"]["disabled"], false);
    assert_eq!(disabled["after"]["disabled"], true);
    assert_eq!(disabled["actor"], format!("local:{}", id(1)));
    assert!(!audit.to_string().contains("argon2"));
}

#[tokio::test]
async fn a_login_that_is_overtaken_by_a_change_is_none() {
    let (app, tenant) = start().await;
    let owner = app.client(tenant, "owner");
    Browser::of_user(&app, tenant, "ada@example.com", "owner").await;
    let listed = owner.get("users").await.expect(200);
    let path = format!("users/{}", listed["data"][0]["id"].as_str().unwrap());
    // Whatever comes first: afterwards nobody is logged in who is disabled.
    for pause in 0..6 {
        owner
            .patch(&path, json!({"disabled": false}))
            .await
            .expect(200);
        let mut browser = Browser::new(&app.base);
        let login = browser.log_in(tenant, "ada@example.com", PASSWORD);
        let disable = async {
            for _ in 0..pause * 8 {
                app.anonymous().get("/healthz").await;
            }
            owner
                .patch(&path, json!({"disabled": true}))
                .await
                .expect(200);
        };
        let (shown, ()) = tokio::join!(login, disable);
        assert!([303, 401].contains(&shown.status), "{}", shown.text);
        assert_eq!(browser.session().await.status, 401, "after {pause}");
    }
}

#[tokio::test]
async fn whose_people_log_in() {
    let (app, tenant) = start().await;
    let mut browser = Browser::new(&app.base);
    assert_eq!(
        browser.open("/auth/login").await.location(),
        "/auth/local?return_to=%2Fauth%2Faccount"
    );
    let asks = browser.open("/auth/local").await.expect(200);
    assert!(asks.contains("Code of the organisation"), "{asks}");
    let wrong = browser.open("/auth/local?tenant=nobody").await.expect(200);
    assert!(wrong.contains("role=\"alert\""), "{wrong}");
    let named = browser.open(&format!("/auth/local?tenant={tenant}")).await;
    assert_eq!(named.field("tenant"), tenant.to_string());

    let mut only = browsers();
    only.local = Some(LocalSettings {
        tenant: Some(tenant),
    });
    let base = app
        .serve(|app| app.with_browsers(only).unwrap(), Issuers::new(None))
        .await;
    let mut browser = Browser::new(&base);
    let form = browser.open("/auth/local").await;
    assert_eq!(form.field("tenant"), tenant.to_string());
    assert!(
        form.headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("script-src 'self'")
    );
    assert_eq!(form.headers["referrer-policy"], "same-origin");
    assert!(!form.text.contains("<script") && !form.text.contains("style="));
    let style = browser.open("/auth/style.css").await;
    assert!(
        style.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/css")
    );
}

#[tokio::test]
async fn where_it_is_off_there_is_nothing() {
    let (app, tenant) = start().await;
    let mut ada = Browser::of_user(&app, tenant, "ada@example.com", "owner").await;
    let invited = invite(&app, tenant, "bob@example.com").await;
    let mut off = browsers();
    off.local = None;
    let issuers = Issuers::new(Some(app.issuer.clone()));
    let base = app
        .serve(|app| app.with_browsers(off).unwrap(), issuers)
        .await;
    ada.base = base.clone();
    assert_eq!(
        ada.session().await.status,
        401,
        "its sessions count no more"
    );
    let asked = ada.ask(Method::GET, "/api/crm/bootstrap", &[], None).await;
    assert_eq!(asked.status, 401);
    let mut browser = Browser::new(&base);
    for path in [
        "/auth/login",
        "/auth/login?issuer=local",
        "/auth/local",
        "/auth/password",
        "/auth/invitation?token=x",
    ] {
        assert_eq!(browser.open(path).await.status, 404, "{path}");
    }
    assert_eq!(
        browser
            .log_in(tenant, "ada@example.com", PASSWORD)
            .await
            .status,
        404
    );
    assert_eq!(browser.accept(&invited, PASSWORD).await.status, 404);
    let owner = crm_tests::client::Client::new(&base, Some(app.token(tenant, "owner")));
    let path = format!("users/{}", invited["id"].as_str().unwrap());
    assert_eq!(owner.get("users").await.status, 404);
    assert_eq!(
        owner
            .post(
                "users",
                json!({"email": "x@example.com", "roles": ["viewer"]})
            )
            .await
            .status,
        404
    );
    assert_eq!(
        owner.patch(&path, json!({"disabled": true})).await.status,
        404
    );
    assert_eq!(
        owner
            .post(&format!("{path}/invitation"), json!({}))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn a_tenant_has_so_many_people_and_no_more() {
    let (app, tenant) = start().await;
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    sqlx::query(
        "insert into crm_users (tenant_id, id, email, email_key, name, roles, created_at, created_by)
        select $1, gen_random_uuid(), 'e', 'e' || n, 'n', '[]', now(), 'test'
        from generate_series(2, $2) n",
    )
    .bind(tenant.uuid())
    .bind(crm_model::limits::TENANT_MAX_USERS)
    .execute(&mut admin)
    .await
    .unwrap();
    let owner = app.client(tenant, "owner");
    let invite = |name: &str| json!({"email": format!("{name}@example.com"), "roles": ["viewer"]});
    owner.post("users", invite("last")).await.expect(201);
    let refused = owner.post("users", invite("late")).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(refused.body["detail"].as_str().unwrap().contains("10000"));
}
