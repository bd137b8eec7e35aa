//! How this program's sandboxes get compiled code: from a process of its own, which is this
//! program again, and from the data directory, under a key that stands beside it.

use anyhow::{Context, Result, ensure};
use clap::Args;
use crm_sandbox::{CacheKey, CodeCache, CompileCommand, CompileLimits, SandboxSettings};
use rand::TryRngCore;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

/// The hidden command that compiles.
pub(crate) const COMPILE_COMMAND: &str = "compile-component";
const KEY_BYTES: usize = 32;

/// What the sandbox tells its compiler.
#[derive(Debug, Args)]
pub(crate) struct CompileArguments {
    memory_max_bytes: u64,
    time_max_milliseconds: u64,
}

/// Compiles from standard input to standard output. Nothing else may run in this process.
pub(crate) fn compile(arguments: &CompileArguments) -> Result<()> {
    let limits = CompileLimits {
        memory_max_bytes: arguments.memory_max_bytes,
        time_max: Duration::from_millis(arguments.time_max_milliseconds),
    };
    crm_sandbox::compile_in_this_process(&limits).map_err(anyhow::Error::msg)
}

/// A sandbox that compiles apart and keeps its code in the data directory.
pub(crate) fn sandbox_settings(data_dir: &Path) -> Result<SandboxSettings> {
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("{} cannot be created", data_dir.display()))?;
    let program = std::env::current_exe().context("this program's own path is not known")?;
    Ok(SandboxSettings {
        cache: Some(CodeCache {
            directory: data_dir.join("cache"),
            key: cache_key(&data_dir.join("cache.key"))?,
        }),
        compiler: Some(CompileCommand {
            program,
            arguments: vec![COMPILE_COMMAND.into()],
            // The allocator would take a gibibyte in advance, which is more than the compiler may
            // have; so it only reserves it.
            variables: vec![("MIMALLOC_ARENA_EAGER_COMMIT".into(), "0".into())],
        }),
        ..SandboxSettings::default()
    })
}

/// The key in that file, which is made on first use. Where it is lost, components are compiled
/// anew.
fn cache_key(path: &Path) -> Result<CacheKey> {
    match read_key(path)? {
        Some(key) => Ok(key),
        None => {
            make_key(path).with_context(|| format!("{} cannot be written", path.display()))?;
            // Another process may have been first: what is there now counts.
            read_key(path)?.with_context(|| format!("{} is gone again", path.display()))
        }
    }
}

fn read_key(path: &Path) -> Result<Option<CacheKey>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be read", path.display()));
        }
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = path.metadata()?.permissions().mode();
        ensure!(
            mode & 0o077 == 0,
            "{} is open to other users, who could have this server run code of theirs: delete it, \
             and the directory cache beside it",
            path.display()
        );
    }
    let key: [u8; KEY_BYTES] = bytes.try_into().ok().with_context(|| {
        format!(
            "{} is no key: delete it, and a new one is made",
            path.display()
        )
    })?;
    Ok(Some(CacheKey::new(key)))
}

fn make_key(path: &Path) -> Result<()> {
    let mut key = [0; KEY_BYTES];
    rand::rngs::OsRng.try_fill_bytes(&mut key)?;
    // Readable for nobody else, and there only once it is whole.
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(&key)?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != ErrorKind::AlreadyExists => Err(error.error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache.key");
        cache_key(&path).unwrap();
        let first = std::fs::read(&path).unwrap();
        cache_key(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first);
        assert_eq!(first.len(), KEY_BYTES);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
            let error = cache_key(&path).unwrap_err().to_string();
            assert!(error.contains("open to other users"), "{error}");
        }
    }

    #[test]
    fn a_file_of_another_length_is_no_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache.key");
        make_key(&path).unwrap();
        let file = std::fs::OpenOptions::new().append(true).open(&path);
        file.unwrap().write_all(b"x").unwrap();
        let error = cache_key(&path).unwrap_err().to_string();
        assert!(error.contains("is no key"), "{error}");
    }
}
