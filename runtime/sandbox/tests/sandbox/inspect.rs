//! What is accepted as a component, and what is refused for which reason.

use crm_model::limits::{
    COMPONENT_MAX_BYTES, COMPONENT_MAX_FUNCTIONS, COMPONENT_MAX_IMPORTS, COMPONENT_MAX_TYPES,
    INTERPRETER_MAX_BYTES,
};
use crm_model::manifest::World;
use crm_sandbox::{Digest, SandboxError, component_inspect};
use rstest::rstest;
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

#[rstest]
#[case("standard", COMPONENT_MAX_BYTES, "2097153 bytes; at most 2 MiB")]
#[case("interpreter", INTERPRETER_MAX_BYTES, "25165825 bytes; at most 24 MiB")]
fn a_component_at_the_size_limit_of_its_class_is_read_and_one_past_it_is_not(
    #[case] class: &str,
    #[case] most: usize,
    #[case] expected: &str,
) {
    let mut manifest = manifest("action");
    manifest["class"] = json!(class);
    let bare = wrapped("action", &action_module(2, "(unreachable)", ""));
    let small = with_manifest(bare, &manifest);
    // An empty custom section named `x` of that size takes so many bytes more.
    let beside = with_section(Vec::new(), "x", &vec![0; most / 2]).len() - most / 2;
    let padded =
        |size: usize| with_section(small.clone(), "x", &vec![0; size - small.len() - beside]);
    assert_eq!(padded(most).len(), most);
    assert!(component_inspect(&padded(most)).is_ok());
    let error = component_inspect(&padded(most + 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the component has {expected} are accepted: `component_max_bytes` of the class \
             `{class}`"
        )
    );
}

/// At its limit, and one past it, beside what a good action has of its own.
#[rstest]
#[case("max_functions", "(func)", COMPONENT_MAX_FUNCTIONS)]
#[case("max_types", "(type (func))", COMPONENT_MAX_TYPES)]
#[case("max_imports", "(import \"a\" \"#\" (func))", COMPONENT_MAX_IMPORTS)]
#[case("table_max_elements", "(table $t 1 funcref)", 0)]
#[case("memory_max_bytes", "", 0)]
fn what_a_component_is_made_of_is_counted(
    #[case] limit: &str,
    #[case] part: &str,
    #[case] most: usize,
) {
    // In a module of its own beside the good one.
    let with = |count: usize| {
        let module = match limit {
            "table_max_elements" => format!("(table {} funcref)", 19_990 + count),
            "memory_max_bytes" => format!("(memory {})", 509 + count),
            _ => (0..most - 100 + count)
                .map(|index| part.replace('#', &index.to_string()))
                .collect(),
        };
        let module = wat::parse_str(format!("(module {module})")).unwrap();
        let mut bytes = answering("", &[0; 32]);
        bytes.push(1);
        wasm_encoder::Encode::encode(&module[..], &mut bytes);
        component_inspect(&bytes)
    };
    let mut counts = 0..=200;
    let past = counts.find(|count| with(*count).is_err()).unwrap();
    assert!(past > 0, "{:?}", with(past));
    match with(past) {
        Err(SandboxError::OverLimit {
            limit: found,
            measured,
            most,
        }) => {
            assert_eq!(found, limit);
            let step = if limit == "memory_max_bytes" {
                65_536
            } else {
                1
            };
            assert_eq!(measured, most + step);
        }
        other => panic!("{other:?}"),
    }
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
        "wasi:http/types@0.2.0",
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
