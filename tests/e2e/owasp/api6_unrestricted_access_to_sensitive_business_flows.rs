//! API6:2023 Unrestricted Access to Sensitive Business Flows: what would harm the business if it
//! were done too often, too fast or by the wrong people. Here: choosing the template (once, for
//! good), taking the whole data out, bringing much in, changing much at once, and letting others
//! in. The flows themselves are in `templates.rs`, `export.rs`, `imports.rs`, `bulk.rs`,
//! `roles.rs` and `api_keys.rs`; rates in `edges.rs`; repeated requests in `once.rs`.

use super::quiet;
use crm_tests::app::TestApp;
use crm_tests::client::Client;
use serde_json::{Value, json};

#[tokio::test]
async fn a_template_is_chosen_once_however_many_try() {
    let app = quiet().await;
    let tenant = app.tenant("T").await;
    for role in ["viewer", "agent", "manager", "no_such_role"] {
        let choice = json!({"template_id": "hospital"});
        let answer = app
            .client(tenant, role)
            .post("templates/select", choice)
            .await;
        assert_eq!(answer.status, 403, "{role}: {}", answer.body);
    }
    let owner = app.client(tenant, "owner");
    let attempts = (0..12).map(|number| {
        let template = ["hospital", "jewellery"][number % 2];
        let (owner, choice) = (owner.clone(), json!({"template_id": template}));
        async move {
            (
                template,
                owner.post("templates/select", choice).await.status.as_u16(),
            )
        }
    });
    let answers = futures::future::join_all(attempts).await;
    let chosen: Vec<&str> = answers
        .iter()
        .filter_map(|(template, status)| (*status == 201).then_some(*template))
        .collect();
    assert_eq!(chosen.len(), 1, "{answers:?}");
    let rest = answers.iter().filter(|(_, status)| *status == 409).count();
    assert_eq!(rest, 11, "{answers:?}");
    let told = owner.get("bootstrap").await.expect(200);
    assert_eq!(told["template"]["slug"], chosen[0]);
}

async fn records(owner: &Client) -> Value {
    let all = owner
        .get("records/patients?include=total&sort=full_name")
        .await;
    all.expect(200)
}

/// Who may read, write or both record by record may not therefore take or bring all of them.
#[tokio::test]
async fn flows_in_bulk_need_rights_of_their_own() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let mut ids = Vec::new();
    for name in ["Ada", "Bob", "Cy"] {
        let id = owner.create("patients", json!({"full_name": name})).await;
        owner.run("welcome", &id, &["done"]).await;
        ids.push(id);
    }
    let before = records(&owner).await;
    // Creates, reads and updates patients; no more.
    let agent = app.client(tenant, "agent");
    for format in ["csv", "ndjson"] {
        let answer = agent
            .get(&format!("records/patients/export?format={format}"))
            .await;
        assert_eq!(answer.status, 403, "{}", answer.body);
        assert!(!answer.body.to_string().contains("Ada"));
    }
    let upload = agent.upload("patients", "full_name\nMany\n").await;
    assert_eq!(upload.status, 403, "{}", upload.body);
    // Nor by running what somebody else brought.
    let import = owner
        .upload("patients", "full_name\nMany\n")
        .await
        .expect(201);
    let run = format!("imports/{}/run", import["id"].as_str().unwrap());
    assert_eq!(agent.post(&run, json!({})).await.status, 404);
    let delete: Vec<Value> = ids
        .iter()
        .map(|id| json!({"op": "delete", "id": id}))
        .collect();
    for atomic in [true, false] {
        let body = json!({"atomic": atomic, "operations": delete});
        let answer = agent.post("records/patients/bulk", body).await;
        let results = answer.body["results"].as_array().unwrap();
        assert_eq!(results[0]["status"], 403, "{}", answer.body);
        let refused = |result: &Value| result["status"] == 403 || result["status"] == 424;
        assert!(results.iter().all(refused), "{}", answer.body);
    }
    for id in &ids {
        let purge = agent
            .delete(&format!("records/patients/{id}?purge=true"))
            .await;
        assert_eq!(purge.status, 403);
    }
    assert_eq!(records(&owner).await, before);
    let told = owner.get("audit?action=records.exported").await.expect(200);
    assert_eq!(told["data"], json!([]), "nothing was taken");
}

#[tokio::test]
async fn whoever_takes_all_is_written_down() {
    let app = quiet().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    owner.create("patients", json!({"full_name": "Ada"})).await;
    let admin = app.client(tenant, "admin");
    // Also one who breaks off, or asks for nothing that there is.
    let broken = admin.stream("records/patients/export").await;
    drop(broken);
    admin
        .get("records/patients/export?full_name=eq.Nobody")
        .await
        .expect(200);
    admin
        .get("records/patients/export?format=ndjson")
        .await
        .expect(200);
    let told = owner.get("audit?action=records.exported").await.expect(200);
    let told = told["data"].as_array().unwrap();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told.iter()
            .all(|entry| entry["actor"] == "admin-1" || entry["user_id"] == "admin-1")
    );
}

/// Only who manages everything lets others in, and nobody lets in more than they are.
#[tokio::test]
async fn nobody_lets_themselves_or_others_in() {
    let app = quiet().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    // Manages a module, and may do everything with its records.
    let chief = json!({"slug": "chief", "label": "Chief", "permissions": {"patients": ["*"]}});
    owner.post("roles", chief).await.expect(201);
    let key = owner
        .post("api-keys", json!({"name": "k"}))
        .await
        .expect(201);
    let program = owner.with_token(key["key"].as_str().unwrap());
    let everything = json!({"*": ["*"]});
    for (who, client) in [
        ("viewer", app.client(tenant, "viewer")),
        ("admin", app.client(tenant, "admin")),
        ("chief", app.client(tenant, "chief")),
        ("key", program),
    ] {
        let me = format!("{who}-1");
        let raise = json!({"permissions": everything});
        let role = json!({"slug": "mine", "label": "Mine", "permissions": everything});
        let mut raised = Vec::new();
        for (path, body) in [
            ("members", json!({"user_id": me, "roles": ["owner"]})),
            (
                "members",
                json!({"user_id": "a-friend", "roles": ["viewer"]}),
            ),
            ("roles", role),
            ("api-keys", json!({"name": "mine", "roles": ["owner"]})),
            ("api-keys", json!({"name": "mine"})),
            (
                "teams",
                json!({"slug": "mine", "label": "Mine", "members": [me]}),
            ),
        ] {
            let answer = client.post(path, body).await;
            // A key acts for its maker, but makes no keys.
            if answer.status != 403 {
                raised.push(path);
            }
        }
        let patched = client.patch("roles/viewer", raise).await;
        let allowed: &[&str] = match who {
            // As an owner's, unless its scope says less.
            "key" => &["members", "members", "roles", "teams"],
            _ => &[],
        };
        assert_eq!(raised, allowed, "{who}");
        assert_eq!(
            patched.status == 403,
            who != "key",
            "{who}: {}",
            patched.body
        );
    }
}
