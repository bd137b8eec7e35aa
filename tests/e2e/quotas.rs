//! What a tenant may use up: at the limit and one past it, for each quota; what others notice of
//! it; and who may change it.

use crate::command::crm;
use crm_engine::QuotaSettings;
use crm_model::quota::QuotaDefaults;
use crm_tests::app::{SUPER_ADMIN, TestApp, eager_worker};
use crm_tests::client::{Answer, Client, wait_until};
use crm_tests::cluster::cluster;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::time::Duration;

const PATIENTS: &str = "records/patients";

fn quotas(set: impl FnOnce(&mut QuotaDefaults)) -> QuotaSettings {
    let mut settings = QuotaSettings {
        settle: Duration::from_millis(50),
        ..QuotaSettings::default()
    };
    set(&mut settings.defaults);
    settings
}

async fn working(set: impl FnOnce(&mut QuotaDefaults)) -> TestApp {
    let database = cluster().database().await;
    TestApp::metered(database, Some(eager_worker()), quotas(set)).await
}

fn patient(name: &str) -> Value {
    json!({"data": {"full_name": name}})
}

/// That it was refused for this quota, and told everything about it.
#[track_caller]
fn spent(answer: &Answer, quota: &str, limit: u64) {
    assert_eq!(answer.status, 429, "{}", answer.body);
    assert_eq!(answer.body["type"], "/problems/quota-spent");
    let told = &answer.body["quota"];
    assert_eq!(told["name"], quota);
    assert_eq!(told["limit"], limit);
    assert!(told["used"].as_u64().unwrap() >= limit, "{told}");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=86_400).contains(&wait), "{wait}");
    let policy = answer.header("ratelimit-policy").unwrap();
    assert!(
        policy.starts_with(&format!("\"{quota}\";q={limit}")),
        "{policy}"
    );
    let left = answer.header("ratelimit").unwrap();
    assert_eq!(left, format!("\"{quota}\";r=0;t={wait}"));
}

async fn usage(client: &Client, quota: &str) -> Value {
    let usage = client.get("usage").await.expect(200);
    let quotas = usage["data"].as_array().unwrap();
    let found = quotas.iter().find(|found| found["quota"] == quota);
    found.unwrap().clone()
}

async fn count(client: &Client, module: &str) -> u64 {
    let listed = client.get(&format!("records/{module}?include=total")).await;
    listed.expect(200)["total"]["value"].as_u64().unwrap()
}

#[tokio::test]
async fn records_end_at_the_limit_and_begin_again_below_it() {
    let app = working(|defaults| defaults.records = Some(3)).await;
    let (_, owner) = app.owner_of("hospital").await;
    let (_, neighbour) = app.owner_of("hospital").await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(owner.create("patients", json!({"full_name": name})).await);
    }
    spent(&owner.post(PATIENTS, patient("d")).await, "records", 3);
    let doctor = json!({"data": {"full_name": "D", "specialty": "neurology"}});
    spent(&owner.post("records/doctors", doctor).await, "records", 3);
    let clone = format!("{PATIENTS}/{}/clone", ids[0]);
    spent(&owner.post(&clone, json!({})).await, "records", 3);
    let used = usage(&owner, "records").await;
    assert_eq!(
        used,
        json!({"quota": "records", "limit": 3, "overridden": false, "used": 3,
            "window_seconds": null, "resets_at": null})
    );
    // What is wrong is told first, and what is there can be changed.
    assert_eq!(owner.post(PATIENTS, json!({"data": {}})).await.status, 422);
    let path = format!("{PATIENTS}/{}", ids[0]);
    owner.patch(&path, patient("A")).await.expect(200);
    // Others have their own.
    neighbour
        .create("patients", json!({"full_name": "n"}))
        .await;

    assert!(owner.delete(&path).await.status.is_success());
    owner.post(PATIENTS, patient("d")).await.expect(201);
    let restore = format!("{path}/restore");
    spent(&owner.post(&restore, json!({})).await, "records", 3);
    let other = format!("{PATIENTS}/{}", ids[1]);
    assert!(owner.delete(&other).await.status.is_success());
    owner.post(&restore, json!({})).await.expect(200);
    spent(&owner.post(PATIENTS, patient("e")).await, "records", 3);
    assert_eq!(count(&owner, "patients").await, 3);
}

