//! Hooks of templates: what `before-save` adds and what it keeps out, by whichever way a change
//! comes; what becomes of a change whose hook fails; and that nobody overtakes it.

use crm_tests::app::TestApp;
use crm_tests::client::Client;
use futures::future::join_all;
use serde_json::{Value, json};

async fn record(client: &Client, module: &str, id: &str) -> Value {
    let path = format!("records/{module}/{id}");
    client.get(&path).await.expect(200)
}

fn violation(pointer: &str, code: &str) -> (String, String) {
    (pointer.to_owned(), code.to_owned())
}

async fn total(client: &Client, module: &str) -> Value {
    let path = format!("records/{module}?limit=1&include=total");
    client.get(&path).await.expect(200)["total"]["value"].clone()
}

#[tokio::test]
async fn a_hook_adds_to_every_change() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hooked").await;
    let data = json!({ "data": { "name": "Ada", "age": 20 } });
    let ada = owner.post("records/guests", data).await.expect(201);
    // Also what is required, and what is read-only for people; the rest is computed after it.
    let expected = json!({
        "name": "Ada", "badge": "ada", "shout": "ADA", "age": 20, "twice": "40", "saves": 1,
        "number": ada["data"]["number"],
    });
    assert_eq!(ada["data"], expected);
    assert!(ada["data"]["number"].is_string(), "{ada}");
    let id = ada["id"].as_str().unwrap();
    assert_eq!(record(&owner, "guests", id).await["data"], expected);

    let path = format!("records/guests/{id}");
    let patch = json!({ "data": { "name": "Bea" } });
    let bea = owner.patch_if(&path, "\"1\"", patch).await.expect(200);
    assert_eq!(bea["version"], 2);
    assert_eq!(bea["data"]["shout"], "BEA");
    assert_eq!(bea["data"]["badge"], "ada");
    assert_eq!(bea["data"]["saves"], 2);
    // It is found by what was added.
    let found = owner.get("records/guests?shout=eq.BEA").await.expect(200);
    assert_eq!(found["data"][0]["id"], id);

    let stale = json!({ "data": { "name": "Cy" } });
    let stale = owner.patch_if(&path, "\"1\"", stale).await;
    assert_eq!(stale.status, 412, "{}", stale.body);
    let same = json!({ "data": { "name": "Bea" } });
    let same = owner.patch(&path, same).await.expect(200);
    assert_eq!(same["version"], 2, "no change is none for the hook either");
    let replaced = json!({ "data": { "name": "Dee", "badge": "d" } });
    let replaced = owner.put(&path, replaced).await.expect(200);
    assert_eq!(replaced["data"]["saves"], 3, "{replaced}");
    assert_eq!(replaced["data"]["shout"], "DEE");

    let plain = json!({ "name": "p", "mode": "trap" });
    let plain = owner.create("plain", plain).await;
    assert_eq!(
        record(&owner, "plain", &plain).await["data"],
        json!({ "name": "p", "mode": "trap" }),
        "the hook is not called for this module"
    );
}

#[tokio::test]
async fn what_a_hook_objects_to_is_refused_with_pointers() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hooked").await;
    let data = |mode: &str| json!({ "data": { "name": "Ada", "badge": "a", "mode": mode } });
    let refused = owner.post("records/guests", data("object")).await;
    assert_eq!(refused.status, 422);
    let expected = [
        violation("/data", "hook"),
        violation("/data", "hook"),
        violation("/data/age", "hook"),
    ];
    assert_eq!(refused.violations(), expected, "{}", refused.body);
    // With everything else that is wrong.
    let both = json!({ "data": { "mode": "object", "badge": "a" } });
    let both = owner.post("records/guests", both).await.violations();
    assert!(
        both.contains(&violation("/data/name", "required")),
        "{both:?}"
    );
    assert!(both.contains(&violation("/data/age", "hook")), "{both:?}");
    // What somebody does not see is not named to them.
    let clerk = app.client(tenant, "clerk");
    let told = clerk.post("records/guests", data("object")).await;
    assert_eq!(told.status, 422);
    let told = told.body.to_string();
    assert!(told.contains("not_yours"), "{told}");
    assert!(
        !told.contains("/age") && !told.contains("is not what it was"),
        "{told}"
    );
    // Values of wrong types do not come as far as the hook.
    let wrong = json!({ "data": { "name": "Ada", "mode": "object", "age": "old" } });
    let wrong = owner.post("records/guests", wrong).await.violations();
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong.iter().all(|(_, code)| code != "hook"), "{wrong:?}");
    // Neither does what may not be done.
    let viewer = app.client(tenant, "viewer");
    let denied = viewer.post("records/guests", data("object")).await;
    assert_eq!(denied.status, 403);
    assert_eq!(total(&owner, "guests").await, 0);
}

