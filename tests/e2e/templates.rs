//! From nothing to a working CRM: bootstrap, choose, use.

use crm_tests::app::TestApp;
use serde_json::json;

#[tokio::test]
async fn a_tenant_picks_the_hospital_and_it_works() {
    let app = TestApp::start().await;
    let tenant = app.tenant("St. Mary").await;
    let owner = app.client(tenant, "owner");

    let before = owner.get("bootstrap").await.expect(200);
    assert_eq!(before["state"], "template_required");
    assert_eq!(before["tenant"]["name"], "St. Mary");
    assert_eq!(before["modules"], json!([]));
    assert_eq!(owner.get("records/patients").await.status, 404);

    let templates = owner.get("templates").await.expect(200);
    let slugs: Vec<_> = templates["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| &t["slug"])
        .collect();
    assert_eq!(
        slugs,
        [
            "hooked",
            "hospital",
            "hostile",
            "jewellery",
            "office",
            "sending"
        ]
    );
    let hospital = owner.get("templates/hospital").await.expect(200);
    assert_eq!(hospital["title"], "Hospital");
    assert_eq!(owner.get("templates/nowhere").await.status, 404);

    let chosen = owner
        .post("templates/select", json!({"template_id": "hospital"}))
        .await;
    assert_eq!(chosen.expect(201)["slug"], "hospital");
    let after = owner.get("bootstrap").await.expect(200);
    assert_eq!(after["state"], "ready");
    assert_eq!(after["model_version"], 1);
    let modules: Vec<_> = after["modules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["slug"])
        .collect();
    assert_eq!(modules, ["appointments", "doctors", "patients"]);

    let schema = owner.get("modules/patients/schema").await.expect(200);
    let mut groups = schema["properties"]["blood_group"]["enum"]
        .as_array()
        .unwrap()
        .clone();
    groups.sort_by_key(ToString::to_string);
    assert_eq!(
        json!(groups),
        json!(["A+", "A-", "AB+", "AB-", "B+", "B-", "O+", "O-"])
    );
    assert!(
        schema["required"]
            .as_array()
            .unwrap()
            .contains(&json!("full_name"))
    );

    let patient = owner
        .create("patients", json!({"full_name": "Ada Lovelace"}))
        .await;
    let run = owner.run("welcome", &patient, &["done", "dead"]).await;
    assert_eq!(run["status"], "done", "{run}");
    let record = owner
        .get(&format!("records/patients/{patient}"))
        .await
        .expect(200);
    let note = record["data"]["welcome_note"].as_str().unwrap();
    assert!(note.contains("Ada Lovelace"), "{note}");
    assert_eq!(record["version"], 2);
}

#[tokio::test]
async fn a_template_is_chosen_once_by_those_who_may() {
    let app = TestApp::start().await;
    let tenant = app.tenant("T").await;
    let owner = app.client(tenant, "owner");
    let choice = json!({"template_id": "jewellery"});
    let viewer = app.client(tenant, "viewer");
    assert_eq!(
        viewer.post("templates/select", choice.clone()).await.status,
        403
    );

    for (wrong, code) in [
        (json!({"template_id": "nowhere"}), "unknown_template"),
        (json!({"template_id": "../x"}), "unknown_template"),
        (
            json!({"template_id": "hospital", "version": "9.9.9"}),
            "unknown_template",
        ),
        (
            json!({"template_id": "hospital", "version": "new"}),
            "format",
        ),
        (
            json!({"template_id": "hospital", "tenant_id": "somebody else's"}),
            "tenant",
        ),
        (json!({"template": "hospital"}), "shape"),
    ] {
        let answer = owner.post("templates/select", wrong.clone()).await;
        assert_eq!(answer.status, 422, "{wrong}");
        assert_eq!(answer.violations()[0].1, code, "{wrong}");
    }
    assert_eq!(
        owner.get("bootstrap").await.expect(200)["state"],
        "template_required"
    );

    let alias = json!({"templateId": "jewellery", "tenantId": tenant});
    owner.post("templates/select", alias).await.expect(201);
    assert_eq!(owner.post("templates/select", choice).await.status, 409);

    let stranger = app.client(crm_model::TenantId::new(uuid::Uuid::now_v7()), "owner");
    assert_eq!(stranger.get("bootstrap").await.status, 404);
    let unknown = stranger
        .post("templates/select", json!({"template_id": "jewellery"}))
        .await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn an_item_is_valued_by_its_workflow() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let item = owner
        .create(
            "items",
            json!({"sku": "D-1", "carat": "0.23", "cut": "Ideal",
                "price": {"amount": "326", "currency": "USD"}}),
        )
        .await;
    let run = owner.run("valuation", &item, &["done", "dead"]).await;
    assert_eq!(run["status"], "done", "{run}");
    let attempt = &run["log"][0];
    assert_eq!(attempt["input"]["event"]["after"]["carat"], "0.23");
    assert!(
        attempt["input"]["event"]["after"].get("sku").is_none(),
        "sku was not granted"
    );
    assert_eq!(attempt["mutations"].as_array().unwrap().len(), 2);
    assert!(attempt["fuel"].as_i64().unwrap() > 0);
    assert!(attempt["duration_us"].as_i64().unwrap() > 0);
    assert_eq!(attempt["steps"][0]["action"], "jewellery-valuation");

    let path = format!("records/items/{item}");
    let record = owner.get(&path).await.expect(200);
    // 326 / 0.23 = 1417.391…
    let per_carat = json!({"amount": "1417.39", "currency": "USD"});
    assert_eq!(record["data"]["price_per_carat"], per_carat);
    assert_eq!(record["data"]["value_band"], "entry");

    let history = owner.get(&format!("{path}/history")).await.expect(200);
    assert_eq!(history["data"].as_array().unwrap().len(), 2);
    let newest = &history["data"][0];
    assert_eq!(newest["cause"]["plugin"], "jewellery-valuation");
    assert_eq!(
        newest["changes"]["value_band"],
        json!({"from": null, "to": "entry"})
    );
    assert_eq!(newest["changed_by"], "owner-1");
    assert_eq!(history["data"][1]["cause"]["kind"], "user");

    let activities = owner.get(&format!("{path}/activities")).await.expect(200);
    assert_eq!(activities["data"].as_array().unwrap().len(), 1);
    assert_eq!(activities["data"][0]["kind"], "system");
    assert_eq!(activities["data"][0]["cause"]["workflow"], "valuation");

    let price = json!({"data": {"price": {"amount": "3260"}}});
    owner.patch(&path, price).await.expect(200);
    let run = owner.run("revaluation", &item, &["done", "dead"]).await;
    assert_eq!(run["status"], "done", "{run}");
    let record = owner.get(&path).await.expect(200);
    assert_eq!(record["data"]["price_per_carat"]["amount"], "14173.91");
    assert_eq!(record["data"]["value_band"], "exceptional");
}
