//! API1:2023 Broken Object Level Authorization: ids of things that are not one's own, in every
//! place where a request can have one. Here things belong to tenants, and within a tenant to
//! people whose roles have rules for records; of both, an id has to be as good as a made-up one.
//! Ids in paths are `authorisation.rs`'s; rows, keys and plans `isolation.rs`'s; rules for records
//! `record_access.rs`'s; guests' reach `guests.rs`'s; thousands of tenants at a time `leak.rs`'s.

use super::quiet;
use crate::authorisation::comparable;
use crm_tests::app::TestApp;
use crm_tests::client::{Answer, Client};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// Who attacks, and what they have themselves.
struct Attacker {
    client: Client,
    visit: String,
    doctor: String,
}

/// What an attacker is told, by the place of the id. The id itself is not in it.
type Told = Vec<(String, u16, String)>;

impl Attacker {
    /// `owner` sees what the attacker sees, and makes what the attacker may not.
    async fn new(client: Client, owner: &Client) -> Self {
        let doctor = json!({"full_name": "D", "specialty": "neurology"});
        let doctor = owner.create("doctors", doctor).await;
        let patient = client
            .create("patients", json!({"full_name": "Mine"}))
            .await;
        let visit = json!({"patient": patient, "doctor": doctor,
            "scheduled_at": "2026-01-01T10:00:00Z"});
        let visit = client.create("appointments", visit).await;
        Self {
            client,
            visit,
            doctor,
        }
    }

    /// Puts this id wherever one can stand that is not a path's.
    async fn everywhere(&self, id: &str) -> Told {
        let visit = json!({"patient": id, "doctor": self.doctor,
            "scheduled_at": "2026-01-01T10:00:00Z"});
        let relation = json!({"data": {"patient": id}});
        let bulk = |operations: Value| json!({"atomic": false, "operations": operations});
        let filtered = |filter: Value| json!({"filter": filter, "include": "total"});
        let own = format!("records/appointments/{}", self.visit);
        let condition = json!({"field": "patient", "op": "eq", "value": id});
        let requests = [
            (
                Method::POST,
                "records/appointments".to_owned(),
                json!({"data": visit}),
            ),
            (Method::PATCH, own.clone(), relation.clone()),
            (Method::PUT, own.clone(), json!({"data": visit})),
            (Method::POST, format!("{own}/clone"), relation),
            (
                Method::POST,
                "records/appointments/bulk".to_owned(),
                bulk(json!([
                    {"op": "create", "data": visit},
                    {"op": "update", "id": self.visit, "data": {"patient": id}},
                    {"op": "update", "id": id, "data": {"room": "1"}},
                    {"op": "delete", "id": id},
                ])),
            ),
            (
                Method::POST,
                "records/patients/bulk".to_owned(),
                bulk(json!([
                    {"op": "update", "id": id, "version": 1, "data": {"full_name": "x"}},
                    {"op": "delete", "id": id, "version": 1},
                ])),
            ),
            (
                Method::POST,
                "records/appointments/query".to_owned(),
                filtered(condition.clone()),
            ),
            (
                Method::POST,
                "records/appointments/query".to_owned(),
                filtered(json!({"not": {"field": "patient", "op": "not_in", "value": [id]}})),
            ),
            (
                Method::POST,
                "records/appointments/aggregate".to_owned(),
                json!({"filter": condition, "metrics": [{"op": "count", "as": "n"}]}),
            ),
            (
                Method::GET,
                format!("records/appointments?patient=eq.{id}"),
                Value::Null,
            ),
            (
                Method::GET,
                format!("records/appointments/export?patient=eq.{id}"),
                Value::Null,
            ),
            (
                Method::GET,
                format!("records/patients?id=eq.{id}"),
                Value::Null,
            ),
            (Method::GET, format!("runs?record_id={id}"), Value::Null),
            (Method::GET, format!("search?q={id}"), Value::Null),
            (
                Method::GET,
                format!("permissions/explain?module=patients&action=read&id={id}"),
                Value::Null,
            ),
            (
                Method::GET,
                format!("permissions/explain?module=patients&action=update&id={id}"),
                Value::Null,
            ),
        ];
        let mut told = Told::new();
        for (method, path, body) in requests {
            let body = (!body.is_null()).then(|| body.to_string());
            let answer = self.client.call(method.clone(), &path, &[], body).await;
            told.push(shown(&format!("{method} {path}"), &answer, id));
        }
        told.push(self.imported(id).await);
        told
    }

    /// As a cell of a file.
    async fn imported(&self, id: &str) -> (String, u16, String) {
        let file = format!(
            "patient,doctor,scheduled_at\n{id},{},2026-01-01\n",
            self.doctor
        );
        let import = self.client.upload("appointments", file).await.expect(201);
        let import = import["id"].as_str().unwrap();
        let done = self.client.import(import, json!({})).await;
        let told = json!([done["errors"], done["error_count"], done["progress"]]);
        (
            "an import".to_owned(),
            200,
            told.to_string().replace(id, "…"),
        )
    }
}

fn shown(what: &str, answer: &Answer, id: &str) -> (String, u16, String) {
    let (status, body) = comparable(answer);
    (
        what.replace(id, "…"),
        status,
        body.to_string().replace(id, "…"),
    )
}

