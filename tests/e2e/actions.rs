//! The first-party actions in the real host, one test for each.

use crm_model::configuration::configuration_check;
use crm_tests::app::TestApp;
use crm_tests::client::Client;
use serde_json::{Value, json};
use std::path::Path;

/// An office whose new contacts start this step.
struct Office {
    _app: TestApp,
    owner: Client,
}

impl Office {
    async fn with(action: &str, config: Value) -> Self {
        Self::on("contacts", "record_created", action, config).await
    }

    async fn on(module: &str, kind: &str, action: &str, config: Value) -> Self {
        let app = TestApp::start().await;
        let (_, owner) = app.owner_of("office").await;
        let workflow = json!({
            "slug": "step",
            "name": "Step",
            "module": module,
            "trigger": { "on": kind },
            "steps": [{ "action": action, "config": config }],
        });
        owner.post("workflows", workflow).await.expect(201);
        Self { _app: app, owner }
    }

    /// The run of a record once it has ended so, with its log.
    async fn ended(&self, record: &str, status: &str) -> Value {
        let run = self.owner.run("step", record, &["done", "dead"]).await;
        assert_eq!(run["status"], status, "{run}");
        run
    }

    /// A new contact, after the step.
    async fn contact(&self, data: Value) -> Value {
        let id = self.owner.create("contacts", data).await;
        self.ended(&id, "done").await;
        self.found("contacts", &id).await
    }

    async fn found(&self, module: &str, id: &str) -> Value {
        let path = format!("records/{module}/{id}");
        self.owner.get(&path).await.expect(200)
    }

    /// What the step of a new contact asks for beyond records.
    async fn effects(&self, data: Value) -> Value {
        let id = self.owner.create("contacts", data).await;
        let run = self.ended(&id, "done").await;
        let path = format!("runs/{}/bundle", run["id"].as_str().unwrap());
        let bundle = self.owner.get(&path).await.expect(200);
        bundle["result"]["outcome"]["effects"].clone()
    }

    async fn timeline(&self, contact: &str) -> Vec<Value> {
        let path = format!("records/contacts/{contact}/activities");
        let page = self.owner.get(&path).await.expect(200);
        page["data"].as_array().unwrap().clone()
    }
}

fn id(record: &Value) -> &str {
    record["id"].as_str().unwrap()
}

/// Each action has a page, whose configuration is one that the action's schema allows.
#[test]
fn pages_show_configurations_that_fit() {
    let mut pages = 0;
    for (name, component) in crm_cli::bundled::components() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../plugins")
            .join(name);
        let Ok(page) = std::fs::read_to_string(folder.join("README.md")) else {
            continue;
        };
        let manifest = crm_sandbox::component_inspect(component).unwrap().manifest;
        let schema = manifest
            .config_schema
            .unwrap_or_else(|| panic!("{name} has no schema"));
        let block = page
            .split("```json")
            .nth(1)
            .and_then(|rest| rest.split("```").next());
        let shown: Value = serde_json::from_str(block.unwrap()).unwrap();
        assert_eq!(configuration_check(&schema, &shown, ""), Ok(()), "{name}");
        let strange = json!({ "no such thing": 1 });
        assert!(
            configuration_check(&schema, &strange, "").is_err(),
            "{name}"
        );
        pages += 1;
    }
    assert!(pages >= 13, "{pages}");
}

#[tokio::test]
async fn field_set() {
    let set = json!({ "set": { "status": "'new from ' + after.country" } });
    let office = Office::with("field-set", set).await;
    let contact = office
        .contact(json!({ "name": "Ada", "country": "CH" }))
        .await;
    assert_eq!(contact["data"]["status"], "new from CH");
}

#[tokio::test]
async fn record_create() {
    let config = json!({
        "module": "visits", "link": "contact",
        "set": { "reason": "'Welcome ' + after.name", "status": "after.none" },
    });
    let office = Office::with("record-create", config).await;
    let contact = office.contact(json!({ "name": "Ada" })).await;
    let visits = office.owner.get("records/visits").await.expect(200);
    let visits = visits["data"].as_array().unwrap();
    assert_eq!(visits.len(), 1);
    let expected = json!({ "reason": "Welcome Ada", "contact": id(&contact) });
    assert_eq!(visits[0]["data"], expected);
}

