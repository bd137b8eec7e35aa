//! Hooks of templates: limits of their own, and threads of their own.

use chrono::DateTime;
use crm_model::hooks::SaveKind;
use crm_model::{Actor, Data};
use crm_sandbox::{GuestLimits, HookVerdict, NoHost, RunFailure, SaveCall};
use serde_json::{Value, json};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crate::guests::{action_with, data_segment, template, template_with};
use crate::{call, sandbox, usual};

fn data(value: Value) -> Data {
    value.as_object().unwrap().clone()
}

pub(crate) fn save() -> SaveCall {
    SaveCall {
        plan: crm_sandbox::LimitOverrides::default(),
        kind: SaveKind::Create,
        module: "items".parse().unwrap(),
        record_id: None,
        before: None,
        after: data(json!({ "name": "Koh-i-Noor" })),
        changed: vec!["name".parse().unwrap()],
        actor: Actor::person("ada".parse().unwrap(), Vec::new()),
        at: DateTime::UNIX_EPOCH,
        zone: "Europe/Berlin".into(),
        locale: "de".into(),
        seed: 42,
    }
}

/// Answers `ok(none)`: nothing to add.
const FINE: &str = "(i32.const 64)";

#[tokio::test]
async fn a_hook_answers_with_a_verdict_and_an_account() {
    let sandbox = sandbox(usual());
    let plugin = sandbox.load(&template_with(FINE, "{}", 0)).unwrap();
    let report = sandbox.before_save(&plugin, save()).await;
    assert_eq!(report.verdict, Ok(HookVerdict::Fine));
    assert!(report.fuel > 0 && report.fuel < 1_000, "{}", report.fuel);
    assert!(report.memory_bytes > 0);
}

#[tokio::test]
async fn a_hook_that_traps_is_contained() {
    let sandbox = sandbox(usual());
    let plugin = sandbox.load(&template("{}", 0)).unwrap();
    let report = sandbox.before_save(&plugin, save()).await;
    assert!(matches!(report.verdict, Err(RunFailure::Trapped { .. })));
    let answer = sandbox
        .migrate(
            &plugin,
            "items".parse().unwrap(),
            semver::Version::new(0, 1, 0),
            Data::new(),
        )
        .await;
    assert!(matches!(answer, Err(RunFailure::Trapped { .. })));
}

#[tokio::test]
async fn a_hook_has_a_time_of_its_own() {
    let limits = GuestLimits {
        fuel_max_units: u64::MAX >> 1,
        call_max: Duration::from_secs(600),
        ..GuestLimits::default()
    };
    let sandbox = sandbox(limits);
    let spin = template_with("(loop (br 0)) (unreachable)", "{}", 0);
    let plugin = sandbox.load(&spin).unwrap();
    let report = sandbox.before_save(&plugin, save()).await;
    let limit = Duration::from_millis(50);
    match report.verdict {
        Err(RunFailure::TimedOut {
            limit: most, took, ..
        }) => assert!(most == limit && took >= limit),
        other => panic!("{other:?}"),
    }
    assert!(report.fuel > 0, "what it burnt is counted");
}

/// The thread of whoever waits for it is needed for others.
#[tokio::test]
async fn a_hook_that_lasts_moves_to_threads_of_hooks() {
    let limits = GuestLimits {
        fuel_max_units: u64::MAX >> 1,
        before_save_max: Duration::from_millis(200),
        ..usual()
    };
    let sandbox = sandbox(limits);
    let spin = template_with("(loop (br 0)) (unreachable)", "{}", 0);
    let plugin = sandbox.load(&spin).unwrap();
    let mut asked = pin!(sandbox.before_save(&plugin, save()));
    let mut polls = 0;
    let report = poll_fn(|context| {
        polls += 1;
        asked.as_mut().poll(context)
    });
    let verdict = report.await.verdict;
    assert!(
        matches!(verdict, Err(RunFailure::TimedOut { .. })),
        "{verdict:?}"
    );
    // It yields at each tick: were it still here, it would be polled each time.
    assert!(polls <= 4, "{polls}");
}

#[tokio::test]
async fn a_hook_has_a_measure_of_what_it_is_told() {
    let limits = GuestLimits {
        input_max_bytes: 30,
        ..usual()
    };
    let sandbox = sandbox(limits);
    let plugin = sandbox.load(&template_with(FINE, "{}", 0)).unwrap();
    let mut call = save();
    // Counted as JSON, before and after together.
    call.after = data(json!({ "n": "x".repeat(12) }));
    call.before = Some(data(json!({ "n": "22" })));
    let report = sandbox.before_save(&plugin, call.clone()).await;
    assert_eq!(report.verdict, Ok(HookVerdict::Fine));
    call.before = Some(data(json!({ "n": "333" })));
    let report = sandbox.before_save(&plugin, call).await;
    let over = report.verdict.unwrap_err().over_limit().unwrap();
    assert_eq!(
        (over.limit, over.measured, over.most),
        ("input_max_bytes", 31, 30)
    );
}

