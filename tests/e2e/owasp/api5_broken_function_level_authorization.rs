//! API5:2023 Broken Function Level Authorization: nobody gets at a function that their roles do
//! not give them, by whatever door. Here functions are routes and methods; the mightiest of them,
//! acting for another tenant, is no tenant's to give. Who may do what on each route is
//! `route_matrix.txt` (by `authorisation.rs`), per module `permission_matrix.txt`; roles and
//! members are `roles.rs`'s, keys `api_keys.rs`'s, super admins `tenants.rs`'s.

use super::{of_nothing, operations, quiet, raw, request, status};
use crate::authorisation::{body, collection_body, comparable, parameters};
use crm_server::auth::{Issuers, parse_issuers};
use crm_tests::app::SUPER_ADMIN;
use crm_tests::client::Client;
use crm_tests::issuer::{SigningKey, TestIssuer};
use reqwest::Method;
use serde_json::json;

/// What somebody without any role of the tenant's may ask: who they are, what the product can do,
/// and lists that hold nothing for them.
const OF_ANYBODY: [&str; 17] = [
    "GET /auth/login",
    "GET /api/crm/activities",
    "GET /api/crm/approvals",
    "GET /api/crm/bootstrap",
    "GET /api/crm/field-types",
    "GET /api/crm/imports",
    "GET /api/crm/modules",
    "GET /api/crm/notifications",
    "GET /api/crm/search",
    "GET /api/crm/settings",
    "GET /api/crm/tasks",
    "GET /api/crm/templates",
    "GET /api/crm/templates/{slug}",
    "GET /api/crm/timeline",
    "GET /api/crm/views",
    "GET /api/crm/workflows",
    "GET /problems/{kind}",
];

/// Lists of the product's, not of a tenant's.
const SAME_FOR_ALL: [&str; 2] = ["/api/crm/field-types", "/api/crm/templates"];

#[tokio::test]
async fn somebody_without_a_role_does_nothing() {
    let app = quiet().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let patient = owner
        .create("patients", json!({"full_name": "Ada Zebulon"}))
        .await;
    let note = json!({"kind": "note", "title": "Zebulon"});
    let activities = format!("records/patients/{patient}/activities");
    owner.post(&activities, note).await.expect(201);
    let view = json!({"name": "Zebulon", "module": "patients", "shared": true});
    owner.post("views", view).await.expect(201);
    let nobody = app.client(tenant, "no_such_role");
    let mut may = Vec::new();
    for (method, path) in operations(&owner).await {
        let asked = path
            .replace("{module}", "patients")
            .replace("{id}", &patient)
            .replace("/templates/{slug}", "/templates/hospital")
            .replace("{slug}", "agent")
            .replace("{kind}", "stale");
        let asked = match asked.as_str() {
            "/api/crm/search" => "/api/crm/search?q=zebulon",
            "/api/crm/timeline" => "/api/crm/timeline?user=owner-1",
            other => other,
        };
        let good = match parameters(&path).is_empty() {
            true => collection_body(&method, &path, "nobody"),
            false => body(&method, &path).flatten(),
        };
        let good = good.map(|body| body.to_string());
        let asked = of_nothing(asked);
        let answer = nobody.call(method.clone(), &asked, &[], good).await;
        let text = answer.body.to_string();
        assert!(!text.contains("Zebulon"), "{method} {path}: {text}");
        let route = format!("{method} {path}");
        let empty = answer.body["data"].as_array().is_none_or(Vec::is_empty);
        assert!(
            empty || SAME_FOR_ALL.contains(&path.as_str()),
            "{route}: {text}"
        );
        let probe = ["/healthz", "/readyz"].contains(&path.as_str());
        if answer.status.is_success() && !OF_ANYBODY.contains(&route.as_str()) && !probe {
            may.push(route);
        }
    }
    assert_eq!(
        may, [""; 0],
        "functions that are anybody's: is that meant? (`OF_ANYBODY`)"
    );
}

