//! Roles and members of a tenant: who writes them, from when on they hold, and what they cannot
//! take away. Exports and imports as rights of their own; why somebody may do something.

use crm_tests::app::TestApp;
use crm_tests::client::Client;
use crm_tests::cluster::{TestDatabase, cluster};
use serde_json::{Value, json};

async fn quiet() -> TestApp {
    TestApp::on(cluster().database().await, None).await
}

fn nurse() -> Value {
    json!({"slug": "nurse", "label": "Nurse", "permissions": {"patients": ["read", "update"]}})
}

async fn actions(client: &Client, module: &str) -> Value {
    client.get("bootstrap").await.expect(200)["permissions"][module].clone()
}

#[tokio::test]
async fn a_role_is_live_for_the_next_request_on_every_instance() {
    let app = quiet().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let same = TestDatabase {
        name: app.database.name.clone(),
    };
    let other = TestApp::on(same, None).await;
    let elsewhere = other.client(tenant, "nurse");
    assert_eq!(elsewhere.get("records/patients").await.status, 404);

    let added = owner.post("roles", nurse()).await.expect(201);
    assert_eq!(
        (&added["origin"], &added["edited"]),
        (&json!("tenant"), &json!(false))
    );
    elsewhere.get("records/patients").await.expect(200);
    assert_eq!(owner.get("roles/nurse").await.expect(200), added);
    assert_eq!(owner.post("roles", nurse()).await.status, 409);

    let patch = json!({"permissions": {"patients": ["read"], "doctors": ["read"]}});
    owner.patch("roles/nurse", patch).await.expect(200);
    assert_eq!(actions(&elsewhere, "patients").await, json!(["read"]));
    assert_eq!(actions(&elsewhere, "doctors").await, json!(["read"]));
    let roles = owner.get("roles").await.expect(200);
    let names: Vec<&Value> = roles["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|role| &role["slug"])
        .collect();
    assert_eq!(
        names,
        ["admin", "agent", "manager", "nurse", "owner", "viewer"]
    );

    assert_eq!(owner.delete("roles/nurse").await.status, 204);
    assert_eq!(elsewhere.get("records/patients").await.status, 404);
    assert_eq!(owner.get("roles/nurse").await.status, 404);
}

#[tokio::test]
async fn a_role_of_the_template_is_edited_and_not_deleted() {
    let app = quiet().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let (_, neighbour) = app.owner_of("hospital").await;
    let patch = json!({"permissions": {"patients": null}});
    let edited = owner.patch("roles/agent", patch).await.expect(200);
    assert_eq!(
        (&edited["origin"], &edited["edited"]),
        (&json!("template"), &json!(true))
    );
    assert_eq!(
        app.client(tenant, "agent")
            .get("records/patients")
            .await
            .status,
        404
    );
    assert_eq!(owner.delete("roles/agent").await.status, 409);
    let theirs = neighbour.get("roles/agent").await.expect(200);
    assert_eq!(
        (
            &theirs["edited"],
            theirs["permissions"]["patients"].is_array()
        ),
        (&json!(false), true)
    );
}

#[tokio::test]
async fn only_who_manages_everything_sees_and_writes_roles() {
    let app = quiet().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let some = json!({"slug": "chief", "label": "Chief", "permissions": {"patients": ["*"]}});
    owner.post("roles", some).await.expect(201);
    let member = json!({"user_id": "chief-1", "roles": ["owner"]});
    for role in ["chief", "admin", "viewer"] {
        let client = app.client(tenant, role);
        for path in ["roles", "roles/agent", "members"] {
            assert_eq!(client.get(path).await.status, 403, "{role} {path}");
        }
        assert_eq!(client.post("roles", nurse()).await.status, 403, "{role}");
        assert_eq!(
            client.post("members", member.clone()).await.status,
            403,
            "{role}"
        );
        let all = json!({"permissions": {"*": ["*"]}});
        assert_eq!(client.patch("roles/chief", all).await.status, 403, "{role}");
        assert_eq!(client.delete("roles/chief").await.status, 403, "{role}");
        assert_eq!(client.delete("members/owner-1").await.status, 403, "{role}");
    }
}

#[tokio::test]
async fn what_names_nothing_is_refused() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    for (change, status) in [
        (json!({"permissions": {"patience": ["read"]}}), 422),
        (json!({"permissions": {"patients": ["reed"]}}), 422),
        (json!({"fields": {"patients": {"phones": "hidden"}}}), 422),
        (json!({"fields": {"patience": {"phone": "hidden"}}}), 422),
        (json!({"fields": {"patients": {"phone": "secret"}}}), 422),
        (json!({"label": " "}), 422),
        (json!({"slug": "agent"}), 409),
        (json!({"slug": "No role"}), 422),
    ] {
        let mut role = nurse();
        role.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        assert_eq!(owner.post("roles", role).await.status, status, "{change}");
    }
    assert_eq!(
        owner
            .patch("roles/agent", json!({"slug": "x"}))
            .await
            .status,
        422
    );
    assert_eq!(
        owner
            .patch("roles/nobody", json!({"label": "x"}))
            .await
            .status,
        404
    );
    for member in [
        json!({"user_id": "u", "roles": []}),
        json!({"user_id": "u", "roles": ["nobody"]}),
        json!({"user_id": "", "roles": ["agent"]}),
    ] {
        assert_eq!(
            owner.post("members", member.clone()).await.status,
            422,
            "{member}"
        );
    }
    assert_eq!(owner.delete("members/nobody").await.status, 404);
}

