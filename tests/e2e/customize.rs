//! The tenant's own fields and workflows: live for the next request, on every instance.

use crm_tests::app::TestApp;
use crm_tests::cluster::TestDatabase;
use serde_json::json;

#[tokio::test]
async fn a_field_is_live_for_the_next_request_on_every_instance() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let same = TestDatabase {
        name: app.database.name.clone(),
    };
    let other = TestApp::on(same, None).await;
    let elsewhere = other.client(tenant, "owner");
    let nickname = json!({"data": {"full_name": "Ada", "nickname": "A"}});
    assert_eq!(
        elsewhere
            .post("records/patients", nickname.clone())
            .await
            .status,
        422
    );

    let field = json!({"key": "nickname", "label": "Nickname", "type": "text", "max_length": 5});
    let added = owner
        .post("modules/patients/fields", field.clone())
        .await
        .expect(201);
    assert_eq!(added["origin"], "tenant");
    let id = elsewhere
        .post("records/patients", nickname)
        .await
        .expect(201)["id"]
        .clone();
    let path = format!("records/patients/{}", id.as_str().unwrap());
    let long = json!({"data": {"nickname": "too long"}});
    assert_eq!(elsewhere.patch(&path, long).await.status, 422);
    let fields = elsewhere.get("modules/patients/fields").await.expect(200);
    assert_eq!(
        fields["data"].as_array().unwrap().last().unwrap()["key"],
        "nickname"
    );
    assert_eq!(
        elsewhere.get("bootstrap").await.expect(200)["model_version"],
        2
    );

    assert_eq!(
        owner.post("modules/patients/fields", field).await.status,
        409
    );
    let template = json!({"key": "full_name", "label": "Name", "type": "text"});
    assert_eq!(
        owner.post("modules/patients/fields", template).await.status,
        409
    );
    for wrong in [
        json!({"key": "x", "label": "X", "type": "nonsense"}),
        json!({"key": "X Y", "label": "X", "type": "text"}),
        json!({"key": "x", "label": "X", "type": "select"}),
        json!({"key": "x", "label": "X", "type": "text", "colour": "red"}),
    ] {
        let answer = owner.post("modules/patients/fields", wrong.clone()).await;
        assert_eq!(answer.status, 422, "{wrong}");
    }
    let viewer = app.client(tenant, "viewer");
    let denied = json!({"key": "z", "label": "Z", "type": "text"});
    assert_eq!(
        viewer.post("modules/patients/fields", denied).await.status,
        403
    );
    assert_eq!(owner.get("bootstrap").await.expect(200)["model_version"], 2);
}

#[tokio::test]
async fn a_workflow_of_the_tenants_own_runs() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let workflow = json!({
        "slug": "shout", "name": "Shout", "module": "patients",
        "trigger": {"on": "record_updated", "fields": ["full_name"]},
        "condition": "before.full_name != after.full_name",
        "steps": [{"action": "field-set", "config": {"set": {
            "welcome_note": "upper(after.full_name)"}}}],
    });
    owner.post("workflows", workflow.clone()).await.expect(201);
    assert_eq!(owner.post("workflows", workflow.clone()).await.status, 409);
    assert_eq!(
        owner.get("workflows/shout").await.expect(200)["name"],
        "Shout"
    );
    let patient = owner.create("patients", json!({"full_name": "Ada"})).await;
    owner.run("welcome", &patient, &["done"]).await;
    let path = format!("records/patients/{patient}");
    owner
        .patch(&path, json!({"data": {"full_name": "Grace"}}))
        .await
        .expect(200);
    let run = owner.run("shout", &patient, &["done", "dead"]).await;
    assert_eq!(run["status"], "done", "{run}");
    let record = owner.get(&path).await.expect(200);
    assert_eq!(record["data"]["welcome_note"], "GRACE");
    let runs = owner.get("workflows/shout/runs").await.expect(200);
    assert_eq!(runs["data"].as_array().unwrap().len(), 1);

    for (change, expected) in [
        (json!({"slug": "a", "module": "nowhere"}), 404),
        (json!({"slug": "a", "condition": "after.("}), 422),
        (json!({"slug": "a", "steps": [{"action": "nowhere"}]}), 422),
        (json!({"slug": "a", "steps": []}), 422),
        (
            json!({"slug": "a", "trigger": {"on": "record_updated", "fields": ["nowhere"]}}),
            422,
        ),
    ] {
        let mut wrong = workflow.clone();
        wrong
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        assert_eq!(
            owner.post("workflows", wrong).await.status,
            expected,
            "{change}"
        );
    }
}
