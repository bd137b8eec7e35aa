//! Compiling: once per component, from a cache if there is one, within the pool's limits.

use crm_sandbox::{GuestLimits, NoHost, Sandbox, SandboxError, SandboxSettings};
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
    assert!(sandbox.loaded(&crm_sandbox::Digest::of(b"other")).is_none());
}

#[test]
fn a_component_that_starts_with_too_much_memory_is_not_loaded() {
    let limits = GuestLimits {
        memory_max_bytes: 2 << 20,
        ..GuestLimits::default()
    };
    let sandbox = sandbox(limits);
    assert!(sandbox.load(&action_with(32, "(unreachable)", "")).is_ok());
    let bytes = action_with(33, "(unreachable)", "");
    for _ in 0..2 {
        match sandbox.load(&bytes) {
            Err(SandboxError::Compile(reason)) => assert!(reason.contains("memory"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(sandbox.loaded(&crm_sandbox::Digest::of(&bytes)).is_none());
}

#[test]
fn a_component_with_too_large_a_table_is_not_loaded() {
    let limits = GuestLimits {
        table_max_elements: 100,
        ..GuestLimits::default()
    };
    let sandbox = sandbox(limits);
    assert!(
        sandbox
            .load(&action_with(2, "(unreachable)", "(table 99 funcref)"))
            .is_ok()
    );
    let error = sandbox
        .load(&action_with(2, "(unreachable)", "(table 101 funcref)"))
        .unwrap_err();
    assert!(matches!(error, SandboxError::Compile(_)), "{error}");
}

#[tokio::test]
async fn compiled_code_is_kept_in_the_cache_directory() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = answering("", &Answer::creates(1, b"items", "{}"));
    for _ in 0..2 {
        let sandbox = Sandbox::new(SandboxSettings {
            threads: 1,
            concurrency: 1,
            cache_dir: Some(directory.path().join("code")),
            limits: GuestLimits::default(),
        })
        .unwrap();
        let plugin = sandbox.load(&bytes).unwrap();
        assert!(
            sandbox
                .run_action(&plugin, call(), Box::new(NoHost))
                .await
                .outcome
                .is_ok()
        );
    }
    assert!(
        directory
            .path()
            .join("code")
            .read_dir()
            .unwrap()
            .next()
            .is_some()
    );
}

#[test]
fn a_cache_directory_that_cannot_be_used_is_said() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let settings = SandboxSettings {
        cache_dir: Some(file.path().join("code")),
        ..SandboxSettings::default()
    };
    assert!(matches!(
        Sandbox::new(settings),
        Err(SandboxError::Unavailable(_))
    ));
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
