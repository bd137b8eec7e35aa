//! Compiled code on disk, between starts: written by the host, and believed only under the host's
//! own key. Whoever else writes into the directory cannot make the host run anything; what does
//! not check out counts as not there and is compiled anew.

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
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let engine = hasher.finish();
        Ok(Self { cache, engine })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name = format!("{digest}-{:016x}.code", self.engine);
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