#[tokio::test]
async fn a_hook_that_fails_keeps_its_record_out_or_lets_it_in() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hooked").await;
    for mode in [
        "trap",
        "spin",
        "unknown",
        "list",
        "object_without",
        "misfit",
    ] {
        let data = json!({ "data": { "name": mode, "badge": mode, "mode": mode } });
        let closed = owner.post("records/guests", data).await;
        assert_eq!(closed.status, 422, "{mode}");
        let expected = [violation("/data", "hook_failed")];
        assert_eq!(closed.violations(), expected, "{mode}: {}", closed.body);

        let open = owner
            .create("extras", json!({ "name": mode, "mode": mode }))
            .await;
        assert_eq!(
            record(&owner, "extras", &open).await["data"],
            json!({ "name": mode, "mode": mode }),
            "written as it was sent"
        );
    }
    let data = json!({ "data": { "name": "c", "badge": "c", "mode": "computed" } });
    let closed = owner.post("records/guests", data).await;
    assert!(
        closed.body.to_string().contains("“number”"),
        "{}",
        closed.body
    );
    assert_eq!(total(&owner, "guests").await, 0, "refused without a trace");

    // What people sent is theirs to set right, whatever the hook adds elsewhere.
    let long = json!({ "data": { "name": "n", "age": -1 } });
    let long = owner.post("records/extras", long).await;
    let expected = [violation("/data/age", "min")];
    assert_eq!(long.violations(), expected, "{}", long.body);
    let shouted = json!({ "name": "longer than the twenty characters of a shout" });
    let shouted = owner.create("extras", shouted).await;
    let shouted = record(&owner, "extras", &shouted).await;
    assert!(shouted["data"].get("shout").is_none(), "{shouted}");
}

#[tokio::test]
async fn bulk_requests_ask_about_each_operation() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hooked").await;
    let old = owner.create("guests", json!({ "name": "Old" })).await;
    let by_badge = json!({ "field": "badge", "value": "new" });
    let operations = json!([
        { "op": "create", "data": { "name": "Ada" } },
        { "op": "create", "data": { "name": "Bad", "mode": "object" } },
        { "op": "update", "id": old, "data": { "name": "Older" } },
        { "op": "update", "id": old, "data": { "name": "Oldest" } },
        { "op": "upsert", "match": by_badge, "data": { "name": "New" } },
        { "op": "upsert", "match": by_badge, "data": { "name": "Newer" } },
        { "op": "update", "id": old, "data": { "mode": "trap" } },
    ]);
    let answer = owner
        .post("records/guests/bulk", json!({ "operations": operations }))
        .await
        .expect(200);
    let results = answer["results"].as_array().unwrap();
    let statuses: Vec<u64> = results
        .iter()
        .map(|result| result["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [201, 422, 200, 200, 201, 200, 422], "{answer}");
    // Beside what the hook would have added.
    let errors = results[1]["problem"]["errors"].as_array().unwrap();
    assert!(
        errors.iter().any(|error| error["code"] == "hook"),
        "{answer}"
    );
    assert_eq!(results[6]["problem"]["errors"][0]["code"], "hook_failed");
    assert_eq!(results[4]["id"], results[5]["id"]);
    // Each was asked about the record that the one before it left.
    let old = record(&owner, "guests", &old).await;
    assert_eq!(old["data"]["shout"], "OLDEST");
    assert_eq!(
        (&old["version"], &old["data"]["saves"]),
        (&json!(3), &json!(3))
    );
    let new = record(&owner, "guests", results[4]["id"].as_str().unwrap()).await;
    assert_eq!(new["data"]["shout"], "NEWER");
    assert_eq!(
        (&new["version"], &new["data"]["saves"]),
        (&json!(2), &json!(2))
    );

    let all = json!({ "atomic": true, "operations": [
        { "op": "create", "data": { "name": "Eve" } },
        { "op": "create", "data": { "name": "Bad", "mode": "object" } },
    ]});
    let none = owner.post("records/guests/bulk", all).await;
    assert_eq!(none.body["type"], "/problems/bulk-refused");
    assert_eq!(total(&owner, "guests").await, 3);

    let often: Vec<Value> = (0..20)
        .map(|number| json!({ "op": "update", "id": old["id"], "data": { "age": number } }))
        .collect();
    let answer = owner
        .post("records/guests/bulk", json!({ "operations": often }))
        .await
        .expect(200);
    let results = answer["results"].as_array().unwrap();
    let done = results.iter().filter(|result| result["status"] == 200);
    let done = done.count();
    assert!((2..20).contains(&done), "there is an end to it: {answer}");
    let old = record(&owner, "guests", old["id"].as_str().unwrap()).await;
    assert_eq!(old["data"]["saves"], old["version"]);
}

#[tokio::test]
async fn rows_of_an_import_are_asked_about() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hooked").await;
    let mut file = "name,badge,mode\n".to_owned();
    for number in 0..300 {
        let mode = match number {
            7 => "object",
            8 => "trap",
            _ => "",
        };
        file.push_str(&format!("Guest {number},b-{number},{mode}\n"));
    }
    let import = owner.upload("guests", file).await.expect(201);
    let id = import["id"].as_str().unwrap();
    let done = owner.import(id, json!({ "dry_run": true })).await;
    assert_eq!(done["progress"]["failed"], 2, "{done}");
    assert_eq!(total(&owner, "guests").await, 0);
    let done = owner.import(id, json!({ "upsert_key": "badge" })).await;
    assert_eq!(done["status"], "done", "{done}");
    assert_eq!(done["progress"]["created"], 298, "{done}");
    assert_eq!(done["progress"]["failed"], 2, "{done}");
    let found = owner.get("records/guests?badge=eq.b-11").await.expect(200);
    assert_eq!(found["data"][0]["data"]["shout"], "GUEST 11");
}

