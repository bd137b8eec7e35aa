//! Downloads a PostgreSQL server where the machine has none (feature `download-postgres`). Only
//! fetches and unpacks; the cluster is made and run by the same code as with any other server.

use std::path::PathBuf;

use postgresql_embedded::{PostgreSQL, Settings, VersionReq};

use super::account::is_root;
use super::error::{PostgresError, files};
use super::place::SYSTEM_HOME;

/// Unpacks a server into the dependency's usual directory, unless it is there already, and answers
/// with the directory of its programs.
pub(crate) async fn download(
    major: Option<u32>,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<PathBuf, PostgresError> {
    let mut settings = Settings::new();
    if let Some(major) = major {
        settings.version = VersionReq::parse(&format!("={major}")).map_err(failed)?;
    }
    if is_root() {
        // Root's home is closed to the account that will run the server.
        settings.installation_dir = PathBuf::from(SYSTEM_HOME).join("postgresql");
    }
    // `setup` would also initialise a cluster, as root if need be, which PostgreSQL refuses: a
    // directory that looks initialised makes it leave out that step.
    let decoy = tempfile::tempdir().map_err(files("write to", &std::env::temp_dir()))?;
    let marker = decoy.path().join("postgresql.conf");
    std::fs::write(&marker, "").map_err(files("write", &marker))?;
    // The defaults are two empty directories that nobody else would remove.
    let password_place = settings.password_file.parent();
    for unused in password_place.into_iter().chain([&*settings.data_dir]) {
        let _ = std::fs::remove_dir(unused);
    }
    settings.data_dir = decoy.path().to_owned();

    progress("no PostgreSQL on this machine: downloading one (about 40 MB)");
    let mut server = PostgreSQL::new(settings);
    server.setup().await.map_err(failed)?;
    Ok(server.settings().binary_dir())
}

fn failed(error: impl std::fmt::Display) -> PostgresError {
    PostgresError::Download {
        said: error.to_string(),
    }
}