#[tokio::test]
async fn a_field_that_a_role_names_is_in_use() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    let field = json!({"key": "ward", "label": "Ward", "type": "text"});
    owner
        .post("modules/patients/fields", field)
        .await
        .expect(201);
    let mut role = nurse();
    role["fields"] = json!({"patients": {"ward": "hidden"}});
    owner.post("roles", role).await.expect(201);
    assert_eq!(
        owner.delete("modules/patients/fields/ward").await.status,
        409
    );
    let forget = json!({"fields": {"patients": {"ward": null}}});
    owner.patch("roles/nurse", forget).await.expect(200);
    assert_eq!(
        owner.delete("modules/patients/fields/ward").await.status,
        204
    );
}

#[tokio::test]
async fn a_member_has_the_roles_of_the_login_and_of_the_tenant() {
    let app = quiet().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let same = TestDatabase {
        name: app.database.name.clone(),
    };
    let other = TestApp::on(same, None).await;
    let client = other.client(tenant, "stranger");
    assert_eq!(client.get("records/patients").await.status, 404);
    let member = json!({"user_id": "stranger-1", "roles": ["viewer", "agent"]});
    let added = owner.post("members", member.clone()).await.expect(201);
    assert_eq!(added["roles"], json!(["agent", "viewer"]));
    client.create("patients", json!({"full_name": "Ada"})).await;
    let user = client.get("bootstrap").await.expect(200)["user"].clone();
    assert_eq!(user["roles"], json!(["agent", "stranger", "viewer"]));

    let fewer = json!({"user_id": "stranger-1", "roles": ["viewer"]});
    owner.post("members", fewer).await.expect(201);
    let refused = client
        .post("records/patients", json!({"data": {"full_name": "B"}}))
        .await;
    assert_eq!(refused.status, 403);
    client.get("records/patients").await.expect(200);
    assert_eq!(owner.delete("members/stranger-1").await.status, 204);
    assert_eq!(client.get("records/patients").await.status, 404);

    let (_, neighbour) = app.owner_of("hospital").await;
    assert_eq!(
        neighbour.get("members").await.expect(200)["data"],
        json!([])
    );
}

#[tokio::test]
async fn members_are_listed_by_page() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    for user in ["c", "a", "b"] {
        let member = json!({"user_id": user, "roles": ["agent"]});
        owner.post("members", member).await.expect(201);
    }
    let page = owner.get("members?limit=2&include=total").await.expect(200);
    let b = json!({"user_id": "b", "roles": ["agent"], "attributes": {}});
    assert_eq!(page["data"][1], b);
    assert_eq!(page["total"]["value"], 3);
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = owner
        .get(&format!("members?limit=2&cursor={cursor}"))
        .await
        .expect(200);
    let c = json!([{"user_id": "c", "roles": ["agent"], "attributes": {}}]);
    assert_eq!(rest["data"], c);
    assert_eq!(rest["next_cursor"], Value::Null);
}

