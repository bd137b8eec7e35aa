//! The types of fields, through the door: whatever `/field-types` lists can be added to a module,
//! and keeps what it says that it keeps.

use crm_tests::app::TestApp;
use crm_tests::client::Client;
use serde_json::{Map, Value, json};

#[tokio::test]
async fn every_listed_type_can_be_added_and_keeps_its_example() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let mut data = Map::from_iter([("full_name".to_owned(), json!("Ada"))]);
    for described in written_types(&owner).await {
        let definition = described["definition"].clone();
        let mut field = definition.clone();
        let key = format!("own_{}", described["type"].as_str().unwrap());
        field["key"] = json!(key);
        owner
            .post("modules/patients/fields", field)
            .await
            .expect(201);
        // The record of a relation's example is none of this tenant.
        if described["type"] != "relation" {
            data.insert(key, described["example"].clone());
        }
    }
    assert!(data.len() > 20, "{data:?}");
    let created = owner
        .post("records/patients", json!({"data": data}))
        .await
        .expect(201);
    for (key, value) in &data {
        assert_eq!(created["data"][key], *value, "{key}");
    }
}

async fn written_types(owner: &Client) -> Vec<Value> {
    let listed = owner.get("field-types").await.expect(200);
    let types = listed["data"].as_array().unwrap().iter();
    types
        .filter(|described| described["computed"] == false)
        .cloned()
        .collect()
}

#[tokio::test]
async fn the_list_says_how_each_type_compares() {
    let app = TestApp::start().await;
    let tenant = app.tenant("without-a-template").await;
    let anybody = app.client(tenant, "viewer");
    let listed = anybody.get("field-types").await.expect(200);
    let described = |name: &str| {
        let mut types = listed["data"].as_array().unwrap().iter();
        types.find(|described| described["type"] == name).unwrap()
    };
    let money = described("currency");
    assert_eq!(money["index_form"], "number");
    assert_eq!(money["parts"][0]["name"], "amount");
    assert_eq!(money["parts"][1]["form"], "exact");
    let operators = money["parts"][0]["operators"].as_array().unwrap();
    assert!(operators.contains(&json!("between")) && !operators.contains(&json!("contains")));
    assert_eq!(money["schema"]["required"], json!(["amount", "currency"]));
    assert_eq!(described("text")["parts"][0]["name"], Value::Null);
    assert_eq!(described("auto_number")["computed"], true);
    let attributes = described("auto_number")["attributes"].as_array().unwrap();
    assert!(attributes.contains(&json!("prefix")) && !attributes.contains(&json!("required")));
}

#[tokio::test]
async fn values_are_refused_with_their_place_and_stored_in_one_form() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let option = |value: &str| json!({"value": value, "label": value});
    for field in [
        json!({"key": "share", "label": "Share", "type": "percent"}),
        json!({"key": "length", "label": "Length", "type": "duration"}),
        json!({"key": "colors", "label": "Colors", "type": "multi_select",
               "options": [option("red"), option("blue")]}),
        json!({"key": "labels", "label": "Labels", "type": "tags"}),
        json!({"key": "home", "label": "Home", "type": "address"}),
        json!({"key": "site", "label": "Site", "type": "url"}),
    ] {
        owner
            .post("modules/patients/fields", field)
            .await
            .expect(201);
    }
    let bad = json!({"data": {
        "full_name": "Ada", "share": "100.5", "length": "P1Y", "colors": ["green"],
        "labels": [""], "home": {"country": "UK"}, "site": "javascript:alert(1)",
    }});
    let refused = owner.post("records/patients", bad).await;
    assert_eq!(refused.status, 422);
    let expected = [
        ("/data/colors/0", "enum"),
        ("/data/home", "country"),
        ("/data/labels/0", "required"),
        ("/data/length", "type"),
        ("/data/share", "max"),
        ("/data/site", "format"),
    ];
    let expected = expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned()));
    assert_eq!(refused.violations(), expected);

    let good = json!({"data": {
        "full_name": "Ada", "share": 12.5, "length": "PT1H30M", "colors": ["blue", "red", "blue"],
        "labels": [" VIP ", "vip", "new"], "home": {"city": " Berlin ", "country": "de"},
        "site": "HTTPS://Example.COM",
    }});
    let created = owner.post("records/patients", good).await.expect(201);
    let stored = json!({
        "full_name": "Ada", "share": "12.5", "length": 5400, "colors": ["red", "blue"],
        "labels": ["VIP", "new"], "home": {"city": "Berlin", "country": "DE"},
        "site": "https://example.com/",
    });
    for (key, value) in stored.as_object().unwrap() {
        assert_eq!(created["data"][key], *value, "{key}");
    }
}

#[tokio::test]
async fn an_attribute_that_does_nothing_is_refused_with_its_name() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    for (field, expected) in [
        (
            json!({"key": "x", "label": "X", "type": "date", "precision": 3}),
            "“precision”",
        ),
        (
            json!({"key": "x", "label": "X", "type": "select", "depends_on": "nothing",
                   "options": [{"value": "a", "label": "A"}]}),
            "“nothing” is no select",
        ),
    ] {
        let refused = owner.post("modules/patients/fields", field.clone()).await;
        assert_eq!(refused.status, 422, "{field}");
        assert!(
            refused.body.to_string().contains(expected),
            "{}",
            refused.body
        );
    }
}
