//! What fuzzing has found (`make test-fuzz`): input that got an answer it must not get.

use crm_tests::app::TestApp;
use serde_json::json;

#[tokio::test]
async fn a_workflow_that_cannot_be_one_is_no_servers_error() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let odd = owner.get("runs?workflow=valuation%00").await;
    assert_eq!(odd.status, 422, "{}", odd.body);
    assert_eq!(
        odd.violations(),
        [("/workflow".to_owned(), "format".to_owned())]
    );
    assert_eq!(owner.get("workflows/valuation%00/runs").await.status, 404);
    let none = owner.get("runs?workflow=valuation").await.expect(200);
    assert_eq!(none["data"], json!([]));
}

#[tokio::test]
async fn problems_are_documented_as_what_they_are() {
    let app = TestApp::start().await;
    let document = app.anonymous().get("/openapi.json").await.expect(200);
    let responses = &document["paths"]["/api/crm/records/{module}"]["post"]["responses"];
    for status in [
        "400", "401", "403", "404", "409", "413", "415", "422", "503",
    ] {
        let content = responses[status]["content"].as_object();
        let types: Vec<&String> = content
            .into_iter()
            .flat_map(|content| content.keys())
            .collect();
        assert_eq!(types, ["application/problem+json"], "{status}");
    }
}

#[tokio::test]
async fn one_of_no_values_is_nothing_whatever_the_type() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let field = |kind: &str| json!({"key": kind, "label": kind, "type": kind, "indexed": true});
    let kinds = ["integer", "text", "date", "datetime", "boolean"];
    let fields: Vec<_> = kinds.iter().map(|kind| field(kind)).collect();
    owner.module("things", json!(fields)).await;
    owner.create("things", json!({"integer": 1})).await;
    // Often enough that each connection has seen another type before.
    for kind in kinds.iter().chain(&kinds).cycle().take(50) {
        let filter = json!({"field": kind, "op": "in", "value": []});
        let body = json!({"filter": filter});
        let found = owner.post("records/things/query", body.clone()).await;
        assert_eq!(found.expect(200)["data"], json!([]), "{kind}");
        let counted = owner.post("records/things/aggregate", body).await;
        counted.expect(200);
    }
}

#[tokio::test]
async fn days_that_the_database_has_not_are_refused() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let customer = json!({"data": {"full_name": "Ada", "date_of_birth": "0000-01-01"}});
    let refused = owner.post("records/customers", customer).await;
    assert_eq!(refused.status, 422);
    let pointer = "/data/date_of_birth".to_owned();
    assert_eq!(refused.violations(), [(pointer, "format".to_owned())]);
    let first = json!({"full_name": "Ada", "date_of_birth": "0001-01-01"});
    owner.create("customers", first).await;
    for by in ["day", "week", "month", "quarter", "year"] {
        let groups = json!({"group_by": [{"field": "date_of_birth", "by": by}]});
        let counted = owner.post("records/customers/aggregate", groups).await;
        counted.expect(200);
    }
}

#[tokio::test]
async fn an_upsert_that_looks_for_nul_is_refused_alone() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let fields = json!([{"key": "code", "label": "Code", "type": "text", "unique": true}]);
    owner.module("things", fields).await;
    let upsert =
        |code: &str| json!({"op": "upsert", "match": {"field": "code", "value": code}, "data": {}});
    let operations = json!({"operations": [upsert("a\u{0}b"), upsert("ab")]});
    let done = owner.post("records/things/bulk", operations).await;
    let results = done.expect(200)["results"].clone();
    assert_eq!(results[0]["status"], 422);
    assert_eq!(results[0]["problem"]["errors"][0]["pointer"], "/data/code");
    assert_eq!(results[1]["status"], 201);
}
