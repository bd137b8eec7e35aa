//! The tenant changes its model: fields are relabelled, retired, restored, deleted and ordered,
//! modules come and go, settings change. What the template owns bends and does not break.

use crm_model::TenantId;
use crm_model::limits::WRITE_MAX_RETRIES;
use crm_tests::app::TestApp;
use crm_tests::client::{Client, wait_until};
use crm_tests::cluster::TestDatabase;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

const FIELDS: &str = "modules/patients/fields";

async fn add(owner: &Client, field: Value) -> Value {
    owner.post(FIELDS, field).await.expect(201)
}

/// Another instance on the same database, without a worker.
async fn another_instance(app: &TestApp) -> TestApp {
    let same = TestDatabase {
        name: app.database.name.clone(),
    };
    TestApp::on(same, None).await
}

/// An instance whose tasks nobody takes, so that what they are to do stays to be seen.
async fn without_worker() -> TestApp {
    TestApp::on(crm_tests::cluster::cluster().database().await, None).await
}

fn keys(list: &Value) -> Vec<String> {
    let fields = list["data"].as_array().unwrap();
    let key = |field: &Value| field["key"].as_str().unwrap().to_owned();
    fields.iter().map(key).collect()
}

async fn tasks(app: &TestApp, kind: &str) -> Vec<Value> {
    let mut owner = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    sqlx::query_scalar("select spec from crm_tasks where kind = $1 order by created_at, id")
        .bind(kind)
        .fetch_all(&mut owner)
        .await
        .unwrap()
}

/// As the worker ends a task: done, and its fields are ready.
async fn finish_tasks(app: &TestApp) {
    let mut owner = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    for statement in [
        "update crm_tasks set status = 'done', finished_at = now()",
        "delete from crm_fields_building",
        "update tenant_crm_configs set model_version = model_version + 1",
    ] {
        sqlx::query(statement).execute(&mut owner).await.unwrap();
    }
}

#[tokio::test]
async fn a_retired_field_is_hidden_and_comes_back_with_its_values() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let other = another_instance(&app).await;
    let elsewhere = other.client(tenant, "owner");
    let nickname = json!({"key": "nickname", "label": "Nickname", "type": "text"});
    let added = add(&owner, nickname).await;
    assert_eq!(
        (&added["origin"], &added["retired"], &added["index"]),
        (&json!("tenant"), &json!(false), &json!("ready"))
    );
    let patient = json!({"full_name": "Ada", "nickname": "A"});
    let id = owner.create("patients", patient).await;

    let field = format!("{FIELDS}/nickname");
    let renamed = json!({"label": "Called", "max_length": 5});
    let renamed = owner.patch(&field, renamed).await.expect(200);
    assert_eq!(renamed["label"], "Called");
    assert_eq!(elsewhere.get(&field).await.expect(200)["label"], "Called");
    let long = json!({"data": {"full_name": "Ada", "nickname": "too long"}});
    assert_eq!(elsewhere.post("records/patients", long).await.status, 422);

    let retired = owner.patch(&field, json!({"retired": true})).await;
    assert_eq!(retired.expect(200)["retired"], true);
    for list in [FIELDS, "modules/patients/fields?include=retired"] {
        let listed = keys(&elsewhere.get(list).await.expect(200));
        let expected = list.contains("retired");
        assert_eq!(listed.contains(&"nickname".to_owned()), expected, "{list}");
    }
    let schema = elsewhere.get("modules/patients/schema").await.expect(200);
    assert_eq!(schema["properties"].get("nickname"), None);
    let bootstrap = elsewhere.get("bootstrap").await.expect(200);
    assert!(!bootstrap["modules"].to_string().contains("nickname"));
    let set = json!({"data": {"full_name": "Bob", "nickname": "B"}});
    let refused = elsewhere.post("records/patients", set).await;
    assert_eq!(refused.status, 422, "a retired field is not written");

    let restored = owner.patch(&field, json!({"retired": false})).await;
    assert_eq!(restored.expect(200)["retired"], false);
    let path = format!("records/patients/{id}");
    let record = elsewhere.get(&path).await.expect(200);
    assert_eq!(record["data"]["nickname"], "A", "its values were kept");
}

