//! Guests as WebAssembly text, laid out by hand after the canonical ABI: what a compiler would
//! never write is what has to be tested.

use serde_json::{Value, json};
use std::fmt::Write;
use wasm_encoder::{CustomSection, Encode, Section};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::{PackageId, Resolve};

/// Where a guest's answer starts.
pub(crate) const ANSWER: usize = 1024;
/// Where the bump allocator starts: behind a page of answer and text.
const HEAP: usize = 64 << 10;

pub(crate) fn manifest(world: &str) -> Value {
    json!({"name": "guest", "version": "1.2.3", "world": world, "title": "A guest"})
}

/// Appends a custom section to a module or component.
pub(crate) fn with_section(mut bytes: Vec<u8>, name: &str, data: &[u8]) -> Vec<u8> {
    let section = CustomSection {
        name: name.into(),
        data: data.into(),
    };
    bytes.push(section.id());
    section.encode(&mut bytes);
    bytes
}

pub(crate) fn with_manifest(component: Vec<u8>, manifest: &Value) -> Vec<u8> {
    with_section(component, "crm:manifest", manifest.to_string().as_bytes())
}

/// Reads the contract.
pub(crate) fn contract(resolve: &mut Resolve) -> PackageId {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugin-sdk/wit");
    resolve.push_dir(directory).unwrap().0
}

