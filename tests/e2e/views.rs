//! Saved views: a person's own, or shared; of what the model has; never another tenant's.

use crm_model::limits::USER_MAX_VIEWS;
use crm_tests::app::TestApp;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

fn view(name: &str) -> Value {
    json!({"module": "patients", "name": name, "columns": ["full_name", "created_at"],
        "sort": ["-created_at"], "filter": {"field": "gender", "op": "eq", "value": "female"}})
}

fn path(view: &Value) -> String {
    format!("views/{}", view["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_view_is_its_creators_until_it_is_shared() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let agent = app.client(tenant, "agent");
    let manager = app.client(tenant, "manager");
    let created = agent.post("views", view("Mine")).await;
    let location = created.header("location").unwrap().to_owned();
    let kept = created.expect(201);
    assert_eq!(location, format!("/api/crm/{}", path(&kept)));
    assert_eq!(
        (&kept["kind"], &kept["shared"], &kept["created_by"]),
        (&json!("table"), &json!(false), &json!("agent-1"))
    );
    assert_eq!(agent.get(&path(&kept)).await.expect(200), kept);
    for other in [&owner, &manager] {
        assert_eq!(other.get(&path(&kept)).await.status, 404);
        assert_eq!(other.delete(&path(&kept)).await.status, 404);
        assert_eq!(other.get("views").await.expect(200)["data"], json!([]));
    }

    let shared = agent.patch(&path(&kept), json!({"shared": true})).await;
    assert_eq!(shared.expect(200)["shared"], true);
    let seen = manager.get(&path(&kept)).await.expect(200);
    assert_eq!(seen["name"], "Mine");
    let rename = json!({"name": "Ours"});
    assert_eq!(
        manager.patch(&path(&kept), rename.clone()).await.status,
        403
    );
    assert_eq!(manager.delete(&path(&kept)).await.status, 403);
    let renamed = owner.patch(&path(&kept), rename).await.expect(200);
    assert_eq!(
        (&renamed["created_by"], &renamed["updated_by"]),
        (&json!("agent-1"), &json!("owner-1")),
        "who manages the module may change what is shared"
    );
    assert_eq!(agent.delete(&path(&kept)).await.status, 204);
    assert_eq!(owner.get(&path(&kept)).await.status, 404);
}

#[tokio::test]
async fn sharing_takes_the_right_to_update() {
    let app = TestApp::start().await;
    let (tenant, _) = app.owner_of("hospital").await;
    let viewer = app.client(tenant, "viewer");
    let mut shared = view("For all");
    shared["shared"] = json!(true);
    assert_eq!(viewer.post("views", shared).await.status, 403);
    let own = viewer.post("views", view("Own")).await.expect(201);
    let share = json!({"shared": true});
    assert_eq!(viewer.patch(&path(&own), share).await.status, 403);
    assert_eq!(viewer.get(&path(&own)).await.expect(200)["shared"], false);
}

#[tokio::test]
async fn another_tenants_views_do_not_exist() {
    let app = TestApp::start().await;
    let (_, alice) = app.owner_of("hospital").await;
    let (_, mallory) = app.owner_of("hospital").await;
    let mut shared = view("Alice's");
    shared["shared"] = json!(true);
    let kept = alice.post("views", shared).await.expect(201);
    assert_eq!(mallory.get(&path(&kept)).await.status, 404);
    let rename = json!({"name": "Mallory's"});
    assert_eq!(mallory.patch(&path(&kept), rename).await.status, 404);
    assert_eq!(mallory.delete(&path(&kept)).await.status, 404);
    assert_eq!(mallory.get("views").await.expect(200)["data"], json!([]));
    assert_eq!(alice.get(&path(&kept)).await.expect(200)["name"], "Alice's");
    assert_eq!(alice.get("views/not-an-id").await.status, 404);
}

#[tokio::test]
async fn a_view_fits_its_module() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let kanban = json!({"module": "appointments", "name": "Board", "kind": "kanban",
        "group_by": "status", "columns": ["patient.full_name", "fee.currency"]});
    owner.post("views", kanban).await.expect(201);
    let calendar = json!({"module": "appointments", "name": "Days", "kind": "calendar",
        "date_field": "scheduled_at"});
    let calendar = owner.post("views", calendar).await.expect(201);
    let pair = |pointer: &str, code: &str| (pointer.to_owned(), code.to_owned());
    for (patch, expected) in [
        (json!({"date_field": "reason"}), pair("/date_field", "kind")),
        (json!({"kind": "kanban"}), pair("/group_by", "kind")),
        (
            json!({"columns": ["nowhere"]}),
            pair("/columns/0", "unknown_field"),
        ),
        (
            json!({"sort": ["-nowhere"]}),
            pair("/sort/0", "unknown_field"),
        ),
        (json!({"filter": []}), pair("/filter", "shape")),
        (json!({"name": ""}), pair("/name", "length")),
        (json!({"kind": "gantt"}), pair("", "shape")),
        (json!({"colour": "red"}), pair("", "shape")),
        (json!({"module": "patients"}), pair("/module", "immutable")),
    ] {
        let refused = owner.patch(&path(&calendar), patch.clone()).await;
        assert_eq!(refused.status, 422, "{patch}");
        assert_eq!(refused.violations(), [expected], "{patch}");
    }
    let unchanged = owner.get(&path(&calendar)).await.expect(200);
    assert_eq!(unchanged, calendar);
    let nowhere = json!({"module": "nowhere", "name": "V"});
    assert_eq!(owner.post("views", nowhere).await.status, 404);

    let notes = "modules/appointments/fields/notes";
    let retired = owner.patch(notes, json!({"retired": true})).await;
    retired.expect(200);
    let with_notes = json!({"columns": ["notes"]});
    let refused = owner.patch(&path(&calendar), with_notes).await;
    assert_eq!(refused.violations(), [pair("/columns/0", "unknown_field")]);
    let nobody = app.client(tenant, "nobody");
    assert_eq!(nobody.post("views", view("V")).await.status, 404);
}

#[tokio::test]
async fn views_are_listed_in_pages_and_by_module() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    for name in ["One", "Two", "Three"] {
        owner.post("views", view(name)).await.expect(201);
    }
    let doctors = json!({"module": "doctors", "name": "Doctors"});
    owner.post("views", doctors).await.expect(201);
    let names = |list: &Value| -> Vec<String> {
        let views = list["data"].as_array().unwrap().iter();
        views
            .map(|view| view["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = owner
        .get("views?module=patients&limit=2&include=total")
        .await
        .expect(200);
    assert_eq!(names(&first), ["Three", "Two"]);
    assert_eq!(first["total"], json!({"value": 3, "exact": true}));
    let cursor = first["next_cursor"].as_str().unwrap();
    let next = format!("views?module=patients&limit=2&cursor={cursor}");
    let next = owner.get(&next).await.expect(200);
    assert_eq!(
        (names(&next), &next["next_cursor"]),
        (vec!["One".to_owned()], &Value::Null)
    );
    assert_eq!(names(&owner.get("views").await.expect(200)).len(), 4);
    assert_eq!(owner.get("views?module=nowhere").await.status, 404);
    assert_eq!(owner.get("views?moduel=patients").await.status, 422);
}

#[tokio::test]
async fn a_person_keeps_views_up_to_a_limit() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let kept = owner.post("views", view("First")).await.expect(201);
    let mut database = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    sqlx::query(
        "insert into crm_views (
            tenant_id, id, module_slug, shared, definition, created_at, created_by, updated_at,
            updated_by)
        select tenant_id, gen_random_uuid(), module_slug, shared, definition, created_at,
            created_by, updated_at, updated_by
        from crm_views, generate_series(1, $1)
        where tenant_id = $2",
    )
    .bind(USER_MAX_VIEWS - 2)
    .bind(tenant.uuid())
    .execute(&mut database)
    .await
    .unwrap();
    owner.post("views", view("Last")).await.expect(201);
    let refused = owner.post("views", view("Too many")).await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.body["detail"]
            .as_str()
            .unwrap()
            .contains("500 views")
    );
    let rename = json!({"name": "Renamed"});
    owner.patch(&path(&kept), rename).await.expect(200);
    let agent = app.client(tenant, "agent");
    agent.post("views", view("Another's")).await.expect(201);
}

#[tokio::test]
async fn views_go_with_their_module() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let wards = json!({"slug": "wards", "label": "Ward", "fields": [
        {"key": "name", "label": "Name", "type": "text"}]});
    owner.post("modules", wards).await.expect(201);
    let all = json!({"module": "wards", "name": "All"});
    let kept = owner.post("views", all).await.expect(201);
    assert_eq!(owner.delete("modules/wards").await.status, 204);
    assert_eq!(owner.get(&path(&kept)).await.status, 404);
    assert_eq!(owner.get("views").await.expect(200)["data"], json!([]));
}