#[tokio::test]
async fn a_deleted_field_is_gone_at_once_and_its_key_is_free_when_its_values_are() {
    let app = without_worker().await;
    let (_, owner) = app.owner_of("hospital").await;
    let nickname = json!({"key": "nickname", "label": "Nickname", "type": "text"});
    add(&owner, nickname.clone()).await;
    let field = format!("{FIELDS}/nickname");
    assert_eq!(owner.delete(&field).await.status, 204);
    assert_eq!(owner.get(&field).await.status, 404);
    assert_eq!(owner.delete(&field).await.status, 404);
    let set = json!({"data": {"full_name": "Ada", "nickname": "A"}});
    assert_eq!(owner.post("records/patients", set).await.status, 422);
    let expected = json!({"kind": "field_remove", "module": "patients", "field": "nickname"});
    assert_eq!(tasks(&app, "field_remove").await, [expected]);

    let again = owner.post(FIELDS, nickname.clone()).await;
    assert_eq!(again.status, 409);
    let detail = again.body["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("still being removed"), "{detail}");
    finish_tasks(&app).await;
    add(&owner, nickname).await;
}

#[tokio::test]
async fn fields_stand_where_the_tenant_puts_them() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let second = json!({"key": "nickname", "label": "Nickname", "type": "text", "position": 1});
    assert_eq!(add(&owner, second).await["position"], 1);
    let listed = keys(&owner.get(FIELDS).await.expect(200));
    assert_eq!(listed[..2], ["full_name", "nickname"]);
    let moved = owner
        .patch(&format!("{FIELDS}/notes"), json!({"position": 0}))
        .await;
    assert_eq!(moved.expect(200)["position"], 0);
    let listed = keys(&owner.get(FIELDS).await.expect(200));
    assert_eq!(listed[..3], ["notes", "full_name", "nickname"]);

    let order = json!({"field_order": ["email", "phone"]});
    owner.patch("modules/patients", order).await.expect(200);
    let listed = keys(&owner.get(FIELDS).await.expect(200));
    assert_eq!(listed[..3], ["email", "phone", "full_name"]);
    assert_eq!(listed.len(), 16, "none is lost");
    let unknown = json!({"field_order": ["email", "nowhere"]});
    let refused = owner.patch("modules/patients", unknown).await;
    assert_eq!(refused.status, 422);
    let expected = ("/field_order/1".to_owned(), "unknown_field".to_owned());
    assert_eq!(refused.violations(), [expected]);
}

#[tokio::test]
async fn what_the_template_owns_is_hidden_or_relabelled_and_never_broken() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let allergies = format!("{FIELDS}/allergies");
    let patch = json!({"label": "Allergien", "help": null, "retired": true});
    let edited = owner.patch(&allergies, patch).await.expect(200);
    assert_eq!(edited["label"], "Allergien");
    assert_eq!(
        (&edited["origin"], &edited["retired"]),
        (&json!("template"), &json!(true))
    );
    let back = owner
        .patch(&allergies, json!({"label": null, "retired": false}))
        .await;
    assert_eq!(
        back.expect(200)["label"],
        "Allergies",
        "the template's own again"
    );

    for (field, patch, expected) in [
        (
            "allergies",
            json!({"type": "text", "max_length": 1}),
            vec![
                ("/max_length", "template_owned"),
                ("/type", "template_owned"),
            ],
        ),
        (
            "allergies",
            json!({"required": true}),
            vec![("/required", "template_owned")],
        ),
        (
            "gender",
            json!({"options": []}),
            vec![("/options", "template_owned")],
        ),
        (
            "full_name",
            json!({"retired": true}),
            vec![("/retired", "in_use")],
        ),
    ] {
        let refused = owner.patch(&format!("{FIELDS}/{field}"), patch).await;
        assert_eq!(refused.status, 422, "{}", refused.body);
        let pair = |(pointer, code): (&str, &str)| (pointer.to_owned(), code.to_owned());
        let expected: Vec<_> = expected.into_iter().map(pair).collect();
        assert_eq!(refused.violations(), expected);
    }
    let refused = owner.delete(&allergies).await;
    assert_eq!(refused.status, 409);
    assert!(refused.body["detail"].as_str().unwrap().contains("hide it"));
    assert_eq!(owner.delete("modules/patients").await.status, 409);
    let version = owner.get("bootstrap").await.expect(200)["model_version"].clone();
    assert_eq!(version, 3, "what is refused changes nothing");

    let viewer = app.client(tenant, "viewer");
    let label = json!({"label": "X"});
    assert_eq!(viewer.patch(&allergies, label.clone()).await.status, 403);
    assert_eq!(viewer.delete(&allergies).await.status, 403);
    assert_eq!(
        viewer.patch("modules/patients", label.clone()).await.status,
        403
    );
    let (_, stranger) = app.owner_of("jewellery").await;
    assert_eq!(stranger.patch(&allergies, label).await.status, 404);
}