#[tokio::test]
async fn many_at_once_do_not_pass_the_limit_and_reach_it() {
    let app = working(|defaults| defaults.records = Some(40)).await;
    let (_, owner) = app.owner_of("hospital").await;
    for round in 0..3_u32 {
        // Counts fall into the midst of the others from the second on.
        let create = |number: u32| {
            let owner = owner.clone();
            async move {
                let name = format!("{round}-{number}");
                owner.post(PATIENTS, patient(&name)).await.status.as_u16()
            }
        };
        let statuses = join_all((0..30).map(create)).await;
        let created = statuses.iter().filter(|status| **status == 201).count();
        let refused = statuses.iter().filter(|status| **status == 429).count();
        let expected = [30, 10, 0][round as usize];
        assert_eq!(
            (created, refused),
            (expected, 30 - expected),
            "round {round}"
        );
    }
    assert_eq!(count(&owner, "patients").await, 40);
}

#[tokio::test]
async fn a_bulk_takes_what_is_left_or_nothing() {
    let app = working(|defaults| defaults.records = Some(4)).await;
    let (_, owner) = app.owner_of("hospital").await;
    let first = owner
        .create("patients", json!({"full_name": "first"}))
        .await;
    let create = json!({"op": "create", "data": {"full_name": "b"}});
    let bulk = |atomic: bool, operations: Value| {
        let body = json!({"atomic": atomic, "operations": operations});
        let owner = owner.clone();
        async move { owner.post(&format!("{PATIENTS}/bulk"), body).await }
    };
    let five = json!([create, create, create, create, create]);
    let refused = bulk(true, five.clone()).await;
    assert_eq!(refused.status, 422);
    let statuses = |answer: &Answer| -> Vec<u64> {
        let results = answer.body["results"].as_array().unwrap();
        let status = |result: &Value| result["status"].as_u64().unwrap();
        results.iter().map(status).collect()
    };
    assert!(statuses(&refused).contains(&429), "{}", refused.body);
    assert_eq!(count(&owner, "patients").await, 1, "nothing was done");

    let partly = bulk(false, five).await;
    assert_eq!(statuses(&partly), [201, 201, 201, 429, 429]);
    let problem = &partly.body["results"][3]["problem"];
    assert_eq!(problem["type"], "/problems/quota-spent");
    assert_eq!(problem["quota"]["name"], "records");
    assert_eq!(count(&owner, "patients").await, 4);

    let exchange = json!([{"op": "delete", "id": first}, create]);
    let exchanged = bulk(true, exchange).await;
    assert_eq!(exchanged.status, 200, "{}", exchanged.body);
    assert_eq!(count(&owner, "patients").await, 4);
    spent(&owner.post(PATIENTS, patient("x")).await, "records", 4);
}

#[tokio::test]
async fn an_import_ends_where_the_records_do() {
    let app = working(|defaults| defaults.records = Some(5)).await;
    let (_, owner) = app.owner_of("hospital").await;
    owner.create("patients", json!({"full_name": "a"})).await;
    owner.create("patients", json!({"full_name": "b"})).await;
    let rows: String = (0..10).map(|row| format!("Row {row}\n")).collect();
    let file = format!("full_name\n{rows}");
    let uploaded = owner.upload("patients", file).await.expect(201);
    let import = uploaded["id"].as_str().unwrap();
    let trial = owner.import(import, json!({"dry_run": true})).await;
    assert_eq!(trial["status"], "done", "a trial takes nothing: {trial}");
    let ended = owner.import(import, json!({})).await;
    assert_eq!(ended["status"], "failed", "{ended}");
    assert!(ended.to_string().contains("quota of 5 records"), "{ended}");
    assert_eq!(count(&owner, "patients").await, 5);
}

