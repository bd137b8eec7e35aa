//! Idempotency keys: the same request twice does its work once.

use crm_tests::app::{TestApp, eager_worker};
use crm_tests::client::Client;
use crm_tests::cluster::cluster;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

async fn count(client: &Client) -> Value {
    let list = client.get("records/doctors?include=total").await;
    list.expect(200)["total"]["value"].clone()
}

fn doctor(name: &str) -> Value {
    json!({"data": {"full_name": name, "specialty": "cardiology"}})
}

#[tokio::test]
async fn the_same_request_is_answered_again() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let first = owner
        .post_once("records/doctors", "k-1", doctor("Dr. Grey"))
        .await;
    assert_eq!(first.status, 201, "{}", first.body);
    assert_eq!(first.header("idempotent-replayed"), None);
    let again = owner
        .post_once("records/doctors", "k-1", doctor("Dr. Grey"))
        .await;
    assert_eq!(again.status, 201);
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("etag"), first.header("etag"));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(count(&owner).await, 1);

    let other = owner
        .post_once("records/doctors", "k-1", doctor("Dr. Yang"))
        .await;
    assert_eq!(other.body["type"], "/problems/key-reused");
    assert_eq!(other.status, 422);

    // The key is this person's of this tenant.
    let (_, stranger) = app.owner_of("hospital").await;
    let theirs = stranger
        .post_once("records/doctors", "k-1", doctor("Dr. Grey"))
        .await;
    assert_eq!(theirs.status, 201);
    assert_ne!(theirs.body["id"], first.body["id"]);

    // On another instance too.
    let second = TestApp::on(app.database.clone(), Some(eager_worker())).await;
    let elsewhere = second
        .client(tenant, "owner")
        .post_once("records/doctors", "k-1", doctor("Dr. Grey"))
        .await;
    assert_eq!(elsewhere.body, first.body);
    assert_eq!(count(&owner).await, 1);
}

#[tokio::test]
async fn what_was_refused_may_be_mended_under_the_same_key() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let refused = owner
        .post_once("records/doctors", "k-2", json!({"data": {}}))
        .await;
    assert_eq!(refused.status, 422);
    let mended = owner
        .post_once("records/doctors", "k-2", doctor("Dr. Grey"))
        .await;
    assert_eq!(mended.status, 201, "{}", mended.body);
}

#[tokio::test]
async fn a_key_holds_for_every_post() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let id = owner
        .create("doctors", doctor("Dr. Grey")["data"].clone())
        .await;
    let note = json!({"kind": "note", "title": "hello"});
    let bulk = json!({"operations": [{"op": "create", "data": doctor("Dr. Yang")["data"]}]});
    let module = json!({"slug": "things", "label": "Thing",
        "fields": [{"key": "name", "label": "Name", "type": "text"}]});
    let field = json!({"key": "size", "label": "Size", "type": "integer"});
    let view = json!({"module": "doctors", "name": "All", "kind": "table"});
    for (path, body) in [
        ("modules".to_owned(), module),
        ("modules/doctors/fields".to_owned(), field),
        ("views".to_owned(), view),
        (format!("records/doctors/{id}/activities"), note),
        (format!("records/doctors/{id}/clone"), json!({})),
        ("records/doctors/bulk".to_owned(), bulk),
    ] {
        let first = owner.post_once(&path, &path, body.clone()).await;
        let again = owner.post_once(&path, &path, body).await;
        assert!(first.status.is_success(), "{path}: {}", first.body);
        assert_eq!(again.body, first.body, "{path}");
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{path}");
    }
    assert_eq!(count(&owner).await, 3);
}

#[tokio::test]
async fn of_many_at_the_same_time_one_does_the_work() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let second = TestApp::on(app.database.clone(), None).await;
    let clients = [owner.clone(), second.client(tenant, "owner")];
    let requests = (0..16).map(|n| {
        let client = clients[n % 2].clone();
        async move {
            client
                .post_once("records/doctors", "k-3", doctor("Dr. Grey"))
                .await
        }
    });
    let answers = futures::future::join_all(requests).await;
    for answer in &answers {
        assert!(
            [201, 409].contains(&answer.status.as_u16()),
            "{}",
            answer.body
        );
    }
    assert_eq!(count(&owner).await, 1);
}

fn people(rows: usize) -> String {
    let mut text = "full_name\n".to_owned();
    for number in 0..rows {
        text.push_str(&format!("Ada the {number}th\n"));
    }
    text
}

