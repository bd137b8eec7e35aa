//! Values computed from other records: right after every change, also many at the same time.

use crm_tests::app::TestApp;
use crm_tests::client::Client;
use serde_json::{Value, json};

async fn shop(app: &TestApp) -> Client {
    let (_, owner) = app.owner_of("hospital").await;
    let regions = json!([{"key": "name", "label": "Name", "type": "text"}]);
    owner.module("regions", regions).await;
    let customers = json!([
        {"key": "name", "label": "Name", "type": "text"},
        {"key": "region", "label": "Region", "type": "relation", "module": "regions"},
    ]);
    owner.module("customers", customers).await;
    let orders = json!([
        {"key": "customer", "label": "Customer", "type": "relation", "module": "customers"},
        {"key": "total", "label": "Total", "type": "decimal", "scale": 2},
        {"key": "status", "label": "Status", "type": "select", "options": [
            {"value": "open", "label": "Open"}, {"value": "paid", "label": "Paid"}]},
    ]);
    owner.module("orders", orders).await;
    let paid = json!({"field": "status", "op": "eq", "value": "paid"});
    let rollup = |operation: &str, field: Option<&str>, filter: Option<&Value>| {
        let mut rollup =
            json!({"module": "orders", "relation": "customer", "operation": operation});
        if let Some(field) = field {
            rollup["field"] = json!(field);
        }
        if let Some(filter) = filter {
            rollup["filter"] = filter.clone();
        }
        rollup
    };
    for (key, rollup) in [
        ("orders", rollup("count", None, None)),
        ("paid", rollup("sum", Some("total"), Some(&paid))),
        ("least", rollup("min", Some("total"), None)),
        ("most", rollup("max", Some("total"), None)),
        ("mean", rollup("avg", Some("total"), None)),
    ] {
        let field = json!({"key": key, "label": key, "type": "rollup", "rollup": rollup});
        owner
            .post("modules/customers/fields", field)
            .await
            .expect(201);
    }
    let due = json!({"key": "double", "label": "Double", "type": "formula", "result": "decimal",
        "expression": "(record.paid ?? 0) * 2"});
    owner
        .post("modules/customers/fields", due)
        .await
        .expect(201);
    let rollup = json!({"module": "customers", "relation": "region", "operation": "sum",
        "field": "orders"});
    let field = json!({"key": "orders", "label": "Orders", "type": "rollup", "rollup": rollup});
    owner
        .post("modules/regions/fields", field)
        .await
        .expect(201);
    owner
}

async fn data(client: &Client, module: &str, id: &str) -> Value {
    let record = client.get(&format!("records/{module}/{id}")).await;
    record.expect(200)["data"].clone()
}

fn order(customer: &str, total: &str, status: &str) -> Value {
    json!({"customer": customer, "total": total, "status": status})
}

#[tokio::test]
async fn rollups_follow_every_change() {
    let app = TestApp::start().await;
    let owner = shop(&app).await;
    let region = owner.create("regions", json!({"name": "North"})).await;
    let ada = owner
        .create("customers", json!({"name": "Ada", "region": region}))
        .await;
    let bob = owner.create("customers", json!({"name": "Bob"})).await;
    assert_eq!(data(&owner, "customers", &ada).await["orders"], 0);

    let first = owner.create("orders", order(&ada, "10.50", "paid")).await;
    let second = owner.create("orders", order(&ada, "4.25", "open")).await;
    let seen = data(&owner, "customers", &ada).await;
    assert_eq!(seen["orders"], 2);
    assert_eq!(seen["paid"], "10.50");
    assert_eq!(seen["least"], "4.25");
    assert_eq!(seen["most"], "10.50");
    assert_eq!(seen["mean"], "7.375");
    assert_eq!(seen["double"], "21", "{seen}");
    assert_eq!(data(&owner, "regions", &region).await["orders"], "2");

    let second_path = format!("records/orders/{second}");
    owner
        .patch(&second_path, json!({"data": {"status": "paid"}}))
        .await
        .expect(200);
    assert_eq!(data(&owner, "customers", &ada).await["paid"], "14.75");

    owner
        .patch(&second_path, json!({"data": {"customer": bob}}))
        .await
        .expect(200);
    assert_eq!(data(&owner, "customers", &ada).await["orders"], 1);
    assert_eq!(data(&owner, "customers", &bob).await["most"], "4.25");
    assert_eq!(data(&owner, "regions", &region).await["orders"], "1");

    let first_path = format!("records/orders/{first}");
    assert_eq!(owner.delete(&first_path).await.status, 204);
    let seen = data(&owner, "customers", &ada).await;
    assert_eq!(seen["orders"], 0);
    assert_eq!(seen["least"], Value::Null);
    owner
        .post(&format!("{first_path}/restore"), json!({}))
        .await
        .expect(200);
    let seen = data(&owner, "customers", &ada).await;
    assert_eq!(
        (&seen["orders"], &seen["least"]),
        (&json!(1), &json!("10.50"))
    );

    let refused = owner
        .patch(
            &format!("records/customers/{ada}"),
            json!({"data": {"orders": 7}}),
        )
        .await;
    assert_eq!(
        refused.violations(),
        [("/data/orders".to_owned(), "computed".to_owned())]
    );
}

#[tokio::test]
async fn many_children_at_once_are_all_counted() {
    let app = TestApp::start().await;
    let owner = shop(&app).await;
    let ada = owner.create("customers", json!({"name": "Ada"})).await;
    let create = |n: u32| {
        let (owner, body) = (owner.clone(), order(&ada, &format!("{n}"), "paid"));
        async move { owner.create("orders", body).await }
    };
    let ids = futures::future::join_all((1..=40).map(create)).await;
    let seen = data(&owner, "customers", &ada).await;
    assert_eq!(
        (&seen["orders"], &seen["paid"]),
        (&json!(40), &json!("820"))
    );
    let remove = |id: String| {
        let owner = owner.clone();
        async move { owner.delete(&format!("records/orders/{id}")).await.status }
    };
    let answers = futures::future::join_all(ids.into_iter().skip(10).map(remove)).await;
    assert!(answers.iter().all(|status| *status == 204), "{answers:?}");
    let seen = data(&owner, "customers", &ada).await;
    assert_eq!((&seen["orders"], &seen["paid"]), (&json!(10), &json!("55")));

    let operations: Vec<Value> = (0..500)
        .map(|_| json!({"op": "create", "data": order(&ada, "1", "paid")}))
        .collect();
    owner
        .post("records/orders/bulk", json!({"operations": operations}))
        .await
        .expect(200);
    let seen = data(&owner, "customers", &ada).await;
    assert_eq!(
        (&seen["orders"], &seen["paid"]),
        (&json!(510), &json!("555"))
    );
}
