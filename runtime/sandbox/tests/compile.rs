//! Compiling in another process: this very program, which is why it has no harness of its own.
//! Started with [`APART`], it is the compiler; else it is the tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use crm_forged_guests::{Contained, Guest, all, compile_bomb};
use crm_model::limits::COMPILE_MEMORY_MAX_BYTES;
use crm_sandbox::{
    CacheKey, CodeCache, CompileCommand, CompileLimits, Digest, Sandbox, SandboxError,
    SandboxSettings,
};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const APART: &str = "compile-apart";

const TESTS: [(&str, fn()); 8] = [
    (
        "code_from_another_process_is_kept",
        code_from_another_process_is_kept,
    ),
    (
        "what_cannot_be_compiled_is_said",
        what_cannot_be_compiled_is_said,
    ),
    (
        "forged_guests_do_not_get_the_better_of_it",
        forged_guests_do_not_get_the_better_of_it,
    ),
    (
        "a_compiler_is_stopped_when_its_time_is_over",
        a_compiler_is_stopped_when_its_time_is_over,
    ),
    (
        "a_compiler_gets_no_more_memory",
        a_compiler_gets_no_more_memory,
    ),
    (
        "a_compiler_that_hangs_is_stopped",
        a_compiler_that_hangs_is_stopped,
    ),
    (
        "a_compiler_that_is_not_there_is_said",
        a_compiler_that_is_not_there_is_said,
    ),
    ("a_compiler_gets_no_variables", a_compiler_gets_no_variables),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let [APART, memory, milliseconds] = arguments[..] {
        let limits = CompileLimits {
            memory_max_bytes: memory.parse().unwrap(),
            time_max: Duration::from_millis(milliseconds.parse().unwrap()),
        };
        return match crm_sandbox::compile_in_this_process(&limits) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    // As the usual harness does: names that contain one of the words, or all.
    let words: Vec<&&str> = arguments
        .iter()
        .filter(|word| !word.starts_with('-'))
        .collect();
    for (name, test) in TESTS {
        if words.is_empty() || words.iter().any(|word| name.contains(**word)) {
            println!("test {name} ...");
            test();
        }
    }
    println!("test result: ok");
    ExitCode::SUCCESS
}

fn this_program() -> CompileCommand {
    CompileCommand {
        program: std::env::current_exe().unwrap(),
        arguments: vec![APART.into()],
        variables: Vec::new(),
    }
}

/// Another program in the compiler's place; the limits that it is given as well are beyond it.
fn shell(script: &str) -> CompileCommand {
    CompileCommand {
        program: PathBuf::from("/bin/sh"),
        arguments: ["-c", script].map(OsString::from).to_vec(),
        variables: Vec::new(),
    }
}

fn sandbox(compiler: CompileCommand, limits: Option<CompileLimits>, directory: &Path) -> Sandbox {
    Sandbox::new(SandboxSettings {
        threads: 1,
        concurrency: 1,
        compiler: Some(compiler),
        cache: Some(CodeCache {
            directory: directory.to_owned(),
            key: CacheKey::new([1; 32]),
        }),
        compile_limits: limits,
        ..SandboxSettings::default()
    })
    .unwrap()
}

/// How loading a component ends with that compiler.
fn error_of(
    compiler: CompileCommand,
    limits: Option<CompileLimits>,
    component: &[u8],
) -> SandboxError {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = sandbox(compiler, limits, directory.path());
    let error = sandbox.load(component).unwrap_err();
    // What cannot be compiled takes no place.
    assert!(sandbox.known(&Digest::of(component)).is_none());
    assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    error
}

fn in_milliseconds(milliseconds: u64) -> Option<CompileLimits> {
    Some(CompileLimits {
        memory_max_bytes: COMPILE_MEMORY_MAX_BYTES,
        time_max: Duration::from_millis(milliseconds),
    })
}

fn code_from_another_process_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let component = Guest::default().component();
    let first = sandbox(this_program(), None, directory.path());
    let plugin = first.load(&component).unwrap();
    assert!(plugin.code_bytes() > 0);
    // No compiler is needed for what is known.
    let second = sandbox(shell("exit 1"), None, directory.path());
    assert!(second.load(&component).is_ok());
}

fn what_cannot_be_compiled_is_said() {
    let complaint = "echo 'no such instruction' >&2; exit 1";
    let component = Guest::default().component();
    assert_eq!(
        error_of(shell(complaint), None, &component),
        SandboxError::Compile("no such instruction".to_owned())
    );
    let error = error_of(shell("kill -SEGV $$"), None, &component);
    assert!(
        error
            .to_string()
            .contains("the compiler ended with signal: 11"),
        "{error}"
    );
    // Nonsense in the place of code is not run: wasmtime finds that it is none.
    let directory = tempfile::tempdir().unwrap();
    let sandbox = sandbox(shell("echo this is no code"), None, directory.path());
    assert_eq!(sandbox.load(&component).unwrap_err().code(), "compile");
}

fn forged_guests_do_not_get_the_better_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = sandbox(this_program(), None, directory.path());
    for guest in all() {
        let loaded = sandbox.load(&guest.bytes);
        match (guest.contained, loaded) {
            (Contained::Refused(codes), Err(error)) => {
                assert!(codes.contains(&error.code()), "{}: {error}", guest.name);
            }
            (Contained::Refused(_), Ok(_)) => panic!("{} was loaded", guest.name),
            (Contained::Failed(_), Err(error)) => panic!("{}: {error}", guest.name),
            (Contained::Failed(_), Ok(_)) | (Contained::Harmless, _) => {}
        }
    }
}

fn a_compiler_is_stopped_when_its_time_is_over() {
    match error_of(this_program(), in_milliseconds(500), &compile_bomb().bytes) {
        SandboxError::OverLimit {
            limit: "compile_max_milliseconds",
            measured,
            most: 500,
        } => {
            assert!(measured >= 500);
        }
        other => panic!("{other:?}"),
    }
}

fn a_compiler_gets_no_more_memory() {
    let limits = CompileLimits {
        memory_max_bytes: 64 << 20,
        time_max: Duration::from_secs(120),
    };
    match error_of(this_program(), Some(limits), &compile_bomb().bytes) {
        SandboxError::OverLimit {
            limit: "compile_memory_max_bytes",
            ..
        } => {}
        other => panic!("{other:?}"),
    }
}

fn a_compiler_that_hangs_is_stopped() {
    // Once before it answers, once after it has closed what it would answer with.
    for script in ["exec sleep 600", "exec sleep 600 >&- 2>&-"] {
        let error = error_of(
            shell(script),
            in_milliseconds(200),
            &Guest::default().component(),
        );
        assert_eq!(error.code(), "over_limit");
    }
}

fn a_compiler_that_is_not_there_is_said() {
    let command = CompileCommand {
        program: PathBuf::from("/nowhere/compiler"),
        arguments: Vec::new(),
        variables: Vec::new(),
    };
    let error = error_of(command, None, &Guest::default().component());
    assert!(matches!(error, SandboxError::Unavailable(_)), "{error}");
    assert!(error.to_string().contains("/nowhere/compiler"), "{error}");
}

fn a_compiler_gets_no_variables() {
    let tell = "env | grep -v -e '^PWD=' -e '^_=' -e '^SHLVL=' >&2; exit 1";
    let error = error_of(shell(tell), None, &Guest::default().component());
    assert_eq!(error, SandboxError::Compile(String::new()));
}