/// Who may do one thing with one module is told of no other module, by no function.
#[tokio::test]
async fn a_module_out_of_sight_is_so_for_every_function() {
    let app = quiet().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let patient = owner.create("patients", json!({"full_name": "Ada"})).await;
    let role = json!({"slug": "porter", "label": "Porter", "permissions": {"doctors": ["*"]}});
    owner.post("roles", role).await.expect(201);
    let porter = app.client(tenant, "porter");
    let same = |hidden: &str, unknown: &str| {
        let (hidden, unknown) = (hidden.to_owned(), unknown.to_owned());
        let porter = porter.clone();
        async move {
            let told = async |path: &str| {
                let (status, body) = comparable(&porter.get(path).await);
                let body = body
                    .to_string()
                    .replace("patients", "…")
                    .replace("nowhere", "…");
                (status, body.replace("welcome", "…"))
            };
            let (hidden_told, unknown_told) = (told(&hidden).await, told(&unknown).await);
            assert_eq!(hidden_told, unknown_told, "{hidden}");
            let explains = hidden.starts_with("permissions/");
            assert!(
                explains || hidden_told.0 >= 400,
                "{hidden}: {hidden_told:?}"
            );
        }
    };
    for path in [
        "modules/@",
        "modules/@/fields",
        "modules/@/schema",
        "records/@",
        "records/@/export",
        "permissions/explain?module=@&action=read",
    ] {
        same(
            &path.replace('@', "patients"),
            &path.replace('@', "nowhere"),
        )
        .await;
    }
    same("workflows/welcome", "workflows/nowhere").await;
    same("workflows/welcome/runs", "workflows/nowhere/runs").await;
    // What a run was given is shown to those who manage its module, not to those of another.
    let runs = owner.get("runs").await.expect(200);
    let run = runs["data"][0]["id"].as_str().unwrap();
    let nobodys = uuid::Uuid::now_v7();
    same(&format!("runs/{run}"), &format!("runs/{nobodys}")).await;
    let nurse = json!({"slug": "nurse", "label": "Nurse", "permissions": {"patients": ["*"]}});
    owner.post("roles", nurse).await.expect(201);
    let nurse = app.client(tenant, "nurse");
    assert_eq!(nurse.get("runs").await.expect(200), runs);
    nurse.get(&format!("runs/{run}")).await.expect(200);
    same(
        &format!("records/patients/{patient}"),
        &format!("records/nowhere/{patient}"),
    )
    .await;
    for path in [
        "bootstrap",
        "modules",
        "workflows",
        "views",
        "activities",
        "tasks",
        "runs",
    ] {
        let told = porter.get(path).await.body.to_string();
        assert!(!told.contains("\"patients\""), "{path}: {told}");
    }
}

#[tokio::test]
async fn a_method_is_what_the_request_line_says() {
    let app = quiet().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let patient = owner.create("patients", json!({"full_name": "Ada"})).await;
    let path = format!("records/patients/{patient}");
    let viewer = app.client(tenant, "viewer");
    for client in [&viewer, &owner] {
        for name in [
            "x-http-method-override",
            "x-http-method",
            "x-method-override",
        ] {
            for method in [Method::GET, Method::POST] {
                for wanted in ["DELETE", "PATCH"] {
                    let headers = [(name, wanted)];
                    let body = (method == Method::POST)
                        .then(|| json!({"data": {"full_name": "x"}}).to_string());
                    client.call(method.clone(), &path, &headers, body).await;
                }
            }
        }
        for query in [
            "_method=DELETE",
            "method=DELETE",
            "_method=delete&purge=true",
        ] {
            client.get(&format!("{path}?{query}")).await;
            client.post(&format!("{path}?{query}"), json!({})).await;
        }
    }
    let record = owner.get(&path).await.expect(200);
    assert_eq!(
        (&record["version"], &record["deleted_at"]),
        (&json!(1), &json!(null))
    );

    for method in [
        "get", "Get", "DELETE\t", "PROPFIND", "TRACE", "PURGE", "LINK", "COPY",
    ] {
        let line = format!("{method} /api/crm/{path}");
        let answer = raw(&app.base, request(&owner, &line, "").as_bytes()).await;
        assert!((400..500).contains(&status(&answer)), "{method}: {answer}");
    }
    // What may not be read may not be asked about either.
    for path in ["roles", "members", "audit", "api-keys", "teams"] {
        let head = viewer.call(Method::HEAD, path, &[], None).await;
        assert_eq!(head.status, 403, "HEAD {path}");
    }
}

