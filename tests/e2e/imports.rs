//! CSV import: what is proposed, what is refused and where, what is written, and that a run goes
//! on where another ended.

use crm_engine::tasks::TaskSettings;
use crm_tests::app::{TestApp, eager_tasks};
use crm_tests::client::{Client, wait_until};
use crm_tests::cluster::cluster;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const DIAMONDS: &str = include_str!("../../templates/jewellery/sample/diamonds.csv");

/// The sample with a stock number for each stone.
fn diamonds(rows: usize) -> String {
    let mut lines = DIAMONDS.lines();
    let mut text = format!("sku,{}\n", lines.next().unwrap());
    for (number, line) in lines.cycle().take(rows).enumerate() {
        text.push_str(&format!("D-{number:05},{line}\n"));
    }
    text
}

async fn uploaded(client: &Client, module: &str, file: impl Into<Vec<u8>>) -> Value {
    client.upload(module, file).await.expect(201)
}

fn id(import: &Value) -> &str {
    import["id"].as_str().unwrap()
}

async fn total(client: &Client, module: &str) -> Value {
    let path = format!("records/{module}?limit=1&include=total");
    client.get(&path).await.expect(200)["total"]["value"].clone()
}

/// Row, column and code of each error.
fn errors(import: &Value) -> Vec<(u64, Value, String)> {
    let errors = import["errors"].as_array().unwrap();
    errors
        .iter()
        .map(|error| {
            let code = error["code"].as_str().unwrap().to_owned();
            (
                error["row"].as_u64().unwrap(),
                error["column"].clone(),
                code,
            )
        })
        .collect()
}

#[tokio::test]
async fn an_upload_proposes_what_columns_are_for() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let import = uploaded(&owner, "items", diamonds(1000)).await;
    assert_eq!(import["status"], "uploaded");
    assert_eq!(import["rows"], 1000);
    assert_eq!(import["delimiter"], ",");
    let columns = import["columns"].as_array().unwrap();
    let column = |name: &str| {
        let mut columns = columns.iter();
        let found = columns.find(|column| column["name"] == name).unwrap();
        (found["field"].clone(), found["inferred_type"].clone())
    };
    assert_eq!(column("sku"), (json!("sku"), json!("text")));
    assert_eq!(column("carat"), (json!("carat"), json!("decimal")));
    assert_eq!(column("price"), (json!("price"), json!("integer")));
    assert_eq!(column("x"), (json!(null), json!("decimal")));
    assert_eq!(columns[1]["sample"].as_array().unwrap().len(), 5);
    let path = format!("imports/{}", id(&import));
    assert_eq!(owner.get(&path).await.expect(200), import);
    let listed = owner.get("imports").await.expect(200);
    assert_eq!(listed["data"], json!([import]));
    assert_eq!(total(&owner, "items").await, 0, "nothing is written yet");
}

#[tokio::test]
async fn a_dry_run_names_rows_and_cells_and_writes_nothing() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let file = "sku;carat;cut;price;made\n\
        A-1;0,5;very good;12.50 USD;x\n\
        A-2;heavy;Unique;7;x\n\
        ;0.5;Ideal;1 USD;x\n\
        A-4;0.5;Ideal;1 USD;x;more\n";
    let import = uploaded(&owner, "items", file).await;
    assert_eq!(import["delimiter"], ";");
    let done = owner.import(id(&import), json!({"dry_run": true})).await;
    assert_eq!(done["status"], "done");
    assert_eq!(done["dry_run"], true);
    assert_eq!(
        done["progress"],
        json!({"rows": 4, "total": 4, "created": 1, "updated": 0, "failed": 3})
    );
    let found = errors(&done);
    let expected = [
        (2, json!("carat"), "type"),
        (2, json!("cut"), "enum"),
        (2, json!("price"), "required"),
        (3, json!("sku"), "required"),
        (4, json!(null), "cells"),
    ];
    let expected = expected.map(|(row, column, code)| (row, column, code.to_owned()));
    assert_eq!(found, expected);
    assert_eq!(done["error_count"], 5);
    assert_eq!(total(&owner, "items").await, 0);

    // The same file can be run for good after it.
    let done = owner
        .import(id(&import), json!({"run_workflows": false}))
        .await;
    assert_eq!(done["progress"]["created"], 1);
    assert_eq!(done["progress"]["failed"], 3);
    let item = &owner.get("records/items").await.expect(200)["data"][0]["data"];
    assert_eq!(item["carat"], "0.5");
    assert_eq!(item["cut"], "Very Good", "found by its label");
    assert_eq!(item["price"], json!({"amount": "12.50", "currency": "USD"}));
    assert_eq!(item["status"], "in_stock", "the field's default");
    let again = owner
        .post(&format!("imports/{}/run", id(&import)), json!({}))
        .await;
    assert_eq!(again.status, 409, "rows are not written twice");
}

