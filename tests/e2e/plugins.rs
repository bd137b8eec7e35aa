//! Plugins of a tenant: known beforehand, installed, changed, tried out, switched off, removed.

use crm_engine::QuotaSettings;
use crm_model::limits::BREAKER_MAX_FAILURES;
use crm_model::limits::{
    COMPONENT_MAX_BYTES, COMPONENT_UPLOADS_MAX_CONCURRENT, INTERPRETER_MAX_BYTES,
    INTERPRETER_MEMORY_MAX_BYTES,
};
use crm_store::admin::Admin;
use crm_tests::app::TestApp;
use crm_tests::client::Client;
use crm_tests::cluster::cluster;
use crm_tests::guests::{changed, component, own, padded, renamed};
use reqwest::multipart::Form;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const READS: &str = "patients(full_name, phone)";

fn grants() -> Value {
    json!({ "reads": [READS], "writes": ["patients(update; welcome_note)"], "state": true })
}

/// A workflow that starts the plugin on new patients.
async fn workflow(owner: &Client, slug: &str, plugin: &str, config: Value) {
    let body = json!({
        "slug": slug, "name": slug, "module": "patients",
        "trigger": { "on": "record_created" },
        "steps": [{ "action": plugin, "config": config }],
    });
    owner.post("workflows", body).await.expect(201);
}

#[tokio::test]
async fn a_tenant_brings_a_plugin_along_and_it_runs() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let parts = [
        ("grants", grants().to_string()),
        ("config", json!({ "limit": 3 }).to_string()),
    ];
    let installed = owner.install(&own("greeter"), &parts).await.expect(201);
    assert_eq!(installed["name"], "greeter");
    assert_eq!(installed["own"], true);
    assert_eq!(installed["grants"]["reads"], json!([READS]));
    let imports = installed["imports"].as_array().unwrap();
    assert!(
        imports.contains(&json!("crm:plugin/state@1.0.0")),
        "{imports:?}"
    );
    assert_eq!(
        installed["capabilities"]["writes"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    workflow(&owner, "ask", "greeter", json!({ "ask": ["config"] })).await;
    let patient = owner
        .create("patients", json!({ "full_name": "Ada" }))
        .await;
    let run = owner.run("ask", &patient, &["done", "dead"]).await;
    // The guest writes into `note`, which is no field of patients: it ran, with its settings.
    assert_eq!(run["log"][0]["steps"][0]["action"], "greeter", "{run}");
    let detail = owner.get("plugins/greeter").await.expect(200);
    assert_eq!(detail["workflows"], json!(["ask"]));
    let calls = detail["last_day"]["calls"].as_object().unwrap();
    assert!(
        calls.values().any(|count| count.as_i64() > Some(0)),
        "{detail}"
    );

    // Nobody else has it, and only who manages everything sees it.
    let (_, neighbour) = app.owner_of("hospital").await;
    neighbour.get("plugins/greeter").await.expect(404);
    let known = Form::new().text("name", "greeter");
    neighbour
        .send_form("plugins", None, known)
        .await
        .expect(422);
    app.client(tenant, "agent").get("plugins").await.expect(403);

    let conflict = owner.delete("plugins/greeter").await.expect(409);
    assert!(
        conflict["detail"].as_str().unwrap().contains("in use"),
        "{conflict}"
    );
    let audit = owner.get("audit?action=plugin.installed").await.expect(200);
    assert_eq!(audit["data"].as_array().unwrap().len(), 1, "{audit}");
}

#[tokio::test]
async fn what_cannot_be_installed_is_refused_and_leaves_nothing() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let before = owner.get("plugins").await.expect(200);
    let bytes = own("greeter");
    let mut truncated = bytes.clone();
    truncated.truncate(bytes.len() / 2);
    for (component, parts, status) in [
        (truncated, vec![], 422),
        (b"no component".to_vec(), vec![], 422),
        (component("hospital").to_vec(), vec![], 409),
        (renamed("asks", component("asks"), "9.9.9"), vec![], 409),
        (
            bytes.clone(),
            vec![("grants", "{\"reads\":[\"patients\"]}".to_owned())],
            422,
        ),
        (bytes.clone(), vec![("grants", "{".to_owned())], 422),
        (bytes.clone(), vec![("config", "[]".to_owned())], 422),
        (bytes.clone(), vec![("name", "greeter".to_owned())], 422),
        (bytes.clone(), vec![("colour", "red".to_owned())], 422),
        (vec![0; 30 << 20], vec![], 413),
    ] {
        let refused = owner.install(&component, &parts).await;
        assert_eq!(
            refused.status.as_u16(),
            status,
            "{parts:?}: {}",
            refused.body
        );
    }
    owner
        .send_form("plugins", None, Form::new())
        .await
        .expect(400);
    owner.post("plugins", json!({})).await.expect(415);
    assert_eq!(owner.get("plugins").await.expect(200), before);
}

