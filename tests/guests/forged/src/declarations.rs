//! Components that ask for absurd things before any of their code runs.

use std::fmt::Write;
use wasm_encoder::{ComponentSectionId, Encode};

use crate::{Contained, Forged, Guest, failed, harmless, refused};

/// Refused for what is declared, by whoever counts it first.
const TOO_MUCH: &[&str] = &["over_limit", "compile", "contract"];

pub(crate) fn all() -> Vec<Forged> {
    let declaring =
        |name, more: &str| refused(name, Guest::default().with(more).component(), TOO_MUCH);
    let remembering = |name, memory: &str| {
        let guest = Guest {
            memory: memory.to_owned(),
            ..Guest::default()
        };
        refused(name, guest.component(), TOO_MUCH)
    };
    let beside = |name, module: &str| refused(name, with_module(module), TOO_MUCH);
    vec![
        remembering("a memory of 4 GiB", "65536"),
        beside("a memory of more than 4 GiB", "(memory 65537)"),
        beside(
            "a memory of 64-bit addresses, and of all of them",
            "(memory i64 281474976710656)",
        ),
        beside("a memory that is shared", "(memory 3 3 shared)"),
        declaring("three memories", "(memory 1) (memory 1)"),
        declaring(
            "a table of four thousand million",
            "(table 4000000000 funcref)",
        ),
        declaring("a hundred tables", &"(table 1 funcref)".repeat(100)),
        beside("sixty thousand functions", &"(func)".repeat(60_000)),
        beside("thirty thousand types", &types(30_000)),
        beside(
            "a hundred thousand globals",
            &"(global i32 (i32.const 0))".repeat(100_000),
        ),
        beside("too many locals", &locals(1, 50_001)),
        beside(
            "a start function of another type",
            "(func $f (param i32)) (start $f)",
        ),
        beside(
            "code that does not type-check",
            "(func (result i32) (i64.const 0))",
        ),
        beside("threads", "(func (atomic.fence))"),
        refused(
            "types a thousand levels deep",
            with_component(&nested_lists(1_000)),
            TOO_MUCH,
        ),
        refused(
            "a type of 2^40 fields",
            with_component(&doubled_tuples(40)),
            TOO_MUCH,
        ),
        refused(
            "components a thousand levels deep",
            with(ComponentSectionId::Component, &nested(1_000)),
            TOO_MUCH,
        ),
        refused(
            "a thousand core instances",
            with_component(&instances(1_000)),
            TOO_MUCH,
        ),
        refused("memories in many instances", many_memories(), TOO_MUCH),
        refused(
            "100,000 core imports",
            with_module(&core_imports(100_000)),
            TOO_MUCH,
        ),
        harmless(
            "blocks within blocks",
            &Guest::default().with(&blocks(5_000)),
        ),
        harmless(
            "a jump table of sixty thousand",
            &Guest::default().with(&jump_table(60_000)),
        ),
        failed(
            "a data segment outside of memory",
            &Guest::default().with(r#"(data (i32.const -1) "x")"#),
            &["trapped"],
        ),
        failed(
            "an element outside of its table",
            &Guest::default()
                .with("(table $t 1 funcref) (elem (table $t) (i32.const 1) func $run)"),
            &["trapped"],
        ),
    ]
}

/// A good action with another module in it, of whose code nothing runs.
fn with_module(text: &str) -> Vec<u8> {
    let module = wat::parse_str(format!("(module {text})")).unwrap();
    with(ComponentSectionId::CoreModule, &module)
}

/// A good action with another component in it.
fn with_component(text: &str) -> Vec<u8> {
    let component = wat::parse_str(format!("(component {text})")).unwrap();
    with(ComponentSectionId::Component, &component)
}

fn with(section: ComponentSectionId, data: &[u8]) -> Vec<u8> {
    let mut bytes = Guest::default().component();
    bytes.push(section.into());
    data.encode(&mut bytes);
    bytes
}

fn types(count: usize) -> String {
    let mut text = String::new();
    // Each is another type, so none is shared.
    for index in 0..count {
        let parameters: String = (0..15)
            .map(|bit| {
                if index >> bit & 1 == 0 {
                    " i32"
                } else {
                    " i64"
                }
            })
            .collect();
        write!(text, "(type (func (param{parameters})))").unwrap();
    }
    text
}

fn locals(functions: usize, locals: usize) -> String {
    let function = format!("(func (local{}))", " i64".repeat(locals));
    function.repeat(functions)
}

/// Few bytes, much work: every local is another value in each of many loops, and the compiler has
/// to find out which. It takes minutes and gigabytes.
pub fn compile_bomb() -> Forged {
    const LOCALS: usize = 5_000;
    const LOOPS: usize = 200;
    let mut function = format!("(func (param i32) (local{})", " i32".repeat(LOCALS));
    function.push_str(&"(loop ".repeat(LOOPS));
    for local in 1..=LOCALS {
        let next = local % LOCALS + 1;
        write!(
            function,
            "(local.set {local} (i32.add (local.get {next}) (local.get 0)))"
        )
        .unwrap();
    }
    for local in 1..=LOOPS {
        write!(function, "(br_if 0 (local.get {local})))").unwrap();
    }
    Forged {
        name: "a compile bomb",
        bytes: Guest::default().with(&(function + ")")).component(),
        contained: Contained::Refused(&["over_limit"]),
    }
}

fn blocks(depth: usize) -> String {
    format!("(func {} {})", "(block ".repeat(depth), ")".repeat(depth))
}

fn jump_table(targets: usize) -> String {
    format!(
        "(func (param i32) (br_table{} (local.get 0)))",
        " 0".repeat(targets)
    )
}

fn nested_lists(depth: usize) -> String {
    let mut text = String::from("(type $t0 (list u8))");
    for level in 1..depth {
        write!(text, "(type $t{level} (list $t{}))", level - 1).unwrap();
    }
    text
}

fn doubled_tuples(doublings: usize) -> String {
    let mut text = String::from("(type $t0 (tuple u8 u8))");
    for level in 1..doublings {
        let last = level - 1;
        write!(text, "(type $t{level} (tuple $t{last} $t{last}))").unwrap();
    }
    text
}

fn nested(depth: usize) -> Vec<u8> {
    let empty = wat::parse_str("(component)").unwrap();
    (1..depth).fold(empty.clone(), |within, _| {
        let mut bytes = empty.clone();
        bytes.push(ComponentSectionId::Component.into());
        within.encode(&mut bytes);
        bytes
    })
}

fn instances(count: usize) -> String {
    let instance = "(core instance (instantiate $m))";
    format!("(core module $m) {}", instance.repeat(count))
}

fn core_imports(count: usize) -> String {
    let mut module = String::new();
    for index in 0..count {
        write!(module, "(import \"\" \"{index}\" (func))").unwrap();
    }
    module
}

/// Each is small enough, all together are not.
fn many_memories() -> Vec<u8> {
    let memory = "(core module $m (memory 16)) (core instance (instantiate $m))";
    let memories: String = (0..30)
        .map(|index| memory.replace("$m", &format!("$m{index}")))
        .collect();
    with_component(&memories)
}
