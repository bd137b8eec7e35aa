//! Many operations in one request: all or nothing, or each for itself.

use crm_tests::app::TestApp;
use crm_tests::client::Client;
use reqwest::Method;
use serde_json::{Value, json};

async fn things(app: &TestApp) -> Client {
    let (_, owner) = app.owner_of("hospital").await;
    let fields = json!([
        {"key": "code", "label": "Code", "type": "text", "unique": true},
        {"key": "count", "label": "Count", "type": "integer", "min": 0},
    ]);
    owner.module("things", fields).await;
    owner
}

fn statuses(body: &Value) -> Vec<u64> {
    let results = body["results"].as_array().unwrap();
    results
        .iter()
        .map(|result| result["status"].as_u64().unwrap())
        .collect()
}

async fn total(client: &Client) -> Value {
    let list = client.get("records/things?include=total").await.expect(200);
    list["total"]["value"].clone()
}

#[tokio::test]
async fn each_operation_stands_for_itself() {
    let app = TestApp::start().await;
    let owner = things(&app).await;
    let old = owner.create("things", json!({"code": "old"})).await;
    let gone = owner.create("things", json!({"code": "gone"})).await;
    let operations = json!([
        {"op": "create", "data": {"code": "a", "count": 1}},
        {"op": "create", "data": {"code": "a"}},
        {"op": "create", "data": {"code": "b", "count": -1}},
        {"op": "update", "id": old, "version": 1, "data": {"count": 5}},
        {"op": "update", "id": old, "version": 1, "data": {"count": 6}},
        {"op": "update", "id": "none", "data": {"count": 6}},
        {"op": "upsert", "match": {"field": "code", "value": "old"}, "data": {"count": 7}},
        {"op": "upsert", "match": {"field": "code", "value": "new"}, "data": {"count": 8}},
        {"op": "upsert", "match": {"field": "code", "value": "new"}, "data": {"count": 9}},
        {"op": "upsert", "match": {"field": "count", "value": 1}, "data": {}},
        {"op": "delete", "id": gone},
        {"op": "delete", "id": gone},
    ]);
    let answer = owner
        .post("records/things/bulk", json!({"operations": operations}))
        .await
        .expect(200);
    assert_eq!(
        statuses(&answer),
        [201, 409, 422, 200, 412, 404, 200, 201, 200, 422, 204, 404]
    );
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results[1]["problem"]["type"], "/problems/not-unique");
    assert_eq!(results[1]["problem"]["errors"][0]["pointer"], "/data/code");
    assert_eq!(results[4]["problem"]["conflicts"][0]["yours"], 6);
    assert_eq!(results[7]["id"], results[8]["id"]);
    assert_eq!(results[8]["version"], 2);
    let old = owner
        .get(&format!("records/things/{old}"))
        .await
        .expect(200);
    assert_eq!(old["data"]["count"], 7);
    assert_eq!(total(&owner).await, 3, "old, a and new");
}

#[tokio::test]
async fn an_atomic_request_does_all_or_nothing() {
    let app = TestApp::start().await;
    let owner = things(&app).await;
    let request = |second: Value| {
        json!({"atomic": true, "operations": [
            {"op": "create", "data": {"code": "a"}},
            second,
            {"op": "create", "data": {"code": "c"}},
        ]})
    };
    for refused in [
        json!({"op": "create", "data": {"code": "a"}}),
        json!({"op": "create", "data": {"count": "x"}}),
        json!({"op": "delete", "id": uuid::Uuid::now_v7()}),
    ] {
        let answer = owner.post("records/things/bulk", request(refused)).await;
        assert_eq!(answer.body["type"], "/problems/bulk-refused");
        let answer = answer.expect(422);
        assert!(statuses(&answer)[1] >= 400, "{answer}");
        assert_eq!(total(&owner).await, 0);
    }
    let fine = request(json!({"op": "create", "data": {"code": "b"}}));
    let answer = owner.post("records/things/bulk", fine).await.expect(200);
    assert_eq!(statuses(&answer), [201, 201, 201]);
    assert_eq!(total(&owner).await, 3);
}

#[tokio::test]
async fn ten_thousand_operations_come_as_lines() {
    let app = TestApp::start().await;
    let owner = things(&app).await;
    let lines = |count: usize| -> String {
        (0..count)
            .map(|n| {
                format!("{{\"op\":\"create\",\"data\":{{\"code\":\"c{n}\",\"count\":{n}}}}}\n")
            })
            .collect()
    };
    let headers = [("content-type", "application/x-ndjson")];
    let path = "records/things/bulk";
    let too_many = owner
        .call(Method::POST, path, &headers, Some(lines(10_001)))
        .await;
    assert_eq!(
        too_many.violations(),
        [("/operations".to_owned(), "max_items".to_owned())]
    );
    assert_eq!(total(&owner).await, 0);
    let answer = owner
        .call(Method::POST, path, &headers, Some(lines(10_000)))
        .await
        .expect(200);
    assert!(statuses(&answer).iter().all(|status| *status == 201));
    assert_eq!(total(&owner).await, 10_000);
    let broken = Some("{\"op\":\"create\",\"data\":{}}\n{\"op\":\"explode\"}\n".to_owned());
    let broken = owner.call(Method::POST, path, &headers, broken).await;
    assert_eq!(broken.violations()[0].0, "/operations/1");
}

#[tokio::test]
async fn upserts_at_the_same_time_make_one_record() {
    let app = TestApp::start().await;
    let owner = things(&app).await;
    let upsert = |n: u64| {
        let owner = owner.clone();
        async move {
            let operation = json!({"op": "upsert", "match": {"field": "code", "value": "same"},
                "data": {"count": n}});
            let body = json!({"operations": [operation]});
            let answer = owner.post("records/things/bulk", body).await.expect(200);
            statuses(&answer)[0]
        }
    };
    let answers = futures::future::join_all((0..12).map(upsert)).await;
    let created = answers.iter().filter(|status| **status == 201).count();
    assert_eq!(created, 1, "{answers:?}");
    assert!(answers.iter().all(|status| [200, 201].contains(status)));
    assert_eq!(total(&owner).await, 1);
}