#[tokio::test]
async fn record_update_related() {
    let config = json!({
        "module": "visits", "inverse": "contact", "when": "related.status == 'planned'",
        "set": { "status": "'called off'" },
    });
    let office = Office::on(
        "contacts",
        "record_updated",
        "record-update-related",
        config,
    )
    .await;
    let contact = office
        .owner
        .create("contacts", json!({ "name": "Ada" }))
        .await;
    let mut visits = Vec::new();
    for status in ["planned", "over", "planned"] {
        let visit = json!({ "reason": "x", "contact": contact, "status": status });
        visits.push(office.owner.create("visits", visit).await);
    }
    let path = format!("records/contacts/{contact}");
    let left = json!({ "data": { "status": "left" } });
    office.owner.patch(&path, left).await.expect(200);
    office.ended(&contact, "done").await;
    for (visit, status) in visits.iter().zip(["called off", "over", "called off"]) {
        assert_eq!(
            office.found("visits", visit).await["data"]["status"],
            status
        );
    }
}

#[tokio::test]
async fn assign_one_after_the_other() {
    let config = json!({
        "users": ["ada", "bob"],
        "rules": [{ "when": "after.country == 'CH'", "users": ["cleo"] }],
    });
    let office = Office::with("assign", config).await;
    for (country, expected) in [("DE", "ada"), ("CH", "cleo"), ("DE", "bob"), ("DE", "ada")] {
        let contact = office
            .contact(json!({ "name": "x", "country": country }))
            .await;
        assert_eq!(contact["owner_id"], expected);
    }
}

#[tokio::test]
async fn assign_to_whoever_has_the_fewest() {
    let config = json!({
        "by": "least_loaded", "users": ["ada", "bob"],
        "open": { "field": "status", "op": "eq", "value": "open" },
    });
    let office = Office::with("assign", config).await;
    // Closed ones do not count, so the third is again ada's.
    for (status, expected) in [
        ("closed", "ada"),
        ("open", "ada"),
        ("open", "bob"),
        ("open", "ada"),
    ] {
        let contact = office
            .contact(json!({ "name": "x", "status": status }))
            .await;
        assert_eq!(contact["owner_id"], expected);
    }
}

#[tokio::test]
async fn email() {
    let config = json!({
        "to": ["{{ after.email }}"], "subject": "Welcome, {{ after.name }}",
        "text": "Yours, {{ owner }}", "html": "<p>{{ after.name }}</p>",
    });
    let office = Office::with("email", config).await;
    let contact = json!({ "name": "Ada <3", "email": "ada@example.com" });
    let expected = json!([{
        "kind": "email", "to": ["ada@example.com"], "subject": "Welcome, Ada <3",
        "text": "Yours, owner-1", "html": "<p>Ada &lt;3</p>",
    }]);
    assert_eq!(office.effects(contact).await, expected);
}

#[tokio::test]
async fn webhook() {
    let config = json!({ "endpoint": "shop", "payload": { "who": "after.name" } });
    let office = Office::with("webhook", config).await;
    let expected = json!([{
        "kind": "webhook", "endpoint": "shop", "topic": "contacts.record_created",
        "payload": { "who": "Ada" },
    }]);
    assert_eq!(office.effects(json!({ "name": "Ada" })).await, expected);
}

#[tokio::test]
async fn http_request() {
    let config = json!({
        "url": "https://api.example.com/{{ after.country }}", "method": "PUT",
        "body": { "budget": "after.budget" }, "answer": { "score": "answer.body.score" },
    });
    let office = Office::with("http-request", config).await;
    let contact = json!({ "name": "Ada", "country": "CH", "budget": "0.10" });
    let expected = json!([{
        "kind": "http", "key": "request", "method": "PUT", "url": "https://api.example.com/CH",
        "headers": [["content-type", "application/json"]], "body": "{\"budget\":\"0.10\"}",
        "wants_answer": true,
    }]);
    assert_eq!(office.effects(contact).await, expected);
}

#[tokio::test]
async fn task_create() {
    let config = json!({
        "title": "Call {{ after.name }}", "due": { "days": 3 }, "assignee": "{{ owner }}",
    });
    let office = Office::with("task-create", config).await;
    let contact = office.contact(json!({ "name": "Ada" })).await;
    let timeline = office.timeline(id(&contact)).await;
    let task = timeline.iter().find(|entry| entry["kind"] == "task");
    let task = task.unwrap_or_else(|| panic!("{timeline:?}"));
    assert_eq!(task["title"], "Call Ada");
    assert_eq!(task["assignee"], "owner-1");
    assert!(task["due_at"].as_str() > contact["created_at"].as_str());
}

#[tokio::test]
async fn notify() {
    let config = json!({ "to": ["{{ owner }}", "role:manager"], "title": "{{ after.name }}" });
    let office = Office::with("notify", config).await;
    let expected = json!([{
        "kind": "notify", "to": ["owner-1", "role:manager"], "title": "Ada",
    }]);
    assert_eq!(office.effects(json!({ "name": "Ada" })).await, expected);
}

