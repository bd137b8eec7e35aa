//! What components of each version of the contract can rely on: those that are kept as source
//! run through the sandbox's public door, with fixed events, and what they were told and what
//! they answered is compared word by word. See `plugin-sdk/wit/COMPATIBILITY.md`.

use chrono::DateTime;
use crm_model::hooks::SaveKind;
use crm_model::{Actor, Capabilities, Data, Event, Grant};
use crm_sandbox::{
    ActionCall, ActionReport, Answer, Answering, FoundRecord, GuestHost, HookVerdict,
    LimitOverrides, LogLevel, NoHost, Objection, Plugin, Question, Refusal, RunFailure, Sandbox,
    SaveCall, StateEntry,
};
use crm_tests::cluster::cluster;
use crm_tests::guests::component;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const RECORD: &str = "018f4e6a-7c1e-7000-8000-000000000001";
const EVENT: &str = "018f4e6a-7c1e-7000-8000-00000000000e";
const CAUSE: &str = "018f4e6a-7c1e-7000-8000-00000000000b";
const RUN: &str = "018f4e6a-7c1e-7000-8000-00000000000a";

fn loaded(name: &str) -> (Arc<Sandbox>, Arc<Plugin>) {
    let sandbox = cluster().sandbox();
    let plugin = sandbox.load(component(name)).unwrap();
    (sandbox, plugin)
}

fn event(kind: &str) -> Value {
    json!({
        "id": EVENT,
        "kind": kind,
        "module": "items",
        "record_id": RECORD,
        "record_version": 7,
        "before": { "carat": "0.5" },
        "after": { "carat": "0.7", "name": "Koh-i-Noor ◆" },
        "changed_fields": ["carat", "name"],
        "payload": { "status": 200 },
        "actor": { "user_id": "ada@example.com", "roles": ["owner", "clerk"] },
        "cause": {
            "kind": "workflow",
            "workflow": "valuation",
            "run": RUN,
            "plugin": "appraise",
            "plugin_version": "1.0.0",
            "event": { "id": CAUSE, "record_id": RECORD },
        },
        "depth": 3,
        "occurred_at": "2024-05-06T07:08:09.123456Z",
    })
}

