//! Records over HTTP: what is stored, what is refused, how lists page.

use crm_tests::app::TestApp;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_record_lives_from_post_to_delete() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let body = json!({"data": {"full_name": "Dr. Grey", "specialty": null}});
    let schema = owner.get("modules/doctors/schema").await.expect(200);
    let specialty = schema["properties"]["specialty"]["enum"][0].clone();
    assert!(specialty.is_string(), "{schema}");

    let created = owner
        .post(
            "records/doctors",
            with_required(&schema, body["data"].clone()),
        )
        .await;
    assert_eq!(created.status, 201, "{}", created.body);
    let id = created.body["id"].as_str().unwrap().to_owned();
    let path = format!("records/doctors/{id}");
    assert_eq!(
        created.header("location"),
        Some(format!("/api/crm/{path}").as_str())
    );
    assert_eq!(created.header("etag"), Some("\"1\""));
    assert!(created.header("x-request-id").is_some());
    assert_eq!(created.body["module"], "doctors");
    assert_eq!(created.body["created_by"], "owner-1");
    assert_eq!(created.body["owner_id"], "owner-1");
    assert_eq!(created.body["deleted_at"], Value::Null);

    let read = owner.get(&path).await;
    assert_eq!(read.header("etag"), Some("\"1\""));
    assert_eq!(read.body, created.body);

    let patch = json!({"data": {"full_name": "Dr. Meredith Grey"}});
    let updated = owner.patch_if(&path, "\"1\"", patch.clone()).await;
    assert_eq!(updated.header("etag"), Some("\"2\""));
    assert_eq!(updated.body["data"]["full_name"], "Dr. Meredith Grey");
    assert_eq!(updated.body["created_at"], created.body["created_at"]);

    let stale = owner
        .patch_if(&path, "\"1\"", json!({"data": {"full_name": "X"}}))
        .await;
    assert_eq!(stale.status, 412);
    assert_eq!(stale.body["type"], "/problems/stale");
    assert_eq!(
        owner.patch_if(&path, "one", patch.clone()).await.status,
        400
    );
    let same = owner.patch(&path, patch).await;
    assert_eq!(
        same.header("etag"),
        Some("\"2\""),
        "nothing changed, so no new version"
    );

    let replaced = owner
        .put(
            &path,
            with_required(&schema, json!({"full_name": "Dr. Yang"})),
        )
        .await;
    assert_eq!(replaced.expect(200)["version"], 3);

    let stale = owner
        .call(Method::DELETE, &path, &[("if-match", "\"1\"")], None)
        .await;
    assert_eq!(stale.status, 412);
    assert_eq!(owner.delete(&path).await.status, 204);
    for gone in [
        &path,
        &format!("{path}/history"),
        &format!("{path}/activities"),
    ] {
        assert_eq!(owner.get(gone).await.status, 404, "{gone}");
    }
    assert_eq!(owner.delete(&path).await.status, 404);
    assert_eq!(owner.patch(&path, json!({"data": {}})).await.status, 404);
    let left = owner.get("records/doctors?include=total").await.expect(200);
    assert_eq!(left["total"], json!({"value": 0, "exact": true}));
}

/// The body of a request, with whatever else the module requires.
fn with_required(schema: &Value, data: Value) -> Value {
    let mut data = data;
    for field in schema["required"].as_array().unwrap() {
        let field = field.as_str().unwrap();
        if data.get(field).is_none_or(Value::is_null) {
            let options = schema["properties"][field]["enum"].as_array();
            data[field] = options.map_or_else(|| json!("x"), |options| options[0].clone());
        }
    }
    json!({ "data": data })
}

#[tokio::test]
async fn a_record_that_breaks_the_model_is_told_everything() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let data = json!({
        "sku": "no spaces allowed", "carat": "0", "cut": "Round", "color": "Z", "clarity": 3,
        "depth": "100.01", "table": "1.234", "price": {"amount": "-1", "currency": "USD"},
        "status": "lost", "length_mm": "wide", "shape": "round",
    });
    let answer = owner.post("records/items", json!({"data": data})).await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(
        answer.body["request_id"],
        answer.header("x-request-id").unwrap()
    );
    let expected = [
        ("/data/carat", "min"),
        ("/data/clarity", "enum"),
        ("/data/color", "enum"),
        ("/data/cut", "enum"),
        ("/data/depth", "max"),
        ("/data/length_mm", "pattern"),
        ("/data/price", "min"),
        ("/data/shape", "unknown_field"),
        ("/data/sku", "pattern"),
        ("/data/status", "enum"),
        ("/data/table", "scale"),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(at, code)| ((*at).to_owned(), (*code).to_owned()))
        .collect();
    assert_eq!(answer.violations(), expected);
    let left = owner.get("records/items?include=total").await.expect(200);
    assert_eq!(left["total"]["value"], 0, "nothing refused leaves a trace");
    assert_eq!(owner.get("runs").await.expect(200)["data"], json!([]));
}