#[tokio::test]
async fn rows_become_records_with_or_without_workflows() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let import = uploaded(&owner, "items", diamonds(1500)).await;
    let run = json!({"default_currency": "USD", "run_workflows": false});
    let done = owner.import(id(&import), run).await;
    assert_eq!(done["status"], "done", "{done}");
    assert_eq!(
        done["progress"],
        json!({"rows": 1500, "total": 1500, "created": 1500, "updated": 0, "failed": 0})
    );
    assert_eq!(done["errors"], json!([]));
    assert_eq!(total(&owner, "items").await, 1500);
    assert_eq!(owner.get("runs").await.expect(200)["data"], json!([]));
    let record = &owner.get("records/items?limit=1").await.expect(200)["data"][0];
    assert_eq!(record["data"]["price"]["currency"], "USD");
    assert_eq!(record["created_by"], "owner-1");
    let path = format!("records/items/{}/history", record["id"].as_str().unwrap());
    let history = owner.get(&path).await.expect(200);
    assert_eq!(
        history["data"][0]["cause"],
        json!({"kind": "import", "import": id(&import)})
    );

    let others = diamonds(3).replace("D-", "E-");
    let import = uploaded(&owner, "items", others).await;
    owner
        .import(id(&import), json!({"default_currency": "USD"}))
        .await;
    wait_until("the workflow has run for each", || async {
        let runs = owner.get("runs?status=done").await.expect(200);
        runs["data"].as_array().unwrap().len() == 3
    })
    .await;
}

#[tokio::test]
async fn a_key_says_which_records_are_updated() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let code = json!({"key": "code", "label": "Code", "type": "text", "unique": true});
    owner
        .post("modules/customers/fields", code)
        .await
        .expect(201);
    let first = uploaded(
        &owner,
        "customers",
        "Code,Name,notes\nA,Ada,first\nB,Bob,\n",
    )
    .await;
    assert_eq!(
        first["columns"][1]["field"], "full_name",
        "found by its label"
    );
    let wrong = owner
        .post(
            &format!("imports/{}/run", id(&first)),
            json!({"upsert_key": "full_name"}),
        )
        .await;
    assert_eq!(wrong.status, 422);
    assert_eq!(
        wrong.violations(),
        [("/upsert_key".to_owned(), "not_unique".to_owned())]
    );
    let run = json!({"upsert_key": "code"});
    let done = owner.import(id(&first), run.clone()).await;
    assert_eq!(done["progress"]["created"], 2, "{done}");

    let file = "code,full_name,notes\nA,Ada Lovelace,\nC,Cy,\n,Nobody,\nC,Cyrus,\n";
    let second = uploaded(&owner, "customers", file).await;
    let done = owner.import(id(&second), run).await;
    assert_eq!(
        done["progress"],
        json!({"rows": 4, "total": 4, "created": 1, "updated": 2, "failed": 1})
    );
    assert_eq!(errors(&done), [(3, json!("code"), "required".to_owned())]);
    let customers = owner.get("records/customers").await.expect(200);
    let named = |code: &str| {
        let customers = customers["data"].as_array().unwrap().iter();
        let mut found = customers.filter(|customer| customer["data"]["code"] == code);
        let one = found.next().unwrap()["data"].clone();
        assert_eq!(found.next(), None);
        one
    };
    assert_eq!(named("A")["full_name"], "Ada Lovelace");
    assert_eq!(named("A")["notes"], "first", "a blank cell changes nothing");
    assert_eq!(
        named("C")["full_name"],
        "Cyrus",
        "the later row of a record counts"
    );
    assert_eq!(total(&owner, "customers").await, 3);
}

