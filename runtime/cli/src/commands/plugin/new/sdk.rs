//! Where a new plugin finds the SDK. It is not on crates.io yet, so it is a folder: that of the
//! source which this `crm` was built from, or one that the author names.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

const PACKAGE_LINE: &str = "name = \"crm-plugin-sdk\"";
/// From the root of the product's source.
const FOLDER: &str = "plugin-sdk/rust";

/// The SDK's crate.
pub(crate) struct Sdk {
    /// Absolute.
    pub(crate) path: PathBuf,
    /// The lock file of the source around it: the versions that the SDK was tested with.
    pub(crate) lock: Option<String>,
}

impl Sdk {
    /// The SDK that was named, or that of the source which this command was built from.
    ///
    /// # Errors
    /// A sentence that says how to name one.
    pub(crate) fn find(named: Option<&Path>) -> Result<Self> {
        let built_from = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let found = match named {
            Some(named) => crate_in(named).with_context(|| {
                format!(
                    "{} is not the SDK: --sdk takes the folder {FOLDER} of CRM Pro's source",
                    named.display()
                )
            })?,
            None => match crate_in(built_from) {
                Some(found) => found,
                None => bail!(
                    "the source that this crm was built from is not here, and the SDK is part of \
                     it: name the folder {FOLDER} of CRM Pro's source {} with --sdk",
                    env!("CARGO_PKG_VERSION")
                ),
            },
        };
        let path = found
            .canonicalize()
            .with_context(|| format!("{} cannot be read", found.display()))?;
        let lock = path
            .ancestors()
            .nth(2)
            .and_then(|root| std::fs::read_to_string(root.join("Cargo.lock")).ok());
        Ok(Self { path, lock })
    }
}

/// The folder itself, or the SDK's below the root of the source.
fn crate_in(folder: &Path) -> Option<PathBuf> {
    [folder.to_owned(), folder.join(FOLDER)]
        .into_iter()
        .find(|folder| {
            std::fs::read_to_string(folder.join("Cargo.toml"))
                .is_ok_and(|text| text.lines().any(|line| line.trim() == PACKAGE_LINE))
        })
}
