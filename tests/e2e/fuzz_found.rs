//! What fuzzing has found (`make test-fuzz`): input that got an answer it must not get.

use crm_tests::app::TestApp;

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
    assert_eq!(none["data"], serde_json::json!([]));
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
