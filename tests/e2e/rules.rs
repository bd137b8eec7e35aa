//! Rules between fields, over HTTP: live with the next request after a field was added.

use crm_tests::app::TestApp;
use crm_tests::client::Client;
use crm_tests::cluster::cluster;
use serde_json::{Value, json};

async fn add_field(owner: &Client, field: Value) {
    owner
        .post("modules/patients/fields", field)
        .await
        .expect(201);
}

fn only(pointer: &str, code: &str) -> Vec<(String, String)> {
    vec![(pointer.to_owned(), code.to_owned())]
}

#[tokio::test]
async fn a_formula_is_computed_on_write_and_nobody_sends_it() {
    // Without a worker: the template's workflow would write to the record in between.
    let app = TestApp::on(cluster().database().await, None).await;
    let (_, owner) = app.owner_of("hospital").await;
    let days = json!({"key": "days", "label": "Days", "type": "integer"});
    let rate = json!({"key": "rate", "label": "Rate", "type": "decimal"});
    let bill = json!({"key": "bill", "label": "Bill", "type": "formula", "result": "decimal",
                      "scale": 2, "expression": "record.days * record.rate"});
    for field in [days, rate, bill] {
        add_field(&owner, field).await;
    }
    let data = json!({"full_name": "Ada", "days": 3, "rate": "0.10"});
    let created = owner.post("records/patients", json!({"data": data})).await;
    let created = created.expect(201);
    assert_eq!(created["data"]["bill"], "0.30");

    let path = format!("records/patients/{}", created["id"].as_str().unwrap());
    let back = json!({"data": created["data"]});
    let same = owner.patch(&path, back).await.expect(200);
    assert_eq!(same["version"], 1);
    let wrong = owner.patch(&path, json!({"data": {"bill": "1.00"}})).await;
    assert_eq!(wrong.violations(), only("/data/bill", "computed"));
    let more = owner.patch(&path, json!({"data": {"days": 4}})).await;
    assert_eq!(more.expect(200)["data"]["bill"], "0.40");
}

#[tokio::test]
async fn a_mistake_in_an_expression_is_named_when_the_field_is_added() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let field = json!({"key": "shout", "label": "Shout", "type": "formula", "result": "text",
                       "expression": "upper(record.full_nmae)"});
    let refused = owner.post("modules/patients/fields", field).await;
    let problem = refused.expect(422);
    let message = problem["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("did you mean “full_name”?"), "{message}");
    assert_eq!(owner.get("bootstrap").await.expect(200)["model_version"], 1);
}

#[tokio::test]
async fn what_is_needed_depends_on_the_stage() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    for field in [
        json!({"key": "outcome", "label": "Outcome", "type": "text"}),
        json!({"key": "step", "label": "Step", "type": "select", "default": "waiting",
               "options": [
                   {"value": "waiting", "label": "Waiting", "transitions": ["seen"]},
                   {"value": "seen", "label": "Seen", "required_fields": ["outcome"],
                    "transitions": []}]}),
        json!({"key": "report", "label": "Report", "type": "text",
               "visible_if": "record.step == 'seen'"}),
    ] {
        add_field(&owner, field).await;
    }
    let early = json!({"data": {"full_name": "Ada", "report": "well"}});
    let refused = owner.post("records/patients", early).await;
    assert_eq!(refused.violations(), only("/data/report", "not_visible"));

    let patient = json!({"full_name": "Ada"});
    let id = owner.create("patients", patient).await;
    let path = format!("records/patients/{id}");
    let change = async |data: Value| owner.patch(&path, json!({"data": data})).await;
    let refused = change(json!({"step": "seen"})).await;
    assert_eq!(refused.violations(), only("/data/outcome", "required"));
    let seen = json!({"step": "seen", "outcome": "well", "report": "all well"});
    change(seen).await.expect(200);
    let refused = change(json!({"step": "waiting", "report": null})).await;
    assert_eq!(refused.violations(), only("/data/step", "transition"));
}
