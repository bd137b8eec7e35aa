//! Guests that trap, spin, hoard, flood and lie: each call ends with a sentence that says so, and
//! the sandbox serves the next one.

use crm_model::limits::{
    GUEST_LOG_MAX_BYTES, GUEST_MEMORY_MAX_BYTES, GUEST_OUTPUT_MAX_BYTES,
    INTERPRETER_MEMORY_MAX_BYTES, PLAN_FUEL_MAX_UNITS, RUN_MAX_MUTATIONS, TEMPLATE_MODEL_MAX_BYTES,
};
use crm_sandbox::{ActionReport, GuestLimits, NoHost, OverLimit, RunFailure};
use rstest::rstest;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

use crate::guests::{ANSWER, Answer, SPIN, action, action_with, answering, data_segment, template};
use crate::{call, failure, run, sandbox, usual};

#[rstest]
#[case("(unreachable)", "unreachable code (abort or panic)")]
#[case("(i32.load (i32.const -8))", "it reached outside of its memory")]
#[case("(i32.div_s (i32.const 1) (i32.const 0))", "division by zero")]
#[tokio::test]
async fn a_trap_is_said_in_words(#[case] body: &str, #[case] reason: &str) {
    let failure = failure(&action(body)).await;
    assert_eq!(
        failure.to_string(),
        format!("the component trapped: {reason}")
    );
    assert_eq!(failure.code(), "trapped");
}

#[tokio::test]
async fn a_loop_uses_up_its_fuel() {
    let report = run(usual(), &action(SPIN)).await;
    let expected = "the component used up its 200000000 units of fuel";
    assert_eq!(report.outcome.unwrap_err().to_string(), expected);
    assert_eq!(report.fuel, 200_000_000);
}

#[tokio::test]
async fn a_loop_at_the_start_uses_up_its_fuel_too() {
    let start = "(func $start (loop (br 0))) (start $start)";
    let failure = failure(&action_with(2, "(unreachable)", start)).await;
    assert_eq!(failure.code(), "out_of_fuel");
}

#[tokio::test]
async fn fuel_at_the_limit_is_enough_and_one_unit_less_is_not() {
    // Ends with a call, because fuel is looked at where a function or a turn of a loop starts.
    let component = action_with(
        2,
        &format!("(call $end) (i32.const {ANSWER})"),
        &format!(
            "(func $end) {}",
            data_segment(ANSWER, &Answer::creates(0, b"", ""))
        ),
    );
    let used = run(usual(), &component).await.fuel;
    let limits = |fuel_max_units| GuestLimits {
        fuel_max_units,
        ..usual()
    };
    assert_eq!(
        run(limits(used), &component).await.outcome,
        Ok(crm_sandbox::Outcome::default())
    );
    let outcome = run(limits(used - 1), &component).await.outcome;
    assert_eq!(
        outcome,
        Err(RunFailure::OutOfFuel {
            limit_units: used - 1
        })
    );
}

#[tokio::test]
async fn a_loop_with_fuel_to_spare_runs_out_of_time() {
    let limits = GuestLimits {
        fuel_max_units: u64::MAX,
        call_max: Duration::from_millis(50),
        ..usual()
    };
    let outcome = run(limits, &action(SPIN)).await.outcome;
    assert_eq!(
        outcome.unwrap_err().to_string(),
        "the component took longer than 50 ms"
    );
}

#[tokio::test]
async fn fuel_is_counted_of_a_loop_that_runs_out_of_time_too() {
    let limits = GuestLimits {
        fuel_max_units: u64::MAX,
        call_max: Duration::from_millis(300),
        ..usual()
    };
    let report = run(limits, &action(SPIN)).await;
    assert_eq!(report.outcome.unwrap_err().code(), "timed_out");
    // Some 400 million on a machine that is free.
    assert!(report.fuel >= 5_000_000, "{}", report.fuel);
}

