//! `crm plugin new`: a plugin in a folder of its own that builds and passes its tests.

mod sdk;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use crm_model::{ModuleSlug, PluginName};
use std::path::{Path, PathBuf};

use super::model_of::model_of;
use super::source::write;
use super::types::{Kind, Shape, TypesLanguage, types_of};
use crate::say;
use sdk::Sdk;

/// A module that many industries have, for a plugin that is made without a template.
const MODULE: &str = "customers";
const RECORD: &str = "Customer";
const FIELD: &str = "name";

#[derive(Debug, Args)]
pub(crate) struct NewArguments {
    /// The plugin's name, such as vip-flag
    name: PluginName,
    /// The language
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
    /// The template whose records it works on, for typed records: one that crm brings (hospital,
    /// jewellery), or a component's file
    #[arg(long)]
    template: Option<String>,
    /// The module of that template; its first unless given
    #[arg(long, requires = "template")]
    module: Option<ModuleSlug>,
    /// The folder to make; the plugin's name unless given
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// The SDK: the folder plugin-sdk/rust of CRM Pro's source; that which crm was built from
    /// unless given
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Language {
    Rust,
}

/// Every file of a new plugin, with places to fill in.
const FILES: [(&str, &str); 10] = [
    ("Cargo.toml", include_str!("scaffold/rust/Cargo.toml.txt")),
    ("src/lib.rs", include_str!("scaffold/rust/lib.rs.txt")),
    (".gitignore", include_str!("scaffold/rust/gitignore.txt")),
    ("plugin.json", include_str!("scaffold/rust/plugin.json.txt")),
    (
        "cases/somebody/event.json",
        include_str!("scaffold/cases/somebody.event.json.txt"),
    ),
    (
        "cases/somebody/config.json",
        include_str!("scaffold/cases/config.json.txt"),
    ),
    (
        "cases/somebody/expected.json",
        include_str!("scaffold/cases/somebody.expected.json.txt"),
    ),
    (
        "cases/nobody/event.json",
        include_str!("scaffold/cases/nobody.event.json.txt"),
    ),
    (
        "cases/nobody/config.json",
        include_str!("scaffold/cases/config.json.txt"),
    ),
    (
        "cases/nobody/expected.json",
        include_str!("scaffold/cases/nobody.expected.json.txt"),
    ),
];

/// On what the plugin works.
struct Subject {
    module: String,
    record: String,
    /// A field that holds text.
    field: String,
    /// The text of `src/model.rs`, and whether it has exact numbers.
    model: Option<(String, bool)>,
}

pub(crate) async fn new(arguments: &NewArguments) -> Result<()> {
    let name = &arguments.name;
    let Language::Rust = arguments.lang;
    let directory = match &arguments.path {
        Some(path) => path.clone(),
        None => PathBuf::from(name.as_str()),
    };
    ensure_empty(&directory)?;
    let sdk = Sdk::find(arguments.sdk.as_deref())?;
    let subject = subject(arguments).await?;
    for (path, text) in files(name, &sdk, &subject)? {
        write(&directory.join(path), text.as_bytes())?;
    }
    say::step(&format!("the SDK is the one at {}", sdk.path.display()));
    let shown = directory.display();
    say::step(&format!(
        "next: cd {shown} && cargo test && crm plugin build && crm plugin test"
    ));
    println!("{shown}");
    Ok(())
}

fn ensure_empty(directory: &Path) -> Result<()> {
    let is_empty = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => {
            let shown = directory.display();
            return Err(error).with_context(|| format!("{shown} cannot be a plugin's folder"));
        }
        Ok(mut entries) => entries.next().is_none(),
    };
    ensure!(
        is_empty,
        "{} is there already and is not empty; choose another folder with --path",
        directory.display()
    );
    Ok(())
}

async fn subject(arguments: &NewArguments) -> Result<Subject> {
    let Some(template) = &arguments.template else {
        return Ok(Subject {
            module: MODULE.to_owned(),
            record: RECORD.to_owned(),
            field: FIELD.to_owned(),
            model: None,
        });
    };
    let compiled = model_of(template).await?;
    let shape = Shape::of(&compiled);
    let wanted = |module: &str| match &arguments.module {
        Some(wanted) => wanted.as_str() == module,
        None => true,
    };
    let Some(record) = shape.records.iter().find(|record| wanted(&record.module)) else {
        let modules = shape.records.iter().map(|record| record.module.as_str());
        bail!(
            "{template} has no such module; it has {}",
            modules.collect::<Vec<_>>().join(", ")
        );
    };
    let modules = &compiled.definition.modules;
    let title = modules
        .iter()
        .find(|module| module.slug.as_str() == record.module)
        .and_then(|module| module.title_field.as_ref());
    let texts = || record.members.iter().filter(|it| it.kind == Kind::Text);
    let named = texts().find(|member| title.is_some_and(|it| it.as_str() == member.key));
    let field = named.or_else(|| texts().next()).with_context(|| {
        let module = &record.module;
        format!("{module} has no field that holds text; choose another module with --module")
    })?;
    Ok(Subject {
        module: record.module.clone(),
        record: record.name.clone(),
        field: field.key.clone(),
        model: Some((
            types_of(&compiled, TypesLanguage::Rust),
            shape.has_decimals(),
        )),
    })
}

/// Every file of a new plugin, by its path.
fn files(name: &PluginName, sdk: &Sdk, subject: &Subject) -> Result<Vec<(&'static str, String)>> {
    let record = match &subject.model {
        None => format!("\n{}", include_str!("scaffold/rust/record.rs.txt")),
        Some(_) => format!("\nuse crate::model::{};\n", subject.record),
    };
    let decimal = match &subject.model {
        Some((_, true)) => "rust_decimal = { version = \"1\", features = [\"serde-with-str\"] }\n",
        _ => "",
    };
    let model = match &subject.model {
        Some(_) => "\nmod model;\n",
        None => "",
    };
    let sdk_path = serde_json::to_string(&sdk.path).with_context(|| {
        format!(
            "{} is a path that no Cargo.toml can hold",
            sdk.path.display()
        )
    })?;
    let title = title(name.as_str());
    let filled = |text: &str| {
        text.replace("{{uses}}", &record)
            .replace("{{model}}", model)
            .replace("{{decimal}}", decimal)
            .replace("{{sdk}}", &sdk_path)
            .replace("{{name}}", name.as_str())
            .replace("{{title}}", &title)
            .replace("{{module}}", &subject.module)
            .replace("{{record}}", &subject.record)
            .replace("{{field}}", &subject.field)
    };
    let mut files: Vec<_> = FILES
        .iter()
        .map(|(path, text)| (*path, filled(text)))
        .collect();
    if let Some((text, _)) = &subject.model {
        files.push(("src/model.rs", text.clone()));
    }
    if let Some(lock) = &sdk.lock {
        files.push(("Cargo.lock", lock.clone()));
    }
    Ok(files)
}

/// `vip-flag` to `Vip flag`.
fn title(name: &str) -> String {
    let words = name.replace('-', " ");
    let mut characters = words.chars();
    characters.next().map_or_else(String::new, |first| {
        format!("{}{}", first.to_ascii_uppercase(), characters.as_str())
    })
}
