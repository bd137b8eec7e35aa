//! Tenants from outside: suspended and resumed on the command line, and entered by super admins.

use crate::command::crm;
use crm_model::TenantId;
use crm_tests::app::{SUPER_ADMIN, TestApp};
use crm_tests::client::{Client, wait_until};
use crm_tests::cluster::{TestDatabase, cluster};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

fn run(database: &TestDatabase, arguments: &[&str]) -> String {
    let mut command = crm();
    command.args(arguments).env("DATABASE_URL", database.url());
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_suspended_tenant_reads_and_does_not_write() {
    let app = TestApp::start().await;
    let other = TestApp::on(app.database.clone(), None).await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let (_, neighbour) = app.owner_of("hospital").await;
    let elsewhere = other.client(tenant, "owner");
    let ada = owner.create("patients", json!({"full_name": "Ada"})).await;
    owner.run("welcome", &ada, &["done"]).await;
    let view = json!({"name": "V", "module": "patients", "shared": true});
    let view = owner.post("views", view).await.expect(201);
    let import = owner
        .upload("patients", "full_name\nGrace\n")
        .await
        .expect(201);
    let path = format!("records/patients/{ada}");
    elsewhere.get(&path).await.expect(200);

    let id = tenant.to_string();
    run(&app.database, &["tenant", "suspend", &id]);
    let listed = run(&app.database, &["tenant", "list"]);
    assert!(
        listed.contains(&format!("{id}  hospital  (suspended)")),
        "{listed}"
    );
    let view = format!("views/{}", view["id"].as_str().unwrap());
    let run_path = format!("imports/{}/run", import["id"].as_str().unwrap());
    let writes = [
        (
            Method::POST,
            "records/patients",
            json!({"data": {"full_name": "B"}}),
        ),
        (Method::PATCH, &path, json!({"data": {"full_name": "B"}})),
        (Method::PUT, &path, json!({"data": {"full_name": "B"}})),
        (
            Method::POST,
            "records/patients/bulk",
            json!({"operations": [{"op": "create", "data": {"full_name": "B"}}]}),
        ),
        (
            Method::POST,
            "modules",
            json!({"slug": "m", "label": "M", "fields": []}),
        ),
        (
            Method::PATCH,
            "settings",
            json!({"time_zone": "Europe/Berlin"}),
        ),
        (
            Method::POST,
            "views",
            json!({"name": "W", "module": "patients"}),
        ),
        (Method::PATCH, &view, json!({"name": "W"})),
        (Method::DELETE, &view, Value::Null),
        (Method::POST, &run_path, json!({})),
        (
            Method::POST,
            &format!("{path}/activities"),
            json!({"kind": "note", "title": "x"}),
        ),
        (Method::DELETE, &path, Value::Null),
        (Method::DELETE, &format!("{path}?purge=true"), Value::Null),
    ];
    let mut written = Vec::new();
    for client in [&elsewhere, &owner] {
        for (method, path, body) in &writes {
            let body = (!body.is_null()).then(|| body.to_string());
            let answer = client.call(method.clone(), path, &[], body).await;
            if answer.status != 403 || answer.body["type"] != "/problems/suspended" {
                written.push(format!("{method} {path}: {}", answer.body));
            }
        }
    }
    assert_eq!(written, [""; 0], "what is not refused");
    for client in [&elsewhere, &owner] {
        let upload = client.upload("patients", "full_name\nB\n").await;
        assert_eq!(upload.body["type"], "/problems/suspended");
        let record = client.get(&path).await.expect(200);
        assert_eq!(record["version"], 2, "created, and welcomed");
        client.get("records/patients/export").await.expect(200);
        client.get("audit").await.expect(200);
    }
    neighbour
        .create("patients", json!({"full_name": "N"}))
        .await;

    run(&app.database, &["tenant", "resume", &id]);
    let changed = json!({"data": {"full_name": "Ada L."}});
    elsewhere.patch(&path, changed.clone()).await.expect(200);
    owner.create("patients", json!({"full_name": "C"})).await;
    let log = owner.get("audit?limit=4").await.expect(200);
    let actions: Vec<&str> = log["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "tenant.resumed",
            "records.exported",
            "records.exported",
            "tenant.suspended"
        ]
    );
}

#[tokio::test]
async fn jobs_of_a_suspended_tenant_wait() {
    let database = cluster().database().await;
    let idle = TestApp::on(database.clone(), None).await;
    let (tenant, owner) = idle.owner_of("hospital").await;
    let (_, neighbour) = idle.owner_of("hospital").await;
    let ada = owner.create("patients", json!({"full_name": "Ada"})).await;
    let import = owner
        .upload("patients", "full_name\nGrace\n")
        .await
        .expect(201);
    let import = format!("imports/{}", import["id"].as_str().unwrap());
    owner
        .post(&format!("{import}/run"), json!({}))
        .await
        .expect(202);
    run(&database, &["tenant", "suspend", &tenant.to_string()]);

    let working = TestApp::start_on(database.clone()).await;
    let grace = neighbour
        .create("patients", json!({"full_name": "Grace"}))
        .await;
    neighbour.run("welcome", &grace, &["done"]).await;
    let runs = owner
        .get(&format!("runs?record_id={ada}"))
        .await
        .expect(200);
    assert_eq!(runs["data"][0]["status"], "queued");
    assert_eq!(runs["data"][0]["attempts"], 0, "nobody took it: {runs}");
    assert_eq!(owner.get(&import).await.expect(200)["status"], "running");
    let rows = owner
        .get("records/patients?include=total")
        .await
        .expect(200);
    assert_eq!(rows["total"]["value"], 1);

    run(&database, &["tenant", "resume", &tenant.to_string()]);
    owner.run("welcome", &ada, &["done"]).await;
    wait_until("the import goes on", async || {
        owner.get(&import).await.expect(200)["status"] != "running"
    })
    .await;
    let rows = owner
        .get("records/patients?include=total")
        .await
        .expect(200);
    assert_eq!(rows["total"]["value"], 2);
    drop(working);
}

