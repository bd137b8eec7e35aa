//! The tasks that follow a change of the model, and who may write for a task.

use crm_engine::tasks::TaskSettings;
use crm_model::{TaskId, TenantId};
use crm_store::tasks::{TaskSpec, task_insert, task_lease, task_step};
use crm_store::{Store, StoreError, StoreSettings, TenantTx};
use crm_tests::app::TestApp;
use crm_tests::client::{Client, wait_until};
use crm_tests::cluster::cluster;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

async fn store(app: &TestApp) -> Store {
    Store::connect(app.database.runtime(), StoreSettings::default())
        .await
        .unwrap()
}

/// Queues a task and waits for its end.
async fn done(app: &TestApp, owner: &Client, tenant: TenantId, spec: TaskSpec) -> Value {
    let store = store(app).await;
    let mut tx = TenantTx::begin(&store, tenant).await.unwrap();
    let (id, by) = (Uuid::now_v7(), "u".parse().unwrap());
    task_insert(&mut tx, id, &spec, chrono::Utc::now(), &by)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let path = format!("tasks/{id}");
    wait_until("the task is done", || async {
        let task = owner.get(&path).await.expect(200);
        !["queued", "running"].contains(&task["status"].as_str().unwrap())
    })
    .await;
    owner.get(&path).await.expect(200)
}

async fn rows(app: &TestApp, statement: &'static str) -> Vec<(String, String, Uuid)> {
    let mut owner = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    sqlx::query_as(statement)
        .fetch_all(&mut owner)
        .await
        .unwrap()
}

async fn execute(app: &TestApp, statement: &'static str, tenant: TenantId) {
    let mut owner = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    sqlx::query(statement)
        .bind(tenant.uuid())
        .execute(&mut owner)
        .await
        .unwrap();
}

fn reindex() -> TaskSpec {
    TaskSpec::Reindex {
        module: "customers".parse().unwrap(),
        fields: vec!["code".parse().unwrap()],
        words: true,
    }
}

#[tokio::test]
async fn a_reindex_brings_what_is_kept_beside_records_in_line() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("jewellery").await;
    let code = json!({"key": "code", "label": "Code", "type": "text", "unique": true,
        "searchable": true});
    owner
        .post("modules/customers/fields", code)
        .await
        .expect(201);
    let ada = owner
        .create(
            "customers",
            json!({"full_name": "Ada", "code": "Alpha One"}),
        )
        .await;
    let bob = owner.create("customers", json!({"full_name": "Bob"})).await;
    owner.tasks_end().await;
    execute(&app, "delete from crm_index where tenant_id = $1", tenant).await;
    execute(&app, "delete from crm_unique where tenant_id = $1", tenant).await;
    execute(&app, "delete from crm_words where tenant_id = $1", tenant).await;
    // What no longer follows from any record.
    execute(
        &app,
        "insert into crm_unique values ($1, 'customers.code', 'Alpha One', gen_random_uuid())",
        tenant,
    )
    .await;
    execute(
        &app,
        "insert into crm_index values ($1, 'customers.code', 'stale', gen_random_uuid())",
        tenant,
    )
    .await;
    let version = owner.get("bootstrap").await.expect(200)["model_version"].clone();

    let task = done(&app, &owner, tenant, reindex()).await;
    assert_eq!(task["status"], "done", "{task}");
    assert_eq!(task["kind"], "reindex");
    assert_eq!(task["progress"], json!({"done": 2, "total": 2}));
    let (ada, bob) = (ada.parse::<Uuid>().unwrap(), bob.parse::<Uuid>().unwrap());
    let unique = "select slot, key, record_id from crm_unique";
    let expected = ("customers.code".to_owned(), "Alpha One".to_owned(), ada);
    assert_eq!(rows(&app, unique).await, [expected]);
    let index = "select slot, key, record_id from crm_index where slot = 'customers.code'";
    let index = rows(&app, index).await;
    assert_eq!(index.len(), 2, "{index:?}");
    assert!(
        index
            .iter()
            .any(|(_, key, record)| key.is_empty() && *record == bob)
    );
    let words = "select module_slug, word, record_id from crm_words order by word";
    let words: Vec<_> = rows(&app, words)
        .await
        .into_iter()
        .map(|row| row.1)
        .collect();
    assert_eq!(words, ["ada", "alpha", "bob", "one"]);
    let after = owner.get("bootstrap").await.expect(200)["model_version"].clone();
    assert_eq!(after.as_i64(), version.as_i64().map(|version| version + 1));
}

#[tokio::test]
async fn words_of_a_field_that_is_no_longer_searched_go() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("jewellery").await;
    let code = json!({"key": "code", "label": "Code", "type": "text"});
    owner
        .post("modules/customers/fields", code)
        .await
        .expect(201);
    let name = json!({"key": "nickname", "label": "N", "type": "text", "searchable": true});
    owner
        .post("modules/customers/fields", name)
        .await
        .expect(201);
    let data = json!({"full_name": "Ada", "code": "old", "nickname": "countess"});
    owner.create("customers", data).await;
    execute(
        &app,
        "insert into crm_words
        select tenant_id, word, module_slug, id
        from crm_records, unnest(array['old', 'countess']) word where tenant_id = $1
        on conflict do nothing",
        tenant,
    )
    .await;
    let task = done(&app, &owner, tenant, reindex()).await;
    assert_eq!(task["status"], "done", "{task}");
    let words = "select module_slug, word, record_id from crm_words order by word";
    let words = rows(&app, words).await;
    let words: Vec<_> = words.into_iter().map(|row| row.1).collect();
    assert_eq!(words, ["ada", "countess"]);
}

