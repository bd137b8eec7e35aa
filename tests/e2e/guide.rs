//! The author's guide, followed word for word: its files are written and its commands are run, in
//! an empty folder outside of every workspace, without the network.

use crm_tests::cluster::target_dir;
use std::fmt::Write;
use std::process::{Command, Stdio};

use crate::command::crm;

const GUIDE: &str = include_str!("../../plugin-sdk/README.md");

/// A script of the guide's blocks. ```` ```sh ```` is run, a language and a path (```` ```json
/// plugin.json ````) is a file, anything else is for people.
fn script(guide: &str) -> String {
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
            None if info == "sh" => script.push_str(&body),
            Some((language, path)) if language != "sh" => {
                writeln!(script, "mkdir -p \"$(dirname '{path}')\"").unwrap();
                writeln!(script, "cat > '{path}' <<'END_OF_FILE'\n{body}END_OF_FILE").unwrap();
            }
            _ => {}
        }
    }
    script
}

#[test]
fn the_guide_works_as_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let binary = crm().get_program().to_owned();
    let directory = std::path::Path::new(&binary).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap();
    let path = std::env::join_paths(std::iter::once(directory).chain(std::env::split_paths(&path)));
    let script = script(GUIDE);
    assert!(script.contains("crm plugin new vip-flag"), "{script}");
    assert!(!script.contains("crm plugin dev"), "{script}");
    let output = Command::new("bash")
        .arg("-c")
        .arg(&script)
        .current_dir(folder.path())
        .env("PATH", path.unwrap())
        // What the crates around the plugin become is kept from one run of the tests to the next.
        .env("CARGO_TARGET_DIR", target_dir().join("test-data/author"))
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove("RUSTFLAGS")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{error}");
    for said in [
        "test tests::collectors_are_flagged ... ok",
        "passed collector",
        "Flagged as a collector",
        "the same, to the last unit of fuel",
        "200 calls over 1 events",
        "customers(email, notes, segment)",
        "behaviour: 1 of 1 events come to the same",
    ] {
        assert!(out.contains(said), "{said}:\n{out}\n{error}");
    }
    let component = folder.path().join("vip-flag/vip-flag.wasm");
    let checked = Command::new("sha256sum")
        .args(["--check", "vip-flag.wasm.sha256"])
        .current_dir(component.parent().unwrap())
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}