#[tokio::test]
async fn lead_score() {
    let config = json!({
        "field": "score", "reasons_field": "reasons", "activity": true,
        "rules": [
            { "when": "number(after.budget) > 1000", "points": 30, "reason": "a budget" },
            { "when": "after.country == 'CH'", "points": 12, "reason": "close by" },
        ],
    });
    let office = Office::with("lead-score", config).await;
    let contact = office
        .contact(json!({ "name": "Ada", "country": "CH" }))
        .await;
    assert_eq!(contact["data"]["score"], 12);
    assert_eq!(contact["data"]["reasons"], "+12: close by");
    let timeline = office.timeline(id(&contact)).await;
    assert!(timeline.iter().any(|entry| entry["title"] == "Scored 12"));
}

#[tokio::test]
async fn sla_escalate() {
    let config = json!({
        "when": "after.status == 'open'",
        "levels": [{ "after": { "hours": 4 }, "set": { "priority": "'high'" } }],
    });
    let office = Office::with("sla-escalate", config).await;
    let effects = office
        .effects(json!({ "name": "Ada", "status": "open" }))
        .await;
    assert_eq!(effects[0]["kind"], "schedule", "{effects}");
    assert_eq!(effects[0]["payload"], json!({ "level": 0 }));
    let closed = office
        .contact(json!({ "name": "Bob", "status": "closed" }))
        .await;
    assert!(closed["data"]["priority"].is_null());
}

#[tokio::test]
async fn dedupe_flag() {
    let config = json!({
        "match": [
            { "field": "email", "as": "email" }, { "field": "phone", "as": "phone" },
            { "field": "name", "as": "name" },
        ],
        "flag": "duplicate", "link": "duplicate_of", "activity": true,
    });
    let office = Office::with("dedupe-flag", config).await;
    let mut first = json!({ "name": "Ada Lovelace", "email": "Ada@example.com" });
    first["phone"] = json!("+41 44 668 18 00");
    let first = office.contact(first).await;
    assert!(first["data"]["duplicate"] != true, "{first}");
    for duplicate in [
        json!({ "name": "A.", "email": "ada@EXAMPLE.com" }),
        json!({ "name": "B.", "phone": "+41446681800" }),
        json!({ "name": "Lovelace, Ada" }),
    ] {
        let contact = office.contact(duplicate).await;
        assert_eq!(contact["data"]["duplicate"], true, "{contact}");
        assert_eq!(contact["data"]["duplicate_of"], id(&first));
    }
    let other = office
        .contact(json!({ "name": "Grace", "email": "grace@example.com" }))
        .await;
    assert!(other["data"]["duplicate"] != true, "{other}");
}

#[tokio::test]
async fn currency_convert() {
    let config = json!({
        "from": "price", "to": "price_home", "currency": "CHF",
        "rates": { "base": "EUR", "rates": { "USD": "1.0870", "CHF": "0.9500" } },
    });
    let office = Office::with("currency-convert", config).await;
    let price = json!({ "amount": "100.00", "currency": "USD" });
    let contact = office
        .contact(json!({ "name": "Ada", "price": price }))
        .await;
    let expected = json!({ "amount": "87.40", "currency": "CHF" });
    assert_eq!(contact["data"]["price_home"], expected);
}

#[tokio::test]
async fn next_action() {
    let config = json!({
        "module": "contacts", "like": ["condition"], "field": "next_step", "task": true,
        "history": { "module": "visits", "inverse": "contact", "kind": "reason", "at": "day" },
    });
    let office = Office::on("visits", "record_created", "next-action", config).await;
    let visit = async |contact: &str, reason: &str, day: &str| {
        let visit = json!({ "contact": contact, "reason": reason, "day": day });
        let visit = office.owner.create("visits", visit).await;
        office.ended(&visit, "done").await;
    };
    for (name, next) in [
        ("a", "2025-04-01"),
        ("b", "2025-04-03"),
        ("c", "2025-05-01"),
    ] {
        let peer = json!({ "name": name, "condition": "asthma" });
        let peer = office.owner.create("contacts", peer).await;
        visit(&peer, "check-up", "2025-01-01").await;
        visit(&peer, "follow-up", next).await;
    }
    let patient = json!({ "name": "Ada", "condition": "asthma" });
    let patient = office.owner.create("contacts", patient).await;
    visit(&patient, "check-up", "2026-01-01").await;
    let found = office.found("contacts", &patient).await;
    let expected = "Schedule “follow-up” three months after “check-up” of 2026-01-01";
    assert_eq!(found["data"]["next_step"], expected);
    let timeline = office.timeline(&patient).await;
    let task = timeline.iter().find(|entry| entry["kind"] == "task");
    let body = task.unwrap()["body"].as_str().unwrap();
    assert!(
        body.contains("followed by “follow-up” 3 out of 3 times"),
        "{body}"
    );
}
