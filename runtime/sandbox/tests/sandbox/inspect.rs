//! What is accepted as a component, and what is refused for which reason.

use crm_model::limits::COMPONENT_MAX_BYTES;
use crm_model::manifest::World;
use crm_sandbox::{Digest, SandboxError, component_inspect};
use serde_json::json;

use crate::guests::{
    action_module, answering, manifest, template, with_manifest, with_section, wrapped,
};

fn component(text: &str) -> Vec<u8> {
    with_manifest(wat::parse_str(text).unwrap(), &manifest("action"))
}

#[test]
fn an_action_is_described_without_being_run() {
    let bytes = answering(
        "(call $log (i32.const 1) (i32.const 0) (i32.const 0))",
        &[0; 32],
    );
    let inspected = component_inspect(&bytes).unwrap();
    assert_eq!(inspected.manifest.name.as_str(), "guest");
    assert_eq!(inspected.manifest.version.to_string(), "1.2.3");
    assert_eq!(inspected.manifest.world, World::Action);
    assert_eq!(inspected.digest, Digest::of(&bytes));
    assert_eq!(
        inspected.imports,
        ["crm:plugin/types@1.0.0", "crm:plugin/log@1.0.0"]
    );
}

#[test]
fn a_template_is_described_too() {
    let inspected = component_inspect(&template("{}", 0)).unwrap();
    assert_eq!(inspected.manifest.world, World::Template);
    assert_eq!(inspected.imports, ["crm:plugin/types@1.0.0"]);
}

#[test]
fn what_is_no_component_is_refused() {
    let module = wat::parse_str("(module)").unwrap();
    let cut = &answering("", &[0; 32])[..200];
    for (bytes, expected) in [
        (&b""[..], "does not start as WebAssembly"),
        (
            b"\x7fELF\x02\x01\x01 compiled code",
            "compiled code is never accepted",
        ),
        (&module, "it is a core module"),
        (cut, "unexpected end-of-file"),
    ] {
        match component_inspect(bytes) {
            Err(SandboxError::NotAComponent(reason)) => {
                assert!(reason.contains(expected), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_component_at_the_size_limit_is_read_and_one_past_it_is_not() {
    let small = answering("", &[0; 32]);
    // An empty custom section named `x` of that size takes seven bytes.
    let padded = |size: usize| with_section(small.clone(), "x", &vec![0; size - small.len() - 7]);
    assert_eq!(padded(COMPONENT_MAX_BYTES).len(), COMPONENT_MAX_BYTES);
    assert!(component_inspect(&padded(COMPONENT_MAX_BYTES)).is_ok());
    let error = component_inspect(&padded(COMPONENT_MAX_BYTES + 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the component has 16777217 bytes; at most 16 MiB are accepted"
    );
}

#[test]
fn a_manifest_is_needed_once_outside_and_readable() {
    let bare = wrapped("action", &action_module(2, "(unreachable)", ""));
    let twice = with_manifest(answering("", &[0; 32]), &manifest("action"));
    let mut strange = manifest("action");
    strange["price"] = json!(1);
    let mut elsewhere = manifest("action");
    elsewhere["config_schema"] =
        json!({"type": "object", "properties": {"a": {"$ref": "https://example.com/a"}}});
    let text = manifest("action").to_string().replace('"', "\\\"");
    let nested = format!("(component (core module (@custom \"crm:manifest\" \"{text}\")))");
    for (bytes, expected) in [
        (bare.clone(), "there is no section"),
        (twice, "there are 2 sections"),
        (
            with_manifest(bare.clone(), &strange),
            "unknown field `price`",
        ),
        (
            with_manifest(bare.clone(), &elsewhere),
            "`config_schema` refers to “https://example.com/a”",
        ),
        (with_section(bare.clone(), "crm:manifest", b"{"), "EOF"),
        (
            with_manifest(bare, &json!({"name": "Guest!"})),
            "is not a plugin name",
        ),
        (wat::parse_str(nested).unwrap(), "there is no section"),
    ] {
        match component_inspect(&bytes) {
            Err(SandboxError::Manifest(reason)) => assert!(reason.contains(expected), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_import_beyond_the_contract_is_named() {
    for name in [
        "wasi:clocks/monotonic-clock@0.2.0",
        "wasi:cli/environment@0.2.3",
        "crm:plugin/log@0.2.0",
        "crm:plugin/files@1.0.0",
        "crm:plugin/log",
        "env",
    ] {
        let bytes = component(&format!("(component (import \"{name}\" (instance)))"));
        match component_inspect(&bytes) {
            Err(SandboxError::ForbiddenImport { name: found, .. }) => assert_eq!(found, name),
            other => panic!("{other:?}"),
        }
    }
    let resource = component("(component (import \"socket\" (type (sub resource))))");
    let error = component_inspect(&resource).unwrap_err().to_string();
    assert!(
        error.starts_with("the component imports `socket`"),
        "{error}"
    );
}

#[test]
fn a_template_may_not_read_records() {
    let text = r#"(component (import "crm:plugin/records@1.0.0" (instance)))"#;
    let bytes = with_manifest(wat::parse_str(text).unwrap(), &manifest("template"));
    let error = component_inspect(&bytes).unwrap_err();
    assert!(matches!(
        error,
        SandboxError::ForbiddenImport {
            world: World::Template,
            ..
        }
    ));
}

#[test]
fn the_exports_have_to_be_those_of_the_manifest_s_world() {
    assert_eq!(
        component_inspect(&component("(component)")),
        Err(SandboxError::MissingExport {
            world: World::Action,
            export: "run"
        })
    );
    let action = wrapped("action", &action_module(2, "(unreachable)", ""));
    assert_eq!(
        component_inspect(&with_manifest(action, &manifest("template"))),
        Err(SandboxError::WorldMismatch {
            claimed: World::Template,
            found: World::Action
        })
    );
}

#[test]
fn an_export_of_another_type_breaks_the_contract() {
    let text = r#"(component
        (core module $m (func (export "run")))
        (core instance $i (instantiate $m))
        (func (export "run") (canon lift (core func $i "run"))))"#;
    let error = component_inspect(&component(text)).unwrap_err();
    assert!(matches!(error, SandboxError::Contract(_)), "{error}");
}

#[test]
fn a_module_that_is_not_valid_breaks_the_contract() {
    let text = r#"(component (core module (func (result i32) (i64.const 0)))
        (core module $m (func (export "run")))
        (core instance $i (instantiate $m))
        (func (export "run") (canon lift (core func $i "run"))))"#;
    let error = component_inspect(&component(text)).unwrap_err().to_string();
    assert!(error.contains("type mismatch"), "{error}");
}
