//! Export: whole, safe to open, and readable by an import.

use crm_tests::app::TestApp;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

async fn text(client: &crm_tests::client::Client, path: &str) -> String {
    let answer = client.get(path).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    match answer.body {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[tokio::test]
async fn what_is_exported_imports_as_equal_records() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let customers = [
        json!({"full_name": "=HYPERLINK(\"http://x\")", "email": "ada@example.com",
            "phone": "+442071838750", "date_of_birth": "1815-12-10", "segment": "trade",
            "ring_size_mm": "16.50", "marketing_consent": true,
            "notes": "a \"quote\", a comma\nand a line"}),
        json!({"full_name": "-Bob", "segment": "retail", "marketing_consent": false}),
        json!({"full_name": "'@Cy", "segment": "retail", "marketing_consent": false}),
    ];
    for customer in &customers {
        owner.create("customers", customer.clone()).await;
    }
    let answer = owner.get("records/customers/export?format=csv").await;
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("text/csv")
    );
    assert_eq!(
        answer.header("content-disposition"),
        Some("attachment; filename=\"customers.csv\"")
    );
    let csv = answer.body.as_str().unwrap().to_owned();
    assert!(csv.starts_with("id,full_name,"), "{csv}");
    assert!(csv.contains("'=HYPERLINK"), "no cell is a formula: {csv}");
    assert!(
        csv.contains(",+442071838750,"),
        "phone numbers stay as they are: {csv}"
    );

    let (_, other) = app.owner_of("jewellery").await;
    let import = other.upload("customers", csv).await.expect(201);
    let id = import["id"].as_str().unwrap();
    let done = other.import(id, json!({})).await;
    assert_eq!(done["progress"]["created"], 3, "{done}");
    let data = async |client: &crm_tests::client::Client| -> Vec<Value> {
        let page = client.get("records/customers").await.expect(200);
        let records = page["data"].as_array().unwrap().iter();
        let mut data: Vec<Value> = records.map(|record| record["data"].clone()).collect();
        data.sort_by_key(Value::to_string);
        data
    };
    assert_eq!(data(&other).await, data(&owner).await);
}

#[tokio::test]
async fn money_is_two_columns_and_comes_back() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let item = json!({"sku": "A", "carat": "0.50", "cut": "Ideal",
        "price": {"amount": "1234.50", "currency": "USD"}});
    let item = owner.create("items", item).await;
    let csv = text(&owner, "records/items/export?fields=sku,carat,cut,price").await;
    assert_eq!(
        csv,
        "sku,carat,cut,price.amount,price.currency\nA,0.50,Ideal,1234.50,USD\n"
    );
    owner.delete(&format!("records/items/{item}")).await;
    let import = owner.upload("items", csv).await.expect(201);
    let done = owner
        .import(import["id"].as_str().unwrap(), json!({}))
        .await;
    assert_eq!(done["progress"]["created"], 1, "{done}");
    let items = owner.get("records/items").await.expect(200);
    assert_eq!(
        items["data"][0]["data"]["price"],
        json!({"amount": "1234.50", "currency": "USD"})
    );

    let ndjson = text(&owner, "records/items/export?format=ndjson&fields=sku").await;
    let lines: Vec<Value> = ndjson
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["data"], json!({"sku": "A"}));
    assert_eq!(lines[0]["id"], items["data"][0]["id"]);
}

#[tokio::test]
async fn an_export_is_of_what_the_caller_may_read() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("jewellery").await;
    owner.create("customers", json!({"full_name": "Ada"})).await;
    let (_, mallory) = app.owner_of("jewellery").await;
    let others = text(&mallory, "records/customers/export?fields=full_name").await;
    assert_eq!(
        others, "full_name\n",
        "another tenant's records are not there"
    );
    assert_eq!(owner.get("records/nowhere/export").await.status, 404);
    let stranger = app.client(tenant, "nobody");
    assert_eq!(stranger.get("records/customers/export").await.status, 404);
    for (query, pointer, code) in [
        ("format=xls", "/format", "enum"),
        ("fields=full_name,nowhere", "/fields", "unknown_field"),
    ] {
        let answer = owner
            .get(&format!("records/customers/export?{query}"))
            .await;
        assert_eq!(answer.status, 422);
        assert_eq!(answer.violations(), [(pointer.to_owned(), code.to_owned())]);
    }
    let unknown = owner.get("records/customers/export?colour=red").await;
    assert_eq!(unknown.status, 422);
}

#[tokio::test]
async fn an_export_of_many_pages_is_whole_and_a_broken_one_does_not_look_whole() {
    const RECORDS: i32 = 4500;
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("jewellery").await;
    let mut database = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    sqlx::query(
        "insert into crm_records (tenant_id, id, module_slug, data, version, owner_id,
            created_at, created_by, updated_at, updated_by)
        select $1, gen_random_uuid(), 'customers',
            jsonb_build_object('full_name', 'Customer ' || n, 'notes', repeat(md5(n::text), 300)),
            1, 'u', now(), 'u', now(), 'u'
        from generate_series(1, $2) n",
    )
    .bind(tenant.uuid())
    .bind(RECORDS)
    .execute(&mut database)
    .await
    .unwrap();
    let names = text(&owner, "records/customers/export?fields=id,full_name").await;
    let ids: std::collections::BTreeSet<&str> = names
        .lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap())
        .collect();
    assert_eq!(ids.len(), 4500, "each record once");

    // The host loses its database while the client still reads.
    let mut answer = owner.stream("records/customers/export").await;
    assert_eq!(answer.status(), 200);
    assert!(answer.chunk().await.unwrap().is_some());
    app.engine.close().await;
    let broken = loop {
        match answer.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broken, "the connection breaks off");
}