#[tokio::test]
async fn no_spelling_of_a_path_goes_round_its_guard() {
    let app = quiet().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let viewer = app.client(tenant, "viewer");
    for secret in ["roles", "members", "audit", "api-keys"] {
        for path in [
            format!("/api/crm/{secret}"),
            format!("/api/crm/{secret}/"),
            format!("//api/crm/{secret}"),
            format!("/api//crm/{secret}"),
            format!("/API/CRM/{secret}"),
            format!("/api/crm/./{secret}"),
            format!("/api/crm/views/../{secret}"),
            format!("/api/crm/views/%2e%2e/{secret}"),
            format!("/api/crm/views/..%2f{secret}"),
            format!("/api/crm/views;/../{secret}"),
            format!("/api/crm/{secret};x=1"),
            format!("/api/crm/{secret}.json"),
            format!("/api/crm/{secret}%00"),
            format!("/api/crm/{secret}%20"),
            format!("/api/crm/{secret}?/bootstrap"),
            format!("/api/crm/{secret}%3f"),
            format!("/healthz/../api/crm/{secret}"),
            format!("http://x/api/crm/{secret}"),
        ] {
            let line = format!("GET {path}");
            let answer = raw(&app.base, request(&viewer, &line, "").as_bytes()).await;
            assert!((400..500).contains(&status(&answer)), "{path}: {answer}");
        }
        let line = format!("GET /api/crm/{secret}");
        for headers in [
            format!("x-original-url: /api/crm/{secret}\r\n"),
            "x-rewrite-url: /healthz\r\n".to_owned(),
            "x-forwarded-for: 127.0.0.1\r\nx-forwarded-host: localhost\r\n".to_owned(),
            "x-role: owner\r\nx-roles: owner\r\nx-user-roles: owner\r\n".to_owned(),
        ] {
            let answer = raw(&app.base, request(&viewer, &line, &headers).as_bytes()).await;
            assert_eq!(status(&answer), 403, "{headers}");
        }
        owner.get(secret).await.expect(200);
    }
}

async fn enters(client: &Client, tenant: &str) -> u16 {
    let headers = [("x-tenant-id", tenant)];
    let answer = client
        .call(Method::GET, "records/patients", &headers, None)
        .await;
    answer.status.as_u16()
}

/// The role that opens other tenants is the operator's to give: not a tenant's role by the same
/// name, not a key's, not the word of an issuer that speaks for one tenant.
#[tokio::test]
async fn no_tenant_makes_a_super_admin() {
    let app = quiet().await;
    let (victim, _) = app.owner_of("hospital").await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let victim = victim.to_string();
    let role = json!({"slug": SUPER_ADMIN, "label": "S", "permissions": {"*": ["*"]}});
    owner.post("roles", role).await.expect(201);
    let roles = json!([SUPER_ADMIN, "owner"]);
    for user in ["owner-1", "viewer-1"] {
        let member = json!({"user_id": user, "roles": roles});
        owner.post("members", member).await.expect(201);
    }
    assert_eq!(enters(&owner, &victim).await, 403, "as a member");
    assert_eq!(
        enters(&app.client(tenant, "viewer"), &victim).await,
        403,
        "as a member"
    );
    let key = json!({"name": "k", "roles": [SUPER_ADMIN]});
    let made = owner.post("api-keys", key).await;
    if made.status == 201 {
        let key = owner.with_token(made.body["key"].as_str().unwrap());
        assert_eq!(enters(&key, &victim).await, 403, "as a key");
    }

    // A key of somebody who is one acts for its own tenant all the same.
    let home = app.client(tenant, SUPER_ADMIN);
    assert_eq!(enters(&home, &victim).await, 200, "who is one enters");
    let made = home
        .post("api-keys", json!({"name": "k"}))
        .await
        .expect(201);
    let key = owner.with_token(made["key"].as_str().unwrap());
    key.get("records/patients").await.expect(200);
    assert_eq!(enters(&key, &victim).await, 403, "a key of a super admin");
}

#[tokio::test]
async fn an_issuer_of_one_tenant_makes_no_super_admin() {
    let app = quiet().await;
    let (victim, _) = app.owner_of("hospital").await;
    let (tenant, _) = app.owner_of("hospital").await;
    let key = SigningKey::ec("k");
    let now = jsonwebtoken::get_current_timestamp();
    for (more, status) in [
        (json!({"tenant": tenant}), 403),
        // The operator wrote it down.
        (
            json!({"tenant": tenant, "roles": {"super_admin": SUPER_ADMIN}}),
            200,
        ),
        (json!({}), 200),
    ] {
        let issuer = TestIssuer::start("/idp", &[&key]).await;
        let mut settings =
            json!({"issuer": issuer.name, "audience": "crm", "algorithms": ["ES256"]});
        let members = settings.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        let issuers = parse_issuers(&json!([settings]).to_string()).unwrap();
        let issuers = Issuers::new(None).with(issuers).unwrap();
        let server = |app: crm_server::App| app.with_super_admins(SUPER_ADMIN.parse().ok());
        let base = app.serve(server, issuers).await;
        let claims = json!({"iss": issuer.name, "aud": "crm", "sub": "u", "tenant": tenant,
            "roles": ["super_admin"], "exp": now + 600});
        let client = Client::new(&base, Some(key.sign(&claims)));
        assert_eq!(enters(&client, &victim.to_string()).await, status, "{more}");
    }
}