#[tokio::test]
async fn a_run_that_must_not_skip_stops_before_the_first_refused_row() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let import = uploaded(&owner, "customers", "full_name,email\nAda,\nBob,nowhere\n").await;
    let done = owner
        .import(id(&import), json!({"on_error": "abort"}))
        .await;
    assert_eq!(done["status"], "failed");
    assert_eq!(
        done["error"],
        "stopped at row 2, “email”: is not an e-mail address"
    );
    assert_eq!(errors(&done), [(2, json!("email"), "format".to_owned())]);
    assert_eq!(total(&owner, "customers").await, 0);
}

#[tokio::test]
async fn what_a_dead_runner_began_another_ends() {
    const ROWS: usize = 3500;
    let app = TestApp::on(cluster().database().await, None).await;
    let (_, owner) = app.owner_of("jewellery").await;
    let mut file = "full_name\n".to_owned();
    for row in 0..ROWS {
        file.push_str(&format!("Customer {row}\n"));
    }
    let import = uploaded(&owner, "customers", file).await;
    let path = format!("imports/{}", id(&import));
    let running = owner
        .post(&format!("{path}/run"), json!({}))
        .await
        .expect(202);
    assert_eq!(running["status"], "running");
    let rows = || async { owner.get(&path).await.expect(200)["progress"]["rows"].as_u64() };

    let short = TaskSettings {
        lease: Duration::from_millis(300),
        ..eager_tasks()
    };
    let start = || {
        let engine = app.engine.clone();
        tokio::spawn(async move { engine.work_tasks(short, CancellationToken::new()).await })
    };
    let first = start();
    wait_until("the first runner has done a step", || async {
        rows().await > Some(0)
    })
    .await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let left = rows().await.unwrap();
    assert!(
        left < ROWS as u64,
        "the first runner was stopped in the middle"
    );
    let second = start();
    wait_until("the second runner is done", || async {
        owner.get(&path).await.expect(200)["status"] == "done"
    })
    .await;
    second.abort();
    let done = owner.get(&path).await.expect(200);
    assert_eq!(done["progress"]["rows"], ROWS);
    assert_eq!(done["progress"]["created"], ROWS);
    assert_eq!(
        total(&owner, "customers").await,
        ROWS,
        "no row twice, none lost"
    );
}