#[tokio::test]
async fn the_same_install_twice_is_one() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let form = |component: Vec<u8>| {
        let part = reqwest::multipart::Part::bytes(component).file_name("plugin.wasm");
        Form::new().part("component", part)
    };
    let first = owner
        .send_form("plugins", Some("k1"), form(own("greeter")))
        .await;
    let again = owner
        .send_form("plugins", Some("k1"), form(own("greeter")))
        .await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(first.expect(201), again.expect(201));
    owner
        .send_form("plugins", Some("k1"), form(own("other")))
        .await
        .expect(422);
    owner
        .send_form("plugins", None, form(own("greeter")))
        .await
        .expect(409);
    owner.delete("plugins/greeter").await;
    // The version is known by now: another build of it is another version.
    let other = renamed("greeter", component("misbehave"), "1.0.0");
    owner
        .send_form("plugins", None, form(other))
        .await
        .expect(409);
    let known = Form::new().text("name", "greeter");
    owner.send_form("plugins", None, known).await.expect(201);
}

#[tokio::test]
async fn versions_grants_and_the_switch_change_at_once() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    owner
        .install(&own("greeter"), &[("grants", grants().to_string())])
        .await
        .expect(201);
    owner.delete("plugins/greeter").await;
    let newer = renamed("greeter", component("asks"), "1.1.0");
    owner
        .install(&newer, &[("grants", grants().to_string())])
        .await
        .expect(201);
    let older = json!({ "version": "1.0.0", "config": { "a": 1 } });
    let changed = owner.patch("plugins/greeter", older).await.expect(200);
    assert_eq!(changed["version"], "1.0.0");
    assert_eq!(changed["newer_versions"], json!(["1.1.0"]));
    assert_eq!(changed["config"], json!({ "a": 1 }));
    owner
        .patch("plugins/greeter", json!({ "version": "2.0.0" }))
        .await
        .expect(422);
    owner
        .patch("plugins/nobody", json!({ "enabled": false }))
        .await
        .expect(404);

    workflow(
        &owner,
        "ask",
        "greeter",
        json!({ "ask": [{ "state": "x" }] }),
    )
    .await;
    owner
        .patch("plugins/greeter", json!({ "enabled": false }))
        .await
        .expect(200);
    let patient = owner
        .create("patients", json!({ "full_name": "Ada" }))
        .await;
    crm_tests::client::wait_until("the run waits", || async {
        let runs = owner
            .get(&format!("runs?workflow=ask&record_id={patient}"))
            .await
            .expect(200);
        let error = runs["data"][0]["error"].as_str().unwrap_or_default();
        error.contains("is switched off")
    })
    .await;
    let runs = owner
        .get("runs?workflow=ask&status=queued")
        .await
        .expect(200);
    assert_eq!(
        runs["data"][0]["attempts"], 0,
        "an attempt that was not made does not count"
    );
}

