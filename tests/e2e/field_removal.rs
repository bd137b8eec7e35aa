//! A field that is deleted: nothing that is kept holds a value of it, and everything else stays.

use crm_tests::app::TestApp;
use crm_tests::client::Client;
use crm_tests::cluster::cluster;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

const NICKNAME: &str = "modules/patients/fields/nickname";

fn nickname() -> Value {
    json!({"key": "nickname", "label": "Nickname", "type": "text", "indexed": true,
        "searchable": true})
}

/// Says a patient's nickname again, louder.
fn shouting() -> Value {
    json!({
        "slug": "shout", "name": "Shout", "module": "patients",
        "trigger": {"on": "record_updated", "fields": ["full_name"]},
        "steps": [{"action": "field-set", "config": {"set": {
            "nickname": "upper(after.nickname)"}}}],
    })
}

/// Lets the tenant's plugins have to do with the nickname too.
async fn grant_nickname(app: &TestApp, tenant: crm_model::TenantId) {
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    for statement in [
        "update crm_plugin_installs set granted = granted
            || '{\"reads\": [\"patients(*)\"], \"writes\": [\"patients(update; *)\"]}'
        where tenant_id = $1",
        "update tenant_crm_configs set model_version = model_version + 1 where tenant_id = $1",
    ] {
        let done = sqlx::query(statement)
            .bind(tenant.uuid())
            .execute(&mut admin)
            .await
            .unwrap();
        assert_ne!(done.rows_affected(), 0);
    }
}

/// The tables in which a text stands in some row of a tenant.
async fn tables_with(app: &TestApp, tenant: crm_model::TenantId, text: &str) -> Vec<String> {
    let mut owner = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
        where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace
        order by 1",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    let mut found = Vec::new();
    for table in tables {
        let holds: bool = sqlx::query_scalar(AssertSqlSafe(format!(
            "select exists (select from {table} t where t.tenant_id = $1 and t::text ilike $2)"
        )))
        .bind(tenant.uuid())
        .bind(format!("%{text}%"))
        .fetch_one(&mut owner)
        .await
        .unwrap();
        if holds {
            found.push(table);
        }
    }
    found
}

async fn versions(owner: &Client, path: &str) -> Vec<(i64, Value)> {
    let history = owner.get(&format!("{path}/history")).await.expect(200);
    let entries = history["data"].as_array().unwrap().iter();
    let entry = |entry: &Value| (entry["version"].as_i64().unwrap(), entry["changes"].clone());
    entries.map(entry).collect()
}

#[tokio::test]
async fn what_happened_keeps_no_values_of_a_deleted_field() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let (other_tenant, stranger) = app.owner_of("hospital").await;
    for client in [&owner, &stranger] {
        client
            .post("modules/patients/fields", nickname())
            .await
            .expect(201);
    }
    let of_doctors = "modules/doctors/fields";
    owner.post(of_doctors, nickname()).await.expect(201);
    grant_nickname(&app, tenant).await;
    owner.post("workflows", shouting()).await.expect(201);

    let body = json!({"data": {"full_name": "Ada", "nickname": "zanzibar"}});
    let created = owner
        .post_once("records/patients", "once", body.clone())
        .await;
    let ada = created.expect(201)["id"].as_str().unwrap().to_owned();
    let path = format!("records/patients/{ada}");
    owner.run("welcome", &ada, &["done"]).await;
    owner
        .patch(&path, json!({"data": {"nickname": "zanzibar two"}}))
        .await
        .expect(200);
    owner
        .patch(&path, json!({"data": {"full_name": "Ada King"}}))
        .await
        .expect(200);
    let run = owner.run("shout", &ada, &["done"]).await;
    assert!(run.to_string().contains("ZANZIBAR TWO"), "{run}");
    let bob = json!({"full_name": "Bob", "nickname": "zanzibar three"});
    let bob = owner.create("patients", bob).await;
    owner.run("welcome", &bob, &["done"]).await;
    owner.delete(&format!("records/patients/{bob}")).await;
    let theirs = json!({"full_name": "Eve", "nickname": "zanzibar"});
    let theirs = stranger.create("patients", theirs).await;
    let doctor = json!({"full_name": "Dr. No", "specialty": "other", "nickname": "kilimanjaro"});
    let doctor = owner.create("doctors", doctor).await;
    let held = tables_with(&app, tenant, "zanzibar").await;
    for table in [
        "crm_events",
        "crm_index",
        "crm_receipts",
        "crm_record_history",
        "crm_records",
        "crm_words",
        "crm_workflow_logs",
    ] {
        assert!(held.iter().any(|held| held == table), "{table}: {held:?}");
    }
    let before = versions(&owner, &path).await;

    assert_eq!(owner.delete(NICKNAME).await.status, 204);
    owner.tasks_end().await;
    let held = tables_with(&app, tenant, "zanzibar").await;
    assert_eq!(held, [""; 0], "values of a deleted field");
    let after = versions(&owner, &path).await;
    let numbers = |versions: &[(i64, Value)]| -> Vec<i64> {
        versions.iter().map(|(version, _)| *version).collect()
    };
    assert_eq!(numbers(&after), numbers(&before), "no version is missing");
    let second = after.iter().find(|(_, changes)| *changes == json!({}));
    assert!(second.is_some(), "nothing but the field changed: {after:?}");
    assert!(
        after.last().unwrap().1.to_string().contains("Ada"),
        "other fields keep theirs"
    );

    // The same request still does nothing.
    let again = owner.post_once("records/patients", "once", body).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.body["id"], json!(ada));
    assert_eq!(again.body["data"].get("nickname"), None);

    // Another module's field of that name, and another tenant's.
    let kept = versions(&owner, &format!("records/doctors/{doctor}")).await;
    assert_eq!(kept[0].1["nickname"]["to"], "kilimanjaro");
    let kept = versions(&stranger, &format!("records/patients/{theirs}")).await;
    assert_eq!(kept.last().unwrap().1["nickname"]["to"], "zanzibar");
    assert!(!tables_with(&app, other_tenant, "zanzibar").await.is_empty());
}

