//! Ids of another tenant's things in bodies: as if there were no such things.

use super::{comparable, fill};
use crm_tests::app::TestApp;
use crm_tests::client::Answer;
use serde_json::json;
use uuid::Uuid;

#[tokio::test]
async fn bodies_cannot_name_another_tenants_things() {
    let app = TestApp::start().await;
    let (_, alice) = app.owner_of("hospital").await;
    let (_, mallory) = app.owner_of("hospital").await;
    let theirs = fill(&alice, "theirs").await;
    let doctor = json!({"full_name": "D", "specialty": "neurology"});
    let doctor = mallory.create("doctors", doctor).await;
    let same = |foreign: &Answer, missing: &Answer, ids: (&str, &str)| {
        let (status, body) = comparable(foreign);
        let body = body.to_string().replace(ids.0, ids.1);
        let (expected, missing) = comparable(missing);
        assert_eq!((status, body), (expected, missing.to_string()));
        assert!(status >= 400 || ids.0.is_empty(), "{missing}");
    };

    let module = theirs["module"].as_str();
    let view = |module: &str| json!({"name": "V", "module": module});
    let (foreign, missing) = (view(module), view("nowhere"));
    let foreign = mallory.post("views", foreign).await;
    let missing = mallory.post("views", missing).await;
    same(&foreign, &missing, (module, "nowhere"));
    let workflow = |module: &str| {
        json!({"slug": "w", "name": "W", "module": module,
            "trigger": {"on": "record_created"},
            "steps": [{"action": "field-set", "config": {"set": {"full_name": "'x'"}}}]})
    };
    let foreign = mallory.post("workflows", workflow(module)).await;
    let missing = mallory.post("workflows", workflow("nowhere")).await;
    same(&foreign, &missing, (module, "nowhere"));
    let foreign = mallory.upload(module, "full_name\nA\n").await;
    let missing = mallory.upload("nowhere", "full_name\nA\n").await;
    same(&foreign, &missing, (module, "nowhere"));

    let nobody = Uuid::now_v7().to_string();
    let record = theirs["record"].as_str();
    let appointment = |patient: &str| {
        json!({"data": {"patient": patient, "doctor": doctor,
            "scheduled_at": "2026-01-01T10:00:00Z"}})
    };
    let path = "records/appointments";
    let foreign = mallory.post(path, appointment(record)).await;
    let missing = mallory.post(path, appointment(&nobody)).await;
    same(&foreign, &missing, (record, &nobody));
    let bulk = |id: &str| {
        json!({"atomic": true, "operations": [{"op": "update", "id": id,
            "data": {"full_name": "x"}}]})
    };
    let path = "records/patients/bulk";
    let foreign = mallory.post(path, bulk(record)).await;
    let missing = mallory.post(path, bulk(&nobody)).await;
    same(&foreign, &missing, (record, &nobody));
    let record = alice.get(&format!("records/patients/{record}")).await;
    assert_eq!(record.expect(200)["data"]["full_name"], "theirs marked");
}