#[tokio::test]
async fn guests_that_spin_do_not_keep_others_from_being_served() {
    let limits = GuestLimits {
        fuel_max_units: u64::MAX,
        call_max: Duration::from_millis(500),
        ..usual()
    };
    let sandbox = sandbox(limits);
    let spinning = sandbox.load(&action(SPIN)).unwrap();
    let good = sandbox
        .load(&answering("", &Answer::creates(0, b"", "")))
        .unwrap();
    let served = async {
        let mut served = 0;
        // Two guests spin on the only thread meanwhile.
        for _ in 0..20 {
            served += usize::from(
                sandbox
                    .run_action(&good, call(), Box::new(NoHost))
                    .await
                    .outcome
                    .is_ok(),
            );
        }
        served
    };
    let (first, second, served) = tokio::join!(
        sandbox.run_action(&spinning, call(), Box::new(NoHost)),
        sandbox.run_action(&spinning, call(), Box::new(NoHost)),
        served
    );
    assert_eq!(served, 20);
    for report in [first, second] {
        assert_eq!(report.outcome.unwrap_err().code(), "timed_out");
    }
}

#[tokio::test]
async fn calls_beyond_the_pool_wait_for_their_turn() {
    let sandbox = Arc::new(sandbox(usual()));
    let plugin = sandbox
        .load(&answering("", &Answer::creates(0, b"", "")))
        .unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..40 {
        let (sandbox, plugin) = (Arc::clone(&sandbox), Arc::clone(&plugin));
        calls.spawn(async move {
            sandbox
                .run_action(&plugin, call(), Box::new(NoHost))
                .await
                .outcome
        });
    }
    assert_eq!(
        calls.join_all().await,
        vec![Ok(crm_sandbox::Outcome::default()); 40]
    );
}

/// Grows by one page until it is refused.
const HOARD: &str = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))";

#[tokio::test]
async fn memory_up_to_the_limit_is_given_and_no_page_more() {
    let report = run(usual(), &answering(HOARD, &Answer::creates(0, b"", ""))).await;
    assert_eq!(report.outcome, Ok(crm_sandbox::Outcome::default()));
    assert_eq!(report.memory_bytes, GUEST_MEMORY_MAX_BYTES);
}

#[rstest]
#[case(HOARD, 33_619_968)]
#[case("(drop (memory.grow (i32.const 1023)))", 67_174_400)]
#[tokio::test]
async fn a_guest_that_cannot_do_with_less_memory_is_told_the_limit(
    #[case] hoard: &str,
    #[case] measured: u64,
) {
    let report = run(usual(), &action(&format!("{hoard} (unreachable)"))).await;
    let failure = report.outcome.unwrap_err();
    assert_eq!(failure.code(), "out_of_memory");
    let (limit, most) = ("memory_max_bytes", GUEST_MEMORY_MAX_BYTES as u64);
    assert_eq!(
        failure.over_limit(),
        Some(OverLimit {
            limit,
            measured,
            most
        })
    );
}

#[tokio::test]
async fn calls_go_as_deep_as_the_stack_and_no_deeper() {
    let component = |depth: u32| {
        action_with(
            2,
            &format!("(call $down (i32.const {depth})) (i32.const {ANSWER})"),
            &format!(
                "(func $down (param i32) (if (local.get 0)
                    (then (call $down (i32.sub (local.get 0) (i32.const 1))))))
                {}",
                data_segment(ANSWER, &Answer::creates(0, b"", ""))
            ),
        )
    };
    // A frame of so small a function takes some 30 to 100 bytes.
    assert!(run(usual(), &component(4_000)).await.outcome.is_ok());
    let failure = failure(&component(100_000)).await;
    assert_eq!(failure.over_limit().unwrap().limit, "stack_max_bytes");
}

#[tokio::test]
async fn a_plan_narrows_and_widens_what_a_call_may_take() {
    let sandbox = sandbox(usual());
    let plugin = sandbox.load(&action(SPIN)).unwrap();
    let planned = async |fuel_max_units| {
        let mut call = call();
        call.plan.fuel_max_units = Some(fuel_max_units);
        sandbox
            .run_action(&plugin, call, Box::new(NoHost))
            .await
            .outcome
            .unwrap_err()
    };
    for limit_units in [1_000, 300_000_000] {
        assert_eq!(
            planned(limit_units).await,
            RunFailure::OutOfFuel { limit_units }
        );
    }
    assert_eq!(planned(PLAN_FUEL_MAX_UNITS + 1).await.code(), "host");
}