#[tokio::test]
async fn a_module_is_relabelled_and_hidden() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let patch = json!({"label": "Physician", "label_plural": "Physicians", "icon": "user"});
    let edited = owner.patch("modules/doctors", patch).await.expect(200);
    assert_eq!(
        (&edited["label_plural"], &edited["icon"], &edited["origin"]),
        (&json!("Physicians"), &json!("user"), &json!("template"))
    );
    owner
        .patch("modules/doctors", json!({"hidden": true}))
        .await
        .expect(200);
    let listed = owner.get("modules").await.expect(200);
    assert!(!listed.to_string().contains("Physicians"));
    let bootstrap = owner.get("bootstrap").await.expect(200);
    assert!(!bootstrap["modules"].to_string().contains("Physicians"));
    let all = owner.get("modules?include=hidden").await.expect(200);
    assert!(all.to_string().contains("Physicians"));
    let doctor = json!({"full_name": "Ada", "specialty": "general"});
    owner.create("doctors", doctor).await;
    let back = json!({"label": null, "hidden": false});
    let back = owner.patch("modules/doctors", back).await.expect(200);
    assert_eq!(
        (&back["label"], &back["hidden"]),
        (&json!("Doctor"), &json!(false))
    );
    for (patch, pointer) in [
        (json!({"slug": "physicians"}), "/slug"),
        (json!({"fields": []}), "/fields"),
        (json!({"title_field": "nowhere"}), "/title_field"),
        (json!({"unique": [{"fields": ["email"]}]}), "/unique"),
    ] {
        let refused = owner.patch("modules/doctors", patch).await;
        assert_eq!(refused.status, 422);
        assert_eq!(refused.violations()[0].0, pointer, "{}", refused.body);
    }
}

fn wards() -> Value {
    json!({"slug": "wards", "label": "Ward", "label_plural": "Wards", "title_field": "name",
    "fields": [
        {"key": "name", "label": "Name", "type": "text", "required": true},
        {"key": "head", "label": "Head", "type": "relation", "module": "doctors"},
    ]})
}

#[tokio::test]
async fn a_module_of_the_tenants_own_is_used_at_once_on_every_instance() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let other = another_instance(&app).await;
    let elsewhere = other.client(tenant, "owner");
    assert_eq!(elsewhere.get("records/wards").await.status, 404);
    let added = owner.post("modules", wards()).await.expect(201);
    assert_eq!(
        (&added["origin"], &added["hidden"]),
        (&json!("tenant"), &json!(false))
    );
    assert_eq!(added["fields"][1]["origin"], "tenant");
    let ward = elsewhere.create("wards", json!({"name": "North"})).await;
    let refused = elsewhere.post("records/wards", json!({"data": {}})).await;
    assert_eq!(
        refused.violations()[0],
        ("/data/name".to_owned(), "required".to_owned())
    );
    let path = format!("records/wards/{ward}");
    assert_eq!(owner.get(&path).await.expect(200)["data"]["name"], "North");
    let listed = elsewhere.get("modules").await.expect(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 4);

    assert_eq!(owner.post("modules", wards()).await.status, 409);
    let (slug, mut wrong) = ("beds", wards());
    wrong["slug"] = json!(slug);
    wrong["fields"][0]["type"] = json!("nonsense");
    assert_eq!(owner.post("modules", wrong).await.status, 422);
    assert_eq!(owner.get("modules/beds").await.status, 404);
    for role in ["admin", "manager", "viewer"] {
        let mut theirs = wards();
        theirs["slug"] = json!(slug);
        let answer = app.client(tenant, role).post("modules", theirs).await;
        assert_eq!(answer.status, 403, "{role}");
    }
    let (_, stranger) = app.owner_of("hospital").await;
    assert_eq!(stranger.get("modules/wards").await.status, 404);
}

