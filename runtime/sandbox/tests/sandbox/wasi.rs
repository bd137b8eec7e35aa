//! Guests that import WASI get one that is empty, and the same at every attempt.

use crm_sandbox::{GuestLimits, LogLevel, NoHost, RunFailure, SandboxError, component_inspect};
use std::time::Duration;
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

use crate::guests::{ANSWER, SPIN, contract, manifest, module, with_manifest};
use crate::{call, run, sandbox, usual};

/// Of WASI 0.2.3, what these guests import.
const WASI: [&str; 5] = [
    "package wasi:io@0.2.3;
    interface error { resource error; }
    interface poll { resource pollable { block: func(); } }
    interface streams {
        use error.{error};
        variant stream-error { last-operation-failed(error), closed }
        resource output-stream {
            blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
        }
    }",
    "package wasi:clocks@0.2.3;
    interface wall-clock {
        record datetime { seconds: u64, nanoseconds: u32 }
        now: func() -> datetime;
    }
    interface monotonic-clock {
        use wasi:io/poll@0.2.3.{pollable};
        now: func() -> u64;
        subscribe-duration: func(when: u64) -> pollable;
    }",
    "package wasi:random@0.2.3;
    interface random {
        get-random-u64: func() -> u64;
        get-random-bytes: func(len: u64) -> list<u8>;
    }",
    "package wasi:cli@0.2.3;
    interface environment {
        get-environment: func() -> list<tuple<string, string>>;
        get-arguments: func() -> list<string>;
    }
    interface stdout {
        use wasi:io/streams@0.2.3.{output-stream};
        get-stdout: func() -> output-stream;
    }",
    "package wasi:filesystem@0.2.3;
    interface types { resource descriptor; }
    interface preopens {
        use types.{descriptor};
        get-directories: func() -> list<tuple<descriptor, string>>;
    }",
];

const IMPORTS: &str = r#"
    (import "wasi:clocks/wall-clock@0.2.3" "now" (func $time (param i32)))
    (import "wasi:clocks/monotonic-clock@0.2.3" "now" (func $clock (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.3" "subscribe-duration"
        (func $subscribe (param i64) (result i32)))
    (import "wasi:io/poll@0.2.3" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:random/random@0.2.3" "get-random-u64" (func $random (result i64)))
    (import "wasi:random/random@0.2.3" "get-random-bytes" (func $bytes (param i64 i32)))
    (import "wasi:cli/environment@0.2.3" "get-environment" (func $variables (param i32)))
    (import "wasi:cli/environment@0.2.3" "get-arguments" (func $arguments (param i32)))
    (import "wasi:filesystem/preopens@0.2.3" "get-directories" (func $directories (param i32)))
    (import "wasi:cli/stdout@0.2.3" "get-stdout" (func $stdout (result i32)))
    (import "wasi:io/streams@0.2.3" "[method]output-stream.blocking-write-and-flush"
        (func $write (param i32 i32 i32 i32)))"#;

/// An action that imports all of that; `body` leaves the answer's address.
fn action(body: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    contract(&mut resolve);
    for text in WASI {
        resolve.push_str("wasi.wit", text).unwrap();
    }
    let world = "package test:wasi;
        world guest {
            include crm:plugin/action@1.0.0;
            import wasi:clocks/wall-clock@0.2.3;
            import wasi:clocks/monotonic-clock@0.2.3;
            import wasi:random/random@0.2.3;
            import wasi:cli/environment@0.2.3;
            import wasi:cli/stdout@0.2.3;
            import wasi:filesystem/preopens@0.2.3;
        }";
    let package = resolve.push_str("test.wit", world).unwrap();
    let id = resolve.select_world(&[package], Some("guest")).unwrap();
    let functions = format!(
        r#"(func (export "run") (param $event i32) (result i32) {body})
        (data (i32.const 512) "first line\nsecond line\n")"#
    );
    let mut core = wat::parse_str(module(IMPORTS, 2, &functions)).unwrap();
    wit_component::embed_component_metadata(&mut core, &resolve, id, StringEncoding::UTF8).unwrap();
    let mut component = ComponentEncoder::default().module(&core).unwrap();
    with_manifest(component.encode().unwrap(), &manifest("action"))
}

/// Answers `fail` with 16 letters that stand for the number at `ANSWER + 64`.
fn spelled(number: &str) -> String {
    format!(
        r"(local $index i32)
        {number}
        (loop $next
            (i32.store8
                (i32.add (i32.const {text}) (local.get $index))
                (i32.add
                    (i32.const 97)
                    (i32.wrap_i64 (i64.and
                        (i64.shr_u
                            (i64.load (i32.const {from}))
                            (i64.extend_i32_u (i32.mul (local.get $index) (i32.const 4))))
                        (i64.const 15)))))
            (local.set $index (i32.add (local.get $index) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $index) (i32.const 16))))
        (i32.store8 (i32.const {ANSWER}) (i32.const 1))
        (i32.store8 (i32.const {case}) (i32.const 1))
        (i32.store (i32.const {at}) (i32.const {text}))
        (i32.store (i32.const {length}) (i32.const 16))
        (i32.const {ANSWER})",
        from = ANSWER + 64,
        text = ANSWER + 128,
        case = ANSWER + 8,
        at = ANSWER + 16,
        length = ANSWER + 20,
    )
}

fn letters(number: u64) -> RunFailure {
    let nibbles = (0..16).map(|index| (number >> (index * 4)) & 15);
    let letters = nibbles.map(|nibble| char::from(b'a' + u8::try_from(nibble).unwrap()));
    RunFailure::Fail(letters.collect())
}

#[tokio::test]
async fn the_clock_stands_still_at_the_time_of_the_event() {
    let time = format!("(call $time (i32.const {}))", ANSWER + 64);
    let report = run(usual(), &action(&spelled(&time))).await;
    let at = call().event.occurred_at.timestamp();
    let seconds = u64::try_from(at).unwrap();
    assert_eq!(report.outcome, Err(letters(seconds)));
    let clock = format!("(i64.store (i32.const {}) (call $clock))", ANSWER + 64);
    let report = run(usual(), &action(&spelled(&clock))).await;
    assert_eq!(report.outcome, Err(letters(0)));
}

#[tokio::test]
async fn chance_comes_from_the_seed() {
    let random = format!("(i64.store (i32.const {}) (call $random))", ANSWER + 64);
    let guest = action(&spelled(&random));
    let of_seed = async |seed: u64| {
        let sandbox = sandbox(usual());
        let plugin = sandbox.load(&guest).unwrap();
        let mut call = call();
        call.seed = seed;
        let report = sandbox.run_action(&plugin, call, Box::new(NoHost));
        report.await.outcome.unwrap_err()
    };
    let first = of_seed(1).await;
    assert!(matches!(first, RunFailure::Fail(_)), "{first:?}");
    assert_eq!(first, of_seed(1).await);
    assert_ne!(first, of_seed(2).await);
}

#[tokio::test]
async fn there_is_nothing_around() {
    let empty = |list: &str| {
        format!(
            "(call {list} (i32.const {at}))
            (if (i32.load (i32.const {length})) (then (unreachable)))",
            at = ANSWER + 200,
            length = ANSWER + 204,
        )
    };
    let lists = ["$variables", "$arguments", "$directories"]
        .map(empty)
        .join("\n");
    let report = run(usual(), &action(&format!("{lists} (i32.const {ANSWER})"))).await;
    assert_eq!(report.outcome.unwrap().mutations, []);
}

#[tokio::test]
async fn what_is_printed_is_in_the_log_as_far_as_it_fits() {
    let print = format!(
        "(call $write (call $stdout) (i32.const 512) (i32.const 23) (i32.const {}))",
        ANSWER + 200
    );
    let report = run(usual(), &action(&format!("{print} (i32.const {ANSWER})"))).await;
    let lines = report
        .logs
        .iter()
        .map(|line| (line.level, line.message.as_str()));
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [
            (LogLevel::Info, "first line"),
            (LogLevel::Info, "second line")
        ]
    );
    let flood = format!(
        "(local $times i32)
        (loop $again
            (call $write (call $stdout) (i32.const 512) (i32.const 23) (i32.const {}))
            (local.set $times (i32.add (local.get $times) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $times) (i32.const 200))))
        (i32.const {ANSWER})",
        ANSWER + 200
    );
    let limits = GuestLimits {
        log_max_bytes: 100,
        ..usual()
    };
    let report = run(limits, &action(&flood)).await;
    assert!(report.outcome.is_ok(), "{:?}", report.outcome);
    let kept: usize = report.logs.iter().map(|line| line.message.len()).sum();
    assert!(report.log_truncated && kept <= 100, "{kept} bytes");
}

