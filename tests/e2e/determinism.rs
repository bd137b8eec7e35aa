//! The same call comes to the same: runs of a real server, with all that they asked and were told,
//! are run again by another process, and compared to the last byte and the last unit of fuel.

use crm_tests::app::TestApp;
use crm_tests::client::{Client, wait_until};
use crm_tests::guests::component;
use futures::stream::{self, StreamExt};
use reqwest::multipart::Form;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

use crate::command::crm;

/// How many runs, unless DETERMINISM_RUNS says otherwise.
const RUNS: usize = 200;
/// What starts on each record: the action, its grants, its configuration.
fn steps() -> [(&'static str, Value, Value); 5] {
    let questions = json!([
        "config", "event",
        { "state": "seen" }, { "count": "seen" }, { "keep": ["last", { "at": [1, 2.5] }] },
        { "query": ["victims", { "sort": ["-created_at"], "limit": 5 }] },
        { "aggregate": ["victims", { "metrics": [{ "op": "count", "as": "all" }] }] },
        { "get": ["victims", "018f4e6a-7c1e-7000-8000-000000000001"] },
        { "get": ["patients", "018f4e6a-7c1e-7000-8000-000000000001"] },
        { "secret": "stripe" },
    ]);
    let rules = json!([{ "when": "after.name != ''", "points": 5, "reason": "has a name" }]);
    [
        ("asks", Value::Null, json!({ "ask": questions })),
        (
            "field-set",
            json!({ "reads": ["victims(name)"], "writes": ["victims(update; target)"] }),
            json!({ "set": { "target": "'for ' + after.name" } }),
        ),
        (
            "lead-score",
            json!({ "reads": ["victims(*)"], "writes": ["victims(update; counter)"], "activities": ["victims"] }),
            json!({ "field": "counter", "rules": rules }),
        ),
        ("misbehave", Value::Null, json!({ "how": "chatter" })),
        ("misbehave", Value::Null, json!({ "how": "give_up" })),
    ]
}

async fn prepare(owner: &Client) {
    for (index, (action, grants, config)) in steps().into_iter().enumerate() {
        if !grants.is_null() {
            let form = Form::new().text("name", action);
            let form = form.text("grants", grants.to_string());
            owner.send_form("plugins", None, form).await.expect(201);
        }
        let body = json!({
            "slug": format!("step-{index}"), "name": action, "module": "victims",
            "trigger": { "on": "record_created" },
            "steps": [{ "action": action, "config": config }],
        });
        owner.post("workflows", body).await.expect(201);
    }
}

/// All runs, when none is under way any more.
async fn ended(owner: &Client, wanted: usize) -> Vec<String> {
    let all = async || {
        let mut runs = Vec::new();
        let mut path = "runs?limit=200".to_owned();
        loop {
            let page = owner.get(&path).await.expect(200);
            runs.extend(page["data"].as_array().unwrap().clone());
            match page["next_cursor"].as_str() {
                Some(cursor) => path = format!("runs?limit=200&cursor={cursor}"),
                None => return runs,
            }
        }
    };
    wait_until("all runs have ended", async || {
        let runs = all().await;
        let is_over = |run: &Value| ["done", "dead"].contains(&run["status"].as_str().unwrap());
        runs.len() >= wanted && runs.iter().all(is_over)
    })
    .await;
    let runs = all().await;
    let ids = runs
        .iter()
        .map(|run| run["id"].as_str().unwrap().to_owned());
    ids.take(wanted).collect()
}

async fn replay(folder: &Path) -> Output {
    let mut command = crm();
    command
        .current_dir(folder)
        .args(["plugin", "replay", "bundles", "--component", "components"]);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_here_runs_the_same_elsewhere() {
    let runs = std::env::var("DETERMINISM_RUNS").ok();
    let runs = runs.map_or(RUNS, |runs| runs.parse().unwrap());
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    prepare(&owner).await;
    let records = runs.div_ceil(steps().len());
    for first in (0..records).step_by(100) {
        let create =
            |number: usize| json!({ "op": "create", "data": { "name": format!("v{number}") } });
        let operations: Vec<Value> = (first..records.min(first + 100)).map(create).collect();
        let body = json!({ "atomic": false, "operations": operations });
        owner.post("records/victims/bulk", body).await.expect(200);
    }
    let ids = ended(&owner, runs).await;

    let folder = tempfile::tempdir().unwrap();
    for name in ["bundles", "components"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    for (name, ..) in steps() {
        let path = folder
            .path()
            .join("components")
            .join(format!("{name}.wasm"));
        std::fs::write(path, component(name)).unwrap();
    }
    let bundles: Vec<(String, Value)> = stream::iter(ids)
        .map(|id| {
            let owner = owner.clone();
            async move {
                let bundle = owner.get(&format!("runs/{id}/bundle")).await.expect(200);
                (id, bundle)
            }
        })
        .buffer_unordered(4)
        .collect()
        .await;
    let write = |id: &str, bundle: &Value| {
        let path = folder.path().join("bundles").join(format!("{id}.json"));
        std::fs::write(path, bundle.to_string()).unwrap();
    };
    for (id, bundle) in &bundles {
        write(id, bundle);
    }
    // They are of every kind: they asked, failed, wrote, and logged.
    for (pointer, kind) in [
        ("/journal/0", "asked"),
        ("/result/failure", "failed"),
        ("/result/outcome/mutations/0", "wrote"),
        ("/result/logs/0", "logged"),
    ] {
        let some = bundles
            .iter()
            .any(|(_, bundle)| bundle.pointer(pointer).is_some());
        assert!(some, "no run that {kind}");
    }

    let same = replay(folder.path()).await;
    let said = String::from_utf8_lossy(&same.stdout).into_owned();
    assert!(same.status.success(), "{same:?}");
    assert!(
        said.contains(&format!(
            "{runs} of {runs} runs are the same, to the last unit of fuel"
        )),
        "{said}"
    );

    // What differs is found among all the others: a unit of fuel, and a word of an answer.
    let told = |bundle: &Value| {
        let journal = bundle["journal"].as_array().unwrap();
        journal.iter().position(|asked| asked["answer"] == "json")
    };
    let (other, asked) = bundles
        .iter()
        .find(|(_, bundle)| told(bundle).is_some())
        .unwrap();
    let mut changed = asked.clone();
    changed["journal"][told(asked).unwrap()]["json"] = json!("{\"data\":[]}");
    write(other, &changed);
    let (id, fuel) = bundles.iter().find(|(id, _)| id != other).unwrap();
    let mut changed = fuel.clone();
    changed["result"]["fuel"] = json!(fuel["result"]["fuel"].as_u64().unwrap() + 1);
    write(id, &changed);
    let differs = replay(folder.path()).await;
    assert_eq!(differs.status.code(), Some(1), "{differs:?}");
    let said = String::from_utf8_lossy(&differs.stdout).into_owned();
    assert!(said.contains(&format!("bundles/{id}.json")), "{said}");
    assert!(said.contains(&format!("bundles/{other}.json")), "{said}");
    let error = String::from_utf8_lossy(&differs.stderr).into_owned();
    assert!(
        error.contains(&format!("2 of {runs} runs are not as they were recorded")),
        "{error}"
    );
}
