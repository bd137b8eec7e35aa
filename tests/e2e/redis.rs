//! Sessions in Redis: the same as in PostgreSQL, and nothing worse than a pause when it is away.

use crate::login::{SESSION, patient};
use crm_tests::app::TestApp;
use crm_tests::browser::{Browser, PASSWORD};
use crm_tests::client::wait_until;
use crm_tests::redis::TestRedis;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[tokio::test]
async fn sessions_may_be_in_redis() {
    let redis = TestRedis::start();
    let app = TestApp::with_redis(&redis.url()).await;
    let (tenant, _) = app.owner_of("hospital").await;
    let mut ada = Browser::of_user(&app, tenant, "ada@example.com", "owner").await;
    let mut phone = Browser::new(&app.base);
    phone.log_in(tenant, "ada@example.com", PASSWORD).await;
    let mut bob = Browser::of_user(&app, tenant, "bob@example.com", "viewer").await;
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let kept: i64 = sqlx::query_scalar("select count(*) from crm_sessions")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert_eq!(kept, 0);
    let session = ada.session().await.expect(200);
    assert_eq!(session["email"], "ada@example.com");
    assert_eq!(bob.session().await.expect(200)["email"], "bob@example.com");
    patient(&mut ada, "A").await.expect(201);

    // A key for each session, which ends when nobody uses it, and an index for each person.
    let keys = redis.command(&["keys", "*"]);
    let keys: Vec<&str> = keys.lines().collect();
    assert_eq!(keys.len(), 5, "{keys:?}");
    let held = &ada.cookies[SESSION];
    for key in &keys {
        assert!(key.contains(&tenant.uuid().simple().to_string()), "{key}");
        let seconds: i64 = redis.command(&["ttl", key]).parse().unwrap();
        assert!(
            (7_000..=43_200).contains(&seconds),
            "{key} ends in {seconds}"
        );
        if key.contains(":session:") {
            assert!(seconds <= 7_200, "{key}");
            assert!(
                !redis
                    .command(&["get", key])
                    .contains(&held[held.len() - 40..])
            );
            redis.command(&["expire", key, "60"]);
        }
    }
    assert_eq!(ada.session().await.status, 200);
    let renewed = keys.iter().filter(|key| key.contains(":session:"));
    let renewed =
        renewed.filter(|key| redis.command(&["ttl", key]).parse::<i64>().unwrap() > 7_000);
    assert_eq!(renewed.count(), 1, "whoever uses a session keeps it");

    let out = ada
        .call(Method::POST, "/auth/logout-everywhere", None)
        .await;
    assert_eq!(out.status, 204);
    assert_eq!(phone.session().await.status, 401);
    assert_eq!(bob.session().await.status, 200);
    let left = redis.command(&["keys", "*"]);
    assert_eq!(left.lines().count(), 2, "{left}");
    // One that should have ended counts for nothing, though it is there.
    let key = left
        .lines()
        .find(|key| key.contains(":session:"))
        .unwrap()
        .to_owned();
    let stored = redis.command(&["get", &key]);
    let mut value: Value = serde_json::from_str(&stored).unwrap();
    value["expires_at"] = json!("2020-01-01T00:00:00Z");
    redis.command(&["set", &key, &value.to_string()]);
    assert_eq!(bob.session().await.status, 401);
    // Nor does one that is another's.
    let mut value: Value = serde_json::from_str(&stored).unwrap();
    value["secret"] = json!("0".repeat(64));
    redis.command(&["set", &key, &value.to_string()]);
    assert_eq!(bob.session().await.status, 500);
    redis.command(&["set", &key, &stored]);
    assert_eq!(bob.session().await.status, 200);
}

#[tokio::test]
async fn a_redis_that_is_away_lets_nobody_in_as_somebody_else() {
    let mut redis = TestRedis::start();
    let app = TestApp::with_redis(&redis.url()).await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let mut people = Vec::new();
    for name in ["ada", "bob", "eve"] {
        let email = format!("{name}@example.com");
        people.push((
            email.clone(),
            Browser::of_user(&app, tenant, &email, "owner").await,
        ));
    }
    // Everybody asks all the time, while it goes and comes.
    let stop = Arc::new(AtomicBool::new(false));
    let asking: Vec<_> = people
        .iter()
        .map(|(email, browser)| {
            let (email, mut browser, stop) = (email.clone(), browser.clone(), stop.clone());
            tokio::spawn(async move {
                let mut seen = std::collections::BTreeMap::new();
                while !stop.load(Ordering::Relaxed) {
                    let answer = browser.session().await;
                    let status = answer.status.as_u16();
                    *seen.entry(status).or_insert(0) += 1;
                    match status {
                        200 => assert_eq!(answer.body["email"], json!(email)),
                        401 | 503 => {}
                        _ => panic!("{status}: {}", answer.body),
                    }
                }
                seen
            })
        })
        .collect();
    redis.kill();
    let (_, ada) = &mut people[0];
    let away = ada.session().await;
    assert_eq!(away.status, 503, "{}", away.body);
    assert!(away.header("retry-after").is_some());
    let asked = ada.ask(Method::GET, "/api/crm/bootstrap", &[], None).await;
    assert_eq!(asked.status, 503);
    let shown = Browser::new(&app.base)
        .log_in(tenant, "ada@example.com", PASSWORD)
        .await;
    assert_eq!(shown.status, 503, "{}", shown.text);
    assert!(shown.text.contains("<h1>"), "{}", shown.text);
    // Tokens do without it.
    owner.get("bootstrap").await.expect(200);

    redis.restart();
    wait_until("redis is used again", async || {
        let mut ada = people[0].1.clone();
        ada.session().await.status != 503
    })
    .await;
    for (email, browser) in &mut people {
        assert_eq!(browser.session().await.status, 401, "it came back empty");
        let shown = browser.log_in(tenant, email, PASSWORD).await;
        assert_eq!(shown.status, 303, "{}", shown.text);
        assert_eq!(browser.session().await.expect(200)["email"], json!(email));
    }
    stop.store(true, Ordering::Relaxed);
    for asked in asking {
        let seen = asked.await.unwrap();
        assert!(seen.contains_key(&503), "{seen:?}");
    }
}
