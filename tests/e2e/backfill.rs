//! Computed fields that are added to modules with records: those get their values too.

use crm_tests::app::{TestApp, eager_tasks};
use crm_tests::client::Client;
use crm_tests::cluster::cluster;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const FIELDS: &str = "modules/doctors/fields";

fn doctor(name: &str) -> Value {
    json!({"full_name": name, "specialty": "other"})
}

async fn add(owner: &Client, field: Value) -> Value {
    owner.post(FIELDS, field).await.expect(201)
}

async fn record(owner: &Client, id: &str) -> Value {
    let path = format!("records/doctors/{id}");
    owner.get(&path).await.expect(200)
}

/// Somebody takes the tasks from now on.
fn work(app: &TestApp) -> tokio_util::sync::DropGuard {
    let (engine, stop) = (app.engine.clone(), CancellationToken::new());
    let stopped = stop.clone();
    tokio::spawn(async move { engine.work_tasks(eager_tasks(), stopped).await });
    stop.drop_guard()
}

#[tokio::test]
async fn records_from_before_get_numbers_that_nobody_else_has() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (_, owner) = app.owner_of("hospital").await;
    let mut old = Vec::new();
    for name in ["Ada", "Bob", "Eve"] {
        old.push(owner.create("doctors", doctor(name)).await);
    }
    let field = json!({"key": "number", "label": "Number", "type": "auto_number",
        "prefix": "D-", "digits": 3, "unique": true});
    assert_eq!(add(&owner, field).await["index"], "building");
    // New ones take theirs while the old ones wait.
    let first = owner.create("doctors", doctor("New")).await;
    assert_eq!(record(&owner, &first).await["data"]["number"], "D-001");
    assert_eq!(
        record(&owner, &old[0]).await["data"]["number"],
        Value::Null,
        "nobody has begun"
    );
    let _working = work(&app);
    let creating = async {
        for name in ["X", "Y", "Z"] {
            owner.create("doctors", doctor(name)).await;
        }
    };
    tokio::join!(creating, owner.tasks_end());

    let list = owner.get("records/doctors?limit=200").await.expect(200);
    let mut numbers: Vec<String> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["data"]["number"].as_str().unwrap().to_owned())
        .collect();
    // A write that starts again, because the model changed under it, leaves a gap.
    let count = numbers.len();
    numbers.sort();
    numbers.dedup();
    assert_eq!(
        (numbers.len(), count),
        (7, 7),
        "each has its own: {numbers:?}"
    );
    let mut of_old = Vec::new();
    for id in &old {
        let record = record(&owner, id).await;
        assert_eq!(record["version"], 2, "a change of the host's");
        of_old.push(record["data"]["number"].as_str().unwrap().to_owned());
    }
    assert!(of_old.is_sorted(), "in the order of creation: {of_old:?}");
    let field = owner.get(&format!("{FIELDS}/number")).await.expect(200);
    assert_eq!(field["index"], "ready");
    let found = owner
        .get(&format!("records/doctors?number=eq.{}", of_old[2]))
        .await
        .expect(200);
    assert_eq!(found["data"][0]["id"], json!(old[2]));
}

#[tokio::test]
async fn records_from_before_say_who_made_them_and_when() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let admin = app.client(tenant, "admin");
    let ada = admin.create("doctors", doctor("Ada")).await;
    let before = record(&owner, &ada).await;
    assert_eq!(before["created_by"], "admin-1");
    for kind in ["created_at", "created_by", "updated_at", "updated_by"] {
        let field = json!({"key": format!("was_{kind}"), "label": kind, "type": kind});
        assert_eq!(add(&owner, field).await["index"], "building", "{kind}");
        owner.tasks_end().await;
    }
    let after = record(&owner, &ada).await;
    let moment = |value: &Value| -> chrono::DateTime<chrono::Utc> {
        value.as_str().unwrap().parse().unwrap()
    };
    assert_eq!(after["data"]["was_created_by"], "admin-1");
    assert_eq!(
        moment(&after["data"]["was_created_at"]),
        moment(&before["created_at"])
    );
    assert_eq!(after["data"]["was_updated_by"], after["updated_by"]);
    assert_eq!(
        moment(&after["data"]["was_updated_at"]),
        moment(&after["updated_at"])
    );
    assert_eq!(after["created_at"], before["created_at"]);
    let runs = owner.get("runs").await.expect(200);
    assert_eq!(runs["data"], json!([]), "no workflow starts");
}

#[tokio::test]
async fn a_formula_is_computed_for_records_from_before() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let ada = owner.create("doctors", doctor("Ada")).await;
    let number = json!({"key": "number", "label": "Number", "type": "auto_number"});
    add(&owner, number).await;
    let formula = json!({"key": "shout", "label": "Shout", "type": "formula", "result": "text",
        "expression": "upper(record.full_name)", "indexed": true});
    assert_eq!(add(&owner, formula).await["index"], "building");
    owner.tasks_end().await;
    let data = record(&owner, &ada).await["data"].clone();
    assert_eq!(data["shout"], "ADA");
    let found = owner.get("records/doctors?shout=eq.ADA").await.expect(200);
    assert_eq!(found["data"][0]["id"], json!(ada));
}

#[tokio::test]
async fn a_record_that_was_in_the_trash_catches_up_when_it_comes_back() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let admin = app.client(tenant, "admin");
    let ada = admin.create("doctors", doctor("Ada")).await;
    let path = format!("records/doctors/{ada}");
    assert_eq!(owner.delete(&path).await.status, 204);
    for field in [
        json!({"key": "number", "label": "N", "type": "auto_number", "unique": true}),
        json!({"key": "maker", "label": "M", "type": "created_by"}),
    ] {
        add(&owner, field).await;
    }
    owner.tasks_end().await;
    let bob = owner.create("doctors", doctor("Bob")).await;
    // Texts of one length, so their order is the order of the numbers; a write that starts again,
    // because the model changed under it, leaves a gap.
    let number = |record: &Value| record["data"]["number"].as_str().unwrap().to_owned();
    let of_bob = number(&record(&owner, &bob).await);
    let restore = format!("{path}/restore");
    let back = owner.post(&restore, json!({})).await.expect(200);
    assert!(number(&back) > of_bob, "the next number");
    assert_eq!(back["data"]["maker"], "admin-1");

    // One that has its number keeps it.
    assert_eq!(owner.delete(&path).await.status, 204);
    let again = owner.post(&restore, json!({})).await.expect(200);
    assert_eq!(number(&again), number(&back));
    let eve = owner.create("doctors", doctor("Eve")).await;
    assert!(number(&record(&owner, &eve).await) > number(&back));
}
