//! `after-event` of templates: started by the events that the manifest names, once, within what
//! the template asks for; and hooks that are stopped, left alone, or failed.

use crm_model::limits::{BREAKER_MAX_FAILURES, CHAIN_MAX_RETURNS, HOOK_FAILURES_MAX_PER_MINUTE};
use crm_store::admin::Admin;
use crm_tests::app::TestApp;
use crm_tests::client::{Client, wait_until};
use serde_json::{Value, json};
use uuid::Uuid;

const HOOK: &str = "template:hooked";

async fn plain(owner: &Client, mode: &str) -> String {
    owner
        .create("plain", json!({ "name": "Ada", "mode": mode }))
        .await
}

/// The runs of a record, oldest first.
async fn runs(owner: &Client, record: &str) -> Vec<Value> {
    let path = format!("runs?record_id={record}&limit=200");
    let mut runs = owner.get(&path).await.expect(200)["data"]
        .as_array()
        .unwrap()
        .clone();
    runs.reverse();
    runs
}

async fn told(owner: &Client) -> Vec<String> {
    let extras = owner
        .get("records/extras?sort=created_at&limit=200")
        .await
        .expect(200);
    let extras = extras["data"].as_array().unwrap().iter();
    extras
        .map(|extra| extra["data"]["name"].as_str().unwrap().to_owned())
        .collect()
}

async fn failures(owner: &Client) -> Vec<Value> {
    let failures = owner.get("hook-failures?limit=200").await.expect(200);
    failures["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn an_event_that_the_manifest_names_starts_the_hook_once() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hooked").await;
    let data = json!({ "name": "Ada", "mode": "welcome" });
    let ada = owner.create("guests", data).await;
    let run = owner.run(HOOK, &ada, &["done"]).await;
    assert_eq!(run["workflow"], HOOK);
    assert_eq!(run["log"][0]["steps"][0]["action"], "hooked", "{run}");
    let path = format!("records/guests/{ada}");
    let welcomed = owner.get(&path).await.expect(200);
    assert_eq!(welcomed["data"]["welcome"], "Welcome, Ada");
    assert_eq!(welcomed["version"], 2);
    // It is a change like others: the other hook was asked about it, and history tells whose it is.
    assert_eq!(welcomed["data"]["saves"], 2);
    let history = owner.get(&format!("{path}/history")).await.expect(200);
    let cause = &history["data"][0]["cause"];
    assert_eq!(cause["workflow"], HOOK, "{history}");
    assert_eq!(cause["plugin"], "hooked");
    // An update of a guest is nothing that the manifest names.
    assert_eq!(runs(&owner, &ada).await.len(), 1);

    // Of plain records it is told everything.
    let record = plain(&owner, "tell").await;
    let path = format!("records/plain/{record}");
    owner
        .patch(&path, json!({ "data": { "name": "Bea" } }))
        .await
        .expect(200);
    assert_eq!(owner.delete(&path).await.status, 204);
    owner
        .post(&format!("{path}/restore"), json!({}))
        .await
        .expect(200);
    wait_until("all four are told", async || told(&owner).await.len() >= 4).await;
    let mut told = told(&owner).await;
    told.sort();
    let expected = [
        "record_created Ada",
        "record_deleted Bea",
        "record_restored Bea",
        "record_updated Bea",
    ];
    assert_eq!(told, expected);
    let found = runs(&owner, &record).await;
    assert_eq!(found.len(), 4, "{found:?}");

    // Runs are told as those of workflows are; a workflow of that name there is none.
    owner
        .get(&format!("workflows/{HOOK}/runs"))
        .await
        .expect(404);
    let viewer = app.client(tenant, "viewer");
    assert_eq!(viewer.get("runs").await.status, 403);
    owner.get("runs?workflow=template:No").await.expect(422);
    let path = format!("runs/{}/bundle", run["id"].as_str().unwrap());
    let bundle = owner.get(&path).await.expect(200);
    assert_eq!(bundle["plugin"], "hooked", "{bundle}");
    assert_eq!(
        bundle["result"]["outcome"]["mutations"][0]["patch"],
        json!({ "welcome": "Welcome, Ada" }),
        "{bundle}"
    );
}

