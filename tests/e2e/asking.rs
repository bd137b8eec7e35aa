//! What a guest is told when it asks the host: records as the person behind the event sees them,
//! within the grant; values that it keeps. And what becomes of it: links, owners, the bundle that
//! a run can be replayed from.

use crm_model::limits::{ROOT_EVENT_MAX_MUTATIONS, RUN_MAX_HOST_CALLS};
use crm_sandbox::{ActionCall, Bundle, NoHost, RecordedResult, Replay, Sandbox, SandboxSettings};
use crm_tests::app::TestApp;
use crm_tests::client::Client;
use serde_json::{Value, json};

/// A workflow that starts `asks` on new victims of that mode.
async fn workflow(owner: &Client, mode: &str, config: Value) {
    let body = json!({
        "slug": mode,
        "name": mode,
        "module": "victims",
        "trigger": { "on": "record_created" },
        "condition": format!("after.mode == '{mode}'"),
        "steps": [{ "action": "asks", "config": config }],
    });
    owner.post("workflows", body).await.expect(201);
}

/// Lets it run on a new victim.
async fn run(owner: &Client, mode: &str, data: Value) -> (String, Value) {
    let mut record = json!({ "name": "v", "mode": mode });
    for (key, value) in data.as_object().unwrap() {
        record[key] = value.clone();
    }
    let record = owner.create("victims", record).await;
    let run = owner.run(mode, &record, &["done", "dead"]).await;
    (record, run)
}

/// The answers that the guest wrote down.
async fn told(owner: &Client, record: &str) -> Vec<Value> {
    let path = format!("records/victims/{record}");
    let found = owner.get(&path).await.expect(200);
    let note = found["data"]["note"]
        .as_str()
        .unwrap_or_else(|| panic!("{found}"));
    serde_json::from_str(note).unwrap()
}

async fn asked(owner: &Client, mode: &str, ask: Value) -> Vec<Value> {
    workflow(owner, mode, json!({ "ask": ask })).await;
    let (record, run) = run(owner, mode, json!({})).await;
    assert_eq!(run["status"], "done", "{run}");
    told(owner, &record).await
}

#[tokio::test]
async fn a_guest_reads_what_was_granted() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    let other = json!({ "name": "Ada", "counter": 5, "secret": "hers" });
    let other = owner.create("victims", other).await;
    let by = |field: &str, value: Value| json!({ "filter": { "field": field, "op": "eq", "value": value } });
    let told = asked(
        &owner,
        "reads",
        json!([
            { "get": ["victims", other] },
            { "query": ["victims", by("name", json!("Ada"))] },
            { "query": ["victims", by("secret", json!("hers"))] },
            { "query": ["victims", { "sort": "secret" }] },
            { "query": ["victims", { "fields": "secret" }] },
            { "query": ["victims", { "q": "hers" }] },
            { "aggregate": ["victims", { "group_by": ["name"], "metrics": [{ "op": "sum", "field": "counter", "as": "sum" }] }] },
            { "aggregate": ["victims", { "group_by": ["secret"] }] },
            { "get": ["victims", "01970000-0000-7000-8000-000000000001"] },
            { "get": ["customers", other] },
            { "query": ["victims", { "limit": 100_000 }] },
        ]),
    )
    .await;
    let ada = json!({ "id": other, "version": 1, "data": { "name": "Ada", "counter": 5 } });
    assert_eq!(told[0], ada);
    assert_eq!(told[1], json!({ "records": [ada], "more": false }));
    for index in [2, 3, 4, 7] {
        assert_eq!(told[index]["refused"], "invalid", "{}", told[index]);
    }
    assert_eq!(told[5]["records"], json!([]), "secrets are not searched");
    let groups = told[6]["data"].as_array().unwrap();
    assert!(
        groups.contains(&json!({ "group": { "name": "Ada" }, "sum": "5" })),
        "{groups:?}"
    );
    assert_eq!(told[8], Value::Null);
    assert_eq!(told[9]["refused"], "denied");
    assert_eq!(told[10]["refused"], "invalid");
}

#[tokio::test]
async fn a_guest_reads_nothing_of_another_tenant() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    let (_, neighbour) = app.owner_of("hostile").await;
    let theirs = neighbour
        .create("victims", json!({ "name": "theirs" }))
        .await;
    let told = asked(
        &owner,
        "foreign",
        json!([
            { "get": ["victims", theirs] },
            { "query": ["victims", { "filter": { "field": "name", "op": "eq", "value": "theirs" } }] },
        ]),
    )
    .await;
    assert_eq!(told[0], Value::Null);
    assert_eq!(told[1]["records"], json!([]));
}

