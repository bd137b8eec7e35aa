//! Calls that end as a guest's author means them to, and what passes in and out.

use crm_model::Mutation;
use crm_model::manifest::World;
use crm_sandbox::{ActionReport, LogLevel, LogLine, NoHost, Outcome, RunFailure};
use rstest::rstest;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

use crate::guests::{Answer, action_with, answering, data_segment, echo, template};
use crate::hooks::save;
use crate::{call, failure, run, sandbox, usual};

#[tokio::test]
async fn an_action_answers_with_mutations_and_an_account() {
    let answer = Answer::creates(2, b"orders", r#"{"total":"12.50"}"#);
    let report = run(usual(), &answering("", &answer)).await;
    let mutations = serde_json::to_value(report.outcome.unwrap()).unwrap();
    let create = json!({"op": "create", "module": "orders", "data": {"total": "12.50"}});
    assert_eq!(mutations["mutations"], json!([create, create]));
    assert_eq!(mutations["effects"], json!([]));
    assert!(report.fuel > 0 && report.fuel < 1_000, "{}", report.fuel);
    assert_eq!(report.memory_bytes, 2 << 16);
    assert!(report.duration > Duration::ZERO);
    assert_eq!((report.logs, report.log_truncated), (vec![], false));
}

#[tokio::test]
async fn no_mutations_are_an_answer_too() {
    let report = run(usual(), &answering("", &Answer::creates(0, b"", ""))).await;
    assert_eq!(report.outcome, Ok(Outcome::default()));
}

/// Offsets in the parameters of `run`, after the canonical ABI.
#[rstest]
#[case::id(0, "018f4e6a-7c1e-7000-8000-00000000000e")]
#[case::module(12, "items")]
#[case::record_id(20, "018f4e6a-7c1e-7000-8000-000000000001")]
#[case::before(44, r#"{"carat":"0.5"}"#)]
#[case::after(56, r#"{"carat":"0.7","name":"Koh-i-Noor ◆"}"#)]
#[case::payload(76, r#"{"status":200}"#)]
#[case::user_id(84, "ada@example.com")]
#[case::occurred_at(112, "2024-05-06T07:08:09.123456Z")]
#[case::zone(120, "Europe/Berlin")]
#[case::locale(128, "de")]
#[case::configuration(136, r#"{"band":"A"}"#)]
#[case::idempotency_key(144, "key")]
#[tokio::test]
async fn the_guest_sees_the_event(#[case] offset: usize, #[case] expected: &str) {
    assert_eq!(
        failure(&echo(offset)).await,
        RunFailure::Fail(expected.to_owned())
    );
}

#[tokio::test]
async fn the_guest_sees_kind_version_and_depth() {
    // Traps unless kind, version, the number of changed fields, roles and causes, depth and
    // seed are right.
    let check = r"(if (i32.ne (i32.load8_u offset=8 (local.get $event)) (i32.const 1))
            (then (unreachable)))
        (if (i64.ne (i64.load offset=32 (local.get $event)) (i64.const 7)) (then (unreachable)))
        (if (i32.ne (i32.load offset=68 (local.get $event)) (i32.const 1)) (then (unreachable)))
        (if (i32.ne (i32.load offset=96 (local.get $event)) (i32.const 2)) (then (unreachable)))
        (if (i32.ne (i32.load offset=104 (local.get $event)) (i32.const 1)) (then (unreachable)))
        (if (i32.ne (i32.load offset=108 (local.get $event)) (i32.const 3)) (then (unreachable)))
        (if (i64.ne (i64.load offset=152 (local.get $event)) (i64.const 42)) (then (unreachable)))";
    let report = run(usual(), &answering(check, &Answer::creates(0, b"", ""))).await;
    assert_eq!(report.outcome, Ok(Outcome::default()));
}

#[rstest]
#[case(Answer::fail("no price"), RunFailure::Fail("no price".into()))]
#[case(Answer::skip("no rate"), RunFailure::Skip("no rate".into()))]
#[case(
    Answer::retry(1_500, "busy"),
    RunFailure::Retry { after: Duration::from_millis(1_500), reason: "busy".into() }
)]
#[tokio::test]
async fn a_guest_can_say_how_it_failed(#[case] answer: Vec<u8>, #[case] expected: RunFailure) {
    assert_eq!(failure(&answering("", &answer)).await, expected);
}