#[tokio::test]
async fn a_plugin_adds_no_record_past_the_limit() {
    let app = working(|defaults| defaults.records = Some(2)).await;
    let (_, owner) = app.owner_of("hostile").await;
    let workflow = json!({
        "slug": "multiply", "name": "M", "module": "victims",
        "trigger": {"on": "record_created"},
        "condition": "after.mode == 'multiply'",
        "steps": [{"action": "misbehave", "config": {"how": "multiply"}}],
    });
    owner.post("workflows", workflow).await.expect(201);
    let victim = json!({"name": "v", "mode": "multiply"});
    let first = owner.create("victims", victim.clone()).await;
    let run = owner.run("multiply", &first, &["done", "dead"]).await;
    assert_eq!(run["status"], "done", "{run}");
    assert_eq!(count(&owner, "victims").await, 2);
    spent(
        &owner.post("records/victims", json!({"data": victim})).await,
        "records",
        2,
    );

    let path = format!("records/victims/{first}");
    assert!(owner.delete(&path).await.status.is_success());
    let second = owner.create("victims", victim).await;
    let run = owner.run("multiply", &second, &["done", "dead"]).await;
    assert_eq!(run["status"], "dead", "it can be tried again: {run}");
    let error = run["error"].as_str().unwrap();
    assert!(error.contains("quota of 2 records"), "{error}");
    assert_eq!(count(&owner, "victims").await, 2);
}

#[tokio::test]
async fn requests_end_at_the_limit_for_all_of_the_tenant_and_nobody_else() {
    let app = working(|_| ()).await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let (_, neighbour) = app.owner_of("hospital").await;
    let admin = app.client(app.tenant("operator").await, SUPER_ADMIN);
    let already = usage(&owner, "api_calls").await["used"].as_u64().unwrap();
    assert_eq!(already, 1, "the choice of a template; to look is free");
    set(
        &admin,
        &tenant.to_string(),
        json!({"api_calls": already + 3}),
    )
    .await
    .expect(200);
    for _ in 0..2 {
        owner.get("bootstrap").await.expect(200);
    }
    assert_eq!(owner.get("records/nowhere").await.status, 404, "it counts");
    let limit = already + 3;
    let refused = owner.get("bootstrap").await;
    spent(&refused, "api_calls", limit);
    assert!(refused.body["quota"]["resets_at"].is_string());
    let policy = refused.header("ratelimit-policy").unwrap();
    assert_eq!(policy, format!("\"api_calls\";q={limit};w=86400"));
    let viewer = app.client(tenant, "viewer");
    spent(&viewer.get("bootstrap").await, "api_calls", limit);
    spent(
        &owner.post(PATIENTS, patient("a")).await,
        "api_calls",
        limit,
    );
    let used = usage(&owner, "api_calls").await;
    assert_eq!(used["used"], limit, "what was refused is not counted");
    assert_eq!(used["overridden"], true);
    assert_eq!(used["resets_at"], refused.body["quota"]["resets_at"]);
    let midnight = used["resets_at"].as_str().unwrap();
    assert!(midnight.ends_with("T00:00:00Z"), "{midnight}");
    neighbour.get("bootstrap").await.expect(200);
    // A super admin is no user of the tenant.
    let id = tenant.to_string();
    let acting = [("x-tenant-id", id.as_str())];
    let asked = admin.call(Method::GET, "bootstrap", &acting, None).await;
    asked.expect(200);
}

#[tokio::test]
async fn a_new_window_begins_with_nothing() {
    let app = working(|defaults| {
        defaults.api_calls = Some(4);
        defaults.api_window_seconds = 2;
    })
    .await;
    let tenant = app.tenant("t").await;
    let owner = app.client(tenant, "owner");
    for _ in 0..2 {
        let mut answered = 0;
        let refused = loop {
            let answer = owner.get("templates").await;
            if answer.status == 429 {
                break answer;
            }
            answered += 1;
            // At most the rest of a window and the whole of the next.
            assert!(answered <= 8, "never refused");
        };
        spent(&refused, "api_calls", 4);
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!(wait <= 2, "{wait}");
        wait_until("the window ends", || async {
            owner.get("templates").await.status == 200
        })
        .await;
    }
}

