//! Code that does not end, or ends badly, wherever the host calls it.

use crate::guest::SPIN;
use crate::{Forged, Guest, failed, harmless};

pub(crate) fn all() -> Vec<Forged> {
    let mut all = endless();
    all.extend(greedy());
    all.extend(trapping());
    all.push(harmless("state kept from the last call", &keeping()));
    all.push(harmless("a NaN with a message in its bits", &nan()));
    all
}

fn endless() -> Vec<Forged> {
    const SPENT: &[&str] = &["out_of_fuel", "timed_out"];
    let recursion = |name, run: &str, more: &str| {
        failed(
            name,
            &Guest::doing(run).with(more),
            &["over_limit", "trapped"],
        )
    };
    vec![
        failed("a loop in run", &Guest::running(SPIN), SPENT),
        failed(
            "a loop in start",
            &Guest::default().with(&format!("(func $start {SPIN}) (start $start)")),
            SPENT,
        ),
        failed(
            "a loop in realloc",
            &Guest {
                realloc: SPIN.to_owned(),
                ..Guest::default()
            },
            SPENT,
        ),
        failed(
            "a loop in post-return",
            &Guest {
                post_return: SPIN.to_owned(),
                ..Guest::default()
            },
            SPENT,
        ),
        failed(
            "copying all memory for ever",
            &Guest::running(
                "(loop $again
                    (memory.copy (i32.const 0) (i32.const 1) (i32.const 196607))
                    (br $again))
                (unreachable)",
            ),
            SPENT,
        ),
        recursion("recursion", "(call $down)", "(func $down (call $down))"),
        recursion(
            "recursion of two",
            "(call $ping)",
            "(func $ping (call $pong)) (func $pong (call $ping))",
        ),
        recursion(
            "recursion through a table",
            "(call_indirect $t (i32.const 0))",
            "(table $t 1 funcref) (elem (table $t) (i32.const 0) func $down)
            (func $down (call_indirect $t (i32.const 0)))",
        ),
        recursion(
            "recursion with a hundred values in each frame",
            "(drop (call $down (i64.const 1)))",
            &format!(
                "(func $down (param i64) (result i64)
                    {} (call $down (local.get 0)) {})",
                "(local.get 0)".repeat(100),
                "(i64.add)".repeat(100)
            ),
        ),
    ]
}

fn greedy() -> Vec<Forged> {
    const OUT: &[&str] = &["out_of_memory", "over_limit"];
    let growing = |name, body: &str| failed(name, &Guest::doing(body), OUT);
    vec![
        growing(
            "memory, page by page",
            "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
            (unreachable)",
        ),
        growing(
            "memory, all at once",
            "(drop (memory.grow (i32.const 65533))) (unreachable)",
        ),
        growing(
            "memory that is not there",
            "(i32.store (i32.shl (memory.grow (i32.const 65533)) (i32.const 16)) (i32.const 1))",
        ),
        failed(
            "a table, element by element",
            &Guest::doing(
                "(loop $more (br_if $more
                    (i32.ne (table.grow $t (ref.null func) (i32.const 1)) (i32.const -1))))
                (unreachable)",
            )
            .with("(table $t 1 funcref)"),
            &["over_limit", "trapped"],
        ),
        failed(
            "a table, all at once",
            &Guest::doing(
                "(drop (table.grow $t (ref.null func) (i32.const 0x7fffffff))) (unreachable)",
            )
            .with("(table $t 1 funcref)"),
            &["over_limit", "trapped", "out_of_fuel"],
        ),
    ]
}

fn trapping() -> Vec<Forged> {
    const TRAPPED: &[&str] = &["trapped"];
    let trap = |name, body: &str, more: &str| failed(name, &Guest::doing(body).with(more), TRAPPED);
    vec![
        trap("an abort", "(unreachable)", ""),
        trap(
            "division by zero",
            "(drop (i32.div_s (i32.const 1) (i32.const 0)))",
            "",
        ),
        trap(
            "an overflow of a division",
            "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))",
            "",
        ),
        trap(
            "a load outside of memory",
            "(drop (i32.load (i32.const -4)))",
            "",
        ),
        trap(
            "a store outside of memory",
            "(i64.store (i32.const -8) (i64.const 1))",
            "",
        ),
        trap(
            "a load with a huge offset",
            "(drop (i32.load offset=4294967295 (i32.const -1)))",
            "",
        ),
        trap(
            "a copy that ends outside of memory",
            "(memory.copy (i32.const 0) (i32.const 196600) (i32.const 100))",
            "",
        ),
        trap(
            "a number out of range",
            "(drop (i32.trunc_f64_s (f64.const 1e300)))",
            "",
        ),
        trap(
            "not a number",
            "(drop (i32.trunc_f64_s (f64.const nan)))",
            "",
        ),
        trap(
            "a call of nothing",
            "(call_indirect $t (i32.const 0))",
            "(table $t 1 funcref)",
        ),
        trap(
            "a call outside of its table",
            "(call_indirect $t (i32.const 7))",
            "(table $t 1 funcref)",
        ),
        trap(
            "a call of another type",
            "(call_indirect $t (i32.const 0))",
            "(table $t 1 funcref) (elem (table $t) (i32.const 0) func $realloc)",
        ),
        trap(
            "a trap in start",
            "",
            "(func $start (unreachable)) (start $start)",
        ),
        failed(
            "a trap in realloc",
            &Guest {
                realloc: "(unreachable)".to_owned(),
                ..Guest::default()
            },
            TRAPPED,
        ),
        failed(
            "a trap in post-return",
            &Guest {
                post_return: "(unreachable)".to_owned(),
                ..Guest::default()
            },
            TRAPPED,
        ),
    ]
}

/// Traps when it finds what it left in memory, in a global, in a table or in a grown page.
fn keeping() -> Guest {
    Guest::doing(
        "(if (i32.load (i32.const 16)) (then (unreachable)))
        (if (global.get $seen) (then (unreachable)))
        (if (i32.eqz (ref.is_null (table.get $t (i32.const 0)))) (then (unreachable)))
        (if (i32.ne (memory.grow (i32.const 1)) (i32.const 3)) (then (unreachable)))
        (if (i32.load (i32.const 196608)) (then (unreachable)))
        (i32.store (i32.const 16) (i32.const 1))
        (i32.store (i32.const 196608) (i32.const 1))
        (global.set $seen (i32.const 1))
        (table.set $t (i32.const 0) (ref.func $realloc))",
    )
    .with(
        "(global $seen (mut i32) (i32.const 0)) (table $t 1 funcref) (elem declare func $realloc)",
    )
}

/// Traps when a NaN that it computed says more than that it is one.
fn nan() -> Guest {
    Guest::doing(
        "(if (i64.ne
            (i64.and
                (i64.reinterpret_f64 (f64.add
                    (f64.reinterpret_i64 (i64.const 0x7ff8000000c0ffee)) (f64.const 1)))
                (i64.const 0x7fffffffffffffff))
            (i64.const 0x7ff8000000000000))
        (then (unreachable)))",
    )
}