#[tokio::test]
async fn a_preview_does_nothing_and_says_all() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let patient = owner
        .create("patients", json!({ "full_name": "Ada" }))
        .await;
    let welcomed = owner.run("welcome", &patient, &["done"]).await;
    assert_eq!(welcomed["status"], "done");
    let path = format!("records/patients/{patient}");
    let before = owner.get(&path).await.expect(200);

    let config = json!({ "set": { "welcome_note": "'Hello, ' + after.full_name" } });
    let ask = json!({ "module": "patients", "record_id": patient, "config": config });
    let preview = owner
        .post("plugins/field-set/preview", ask)
        .await
        .expect(200);
    let run = &preview["runs"][0];
    assert_eq!(run["outcome"], "done", "{preview}");
    assert_eq!(run["changes"][0]["after"]["welcome_note"], "Hello, Ada");
    assert!(run["fuel"].as_u64() > Some(0));
    assert_eq!(
        owner.get(&path).await.expect(200),
        before,
        "nothing was written"
    );

    // What the door would refuse is told with its reason.
    let config = json!({ "set": { "full_name": "'x'" } });
    let ask = json!({ "module": "patients", "record_id": patient, "config": config });
    let refused = owner
        .post("plugins/field-set/preview", ask)
        .await
        .expect(200);
    assert_eq!(refused["runs"][0]["outcome"], "refused", "{refused}");
    let violations = &refused["runs"][0]["changes"][0]["violations"];
    assert_eq!(violations[0]["pointer"], "/data/full_name", "{refused}");

    let last = json!({ "module": "patients", "last": 5 });
    let events = owner
        .post("plugins/field-set/preview", last)
        .await
        .expect(200);
    assert!(!events["runs"].as_array().unwrap().is_empty());
    for (wrong, status) in [
        (json!({ "module": "patients" }), 422),
        (json!({ "module": "patients", "last": 51 }), 422),
        (json!({ "module": "patients", "last": 0 }), 422),
        (json!({ "module": "nowhere", "last": 1 }), 404),
        (
            json!({ "module": "patients", "last": 1, "version": "9.9.9" }),
            422,
        ),
        (
            json!({ "module": "patients", "last": 1, "kind": "called" }),
            422,
        ),
    ] {
        owner
            .post("plugins/field-set/preview", wrong)
            .await
            .expect(status);
    }
    owner
        .post(
            "plugins/nobody/preview",
            json!({ "module": "patients", "last": 1 }),
        )
        .await
        .expect(404);
}

#[tokio::test]
async fn an_upgrade_shows_what_it_would_change() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let parts = [("grants", grants().to_string())];
    // The newer version is other code: it wants another configuration, and fails on this one.
    let newer = renamed("greeter", component("misbehave"), "1.1.0");
    owner.install(&newer, &parts).await.expect(201);
    owner.delete("plugins/greeter").await;
    owner.install(&own("greeter"), &parts).await.expect(201);
    owner
        .create("patients", json!({ "full_name": "Ada" }))
        .await;
    let ask = json!({
        "module": "patients", "last": 1, "version": "1.1.0",
        "config": { "ask": [{ "state": "x" }], "how": "give_up" },
    });
    let preview = owner.post("plugins/greeter/preview", ask).await.expect(200);
    assert_eq!(preview["version"], "1.1.0");
    assert_eq!(preview["installed"]["version"], "1.0.0");
    assert_eq!(preview["runs"][0]["outcome"], "fail", "{preview}");
    let difference = &preview["installed"]["differences"][0];
    let in_what = difference["in_what"].as_array().unwrap();
    assert!(in_what.contains(&json!("outcome")), "{preview}");
}

#[tokio::test]
async fn plugins_that_write_the_same_field_are_reported() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    let grants = json!({ "writes": ["victims(update; note)"] });
    let parts = [("grants", grants.to_string())];
    let installed = owner.install(&own("second"), &parts).await.expect(201);
    let conflicts = installed["conflicts"].as_array().unwrap();
    let asks = json!({ "plugin": "asks", "module": "victims", "field": "note" });
    assert!(conflicts.contains(&asks), "{conflicts:?}");
}

