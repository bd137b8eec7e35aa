//! Plans: what the operator says of the limits of a tenant's plugins and hooks, at the cap and one
//! past it; for the next call, on every instance.

use crate::command::crm;
use crm_model::limits::{PLAN_MAX_MUTATIONS, PLAN_NAME_MAX_CHARACTERS};
use crm_tests::app::{SUPER_ADMIN, TestApp};
use crm_tests::client::{Answer, Client};
use crm_tests::cluster::TestDatabase;
use reqwest::Method;
use serde_json::{Value, json};

async fn set(client: &Client, tenant: &str, plan: Value) -> Answer {
    let acting = [("x-tenant-id", tenant)];
    let body = Some(plan.to_string());
    client.call(Method::PUT, "limits", &acting, body).await
}

/// That limit of standard plugins: value and source.
async fn limit(client: &Client, name: &str) -> (Value, Value) {
    let limits = client.get("limits").await.expect(200);
    let mut rows = limits["data"].as_array().unwrap().iter();
    let found = rows.find(|row| row["limit"] == name && row["class"] == "standard");
    let found = found.unwrap();
    (found["value"].clone(), found["source"].clone())
}

/// Lets a plugin make so many records, and says how its run ended.
async fn creates(owner: &Client) -> Value {
    let victim = json!({ "name": "v", "mode": "many" });
    let record = owner.create("victims", victim).await;
    owner.run("many", &record, &["done", "dead"]).await
}

#[tokio::test]
async fn a_plan_holds_for_the_next_run_on_every_instance() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hostile").await;
    let id = tenant.to_string();
    let admin = app.client(app.tenant("operator").await, SUPER_ADMIN);
    let workflow = json!({
        "slug": "many", "name": "many", "module": "victims",
        "trigger": { "on": "record_created" }, "condition": "after.mode == 'many'",
        "steps": [{ "action": "asks", "config": { "create": 3 } }],
    });
    owner.post("workflows", workflow).await.expect(201);
    assert_eq!(creates(&owner).await["status"], "done");
    assert_eq!(
        limit(&owner, "max_mutations").await,
        (json!(50), json!("default"))
    );

    let small = json!({ "plan": "small", "limits": { "max_mutations": 2 } });
    let given = set(&admin, &id, small).await.expect(200);
    assert_eq!(given["plan"], "small");
    assert_eq!(
        limit(&owner, "max_mutations").await,
        (json!(2), json!("plan"))
    );
    let refused = creates(&owner).await;
    let text = refused["error"].as_str().unwrap();
    assert!(text.contains("max_mutations"), "{refused}");
    // Another instance has it from the database.
    let same = TestDatabase {
        name: app.database.name.clone(),
    };
    let other = TestApp::on(same, None).await;
    let there = other.client(tenant, "owner");
    assert_eq!(
        limit(&there, "max_mutations").await,
        (json!(2), json!("plan"))
    );

    // Up to the cap and not one further; all that is wrong is told at once.
    let most = json!({ "limits": { "max_mutations": PLAN_MAX_MUTATIONS } });
    set(&admin, &id, most).await.expect(200);
    assert_eq!(creates(&owner).await["status"], "done");
    let name = "n".repeat(PLAN_NAME_MAX_CHARACTERS + 1);
    let beyond = json!({ "plan": name,
        "limits": { "max_mutations": PLAN_MAX_MUTATIONS + 1, "max_effects": 1_000_000 } });
    let refused = set(&admin, &id, beyond).await.expect(422);
    let pointers: Vec<&Value> = refused["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| &error["pointer"])
        .collect();
    assert_eq!(
        pointers,
        ["/plan", "/limits/max_mutations", "/limits/max_effects"]
    );
    for bad in [
        json!({ "limits": { "speed": 1 } }),
        json!({ "limits": { "max_effects": -1 } }),
    ] {
        set(&admin, &id, bad).await.expect(422);
    }

    let none = json!({});
    for client in [&owner, &admin] {
        client.put("limits", none.clone()).await.expect(403);
    }
    set(&owner, &id, none.clone()).await.expect(403);
    app.client(tenant, "viewer").get("limits").await.expect(403);
    set(&admin, &id, none).await.expect(200);
    assert_eq!(
        limit(&owner, "max_mutations").await,
        (json!(50), json!("default"))
    );
    let log = owner.get("audit?action=plan.set").await.expect(200);
    let last = log["data"].as_array().unwrap().last().unwrap();
    assert_eq!(
        last["after"],
        json!({ "plan": "small", "limits": { "max_mutations": 2 } })
    );
}

#[tokio::test]
async fn a_plan_holds_for_hooks_too_and_for_nobody_else() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hooked").await;
    let (_, neighbour) = app.owner_of("hooked").await;
    let id = tenant.to_string();
    let file = std::env::temp_dir().join(format!("plan-{id}.json"));
    let plan = |arguments: &[&str]| {
        let mut command = crm();
        command
            .args(["--json", "tenant", "plan", "--tenant", &id])
            .args(arguments);
        let output = command
            .env("DATABASE_URL", app.database.url())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        output.status.success().then_some(text).ok_or(error)
    };
    let with = |text: &str| {
        std::fs::write(&file, text).unwrap();
        plan(&["--file", file.to_str().unwrap()])
    };
    let guest = json!({ "data": { "name": "Ada", "age": 20 } });
    owner
        .post("records/guests", guest.clone())
        .await
        .expect(201);
    let starved = r#"{"plan":"starved","limits":{"fuel_max_units":1}}"#;
    let shown: Value = serde_json::from_str(&with(starved).unwrap()).unwrap();
    assert_eq!(shown, serde_json::from_str::<Value>(starved).unwrap());
    let refused = owner
        .post("records/guests", guest.clone())
        .await
        .expect(422);
    let text = refused.to_string();
    assert!(text.contains("used up its 1 units of fuel"), "{text}");
    neighbour
        .post("records/guests", guest.clone())
        .await
        .expect(201);

    let error = with(r#"{"limits":{"max_effects":101}}"#).unwrap_err();
    assert!(error.contains("is at most 100"), "{error}");
    let error = with(r#"{"limits":{"speed":101}}"#).unwrap_err();
    assert!(error.contains("is no plan"), "{error}");
    plan(&["--default"]).unwrap();
    let other = json!({ "data": { "name": "Bea", "age": 20 } });
    owner.post("records/guests", other).await.expect(201);
    let log = owner.get("audit?action=plan.set").await.expect(200);
    assert_eq!(log["data"][0]["actor"], "crm-operator");
    std::fs::remove_file(file).unwrap();
}