/// The hook counts how often it was asked about what was then written: so often has the record
/// changed.
#[tokio::test]
async fn nobody_overtakes_a_hook() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hooked").await;
    let ada = owner.create("guests", json!({ "name": "Ada" })).await;
    let path = format!("records/guests/{ada}");
    let patches = (0..12).map(|age| {
        let (owner, path) = (owner.clone(), path.clone());
        async move { owner.patch(&path, json!({ "data": { "age": age } })).await }
    });
    let answers = join_all(patches).await;
    // Whoever met the others too often is told to try again.
    assert!(
        answers
            .iter()
            .all(|answer| [200, 409].contains(&answer.status.as_u16()))
    );
    let now = record(&owner, "guests", &ada).await;
    assert_eq!(now["data"]["saves"], now["version"], "{now}");

    // And where records are locked, because others follow them.
    let line = owner
        .create("lines", json!({ "guest": ada, "amount": 0 }))
        .await;
    let path = format!("records/lines/{line}");
    let patches = (1..12).map(|amount| {
        let (owner, path) = (owner.clone(), path.clone());
        async move {
            let data = json!({ "data": { "amount": amount } });
            owner.patch(&path, data).await
        }
    });
    let answers = join_all(patches).await;
    assert!(
        answers
            .iter()
            .all(|answer| [200, 409].contains(&answer.status.as_u16()))
    );
    let line = record(&owner, "lines", &line).await;
    assert_eq!(line["data"]["saves"], line["version"], "{line}");
    let ada = record(&owner, "guests", &ada).await;
    // A rollup is an exact decimal, in a text.
    let amount = line["data"]["amount"].to_string();
    assert_eq!(ada["data"]["total"], json!(amount));
    assert_eq!(
        ada["data"]["saves"], now["version"],
        "what follows from a change is not asked about"
    );
}

#[tokio::test]
async fn what_follows_from_a_deletion_is_not_asked_about() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hooked").await;
    let ada = owner.create("guests", json!({ "name": "Ada" })).await;
    let line = owner
        .create("lines", json!({ "guest": ada, "amount": 5 }))
        .await;
    // Deleting, letting go and bringing back are no changes that somebody makes to data.
    let path = format!("records/guests/{ada}");
    assert_eq!(owner.delete(&path).await.status, 204);
    let line = record(&owner, "lines", &line).await;
    assert!(line["data"].get("guest").is_none(), "{line}");
    assert_eq!(line["data"]["saves"], 1);
}
