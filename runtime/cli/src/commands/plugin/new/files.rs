//! The files of a new plugin, as they are embedded in this program, filled in.

use anyhow::{Context, Result};
use crm_model::PluginName;

use super::{Language, Sdk, Subject};

/// A path and a text with places to fill in.
type File = (&'static str, &'static str);

const CASES: [File; 6] = [
    (
        "cases/somebody/event.json",
        include_str!("../scaffold/cases/somebody.event.json.txt"),
    ),
    (
        "cases/somebody/config.json",
        include_str!("../scaffold/cases/config.json.txt"),
    ),
    (
        "cases/somebody/expected.json",
        include_str!("../scaffold/cases/somebody.expected.json.txt"),
    ),
    (
        "cases/nobody/event.json",
        include_str!("../scaffold/cases/nobody.event.json.txt"),
    ),
    (
        "cases/nobody/config.json",
        include_str!("../scaffold/cases/config.json.txt"),
    ),
    (
        "cases/nobody/expected.json",
        include_str!("../scaffold/cases/nobody.expected.json.txt"),
    ),
];
const MANIFEST: File = ("plugin.json", include_str!("../scaffold/plugin.json.txt"));
const RUST: [File; 3] = [
    (
        "Cargo.toml",
        include_str!("../scaffold/rust/Cargo.toml.txt"),
    ),
    ("src/lib.rs", include_str!("../scaffold/rust/lib.rs.txt")),
    (".gitignore", include_str!("../scaffold/rust/gitignore.txt")),
];
const JS: [File; 5] = [
    (
        "package.json",
        include_str!("../scaffold/js/package.json.txt"),
    ),
    // So that the SDK is copied: what is linked lies outside of what the toolchain sees.
    (".npmrc", include_str!("../scaffold/js/npmrc.txt")),
    ("src/index.js", include_str!("../scaffold/js/index.js.txt")),
    (
        "test/index.test.js",
        include_str!("../scaffold/js/test.js.txt"),
    ),
    (".gitignore", include_str!("../scaffold/js/gitignore.txt")),
];
const PYTHON: [File; 3] = [
    (
        "requirements.txt",
        include_str!("../scaffold/python/requirements.txt"),
    ),
    ("app.py", include_str!("../scaffold/python/app.py.txt")),
    (
        ".gitignore",
        include_str!("../scaffold/python/gitignore.txt"),
    ),
];
const RUST_RECORD: &str = include_str!("../scaffold/rust/record.rs.txt");

/// Every file of a new plugin, by its path in the plugin's folder.
///
/// # Errors
/// Where the SDK's path is none that a file can hold.
pub(super) fn files(
    name: &PluginName,
    language: Language,
    sdk: &Sdk,
    subject: &Subject,
) -> Result<Vec<(&'static str, String)>> {
    let path = sdk
        .path
        .to_str()
        .with_context(|| format!("{} is a path that no file can hold", sdk.path.display()))?;
    let title = title(name.as_str());
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let (sdk_path, sdk_file) = (quoted(path), quoted(&format!("file:{path}")));
    let sdk_url = format!("file://{path}");
    let record_type = record_type(language, subject);
    // Those first that hold places themselves.
    let places = [
        ("{{uses}}", uses(language, subject)),
        ("{{model}}", model(language, subject)),
        ("{{decimal}}", decimal(subject)),
        ("{{sdk}}", sdk_path),
        ("{{sdk_file}}", sdk_file),
        ("{{sdk_url}}", sdk_url),
        ("{{record_type}}", record_type),
        ("{{class}}", class(language)),
        ("{{name}}", name.to_string()),
        ("{{title}}", title),
        ("{{module}}", subject.module.clone()),
        ("{{record}}", subject.record.clone()),
        ("{{field}}", subject.field.clone()),
    ];
    let filled = |text: &str| {
        let mut text = text.to_owned();
        for (place, value) in &places {
            text = text.replace(place, value);
        }
        text
    };
    let of_language: &[File] = match language {
        Language::Rust => &RUST,
        Language::Js => &JS,
        Language::Python => &PYTHON,
    };
    let all = of_language.iter().chain([&MANIFEST]).chain(&CASES);
    let mut files: Vec<_> = all.map(|(path, text)| (*path, filled(text))).collect();
    if let Some((text, _)) = &subject.model {
        let path = match language {
            Language::Rust => "src/model.rs",
            Language::Js => "src/model.d.ts",
            Language::Python => "model.py",
        };
        files.push((path, text.clone()));
    }
    if let Some(lock) = &sdk.lock {
        files.push(("Cargo.lock", lock.clone()));
    }
    Ok(files)
}

fn uses(language: Language, subject: &Subject) -> String {
    let record = &subject.record;
    match (language, subject.model.is_some()) {
        (Language::Rust, true) => format!("\nuse crate::model::{record};\n"),
        (Language::Rust, false) => format!("\n{RUST_RECORD}"),
        (Language::Python, true) => format!("from model import {record}\n"),
        (Language::Python | Language::Js, _) => String::new(),
    }
}

fn model(language: Language, subject: &Subject) -> String {
    match (language, subject.model.is_some()) {
        (Language::Rust, true) => "\nmod model;\n".to_owned(),
        _ => String::new(),
    }
}

fn decimal(subject: &Subject) -> String {
    match &subject.model {
        Some((_, true)) => {
            "rust_decimal = { version = \"1\", features = [\"serde-with-str\"] }\n".to_owned()
        }
        _ => String::new(),
    }
}

fn record_type(language: Language, subject: &Subject) -> String {
    let record = &subject.record;
    match (language, subject.model.is_some()) {
        (Language::Js, true) => format!("import('./model.js').{record}"),
        (Language::Js, false) => format!("{{ {}?: string }}", subject.field),
        (Language::Python, false) => "dict".to_owned(),
        (Language::Rust, _) | (Language::Python, true) => record.clone(),
    }
}

/// A component with an interpreter inside is larger and takes more memory.
fn class(language: Language) -> String {
    match language {
        Language::Rust => String::new(),
        Language::Js | Language::Python => "\n  \"class\": \"interpreter\",".to_owned(),
    }
}

/// `vip-flag` to `Vip flag`.
fn title(name: &str) -> String {
    let words = name.replace('-', " ");
    let mut characters = words.chars();
    characters.next().map_or_else(String::new, |first| {
        format!("{}{}", first.to_ascii_uppercase(), characters.as_str())
    })
}