#[tokio::test]
async fn waiting_ends_with_the_time_of_the_call() {
    let hour = "(call $block (call $subscribe (i64.const 3600000000000))) (unreachable)";
    let limits = GuestLimits {
        call_max: Duration::from_millis(60),
        ..usual()
    };
    let report = run(limits, &action(hour)).await;
    assert!(
        matches!(report.outcome, Err(RunFailure::TimedOut { .. })),
        "{:?}",
        report.outcome
    );
    assert!(
        report.duration < Duration::from_secs(5),
        "{:?}",
        report.duration
    );
    let report = run(limits, &action(SPIN)).await;
    assert!(
        matches!(report.outcome, Err(RunFailure::TimedOut { .. })),
        "{:?}",
        report.outcome
    );
}

#[tokio::test]
async fn floods_of_chance_and_of_handles_are_stopped() {
    for flood in [
        format!(
            "(call $bytes (i64.const 1000000000) (i32.const {}))",
            ANSWER + 200
        ),
        "(loop $again (drop (call $stdout)) (br $again))".to_owned(),
    ] {
        let report = run(usual(), &action(&format!("{flood} (unreachable)"))).await;
        let failure = report.outcome.unwrap_err();
        assert!(failure.is_fault(), "{failure:?}");
    }
}

#[test]
fn another_wasi_is_refused_by_name() {
    let guest = action(&format!("(i32.const {ANSWER})"));
    let inspected = component_inspect(&guest).unwrap();
    assert!(
        inspected
            .imports
            .iter()
            .any(|name| name == "wasi:cli/stdout@0.2.3"),
        "{:?}",
        inspected.imports
    );
    for name in ["wasi:http/outgoing-handler@0.2.3", "wasi:cli/stdout@0.3.0"] {
        let text = format!("(component (import \"{name}\" (instance)))");
        let bytes = with_manifest(wat::parse_str(text).unwrap(), &manifest("action"));
        match component_inspect(&bytes) {
            Err(SandboxError::ForbiddenImport { name: found, .. }) => assert_eq!(found, name),
            other => panic!("{other:?}"),
        }
    }
}