#[tokio::test]
async fn a_guest_sees_no_more_than_the_person() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hostile").await;
    let role = json!({
        "slug": "narrow",
        "label": "Narrow",
        "permissions": { "victims": ["read", "create", "update"] },
        "fields": { "victims": { "counter": "hidden" } },
        "records": { "victims": { "read": ["own"] } },
    });
    owner.post("roles", role).await.expect(201);
    let hidden = owner
        .create("victims", json!({ "name": "Ada", "counter": 5 }))
        .await;
    let ask = json!([
        { "get": ["victims", hidden] },
        { "query": ["victims", {}] },
        { "query": ["victims", { "filter": { "field": "counter", "op": "eq", "value": 5 } }] },
    ]);
    workflow(&owner, "clerk", json!({ "ask": ask })).await;
    let clerk = app.client(tenant, "narrow");
    let record = clerk
        .create("victims", json!({ "name": "v", "mode": "clerk" }))
        .await;
    let run = owner.run("clerk", &record, &["done", "dead"]).await;
    assert_eq!(run["status"], "done", "{run}");
    let told = told(&owner, &record).await;
    assert_eq!(told[0], Value::Null);
    assert_eq!(
        told[1]["records"].as_array().unwrap().len(),
        1,
        "{}",
        told[1]
    );
    assert_eq!(told[2]["refused"], "invalid", "{}", told[2]);
}

#[tokio::test]
async fn values_are_kept_from_run_to_run_and_for_one_tenant() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    let (_, neighbour) = app.owner_of("hostile").await;
    let count = json!({ "ask": [{ "count": "runs" }] });
    for client in [&owner, &neighbour] {
        workflow(client, "count", count.clone()).await;
    }
    for expected in 1..=3 {
        let (record, _) = run(&owner, "count", json!({})).await;
        assert_eq!(told(&owner, &record).await, [json!(expected)]);
    }
    let (record, _) = run(&neighbour, "count", json!({})).await;
    assert_eq!(told(&neighbour, &record).await, [json!(1)]);

    let keep = json!([
        { "keep": ["rates", { "EUR": "1.08" }] }, { "state": "rates" },
        { "drop": "rates" }, { "state": "rates" },
        { "keep": ["big", "x".repeat(70_000)] }, { "keep": ["", 1] },
    ]);
    let told = asked(&owner, "keep", keep).await;
    assert_eq!(told[1], json!({ "EUR": "1.08" }));
    assert_eq!(told[3], Value::Null);
    assert_eq!(told[4]["refused"], "limited");
    assert_eq!(told[5]["refused"], "invalid");
}

/// Every one of many runs at once counts, because a run that was overtaken is done again.
#[tokio::test]
async fn no_count_is_lost_between_runs_at_once() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    workflow(&owner, "count", json!({ "ask": [{ "count": "runs" }] })).await;
    let operations: Vec<Value> = (0..4)
        .map(|_| json!({ "op": "create", "data": { "name": "v", "mode": "count" } }))
        .collect();
    let bulk = json!({ "atomic": true, "operations": operations });
    let made = owner.post("records/victims/bulk", bulk).await.expect(200);
    let mut counts = Vec::new();
    for result in made["results"].as_array().unwrap() {
        let record = result["id"].as_str().unwrap();
        let run = owner.run("count", record, &["done", "dead"]).await;
        assert_eq!(run["status"], "done", "{run}");
        counts.push(told(&owner, record).await[0].as_u64().unwrap());
    }
    counts.sort_unstable();
    assert_eq!(counts, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_guest_that_asks_too_often_fails_and_keeps_nothing() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    let times = RUN_MAX_HOST_CALLS / 2 + 1;
    let config = json!({ "ask": [{ "count": "flood" }], "times": times });
    workflow(&owner, "flood", config).await;
    let (_, flooded) = run(&owner, "flood", json!({})).await;
    assert_eq!(flooded["status"], "dead");
    let error = flooded["error"].as_str().unwrap();
    assert!(error.contains("the limit `max_host_calls`"), "{error}");
    assert_eq!(
        asked(&owner, "after", json!([{ "state": "flood" }])).await,
        [Value::Null]
    );
}

#[tokio::test]
async fn links_and_owners_change_through_the_door() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    let mut friends = Vec::new();
    for name in ["a", "b"] {
        friends.push(owner.create("victims", json!({ "name": name })).await);
    }
    let link = json!([["friends", friends[0]]]);
    workflow(&owner, "link", json!({ "link": link })).await;
    let (record, linked) = run(&owner, "link", json!({ "friends": [friends[1]] })).await;
    assert_eq!(linked["status"], "done", "{linked}");
    let path = format!("records/victims/{record}");
    let found = owner.get(&path).await.expect(200);
    assert_eq!(found["data"]["friends"], json!([friends[1], friends[0]]));

    workflow(
        &owner,
        "unlink",
        json!({ "unlink": [["friends", friends[0]]] }),
    )
    .await;
    let (record, _) = run(&owner, "unlink", json!({ "friends": friends })).await;
    let found = owner
        .get(&format!("records/victims/{record}"))
        .await
        .expect(200);
    assert_eq!(found["data"]["friends"], json!([friends[1]]));

    workflow(&owner, "assign", json!({ "assign": "grace" })).await;
    let (record, assigned) = run(&owner, "assign", json!({})).await;
    assert_eq!(assigned["status"], "done", "{assigned}");
    let found = owner
        .get(&format!("records/victims/{record}"))
        .await
        .expect(200);
    assert_eq!(found["owner_id"], "grace");

    workflow(&owner, "nowhere", json!({ "link": [["name", friends[0]]] })).await;
    let (_, refused) = run(&owner, "nowhere", json!({})).await;
    assert_eq!(refused["status"], "dead");
    let error = refused["error"].as_str().unwrap();
    assert!(
        error.contains("may not write") || error.contains("no relation"),
        "{error}"
    );
}

