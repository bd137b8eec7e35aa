//! The database goes away and comes back.

use crm_cli::Database;
use crm_cli::host::{Host, HostSettings};
use crm_cli::postgres::{PrivatePostgres, Settings};
use crm_sandbox::SandboxSettings;
use crm_store::StoreSettings;
use crm_tests::app::{TestApp, eager_worker};
use crm_tests::client::{Client, wait_until};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn away_is_503_and_back_is_back() {
    let parent = tempfile::tempdir_in(std::env::temp_dir()).unwrap();
    let data_dir = parent.path().join("data");
    let settings = Settings {
        durable: false,
        max_connections: 60,
    };
    let quiet = |_: &str| {};
    let server = PrivatePostgres::join_or_start(&data_dir, settings.clone(), quiet)
        .await
        .unwrap();
    let database = Database::open(Some(&server.url()), &data_dir, quiet)
        .await
        .unwrap();
    let host = HostSettings {
        effects: Default::default(),
        dev_issuer: true,
        serving: Default::default(),
        quotas: Default::default(),
        store: StoreSettings {
            acquire_timeout: Duration::from_millis(500),
            ..StoreSettings::default()
        },
        sandbox: SandboxSettings {
            cache: Some(crm_tests::cluster::code_cache()),
            concurrency: 4,
            ..SandboxSettings::default()
        },
    };
    let host = Host::prepare(&database, host, quiet).await.unwrap();
    let tenant = crm_model::TenantId::new(uuid::Uuid::now_v7());
    database
        .admin()
        .await
        .unwrap()
        .tenant_create(tenant, "T")
        .await
        .unwrap();
    let actor = crm_model::Actor::person("u".parse().unwrap(), vec!["owner".parse().unwrap()]);
    let issuer = host.dev_issuer.clone().unwrap();
    let token = issuer
        .sign(tenant, &actor, Duration::from_secs(600))
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let owner = Client::new(
        &format!("http://{}", listener.local_addr().unwrap()),
        Some(token),
    );
    let stop = CancellationToken::new();
    let serving = tokio::spawn({
        let stop = stop.clone();
        async move { host.run(Some(listener), Some(eager_worker()), stop).await }
    });
    owner
        .post("templates/select", json!({"template_id": "hospital"}))
        .await
        .expect(201);
    let patient = owner.create("patients", json!({"full_name": "Ada"})).await;
    let path = format!("records/patients/{patient}");

    let port = server.port();
    assert!(server.stop().await.unwrap(), "the server is ours to stop");
    drop(server);
    for answer in [
        owner.get(&path).await,
        owner
            .post("records/patients", json!({"data": {"full_name": "Grace"}}))
            .await,
        owner.get("records/patients").await,
        owner.get("/readyz").await,
    ] {
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert!(answer.header("retry-after").is_some());
        assert_eq!(answer.body["type"], "/problems/unavailable");
    }
    assert_eq!(owner.get("/healthz").await.expect(200), "ok");

    let server = PrivatePostgres::join_or_start(&data_dir, settings, quiet)
        .await
        .unwrap();
    assert_eq!(server.port(), port, "the server keeps its port");
    wait_until("it serves again by itself", || async {
        owner.get(&path).await.status == 200
    })
    .await;
    let patient = owner
        .create("patients", json!({"full_name": "Grace"}))
        .await;
    assert_eq!(
        owner.run("welcome", &patient, &["done", "dead"]).await["status"],
        "done"
    );
    stop.cancel();
    serving.await.unwrap().unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_read_only_is_no_suspended_tenant() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let ada = owner.create("patients", json!({"full_name": "Ada"})).await;
    owner.run("welcome", &ada, &["done"]).await;
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let name = &app.database.name;
    let statement = format!("alter database {name} set default_transaction_read_only = on");
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(&mut admin)
        .await
        .unwrap();
    // As after a failover: its connections are new ones.
    let after = TestApp::on(app.database.clone(), None).await;
    let owner = after.client(tenant, "owner");
    let path = format!("records/patients/{ada}");
    owner.get(&path).await.expect(200);
    owner.get("records/patients").await.expect(200);
    let patch = json!({"data": {"full_name": "Ada L."}});
    let bulk = json!({"operations": [{"op": "create", "data": {"full_name": "B"}}]});
    for answer in [
        owner.post("records/patients", patch.clone()).await,
        owner.patch(&path, patch).await,
        owner.post("records/patients/bulk", bulk).await,
        owner
            .patch("settings", json!({"time_zone": "Europe/Berlin"}))
            .await,
        owner.delete(&path).await,
    ] {
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert_eq!(answer.body["type"], "/problems/unavailable");
        assert!(answer.header("retry-after").is_some());
    }
}
