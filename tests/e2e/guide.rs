//! The author's guide, followed word for word: its files are written and its commands are run, in
//! an empty folder outside of every workspace, without the network.

use crm_tests::cluster::target_dir;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

use crate::command::crm;

const GUIDE: &str = include_str!("../../plugin-sdk/README.md");

/// A script of the guide's blocks. ```` ```sh ```` is run, a language and a path (```` ```json
/// plugin.json ````) is a file, anything else is for people. Of another language, `sh` and its
/// name are run.
fn script(guide: &str, wanted: &str) -> String {
    let mut script = "set -eux\n".to_owned();
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let body: String = lines
            .by_ref()
            .take_while(|line| *line != "```")
            .fold(String::new(), |body, line| body + line + "\n");
        match info.split_once(' ') {
            _ if info == wanted => script.push_str(&body),
            Some((language, path)) if language != "sh" && wanted == "sh" => {
                writeln!(script, "mkdir -p \"$(dirname '{path}')\"").unwrap();
                writeln!(script, "cat > '{path}' <<'END_OF_FILE'\n{body}END_OF_FILE").unwrap();
            }
            _ => {}
        }
    }
    script
}

/// Runs a script in an empty folder, with `crm` on the path.
fn follow(script: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let binary = crm().get_program().to_owned();
    let directory = Path::new(&binary).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap();
    let path = std::iter::once(directory).chain(std::env::split_paths(&path));
    let output = Command::new("bash")
        .arg("-c")
        .arg(script)
        .current_dir(folder.path())
        .env("PATH", std::env::join_paths(path).unwrap())
        // What the crates around the plugin become is kept from one run of the tests to the next.
        .env("CARGO_TARGET_DIR", target_dir().join("test-data/author"))
        .env("XDG_CACHE_HOME", target_dir().join("test-data"))
        .env("CARGO_NET_OFFLINE", "true")
        .env("npm_config_prefer_offline", "true")
        .env("npm_config_audit", "false")
        .env_remove("RUSTFLAGS")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{error}");
    (folder, out)
}

#[test]
fn the_guide_works_as_it_is_written() {
    let script = script(GUIDE, "sh");
    assert!(script.contains("crm plugin new vip-flag"), "{script}");
    assert!(!script.contains("crm plugin dev"), "{script}");
    let (folder, out) = follow(&script);
    for said in [
        "test tests::collectors_are_flagged ... ok",
        "passed collector",
        "Flagged as a collector",
        "the same, to the last unit of fuel",
        "200 calls over 1 events",
        "customers(email, notes, segment)",
        "behaviour: 1 of 1 events come to the same",
    ] {
        assert!(out.contains(said), "{said}:\n{out}");
    }
    let checked = Command::new("sha256sum")
        .args(["--check", "vip-flag.wasm.sha256"])
        .current_dir(folder.path().join("vip-flag"))
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

/// Where there is no npm, or no answer from its registry, the guide's part for those who have it
/// is not looked at.
#[test]
fn the_guide_works_in_javascript() {
    let asked = Command::new("npm")
        .args(["view", "componentize-qjs", "version"])
        .output();
    if !asked.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: npm’s registry does not answer, or there is no npm");
        return;
    }
    let script = script(GUIDE, "sh javascript");
    assert!(script.contains("--lang js"), "{script}");
    let (_, out) = follow(&script);
    for said in [
        "# pass 2",
        "findings  none",
        "passed nobody",
        "passed somebody",
    ] {
        assert!(out.contains(said), "{said}:\n{out}");
    }
}

#[test]
#[ignore = "CPython takes minutes to compile in a debug build, and pip its registry"]
fn the_guide_works_in_python() {
    let script = script(GUIDE, "sh python");
    assert!(script.contains("--lang python"), "{script}");
    let (_, out) = follow(&script);
    for said in ["findings  none", "passed nobody", "passed somebody"] {
        assert!(out.contains(said), "{said}:\n{out}");
    }
}