/// The tenant's own plugin traps each time: after so many runs it is left alone, and what it
/// would do waits.
#[tokio::test]
async fn a_plugin_that_always_traps_is_left_alone() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let bad = renamed("bad", component("misbehave"), "1.0.0");
    owner.install(&bad, &[]).await.expect(201);
    workflow(&owner, "trap", "bad", json!({ "how": "trap" })).await;
    for _ in 0..BREAKER_MAX_FAILURES {
        let patient = owner
            .create("patients", json!({ "full_name": "Ada" }))
            .await;
        let run = owner.run("trap", &patient, &["dead"]).await;
        assert_eq!(run["log"][0]["steps"][0]["status"], "trapped", "{run}");
    }
    let breaker = owner.get("plugins/bad").await.expect(200)["breaker"].clone();
    assert_eq!(breaker["state"], "open", "{breaker}");
    let patient = owner
        .create("patients", json!({ "full_name": "Ada" }))
        .await;
    crm_tests::client::wait_until("the run waits", || async {
        let path = format!("runs?workflow=trap&record_id={patient}");
        let runs = owner.get(&path).await.expect(200);
        let error = runs["data"][0]["error"].as_str().unwrap_or_default();
        runs["data"][0]["status"] == "queued" && error.contains("is left alone")
    })
    .await;
    let metrics = app.anonymous().get("/metrics").await.expect(200);
    let metrics = metrics.as_str().unwrap();
    // Whose it is nobody reads there, unless the operator says so.
    let pair = "plugin=\"bad\",tenant=\"other\"";
    for series in [
        format!("crm_plugin_runs_total{{{pair},outcome=\"trapped\"}}"),
        format!("crm_plugin_deferred_total{{{pair},reason=\"left_alone\"}}"),
        format!("crm_plugin_run_seconds{{{pair},quantile=\"0.99\"}}"),
        format!("crm_plugin_fuel_total{{{pair}}}"),
    ] {
        assert!(metrics.contains(&series), "{series}: {metrics}");
    }
    // Others go on.
    let good = owner.run("welcome", &patient, &["done", "dead"]).await;
    assert_eq!(good["status"], "done");
}

/// Whoever runs the installation stops a version, on every instance.
#[tokio::test]
async fn a_version_that_was_stopped_runs_nowhere() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let mut admin = Admin::connect(&app.database.owner()).await.unwrap();
    let version = owner.get("plugins/field-set").await.expect(200)["version"].clone();
    let version = version.as_str().unwrap();
    admin
        .plugin_kill("field-set", version, Some("it leaks"))
        .await
        .unwrap();
    crm_tests::client::wait_until("it is known", || async {
        let plugin = owner.get("plugins/field-set").await.expect(200);
        plugin["stopped"] == "it leaks"
    })
    .await;
    let patient = owner
        .create("patients", json!({ "full_name": "Ada" }))
        .await;
    crm_tests::client::wait_until("the run waits", || async {
        let path = format!("runs?workflow=welcome&record_id={patient}");
        let runs = owner.get(&path).await.expect(200);
        let error = runs["data"][0]["error"].as_str().unwrap_or_default();
        error.contains("was stopped: it leaks")
    })
    .await;
    admin.plugin_kill("field-set", version, None).await.unwrap();
    let run = owner.run("welcome", &patient, &["done", "dead"]).await;
    assert_eq!(run["status"], "done", "it goes on where it waited");
}

/// A class has its own limit, and the bytes of an upload are counted against that one.
#[tokio::test]
async fn a_component_may_be_as_large_as_its_class_says() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let standard = padded("large", component("asks"), "standard", COMPONENT_MAX_BYTES);
    let refused = owner.install(&standard, &[]).await.expect(422);
    let detail = refused["detail"].as_str().unwrap();
    assert!(
        detail.contains("at most 2 MiB are accepted")
            && detail.contains("`component_max_bytes` of the class `standard`"),
        "{refused}"
    );

    let large = padded("large", component("asks"), "interpreter", 20 << 20);
    let parts = [("grants", grants().to_string())];
    let installed = owner.install(&large, &parts).await.expect(201);
    assert_eq!(
        installed["takes"],
        json!({
            "class": "interpreter",
            "component_max_bytes": INTERPRETER_MAX_BYTES,
            "memory_max_bytes": INTERPRETER_MEMORY_MAX_BYTES,
        })
    );
    let last = json!({ "module": "patients", "last": 1 });
    let preview = owner.post("plugins/large/preview", last).await.expect(200);
    assert_eq!(preview["takes"], installed["takes"]);
    workflow(&owner, "ask", "large", json!({ "ask": ["config"] })).await;
    let patient = owner
        .create("patients", json!({ "full_name": "Ada" }))
        .await;
    let run = owner.run("ask", &patient, &["done", "dead"]).await;
    assert_eq!(run["log"][0]["steps"][0]["action"], "large", "{run}");
}

