//! Where a new plugin finds the SDK. It is on no registry yet, so it is a folder: that of the
//! source which this `crm` was built from, or one that the author names.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

use super::Language;

/// The SDK of a language.
pub(crate) struct Sdk {
    /// Absolute.
    pub(crate) path: PathBuf,
    /// For Rust, the lock file of the source around it: the versions that the SDK was tested with.
    pub(crate) lock: Option<String>,
}

impl Sdk {
    /// The SDK that was named, or that of the source which this command was built from.
    ///
    /// # Errors
    /// A sentence that says how to name one.
    pub(crate) fn find(language: Language, named: Option<&Path>) -> Result<Self> {
        let built_from = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let (folder, file, line) = mark(language);
        let found = match named {
            Some(named) => package_in(named, language).with_context(|| {
                format!(
                    "{} is not the SDK: --sdk takes the folder {folder} of CRM Pro's source, \
                     whose {file} says {line}",
                    named.display()
                )
            })?,
            None => match package_in(built_from, language) {
                Some(found) => found,
                None => bail!(
                    "the source that this crm was built from is not here, and the SDK is part of \
                     it: name the folder {folder} of CRM Pro's source {} with --sdk",
                    env!("CARGO_PKG_VERSION")
                ),
            },
        };
        let path = found
            .canonicalize()
            .with_context(|| format!("{} cannot be read", found.display()))?;
        let root = path.ancestors().nth(2);
        let lock = root
            .filter(|_| language == Language::Rust)
            .and_then(|root| std::fs::read_to_string(root.join("Cargo.lock")).ok());
        Ok(Self { path, lock })
    }
}

/// The SDK's folder, and the line of a file that makes it one.
fn mark(language: Language) -> (&'static str, &'static str, &'static str) {
    match language {
        Language::Rust => ("plugin-sdk/rust", "Cargo.toml", "name = \"crm-plugin-sdk\""),
        Language::Js => (
            "plugin-sdk/js",
            "package.json",
            "\"name\": \"crm-plugin-sdk\",",
        ),
        Language::Python => (
            "plugin-sdk/python",
            "pyproject.toml",
            "name = \"crm-plugin-sdk\"",
        ),
    }
}

/// The folder itself, or the SDK's below the root of the source.
fn package_in(root: &Path, language: Language) -> Option<PathBuf> {
    let (folder, file, line) = mark(language);
    [root.to_owned(), root.join(folder)]
        .into_iter()
        .find(|folder| {
            std::fs::read_to_string(folder.join(file))
                .is_ok_and(|text| text.lines().any(|found| found.trim() == line))
        })
}