#[tokio::test]
async fn one_event_leads_to_so_many_mutations_and_no_more() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    // Each new victim makes forty more, which make forty more.
    let body = json!({
        "slug": "fan",
        "name": "fan",
        "module": "victims",
        "trigger": { "on": "record_created" },
        "steps": [{ "action": "asks", "config": { "create": 40 } }],
    });
    owner.post("workflows", body).await.expect(201);
    owner.create("victims", json!({ "name": "first" })).await;
    crm_tests::client::wait_until("the fan is cut", || async {
        let open = owner.get("runs?status=queued").await.expect(200);
        let running = owner.get("runs?status=running").await.expect(200);
        let dead = owner.get("runs?status=dead").await.expect(200);
        let none = |list: &Value| list["data"].as_array().unwrap().is_empty();
        none(&open) && none(&running) && !none(&dead)
    })
    .await;
    let all = owner.get("records/victims?include=total").await.expect(200);
    let total = all["total"]["value"].as_u64().unwrap();
    assert!(
        total > 40 && total <= u64::from(ROOT_EVENT_MAX_MUTATIONS) + 1,
        "{total}"
    );
    let dead = owner.get("runs?status=dead").await.expect(200);
    let error = dead["data"][0]["error"].as_str().unwrap();
    assert!(
        error.contains("the chain is cut here: one event leads to"),
        "{error}"
    );
}

/// Runs recorded here, on a sandbox that never saw them: same bytes, same fuel.
#[tokio::test]
async fn a_bundle_replays_to_the_byte() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hostile").await;
    let other = owner
        .create("victims", json!({ "name": "Ada", "counter": 5 }))
        .await;
    let ask = json!([
        { "get": ["victims", other] }, { "query": ["victims", { "limit": 3 }] },
        { "count": "runs" }, "event", "config",
    ]);
    workflow(&owner, "record", json!({ "ask": ask })).await;
    let (_, recorded) = run(&owner, "record", json!({})).await;
    let id = recorded["id"].as_str().unwrap();
    assert!(
        recorded["log"][0]["input"].get("record").is_none(),
        "{recorded}"
    );
    let bundle = owner.get(&format!("runs/{id}/bundle")).await.expect(200);
    let bundle: Bundle = serde_json::from_value(bundle).unwrap();
    assert_eq!(bundle.journal.len(), 4, "{:?}", bundle.journal);

    let sandbox = Sandbox::new(SandboxSettings {
        limits: bundle.limits,
        ..SandboxSettings::default()
    })
    .unwrap();
    let mut loaded = crm_tests::guests::components().map(|bytes| sandbox.load(bytes).unwrap());
    let plugin = loaded
        .find(|plugin| plugin.digest() == bundle.digest)
        .unwrap();
    let replay = Replay::new(bundle.journal.clone());
    let report = sandbox
        .run_action(
            &plugin,
            ActionCall::from(bundle.call.clone()),
            Box::new(replay),
        )
        .await;
    let nothing: [&str; 0] = [];
    assert_eq!(
        RecordedResult::from(&report).differences(&bundle.result),
        nothing
    );
    assert_eq!(report.journal, bundle.journal);

    // Without the answers it goes another way.
    let call = ActionCall::from(bundle.call.clone());
    let silent = sandbox.run_action(&plugin, call, Box::new(NoHost)).await;
    let differences = RecordedResult::from(&silent).differences(&bundle.result);
    assert!(differences.contains(&"fuel"), "{differences:?}");

    // For others there is less of it, or nothing.
    let redacted = owner
        .get(&format!("runs/{id}/bundle?redact=personal_data"))
        .await
        .expect(200);
    assert_eq!(redacted["redacted"], true);
    owner
        .get(&format!("runs/{id}/bundle?redact=all"))
        .await
        .expect(422);
    owner
        .get(&format!("runs/{id}/bundle?attempt=2"))
        .await
        .expect(404);
    app.client(tenant, "clerk")
        .get(&format!("runs/{id}/bundle"))
        .await
        .expect(403);
}