#[tokio::test]
async fn a_recorded_run_of_a_hook_is_run_again() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hooked").await;
    let data = json!({ "name": "Ada", "mode": "welcome" });
    let ada = owner.create("guests", data).await;
    let run = owner.run(HOOK, &ada, &["done"]).await;
    let path = format!("runs/{}/bundle", run["id"].as_str().unwrap());
    let bundle = owner.get(&path).await.expect(200);
    let folder = tempfile::tempdir().unwrap();
    let component = folder.path().join("hooked.wasm");
    std::fs::write(&component, crm_tests::guests::component("hooked")).unwrap();
    let replay = |bundle: &Value| {
        let file = folder.path().join("run.json");
        std::fs::write(&file, bundle.to_string()).unwrap();
        crate::command::crm()
            .args(["plugin", "replay"])
            .arg(&file)
            .arg("--component")
            .arg(&component)
            .output()
            .unwrap()
    };
    let same = replay(&bundle);
    assert!(same.status.success(), "{same:?}");
    let mut other = bundle.clone();
    other["call"]["event"]["after"]["name"] = json!("Bea");
    assert!(!replay(&other).status.success());
}

#[tokio::test]
async fn a_hook_writes_what_its_manifest_asks_for_and_no_more() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hooked").await;
    let record = plain(&owner, "forbidden").await;
    let run = owner.run(HOOK, &record, &["dead"]).await;
    let error = run["error"].as_str().unwrap();
    assert!(error.contains("the mutations are refused"), "{error}");
    let path = format!("records/plain/{record}");
    let now = owner.get(&path).await.expect(200);
    assert_eq!(now["data"]["mode"], "forbidden");
    assert_eq!(now["version"], 1);
}

#[tokio::test]
async fn a_hook_that_starts_itself_comes_to_an_end() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hooked").await;
    let record = plain(&owner, "again").await;
    wait_until("the chain is cut", async || {
        let runs = runs(&owner, &record).await;
        runs.last().is_some_and(|last| last["status"] == "dead")
    })
    .await;
    let runs = runs(&owner, &record).await;
    let last = runs.last().unwrap();
    let error = last["error"].as_str().unwrap();
    assert!(error.contains("it goes in circles"), "{error}");
    assert!(error.contains(&format!("{HOOK} → {HOOK}")), "{error}");
    assert_eq!(runs.len(), CHAIN_MAX_RETURNS + 2, "{runs:?}");
    let now = owner
        .get(&format!("records/plain/{record}"))
        .await
        .expect(200);
    assert_eq!(now["data"]["name"], "Ada!!!", "{now}");
}

#[tokio::test]
async fn what_a_hook_scheduled_comes_back_to_it() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hooked").await;
    let record = plain(&owner, "remind").await;
    wait_until("it is reminded", async || !told(&owner).await.is_empty()).await;
    assert_eq!(told(&owner).await, ["reminded of this"]);
    assert_eq!(runs(&owner, &record).await.len(), 2);
}

#[tokio::test]
async fn a_hook_that_always_traps_is_left_alone() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hooked").await;
    for _ in 0..BREAKER_MAX_FAILURES {
        let record = plain(&owner, "after_trap").await;
        let run = owner.run(HOOK, &record, &["dead"]).await;
        assert_eq!(run["log"][0]["steps"][0]["status"], "trapped", "{run}");
    }
    let record = plain(&owner, "tell").await;
    wait_until("the run waits", async || {
        let runs = runs(&owner, &record).await;
        let error = runs[0]["error"].as_str().unwrap_or_default();
        runs[0]["status"] == "queued" && error.contains("is left alone")
    })
    .await;
    // The other hook is another thing.
    let ada = owner.create("guests", json!({ "name": "Ada" })).await;
    let ada = owner.get(&format!("records/guests/{ada}")).await;
    assert_eq!(ada.expect(200)["data"]["shout"], "ADA");
}

/// Validators keep changes out while their hook fails again and again, others let them in; neither
/// is called.
#[tokio::test]
async fn before_save_that_always_traps_is_not_called_for_a_while() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hooked").await;
    let trap = json!({ "data": { "name": "t", "badge": "t", "mode": "trap" } });
    for _ in 0..BREAKER_MAX_FAILURES {
        let refused = owner.post("records/guests", trap.clone()).await;
        assert_eq!(
            refused.violations(),
            [("/data".into(), "hook_failed".into())]
        );
    }
    let good = json!({ "data": { "name": "Ada" } });
    let refused = owner.post("records/guests", good.clone()).await;
    assert_eq!(refused.status, 422);
    let unavailable = ("/data".to_owned(), "hook_unavailable".to_owned());
    assert!(
        refused.violations().contains(&unavailable),
        "{}",
        refused.body
    );
    assert!(refused.body.to_string().contains("is left alone"));
    let extra = owner.create("extras", json!({ "name": "Eve" })).await;
    let extra = owner.get(&format!("records/extras/{extra}")).await;
    assert_eq!(extra.expect(200)["data"], json!({ "name": "Eve" }));
    // Nobody else's is.
    let (_, neighbour) = app.owner_of("hooked").await;
    neighbour.post("records/guests", good).await.expect(201);

    wait_until("all is written down", async || {
        failures(&owner).await.len() == BREAKER_MAX_FAILURES as usize + 2
    })
    .await;
    let written = failures(&owner).await;
    assert_eq!(written[0]["status"], "left_alone", "{written:?}");
    assert_eq!(written[0]["outcome"], "passed");
    assert_eq!(written[0]["module"], "extras");
    assert_eq!(written[1]["outcome"], "refused");
    let first = &written[11];
    assert_eq!(first["status"], "trapped", "{first}");
    assert_eq!(first["hook"], "before_save");
    assert_eq!(first["template"], "hooked");
    assert_eq!(first["kind"], "create");
    assert_eq!(first["record_id"], Value::Null);
    assert_eq!(first["failures"], 1);
    assert!(failures(&neighbour).await.is_empty());
    let clerk = app.client(tenant, "clerk").get("hook-failures").await;
    assert_eq!(clerk.status, 403);
}