#[tokio::test]
async fn a_module_goes_when_nothing_points_to_it_and_its_records_may() {
    let app = without_worker().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    owner.post("modules", wards()).await.expect(201);
    let relation = json!({"key": "ward", "label": "Ward", "type": "relation", "module": "wards"});
    add(&owner, relation).await;
    let refused = owner.delete("modules/wards").await;
    assert_eq!(refused.status, 409, "a field points to it");
    assert!(
        refused.body["detail"]
            .as_str()
            .unwrap()
            .contains("patients/fields/ward")
    );
    owner.delete(&format!("{FIELDS}/ward")).await;

    let ward = owner.create("wards", json!({"name": "North"})).await;
    assert_eq!(
        owner.delete("modules/wards").await.status,
        409,
        "it has records"
    );
    assert_eq!(owner.delete("modules/wards?records=keep").await.status, 422);
    let viewer = app.client(tenant, "viewer");
    assert_eq!(
        viewer.delete("modules/wards?records=delete").await.status,
        403
    );
    let gone = owner.delete("modules/wards?records=delete").await;
    assert_eq!(gone.status, 204, "{}", gone.body);
    assert_eq!(
        owner.get(&format!("records/wards/{ward}")).await.status,
        404
    );
    assert_eq!(owner.get("modules/wards").await.status, 404);
    let expected = json!({"kind": "module_remove", "module": "wards"});
    assert_eq!(tasks(&app, "module_remove").await, [expected]);
    let early = owner.post("modules", wards()).await;
    assert_eq!(early.status, 409, "its records are not gone yet");
    finish_tasks(&app).await;
    owner.post("modules", wards()).await.expect(201);
    let empty = owner.delete("modules/wards").await;
    assert_eq!(
        empty.status, 409,
        "the record is still there: only the task takes it"
    );
}

#[tokio::test]
async fn what_is_turned_on_for_records_that_are_there_is_built_in_the_background() {
    let app = without_worker().await;
    let (_, owner) = app.owner_of("hospital").await;
    let email = format!("{FIELDS}/email");
    let early = owner.patch(&email, json!({"searchable": true})).await;
    assert_eq!(early.expect(200)["index"], "ready", "there are no records");
    finish_tasks(&app).await;
    let before = tasks(&app, "reindex").await.len();

    owner.create("patients", json!({"full_name": "Ada"})).await;
    let plain = json!({"key": "nickname", "label": "Nickname", "type": "text"});
    assert_eq!(add(&owner, plain).await["index"], "ready");
    assert_eq!(
        tasks(&app, "reindex").await.len(),
        before,
        "a plain field takes no task"
    );
    let badge = json!({"key": "badge", "label": "Badge", "type": "text", "unique": true});
    assert_eq!(add(&owner, badge).await["index"], "building");
    let indexed = owner.patch(&email, json!({"indexed": true})).await;
    assert_eq!(indexed.expect(200)["index"], "building");
    let label = json!({"label": "Tag"});
    let label = owner.patch(&format!("{FIELDS}/badge"), label).await;
    assert_eq!(
        label.expect(200)["index"],
        "building",
        "a label does not end it"
    );
    let queued = tasks(&app, "reindex").await;
    let expected =
        |field: &str| json!({"kind": "reindex", "module": "patients", "fields": [field]});
    assert_eq!(queued[before..], [expected("badge"), expected("email")]);
    finish_tasks(&app).await;
    assert_eq!(owner.get(&email).await.expect(200)["index"], "ready");
}

#[tokio::test]
async fn a_change_of_the_model_does_not_wait_for_records() {
    let app = without_worker().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    owner.create("patients", json!({"full_name": "Ada"})).await;
    let mut holder = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let mut held = holder.begin().await.unwrap();
    // Nobody can write, or even alter, the table until this ends; readers can go on.
    sqlx::query("lock table crm_records in exclusive mode")
        .execute(&mut *held)
        .await
        .unwrap();
    let locked = sqlx::query("select from crm_records where tenant_id = $1 for update")
        .bind(tenant.uuid())
        .execute(&mut *held)
        .await
        .unwrap();
    assert_eq!(locked.rows_affected(), 1);
    let field = json!({"key": "badge", "label": "Badge", "type": "text", "unique": true});
    add(&owner, field).await;
    let path = format!("{FIELDS}/badge");
    owner
        .patch(&path, json!({"retired": true}))
        .await
        .expect(200);
    assert_eq!(owner.delete(&path).await.status, 204);
    held.rollback().await.unwrap();
}

/// Whether somebody waits for a lock in the watcher's database.
pub(crate) async fn somebody_waits(watcher: &mut PgConnection) -> bool {
    how_many_wait(watcher).await > 0
}

async fn how_many_wait(watcher: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'",
    )
    .fetch_one(watcher)
    .await
    .unwrap()
}

/// Holds a tenant's records until the connection rolls back.
async fn hold(mut connection: PgConnection, tenant: TenantId) -> PgConnection {
    connection.execute("begin").await.unwrap();
    sqlx::query("select from crm_records where tenant_id = $1 for update")
        .bind(tenant.uuid())
        .execute(&mut connection)
        .await
        .unwrap();
    connection
}