#[tokio::test]
async fn two_instances_count_together() {
    let settings = || quotas(|defaults| defaults.api_calls = Some(10));
    let database = cluster().database().await;
    let one = TestApp::metered(database.clone(), None, settings()).await;
    let two = TestApp::metered(database, None, settings()).await;
    let tenant = one.tenant("t").await;
    let (first, second) = (one.client(tenant, "owner"), two.client(tenant, "owner"));
    for _ in 0..6 {
        first.get("templates").await.expect(200);
    }
    wait_until("the other one knows", || async {
        usage(&second, "api_calls").await["used"] == 6
    })
    .await;
    for _ in 0..4 {
        second.get("templates").await.expect(200);
    }
    spent(&second.get("templates").await, "api_calls", 10);
    // The first has not asked; it learns by itself, and answers until it has looked.
    let mut answered = 10;
    wait_until("the first one knows", async || {
        let status = first.get("templates").await.status;
        answered += u64::from(status == 200);
        status == 429
    })
    .await;
    // What it answered until it looked, a twentieth of a second later at most.
    assert!((10..200).contains(&answered), "{answered}");
    // Neither has written down all of that when the first refuses.
    for client in [&first, &second] {
        wait_until("both count all that was answered", async || {
            usage(client, "api_calls").await["used"] == answered
        })
        .await;
    }
}

#[tokio::test]
async fn two_instances_agree_on_records() {
    let settings = || quotas(|defaults| defaults.records = Some(6));
    let database = cluster().database().await;
    let one = TestApp::metered(database.clone(), None, settings()).await;
    let two = TestApp::metered(database, None, settings()).await;
    let (tenant, first) = one.owner_of("hospital").await;
    let second = two.client(tenant, "owner");
    second.create("patients", json!({"full_name": "a"})).await;
    for name in ["b", "c", "d", "e", "f"] {
        first.create("patients", json!({"full_name": name})).await;
    }
    spent(&first.post(PATIENTS, patient("g")).await, "records", 6);
    // The second believes in one for a twentieth of a second at most.
    wait_until("the second one counts", || async {
        second.post(PATIENTS, patient("h")).await.status == 429
    })
    .await;
    let there = count(&first, "patients").await;
    assert!(there >= 6, "{there}");
    wait_until("both tell the same", || async {
        usage(&second, "records").await["used"] == there
    })
    .await;
    let rows = first.get("records/patients?limit=200").await.expect(200);
    for row in rows["data"].as_array().unwrap() {
        let id = row["id"].as_str().unwrap();
        second.delete(&format!("{PATIENTS}/{id}")).await;
    }
    wait_until("the first one counts", || async {
        first.post(PATIENTS, patient("i")).await.status == 201
    })
    .await;
}

#[tokio::test]
async fn runs_wait_for_fuel_and_are_not_lost() {
    let app = working(|defaults| defaults.fuel = Some(1)).await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let (_, neighbour) = app.owner_of("hospital").await;
    let admin = app.client(app.tenant("operator").await, SUPER_ADMIN);
    let ada = owner.create("patients", json!({"full_name": "Ada"})).await;
    let run = owner.run("welcome", &ada, &["done"]).await;
    let burnt = run["log"][0]["fuel"].as_u64().unwrap();
    let fuel = usage(&owner, "fuel").await;
    assert_eq!(fuel["used"], burnt, "what the run log tells: {fuel}");

    let grace = owner
        .create("patients", json!({"full_name": "Grace"}))
        .await;
    let path = format!("runs?record_id={grace}");
    let run = async || owner.get(&path).await.expect(200)["data"][0].clone();
    wait_until("it waits", || async { run().await["waits_for"] == "fuel" }).await;
    let waiting = run().await;
    assert_eq!(waiting["status"], "queued", "{waiting}");
    assert_eq!(waiting["attempts"], 0, "nobody tried: {waiting}");
    assert_eq!(waiting["error"], Value::Null);
    assert_eq!(waiting["due_at"], fuel["resets_at"]);
    let other = neighbour
        .create("patients", json!({"full_name": "N"}))
        .await;
    neighbour.run("welcome", &other, &["done"]).await;
    assert_eq!(run().await["status"], "queued");

    set(&admin, &tenant.to_string(), json!({"fuel": "unlimited"}))
        .await
        .expect(200);
    let done = owner.run("welcome", &grace, &["done", "dead"]).await;
    assert_eq!(
        (&done["status"], &done["attempts"]),
        (&json!("done"), &json!(1))
    );
}

