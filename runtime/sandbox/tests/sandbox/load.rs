//! Loading: compiled once per component, kept on disk and in memory as far as it fits, and
//! believed only when nobody else touched it.

use crm_sandbox::{
    CacheKey, CodeCache, Digest, GuestLimits, NoHost, Sandbox, SandboxError, SandboxSettings,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::guests::{Answer, action_with, answering, data_segment};
use crate::{call, sandbox};

#[test]
fn a_component_is_compiled_once() {
    let sandbox = sandbox(GuestLimits::default());
    let bytes = answering("", &Answer::creates(1, b"items", "{}"));
    let plugins: Vec<_> = std::thread::scope(|scope| {
        let loads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| sandbox.load(&bytes).unwrap()))
            .collect();
        loads.into_iter().map(|load| load.join().unwrap()).collect()
    });
    let first = &plugins[0];
    assert!(plugins.iter().all(|plugin| Arc::ptr_eq(plugin, first)));
    assert!(Arc::ptr_eq(
        &sandbox.loaded(&first.digest()).unwrap(),
        first
    ));
}

#[test]
fn what_was_not_loaded_is_not_there() {
    let sandbox = sandbox(GuestLimits::default());
    assert!(sandbox.loaded(&Digest::of(b"other")).is_none());
}

/// A sandbox that keeps its code in a directory.
fn keeping(directory: &Path, key: [u8; 32]) -> Sandbox {
    Sandbox::new(SandboxSettings {
        threads: 1,
        concurrency: 1,
        cache: Some(CodeCache {
            directory: directory.join("code"),
            key: CacheKey::new(key),
        }),
        ..SandboxSettings::default()
    })
    .unwrap()
}

/// The only file in the directory.
fn kept_file(directory: &Path) -> PathBuf {
    let mut files = directory.join("code").read_dir().unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    file
}

#[tokio::test]
async fn compiled_code_is_kept_and_known_again_without_the_component() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = answering("", &Answer::creates(1, b"items", "{}"));
    let digest = Digest::of(&bytes);
    let first = keeping(directory.path(), [1; 32]);
    assert!(first.known(&digest).is_none());
    first.load(&bytes).unwrap();
    let second = keeping(directory.path(), [1; 32]);
    assert!(second.loaded(&digest).is_none());
    let plugin = second.known(&digest).unwrap();
    assert_eq!(plugin.manifest().name.as_str(), "guest");
    assert!(
        second
            .run_action(&plugin, call(), Box::new(NoHost))
            .await
            .outcome
            .is_ok()
    );
    assert!(Arc::ptr_eq(&second.load(&bytes).unwrap(), &plugin));
}

#[tokio::test]
async fn kept_code_that_somebody_changed_is_compiled_anew() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = answering("", &Answer::creates(1, b"items", "{}"));
    let digest = Digest::of(&bytes);
    keeping(directory.path(), [1; 32]).load(&bytes).unwrap();
    let file = kept_file(directory.path());
    let good = std::fs::read(&file).unwrap();
    // In the tag, in the description, in the code; cut; and with something behind it.
    let mut changed: Vec<Vec<u8>> = [0, 32, 40, good.len() / 2, good.len() - 1]
        .into_iter()
        .map(|at| {
            let mut changed = good.clone();
            changed[at] ^= 1;
            changed
        })
        .collect();
    changed.push(good[..good.len() / 2].to_vec());
    changed.push(good[..16].to_vec());
    changed.push(Vec::new());
    changed.push([&good[..], b"x"].concat());
    for changed in changed {
        std::fs::write(&file, &changed).unwrap();
        let sandbox = keeping(directory.path(), [1; 32]);
        assert!(sandbox.known(&digest).is_none());
        let plugin = sandbox.load(&bytes).unwrap();
        assert!(
            sandbox
                .run_action(&plugin, call(), Box::new(NoHost))
                .await
                .outcome
                .is_ok()
        );
        // And what is there now is good again.
        assert!(keeping(directory.path(), [1; 32]).known(&digest).is_some());
    }
}

#[test]
fn kept_code_counts_only_under_the_key_and_the_name_that_it_was_kept_under() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = answering("", &Answer::creates(1, b"items", "{}"));
    keeping(directory.path(), [1; 32]).load(&bytes).unwrap();
    assert!(
        keeping(directory.path(), [2; 32])
            .known(&Digest::of(&bytes))
            .is_none()
    );
    // Another component's code under this one's name.
    let other = Digest::of(b"other");
    let file = kept_file(directory.path());
    let name = file.file_name().unwrap().to_str().unwrap();
    let name = name.replace(&Digest::of(&bytes).to_string(), &other.to_string());
    std::fs::rename(&file, file.with_file_name(name)).unwrap();
    assert!(keeping(directory.path(), [1; 32]).known(&other).is_none());
}

#[cfg(unix)]
#[test]
fn kept_code_is_nobody_else_s_to_read_or_write() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let bytes = answering("", &Answer::creates(1, b"items", "{}"));
    keeping(directory.path(), [1; 32]).load(&bytes).unwrap();
    let mode = kept_file(directory.path())
        .metadata()
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

#[test]
fn a_cache_directory_that_cannot_be_used_is_said() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let settings = SandboxSettings {
        cache: Some(CodeCache {
            directory: file.path().join("code"),
            key: CacheKey::new([1; 32]),
        }),
        ..SandboxSettings::default()
    };
    assert!(matches!(
        Sandbox::new(settings),
        Err(SandboxError::Unavailable(_))
    ));
}

/// Actions that differ in the record that they create.
fn different(count: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|index| {
        let data = format!(r#"{{"number": {index}}}"#);
        answering("", &Answer::creates(1, b"items", &data))
    })
}

#[tokio::test]
async fn components_that_do_not_fit_into_memory_go_and_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::new(SandboxSettings {
        threads: 1,
        concurrency: 1,
        code_max_bytes: 1 << 20,
        cache: Some(CodeCache {
            directory: directory.path().to_owned(),
            key: CacheKey::new([1; 32]),
        }),
        ..SandboxSettings::default()
    })
    .unwrap();
    let all: Vec<_> = different(30).collect();
    let held = sandbox.load(&all[0]).unwrap();
    for bytes in &all {
        sandbox.load(bytes).unwrap();
    }
    sandbox.tidy();
    let loaded = |bytes: &&Vec<u8>| sandbox.loaded(&Digest::of(bytes)).is_some();
    let count = all.iter().filter(loaded).count();
    assert!(count > 0 && count < all.len(), "{count} are in memory");
    assert!(!loaded(&&all[0]));
    // Whoever holds one can still call it, and whoever asks for one gets it.
    assert!(
        sandbox
            .run_action(&held, call(), Box::new(NoHost))
            .await
            .outcome
            .is_ok()
    );
    assert!(sandbox.known(&Digest::of(&all[0])).is_some());
}

#[test]
fn a_start_function_is_not_run_by_loading() {
    let start = format!(
        "(func $start (unreachable)) (start $start) {}",
        data_segment(8, b"x")
    );
    let sandbox = sandbox(GuestLimits::default());
    assert!(
        sandbox
            .load(&action_with(2, "(unreachable)", &start))
            .is_ok()
    );
}
