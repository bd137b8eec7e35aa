//! `crm plugin types`: the records of a template as types of a language, so that a field that
//! does not exist is the compiler's to find.

mod python;
mod rust;
mod shape;
mod typescript;

use anyhow::Result;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

use super::model_of::{Template, model_of};
use super::source::write;
pub(crate) use shape::{Kind, Shape};

#[derive(Debug, Args)]
pub(crate) struct TypesArguments {
    /// The template: one that crm brings, by its name, or a component's file
    #[arg(long)]
    template: String,
    /// The language
    #[arg(long, value_enum, default_value_t = TypesLanguage::Rust)]
    lang: TypesLanguage,
    /// Where to write; standard output unless given
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TypesLanguage {
    Rust,
    #[value(alias = "js", alias = "ts")]
    Typescript,
    Python,
}

pub(crate) async fn types(arguments: &TypesArguments) -> Result<()> {
    let template = model_of(&arguments.template).await?;
    let text = types_of(&template, arguments.lang);
    match &arguments.output {
        Some(path) => write(path, text.as_bytes()),
        None => {
            print!("{text}");
            Ok(())
        }
    }
}

/// The source text of a template's types.
pub(crate) fn types_of(template: &Template, language: TypesLanguage) -> String {
    let shape = Shape::of(template);
    let manifest = &template.manifest;
    let title = format!(
        "The records of the template {} {}, written by `crm plugin types`.",
        manifest.name, manifest.version
    );
    match language {
        TypesLanguage::Rust => rust::render(&title, &shape),
        TypesLanguage::Typescript => typescript::render(&title, &shape),
        TypesLanguage::Python => python::render(&title, &shape),
    }
}