#[tokio::test]
async fn nobody_takes_the_last_way_to_manage_everything() {
    let app = quiet().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    for patch in [
        json!({"permissions": {"*": ["read"]}}),
        json!({"permissions": {"*": null}}),
        json!({"permissions": {"*": null, "patients": ["*"]}}),
    ] {
        assert_eq!(owner.patch("roles/owner", patch).await.status, 409);
    }
    owner
        .patch("roles/owner", json!({"label": "Boss"}))
        .await
        .expect(200);

    let boss = json!({"user_id": "boss-1", "roles": ["owner"]});
    owner.post("members", boss).await.expect(201);
    let boss = app.client(tenant, "boss");
    boss.get("roles").await.expect(200);
    assert_eq!(
        boss.delete("members/boss-1").await.status,
        409,
        "their own last way"
    );
    let less = json!({"user_id": "boss-1", "roles": ["viewer"]});
    assert_eq!(boss.post("members", less).await.status, 409);
    assert_eq!(owner.delete("members/boss-1").await.status, 204);
}

#[tokio::test]
async fn a_role_that_members_have_is_not_deleted() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    owner.post("roles", nurse()).await.expect(201);
    let member = json!({"user_id": "u", "roles": ["nurse"]});
    owner.post("members", member).await.expect(201);
    assert_eq!(owner.delete("roles/nurse").await.status, 409);
    assert_eq!(owner.delete("members/u").await.status, 204);
    assert_eq!(owner.delete("roles/nurse").await.status, 204);
}

#[tokio::test]
async fn roles_and_members_are_added_once_under_a_key() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    let member = json!({"user_id": "u", "roles": ["agent"]});
    for (path, key, body) in [("roles", "key-1", nurse()), ("members", "key-2", member)] {
        let first = owner.post_once(path, key, body.clone()).await.expect(201);
        let again = owner.post_once(path, key, body).await;
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{path}");
        assert_eq!(again.expect(201), first);
        assert_eq!(
            owner.post_once(path, key, json!({"x": 1})).await.status,
            422
        );
    }
}

#[tokio::test]
async fn exports_and_imports_are_rights_of_their_own() {
    let app = quiet().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let role = json!({"slug": "clerk", "label": "Clerk",
        "permissions": {"patients": ["create", "read", "update", "delete", "manage"]}});
    owner.post("roles", role).await.expect(201);
    let clerk = app.client(tenant, "clerk");
    let export = "records/patients/export?format=csv";
    assert_eq!(clerk.get(export).await.status, 403);
    assert_eq!(clerk.upload("patients", "full_name\nA\n").await.status, 403);
    let import = owner.upload("patients", "full_name\nA\n").await.expect(201);
    let run = format!("imports/{}/run", import["id"].as_str().unwrap());
    assert_eq!(clerk.post(&run, json!({})).await.status, 403);

    let more = json!({"permissions": {"patients": ["create", "read", "export", "import"]}});
    owner.patch("roles/clerk", more).await.expect(200);
    assert_eq!(clerk.get(export).await.status, 200);
    let import = clerk.upload("patients", "full_name\nA\n").await.expect(201);
    let run = format!("imports/{}/run", import["id"].as_str().unwrap());
    clerk.post(&run, json!({})).await.expect(202);

    let only =
        json!({"permissions": {"patients": ["read", "import"], "doctors": ["create", "read"]}});
    owner.patch("roles/clerk", only).await.expect(200);
    assert_eq!(
        clerk.upload("patients", "full_name\nA\n").await.status,
        403,
        "create beside"
    );
    assert_eq!(clerk.upload("doctors", "full_name\nA\n").await.status, 403);
}