#[tokio::test]
async fn a_cancelled_run_does_nothing_more() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (_, owner) = app.owner_of("jewellery").await;
    let import = uploaded(&owner, "items", diamonds(10)).await;
    let path = format!("imports/{}", id(&import));
    let run = json!({"default_currency": "USD"});
    let running = owner
        .post(&format!("{path}/run"), run.clone())
        .await
        .expect(202);
    let twice = owner.post(&format!("{path}/run"), run.clone()).await;
    assert_eq!(twice.status, 409, "one run at a time");
    let task = format!("tasks/{}", running["task_id"].as_str().unwrap());
    let waiting = owner.get(&task).await.expect(200);
    assert_eq!(waiting["kind"], "import");
    assert_eq!(waiting["status"], "queued");
    let cancelled = owner
        .post(&format!("{task}/cancel"), json!({}))
        .await
        .expect(200);
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(owner.get(&path).await.expect(200)["status"], "cancelled");

    let stop = CancellationToken::new();
    let working = tokio::spawn({
        let (engine, stop) = (app.engine.clone(), stop.clone());
        async move { engine.work_tasks(eager_tasks(), stop).await }
    });
    // The next run comes to its end; the cancelled one never began.
    let done = owner.import(id(&import), run).await;
    assert_eq!(done["status"], "done");
    assert_eq!(total(&owner, "items").await, 10);
    let task = format!("tasks/{}/cancel", done["task_id"].as_str().unwrap());
    assert_eq!(owner.post(&task, json!({})).await.status, 409, "it is done");
    let tasks = owner.get("tasks").await.expect(200);
    let statuses: Vec<_> = tasks["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| &task["status"])
        .collect();
    assert_eq!(statuses, ["done", "cancelled"]);
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), working)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn imports_of_others_do_not_exist() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (tenant, owner) = app.owner_of("jewellery").await;
    let (_, mallory) = app.owner_of("jewellery").await;
    let import = uploaded(&owner, "items", diamonds(3)).await;
    let path = format!("imports/{}", id(&import));
    let running = owner
        .post(&format!("{path}/run"), json!({}))
        .await
        .expect(202);
    let task = format!("tasks/{}", running["task_id"].as_str().unwrap());
    for caller in [mallory, app.client(tenant, "manager")] {
        for (method, path) in [
            (Method::GET, path.clone()),
            (Method::POST, format!("{path}/run")),
            (Method::GET, task.clone()),
            (Method::POST, format!("{task}/cancel")),
        ] {
            let body = (method == Method::POST).then(|| "{}".to_owned());
            let answer = caller.call(method.clone(), &path, &[], body).await;
            assert_eq!(answer.status, 404, "{method} {path}");
        }
        for path in ["imports", "tasks"] {
            assert_eq!(caller.get(path).await.expect(200)["data"], json!([]));
        }
    }
    let admin = app.client(tenant, "admin");
    admin.get(&path).await.expect(200);
    let agent = app.client(tenant, "agent");
    assert_eq!(
        agent.upload("items", diamonds(3)).await.status,
        403,
        "may not create items"
    );
    assert_eq!(
        app.client(tenant, "viewer")
            .upload("items", "a\n1\n")
            .await
            .status,
        403
    );
    assert_eq!(owner.upload("nowhere", "a\n1\n").await.status, 404);
    let listed = owner.get("imports").await.expect(200);
    assert_eq!(
        listed["data"].as_array().unwrap().len(),
        1,
        "refused uploads leave nothing"
    );
}

#[tokio::test]
async fn files_that_are_none_are_refused_clearly() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let utf16: Vec<u8> = "\u{feff}sku\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (file, code) in [
        (Vec::new(), "empty"),
        (b"sku,carat\n".to_vec(), "empty"),
        (b"sku,sku\n1,2\n".to_vec(), "header"),
        (utf16, "encoding"),
        (b"sku,name\n1,J\xfcrgen\n".to_vec(), "encoding"),
        (b"sku\n1\0\n".to_vec(), "encoding"),
        (b"sku,name\n1,\"open\n".to_vec(), "rows"),
        (
            format!("{}\n1\n", "x,".repeat(500)).into_bytes(),
            "max_columns",
        ),
    ] {
        let shown = String::from_utf8_lossy(&file[..file.len().min(20)]).into_owned();
        let answer = owner.upload("items", file).await;
        assert_eq!(answer.status, 422, "{shown}: {}", answer.body);
        assert_eq!(
            answer.violations(),
            [("/file".to_owned(), code.to_owned())],
            "{shown}"
        );
    }
    for options in [
        json!({"delimiter": "x"}),
        json!({"delimiter": ",,"}),
        json!({"quote": "'"}),
    ] {
        let answer = owner.upload_with("items", options, "sku\n1\n").await;
        assert_eq!(answer.status, 422, "{}", answer.body);
    }
    let json = owner.post("imports", json!({})).await;
    assert_eq!(json.status, 415);
    let long = format!("sku\n{}", "x".repeat((1 << 20) + 1));
    assert_eq!(owner.upload("items", long).await.violations()[0].1, "rows");
    assert_eq!(owner.get("imports").await.expect(200)["data"], json!([]));

    let marked = uploaded(&owner, "items", "\u{feff}sku,carat\r\nA,1\r\n").await;
    assert_eq!(
        marked["columns"][0]["name"], "sku",
        "a byte order mark is no letter"
    );
    let mapped = owner
        .post(
            &format!("imports/{}/run", id(&marked)),
            json!({"mapping": {"sku": "nowhere", "x": "sku"}}),
        )
        .await;
    assert_eq!(mapped.status, 422);
    let expected = [
        ("/mapping/sku", "unknown_field"),
        ("/mapping/x", "unknown_column"),
    ];
    let expected = expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned()));
    assert_eq!(mapped.violations(), expected);
}

