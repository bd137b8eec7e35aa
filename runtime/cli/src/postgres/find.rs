//! Finds the programs of a PostgreSQL server on this machine. Never installs anything (the
//! feature `download-postgres` is in `download.rs`) and never starts a server.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::PostgresError;

/// The oldest PostgreSQL that works: views with `security_invoker` came with 15.
pub const MINIMUM_MAJOR_VERSION: u32 = 15;

/// The environment variable that overrides the search.
pub const OVERRIDE_VARIABLE: &str = "CRM_POSTGRES_BIN";

/// A server's programs: `postgres`, `initdb` and whatever lies beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerBinaries {
    /// The directory that holds the programs.
    pub directory: PathBuf,
    /// The major version, for example 15.
    pub major: u32,
    /// The version as the server says it, for example `15.18`.
    pub version: String,
}

impl ServerBinaries {
    /// The path of one of the programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Finds a server: `CRM_POSTGRES_BIN`, else the one on the PATH, else the one that `pg_config`
/// knows, else the newest in the usual places, else (with the feature `download-postgres`) one
/// that is downloaded.
///
/// # Errors
///
/// [`PostgresError::NotInstalled`], [`PostgresError::TooOld`], [`PostgresError::BadOverride`], and
/// [`PostgresError::Download`] with that feature.
pub async fn find_server() -> Result<ServerBinaries, PostgresError> {
    find_server_for(None, &mut |_| {}).await
}

/// As [`find_server`]; for a cluster that exists only the major version that wrote it will do.
pub(crate) async fn find_server_for(
    cluster: Option<(u32, &Path)>,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<ServerBinaries, PostgresError> {
    if let Some(place) = env::var_os(OVERRIDE_VARIABLE).filter(|place| !place.is_empty()) {
        return right_version(overridden(PathBuf::from(place))?, cluster);
    }

    let mut rejected = None;
    let mut installed = candidates().filter_map(|place| inspect(&place).ok());
    let found = installed.find_map(|server| {
        let old = server.major < MINIMUM_MAJOR_VERSION;
        match right_version(server, cluster) {
            Ok(server) => Some(server),
            // One of another version says more than one that is too old for anything.
            Err(error) if rejected.is_none() || !old => {
                rejected = Some(error);
                None
            }
            Err(_) => None,
        }
    });
    match (found, rejected) {
        (Some(server), _) => Ok(server),
        (None, rejected) => elsewhere(rejected, cluster, progress).await,
    }
}

#[cfg(feature = "download-postgres")]
async fn elsewhere(
    _rejected: Option<PostgresError>,
    cluster: Option<(u32, &Path)>,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<ServerBinaries, PostgresError> {
    let place = super::download::download(cluster.map(|(major, _)| major), progress).await?;
    let server = inspect(&place).map_err(|said| PostgresError::Download { said })?;
    right_version(server, cluster)
}

#[cfg(not(feature = "download-postgres"))]
async fn elsewhere(
    rejected: Option<PostgresError>,
    _cluster: Option<(u32, &Path)>,
    _progress: &mut (dyn FnMut(&str) + Send),
) -> Result<ServerBinaries, PostgresError> {
    Err(rejected.unwrap_or(PostgresError::NotInstalled))
}

fn overridden(place: PathBuf) -> Result<ServerBinaries, PostgresError> {
    match inspect(&place) {
        Ok(server) => Ok(server),
        Err(reason) => Err(PostgresError::BadOverride { place, reason }),
    }
}

fn right_version(
    server: ServerBinaries,
    cluster: Option<(u32, &Path)>,
) -> Result<ServerBinaries, PostgresError> {
    match cluster {
        Some((wrote, cluster)) if wrote != server.major => Err(PostgresError::OtherVersion {
            wrote,
            found: server.major,
            cluster: cluster.to_owned(),
        }),
        _ if server.major < MINIMUM_MAJOR_VERSION => Err(PostgresError::TooOld {
            found: server.major,
            minimum: MINIMUM_MAJOR_VERSION,
            place: server.directory,
        }),
        _ => Ok(server),
    }
}

/// Directories that may hold a server, the preferred one first; asked lazily, because the first
/// one usually does.
fn candidates() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<_> = env::split_paths(&path)
        // What is on the PATH may be a link to one program of many, so its target's directory
        // comes first.
        .flat_map(|place| {
            let target = place.join("postgres").canonicalize().ok();
            let directory = target.and_then(|program| program.parent().map(Path::to_owned));
            [directory, Some(place)]
        })
        .flatten()
        .collect();
    on_path
        .into_iter()
        .chain(std::iter::once_with(configured).flatten())
        .chain(std::iter::once_with(usual_places).flatten())
}

/// The directory that `pg_config` names.
fn configured() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let place = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(place.trim())).filter(|place| place.is_absolute())
}

