//! Histories: of one field, with what caused each change; and how long a record stood in each
//! stage.

use crm_engine::write::{Batch, Operation, Written};
use crm_model::{Actor, Cause, Mutation};
use crm_tests::app::TestApp;
use crm_tests::client::Client;
use crm_tests::cluster::cluster;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

async fn leads(app: &TestApp) -> Client {
    let (_, owner) = app.owner_of("hospital").await;
    let stage = json!({
        "key": "stage", "label": "Stage", "type": "select", "default": "new", "options": [
            {"value": "new", "label": "New", "probability": 10},
            {"value": "won", "label": "Won", "probability": 100},
        ],
    });
    owner
        .post("modules/doctors/fields", stage)
        .await
        .expect(201);
    owner
}

fn doctor() -> Value {
    json!({"full_name": "Dr. No", "specialty": "other"})
}

async fn quiet() -> TestApp {
    TestApp::on(cluster().database().await, None).await
}

#[tokio::test]
async fn the_history_of_one_field_is_without_the_others() {
    let app = quiet().await;
    let owner = leads(&app).await;
    let id = owner.create("doctors", doctor()).await;
    let path = format!("records/doctors/{id}");
    for data in [
        json!({"department": "A"}),
        json!({"department": "B", "stage": "won"}),
        json!({"stage": "new"}),
        json!({"department": null}),
    ] {
        owner
            .patch(&path, json!({ "data": data }))
            .await
            .expect(200);
    }
    let history = format!("{path}/history?field=department&limit=2");
    let history = owner.get(&history).await.expect(200);
    let versions = |history: &Value| -> Vec<i64> {
        let entries = history["data"].as_array().unwrap().iter();
        entries
            .map(|entry| entry["version"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(versions(&history), [5, 3]);
    let change = &history["data"][0]["changes"]["department"];
    assert_eq!(*change, json!({"from": "B", "to": null}));
    let next = history["next_cursor"].as_str().unwrap();
    let next = format!("{path}/history?field=department&limit=2&cursor={next}");
    assert_eq!(versions(&owner.get(&next).await.expect(200)), [2]);
    let unknown = owner.get(&format!("{path}/history?field=nothing")).await;
    assert_eq!(
        unknown.violations(),
        [("/field".to_owned(), "field".to_owned())]
    );
}

#[tokio::test]
async fn every_change_says_what_caused_it() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let item = json!({"sku": "S-1", "carat": "0.23", "cut": "Ideal", "price": {"amount": "326", "currency": "USD"}});
    let item = owner.create("items", item).await;
    owner.run("valuation", &item, &["done"]).await;
    let path = format!("records/items/{item}/history?field=value_band");
    let history = owner.get(&path).await.expect(200);
    let cause = &history["data"][0]["cause"];
    assert_eq!(cause["kind"], "workflow");
    assert_eq!(cause["workflow"], "valuation");
    assert_eq!(cause["plugin"], "jewellery-valuation");
    assert_eq!(cause["plugin_version"], "0.1.0");
    assert!(cause["run"].is_string());
}

#[tokio::test]
async fn an_import_and_the_host_are_causes_too() {
    let app = quiet().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let import = uuid::Uuid::now_v7();
    for (cause, expected) in [
        (
            Cause::Import { import },
            json!({"kind": "import", "import": import}),
        ),
        (Cause::System, json!({"kind": "system"})),
    ] {
        let create = Mutation::Create {
            module: "doctors".parse().unwrap(),
            data: doctor().as_object().unwrap().clone(),
        };
        let actor = Actor::person("owner-1".parse().unwrap(), vec!["owner".parse().unwrap()]);
        let batch = Batch {
            tenant,
            actor,
            cause,
            operations: vec![Operation::Mutation(create)],
            atomic: true,
            workflows: true,
            dry_run: false,
            receipt: None,
        };
        let written = app.engine.write_batch(batch).await.unwrap().remove(0);
        let Written::Created(record) = written.unwrap() else {
            panic!("a new record");
        };
        let path = format!("records/doctors/{}", record.id);
        let history = owner.get(&format!("{path}/history")).await.expect(200);
        assert_eq!(history["data"][0]["cause"], expected);
        let timeline = owner.get(&format!("{path}/timeline")).await.expect(200);
        assert_eq!(timeline["data"][0]["cause"], expected);
    }
}

#[tokio::test]
async fn what_is_out_of_use_is_in_no_history() {
    let app = quiet().await;
    let owner = leads(&app).await;
    let id = owner.create("doctors", doctor()).await;
    let path = format!("records/doctors/{id}");
    let change = json!({"data": {"stage": "won"}});
    owner.patch(&path, change).await.expect(200);
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    sqlx::raw_sql(
        "update crm_module_fields set definition = definition || '{\"retired\": true}';
        update tenant_crm_configs set model_version = model_version + 1",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    let history = owner.get(&format!("{path}/history")).await.expect(200);
    assert_eq!(history["data"][0]["changes"], json!({}));
    assert_eq!(history["data"][1]["changes"].get("stage"), None);
    let of_it = owner.get(&format!("{path}/history?field=stage")).await;
    assert_eq!(of_it.status, 422);
    let timeline = owner.get(&format!("{path}/timeline")).await.expect(200);
    assert_eq!(timeline["data"][0]["title"], "Changed");
    assert_eq!(timeline["data"][0]["change"]["changes"], json!({}));
    let stages = owner.get(&format!("{path}/stages")).await.expect(200);
    assert_eq!(stages["data"], json!([]));
}

/// When each version was written, by the history.
async fn moments(owner: &Client, path: &str) -> Vec<Value> {
    let history = owner.get(&format!("{path}/history")).await.expect(200);
    let entries = history["data"].as_array().unwrap().iter().rev();
    entries.map(|entry| entry["changed_at"].clone()).collect()
}

#[tokio::test]
async fn time_in_stages_is_exact() {
    let app = quiet().await;
    let owner = leads(&app).await;
    let id = owner.create("doctors", doctor()).await;
    let path = format!("records/doctors/{id}");
    let department = json!({"data": {"department": "A"}});
    owner.patch(&path, department).await.expect(200);
    let won = json!({"data": {"stage": "won"}});
    owner.patch(&path, won).await.expect(200);
    owner.delete(&path).await;
    assert_eq!(owner.get(&format!("{path}/stages")).await.status, 404);
    owner
        .post(&format!("{path}/restore"), json!({}))
        .await
        .expect(200);
    let none = json!({"data": {"stage": null}});
    owner.patch(&path, none).await.expect(200);
    let new = json!({"data": {"stage": "new"}});
    owner.patch(&path, new).await.expect(200);
    // Two hours in the first stage, as the history has it.
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    sqlx::query(
        "update crm_record_history set changed_at = changed_at - interval '2 hours'
        where version = 1",
    )
    .execute(&mut admin)
    .await
    .unwrap();

    let at = moments(&owner, &path).await;
    let stages = owner.get(&format!("{path}/stages")).await.expect(200);
    let stay = |stage: &str, entered: usize, left: Option<usize>| {
        let left = left.map(|left| at[left].clone());
        json!({"field": "stage", "stage": stage, "entered_at": at[entered], "left_at": left})
    };
    let mut stays = stages["data"].as_array().unwrap().clone();
    let seconds: Vec<i64> = stays
        .iter_mut()
        .map(|stay| stay.as_object_mut().unwrap().remove("seconds").unwrap())
        .map(|seconds| seconds.as_i64().unwrap())
        .collect();
    assert_eq!(
        stays,
        [
            stay("new", 0, Some(2)),
            stay("won", 2, Some(3)),
            stay("won", 4, Some(5)),
            stay("new", 6, None),
        ]
    );
    assert!((7200..7260).contains(&seconds[0]), "{seconds:?}");
    assert!(seconds[1..].iter().all(|seconds| (0..60).contains(seconds)));
    assert_eq!(stages["next_cursor"], Value::Null);

    let (_, stranger) = app.owner_of("hospital").await;
    assert_eq!(stranger.get(&format!("{path}/stages")).await.status, 404);
}
