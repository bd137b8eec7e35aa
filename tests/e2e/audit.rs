//! The audit log: who managed what, from where; there to stay, and for those who manage
//! everything alone.

use crm_tests::app::TestApp;
use crm_tests::client::Client;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

async fn entries(owner: &Client, filter: &str) -> Vec<Value> {
    let page = owner.get(&format!("audit?{filter}")).await.expect(200);
    page["data"].as_array().unwrap().clone()
}

async fn actions(owner: &Client, filter: &str) -> Vec<String> {
    let entries = entries(owner, filter).await;
    let action = |entry: &Value| entry["action"].as_str().unwrap().to_owned();
    entries.iter().map(action).collect()
}

#[tokio::test]
async fn every_act_of_management_is_written_down() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    owner
        .module(
            "rooms",
            json!([{"key": "name", "label": "Name", "type": "text"}]),
        )
        .await;
    let field = json!({"key": "beds", "label": "Beds", "type": "integer"});
    owner.post("modules/rooms/fields", field).await.expect(201);
    let path = "modules/rooms/fields/beds";
    owner
        .patch(path, json!({"label": "Places"}))
        .await
        .expect(200);
    assert!(owner.delete(path).await.status.is_success());
    owner.tasks_end().await;
    owner
        .patch("modules/rooms", json!({"label": "Ward"}))
        .await
        .expect(200);
    assert!(owner.delete("modules/rooms").await.status.is_success());
    let workflow = json!({
        "slug": "shout", "name": "Shout", "module": "patients",
        "trigger": {"on": "record_deleted"},
        "steps": [{"action": "field-set", "config": {"set": {"welcome_note": "'x'"}}}],
    });
    owner.post("workflows", workflow).await.expect(201);
    let zone = json!({"time_zone": "Europe/Berlin"}).to_string();
    let request = [("x-request-id", "of-the-settings")];
    let edited = owner.call(Method::PATCH, "settings", &request, Some(zone));
    edited.await.expect(200);
    let view = json!({"name": "Ours", "module": "patients", "shared": true});
    let view = owner.post("views", view).await.expect(201);
    let view = format!("views/{}", view["id"].as_str().unwrap());
    owner.patch(&view, json!({"name": "All"})).await.expect(200);
    assert!(owner.delete(&view).await.status.is_success());
    let patient = owner
        .create("patients", json!({"full_name": "Ada Secret"}))
        .await;
    let patient = format!("records/patients/{patient}");
    assert!(
        owner
            .delete(&format!("{patient}?purge=true"))
            .await
            .status
            .is_success()
    );
    owner.get("records/patients/export").await.expect(200);
    let import = owner
        .upload("patients", "full_name\nGrace\n")
        .await
        .expect(201);
    let import = import["id"].as_str().unwrap();
    owner.import(import, json!({"dry_run": true})).await;

    let found = actions(&owner, "").await;
    assert_eq!(
        found,
        [
            "import.run",
            "records.exported",
            "record.purged",
            "view.removed",
            "view.edited",
            "view.added",
            "settings.edited",
            "workflow.added",
            "module.removed",
            "module.edited",
            "field.removed",
            "field.edited",
            "field.added",
            "module.added",
            "template.selected",
        ],
        "newest first"
    );
    let settings = &entries(&owner, "action=settings.edited").await[0];
    assert_eq!(settings["actor"], "owner-1");
    assert_eq!(settings["target"], "settings");
    assert_eq!(settings["address"], "127.0.0.1");
    assert_eq!(settings["request_id"], "of-the-settings");
    assert_eq!(settings["home_tenant"], Value::Null);
    assert_eq!(settings["before"]["time_zone"], "UTC");
    assert_eq!(settings["after"]["time_zone"], "Europe/Berlin");
    let field = &entries(&owner, "action=field.edited").await[0];
    assert_eq!(field["target"], path);
    assert_eq!(field["before"]["label"], "Beds");
    assert_eq!(field["after"]["label"], "Places");
    let removed = &entries(&owner, "action=module.removed").await[0];
    assert_eq!(removed["before"]["label"], "Ward");
    assert_eq!(removed["after"], Value::Null);
    let purged = entries(&owner, &format!("target={patient}")).await;
    assert_eq!(purged.len(), 1);
    let all = json!(entries(&owner, "").await).to_string();
    assert!(!all.contains("Ada Secret"), "no record's values");
    let installs = &entries(&owner, "action=template.selected").await[0]["after"]["installs"];
    assert!(
        !installs.as_array().unwrap().is_empty(),
        "what plugins were granted"
    );
}

