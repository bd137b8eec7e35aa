//! The host OS's roles, as its tokens name them: what they are in the CRM is configuration. And the
//! binary itself, told of an issuer and of roles.

use crate::command::crm;
use crm_model::TenantId;
use crm_server::auth::{Issuers, OsRoles, parse_issuers};
use crm_tests::app::{SUPER_ADMIN, TestApp};
use crm_tests::client::{Client, wait_until};
use crm_tests::issuer::{SigningKey, TestIssuer};
use jsonwebtoken::Algorithm;
use reqwest::Method;
use serde_json::{Value, json};
use std::net::TcpListener;

/// A token of the host's issuer for somebody with this role.
fn token(key: &SigningKey, issuer: &TestIssuer, tenant: TenantId, role: &str) -> String {
    let now = jsonwebtoken::get_current_timestamp();
    key.sign(&json!({
        "iss": issuer.name, "aud": "alphery", "sub": format!("os-{role}"), "tenant": tenant,
        "role": role, "iat": now, "exp": now + 600,
    }))
}

fn settings(issuer: &TestIssuer) -> Value {
    json!([{"issuer": issuer.name, "audience": "alphery", "claims": {"roles": "role"}}])
}

/// A server that trusts the host's issuer.
async fn hosted(app: &TestApp, issuer: &TestIssuer, os_roles: OsRoles) -> Client {
    let issuers = parse_issuers(&settings(issuer).to_string()).unwrap();
    let issuers = Issuers::new(None).with(issuers).unwrap();
    let with = |app: crm_server::App| {
        app.with_os_roles(os_roles)
            .with_super_admins(SUPER_ADMIN.parse().ok())
    };
    Client::new(&app.serve(with, issuers).await, None)
}

async fn roles(client: &Client) -> Value {
    client.get("bootstrap").await.expect(200)["user"]["roles"].clone()
}

#[tokio::test]
async fn roles_of_the_os_are_roles_of_the_crm() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let key = SigningKey::rsa("os", 0, Algorithm::RS256);
    let issuer = TestIssuer::start("/os", &[&key]).await;
    let server = hosted(&app, &issuer, OsRoles::default()).await;
    let of = |role: &str| server.with_token(&token(&key, &issuer, tenant, role));
    assert_eq!(roles(&of("staff")).await, json!(["manager"]));
    assert_eq!(roles(&of("tenant_admin")).await, json!(["admin"]));
    assert_eq!(roles(&of("user")).await, json!(["agent"]));
    // They may what those roles may, and no more.
    let patient = json!({"data": {"full_name": "Ada"}});
    let made = of("user").post("records/patients", patient.clone()).await;
    let path = format!(
        "records/patients/{}",
        made.expect(201)["id"].as_str().unwrap()
    );
    let refused = of("tenant_admin").post("records/patients", patient).await;
    assert_eq!(refused.status, 403);
    assert_eq!(of("user").delete(&path).await.status, 403);
    owner.get(&path).await.expect(200);
    assert_eq!(of("nobody").get(&path).await.status, 404);
    assert_eq!(of("user").get("audit").await.status, 403);
}

#[tokio::test]
async fn an_operator_says_what_they_are() {
    let app = TestApp::start().await;
    let (tenant, _) = app.owner_of("hospital").await;
    let home = app.tenant("operator").await;
    let key = SigningKey::rsa("os", 0, Algorithm::RS256);
    let issuer = TestIssuer::start("/os", &[&key]).await;
    let given = r#"{"super_admin": ["viewer"], "tenant_admin": ["owner"], "user": []}"#;
    let server = hosted(&app, &issuer, OsRoles::parse(given).unwrap()).await;
    let of = |tenant, role: &str| server.with_token(&token(&key, &issuer, tenant, role));
    assert_eq!(roles(&of(tenant, "tenant_admin")).await, json!(["owner"]));
    assert_eq!(roles(&of(tenant, "user")).await, json!([]));
    assert_eq!(roles(&of(tenant, "staff")).await, json!(["manager"]));

    // A super admin enters another tenant whatever they are in their own.
    let admin = of(home, SUPER_ADMIN);
    let id = tenant.to_string();
    let headers = [("x-tenant-id", id.as_str())];
    let entered = admin.call(Method::GET, "bootstrap", &headers, None).await;
    assert_eq!(entered.expect(200)["user"]["roles"], json!(["owner"]));
    let own = of(tenant, SUPER_ADMIN);
    assert_eq!(roles(&own).await, json!(["viewer"]));
    assert_eq!(own.get("audit").await.status, 403, "without entering it");
    for role in ["staff", "tenant_admin", "user"] {
        let other = of(home, role);
        let refused = other.call(Method::GET, "bootstrap", &headers, None).await;
        assert_eq!(refused.status, 403, "{role}");
    }
}

/// A process that ends with its test, however that ends.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_binary_trusts_the_issuers_it_is_told_of() {
    let app = TestApp::start().await;
    let (tenant, _) = app.owner_of("hospital").await;
    let key = SigningKey::rsa("os", 0, Algorithm::RS256);
    let other = SigningKey::rsa("os", 1, Algorithm::RS256);
    let issuer = TestIssuer::start("/os", &[&key]).await;
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap().to_string();
    drop(port);
    let serving = crm()
        .args(["serve", "--listen", &address, "--role", "api"])
        .env("DATABASE_URL", app.database.url())
        .env("CRM_ISSUERS", settings(&issuer).to_string())
        .env("CRM_OS_ROLES", r#"{"user": ["viewer"]}"#)
        .env("CRM_QUOTA_RECORDS", "0")
        .spawn();
    let serving = Killed(serving.unwrap());
    let client = Client::new(&format!("http://{address}"), None);
    wait_until("it serves", || async {
        tokio::net::TcpStream::connect(&address).await.is_ok()
    })
    .await;
    let user = client.with_token(&token(&key, &issuer, tenant, "user"));
    assert_eq!(roles(&user).await, json!(["viewer"]));
    let forged = client.with_token(&token(&other, &issuer, tenant, "user"));
    assert_eq!(forged.get("bootstrap").await.status, 401);
    let development = client.with_token(&app.token(tenant, "owner"));
    assert_eq!(development.get("bootstrap").await.status, 401);
    let staff = client.with_token(&token(&key, &issuer, tenant, "staff"));
    let patient = json!({"data": {"full_name": "Ada"}});
    let refused = staff.post("records/patients", patient).await;
    assert_eq!(refused.body["quota"]["name"], "records", "{}", refused.body);
    drop(serving);

    let refused = crm()
        .args(["serve", "--listen", &address])
        .env("DATABASE_URL", app.database.url())
        .env("CRM_OS_ROLES", r#"{"user": "viewer"}"#)
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(error.contains("CRM_OS_ROLES cannot be used"), "{error}");
}