#[tokio::test]
async fn runs_that_waited_for_fuel_go_on_in_the_next_window() {
    let app = working(|defaults| {
        defaults.fuel = Some(1);
        defaults.fuel_window_seconds = 1;
    })
    .await;
    let (_, owner) = app.owner_of("hospital").await;
    let create = |name: &str| json!({"op": "create", "data": {"full_name": name}});
    let operations = json!([create("a"), create("b"), create("c"), create("d")]);
    let bulk = json!({"atomic": true, "operations": operations});
    let bulk = owner
        .post(&format!("{PATIENTS}/bulk"), bulk)
        .await
        .expect(200);
    for result in bulk["results"].as_array().unwrap() {
        let id = result["id"].as_str().unwrap();
        let run = owner.run("welcome", id, &["done", "dead"]).await;
        assert_eq!(run["status"], "done");
        assert_eq!(run["attempts"], 1, "to wait is no attempt: {run}");
    }
}

#[tokio::test]
async fn waiting_runs_end_at_the_limit() {
    let database = cluster().database().await;
    let settings = || quotas(|defaults| defaults.jobs = Some(2));
    let idle = TestApp::metered(database.clone(), None, settings()).await;
    let (_, owner) = idle.owner_of("hospital").await;
    let (_, neighbour) = idle.owner_of("hospital").await;
    owner.create("patients", json!({"full_name": "a"})).await;
    let create = |name: &str| json!({"op": "create", "data": {"full_name": name}});
    let bulk = json!({"atomic": false, "operations": [create("b"), create("c")]});
    let bulk = owner
        .post(&format!("{PATIENTS}/bulk"), bulk)
        .await
        .expect(200);
    assert_eq!(bulk["results"][0]["status"], 201);
    assert_eq!(bulk["results"][1]["problem"]["quota"]["name"], "jobs");
    spent(&owner.post(PATIENTS, patient("d")).await, "jobs", 2);
    let by_hand = json!({"record_ids": [uuid::Uuid::now_v7()]});
    spent(
        &owner.post("workflows/welcome/start", by_hand).await,
        "jobs",
        2,
    );
    assert_eq!(usage(&owner, "jobs").await["used"], 2);
    // What starts nothing is written, and so is what others start.
    let doctor = json!({"full_name": "D", "specialty": "neurology"});
    owner.create("doctors", doctor).await;
    neighbour
        .create("patients", json!({"full_name": "n"}))
        .await;

    let busy = TestApp::metered(database, Some(eager_worker()), settings()).await;
    wait_until("the runs are done", || async {
        owner.post(PATIENTS, patient("e")).await.status == 201
    })
    .await;
    drop(busy);
}

#[tokio::test]
async fn an_import_waits_for_its_runs() {
    // Its runs wait themselves, so what they hold up stands still.
    let app = working(|defaults| (defaults.jobs, defaults.fuel) = (Some(1), Some(0))).await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let name = json!([{"key": "name", "label": "Name", "type": "text"}]);
    owner.module("things", name).await;
    let workflow = json!({
        "slug": "first", "name": "First", "module": "things",
        "trigger": {"on": "record_created"}, "condition": "after.name == 'Row 0'",
        "steps": [{"action": "field-set", "config": {"set": {"name": "'x'"}}}],
    });
    owner.post("workflows", workflow).await.expect(201);
    // More than one step writes.
    let all = crm_model::limits::IMPORT_STEP_MAX_ROWS as u64 + 10;
    let rows: String = (0..all).map(|row| format!("Row {row}\n")).collect();
    let uploaded = owner.upload("things", format!("name\n{rows}")).await;
    let import = format!("imports/{}", uploaded.expect(201)["id"].as_str().unwrap());
    let run = json!({"run_workflows": true});
    owner.post(&format!("{import}/run"), run).await.expect(202);
    wait_until("it waits after its first step", || async {
        let tasks = owner.get("tasks").await.expect(200);
        tasks["data"][0]["status"] == "queued" && count(&owner, "things").await > 0
    })
    .await;
    assert!(count(&owner, "things").await < all);
    assert_eq!(owner.get(&import).await.expect(200)["status"], "running");

    let admin = app.client(app.tenant("operator").await, SUPER_ADMIN);
    let more = json!({"fuel": "unlimited"});
    set(&admin, &tenant.to_string(), more).await.expect(200);
    wait_until("it goes on when they are done", || async {
        owner.get(&import).await.expect(200)["status"] == "done"
    })
    .await;
    assert_eq!(count(&owner, "things").await, all);
}

