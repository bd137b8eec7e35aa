//! Plugins in other languages than Rust, and components in another runtime than ours: built with
//! their own toolchains, run on the same events, the same answers expected.
//!
//! The toolchains come from npm and PyPI into `target/toolchains`, once. Where there is no node or
//! no python3 a test says so and passes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod calls;
mod sandboxed;
mod tools;

use calls::{Case, collectors, field_set, mails};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn actions_in_typescript_answer_as_expected() {
    let Some(tools) = tools::javascript() else {
        return;
    };
    let build = |sdk: &Path| {
        let mut build = tools::command("node");
        build.arg(sdk.join("build.mjs")).env("CRM_JS_TOOLS", &tools);
        build
    };
    answer_as_expected(&tools, "js", build).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_in_python_answer_as_expected() {
    let Some(tools) = tools::python() else {
        return;
    };
    let build = |sdk: &Path| {
        let mut build = tools::command(tools.join("bin/python"));
        build.arg(sdk.join("build.py"));
        build
    };
    answer_as_expected(&tools, "python", build).await;
}

/// The SDK's example and the mailer in that language.
async fn answer_as_expected(tools: &Path, language: &str, build: impl Fn(&Path) -> Command) {
    let sdk = tools::root().join("plugin-sdk").join(language);
    let mailer = tools::root().join("tests/languages/mailer").join(language);
    for (plugin, cases) in [
        (sdk.join("examples/vip-flag"), collectors()),
        (mailer, mails()),
    ] {
        let component = tools::kept(tools, (&sdk, &plugin), |component| {
            tools::run(build(&sdk).args([&plugin, component]));
        });
        sandboxed::expect(&component, &cases).await;
    }
}

#[test]
fn the_typescript_example_has_sound_types() {
    let Some(tools) = tools::javascript() else {
        return;
    };
    let sdk = tools::root().join("plugin-sdk/js");
    let config = json!({
        "compilerOptions": {
            "strict": true, "noEmit": true, "target": "es2023", "module": "es2022",
            "moduleResolution": "bundler", "types": [],
            "paths": { "crm-plugin-sdk": [sdk.join("index.d.ts")] },
        },
        "files": [sdk.join("index.d.ts"), sdk.join("examples/vip-flag/src/index.ts")],
    });
    let path = tools.join("tsconfig.json");
    std::fs::write(&path, config.to_string()).unwrap();
    let tsc = tools.join("node_modules/.bin/tsc");
    tools::run(tools::command(tsc).arg("--project").arg(path));
}

/// What a component of ours answers does not depend on the runtime that it is in.
#[tokio::test(flavor = "multi_thread")]
async fn a_component_answers_the_same_in_node() {
    let Some(tools) = tools::javascript() else {
        return;
    };
    let (_, bytes) = crm_cli::bundled::components()
        .iter()
        .find(|(name, _)| *name == "field-set")
        .unwrap();
    let component = tools.join("field-set.wasm");
    std::fs::write(&component, bytes).unwrap();
    let transpiled = tools.join("field-set");
    tools::run(
        tools::command(tools.join("node_modules/.bin/jco"))
            .arg("transpile")
            .arg(&component)
            .arg("--out-dir")
            .arg(&transpiled)
            .args(["--name", "guest", "--instantiation", "async"])
            .args(["--no-typescript", "--quiet"]),
    );
    let cases = field_set();
    let calls = tools.join("field-set.json");
    let told: Vec<Value> = cases.iter().map(Case::as_the_contract_has_it).collect();
    std::fs::write(&calls, json!(told).to_string()).unwrap();
    let answered = tools::run(
        tools::command("node")
            .arg(tools::root().join("tests/languages/node.mjs"))
            .args([&transpiled, &calls]),
    );
    let answered: Vec<Value> = serde_json::from_str(&answered).unwrap();
    let ours = sandboxed::answers(bytes, &cases).await;
    assert_eq!(answered.len(), cases.len());
    for ((case, node), ours) in cases.iter().zip(answered).zip(ours) {
        assert_eq!(calls::outcome(&node), ours, "{}", case.name);
    }
}