#[tokio::test]
async fn an_interpreter_gets_more_memory() {
    let mut manifest = crate::guests::manifest("action");
    manifest["class"] = serde_json::json!("interpreter");
    let module = crate::guests::action_module(
        2,
        &format!("{HOARD} (i32.const {ANSWER})"),
        &data_segment(ANSWER, &Answer::creates(0, b"", "")),
    );
    let component =
        crate::guests::with_manifest(crate::guests::wrapped("action", &module), &manifest);
    let report = run(usual(), &component).await;
    assert!(report.outcome.is_ok());
    assert_eq!(report.memory_bytes, INTERPRETER_MEMORY_MAX_BYTES);
}

#[tokio::test]
async fn table_elements_up_to_the_limit_are_given_and_not_one_more() {
    let more = "(table $t 1 funcref)";
    let grown = |by: i32| {
        format!(
            "(if (i32.eq (table.grow $t (ref.null func) (i32.const {by}))
        (i32.const -1)) (then (unreachable))) (i32.const {ANSWER})"
        )
    };
    let component = |by| action_with(2, &grown(by), more);
    assert!(run(usual(), &component(19_900)).await.outcome.is_ok());
    let failure = failure(&component(20_000)).await;
    assert_eq!(
        failure.over_limit(),
        Some(OverLimit {
            limit: "table_max_elements",
            measured: 20_002,
            most: 20_000,
        })
    );
}

/// An action that creates one record whose data is that long, module name and all.
fn talker(bytes: usize) -> Vec<u8> {
    const DATA: usize = 128 << 10;
    let mut answer = Answer::creates(1, b"items", "");
    let length = u32::try_from(bytes - "items".len()).unwrap();
    answer[48..52].copy_from_slice(&u32::try_from(DATA).unwrap().to_le_bytes());
    answer[52..56].copy_from_slice(&length.to_le_bytes());
    let body = format!(
        "(memory.fill (i32.const {DATA}) (i32.const 32) (i32.const {length}))
        (i32.store8 (i32.const {DATA}) (i32.const 123))
        (i32.store8 (i32.const {}) (i32.const 125))
        (i32.const {ANSWER})",
        DATA + bytes - "items".len() - 1
    );
    action_with(
        2 + bytes.div_ceil(64 << 10),
        &body,
        &data_segment(ANSWER, &answer),
    )
}

#[tokio::test]
async fn an_answer_at_the_limit_is_taken_and_one_byte_more_is_not() {
    let report = run(usual(), &talker(GUEST_OUTPUT_MAX_BYTES)).await;
    assert_eq!(report.outcome.unwrap().mutations.len(), 1);
    assert_eq!(
        failure(&talker(GUEST_OUTPUT_MAX_BYTES + 1))
            .await
            .to_string(),
        "the component goes over the limit `output_max_bytes`: 262145, and at most 262144 is accepted"
    );
}

#[tokio::test]
async fn an_answer_far_beyond_the_limit_is_not_even_copied() {
    let expected = "the component goes over the limit `output_max_bytes`: 589825, and at most 262144 is accepted";
    assert_eq!(failure(&talker(2 << 20)).await.to_string(), expected);
    // A list that is only long: nearly all of it lies in one page of memory.
    let component = action_with(
        512,
        &format!("(i32.const {ANSWER})"),
        &data_segment(ANSWER, &Answer::list(65_536, 300_000)),
    );
    assert_eq!(failure(&component).await.to_string(), expected);
}

#[tokio::test]
async fn as_many_mutations_as_allowed_and_not_one_more() {
    let many = |count| answering("", &Answer::creates(count, b"items", "{}"));
    let report = run(usual(), &many(RUN_MAX_MUTATIONS)).await;
    assert_eq!(report.outcome.unwrap().mutations.len(), RUN_MAX_MUTATIONS);
    assert_eq!(
        failure(&many(RUN_MAX_MUTATIONS + 1)).await.to_string(),
        "the component goes over the limit `max_mutations`: 51, and at most 50 is accepted"
    );
}