/// Adding a field with an index changes the model twice, so a write that waits for others meets
/// more changes than its own record ever had.
#[tokio::test]
async fn a_write_that_waits_outlasts_changes_of_the_model() {
    let app = without_worker().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let ada = owner.create("patients", json!({"full_name": "Ada"})).await;
    let owners = app.database.owner();
    let connect = async || PgConnection::connect_with(&owners).await.unwrap();
    let (mut watcher, mut next) = (connect().await, connect().await);
    let mut held = hold(connect().await, tenant).await;
    let (client, path) = (owner.clone(), format!("records/patients/{ada}"));
    let deletion = tokio::spawn(async move { client.delete(&path).await });
    for turn in 0..2 * WRITE_MAX_RETRIES {
        wait_until("the deletion waits", async || {
            somebody_waits(&mut watcher).await
        })
        .await;
        let label = json!({"label": format!("Notes {turn}")});
        let changed = owner.patch(&format!("{FIELDS}/notes"), label).await;
        changed.expect(200);
        // Whoever holds the record next waits already, so that the deletion does not come in
        // between when it begins anew.
        let holding = tokio::spawn(hold(next, tenant));
        wait_until("the next one waits behind it", async || {
            how_many_wait(&mut watcher).await > 1
        })
        .await;
        held.execute("rollback").await.unwrap();
        (next, held) = (held, holding.await.unwrap());
    }
    held.execute("rollback").await.unwrap();
    assert_eq!(deletion.await.unwrap().status, 204);
}

#[tokio::test]
async fn two_changes_at_once_are_both_made() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let other = another_instance(&app).await;
    let elsewhere = other.client(tenant, "owner");
    let field = |key: &str| json!({"key": key, "label": "F", "type": "text"});
    let (one, two) = (field("one"), field("two"));
    let (first, second) = tokio::join!(owner.post(FIELDS, one), elsewhere.post(FIELDS, two));
    first.expect(201);
    second.expect(201);
    let listed = keys(&owner.get(FIELDS).await.expect(200));
    assert!(listed.contains(&"one".to_owned()) && listed.contains(&"two".to_owned()));
    let same = field("three");
    let (first, second) = tokio::join!(
        owner.post(FIELDS, same.clone()),
        elsewhere.post(FIELDS, same)
    );
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
}

#[tokio::test]
async fn settings_are_the_whole_tenants() {
    let app = without_worker().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let day = json!([["09:00", "17:00"]]);
    let week = json!({"monday": day, "tuesday": day, "wednesday": day, "thursday": day,
        "friday": day, "saturday": [], "sunday": [], "holidays": []});
    let expected = json!({"time_zone": "UTC", "language": "simple", "business_hours": week,
        "run_log_days": null, "run_log_max_days": 400});
    assert_eq!(owner.get("settings").await.expect(200), expected);
    let searchable = json!({"searchable": true});
    let field = format!("{FIELDS}/notes");
    owner.patch(&field, searchable).await.expect(200);
    owner.create("patients", json!({"full_name": "Ada"})).await;
    finish_tasks(&app).await;

    let zone = json!({"time_zone": "Europe/Berlin"});
    owner.patch("settings", zone).await.expect(200);
    assert_eq!(owner.get(&field).await.expect(200)["index"], "ready");
    let patched = owner.patch("settings", json!({"language": "german"})).await;
    let expected = json!({"time_zone": "Europe/Berlin", "language": "german", "business_hours": week, "run_log_days": null,
        "run_log_max_days": 400});
    assert_eq!(patched.expect(200), expected);
    assert_eq!(owner.get("settings").await.expect(200), expected);
    assert_eq!(owner.get(&field).await.expect(200)["index"], "building");
    let last = tasks(&app, "reindex").await.pop().unwrap();
    assert_eq!(
        (&last["module"], &last["fields"]),
        (
            &json!("patients"),
            &json!(["email", "full_name", "notes", "phone"])
        )
    );

    let wrong = json!({"time_zone": "Europe/Berln", "language": "klingon", "theme": "dark"});
    let refused = owner.patch("settings", wrong).await;
    assert_eq!(refused.status, 422);
    let pair = |pointer: &str, code: &str| (pointer.to_owned(), code.to_owned());
    assert_eq!(
        refused.violations(),
        [
            pair("/language", "unknown"),
            pair("/theme", "unknown_field"),
            pair("/time_zone", "unknown")
        ]
    );
    assert!(refused.body.to_string().contains("Europe/Berlin"));
    let viewer = app.client(tenant, "viewer");
    assert_eq!(viewer.get("settings").await.expect(200), expected);
    let theirs = json!({"language": "french"});
    assert_eq!(viewer.patch("settings", theirs).await.status, 403);
    let newcomer = app.tenant("newcomer").await;
    let newcomer = app.client(newcomer, "owner");
    assert_eq!(newcomer.get("settings").await.status, 404);
}
