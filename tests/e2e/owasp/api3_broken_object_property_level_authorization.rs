//! API3:2023 Broken Object Property Level Authorization: nobody writes members that are the
//! host's to write (mass assignment), and no answer carries more than its reader may have
//! (excessive data exposure). Fields that roles hide, mask or lock are `permissions.rs`'s; owners
//! that change hands by the one way there is, `record_access.rs`'s.

use super::{member_names, operations, quiet};
use crate::authorisation::{body, collection_body, fill, parameters};
use crm_tests::app::TestApp;
use crm_tests::client::Client;
use reqwest::Method;
use serde_json::{Value, json};

/// What the host alone writes.
const SYSTEM: [&str; 12] = [
    "id",
    "tenant_id",
    "tenant",
    "module_slug",
    "version",
    "owner_id",
    "created_by",
    "created_at",
    "updated_by",
    "updated_at",
    "deleted_at",
    "$set",
];

/// A value that would do harm if it were taken.
fn harm(name: &str) -> Value {
    match name {
        "version" => json!(99),
        name if name.ends_with("_at") => json!("1999-01-01T00:00:00Z"),
        "id" | "tenant_id" | "tenant" => json!("00000000-0000-7000-8000-000000000000"),
        _ => json!("mallory"),
    }
}

#[tokio::test]
async fn no_body_takes_a_member_that_is_the_hosts() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    let patient = owner.create("patients", json!({"full_name": "Ada"})).await;
    let mut taken = Vec::new();
    for (method, path) in operations(&owner).await {
        let good = match parameters(&path).is_empty() {
            true => collection_body(&method, &path, "mass"),
            false => body(&method, &path).flatten(),
        };
        let Some(Value::Object(good)) = good.filter(|_| method != Method::DELETE) else {
            continue;
        };
        let asked = path
            .replace("{module}", "patients")
            .replace("{field}", "notes")
            .replace("{id}", &patient)
            .replace("{slug}", "agent");
        for name in SYSTEM.iter().filter(|name| !good.contains_key(**name)) {
            let mut body = good.clone();
            body.insert((*name).to_owned(), harm(name));
            let body = Value::Object(body).to_string();
            let answer = owner.call(method.clone(), &asked, &[], Some(body)).await;
            if answer.status.is_success() {
                taken.push(format!("{method} {path}: {name}"));
            }
        }
    }
    assert_eq!(taken, [""; 0], "bodies with members that nobody asked for");
}

#[tokio::test]
async fn no_way_to_write_a_record_writes_what_is_the_hosts() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let data = json!({"full_name": "Ada", "segment": "retail"});
    let record = owner.create("customers", data.clone()).await;
    let path = format!("records/customers/{record}");
    let before = owner.get(&path).await.expect(200);
    for name in SYSTEM {
        let mut data = data.clone();
        data[name] = harm(name);
        let outside = json!({"data": {"full_name": "x"}, (name): harm(name)});
        let inside = json!({ "data": data });
        let bulk = |operation: Value| json!({"atomic": true, "operations": [operation]});
        for (method, path, body) in [
            (Method::POST, "records/customers".to_owned(), inside.clone()),
            (
                Method::POST,
                "records/customers".to_owned(),
                outside.clone(),
            ),
            (Method::PATCH, path.clone(), inside.clone()),
            (Method::PATCH, path.clone(), outside.clone()),
            (Method::PUT, path.clone(), inside.clone()),
            (Method::PUT, path.clone(), outside),
            (Method::POST, format!("{path}/clone"), inside),
            (
                Method::POST,
                "records/customers/bulk".to_owned(),
                bulk(json!({"op": "create", "data": data})),
            ),
            (
                Method::POST,
                "records/customers/bulk".to_owned(),
                bulk(json!({"op": "update", "id": record, "data": data})),
            ),
        ] {
            let body = Some(body.to_string());
            let answer = owner.call(method.clone(), &path, &[], body).await;
            let status = answer.status.as_u16();
            assert!(
                (400..500).contains(&status),
                "{method} {path} {name}: {}",
                answer.body
            );
        }
        import_is_refused(&owner, name).await;
    }
    assert_eq!(owner.get(&path).await.expect(200), before);
    let all = owner
        .get("records/customers?include=total")
        .await
        .expect(200);
    assert_eq!(all["total"]["value"], 1, "and nothing else came of it");
}

/// A column cannot be for it, neither by its name nor on request.
async fn import_is_refused(owner: &Client, name: &str) {
    let file = format!("full_name,segment,{name}\nx,retail,mallory\n");
    let import = owner.upload("customers", file).await.expect(201);
    assert_eq!(import["columns"][2]["field"], Value::Null, "{import}");
    let run = json!({"dry_run": true,
        "mapping": {"full_name": "full_name", "segment": "segment", (name): name}});
    let path = format!("imports/{}/run", import["id"].as_str().unwrap());
    let refused = owner.post(&path, run).await;
    assert_eq!(refused.status, 422, "{name}: {}", refused.body);
}

/// A tenant may call its own fields what it likes; they stay data.
#[tokio::test]
async fn a_field_by_a_systems_name_is_no_way_in() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    for name in ["owner_id", "version", "created_by", "tenant_id", "id"] {
        let field = json!({"key": name, "label": name, "type": "text"});
        let added = owner.post("modules/patients/fields", field).await;
        if added.status == 422 {
            continue;
        }
        added.expect(201);
        let created = json!({"data": {"full_name": "x", (name): "mallory"}});
        let created = owner.post("records/patients", created).await.expect(201);
        assert_ne!(created[name], "mallory", "{name}: {created}");
        assert_eq!(
            (&created["owner_id"], &created["version"]),
            (&json!("owner-1"), &json!(1))
        );
    }
}

#[tokio::test]
async fn no_answer_carries_what_is_the_hosts_own() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let things = fill(&owner, "mine").await;
    let key = owner
        .post("api-keys", json!({"name": "second"}))
        .await
        .expect(201);
    let secret = key["key"].as_str().unwrap();
    let mut shown_by = Vec::new();
    for (method, path) in operations(&owner).await {
        if method != Method::GET || !path.starts_with("/api/crm/") {
            continue;
        }
        let resource = path.split('/').nth(3).unwrap();
        let id = match resource {
            "activities" => "activity",
            other => other.trim_end_matches('s'),
        };
        let asked = path
            .replace("{module}", "patients")
            .replace("{field}", "notes")
            .replace(
                "{slug}",
                if resource == "templates" {
                    "hospital"
                } else {
                    "agent"
                },
            )
            .replace("{id}", things.get(id).map_or("nothing", String::as_str));
        let answer = owner.get(&asked).await;
        let mut names = Vec::new();
        member_names(&answer.body, &mut names);
        // What a model or an audit log tells of is data, not its own names.
        for name in names {
            let word = |word: &str| name.split('_').any(|part| part == word);
            if ["hash", "secret", "password", "salt", "slot", "lease"]
                .iter()
                .any(|it| word(it))
            {
                shown_by.push(format!("{path}: {name}"));
            }
        }
        let text = answer.body.to_string();
        if text.contains(secret) || text.contains(&secret[12..40]) {
            shown_by.push(format!("{path}: a secret"));
        }
        let names_tenant = text.contains(&tenant.to_string());
        if names_tenant && resource != "bootstrap" {
            shown_by.push(format!("{path}: the tenant's id"));
        }
    }
    assert_eq!(shown_by, [""; 0], "what no reader needs");
}