/// No request waits for a run: neither for its thread nor for its turn.
#[tokio::test]
async fn a_hook_waits_for_no_action() {
    let limits = GuestLimits {
        fuel_max_units: u64::MAX >> 1,
        ..usual()
    };
    let sandbox = Arc::new(sandbox(limits));
    let more = data_segment(1024, &[]);
    let spin = action_with(2, "(loop (br 0)) (unreachable)", &more);
    let spin = sandbox.load(&spin).unwrap();
    let hook = sandbox.load(&template_with(FINE, "{}", 0)).unwrap();
    let actions: Vec<_> = (0..8)
        .map(|_| {
            let (sandbox, spin) = (Arc::clone(&sandbox), Arc::clone(&spin));
            tokio::spawn(async move { sandbox.run_action(&spin, call(), Box::new(NoHost)).await })
        })
        .collect();
    for _ in 0..20 {
        let report = sandbox.before_save(&hook, save()).await;
        assert_eq!(report.verdict, Ok(HookVerdict::Fine));
    }
    assert!(actions.iter().all(|action| !action.is_finished()));
}

/// Traps where its instance was called before, and computes for some ticks of the clock.
const COUNTS: &str = "(local i32)
    (loop
        (local.set 1 (i32.add (local.get 1) (i32.const 1)))
        (br_if 0 (i32.lt_u (local.get 1) (i32.const 8000000))))
    (i32.store (i32.const 512) (i32.add (i32.load (i32.const 512)) (i32.const 1)))
    (if (i32.ne (i32.load (i32.const 512)) (i32.const 1)) (then (unreachable)))
    (i32.const 64)";

#[tokio::test]
async fn an_instance_that_was_ready_is_as_fresh_as_any() {
    let limits = GuestLimits {
        before_save_max: Duration::from_secs(1),
        ..usual()
    };
    let sandbox = sandbox(limits);
    let plugin = sandbox.load(&template_with(COUNTS, "{}", 0)).unwrap();
    let first = sandbox.before_save(&plugin, save()).await;
    assert_eq!(first.verdict, Ok(HookVerdict::Fine));
    first.leftover.renew().await;
    // Its time begins with its call.
    tokio::time::sleep(limits.before_save_max).await;
    let second = sandbox.before_save(&plugin, save()).await;
    assert_eq!(second.verdict, Ok(HookVerdict::Fine));
    assert!(second.duration < limits.before_save_max);
    assert_eq!(
        (second.fuel, second.memory_bytes),
        (first.fuel, first.memory_bytes)
    );
}

/// For ever where the change is an update.
const LOOPS: &str = "(if (i32.load8_u (local.get 0)) (then (loop (br 0)))) (i32.const 64)";

/// The clock stands while an instance is only ready.
#[tokio::test]
async fn an_instance_that_was_ready_is_stopped_like_any() {
    let limits = GuestLimits {
        // For some seconds, so that this ends.
        fuel_max_units: 5_000_000_000,
        before_save_max: Duration::from_millis(100),
        ..usual()
    };
    let sandbox = sandbox(limits);
    let plugin = sandbox.load(&template_with(LOOPS, "{}", 0)).unwrap();
    let first = sandbox.before_save(&plugin, save()).await;
    assert_eq!(first.verdict, Ok(HookVerdict::Fine));
    assert_eq!(sandbox.running(), 0);
    first.leftover.renew().await;
    assert_eq!(sandbox.running(), 0);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut call = save();
    call.kind = SaveKind::Update;
    let report = sandbox.before_save(&plugin, call).await;
    let verdict = report.verdict;
    assert!(
        matches!(verdict, Err(RunFailure::TimedOut { .. })),
        "{verdict:?}"
    );
    assert_eq!(sandbox.running(), 0);
}

#[tokio::test]
async fn an_instance_is_ready_for_calls_of_the_same_limits() {
    let sandbox = sandbox(usual());
    let plugin = sandbox.load(&template_with(FINE, "{}", 0)).unwrap();
    let report = sandbox.before_save(&plugin, save()).await;
    report.leftover.renew().await;
    let mut call = save();
    call.plan.fuel_max_units = Some(1);
    let report = sandbox.before_save(&plugin, call).await;
    assert_eq!(
        report.verdict,
        Err(RunFailure::OutOfFuel { limit_units: 1 })
    );
}

/// Of a pool that has room for half as many.
#[tokio::test]
async fn instances_that_nobody_calls_make_room() {
    let sandbox = sandbox(usual());
    for number in 0..60 {
        let text = format!("[{number}]");
        let plugin = sandbox.load(&template_with(FINE, &text, 0)).unwrap();
        let report = sandbox.before_save(&plugin, save()).await;
        assert_eq!(report.verdict, Ok(HookVerdict::Fine), "{number}");
        report.leftover.renew().await;
    }
}
