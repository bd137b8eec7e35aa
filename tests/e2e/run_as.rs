//! On whose word workflows run: the person's who caused the event, unless the tenant's admin lets
//! one run as itself; within the plugin's grant either way.

use crm_tests::app::TestApp;
use serde_json::{Value, json};

/// A hospital whose clerks take patients in and do not change them afterwards; of notes they see
/// nothing.
async fn hospital() -> (
    TestApp,
    crm_tests::client::Client,
    crm_tests::client::Client,
) {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let role = json!({"slug": "clerk", "label": "Clerk",
        "permissions": {"patients": ["create", "read", "manage"]},
        "fields": {"patients": {"welcome_note": "hidden"}}});
    owner.post("roles", role).await.expect(201);
    let clerk = app.client(tenant, "clerk");
    (app, owner, clerk)
}

fn patient() -> Value {
    json!({"full_name": "Ada", "phone": "+41441234567"})
}

#[tokio::test]
async fn a_workflow_runs_as_the_person_unless_it_may_run_as_itself() {
    let (_app, owner, clerk) = hospital().await;
    let before = clerk.create("patients", patient()).await;
    let refused = owner.run("welcome", &before, &["dead", "failed"]).await;
    let text = refused.to_string();
    assert!(text.contains("may not update"), "{text}");
    // Who manages one module does not say whose rights count.
    let itself = json!({"run_as": "itself"});
    let denied = clerk.patch("workflows/welcome", itself.clone()).await;
    assert_eq!(denied.status, 403, "{}", denied.body);
    let changed = owner.patch("workflows/welcome", itself).await.expect(200);
    assert_eq!(changed["run_as"], "itself");
    let listed = owner.get("workflows/welcome").await.expect(200);
    assert_eq!(listed["run_as"], "itself");
    let after = clerk.create("patients", patient()).await;
    owner.run("welcome", &after, &["done"]).await;
    let path = format!("records/patients/{after}");
    let record = owner.get(&path).await.expect(200);
    assert!(record["data"]["welcome_note"].is_string(), "{record}");
    let seen = clerk.get(&path).await.expect(200);
    assert!(seen["data"].get("welcome_note").is_none(), "{seen}");
    let told = owner.get("audit?action=workflow.edited").await.expect(200);
    assert_eq!(
        told["data"][0]["before"],
        json!({"run_as": "person", "order": 100})
    );
    assert_eq!(
        told["data"][0]["after"],
        json!({"run_as": "itself", "order": 100})
    );
    let back = json!({"run_as": "person"});
    owner.patch("workflows/welcome", back).await.expect(200);
    let last = clerk.create("patients", patient()).await;
    owner.run("welcome", &last, &["dead", "failed"]).await;
}

#[tokio::test]
async fn running_as_itself_is_still_within_the_grant() {
    let (_app, owner, clerk) = hospital().await;
    // field-set is granted welcome notes of patients here, not their names.
    let workflow = json!({
        "slug": "rename", "name": "Rename", "module": "patients",
        "trigger": {"on": "record_created"},
        "steps": [{"action": "field-set", "config": {"set": {"full_name": "'Eve'"}}}],
    });
    owner.post("workflows", workflow).await.expect(201);
    owner
        .patch("workflows/rename", json!({"run_as": "itself"}))
        .await
        .expect(200);
    let id = clerk.create("patients", patient()).await;
    let refused = owner.run("rename", &id, &["dead", "failed"]).await;
    assert!(refused.to_string().contains("full_name"), "{refused}");
    let record = owner.get(&format!("records/patients/{id}")).await;
    assert_eq!(record.expect(200)["data"]["full_name"], "Ada");
}