#[tokio::test]
async fn the_log_is_paged_and_filtered_for_those_who_manage_everything() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    for zone in ["Europe/Berlin", "Europe/Paris", "UTC"] {
        let zone = json!({"time_zone": zone});
        owner.patch("settings", zone).await.expect(200);
    }
    let first = owner.get("audit?limit=3&include=total").await.expect(200);
    assert_eq!(first["total"], json!({"value": 4, "exact": true}));
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = owner
        .get(&format!("audit?limit=3&cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(rest["data"][0]["action"], "template.selected");
    assert_eq!(rest["next_cursor"], Value::Null);
    let second = first["data"][1]["at"].as_str().unwrap();
    let second = second.replace('+', "%2B");
    assert_eq!(actions(&owner, &format!("from={second}")).await.len(), 2);
    assert_eq!(actions(&owner, &format!("to={second}")).await.len(), 2);
    assert_eq!(actions(&owner, "actor=owner-1").await.len(), 4);
    assert_eq!(actions(&owner, "actor=nobody").await.len(), 0);
    assert_eq!(actions(&owner, "target=settings").await.len(), 3);
    for wrong in ["cursor=x", "limit=0", "from=yesterday", "colour=red"] {
        assert_eq!(
            owner.get(&format!("audit?{wrong}")).await.status,
            422,
            "{wrong}"
        );
    }

    for role in ["admin", "manager", "viewer", "stranger"] {
        let answer = app.client(tenant, role).get("audit").await;
        assert_eq!(answer.status, 403, "{role}");
    }
    let (_, other) = app.owner_of("hospital").await;
    assert_eq!(actions(&other, "").await, ["template.selected"]);
}

#[tokio::test]
async fn what_is_refused_or_private_leaves_no_entry() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let module = json!({"slug": "patients", "label": "Twice", "fields": []});
    assert_eq!(owner.post("modules", module).await.status, 409);
    let zone = json!({"time_zone": "Mars/Olympus"});
    assert_eq!(owner.patch("settings", zone.clone()).await.status, 422);
    assert_eq!(
        app.client(tenant, "viewer")
            .patch("settings", zone)
            .await
            .status,
        403
    );
    let view = json!({"name": "Mine", "module": "patients"});
    owner.post("views", view).await.expect(201);
    assert_eq!(owner.get("records/nowhere/export").await.status, 404);
    assert_eq!(actions(&owner, "").await, ["template.selected"]);
}

#[tokio::test]
async fn the_runtime_adds_to_the_log_and_changes_nothing_in_it() {
    let app = TestApp::start().await;
    let (tenant, _) = app.owner_of("hospital").await;
    let mut runtime = PgConnection::connect_with(&app.database.runtime())
        .await
        .unwrap();
    for statement in [
        "update crm_audit set actor = 'nobody'",
        "delete from crm_audit",
        "truncate crm_audit",
        "insert into crm_suspensions values (gen_random_uuid(), now(), 'me')",
        "delete from crm_suspensions",
    ] {
        let mut transaction = runtime.begin().await.unwrap();
        sqlx::query("select crm_tenant_begin($1)")
            .bind(tenant.uuid())
            .execute(&mut *transaction)
            .await
            .unwrap();
        let refused = sqlx::query(AssertSqlSafe(statement.to_owned()))
            .execute(&mut *transaction)
            .await
            .unwrap_err();
        let code = refused.as_database_error().unwrap().code().unwrap();
        assert_eq!(code, "42501", "{statement}");
    }
}