/// Where packages put servers, the newest first.
fn usual_places() -> Vec<PathBuf> {
    // (directory, beginning of the names in it, what follows the name)
    const PLACES: [(&str, &str, &str); 8] = [
        ("/usr/lib/postgresql", "", "bin"), // Debian, Ubuntu
        ("/usr", "pgsql-", "bin"),          // PostgreSQL's own packages for Red Hat's family
        ("/usr/libexec", "postgresql", ""), // Alpine
        ("/opt/homebrew/opt", "postgresql", "bin"),
        ("/usr/local/opt", "postgresql", "bin"),
        ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"),
        ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
        ("/Library/PostgreSQL", "", "bin"), // the installer of EDB
    ];
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (directory, beginning, rest) in PLACES {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(version) = name.strip_prefix(beginning) {
                found.push((number(version), entry.path().join(rest)));
            }
        }
    }
    found.sort_by(|(a, _), (b, _)| b.cmp(a));
    found.into_iter().map(|(_, place)| place).collect()
}

/// The first number in a text, 0 where there is none.
fn number(text: &str) -> u32 {
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    digits.get(..end).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Asks the programs in a directory who they are; the error is half a sentence.
fn inspect(place: &Path) -> Result<ServerBinaries, String> {
    for program in ["postgres", "initdb"] {
        if !place.join(program).is_file() {
            return Err(format!("there is no `{program}` in it"));
        }
    }
    let said = Command::new(place.join("postgres"))
        .arg("--version")
        .stderr(Stdio::null())
        .output()
        .map_err(|error| format!("its `postgres` does not run: {error}"))?;
    version(&String::from_utf8_lossy(&said.stdout), place)
        .ok_or_else(|| "its `postgres` does not tell its version".to_owned())
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian …)`.
fn version(said: &str, place: &Path) -> Option<ServerBinaries> {
    let version = said
        .strip_prefix("postgres (PostgreSQL) ")?
        .split_whitespace()
        .next()?;
    let major = number(version);
    (major > 0).then(|| ServerBinaries {
        directory: place.to_owned(),
        major,
        version: version.to_owned(),
    })
}

/// The command that installs a server on this operating system.
pub fn install_command() -> String {
    if cfg!(target_os = "macos") {
        return "brew install postgresql@17".to_owned();
    }
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let family: Vec<&str> = release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or(line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split_whitespace())
        .collect();
    let is = |names: &[&str]| names.iter().any(|name| family.contains(name));
    let command = if is(&["debian", "ubuntu"]) {
        "apt-get install postgresql"
    } else if is(&["fedora", "rhel", "centos"]) {
        "dnf install postgresql-server postgresql-contrib"
    } else if is(&["arch"]) {
        "pacman -S postgresql"
    } else if is(&["alpine"]) {
        "apk add postgresql"
    } else if is(&["suse", "opensuse"]) {
        "zypper install postgresql-server"
    } else {
        return "the package manager of this system (package `postgresql`)".to_owned();
    };
    if super::account::is_root() {
        command.to_owned()
    } else {
        format!("sudo {command}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_releases_and_previews() {
        let place = Path::new("/x");
        let read = |said: &str| version(said, place).map(|s| (s.major, s.version));
        assert_eq!(
            read("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some((15, "15.18".to_owned()))
        );
        assert_eq!(
            read("postgres (PostgreSQL) 18beta2\n"),
            Some((18, "18beta2".to_owned()))
        );
        assert_eq!(read("postgres (EnterpriseDB)"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn a_server_of_the_wrong_version_is_refused() {
        let server = |major| ServerBinaries {
            directory: PathBuf::from("/x"),
            major,
            version: String::new(),
        };
        assert!(right_version(server(15), None).is_ok());
        assert!(matches!(
            right_version(server(14), None),
            Err(PostgresError::TooOld { found: 14, .. })
        ));
        let cluster = Path::new("/data");
        assert!(right_version(server(16), Some((16, cluster))).is_ok());
        assert!(matches!(
            right_version(server(17), Some((16, cluster))),
            Err(PostgresError::OtherVersion {
                wrote: 16,
                found: 17,
                ..
            })
        ));
    }

    #[test]
    fn a_directory_without_a_server_says_what_is_missing() {
        let empty = tempfile::tempdir().unwrap();
        assert!(inspect(empty.path()).unwrap_err().contains("no `postgres`"));
    }
}