/// What a tenant keeps is bounded, and the bound can be seen, and room be made.
#[tokio::test]
async fn a_tenant_keeps_as_many_bytes_as_it_may() {
    let room = 2 * u64::try_from(own("one").len()).unwrap();
    let mut quotas = QuotaSettings::default();
    quotas.defaults.component_bytes = Some(room + 100);
    quotas.defaults.interpreter_bytes = Some(0);
    let database = cluster().database().await;
    let app = TestApp::metered(database, None, quotas).await;
    let (_, owner) = app.owner_of("hospital").await;

    let interpreter = padded("one", component("asks"), "interpreter", 1);
    let refused = owner.install(&interpreter, &[]).await.expect(429);
    assert_eq!(refused["quota"]["name"], "interpreter_bytes", "{refused}");
    owner.install(&own("one"), &[]).await.expect(201);
    owner.install(&own("two"), &[]).await.expect(201);
    let refused = owner.install(&own("three"), &[]).await.expect(429);
    assert_eq!(refused["quota"]["name"], "component_bytes", "{refused}");
    assert_eq!(refused["quota"]["limit"], room + 100, "{refused}");
    let usage = owner.get("usage").await.expect(200);
    let quotas = usage["data"].as_array().unwrap();
    let found = quotas.iter().find(|one| one["quota"] == "component_bytes");
    assert_eq!(found.unwrap()["used"], room, "{usage}");

    // Removing a plugin keeps its versions; they go where that is asked for.
    assert_eq!(owner.delete("plugins/one").await.status, 204);
    owner.install(&own("three"), &[]).await.expect(429);
    owner.delete("plugins/one?versions=some").await.expect(422);
    assert_eq!(
        owner.delete("plugins/one?versions=delete").await.status,
        204
    );
    owner
        .delete("plugins/one?versions=delete")
        .await
        .expect(404);
    owner.install(&own("three"), &[]).await.expect(201);
}

/// An upload that began and goes no further.
async fn stalled(app: &TestApp, owner: &Client) -> TcpStream {
    let address = app.base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let begun = format!(
        "POST /api/crm/plugins HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-type: multipart/form-data; boundary=b\r\ncontent-length: 100000\r\n\r\n\
         --b\r\ncontent-disposition: form-data; name=\"component\"\r\n\r\n\0asm",
        owner.token().unwrap()
    );
    stream.write_all(begun.as_bytes()).await.unwrap();
    stream
}

/// Begins those again that were refused: whoever asked whether they are there had their turn.
async fn begin_again(app: &TestApp, uploads: &mut [(&Client, TcpStream)]) {
    for (owner, stream) in uploads {
        if stream.try_read(&mut [0]).is_ok() {
            *stream = stalled(app, owner).await;
        }
    }
}

/// Components are in memory as a whole, so few are taken in at once, and one of each tenant.
#[tokio::test]
async fn few_components_are_taken_in_at_once() {
    let app = TestApp::start().await;
    let mut owners = Vec::new();
    for _ in 0..=COMPONENT_UPLOADS_MAX_CONCURRENT {
        owners.push(app.owner_of("hospital").await.1);
    }
    let (last, first) = owners.split_last().unwrap();
    let is_busy = async |client: &Client, component: &[u8]| {
        client.install(component, &[]).await.status == 503
    };
    let nothing = b"no component".as_slice();
    let mut uploads = vec![(&first[0], stalled(&app, &first[0]).await)];
    crm_tests::client::wait_until("it is being sent", async || {
        begin_again(&app, &mut uploads).await;
        is_busy(&first[0], nothing).await
    })
    .await;
    last.install(nothing, &[]).await.expect(422);
    for owner in &first[1..] {
        uploads.push((owner, stalled(&app, owner).await));
    }
    crm_tests::client::wait_until("all turns are taken", async || {
        begin_again(&app, &mut uploads).await;
        is_busy(last, nothing).await
    })
    .await;
    // Who sends no component needs no turn, and who may not decide gets none.
    let known = Form::new().text("name", "nobody");
    last.send_form("plugins", None, known).await.expect(422);
    // Whoever goes away gives the turn back.
    drop(uploads);
    crm_tests::client::wait_until("turns are free", async || {
        last.install(nothing, &[]).await.status == 422
    })
    .await;
}

