//! Where the cluster and the files beside it live. Chooses and creates directories; never touches
//! what is inside a cluster and never runs a server.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::account::{Account, is_root};
use super::error::{PostgresError, files};

/// Where clusters go that cannot stay in their data directory (only ever used by root).
pub(crate) const SYSTEM_HOME: &str = "/var/lib/crm-pro";

/// The files of one private PostgreSQL.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The directory that holds all of them: the data directory, or one under [`SYSTEM_HOME`].
    pub(crate) home: PathBuf,
    /// PostgreSQL's own data directory. May not exist yet.
    pub(crate) cluster: PathBuf,
    /// The superuser's password, readable by crm alone.
    pub(crate) password: PathBuf,
    /// Shared by every crm process that uses the server; the last one out stops it.
    pub(crate) users: PathBuf,
    /// The process id of the server that crm started.
    pub(crate) started: PathBuf,
    pub(crate) log: PathBuf,
}

impl Place {
    fn at(home: PathBuf) -> Self {
        Self {
            cluster: home.join("postgres"),
            password: home.join("postgres.password"),
            users: home.join("postgres.users"),
            started: home.join("postgres.started"),
            log: home.join("postgres.log"),
            home,
        }
    }

    /// The place that a data directory uses already, if it does.
    pub(crate) fn existing(data_dir: &Path) -> Option<Self> {
        // Through the link, where the cluster lives elsewhere.
        let cluster = data_dir.join("postgres").canonicalize().ok()?;
        Some(Self::at(cluster.parent()?.to_owned()))
    }

    /// Finds or chooses the place for a data directory. The caller holds the data directory's
    /// lock.
    pub(crate) fn settle(
        data_dir: &Path,
        progress: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(Self, Account), PostgresError> {
        if let Some(place) = Self::existing(data_dir) {
            let account = Account::for_cluster(&place.cluster)?;
            if !account.can_enter(&place.home) {
                return Err(out_of_reach(place.home, account));
            }
            return Ok((place, account));
        }
        let account = Account::for_new_cluster()?;
        if is_usable(data_dir, account) {
            return Ok((Self::at(data_dir.to_owned()), account));
        }
        if !is_root() {
            return Err(PostgresError::NotOurs {
                path: data_dir.to_owned(),
            });
        }
        let place = Self::at(Path::new(SYSTEM_HOME).join(short_hash(data_dir)));
        place.link_from(data_dir)?;
        if !account.can_enter(&place.home) {
            return Err(out_of_reach(place.home, account));
        }
        progress(&if place.cluster.exists() {
            format!(
                "using the data that this directory left in {} (remove that to begin anew)",
                place.home.display()
            )
        } else {
            format!(
                "the account that runs PostgreSQL cannot use {}, so the database goes to {}",
                data_dir.display(),
                place.home.display()
            )
        });
        Ok((place, account))
    }

    fn link_from(&self, data_dir: &Path) -> Result<(), PostgresError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&self.home)
            .map_err(files("create", &self.home))?;
        let link = data_dir.join("postgres");
        // What is there now, if anything, is a link to a cluster that is gone.
        match fs::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(files("replace", &link)(error));
            }
            _ => {}
        }
        symlink(&self.cluster, &link).map_err(files("create", &link))
    }
}

/// Whether the account can reach a directory and own files in it. Some shared file systems refuse
/// to change owners.
fn is_usable(data_dir: &Path, account: Account) -> bool {
    let probe = data_dir.join("postgres.probe");
    // Left over from a run that was killed, perhaps.
    let _ = fs::remove_dir(&probe);
    let usable =
        fs::create_dir(&probe).is_ok() && account.own(&probe).is_ok() && account.can_enter(&probe);
    let _ = fs::remove_dir(&probe);
    usable
}

fn out_of_reach(path: PathBuf, account: Account) -> PostgresError {
    match account {
        Account::Ourselves => PostgresError::NotOurs { path },
        Account::Lent { uid, .. } => PostgresError::OutOfReach { path, uid },
    }
}

/// Names a directory by its path: short enough to type, long enough not to collide.
fn short_hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    digest.iter().take(6).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_found_where_its_link_points() {
        let home = tempfile::tempdir().unwrap();
        let data = tempfile::tempdir().unwrap();
        assert!(Place::existing(data.path()).is_none());
        fs::create_dir(home.path().join("postgres")).unwrap();
        symlink(home.path().join("postgres"), data.path().join("postgres")).unwrap();
        let place = Place::existing(data.path()).unwrap();
        assert_eq!(place.home, home.path().canonicalize().unwrap());
    }

    #[test]
    fn a_dangling_link_counts_as_nothing() {
        let data = tempfile::tempdir().unwrap();
        symlink("/nowhere/postgres", data.path().join("postgres")).unwrap();
        assert!(Place::existing(data.path()).is_none());
    }

    #[test]
    fn hashes_are_short_and_differ() {
        assert_eq!(short_hash(Path::new("/a")).len(), 12);
        assert_ne!(short_hash(Path::new("/a")), short_hash(Path::new("/b")));
    }
}