#[tokio::test]
async fn a_decision_names_the_role_and_the_rule() {
    let app = quiet().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let mut role = nurse();
    role["fields"] = json!({"patients": {"notes": "hidden", "phone": "masked"}});
    owner.post("roles", role).await.expect(201);
    let member = json!({"user_id": "eve", "roles": ["nurse", "viewer"]});
    owner.post("members", member).await.expect(201);
    let ask = "permissions/explain?user=eve&module=patients&action=";
    let update = owner.get(&format!("{ask}update")).await.expect(200);
    assert_eq!(update["allowed"], true);
    let rules: Vec<(&Value, &Value)> = update["roles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|role| (&role["role"], &role["rule"]))
        .collect();
    assert_eq!(
        rules,
        [
            (&json!("nurse"), &json!("patients")),
            (&json!("viewer"), &Value::Null)
        ]
    );
    assert_eq!(
        update["roles"][0]["fields"],
        json!({"notes": "hidden", "phone": "masked"})
    );
    assert_eq!(update["roles"][0]["from"], json!(["member"]));
    let open = json!({"notes": "read_only", "phone": "read_only"});
    assert_eq!(
        update["fields"], open,
        "the viewer's role shows them, and nobody's writes them"
    );
    let delete = owner.get(&format!("{ask}delete")).await.expect(200);
    assert_eq!(delete["allowed"], false);
    let read = owner.get(&format!("{ask}read")).await.expect(200);
    assert_eq!(read["roles"][1]["rule"], "*");

    let id = owner.create("patients", json!({"full_name": "Ada"})).await;
    let there = owner.get(&format!("{ask}read&id={id}")).await.expect(200);
    assert_eq!(there["allowed"], true);
    let gone = owner
        .get(&format!("{ask}read&id={}", uuid::Uuid::now_v7()))
        .await;
    assert_eq!(gone.expect(200)["allowed"], false);

    let nurse = app.client(tenant, "nurse");
    assert_eq!(nurse.get(&format!("{ask}read")).await.status, 403);
    let own = nurse
        .get("permissions/explain?module=patients&action=update")
        .await
        .expect(200);
    assert_eq!(
        (&own["user"], &own["allowed"]),
        (&json!("nurse-1"), &json!(true))
    );
    assert_eq!(own["roles"][0]["from"], json!(["login"]));
    assert_eq!(own["fields"], json!({"phone": "masked"}));
    assert!(!own.to_string().contains("notes"), "{own}");
    let nowhere = nurse
        .get("permissions/explain?module=nowhere&action=read")
        .await;
    let unreadable = nurse
        .get("permissions/explain?module=doctors&action=read")
        .await;
    let said = |answer: crm_tests::client::Answer, name: &str| {
        answer.expect(200).to_string().replace(name, "…")
    };
    assert_eq!(said(nowhere, "nowhere"), said(unreadable, "doctors"));
}

/// What each role of each template may do with each module.
#[tokio::test]
async fn the_roles_of_templates_are_as_written_down() {
    let app = quiet().await;
    let mut lines = Vec::new();
    for template in ["hospital", "jewellery"] {
        let (tenant, owner) = app.owner_of(template).await;
        let roles = owner.get("roles").await.expect(200);
        for role in roles["data"].as_array().unwrap() {
            let role = role["slug"].as_str().unwrap();
            let bootstrap = app.client(tenant, role).get("bootstrap").await.expect(200);
            let modules = bootstrap["permissions"].as_object().unwrap();
            for (module, actions) in modules {
                let actions = actions.as_array().unwrap().iter();
                let actions: Vec<&str> = actions.map(|action| action.as_str().unwrap()).collect();
                lines.push(format!("{template} {role} {module}: {}", actions.join(" ")));
                let fields = &bootstrap["field_permissions"][module];
                if !fields.is_null() {
                    lines.push(format!("{template} {role} {module} fields: {fields}"));
                }
            }
        }
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/permission_matrix.txt");
    if std::env::var_os("CRM_WRITE_DOCS").is_some() {
        std::fs::write(file, lines.join("\n") + "\n").unwrap();
    }
    assert_eq!(
        lines.join("\n"),
        std::fs::read_to_string(file).unwrap().trim_end(),
        "tests/e2e/permission_matrix.txt is not what the templates say; run: \
         CRM_WRITE_DOCS=1 cargo test -p crm-tests the_roles_of_templates"
    );
}
