//! The toolchains: found, installed once, run.

use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The repository.
pub(crate) fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap().to_owned()
}

/// A command whose standard error is the test's.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    command
}

/// Runs a command that has to succeed; what it printed.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().expect("a program");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

fn is_there(program: &str) -> bool {
    let there = Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !there {
        eprintln!(
            "SKIPPED: there is no {program} here, so these plugins were not built and not run"
        );
    }
    there
}

/// Whether a question to a registry has an answer; without one nothing can be installed.
fn answers(command: &mut Command) -> bool {
    let answered = command.output().is_ok_and(|output| output.status.success());
    if !answered {
        eprintln!(
            "SKIPPED: {command:?} has no answer, so these plugins were not built and not run"
        );
    }
    answered
}

fn directory(name: &str) -> PathBuf {
    let target = crm_tests::cluster::target_dir();
    let directory = target.join("toolchains").join(name);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// What `wanted` says is installed already.
fn is_installed(directory: &Path, wanted: &str) -> bool {
    std::fs::read_to_string(directory.join("installed")).is_ok_and(|there| there == wanted)
}

/// Where the npm packages of the SDK are.
pub(crate) fn javascript() -> Option<PathBuf> {
    static TOOLS: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = TOOLS.get_or_init(|| {
        if !is_there("node") || !is_there("npm") {
            return None;
        }
        let (sdk, directory) = (root().join("plugin-sdk/js"), directory("js"));
        let lock = std::fs::read_to_string(sdk.join("package-lock.json")).unwrap();
        if !is_installed(&directory, &lock) {
            if !answers(command("npm").args(["view", "componentize-qjs", "version"])) {
                return None;
            }
            for file in ["package.json", "package-lock.json"] {
                std::fs::copy(sdk.join(file), directory.join(file)).unwrap();
            }
            let npm = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
            run(command("npm").args(npm).current_dir(&directory));
            std::fs::write(directory.join("installed"), &lock).unwrap();
        }
        Some(directory)
    });
    found.clone()
}

/// A virtual environment with what the SDK's `build.py` calls.
pub(crate) fn python() -> Option<PathBuf> {
    static TOOLS: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = TOOLS.get_or_init(|| {
        if !is_there("python3") {
            return None;
        }
        let (sdk, directory) = (root().join("plugin-sdk/python"), directory("python"));
        let requirements = sdk.join("requirements.txt");
        let wanted = std::fs::read_to_string(&requirements).unwrap();
        if !is_installed(&directory, &wanted) {
            let pip = ["-m", "pip", "index", "versions", "componentize-py"];
            if !answers(command("python3").args(["-c", "import ensurepip, venv"]))
                || !answers(command("python3").args(pip))
            {
                return None;
            }
            run(command("python3").args(["-m", "venv"]).arg(&directory));
            let pip = ["-m", "pip", "install", "--quiet", "--requirement"];
            let mut install = command(directory.join("bin/python"));
            run(install.args(pip).arg(&requirements));
            std::fs::write(directory.join("installed"), &wanted).unwrap();
        }
        Some(directory)
    });
    found.clone()
}

/// A component that is built anew only where something that it is made of is another: compiling
/// one with an interpreter takes long, and no two builds of one are the same, byte for byte.
pub(crate) fn kept(
    directory: &Path,
    (sdk, plugin): (&Path, &Path),
    build: impl FnOnce(&Path),
) -> Vec<u8> {
    let mut hash = Sha256::new();
    for path in [
        sdk,
        plugin,
        &directory.join("installed"),
        &root().join("plugin-sdk/wit"),
    ] {
        add(path, &mut hash);
    }
    let hash = format!("{:x?}", hash.finalize().as_slice());
    let manifest = std::fs::read_to_string(plugin.join("plugin.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let name = manifest["name"].as_str().unwrap();
    let (component, stamp) = (
        directory.join(format!("{name}.wasm")),
        directory.join(format!("{name}.hash")),
    );
    if !std::fs::read_to_string(&stamp).is_ok_and(|there| there == hash) {
        build(&component);
        std::fs::write(stamp, hash).unwrap();
    }
    std::fs::read(component).unwrap()
}

fn add(path: &Path, hash: &mut Sha256) {
    if path.is_file() {
        hash.update(path.file_name().unwrap().as_encoded_bytes());
        hash.update(std::fs::read(path).unwrap());
        return;
    }
    let entries = std::fs::read_dir(path).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    let made = ["__pycache__", "node_modules", "target"];
    paths.retain(|path| !made.iter().any(|name| path.ends_with(name)));
    paths.sort();
    paths.iter().for_each(|path| add(path, hash));
}