#[tokio::test]
async fn a_delimiter_that_is_told_is_not_guessed() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let file = "a;b,c;d\n1;2,3;4\n";
    let told = owner
        .upload_with("items", json!({"delimiter": ","}), file)
        .await;
    assert_eq!(told.expect(201)["columns"][0]["name"], "a;b");
    let found = uploaded(&owner, "items", file).await;
    assert_eq!(found["columns"][1]["name"], "b,c");
}

#[tokio::test]
async fn a_file_of_one_byte_too_many_is_refused() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let most = usize::try_from(crm_model::limits::IMPORT_FILE_MAX_BYTES).unwrap();
    let mut file = b"sku\n".to_vec();
    file.resize(most + 1, b'\n');
    let answer = owner.upload("items", file).await;
    assert_eq!(answer.status, 413, "{}", answer.body);
    assert_eq!(owner.get("imports").await.expect(200)["data"], json!([]));
}

#[tokio::test]
async fn small_imports_do_not_wait_for_the_end_of_big_ones() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (_, big) = app.owner_of("jewellery").await;
    let (_, small) = app.owner_of("jewellery").await;
    let run = json!({"default_currency": "USD", "dry_run": true});
    let mut tasks = Vec::new();
    for (client, rows) in [(&big, 3000), (&small, 10)] {
        let import = uploaded(client, "items", diamonds(rows)).await;
        let path = format!("imports/{}/run", id(&import));
        let running = client.post(&path, run.clone()).await.expect(202);
        tasks.push(format!("tasks/{}", running["task_id"].as_str().unwrap()));
    }
    let settings = TaskSettings {
        concurrent: 1,
        turn: Duration::ZERO,
        ..eager_tasks()
    };
    let engine = app.engine.clone();
    tokio::spawn(async move { engine.work_tasks(settings, CancellationToken::new()).await });
    wait_until("the big one is done", || async {
        big.get(&tasks[0]).await.expect(200)["status"] == "done"
    })
    .await;
    let (big, small) = (
        big.get(&tasks[0]).await.body,
        small.get(&tasks[1]).await.body,
    );
    assert_eq!(small["status"], "done");
    let finished = |task: &Value| task["finished_at"].as_str().unwrap().to_owned();
    assert!(finished(&small) < finished(&big), "{small} {big}");
}

#[tokio::test]
async fn a_file_of_several_chunks_is_read_whole() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let mut file = "full_name,notes\n".to_owned();
    for row in 0..700 {
        // Chunks end in the middle of rows and of characters.
        file.push_str(&format!(
            "Customer {row},\"{}\n{row}\"\n",
            "ü€".repeat(2000)
        ));
    }
    assert!(file.len() > 6 << 20);
    let import = uploaded(&owner, "customers", file).await;
    assert_eq!(import["rows"], 700);
    let done = owner.import(id(&import), json!({})).await;
    assert_eq!(done["progress"]["created"], 700, "{done}");
    let last = &owner.get("records/customers?limit=1").await.expect(200)["data"][0]["data"];
    assert_eq!(last["notes"], format!("{}\n699", "ü€".repeat(2000)));
}