fn call(event: Value, configuration: &str) -> ActionCall {
    let event: Event = serde_json::from_value(event).unwrap();
    let all: Capabilities = serde_json::from_value(json!({
        "reads": ["*(*)"], "secrets": ["*"], "state": true,
    }))
    .unwrap();
    ActionCall {
        tenant: None,
        event: Arc::new(event),
        configuration: Arc::new(json!(configuration).to_string()),
        settings: Arc::new(r#"{"band":"A"}"#.to_owned()),
        zone: "Europe/Berlin".into(),
        locale: "de".into(),
        idempotency_key: "key".to_owned(),
        seed: u64::MAX,
        grant: Grant::new(all.clone(), all),
        plan: LimitOverrides::default(),
    }
}

async fn run(call: ActionCall, host: impl GuestHost + 'static) -> ActionReport {
    let (sandbox, plugin) = loaded("conformance_action_1_0");
    sandbox.run_action(&plugin, call, Box::new(host)).await
}

/// Answers as the questions say.
struct Fixed;

impl GuestHost for Fixed {
    fn answer<'a>(&'a mut self, question: &'a Question) -> Answering<'a> {
        Box::pin(std::future::ready(fixed(question)))
    }
}

fn fixed(question: &Question) -> Answer {
    let record = |id: &str| FoundRecord {
        id: id.to_owned(),
        version: 7,
        data: r#"{"carat":"0.5"}"#.to_owned(),
        owner_id: "ada".to_owned(),
        created_at: "2024-01-01T00:00:00Z".to_owned(),
        updated_at: "2024-01-02T00:00:00Z".to_owned(),
    };
    let reason = || "no".to_owned();
    match question {
        Question::RecordGet { id, .. } => match id.as_str() {
            "denied" => Answer::Refused(Refusal::Denied(reason())),
            "invalid" => Answer::Refused(Refusal::Invalid(reason())),
            "limited" => Answer::Refused(Refusal::Limited(reason())),
            "unavailable" => Answer::Refused(Refusal::Unavailable(reason())),
            id => Answer::Record {
                record: (id == "there").then(|| record(id)),
            },
        },
        Question::RecordQuery { module, query } => {
            assert_eq!(
                (module.as_str(), query.as_str()),
                ("items", r#"{"limit":2}"#)
            );
            Answer::Page {
                records: vec![record("one"), record("two")],
                next_cursor: Some("on".to_owned()),
            }
        }
        Question::RecordAggregate { query, .. } => Answer::Json {
            json: query.clone(),
        },
        Question::SecretHandle { name } => Answer::Handle {
            handle: format!("handle of {name}"),
        },
        Question::StateGet { key } => Answer::Entry {
            entry: (key == "there").then(|| StateEntry {
                value: "[1]".to_owned(),
                version: 3,
            }),
        },
        Question::StateSet { key, value } => {
            assert_eq!((key.as_str(), value.as_str()), ("there", "[2]"));
            Answer::Done
        }
        Question::StateDelete { .. } => Answer::Done,
    }
}

fn said(report: &ActionReport) -> Vec<&str> {
    match &report.outcome {
        Err(RunFailure::Fail(text)) => text.lines().collect(),
        other => panic!("{other:?}"),
    }
}

/// Has the thread wait for it, past many ticks of the guests' clock, and notes which thread it was.
struct Slow(Arc<Mutex<Vec<String>>>);

impl GuestHost for Slow {
    fn answer<'a>(&'a mut self, question: &'a Question) -> Answering<'a> {
        let thread = std::thread::current();
        self.0
            .lock()
            .unwrap()
            .extend(thread.name().map(str::to_owned));
        std::thread::sleep(Duration::from_millis(20));
        Box::pin(std::future::ready(fixed(question)))
    }
}

#[tokio::test]
async fn a_call_that_has_to_wait_is_not_taken_to_compute_long() {
    let threads = Arc::default();
    run(
        call(event("record_created"), "asked"),
        Slow(Arc::clone(&threads)),
    )
    .await;
    let threads = threads.lock().unwrap();
    // By the clock it would be elsewhere after the second question.
    assert_eq!(threads[..3], ["guest"; 3], "{threads:?}");
}

#[tokio::test]
async fn an_action_of_1_0_is_told_all_of_an_event() {
    let report = run(call(event("record_updated"), "told"), NoHost).await;
    let cause = format!("{CAUSE}/valuation/appraise/{RUN}");
    let expected = [
        EVENT,
        "record-updated",
        "items",
        RECORD,
        "7",
        r#"{"carat":"0.5"}"#,
        r#"{"carat":"0.7","name":"Koh-i-Noor ◆"}"#,
        "carat,name",
        r#"{"status":200}"#,
        "ada@example.com",
        "owner,clerk",
        &cause,
        "3",
        "2024-05-06T07:08:09.123456Z",
        "Europe/Berlin",
        "de",
        "key",
        "18446744073709551615",
    ];
    assert_eq!(said(&report), expected);
    for kind in [
        "record_created",
        "record_deleted",
        "record_restored",
        "answer_received",
        "time_reached",
        "started_by_hand",
        "request_received",
        "called",
    ] {
        let mut event = event(kind);
        for left_out in ["before", "after", "payload"] {
            event[left_out] = Value::Null;
        }
        event["changed_fields"] = json!([]);
        event["cause"] = json!({ "kind": "user" });
        let report = run(call(event, "told"), NoHost).await;
        let told = said(&report);
        assert_eq!(told[1], kind.replace('_', "-"));
        assert_eq!(
            (told[5], told[6], told[7], told[8]),
            ("none", "none", "", "none")
        );
        assert_eq!(told[11], "");
    }
}

#[tokio::test]
async fn an_action_of_1_0_is_answered_every_question() {
    let report = run(call(event("record_created"), "asked"), Fixed).await;
    let of = r#"7 {"carat":"0.5"} ada 2024-01-01T00:00:00Z 2024-01-02T00:00:00Z"#;
    let expected = [
        &format!("there {of}"),
        "none",
        "denied: no",
        "invalid: no",
        "limited: no",
        "unavailable: no",
        &format!("one {of}, two {of} next on"),
        r#"{"group_by":["cut"]}"#,
        r#"{"band":"A"}"#,
        "handle of stripe",
        "3 [1]",
        "none",
        "done",
        "done",
    ];
    assert_eq!(said(&report), expected);
    let logs: Vec<(LogLevel, &str)> = report
        .logs
        .iter()
        .map(|line| (line.level, line.message.as_str()))
        .collect();
    let expected = [
        (LogLevel::Debug, "one"),
        (LogLevel::Info, "two"),
        (LogLevel::Warn, "three"),
        (LogLevel::Error, "four"),
    ];
    assert_eq!(logs, expected);
    assert_eq!(report.journal.len(), 13, "all but the configuration");
}

#[tokio::test]
async fn an_action_of_1_0_proposes_every_mutation() {
    let report = run(call(event("record_created"), "mutations"), NoHost).await;
    let outcome = serde_json::to_value(report.outcome.unwrap()).unwrap();
    let on = |mut mutation: Value| {
        mutation["module"] = json!("items");
        mutation["record_id"] = json!(RECORD);
        mutation
    };
    let expected = json!([
        { "op": "create", "module": "items", "data": { "carat": "0.5" } },
        on(json!({ "op": "update", "expected_version": 7, "patch": { "carat": null } })),
        on(json!({ "op": "update", "patch": {} })),
        on(json!({ "op": "delete", "expected_version": 7 })),
        on(json!({ "op": "link", "field": "pair", "targets": [RECORD] })),
        on(json!({ "op": "unlink", "field": "pair", "targets": [RECORD] })),
        outcome["mutations"][6],
        outcome["mutations"][7],
        on(json!({ "op": "assign", "owner": "ada" })),
    ]);
    assert_eq!(outcome["mutations"], expected);
    let [bare, full] = [6, 7].map(|index| &outcome["mutations"][index]["activity"]);
    assert_eq!(
        (&bare["kind"], &bare["title"]),
        (&json!("task"), &json!("Look"))
    );
    assert_eq!(
        (&bare["body"], &bare["due_at"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(full["body"], "Closely");
    assert_eq!(full["due_at"], "2024-05-07T08:00:00Z");
    assert_eq!(full["assignee"], "ada");
}

#[tokio::test]
async fn an_action_of_1_0_asks_for_every_effect() {
    let report = run(call(event("record_created"), "effects"), NoHost).await;
    let outcome = serde_json::to_value(report.outcome.unwrap()).unwrap();
    let expected = json!([
        { "kind": "email", "to": ["a@example.com"], "cc": ["b@example.com"],
          "reply_to": "c@example.com", "subject": "Hello", "text": "plain",
          "html": "<p>rich</p>" },
        { "kind": "email", "to": ["a@example.com"], "subject": "Hello", "text": "plain" },
        { "kind": "webhook", "endpoint": "shop", "topic": "item.sold", "payload": { "id": 1 } },
        { "kind": "http", "key": "rate", "method": "POST",
          "url": "https://api.example.com/rates", "headers": [["accept", "application/json"]],
          "body": "{}", "wants_answer": true },
        { "kind": "notify", "to": ["role:owner"], "title": "Sold", "body": "An item" },
        { "kind": "schedule", "key": "later", "at": "2024-05-07T08:00:00Z", "payload": [1] },
    ]);
    assert_eq!(outcome["effects"], expected);
}

#[tokio::test]
async fn an_action_of_1_0_says_how_it_failed() {
    let failure = async |configuration| {
        let report = run(call(event("record_created"), configuration), NoHost).await;
        report.outcome.unwrap_err()
    };
    let retry = RunFailure::Retry {
        after: Duration::from_millis(1_500),
        reason: "busy".to_owned(),
    };
    assert_eq!(failure("retry").await, retry);
    assert_eq!(
        failure("skip").await,
        RunFailure::Skip("nothing".to_owned())
    );
    assert_eq!(failure("?").await, RunFailure::Fail("\"?\"".to_owned()));
}

async fn run_of_1_1(configuration: &str, effects: &[&str]) -> ActionReport {
    let (sandbox, plugin) = loaded("conformance_action_1_1");
    let granted: Capabilities = serde_json::from_value(json!({ "effects": effects })).unwrap();
    let call = ActionCall {
        grant: Grant::new(granted.clone(), granted),
        ..call(event("record_created"), configuration)
    };
    sandbox.run_action(&plugin, call, Box::new(NoHost)).await
}

const MAILS: &[&str] = &["email", "notify"];

#[tokio::test]
async fn an_action_of_1_1_attaches_files_to_its_mails() {
    let report = run_of_1_1("attached", MAILS).await;
    let outcome = serde_json::to_value(report.outcome.unwrap()).unwrap();
    let file = |name: &str, content: &str| json!({ "name": name, "media_type": "text/calendar; method=REQUEST", "content": content });
    let mail = |to: &str, files: Value| json!({ "kind": "email", "to": [to], "subject": "Hello", "text": "plain", "attachments": files });
    let expected = json!([
        { "kind": "notify", "to": ["ada"], "title": "Hello" },
        mail(
            "a@example.com",
            json!([file("visit.ics", "QkVHSU46VkVWRU5U"), file("empty", "")])
        ),
        mail("b@example.com", json!([file("bytes", "AP8NCg==")])),
    ]);
    assert_eq!(outcome["effects"], expected);
    assert!(
        report.journal.is_empty(),
        "nobody is asked, so a replay does it again"
    );
}

#[tokio::test]
async fn an_action_of_1_1_hears_why_a_file_does_not_go_along() {
    let denied = "denied: the plugin may not send mail, so nothing goes with one";
    for (configuration, effects, expected) in [
        (
            "refused",
            &["notify"][..],
            [denied, denied, denied].as_slice(),
        ),
        (
            "refused",
            MAILS,
            &[
                "invalid: an attachment’s name has no folders and no control characters: \"a/b\"",
                "invalid: “text” is no media type, such as text/csv",
                "done",
            ],
        ),
        (
            "too much",
            MAILS,
            &[
                "done",
                "limited: all attachments of a run together have at most 262144 bytes; 204800 are \
                 taken, and this one has 204800",
            ],
        ),
    ] {
        let report = run_of_1_1(configuration, effects).await;
        assert_eq!(said(&report), expected, "{configuration}");
    }
}

#[tokio::test]
async fn an_action_of_1_1_that_attaches_what_cannot_be_fails() {
    for (configuration, expected) in [
        (
            "on a note",
            "“visit.ics” is attached to effect 1, which is no mail",
        ),
        (
            "on nothing",
            "“visit.ics” is attached to effect 4294967296, which is no mail",
        ),
        ("eleven", "attachments"),
        ("without end", "max_host_calls"),
    ] {
        let report = run_of_1_1(configuration, MAILS).await;
        let failure = report.outcome.unwrap_err().to_string();
        assert!(failure.contains(expected), "{configuration}: {failure}");
    }
}

fn data(value: Value) -> Data {
    value.as_object().unwrap().clone()
}

fn save(name: &str) -> SaveCall {
    SaveCall {
        plan: crm_sandbox::LimitOverrides::default(),
        kind: SaveKind::Update,
        module: "items".parse().unwrap(),
        record_id: Some(RECORD.parse().unwrap()),
        before: Some(data(json!({ "name": "Old" }))),
        after: data(json!({ "name": name })),
        changed: vec!["name".parse().unwrap()],
        actor: Actor::person("ada".parse().unwrap(), vec!["owner".parse().unwrap()]),
        at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
        zone: "Europe/Berlin".into(),
        locale: "de".into(),
        seed: 42,
    }
}

#[tokio::test]
async fn a_template_of_1_0_is_asked_before_a_change() {
    let (sandbox, plugin) = loaded("conformance_template_1_0");
    let verdict = async |call| sandbox.before_save(&plugin, call).await.verdict.unwrap();
    assert_eq!(verdict(save("fine")).await, HookVerdict::Fine);
    let patch = data(json!({ "name": null }));
    assert_eq!(verdict(save("more")).await, HookVerdict::Patch(patch));

    let objections = |told: &[&str]| {
        HookVerdict::Objections(vec![
            Objection {
                field: Some("name".to_owned()),
                message: told.join("\n"),
            },
            Objection {
                field: None,
                message: "whole".to_owned(),
            },
        ])
    };
    let after = r#"{"name":"?"}"#;
    let at = "2023-11-14T22:13:20Z";
    let told = [
        "update",
        "items",
        RECORD,
        r#"{"name":"Old"}"#,
        after,
        "name",
        "ada",
        "owner",
        at,
        "Europe/Berlin",
        "de",
        "42",
    ];
    assert_eq!(verdict(save("?")).await, objections(&told));
    let create = SaveCall {
        kind: SaveKind::Create,
        record_id: None,
        before: None,
        ..save("?")
    };
    let told = [
        "create",
        "items",
        "",
        "none",
        after,
        "name",
        "ada",
        "owner",
        at,
        "Europe/Berlin",
        "de",
        "42",
    ];
    assert_eq!(verdict(create).await, objections(&told));
    let report = sandbox.before_save(&plugin, save("fine")).await;
    assert_eq!(report.logs[0].message, "asked");
}

#[tokio::test]
async fn a_template_of_1_0_is_told_of_events_and_migrates() {
    let (sandbox, plugin) = loaded("conformance_template_1_0");
    let model = sandbox.template_model(&plugin).await.unwrap();
    let model: Value = serde_json::from_str(&model).unwrap();
    assert_eq!(model["modules"][0]["slug"], "items");

    let call = call(event("record_created"), "");
    let report = sandbox
        .run_action(&plugin, call.clone(), Box::new(NoHost))
        .await;
    let outcome = serde_json::to_value(report.outcome.unwrap()).unwrap();
    let expected = json!([{ "op": "create", "module": "items",
        "data": { "carat": "0.7", "name": "Koh-i-Noor ◆" } }]);
    assert_eq!(outcome["mutations"], expected);
    let mut elsewhere = event("record_created");
    elsewhere["module"] = json!("people");
    let elsewhere = ActionCall {
        event: Arc::new(serde_json::from_value(elsewhere).unwrap()),
        ..call
    };
    let report = sandbox
        .run_action(&plugin, elsewhere, Box::new(NoHost))
        .await;
    assert_eq!(report.outcome, Err(RunFailure::Skip("people".to_owned())));

    let migrate = async |from: &str| {
        let module = "items".parse().unwrap();
        let record = data(json!({ "name": "x" }));
        sandbox
            .migrate(&plugin, module, from.parse().unwrap(), record)
            .await
    };
    assert_eq!(migrate("0.1.0").await, Ok(None));
    assert_eq!(
        migrate("0.2.0").await,
        Ok(Some(data(json!({ "name": "x" }))))
    );
    let refused = RunFailure::Fail("items 0.3.0".to_owned());
    assert_eq!(migrate("0.3.0").await, Err(refused));
}
