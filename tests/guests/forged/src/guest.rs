//! An action written by hand: a core module with an allocator, wrapped into a component.

use serde_json::{Value, json};
use std::fmt::Write;
use wasm_encoder::{CustomSection, Encode, Section};
use wit_component::{ComponentEncoder, StringEncoding};

use crate::contract::{Answer, World};

/// Where the answer lies.
pub(crate) const ANSWER: usize = 1024;
/// Where the bump allocator starts.
const HEAP: usize = 64 << 10;
/// Never ends.
pub(crate) const SPIN: &str = "(loop $spin (br $spin)) (unreachable)";

/// The bodies of an action's functions, as WebAssembly text. It answers with no mutations unless
/// told otherwise.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Leaves the answer's address.
    pub run: String,
    /// Leaves the address of what was allocated; `$bytes` is its size.
    pub realloc: String,
    /// After the answer was read.
    pub post_return: String,
    /// More functions, globals, tables, data.
    pub more: String,
    /// The first memory: its limits, in pages.
    pub memory: String,
    /// What lies at [`ANSWER`].
    pub answer: Vec<u8>,
    /// More keys of the manifest.
    pub manifest: Value,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            run: format!("(i32.const {ANSWER})"),
            realloc: "(local $at i32)
                (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
                (global.set $heap (i32.add (local.get $at) (local.get $bytes)))
                (local.get $at)"
                .to_owned(),
            post_return: String::new(),
            more: String::new(),
            memory: "3".to_owned(),
            answer: Answer::mutations(8, 0),
            manifest: json!({}),
        }
    }
}

impl Guest {
    /// Whose `run` has this body.
    pub fn running(body: &str) -> Self {
        Self {
            run: body.to_owned(),
            ..Self::default()
        }
    }

    /// Whose `run` does this and then answers.
    pub fn doing(body: &str) -> Self {
        Self::running(&format!("{body} (i32.const {ANSWER})"))
    }

    /// Which answers with this memory.
    pub fn answering(answer: Vec<u8>) -> Self {
        Self {
            answer,
            ..Self::default()
        }
    }

    /// With more functions, globals, tables or data.
    pub fn with(self, more: &str) -> Self {
        Self {
            more: format!("{} {more}", self.more),
            ..self
        }
    }

    fn module(&self, world: &World) -> String {
        let Self {
            run,
            realloc,
            post_return,
            more,
            memory,
            ..
        } = self;
        let mut data = String::new();
        for byte in &self.answer {
            write!(data, "\\{byte:02x}").unwrap();
        }
        format!(
            r#"(module
            (memory (export "memory") {memory})
            (global $heap (mut i32) (i32.const {HEAP}))
            (func $realloc (export "cabi_realloc")
                (param i32 i32 i32) (param $bytes i32) (result i32) {realloc})
            (func $run (export "run") {signature} {run})
            (func (export "cabi_post_run") (param i32) {post_return})
            (data (i32.const {ANSWER}) "{data}")
            {more})"#,
            signature = world.signature("run"),
        )
    }

    /// The component without its manifest.
    pub fn bare(&self) -> Vec<u8> {
        let world = World::read("action");
        let mut core = wat::parse_str(self.module(&world)).unwrap();
        wit_component::embed_component_metadata(
            &mut core,
            &world.resolve,
            world.id,
            StringEncoding::UTF8,
        )
        .unwrap();
        let encoder = ComponentEncoder::default().validate(false);
        encoder.module(&core).unwrap().encode().unwrap()
    }

    /// The component.
    pub fn component(&self) -> Vec<u8> {
        with_manifest(self.bare(), &self.manifest)
    }
}

/// Adds a manifest; keys of `more` stand beside the usual ones or in their place.
pub(crate) fn with_manifest(component: Vec<u8>, more: &Value) -> Vec<u8> {
    let mut manifest = json!({
        "name": "forged", "version": "1.0.0", "world": "action", "title": "Forged",
    });
    for (key, value) in more.as_object().unwrap() {
        manifest[key] = value.clone();
    }
    with_section(component, "crm:manifest", manifest.to_string().as_bytes())
}

/// Appends a custom section to a module or component.
pub fn with_section(mut bytes: Vec<u8>, name: &str, data: &[u8]) -> Vec<u8> {
    let section = CustomSection {
        name: name.into(),
        data: data.into(),
    };
    bytes.push(section.id());
    section.encode(&mut bytes);
    bytes
}

/// A component written as text, with the manifest of an action.
pub(crate) fn component(text: &str) -> Vec<u8> {
    with_manifest(wat::parse_str(text).unwrap(), &json!({}))
}