/// What is stored of files in the whole database: imports, those under way too, and chunks.
async fn stored(app: &TestApp) -> (i64, i64) {
    let mut owner = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let counts = "select (select count(*) from crm_imports), (select count(*) from \
                  crm_import_chunks)";
    sqlx::query_as(counts).fetch_one(&mut owner).await.unwrap()
}

#[tokio::test]
async fn an_upload_that_comes_twice_is_one_import() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("jewellery").await;
    let file = people(1500);
    let first = owner
        .upload_once("up-1", "customers", "people.csv", file.clone())
        .await;
    assert_eq!(first.status, 201, "{}", first.body);
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(first.body["file_name"], "people.csv");
    let kept = stored(&app).await;
    assert_eq!(kept.0, 1);

    // From here on, whoever stores a file fails.
    let mut database = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    sqlx::query("revoke insert on crm_imports, crm_import_chunks from crm_runtime")
        .execute(&mut database)
        .await
        .unwrap();
    let again = owner
        .upload_once("up-1", "customers", "people.csv", file.clone())
        .await;
    assert_eq!(again.status, 201, "{}", again.body);
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));

    // Each part tells requests apart, and other files are not even looked at.
    let mut changed = file.clone();
    changed.replace_range(file.len() - 2..file.len() - 1, "~");
    for (module, name, file) in [
        ("customers", "people.csv", changed.into_bytes()),
        ("customers", "people.csv", b"\xff\xfe".to_vec()),
        ("customers", "others.csv", file.clone().into_bytes()),
        ("items", "people.csv", file.clone().into_bytes()),
    ] {
        let other = owner.upload_once("up-1", module, name, file).await;
        assert_eq!(other.status, 422, "{}", other.body);
        assert_eq!(other.body["type"], "/problems/key-reused");
    }

    // On another instance too.
    let second = TestApp::on(app.database.clone(), None).await;
    let elsewhere = second
        .client(tenant, "owner")
        .upload_once("up-1", "customers", "people.csv", file)
        .await;
    assert_eq!(elsewhere.body, first.body);
    assert_eq!(stored(&app).await, kept);
    let imports = owner.get("imports").await.expect(200);
    assert_eq!(imports["data"], json!([first.body]));
}

#[tokio::test]
async fn a_refused_upload_may_be_mended_under_the_same_key() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let refused = owner
        .upload_once("up-2", "customers", "people.csv", people(0))
        .await;
    assert_eq!(refused.status, 422);
    assert_eq!(stored(&app).await, (0, 0));
    let mended = owner
        .upload_once("up-2", "customers", "people.csv", people(1))
        .await;
    assert_eq!(mended.status, 201, "{}", mended.body);
}

#[tokio::test]
async fn of_many_uploads_under_one_key_one_is_kept() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("jewellery").await;
    let second = TestApp::on(app.database.clone(), None).await;
    let clients = [owner.clone(), second.client(tenant, "owner")];
    let uploads = (0..16).map(|n| {
        let client = clients[n % 2].clone();
        async move {
            client
                .upload_once("up-3", "customers", "people.csv", people(1))
                .await
        }
    });
    for answer in futures::future::join_all(uploads).await {
        let status = answer.status.as_u16();
        assert!([201, 409].contains(&status), "{}", answer.body);
    }
    assert_eq!(stored(&app).await, (1, 1));
}

#[tokio::test]
async fn a_run_is_cancelled_once_under_its_key() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (_, owner) = app.owner_of("jewellery").await;
    let mut cancels = Vec::new();
    for _ in 0..2 {
        let import = owner.upload("customers", people(1)).await.expect(201);
        let run = format!("imports/{}/run", import["id"].as_str().unwrap());
        let run = owner.post(&run, json!({}));
        let task = run.await.expect(202)["task_id"].clone();
        cancels.push(format!("tasks/{}/cancel", task.as_str().unwrap()));
    }
    let first = owner.post_once(&cancels[0], "stop-1", json!({})).await;
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(first.body["status"], "cancelled");
    let again = owner.post_once(&cancels[0], "stop-1", json!({})).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));

    let other = owner.post_once(&cancels[1], "stop-1", json!({})).await;
    assert_eq!(other.status, 422);
    assert_eq!(other.body["type"], "/problems/key-reused");
    let task = cancels[1].trim_end_matches("/cancel");
    let task = owner.get(task).await.expect(200);
    assert_eq!(task["status"], "queued");
}