#[tokio::test]
async fn records_that_share_a_unique_value_fail_the_reindex_by_name() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("jewellery").await;
    let code = json!({"key": "code", "label": "Code", "type": "text"});
    owner
        .post("modules/customers/fields", code)
        .await
        .expect(201);
    let mut ids = Vec::new();
    for name in ["Ada", "Bob"] {
        let data = json!({"full_name": name, "code": "A"});
        ids.push(owner.create("customers", data).await);
    }
    execute(
        &app,
        "update crm_module_fields set definition = definition || '{\"unique\": true}'
        where tenant_id = $1",
        tenant,
    )
    .await;
    execute(
        &app,
        "update tenant_crm_configs set model_version = model_version + 1 where tenant_id = $1",
        tenant,
    )
    .await;
    let task = done(&app, &owner, tenant, reindex()).await;
    assert_eq!(task["status"], "failed");
    let error = task["error"].as_str().unwrap();
    assert!(ids.iter().all(|id| error.contains(id)), "{error}");
}

#[tokio::test]
async fn a_deleted_fields_values_go_and_nothing_else() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("jewellery").await;
    let code = json!({"key": "code", "label": "Code", "type": "text"});
    owner
        .post("modules/customers/fields", code)
        .await
        .expect(201);
    let ada = owner
        .create("customers", json!({"full_name": "Ada", "code": "A"}))
        .await;
    let spec = || TaskSpec::FieldRemove {
        module: "customers".parse().unwrap(),
        field: "code".parse().unwrap(),
    };
    let refused = done(&app, &owner, tenant, spec()).await;
    assert_eq!(refused["status"], "failed", "the field is there");
    execute(
        &app,
        "delete from crm_module_fields where tenant_id = $1",
        tenant,
    )
    .await;
    execute(
        &app,
        "update tenant_crm_configs set model_version = model_version + 1 where tenant_id = $1",
        tenant,
    )
    .await;
    execute(
        &app,
        "insert into crm_index values ($1, 'customers.code', 'a', gen_random_uuid())",
        tenant,
    )
    .await;
    let task = done(&app, &owner, tenant, spec()).await;
    assert_eq!(task["status"], "done", "{task}");
    assert_eq!(task["progress"], json!({"done": 1, "total": 1}));
    let record = owner
        .get(&format!("records/customers/{ada}"))
        .await
        .expect(200);
    assert_eq!(record["data"]["code"], Value::Null);
    assert_eq!(record["data"]["full_name"], "Ada");
    assert_eq!(record["version"], 1, "nobody changed the record");
    let index = "select slot, key, record_id from crm_index where slot = 'customers.code'";
    assert_eq!(rows(&app, index).await, []);
}

#[tokio::test]
async fn a_runner_that_lost_its_lease_writes_nothing() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (tenant, owner) = app.owner_of("jewellery").await;
    let store = store(&app).await;
    let id = TaskId::new(Uuid::now_v7());
    let now = chrono::Utc::now();
    let mut tx = TenantTx::begin(&store, tenant).await.unwrap();
    task_insert(&mut tx, id.uuid(), &reindex(), now, &"u".parse().unwrap())
        .await
        .unwrap();
    tx.commit().await.unwrap();

    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    let until = now + chrono::TimeDelta::seconds(10);
    let leased = task_lease(&store, now, until, first).await.unwrap();
    assert_eq!(leased, Some((tenant, id)));
    let none = task_lease(&store, now, until, second).await.unwrap();
    assert_eq!(none, None, "a leased task is not leased again");
    let later = now + chrono::TimeDelta::seconds(11);
    let until = later + chrono::TimeDelta::seconds(10);
    let again = task_lease(&store, later, until, second).await.unwrap();
    assert_eq!(again, leased, "but for when the lease ran out");
    let step = async |token| {
        let mut tx = TenantTx::begin(&store, tenant).await.unwrap();
        let state = json!({"records": 7});
        task_step(&mut tx, id, token, &state, later, until).await?;
        tx.commit().await
    };
    assert!(matches!(step(first).await, Err(StoreError::LeaseLost)));
    step(second).await.unwrap();
    let task = owner.get(&format!("tasks/{id}")).await.expect(200);
    assert_eq!(task["status"], "running");
    assert_eq!(task["progress"]["done"], 7);
}

#[tokio::test]
async fn a_task_that_never_comes_further_fails_in_the_end() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (tenant, owner) = app.owner_of("jewellery").await;
    let store = store(&app).await;
    let id = TaskId::new(Uuid::now_v7());
    let now = chrono::Utc::now();
    let mut tx = TenantTx::begin(&store, tenant).await.unwrap();
    task_insert(&mut tx, id.uuid(), &reindex(), now, &"u".parse().unwrap())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    // Runners that die each time.
    for _ in 0..crm_model::limits::TASK_MAX_ATTEMPTS {
        let leased = task_lease(&store, now, now, Uuid::new_v4()).await.unwrap();
        assert_eq!(leased, Some((tenant, id)));
    }
    let stop = tokio_util::sync::CancellationToken::new();
    let engine = app.engine.clone();
    tokio::spawn(async move { engine.work_tasks(TaskSettings::default(), stop).await });
    let path = format!("tasks/{id}");
    wait_until("the task has failed", || async {
        owner.get(&path).await.expect(200)["status"] == "failed"
    })
    .await;
    let task = owner.get(&path).await.expect(200);
    assert!(
        task["error"]
            .as_str()
            .unwrap()
            .contains("none of 5 attempts")
    );
}