/// Whoever runs the installation stops a version's hooks with it, on every instance.
#[tokio::test]
async fn hooks_of_a_version_that_was_stopped_are_not_called() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hooked").await;
    let ada = owner.create("guests", json!({ "name": "Ada" })).await;
    let path = format!("records/guests/{ada}");
    let mut admin = Admin::connect(&app.database.owner()).await.unwrap();
    admin
        .plugin_kill("hooked", "0.1.0", Some("it lies"))
        .await
        .unwrap();
    let change = async || {
        let age = Uuid::now_v7().as_u128() % 1_000_000;
        let patch = json!({ "data": { "age": age } });
        owner.patch(&path, patch).await
    };
    wait_until("it is refused", async || change().await.status != 200).await;
    let refused = change().await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    let unavailable = ("/data".to_owned(), "hook_unavailable".to_owned());
    assert_eq!(refused.violations(), [unavailable], "{}", refused.body);
    assert!(refused.body.to_string().contains("was stopped: it lies"));
    wait_until("it is written down", async || {
        let failures = failures(&owner).await;
        let first = failures.first();
        first.is_some_and(|first| first["status"] == "stopped" && first["record_id"] == json!(ada))
    })
    .await;

    let record = plain(&owner, "tell").await;
    wait_until("the run waits", async || {
        let runs = runs(&owner, &record).await;
        let error = runs[0]["error"].as_str().unwrap_or_default();
        runs[0]["status"] == "queued" && error.contains("was stopped: it lies")
    })
    .await;
    admin.plugin_kill("hooked", "0.1.0", None).await.unwrap();
    let run = owner.run(HOOK, &record, &["done", "dead"]).await;
    assert_eq!(run["status"], "done", "it goes on where it waited");
    let patch = json!({ "data": { "age": 0 } });
    let changed = owner.patch(&path, patch).await.expect(200);
    assert_eq!(changed["data"]["saves"], changed["version"]);
}

#[tokio::test]
async fn failures_of_before_save_are_written_down_and_no_flood() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hooked").await;
    let old = owner.create("extras", json!({ "name": "Old" })).await;
    let path = format!("records/extras/{old}");
    let misfit = json!({ "data": { "mode": "misfit" } });
    let passed = owner.patch(&path, misfit).await.expect(200);
    assert_eq!(passed["data"]["mode"], "misfit");
    wait_until("it is written down", async || {
        !failures(&owner).await.is_empty()
    })
    .await;
    let written = &failures(&owner).await[0];
    assert_eq!(written["status"], "misfit", "{written}");
    assert_eq!(written["outcome"], "passed");
    assert_eq!(written["record_id"], json!(old));
    let reason = written["reason"].as_str().unwrap();
    assert!(reason.ends_with("/data/age (min)"), "no values: {reason}");

    // What was refused left no trace but this.
    let operations: Vec<Value> = (0..3 * HOOK_FAILURES_MAX_PER_MINUTE)
        .map(|number| json!({ "op": "create", "data": { "name": number.to_string(), "mode": "unknown" } }))
        .collect();
    let body = json!({ "operations": operations });
    owner.post("records/extras/bulk", body).await.expect(200);
    wait_until("the first are written down", async || {
        failures(&owner).await.len() >= HOOK_FAILURES_MAX_PER_MINUTE
    })
    .await;
    let written = failures(&owner).await;
    assert_eq!(written.len(), HOOK_FAILURES_MAX_PER_MINUTE, "no flood");
    assert!(written.iter().all(|one| one["failures"] == 1));
    let page = owner.get("hook-failures?limit=5").await.expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    assert_eq!(Uuid::try_parse(cursor).unwrap().get_version_num(), 7);
    let next = format!("hook-failures?limit=5&cursor={cursor}");
    let next = owner.get(&next).await.expect(200);
    assert_eq!(next["data"][0]["id"], written[5]["id"]);
    owner.get("hook-failures?limit=0").await.expect(422);
}
