//! Two tenants take turns in the same places of the pool: nothing of a call is left for the next.

use crm_forged_guests::{Answer, Guest};
use crm_model::{Event, EventId};
use crm_sandbox::{NoHost, RunFailure, Sandbox, SandboxSettings};
use std::sync::Arc;
use uuid::Uuid;

use crate::{call, usual};

/// Calls of each test run; `make test-long` sets more.
const CALLS: u128 = 4_000;
/// Calls under way at once: each of a tenant's own, and more than there are places.
const TASKS: u128 = 8;

/// Traps when it finds what any call before it left: in memory that it has at its start, in a page
/// that it grows, in a global or a table. Then leaves the same everywhere, and answers with the
/// id of the event that it was called with.
fn nosy() -> Guest {
    let message_at = u32::try_from(Answer::message_at()).unwrap();
    Guest::doing(&format!(
        "(local $at i32) (local $end i32)
        (if (global.get $seen) (then (unreachable)))
        (if (i32.eqz (ref.is_null (table.get $t (i32.const 0)))) (then (unreachable)))
        (if (i32.ne (memory.grow (i32.const 2)) (i32.const 3)) (then (unreachable)))
        (local.set $end (i32.mul (memory.size) (i32.const 65536)))
        (loop $look
            (if (i64.eq (i64.load (local.get $at)) (i64.const 0x7ace0f1e0f1e7ace))
                (then (unreachable)))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $look (i32.lt_u (local.get $at) (local.get $end))))
        (global.set $seen (i32.const 1))
        (table.set $t (i32.const 0) (ref.func $run))
        (local.set $at (i32.const 131072))
        (loop $leave
            (i64.store (local.get $at) (i64.const 0x7ace0f1e0f1e7ace))
            (local.set $at (i32.add (local.get $at) (i32.const 512)))
            (br_if $leave (i32.lt_u (local.get $at) (local.get $end))))
        (i64.store (i32.const 16) (i64.const 0x7ace0f1e0f1e7ace))
        (i32.store (i32.const {message_at}) (i32.load (local.get 0)))
        (i32.store (i32.const {}) (i32.load offset=4 (local.get 0)))",
        message_at + 4
    ))
    .with("(global $seen (mut i32) (i32.const 0)) (table $t 1 funcref) (elem declare func $run)")
}

fn calls() -> u128 {
    let calls = std::env::var("TENANT_CALLS").ok();
    calls.map_or(CALLS, |calls| calls.parse().expect("a number"))
}

#[tokio::test]
async fn two_tenants_see_nothing_of_each_other() {
    let sandbox = Arc::new(
        Sandbox::new(SandboxSettings {
            threads: 2,
            concurrency: 3,
            limits: usual(),
            ..SandboxSettings::default()
        })
        .unwrap(),
    );
    let guest = Guest {
        answer: Answer::fail(0, 0),
        ..nosy()
    };
    let plugin = sandbox.load(&guest.component()).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for tenant in 0..TASKS {
        let (sandbox, plugin) = (Arc::clone(&sandbox), Arc::clone(&plugin));
        tasks.spawn(async move {
            for number in 0..calls() / TASKS {
                let id = EventId::new(Uuid::from_u128(tenant << 64 | number));
                let mut call = call();
                let event = Arc::unwrap_or_clone(call.event);
                call.event = Arc::new(Event { id, ..event });
                let report = sandbox.run_action(&plugin, call, Box::new(NoHost)).await;
                assert_eq!(report.outcome, Err(RunFailure::Fail(id.to_string())));
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test]
async fn the_nosy_guest_finds_what_is_there() {
    let left = r#"(data (i32.const 140000) "\ce\7a\1e\0f\1e\0f\ce\7a")"#;
    let found = crate::failure(&nosy().with(left).component()).await;
    assert_eq!(found.code(), "trapped");
}