#[tokio::test]
async fn who_may_not_install_sends_no_component() {
    let app = TestApp::start().await;
    let (tenant, _) = app.owner_of("hospital").await;
    let agent = app.client(tenant, "agent");
    let mut stream = stalled(&app, &agent).await;
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 403");
}

/// A greeter whose steps have one word of configuration.
fn configured(version: &str, word: &str) -> Vec<u8> {
    changed(
        &renamed("greeter", component("asks"), version),
        |manifest| {
            manifest["config_schema"] = json!({
                "type": "object",
                "required": [word],
                "properties": { word: { "type": "array", "items": { "type": "string" } } },
                "additionalProperties": false,
            });
        },
    )
}

#[tokio::test]
async fn a_step_is_configured_as_its_action_says() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    owner
        .install(&configured("1.0.0", "ask"), &[])
        .await
        .expect(201);
    let step = |config: Value| {
        json!({
            "slug": "greet", "name": "Greet", "module": "patients",
            "trigger": { "on": "record_created" },
            "steps": [{ "action": "greeter", "config": config }],
        })
    };
    let before = owner.get("workflows").await.expect(200);
    let wrong = step(json!({ "ask": ["config", 3, 4], "more": true }));
    let refused = owner.post("workflows", wrong).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    let mut places = refused.violations();
    places.sort();
    let place = |pointer: &str| (pointer.to_owned(), "schema".to_owned());
    assert_eq!(
        places,
        [
            place("/steps/0/config"),
            place("/steps/0/config/ask/1"),
            place("/steps/0/config/ask/2"),
        ]
    );
    assert_eq!(owner.get("workflows").await.expect(200), before);
    let first_party = json!({
        "slug": "greet", "name": "Greet", "module": "patients",
        "trigger": { "on": "record_created" },
        "steps": [{ "action": "field-set", "config": { "sett": {} } }],
    });
    owner.post("workflows", first_party).await.expect(422);
    owner
        .post("workflows", step(json!({ "ask": ["config"] })))
        .await
        .expect(201);

    // Another version may want something else: that is told, before and after.
    let form = |component: Vec<u8>| {
        let part = reqwest::multipart::Part::bytes(component).file_name("plugin.wasm");
        let form = Form::new().part("component", part);
        form.text("replace", "true")
    };
    let newer = configured("1.1.0", "question");
    let replaced = owner
        .send_form("plugins", None, form(newer))
        .await
        .expect(200);
    assert_eq!(replaced["version"], "1.1.0");
    let unfit = replaced["unfit"].as_array().unwrap();
    assert!(!unfit.is_empty(), "{replaced}");
    for one in unfit {
        assert_eq!(
            (&one["workflow"], &one["pointer"]),
            (&json!("greet"), &json!("/steps/0/config"))
        );
    }
    let older = owner
        .patch("plugins/greeter", json!({ "version": "1.0.0" }))
        .await
        .expect(200);
    assert_eq!(older["unfit"], json!([]));
    let ask = json!({ "module": "patients", "last": 1, "version": "1.1.0" });
    let preview = owner.post("plugins/greeter/preview", ask).await.expect(200);
    assert_eq!(&preview["unfit"], &replaced["unfit"]);
}

/// A build that is tried out goes when another takes its place; versions do not.
#[tokio::test]
async fn a_trial_build_is_forgotten_with_the_next() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let replace = [("replace", "true".to_owned())];
    let build = |version: &str| renamed("greeter", component("asks"), version);
    owner.install(&build("1.0.0"), &replace).await.expect(201);
    let trial = owner.install(&build("1.1.0-dev.h1"), &replace).await;
    assert_eq!(trial.expect(200)["version"], "1.1.0-dev.h1");
    owner
        .install(&build("1.1.0-dev.h2"), &replace)
        .await
        .expect(200);
    let version = |version: &str| json!({ "version": version });
    owner
        .patch("plugins/greeter", version("1.1.0-dev.h1"))
        .await
        .expect(422);
    owner
        .patch("plugins/greeter", version("1.0.0"))
        .await
        .expect(200);
    owner
        .patch("plugins/greeter", version("1.1.0-dev.h2"))
        .await
        .expect(422);
    owner.install(&build("1.0.0"), &[]).await.expect(409);
}