#[tokio::test]
async fn a_change_before_the_values_are_gone_does_not_tell_of_them() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (_, owner) = app.owner_of("hospital").await;
    owner
        .post("modules/patients/fields", nickname())
        .await
        .expect(201);
    let ada = json!({"full_name": "Ada", "nickname": "zanzibar"});
    let ada = owner.create("patients", ada).await;
    let path = format!("records/patients/{ada}");
    // Nobody does what follows from it.
    assert_eq!(owner.delete(NICKNAME).await.status, 204);
    owner
        .patch(&path, json!({"data": {"full_name": "Ada King"}}))
        .await
        .expect(200);
    owner.delete(&path).await;
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let told: Vec<(i64, bool)> = sqlx::query_as(
        "select record_version, coalesce(before ? 'nickname' or after ? 'nickname', false)
            or changed_fields ? 'nickname'
        from crm_events order by record_version",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    let told: Vec<bool> = told.into_iter().map(|(_, tells)| tells).collect();
    assert_eq!(told[1..], [false, false], "{told:?}");
}

#[tokio::test]
async fn a_field_that_is_there_is_not_forgotten() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (tenant, owner) = app.owner_of("hospital").await;
    owner
        .post("modules/patients/fields", nickname())
        .await
        .expect(201);
    let ada = json!({"full_name": "Ada", "nickname": "zanzibar"});
    owner.create("patients", ada).await;
    let mut runtime = PgConnection::connect_with(&app.database.runtime())
        .await
        .unwrap();
    let nil = uuid::Uuid::nil();
    for (module, field, with_task) in [
        ("patients", "nickname", false),
        ("patients", "full_name", false),
        ("patients", "nickname", true),
    ] {
        for statement in [
            "select crm_field_forget($1, $2, $3, 10)",
            "select crm_field_forget_runs($1, $2, $3, 10)",
        ] {
            let mut transaction = runtime.begin().await.unwrap();
            sqlx::query("select crm_tenant_begin($1)")
                .bind(tenant.uuid())
                .execute(&mut *transaction)
                .await
                .unwrap();
            if with_task {
                sqlx::query(
                    "insert into crm_tasks (tenant_id, id, kind, spec, status, available_at,
                        created_at, created_by, updated_at)
                    values ($1, gen_random_uuid(), 'field_remove',
                        jsonb_build_object('module', $2, 'field', $3), 'running', now(), now(),
                        'u', now())",
                )
                .bind(tenant.uuid())
                .bind(module)
                .bind(field)
                .execute(&mut *transaction)
                .await
                .unwrap();
            }
            let refused = sqlx::query(statement)
                .bind(module)
                .bind(field)
                .bind(nil)
                .execute(&mut *transaction)
                .await
                .unwrap_err();
            let code = refused.as_database_error().and_then(|error| error.code());
            assert_eq!(code.as_deref(), Some("42501"), "{module}.{field}");
        }
    }
    let changed = sqlx::query("update crm_record_history set changed_after = '{}'")
        .execute(&mut runtime)
        .await;
    let changed = changed.unwrap_err();
    let code = changed.as_database_error().and_then(|error| error.code());
    assert_eq!(
        code.as_deref(),
        Some("42501"),
        "history is not the runtime's to change"
    );
}