#[rstest]
#[case::case_that_does_not_exist(vec![9; 32], "invalid expected discriminant")]
#[case::list_outside(Answer::list(1 << 30, 1), "out of bounds")]
#[case::list_askew(Answer::list(ANSWER + 1, 1), "not aligned")]
#[case::no_utf8(Answer::creates(1, b"\xff\xfe", "{}"), "invalid utf-8")]
#[case::no_module(Answer::creates(1, b"Items", "{}"), "is not a module name")]
#[case::no_json(Answer::creates(1, b"items", "{"), "mutation 1: its data is not JSON")]
#[tokio::test]
async fn an_answer_that_makes_no_sense_is_refused(#[case] answer: Vec<u8>, #[case] reason: &str) {
    match failure(&answering("", &answer)).await {
        RunFailure::Nonsense(found) => assert!(found.contains(reason), "{found}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_s_address_outside_of_memory_is_refused() {
    assert_eq!(
        failure(&action("(i32.const 0x7ffffff8)")).await.code(),
        "nonsense"
    );
}

fn flood(bytes_per_line: usize, lines: usize) -> Vec<u8> {
    let body = format!(
        "(local $i i32) (memory.fill (i32.const 1024) (i32.const 0) (i32.const 64))
        (memory.fill (i32.const 4096) (i32.const 120) (i32.const {bytes_per_line}))
        (loop
            (call $log (i32.const 1) (i32.const 4096) (i32.const {bytes_per_line}))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $i) (i32.const {lines}))))
        (i32.const {ANSWER})"
    );
    action_with(2 + bytes_per_line.div_ceil(64 << 10), &body, "")
}

fn log_bytes(report: &ActionReport) -> usize {
    report.logs.iter().map(|line| line.message.len() + 1).sum()
}

#[tokio::test]
async fn a_log_at_its_limit_is_kept_whole_and_one_byte_more_is_cut() {
    let report = run(usual(), &flood(GUEST_LOG_MAX_BYTES - 1, 1)).await;
    assert_eq!(
        (log_bytes(&report), report.log_truncated),
        (GUEST_LOG_MAX_BYTES, false)
    );
    let report = run(usual(), &flood(GUEST_LOG_MAX_BYTES, 1)).await;
    assert_eq!(
        (log_bytes(&report), report.log_truncated),
        (GUEST_LOG_MAX_BYTES, true)
    );
}

#[rstest]
#[case::many_lines(10, 10_000)]
#[case::empty_lines(0, 10_000)]
#[case::long_lines(1 << 19, 100)]
#[tokio::test]
async fn a_flood_of_log_lines_is_dropped_and_harms_nobody(
    #[case] bytes: usize,
    #[case] lines: usize,
) {
    let report = run(usual(), &flood(bytes, lines)).await;
    assert_eq!(report.outcome, Ok(crm_sandbox::Outcome::default()));
    assert!(report.log_truncated);
    assert!(log_bytes(&report) <= GUEST_LOG_MAX_BYTES);
}

#[tokio::test]
async fn a_model_at_the_limit_is_taken_and_one_byte_more_is_not() {
    let sandbox = sandbox(usual());
    let model = async |bytes: usize| {
        let plugin = sandbox.load(&template("{}", bytes - 2)).unwrap();
        sandbox.template_model(&plugin).await
    };
    assert_eq!(
        model(TEMPLATE_MODEL_MAX_BYTES).await.unwrap().len(),
        TEMPLATE_MODEL_MAX_BYTES
    );
    assert_eq!(
        model(TEMPLATE_MODEL_MAX_BYTES + 1)
            .await
            .unwrap_err()
            .to_string(),
        "the component goes over the limit `output_max_bytes`: 1048577, and at most 1048576 is accepted"
    );
}

#[tokio::test]
async fn a_sandbox_can_be_dropped_while_guests_run() {
    let limits = GuestLimits {
        fuel_max_units: u64::MAX,
        ..usual()
    };
    let sandbox = sandbox(limits);
    let plugin = sandbox.load(&action(SPIN)).unwrap();
    let running = sandbox.run_action(&plugin, call(), Box::new(NoHost));
    tokio::select! {
        biased;
        report = running => panic!("{report:?}"),
        () = tokio::task::yield_now() => {}
    }
    drop(sandbox);
}