/// That what is told of `id` is what is told of nothing, and lets nobody think otherwise.
async fn assert_is_nothing(attacker: &Attacker, id: &str) {
    let nothing = attacker.everywhere(&Uuid::now_v7().to_string()).await;
    let told = attacker.everywhere(id).await;
    for (told, nothing) in told.iter().zip(&nothing) {
        assert_eq!(told, nothing);
        let (what, status, body) = told;
        let refused = *status >= 400 || !what.starts_with('P') || what.contains("bulk");
        let empty = ["query", "aggregate"].iter().any(|end| what.ends_with(end));
        assert!(refused || empty, "{what}: {status} {body}");
    }
    let import = &told.last().unwrap().2;
    assert!(import.contains("\"created\":0"), "{import}");
}

#[tokio::test]
async fn another_tenants_id_is_a_made_up_one_in_every_place() {
    let app = TestApp::start().await;
    let (_, alice) = app.owner_of("hospital").await;
    let (_, owner) = app.owner_of("hospital").await;
    let theirs = alice.create("patients", json!({"full_name": "Ada"})).await;
    alice.run("welcome", &theirs, &["done"]).await;
    let attacker = Attacker::new(owner.clone(), &owner).await;
    assert_is_nothing(&attacker, &theirs).await;
    let path = format!("records/patients/{theirs}");
    let record = alice.get(&path).await.expect(200);
    assert_eq!(record["data"]["full_name"], "Ada");
    assert_eq!(record["version"], 2, "created, and welcomed: {record}");
}

#[tokio::test]
async fn a_colleagues_id_is_a_made_up_one_in_every_place() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let all = [
        "create", "read", "update", "delete", "export", "import", "manage",
    ];
    let role = json!({"slug": "rep", "label": "Rep",
        "permissions": {"patients": all, "appointments": all, "doctors": ["read"]},
        "records": {"patients": {"read": ["own"]}}});
    owner.post("roles", role).await.expect(201);
    let theirs = owner.create("patients", json!({"full_name": "Ada"})).await;
    owner.run("welcome", &theirs, &["done"]).await;
    let attacker = Attacker::new(app.client(tenant, "rep"), &owner).await;
    assert_is_nothing(&attacker, &theirs).await;
    let record = owner.get(&format!("records/patients/{theirs}")).await;
    assert_eq!(record.expect(200)["version"], 2, "created, and welcomed");
}

#[tokio::test]
async fn unique_values_cursors_and_keys_of_others_mean_nothing() {
    let app = quiet().await;
    let (_, alice) = app.owner_of("hospital").await;
    let (_, mallory) = app.owner_of("hospital").await;
    let fields = json!([{"key": "number", "label": "Number", "type": "text", "unique": true}]);
    alice.module("cards", fields.clone()).await;
    mallory.module("cards", fields).await;
    for number in ["41", "42", "43"] {
        alice.create("cards", json!({"number": number})).await;
    }
    // A value that must be unique is so within the tenant: nobody learns of others'.
    mallory.create("cards", json!({"number": "41"})).await;
    let upsert = json!({"operations": [{"op": "upsert",
        "match": {"field": "number", "value": "42"}, "data": {"number": "42"}}]});
    let done = mallory.post("records/cards/bulk", upsert).await.expect(200);
    assert_eq!(done["results"][0]["status"], 201, "{done}");

    let page = alice.get("records/cards?limit=1").await.expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = format!("records/cards?limit=1&cursor={cursor}");
    let next = mallory.get(&next);
    let next = next.await.body.to_string();
    let others = alice.get("records/cards").await.expect(200);
    for card in others["data"].as_array().unwrap() {
        let id = card["id"].as_str().unwrap();
        assert!(!next.contains(id), "{next}");
    }

    let card = json!({"data": {"number": "99"}});
    let first = alice
        .post_once("records/cards", "same-key", card.clone())
        .await;
    let second = mallory.post_once("records/cards", "same-key", card).await;
    assert_eq!(second.header("idempotent-replayed"), None);
    assert_ne!(first.expect(201)["id"], second.expect(201)["id"]);
}

/// A person of another tenant by the same user id is another person.
#[tokio::test]
async fn a_user_id_is_one_of_its_tenant() {
    let app = quiet().await;
    let (alices, alice) = app.owner_of("hospital").await;
    let (mallorys, mallory) = app.owner_of("hospital").await;
    let twin = json!({"user_id": "twin", "roles": ["owner"]});
    alice.post("members", twin).await.expect(201);
    let team = json!({"slug": "board", "label": "Board", "members": ["twin"]});
    alice.post("teams", team).await.expect(201);
    let view = json!({"name": "Mine", "module": "patients"});
    let twin = |tenant| {
        let actor = crm_model::Actor::person("twin".parse().unwrap(), Vec::new());
        let token = app.issuer.sign(tenant, &actor, Duration::from_secs(600));
        alice.with_token(&token.unwrap())
    };
    twin(alices).post("views", view).await.expect(201);
    twin(alices).get("roles").await.expect(200);
    let other = twin(mallorys);
    assert_eq!(other.get("roles").await.status, 403);
    assert_eq!(other.get("records/patients").await.status, 404);
    let share = json!({"with": "team:board"});
    let patient = mallory.create("patients", json!({"full_name": "P"})).await;
    let shares = format!("records/patients/{patient}/shares");
    let refused = mallory.post(&shares, share).await;
    assert_eq!(refused.status, 422, "a team of another tenant is none");
    let told = other.get("bootstrap").await.expect(200);
    assert_eq!(told["permissions"], json!({}), "{told}");
}