async fn set(admin: &Client, tenant: &str, quotas: Value) -> Answer {
    let body = json!({"quotas": quotas}).to_string();
    let acting = [("x-tenant-id", tenant)];
    admin
        .call(Method::PATCH, "usage", &acting, Some(body))
        .await
}

#[tokio::test]
async fn an_operator_sets_quotas_and_nobody_else() {
    let app = working(|defaults| defaults.records = Some(1)).await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let id = tenant.to_string();
    let home = app.tenant("operator").await;
    let admin = app.client(home, SUPER_ADMIN);
    owner.create("patients", json!({"full_name": "a"})).await;
    spent(&owner.post(PATIENTS, patient("b")).await, "records", 1);

    let more = json!({"quotas": {"records": 2}});
    for client in [&owner, &admin] {
        let refused = client.patch("usage", more.clone()).await;
        assert_eq!(refused.status, 403, "without entering: {}", refused.body);
    }
    assert_eq!(set(&owner, &id, json!({"records": 2})).await.status, 403);
    assert_eq!(app.client(tenant, "viewer").get("usage").await.status, 403);
    for bad in [
        json!({"record": 2}),
        json!({"records": -1}),
        json!({"records": "2"}),
        json!({"records": 1.5}),
    ] {
        assert_eq!(set(&admin, &id, bad.clone()).await.status, 422, "{bad}");
    }
    let given = set(&admin, &id, json!({"records": 2, "fuel": "unlimited"})).await;
    assert_eq!(given.expect(200)["data"][0]["limit"], 2);
    owner.post(PATIENTS, patient("b")).await.expect(201);
    spent(&owner.post(PATIENTS, patient("c")).await, "records", 2);

    let log = owner.get("audit?action=quotas.set").await.expect(200);
    let entry = &log["data"][0];
    assert_eq!(entry["before"], json!({}));
    assert_eq!(entry["after"], json!({"records": 2, "fuel": "unlimited"}));
    assert_eq!(entry["home_tenant"], home.to_string());

    let run = |arguments: &[&str]| {
        let mut command = crm();
        command
            .args(["tenant", "quota", "--tenant", &id])
            .args(arguments);
        let output = command.env("DATABASE_URL", app.database.url()).output();
        let output = output.unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}");
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = run(&["--records", "3", "--fuel", "default"]);
    assert_eq!(
        shown,
        "records           3\napi_calls         default\nfuel              default\n\
         jobs              default\nrunning           default\n\
         component_bytes   default\ninterpreter_bytes default\n"
    );
    wait_until("the server finds out", || async {
        owner.post(PATIENTS, patient("c")).await.status == 201
    })
    .await;
    let log = owner.get("audit?action=quotas.set").await.expect(200);
    assert_eq!(log["data"][0]["actor"], "crm-operator");
    assert_eq!(log["data"][0]["after"], json!({"records": 3}));
    assert_eq!(run(&["--json"]), "{\"records\":3}\n");
}

#[tokio::test]
async fn the_runtimes_role_reads_quotas_and_sets_none() {
    let app = working(|_| ()).await;
    let (tenant, _) = app.owner_of("hospital").await;
    let mut runtime = PgConnection::connect_with(&app.database.runtime())
        .await
        .unwrap();
    for statement in [
        "insert into crm_quotas values ($1, 'records', 1, now(), 'x')",
        "insert into crm_plans values ($1, 'x', '{}', now(), 'x')",
        "delete from crm_plans where tenant_id = $1",
        "update crm_quotas set amount = 1 where tenant_id = $1",
        "delete from crm_quotas where tenant_id = $1",
        "delete from crm_deferrals where tenant_id = $1",
    ] {
        let mut transaction = runtime.begin().await.unwrap();
        sqlx::query("select crm_tenant_begin($1)")
            .bind(tenant.uuid())
            .execute(&mut *transaction)
            .await
            .unwrap();
        let refused = sqlx::query(statement)
            .bind(tenant.uuid())
            .execute(&mut *transaction)
            .await
            .unwrap_err();
        let code = refused.as_database_error().unwrap().code();
        assert_eq!(code.as_deref(), Some("42501"), "{statement}: {refused}");
    }
}
