//! `crm plugin new`: a plugin in a folder of its own that builds and passes its tests.

mod files;
mod sdk;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use crm_model::{ModuleSlug, PluginName};
use std::path::{Path, PathBuf};

use super::model_of::model_of;
use super::source::write;
use super::types::{Kind, Shape, TypesLanguage, types_of};
use crate::say;
use files::files;
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
    /// The SDK: the folder plugin-sdk/rust, js or python of CRM Pro's source; that which crm was
    /// built from unless given
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    Rust,
    /// JavaScript, and TypeScript with esbuild
    #[value(alias = "javascript", alias = "ts", alias = "typescript")]
    Js,
    #[value(alias = "py")]
    Python,
}

impl Language {
    fn of_types(self) -> TypesLanguage {
        match self {
            Self::Rust => TypesLanguage::Rust,
            Self::Js => TypesLanguage::Typescript,
            Self::Python => TypesLanguage::Python,
        }
    }

    /// What follows, beside `crm plugin build` and `crm plugin test`.
    fn next(self) -> &'static str {
        match self {
            Self::Rust => "cargo test",
            Self::Js => "npm install && npm test",
            Self::Python => "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
        }
    }
}

/// On what the plugin works.
struct Subject {
    module: String,
    record: String,
    /// A field that holds text.
    field: String,
    /// The text of the model's types, and whether they have exact numbers.
    model: Option<(String, bool)>,
}

pub(crate) async fn new(arguments: &NewArguments) -> Result<()> {
    let name = &arguments.name;
    let directory = match &arguments.path {
        Some(path) => path.clone(),
        None => PathBuf::from(name.as_str()),
    };
    ensure_empty(&directory)?;
    let sdk = Sdk::find(arguments.lang, arguments.sdk.as_deref())?;
    let subject = subject(arguments).await?;
    for (path, text) in files(name, arguments.lang, &sdk, &subject)? {
        write(&directory.join(path), text.as_bytes())?;
    }
    say::step(&format!("the SDK is the one at {}", sdk.path.display()));
    let shown = directory.display();
    say::step(&format!(
        "next: cd {shown} && {} && crm plugin build && crm plugin test",
        arguments.lang.next()
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
            types_of(&compiled, arguments.lang.of_types()),
            shape.has_decimals(),
        )),
    })
}