#[tokio::test]
async fn the_command_line_imports_and_exports() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (tenant, owner) = app.owner_of("jewellery").await;
    let directory = tempfile::tempdir().unwrap();
    let (file, copy) = (
        directory.path().join("in.csv"),
        directory.path().join("out.csv"),
    );
    std::fs::write(&file, diamonds(40)).unwrap();
    let (url, tenant) = (app.database.url(), tenant.to_string());
    let crm = |arguments: &[&str]| {
        let mut command = crate::command::crm();
        command.args(arguments).env("DATABASE_URL", &url);
        command.output().unwrap()
    };
    let (file, copy) = (file.to_str().unwrap(), copy.to_str().unwrap());
    let import = [
        "import", file, "--tenant", &tenant, "--module", "items", "--json",
    ];
    let refused = crm(&import);
    assert_eq!(refused.status.code(), Some(1), "prices without a currency");
    let said: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!((&said["created"], &said["failed"]), (&json!(0), &json!(40)));

    let done = crm(&[&import[..], &["--default-currency", "USD"]].concat());
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let said: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(said["created"], 40);
    assert_eq!(total(&owner, "items").await, 40);

    let export = [
        "export",
        "--tenant",
        &tenant,
        "--module",
        "items",
        "--fields",
        "sku,price",
    ];
    let done = crm(&[&export[..], &["--output", copy]].concat());
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let written = std::fs::read_to_string(copy).unwrap();
    assert_eq!(written.lines().count(), 41);
    assert!(
        written.starts_with("sku,price.amount,price.currency\n"),
        "{written}"
    );
    let shown = crm(&export);
    assert_eq!(String::from_utf8_lossy(&shown.stdout), written);
    let wrong = crm(&["export", "--tenant", &tenant, "--module", "nowhere"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert_eq!(wrong.stdout, b"");
}

#[tokio::test]
async fn a_run_that_is_asked_for_twice_under_one_key_runs_once() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let import = uploaded(&owner, "customers", "full_name\nAda\nBob\n").await;
    let path = format!("imports/{}/run", id(&import));
    let first = owner.post_once(&path, "run-1", json!({})).await;
    assert_eq!(first.status, 202, "{}", first.body);
    let again = owner.post_once(&path, "run-1", json!({})).await;
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    owner.tasks_end().await;
    assert_eq!(total(&owner, "customers").await, 2);
}

#[tokio::test]
async fn rows_that_one_may_no_longer_write_are_named() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (_, owner) = app.owner_of("jewellery").await;
    let import = uploaded(&owner, "customers", "full_name\nAda\nBob\n").await;
    let path = format!("imports/{}", id(&import));
    owner
        .post(&format!("{path}/run"), json!({}))
        .await
        .expect(202);
    // Nobody asks a login again while a run is under way; the roles are those of its beginning.
    let mut database = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let demoted = "update crm_tasks set spec = jsonb_set(spec, '{actor,roles}', '[\"viewer\"]')";
    let demoted = sqlx::query(demoted).execute(&mut database).await.unwrap();
    assert_eq!(demoted.rows_affected(), 1);

    let stop = CancellationToken::new();
    let working = tokio::spawn({
        let (engine, stop) = (app.engine.clone(), stop.clone());
        async move { engine.work_tasks(eager_tasks(), stop).await }
    });
    owner.tasks_end().await;
    let ended = owner.get(&path).await.expect(200);
    assert_eq!(ended["status"], "failed", "{ended}");
    assert_eq!(ended["progress"]["failed"], 2);
    let forbidden = |row| (row, json!(null), "forbidden".to_owned());
    assert_eq!(errors(&ended), [forbidden(1), forbidden(2)]);
    let message = ended["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("may not create"), "{message}");
    assert_eq!(ended["error"], message);
    assert_eq!(total(&owner, "customers").await, 0);
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), working)
        .await
        .unwrap()
        .unwrap();
}