/// Wraps a core module into a component of a world, without a manifest.
pub(crate) fn wrapped(world: &str, module: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = contract(&mut resolve);
    let id = resolve.select_world(&[package], Some(world)).unwrap();
    let mut core = wat::parse_str(module).unwrap();
    wit_component::embed_component_metadata(&mut core, &resolve, id, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default()
        .module(&core)
        .unwrap()
        .encode()
        .unwrap()
}

const LOG: &str = r#"(import "crm:plugin/log@1.0.0" "write" (func $log (param i32 i32 i32)))"#;

/// A core module with an allocator, two pages of memory, and these functions and data.
pub(crate) fn module(imports: &str, pages: usize, functions: &str) -> String {
    format!(
        r#"(module
            {imports}
            (memory (export "memory") {pages})
            (global $heap (mut i32) (i32.const {HEAP}))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at
                    (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
                (global.set $heap (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            {functions})"#
    )
}

/// A core module of the world `action`; `body` leaves the answer's address.
pub(crate) fn action_module(pages: usize, body: &str, more: &str) -> String {
    let run = format!(r#"(func $run (export "run") (param $event i32) (result i32) {body})"#);
    module(LOG, pages, &format!("{run} {more}"))
}

/// An action whose `run` has this body, beside other functions and data.
pub(crate) fn action_with(pages: usize, body: &str, more: &str) -> Vec<u8> {
    with_manifest(
        wrapped("action", &action_module(pages, body, more)),
        &manifest("action"),
    )
}

/// An action whose `run` has this body.
pub(crate) fn action(body: &str) -> Vec<u8> {
    action_with(2, body, "")
}

/// An action that does something and then answers with what lies in its memory.
pub(crate) fn answering(before: &str, data: &[u8]) -> Vec<u8> {
    action_with(
        2,
        &format!("{before} (i32.const {ANSWER})"),
        &data_segment(ANSWER, data),
    )
}

/// A template whose `model` answers with this text, followed by `padding` spaces.
pub(crate) fn template(text: &str, padding: usize) -> Vec<u8> {
    template_with("(unreachable)", text, padding)
}

/// A template whose `before-save` has this body.
pub(crate) fn template_with(before_save: &str, text: &str, padding: usize) -> Vec<u8> {
    let length = text.len() + padding;
    let pages = (HEAP + length).div_ceil(64 << 10);
    let (start, end) = (HEAP, HEAP + text.len());
    let functions = format!(
        r#"(func (export "model") (result i32)
            (memory.fill (i32.const {end}) (i32.const 32) (i32.const {padding}))
            (i32.store (i32.const {ANSWER}) (i32.const {start}))
            (i32.store (i32.const {}) (i32.const {length}))
            (i32.const {ANSWER}))
        (func (export "before-save") (param i32) (result i32) {before_save})
        (func (export "after-event") (param i32) (result i32) (unreachable))
        (func (export "migrate") (param i32 i32 i32 i32 i32 i32) (result i32) (unreachable))
        {}"#,
        ANSWER + 4,
        data_segment(start, text.as_bytes()),
    );
    with_manifest(
        wrapped("template", &module("", pages, &functions)),
        &manifest("template"),
    )
}

pub(crate) fn data_segment(address: usize, data: &[u8]) -> String {
    let mut text = format!("(data (i32.const {address}) \"");
    for byte in data {
        write!(text, "\\{byte:02x}").unwrap();
    }
    text + "\")"
}

/// The memory of an answer: `result<outcome, failure>`.
pub(crate) struct Answer {
    bytes: Vec<u8>,
}

impl Answer {
    fn put(&mut self, at: usize, value: usize) {
        let value = u32::try_from(value).unwrap();
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// Appends the text and writes its address and length at `at`.
    fn put_text(&mut self, at: usize, text: &[u8]) {
        self.put(at, ANSWER + self.bytes.len());
        self.put(at + 4, text.len());
        self.bytes.extend_from_slice(text);
    }

    /// `ok` with as many mutations that create this record.
    pub(crate) fn creates(count: usize, module: &[u8], data: &str) -> Vec<u8> {
        const LIST: usize = 32;
        const MUTATION: usize = 80;
        let mut answer = Self {
            bytes: vec![0; LIST + count * MUTATION],
        };
        answer.put(8, ANSWER + LIST);
        answer.put(12, count);
        for index in 0..count {
            let at = LIST + index * MUTATION;
            answer.put_text(at + 8, module);
            answer.put_text(at + 16, data.as_bytes());
        }
        answer.bytes
    }

    /// `ok` with a list of that length at that address.
    pub(crate) fn list(address: usize, count: usize) -> Vec<u8> {
        let mut answer = Self { bytes: vec![0; 32] };
        answer.put(8, address);
        answer.put(12, count);
        answer.bytes
    }

    /// `err(fail(text))`.
    pub(crate) fn fail(text: &str) -> Vec<u8> {
        Self::failure(1, 16, text)
    }

    /// `err(skip(text))`.
    pub(crate) fn skip(text: &str) -> Vec<u8> {
        Self::failure(2, 16, text)
    }

    /// `err(retry(after-ms, reason))`.
    pub(crate) fn retry(after_milliseconds: usize, reason: &str) -> Vec<u8> {
        let mut bytes = Self::failure(0, 24, reason);
        bytes[16..24].copy_from_slice(&(after_milliseconds as u64).to_le_bytes());
        bytes
    }

    fn failure(case: u8, text_at: usize, text: &str) -> Vec<u8> {
        let mut answer = Self { bytes: vec![0; 32] };
        answer.bytes[0] = 1;
        answer.bytes[8] = case;
        answer.put_text(text_at, text.as_bytes());
        answer.bytes
    }
}

/// `run` that answers `fail` with the text whose address and length are at `offset` of its event.
pub(crate) fn echo(offset: usize) -> Vec<u8> {
    let body = format!(
        r"(i32.store8 (i32.const {ANSWER}) (i32.const 1))
        (i32.store8 (i32.const {}) (i32.const 1))
        (i32.store (i32.const {}) (i32.load offset={offset} (local.get $event)))
        (i32.store (i32.const {}) (i32.load offset={} (local.get $event)))
        (i32.const {ANSWER})",
        ANSWER + 8,
        ANSWER + 16,
        ANSWER + 20,
        offset + 4,
    );
    action(&body)
}

/// Never ends.
pub(crate) const SPIN: &str = "(loop (br 0)) (unreachable)";