#[tokio::test]
async fn a_relation_points_to_a_record_of_this_tenant() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let (_, neighbour) = app.owner_of("jewellery").await;
    let item = json!({"sku": "D-1", "carat": "1", "cut": "Ideal",
        "price": {"amount": "1", "currency": "USD"}});
    let theirs = neighbour.create("items", item.clone()).await;
    let ours = owner.create("items", item).await;
    let schema = owner.get("modules/customers/schema").await.expect(200);
    let customer = owner
        .post("records/customers", with_required(&schema, json!({})))
        .await;
    let customer = customer.expect(201)["id"].clone();
    let schema = owner.get("modules/orders/schema").await.expect(200);
    let order = |item: &Value| with_required(&schema, json!({"customer": customer, "item": item}));
    for wrong in [json!(theirs), customer.clone(), json!(uuid::Uuid::now_v7())] {
        let answer = owner.post("records/orders", order(&wrong)).await;
        assert_eq!(answer.status, 422, "{wrong}");
        let violation = ("/data/item".to_owned(), "relation".to_owned());
        assert!(answer.violations().contains(&violation), "{}", answer.body);
    }
    owner
        .post("records/orders", order(&json!(ours)))
        .await
        .expect(201);
}

#[tokio::test]
async fn lists_page_to_the_last_record() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    let mut created = Vec::new();
    for number in 0..7 {
        created.push(
            owner
                .create("victims", json!({"name": format!("v{number}")}))
                .await,
        );
    }
    created.reverse();
    let mut seen = Vec::new();
    let mut path = "records/victims?limit=3".to_owned();
    loop {
        let page = owner.get(&path).await.expect(200);
        let records = page["data"].as_array().unwrap();
        assert!(records.len() <= 3);
        seen.extend(
            records
                .iter()
                .map(|record| record["id"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("records/victims?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, created);

    for (query, code) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "parameter"),
        ("cursor=x", "cursor"),
        ("include=everything", "include"),
        ("colour=red", "parameter"),
    ] {
        let answer = owner.get(&format!("records/victims?{query}")).await;
        assert_eq!(answer.status, 422, "{query}");
        assert_eq!(answer.violations()[0].1, code, "{query}");
    }
    owner.get("records/victims?limit=200").await.expect(200);
}

#[tokio::test]
async fn activities_are_added_by_those_who_may() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hostile").await;
    let id = owner.create("victims", json!({"name": "v"})).await;
    let path = format!("records/victims/{id}/activities");
    let note = json!({"kind": "note", "title": "Called back", "body": "All well."});
    owner.post(&path, note.clone()).await.expect(201);
    let timeline = owner.get(&path).await.expect(200);
    assert_eq!(timeline["data"][0]["title"], "Called back");
    assert_eq!(timeline["data"][0]["created_by"], "owner-1");
    let wrong = owner
        .post(&path, json!({"kind": "party", "title": ""}))
        .await;
    assert_eq!(wrong.violations().len(), 2);
    assert_eq!(
        app.client(tenant, "viewer")
            .post(&path, note.clone())
            .await
            .status,
        403
    );
    let nowhere = format!("records/victims/{}/activities", uuid::Uuid::now_v7());
    assert_eq!(owner.post(&nowhere, note).await.status, 404);
}

#[tokio::test]
async fn roles_hold() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hostile").await;
    let id = owner.create("victims", json!({"name": "v"})).await;
    let path = format!("records/victims/{id}");
    let change = json!({"data": {"name": "w"}});

    let viewer = app.client(tenant, "viewer");
    viewer.get(&path).await.expect(200);
    assert_eq!(viewer.patch(&path, change.clone()).await.status, 403);
    assert_eq!(viewer.delete(&path).await.status, 403);
    assert_eq!(
        viewer.post("records/victims", change.clone()).await.status,
        403
    );
    assert_eq!(viewer.get("runs").await.status, 403);

    let stranger = app.client(tenant, "stranger");
    for answer in [
        stranger.get(&path).await,
        stranger.patch(&path, change.clone()).await,
        stranger.post("records/victims", change).await,
        stranger.get("records/victims").await,
        stranger.get("modules/victims").await,
    ] {
        assert_eq!(answer.status, 404, "what may not be seen does not exist");
    }
    assert_eq!(
        stranger.get("bootstrap").await.expect(200)["modules"],
        json!([])
    );
    assert_eq!(owner.get(&path).await.expect(200)["version"], 1);
}

#[tokio::test]
async fn writers_at_once_do_not_lose_each_others_changes() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    let id = owner.create("victims", json!({"name": "v"})).await;
    let path = format!("records/victims/{id}");
    let fields = ["name", "target", "note", "secret"];
    let writes = fields.map(|field| {
        let (owner, path) = (owner.clone(), path.clone());
        tokio::spawn(async move {
            owner
                .patch(&path, json!({"data": {field: "changed"}}))
                .await
                .expect(200);
        })
    });
    for write in writes {
        write.await.unwrap();
    }
    let record = owner.get(&path).await.expect(200);
    assert_eq!(record["version"], 5);
    for field in fields {
        assert_eq!(record["data"][field], "changed");
    }
}