#[tokio::test]
async fn lines_for_the_log_are_kept() {
    let log = "(call $log (i32.const 2) (i32.const 8) (i32.const 5))
        (call $log (i32.const 0) (i32.const 0) (i32.const 0))";
    let answer = Answer::fail("stop");
    let more = format!(
        "{} {}",
        data_segment(1024, &answer),
        data_segment(8, b"hel\0o")
    );
    let report = run(
        usual(),
        &action_with(2, &format!("{log} (i32.const 1024)"), &more),
    )
    .await;
    let line = |level, message: &str| LogLine {
        level,
        message: message.to_owned(),
    };
    assert_eq!(
        report.logs,
        [
            line(LogLevel::Warn, "hel\u{fffd}o"),
            line(LogLevel::Debug, "")
        ]
    );
    assert!(!report.log_truncated);
    // A failed run's log is kept as well.
    assert_eq!(report.outcome, Err(RunFailure::Fail("stop".into())));
}

#[tokio::test]
async fn an_instance_remembers_nothing_of_the_one_before() {
    // Traps when it finds what it wrote, in memory, in a global or in a grown page.
    let body = "(if (i32.load (i32.const 16)) (then (unreachable)))
        (if (global.get $seen) (then (unreachable)))
        (if (i32.ne (memory.grow (i32.const 1)) (i32.const 2)) (then (unreachable)))
        (if (i32.load (i32.const 131072)) (then (unreachable)))
        (i32.store (i32.const 16) (i32.const 1))
        (i32.store (i32.const 131072) (i32.const 1))
        (global.set $seen (i32.const 1))
        (i32.const 1024)";
    let more = format!(
        "(global $seen (mut i32) (i32.const 0)) {}",
        data_segment(1024, &Answer::creates(0, b"", ""))
    );
    let sandbox = sandbox(usual());
    let plugin = sandbox.load(&action_with(2, body, &more)).unwrap();
    for _ in 0..20 {
        let report = sandbox.run_action(&plugin, call(), Box::new(NoHost)).await;
        assert_eq!(report.outcome, Ok(Outcome::default()));
    }
}

#[tokio::test]
async fn a_caller_on_the_guests_runtime_needs_no_second_task() {
    let sandbox = Arc::new(sandbox(usual()));
    let plugin = sandbox
        .load(&answering("", &Answer::creates(1, b"items", "{}")))
        .unwrap();
    let inside = Arc::clone(&sandbox);
    let reports: Vec<ActionReport> = sandbox
        .handle()
        .spawn(async move {
            let mut reports = Vec::new();
            for _ in 0..3 {
                reports.push(
                    inside
                        .run_action_here(&plugin, call(), Box::new(NoHost))
                        .await,
                );
            }
            reports
        })
        .await
        .unwrap();
    for report in reports {
        assert!(matches!(
            report.outcome.unwrap().mutations.as_slice(),
            [Mutation::Create { .. }]
        ));
    }
}

#[tokio::test]
async fn a_template_says_its_model() {
    let sandbox = sandbox(usual());
    let plugin = sandbox.load(&template(r#"{"modules":[]}"#, 0)).unwrap();
    assert_eq!(
        sandbox.template_model(&plugin).await,
        Ok(r#"{"modules":[]}"#.to_owned())
    );
}

#[tokio::test]
async fn a_component_is_only_called_as_what_it_is() {
    let sandbox = sandbox(usual());
    let wrong = |is, called| RunFailure::WrongWorld { is, called };
    let plugin = sandbox.load(&answering("", &Answer::fail(""))).unwrap();
    let answer = sandbox.template_model(&plugin).await;
    assert_eq!(answer, Err(wrong(World::Action, World::Template)));
    let report = sandbox.before_save(&plugin, save()).await;
    assert_eq!(report.verdict, Err(wrong(World::Action, World::Template)));
}
