//! Compiled code on disk, between starts: written by the host, and believed only under the host's
//! own key. Whoever else writes into the directory cannot make the host run anything; what does
//! not check out counts as not there and is compiled anew.

use crm_model::limits::CODE_DISK_MAX_BYTES;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use wasmtime::Engine;

use crate::code::Code;
use crate::digest::Digest;
use crate::error::SandboxError;
use crate::inspect::Inspected;

/// What the tags are for, and the version of the file's format.
const DOMAIN: &[u8] = b"crm compiled code 1";
const EXTENSION: &str = "code";
const TAG_BYTES: usize = 32;
const LENGTH_BYTES: usize = 4;

/// Where compiled code is kept between starts.
#[derive(Clone, Debug)]
pub struct CodeCache {
    /// Made if it is not there.
    pub directory: PathBuf,
    /// Files that were written under another key count as not there.
    pub key: CacheKey,
}

/// The host's secret, which authenticates its files. No log shows it.
#[derive(Clone)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    /// 32 bytes that nobody can guess.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Debug for CacheKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("CacheKey")
    }
}

/// Removes what was written longest ago, until the rest fits: components that nobody has any more,
/// and code of older versions.
fn tidy(directory: &Path, max_bytes: u64) {
    let Ok(entries) = directory.read_dir() else {
        return;
    };
    let mut files: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let file = entry.metadata().ok()?;
            Some((file.modified().ok()?, file.len(), entry.path()))
        })
        .filter(|(_, _, path)| path.extension().is_some_and(|name| name == EXTENSION))
        .collect();
    files.sort();
    let mut bytes: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, size, path) in files {
        if bytes <= max_bytes {
            return;
        }
        // Another process may have removed it, which is as good.
        let _ = std::fs::remove_file(path);
        bytes = bytes.saturating_sub(size);
    }
}

/// The directory, for one engine: code of another version or configuration has other names.
pub(crate) struct Artifacts {
    cache: CodeCache,
    engine: u64,
}

impl Artifacts {
    /// # Errors
    /// [`SandboxError::Unavailable`] where the directory cannot be made.
    pub(crate) fn open(cache: CodeCache, engine: &Engine) -> Result<Self, SandboxError> {
        std::fs::create_dir_all(&cache.directory).map_err(|error| {
            let directory = cache.directory.display();
            SandboxError::Unavailable(format!("{directory} cannot be created: {error}"))
        })?;
        tidy(&cache.directory, CODE_DISK_MAX_BYTES);
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let engine = hasher.finish();
        Ok(Self { cache, engine })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name = format!("{digest}-{:016x}.{EXTENSION}", self.engine);
        self.cache.directory.join(name)
    }

    /// What was kept of a component: what it says about itself, and its code.
    pub(crate) fn read(&self, digest: &Digest) -> Option<(Inspected, Code)> {
        let path = self.path(digest);
        let file = std::fs::read(&path).ok()?;
        let read = self.open_file(digest, &file);
        if read.is_none() {
            tracing::warn!(
                path = %path.display(),
                "compiled code in the cache is not what this host wrote; it is compiled anew"
            );
        }
        read
    }

    /// Tag, length of the description, description, code.
    fn open_file(&self, digest: &Digest, file: &[u8]) -> Option<(Inspected, Code)> {
        let (tag, content) = file.split_at_checked(TAG_BYTES)?;
        self.mac(digest, content)?.verify_slice(tag).ok()?;
        let (length, rest) = content.split_first_chunk::<LENGTH_BYTES>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (description, code) = rest.split_at_checked(length)?;
        let inspected = serde_json::from_slice(description).ok()?;
        Some((inspected, Code::trusted(code.to_vec())))
    }

    /// Keeps a component's code. Nothing depends on it, so a full disk is only worth a warning.
    pub(crate) fn write(&self, inspected: &Inspected, code: &Code) {
        let path = self.path(&inspected.digest);
        if let Err(error) = self.write_file(&path, inspected, code) {
            tracing::warn!(path = %path.display(), %error, "compiled code cannot be kept");
        }
    }

    fn write_file(&self, path: &Path, inspected: &Inspected, code: &Code) -> std::io::Result<()> {
        let description = serde_json::to_vec(inspected)?;
        let length = u32::try_from(description.len()).map_err(std::io::Error::other)?;
        let content = [&length.to_le_bytes(), &description[..], code.as_bytes()].concat();
        let tag = self
            .mac(&inspected.digest, &content)
            .ok_or_else(|| std::io::Error::other("no key"))?
            .finalize();
        // Whole or not at all, and by a name of its own, because others may write the same.
        let mut file = tempfile::NamedTempFile::new_in(&self.cache.directory)?;
        file.write_all(&tag.into_bytes())?;
        file.write_all(&content)?;
        file.persist(path)?;
        Ok(())
    }

    fn mac(&self, digest: &Digest, content: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.cache.key.0).ok()?;
        mac.update(DOMAIN);
        mac.update(&self.engine.to_le_bytes());
        mac.update(digest.as_bytes());
        mac.update(content);
        Some(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    #[test]
    fn what_was_written_longest_ago_goes_until_the_rest_fits() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for (name, age) in [("b.code", 3), ("a.code", 2), ("c.code", 1), ("key", 9)] {
            std::fs::write(path(name), [0; 100]).unwrap();
            let file = std::fs::File::options().write(true).open(path(name));
            let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 - age);
            file.unwrap().set_modified(written).unwrap();
        }
        tidy(directory.path(), 300);
        assert!(path("b.code").exists());
        tidy(directory.path(), 299);
        assert!(!path("b.code").exists());
        assert!(path("a.code").exists() && path("c.code").exists() && path("key").exists());
    }
}
