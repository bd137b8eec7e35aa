//! Files that are no component, or another's idea of one.

use serde_json::json;
use wasm_encoder::{
    Component, ComponentImportSection, ComponentTypeRef, ComponentTypeSection, ComponentValType,
};
use wasmtime::{Config, Engine};

use crate::guest::{component, with_manifest};
use crate::{Forged, Guest, refused, with_section};

pub(crate) fn all() -> Vec<Forged> {
    let good = Guest::default().component();
    let module = wat::parse_str("(module)").unwrap();
    vec![
        refused("an empty file", Vec::new(), &["not_a_component"]),
        refused(
            "a magic number and nothing else",
            good[..4].to_vec(),
            &["not_a_component"],
        ),
        refused("a core module", module.clone(), &["not_a_component"]),
        refused(
            "a core module with a manifest",
            with_manifest(module, &json!({})),
            &["not_a_component"],
        ),
        refused(
            "a component cut in half",
            good[..good.len() / 2].to_vec(),
            &["not_a_component"],
        ),
        refused(
            "a component behind another",
            [&good[..], &good[..]].concat(),
            &["not_a_component"],
        ),
        refused("precompiled code", precompiled(&good), &["not_a_component"]),
        refused(
            "WebAssembly text",
            b"(component)".to_vec(),
            &["not_a_component"],
        ),
        refused("too many bytes", big(&good), &["too_big"]),
        refused("no manifest", Guest::default().bare(), &["manifest"]),
        refused(
            "two manifests",
            with_manifest(good.clone(), &json!({})),
            &["manifest"],
        ),
        refused(
            "a manifest of ten thousand levels",
            with_section(
                Guest::default().bare(),
                "crm:manifest",
                "[".repeat(10_000).as_bytes(),
            ),
            &["manifest"],
        ),
        refused(
            "a manifest with a key twice",
            with_section(
                Guest::default().bare(),
                "crm:manifest",
                br#"{"name":"a","name":"b","version":"1.0.0","world":"action","title":"A"}"#,
            ),
            &["manifest"],
        ),
        refused(
            "a section as long as the address space",
            [&good[..], b"\x00\xff\xff\xff\xff\x0f"].concat(),
            &["not_a_component"],
        ),
        refused(
            "a hundred thousand imports",
            with_manifest(imports(100_000), &json!({})),
            &["forbidden_import", "over_limit"],
        ),
        refused(
            "an import of WASI that there is none of",
            component(r#"(component (import "wasi:http/outgoing-handler@0.2.3" (instance)))"#),
            &["forbidden_import"],
        ),
        refused(
            "an import of nobody's",
            component(r#"(component (import "env" (instance)))"#),
            &["forbidden_import"],
        ),
        refused(
            "an import of a resource",
            component(r#"(component (import "socket" (type (sub resource))))"#),
            &["forbidden_import"],
        ),
        refused("no exports", component("(component)"), &["missing_export"]),
        refused(
            "an export of another type",
            component(
                r#"(component
                (core module $m (func (export "run")))
                (core instance $i (instantiate $m))
                (func (export "run") (canon lift (core func $i "run"))))"#,
            ),
            &["contract"],
        ),
        refused(
            "another world's manifest",
            with_manifest(Guest::default().bare(), &json!({"world": "template"})),
            &["world_mismatch"],
        ),
    ]
}

/// By names of few letters, or the file would be too big.
fn imports(count: usize) -> Vec<u8> {
    let mut types = ComponentTypeSection::new();
    let mut function = types.function();
    function
        .async_(false)
        .params::<[_; 0], ComponentValType>([])
        .result(None);
    let mut imports = ComponentImportSection::new();
    for index in 0..count {
        let name: String = [17_576, 676, 26, 1]
            .iter()
            .map(|place| char::from(b'a' + u8::try_from(index / place % 26).unwrap()))
            .collect();
        imports.import(&*name, ComponentTypeRef::Func(0));
    }
    let mut component = Component::new();
    component.section(&types).section(&imports);
    component.finish()
}

/// What this very wasmtime would take, if it were asked to.
fn precompiled(component: &[u8]) -> Vec<u8> {
    let engine = Engine::new(&Config::new()).unwrap();
    engine.precompile_component(component).unwrap()
}

/// More than any class may have.
fn big(good: &[u8]) -> Vec<u8> {
    with_section(good.to_vec(), "padding", &vec![0; 25 << 20])
}