#[tokio::test]
async fn a_tenant_is_made_in_under_a_second() {
    let database = cluster().database().await;
    let fastest = (0..5).map(|_| {
        let began = Instant::now();
        run(&database, &["tenant", "create", "--name", "Quick"]);
        began.elapsed()
    });
    let fastest = fastest.min().unwrap();
    assert!(fastest < Duration::from_secs(1), "{fastest:?}");
}

#[tokio::test]
async fn an_instance_that_knows_nobody_yet_answers_many_at_once() {
    let app = TestApp::start().await;
    let mut tenants = Vec::new();
    for _ in 0..24 {
        tenants.push(app.owner_of("hospital").await.0);
    }
    // It has fewer connections than there are tenants whose models it has to read first.
    let fresh = TestApp::on(app.database.clone(), None).await;
    let ask = |tenant: &TenantId| {
        let owner = fresh.client(*tenant, "owner");
        async move { owner.get("records/patients").await.status.as_u16() }
    };
    let statuses = futures::future::join_all(tenants.iter().map(ask)).await;
    assert_eq!(statuses, [200; 24]);
}

fn acting(tenant: &str) -> [(&str, &str); 2] {
    [("x-tenant-id", tenant), ("x-request-id", "of-the-admin")]
}

async fn get_as(client: &Client, path: &str, tenant: &str) -> crm_tests::client::Answer {
    client.call(Method::GET, path, &acting(tenant), None).await
}

#[tokio::test]
async fn a_super_admin_acts_for_a_tenant_and_that_is_written_down() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let home = app.tenant("the operator's own").await;
    let admin = app.client(home, SUPER_ADMIN);
    let id = tenant.to_string();
    let ada = owner.create("patients", json!({"full_name": "Ada"})).await;
    let path = format!("records/patients/{ada}");

    assert_eq!(admin.get(&path).await.status, 404, "without the header");
    get_as(&admin, &path, &id).await.expect(200);
    let zone = json!({"time_zone": "Europe/Berlin"}).to_string();
    let headers = acting(&id);
    let edited = admin.call(Method::PATCH, "settings", &headers, Some(zone));
    edited.await.expect(200);
    let log = owner.get("audit?actor=super_admin-1").await.expect(200);
    let log = log["data"].as_array().unwrap();
    let told: Vec<(&Value, &Value)> = log
        .iter()
        .map(|entry| (&entry["action"], &entry["target"]))
        .collect();
    assert_eq!(
        json!(told),
        json!([
            ["settings.edited", "settings"],
            ["tenant.entered", "PATCH /settings"],
            ["tenant.entered", format!("GET /{path}")],
        ]),
        "each request, and what it did"
    );
    for entry in log {
        assert_eq!(entry["home_tenant"], home.to_string(), "{entry}");
        assert_eq!(entry["request_id"], "of-the-admin");
        assert_eq!(entry["address"], "127.0.0.1");
    }

    // What is refused in the end was asked all the same.
    assert_eq!(get_as(&admin, "records/nowhere", &id).await.status, 404);
    let log = owner
        .get("audit?actor=super_admin-1&limit=1")
        .await
        .expect(200);
    assert_eq!(log["data"][0]["target"], "GET /records/nowhere");
    let own = owner.get("audit?actor=owner-1").await.expect(200);
    assert_eq!(own["data"][0]["home_tenant"], Value::Null);
}

#[tokio::test]
async fn nobody_else_acts_for_a_tenant() {
    let app = TestApp::start().await;
    let (alice, _) = app.owner_of("hospital").await;
    let (mallory, owner) = app.owner_of("hospital").await;
    let unknown = TenantId::new(Uuid::now_v7());
    let told = |answer: crm_tests::client::Answer| {
        let mut body = answer.body;
        body.as_object_mut().unwrap().remove("request_id");
        (answer.status.as_u16(), body)
    };
    let ids = [
        alice.to_string(),
        unknown.to_string(),
        mallory.to_string(),
        "not-an-id".to_owned(),
    ];
    let mut refused = Vec::new();
    for id in &ids {
        refused.push(told(get_as(&owner, "bootstrap", id).await));
    }
    assert_eq!(refused[0].0, 403);
    refused.dedup();
    assert_eq!(
        refused.len(),
        1,
        "whoever may not learns nothing: {refused:?}"
    );

    let home = app.tenant("the operator's own").await;
    let admin = app.client(home, SUPER_ADMIN);
    let missing = told(get_as(&admin, "bootstrap", &unknown.to_string()).await);
    assert_eq!(missing.0, 404);
    assert_eq!(
        told(get_as(&admin, "bootstrap", "not-an-id").await),
        missing
    );
    assert_eq!(told(get_as(&admin, "bootstrap", "").await), missing);
    let own = get_as(&admin, "bootstrap", &home.to_string()).await;
    own.expect(200);
}
