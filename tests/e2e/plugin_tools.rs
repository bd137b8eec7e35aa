//! What authors work with, as a process of its own, in folders outside of every workspace. The
//! components are first-party ones; that crates become components is told by `guide.rs`.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;

use crate::command::crm;

/// A folder with some files in it.
struct Folder(TempDir);

impl Folder {
    fn new(files: &[(&str, Value)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (path, value) in files {
            folder.write(path, value.to_string().as_bytes());
        }
        folder
    }

    /// With the component that values stones.
    fn with_valuation(files: &[(&str, Value)]) -> Self {
        let folder = Self::new(files);
        folder.write("valuation.wasm", component("jewellery-valuation"));
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn read(&self, path: &str) -> Value {
        let text = std::fs::read_to_string(self.path().join(path)).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn plugin(&self, arguments: &[&str]) -> Said {
        let output = crm()
            .current_dir(self.path())
            .arg("plugin")
            .args(arguments)
            .output()
            .unwrap();
        Said::from(output)
    }
}

/// What a command said, and how it ended.
#[derive(Debug)]
struct Said {
    status: i32,
    out: String,
    error: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            status: output.status.code().unwrap(),
            out: text(&output.stdout),
            error: text(&output.stderr),
        }
    }
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

fn component(name: &str) -> &'static [u8] {
    let mut components = crm_cli::bundled::components().iter();
    components.find(|(known, _)| *known == name).unwrap().1
}

fn stone(carat: &str) -> Value {
    let price = json!({ "amount": "326", "currency": "USD" });
    json!({ "module": "items", "after": { "carat": carat, "price": price, "secret": "x" } })
}

#[test]
fn an_event_runs_as_in_production() {
    let folder = Folder::with_valuation(&[
        ("event.json", stone("0.23")),
        (
            "grant.json",
            json!({ "reads": ["items(carat, price)"], "activities": ["items"] }),
        ),
    ]);
    let run = ["run", "valuation.wasm", "--event", "event.json"];
    let shown = folder.plugin(&run);
    assert_eq!(shown.status, 0, "{shown:?}");
    assert!(
        shown.out.contains("Valued at USD 1417.39 per carat: entry"),
        "{shown:?}"
    );
    assert!(
        !shown.out.contains('\u{1b}'),
        "colour is for terminals: {shown:?}"
    );

    let told = folder.plugin(&[&run[..], &["--json"]].concat()).json();
    assert_eq!(told["mutations"][0]["patch"]["value_band"], "entry");
    assert!(told["fuel"].as_u64().unwrap() > 0 && told["memory_bytes"].as_u64().unwrap() > 0);

    let refused = folder.plugin(&[&run[..], &["--grant", "grant.json"]].concat());
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(
        refused
            .error
            .contains("the plugin may not update records of “items”"),
        "{refused:?}"
    );
}

#[test]
fn what_is_not_granted_is_not_seen() {
    let folder = Folder::with_valuation(&[
        ("event.json", stone("0.23")),
        ("grant.json", json!({ "reads": ["items(carat)"] })),
    ]);
    let said = folder.plugin(&[
        "run",
        "valuation.wasm",
        "--event",
        "event.json",
        "--grant",
        "grant.json",
        "--json",
        "--bundle",
        "bundle.json",
    ]);
    assert_eq!(said.status, 0, "{said:?}");
    assert_eq!(
        said.json()["message"],
        "nothing to do: the item has no weight or no price yet"
    );
    let bundle = folder.read("bundle.json");
    assert_eq!(bundle["call"]["event"]["after"], json!({ "carat": "0.23" }));
    assert_eq!(bundle["call"]["event"]["changed_fields"], json!(["carat"]));
}

#[test]
fn cases_are_compared_and_differences_shown() {
    let folder = Folder::with_valuation(&[
        ("cases/small/event.json", stone("0.23")),
        ("cases/new/event.json", stone("0")),
    ]);
    let test = ["test", "--component", "valuation.wasm"];
    let unknown = folder.plugin(&test);
    assert_eq!(unknown.status, 1, "{unknown:?}");
    assert!(
        unknown.out.contains("unknown new: it has no expected.json"),
        "{unknown:?}"
    );

    let updated = folder.plugin(&[&test[..], &["--update"]].concat());
    assert_eq!(updated.status, 0, "{updated:?}");
    assert_eq!(folder.read("cases/new/expected.json")["failure"], "fail");
    let passed = folder.plugin(&test);
    assert_eq!(passed.status, 0, "{passed:?}");

    let mut expected = folder.read("cases/small/expected.json");
    expected["mutations"][0]["patch"]["value_band"] = json!("fine");
    folder.write("cases/small/expected.json", expected.to_string().as_bytes());
    let failed = folder.plugin(&test);
    assert_eq!(failed.status, 1, "{failed:?}");
    for line in [
        "failed small",
        "-           \"value_band\": \"fine\"",
        "+           \"value_band\": \"entry\"",
    ] {
        let found = failed
            .out
            .lines()
            .any(|found| found.split_whitespace().eq(line.split_whitespace()));
        assert!(found || failed.out.contains(line), "{line}: {failed:?}");
    }
    assert!(failed.error.contains("1 of 2 cases failed"), "{failed:?}");
    let json = folder.plugin(&[&test[..], &["--json"]].concat());
    assert_eq!(json.json()["cases"][1]["result"], "failed");
}

#[test]
fn a_mistake_in_an_event_is_shown_with_its_place() {
    let folder = Folder::with_valuation(&[]);
    for (text, place) in [
        (
            "{\n  \"module\": \"items\",\n  \"afterr\": {}\n}",
            "event.json:3:13: an event has no `afterr`",
        ),
        (
            "{\n  \"module\": \"items\",\n}",
            "event.json:3:1: trailing comma",
        ),
    ] {
        folder.write("event.json", text.as_bytes());
        let said = folder.plugin(&["run", "valuation.wasm", "--event", "event.json"]);
        assert_eq!(said.status, 1);
        assert!(said.error.contains(place), "{said:?}");
    }
}

#[test]
fn a_run_is_replayed_or_what_differs_is_said() {
    let folder = Folder::with_valuation(&[("event.json", stone("0.23"))]);
    folder.write("other.wasm", component("field-set"));
    let said = folder.plugin(&[
        "run",
        "valuation.wasm",
        "--event",
        "event.json",
        "--bundle",
        "bundle.json",
    ]);
    assert_eq!(said.status, 0, "{said:?}");
    let replay = |bundle: &str, component: &str| {
        folder.plugin(&["replay", bundle, "--component", component])
    };
    let same = replay("bundle.json", "valuation.wasm");
    assert_eq!(same.status, 0, "{same:?}");
    assert!(
        same.out.contains("the same, to the last unit of fuel"),
        "{same:?}"
    );

    let bundle = folder.read("bundle.json");
    let changed = |pointer: &str, value: Value| {
        let mut changed = bundle.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        folder.write("changed.json", changed.to_string().as_bytes());
        replay("changed.json", "valuation.wasm")
    };
    let other_event = changed("/call/event/after/carat", json!("0.46"));
    assert_eq!(other_event.status, 1);
    assert!(other_event.out.contains("708.70"), "{other_event:?}");
    let other_fuel = changed("/result/fuel", json!(1));
    assert_eq!(other_fuel.status, 1);
    assert!(
        other_fuel.out.contains("fuel: recorded 1, here "),
        "{other_fuel:?}"
    );

    let other = replay("bundle.json", "other.wasm");
    assert_eq!(other.status, 1);
    assert!(other.out.contains("component: recorded "), "{other:?}");
}

#[test]
fn fuel_and_time_are_spread_over_events() {
    let folder = Folder::with_valuation(&[]);
    let events = format!("{}\n\n{}\n", stone("0.23"), json!({ "module": "items" }));
    folder.write("events.ndjson", events.as_bytes());
    let said = folder.plugin(&[
        "bench",
        "valuation.wasm",
        "--events",
        "events.ndjson",
        "--calls",
        "10",
        "--json",
    ]);
    assert_eq!(said.status, 0, "{said:?}");
    let told = said.json();
    assert_eq!((&told["events"], &told["calls"]), (&json!(2), &json!(10)));
    assert_eq!(told["ends"], json!({ "done": 5, "skip": 5 }));
    let fuel = |name: &str| told["fuel"][name].as_u64().unwrap();
    assert!(
        fuel("p50") < fuel("p90") && fuel("p90") == fuel("max"),
        "{told}"
    );
}

#[test]
fn versions_are_compared() {
    let folder = Folder::with_valuation(&[]);
    folder.write("set.wasm", component("field-set"));
    folder.write("events.ndjson", stone("0.23").to_string().as_bytes());
    let said = folder.plugin(&[
        "diff",
        "valuation.wasm",
        "set.wasm",
        "--events",
        "events.ndjson",
        "--json",
    ]);
    assert_eq!(said.status, 0, "{said:?}");
    let told = said.json();
    let places: Vec<&str> = told["manifest"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["place"].as_str().unwrap())
        .collect();
    assert!(places.contains(&"capabilities/reads/*(*)"), "{places:?}");
    assert!(places.contains(&"capabilities/activities"), "{places:?}");
    assert_eq!(told["behaviour"]["same"], 0);
    assert_eq!(told["behaviour"]["failures"], json!([0, 1]));
    assert_eq!(
        told["behaviour"]["different"][0]["old"]["mutations"][0]["op"],
        "update"
    );

    let same = folder.plugin(&["diff", "valuation.wasm", "valuation.wasm"]);
    assert!(same.out.contains("manifest: the same"), "{same:?}");
    folder.write("hospital.wasm", component("hospital"));
    folder.write("jewellery.wasm", component("jewellery"));
    let templates = folder.plugin(&["diff", "hospital.wasm", "jewellery.wasm"]);
    assert!(
        templates.out.contains("- modules/patients"),
        "{templates:?}"
    );
}

#[test]
fn a_wrong_manifest_is_shown_with_its_place_before_anything_is_built() {
    let folder = Folder::new(&[]);
    folder.write("Cargo.toml", b"[package]\nname = \"x\"\n");
    for (text, place, what) in [
        (
            "{\n  \"name\": \"x\",\n  \"vresion\": \"0.1.0\"\n}",
            "plugin.json:3:",
            "unknown field `vresion`",
        ),
        (
            "{\"name\": \"x\", \"version\": \"0.1.0\", \"world\": \"action\", \"title\": \" \",\n\
             \"description\": \"d\"}",
            "plugin.json:1:",
            "people see the title",
        ),
    ] {
        folder.write("plugin.json", text.as_bytes());
        let said = folder.plugin(&["check"]);
        assert_eq!(said.status, 1, "{said:?}");
        assert!(
            said.out.contains(place) && said.out.contains(what),
            "{said:?}"
        );
        let json = folder.plugin(&["check", "--json"]).json();
        assert!(json["findings"][0]["line"].as_u64().is_some(), "{json}");
    }
}

#[test]
fn components_are_checked_as_hosts_do() {
    let folder = Folder::with_valuation(&[]);
    folder.write("hospital.wasm", component("hospital"));
    let good = folder.plugin(&["check", "valuation.wasm", "--json"]);
    assert_eq!(good.status, 0, "{good:?}");
    assert_eq!(good.json()["findings"], json!([]));
    let template = folder.plugin(&["check", "hospital.wasm"]);
    assert_eq!(template.status, 0, "{template:?}");

    let half = component("hospital").len() / 2;
    folder.write("half.wasm", &component("hospital")[..half]);
    folder.write("module.wasm", b"\0asm\x01\0\0\0");
    for file in ["half.wasm", "module.wasm"] {
        let bad = folder.plugin(&["check", file]);
        assert_eq!(bad.status, 1, "{bad:?}");
        assert!(bad.out.contains("not a component"), "{bad:?}");
    }
}

#[test]
fn a_new_plugin_needs_a_folder_and_the_sdk() {
    let folder = Folder::new(&[("there/file.json", json!(1))]);
    let taken = folder.plugin(&["new", "flag", "--path", "there"]);
    assert_eq!(taken.status, 1);
    assert!(taken.error.contains("there is there already"), "{taken:?}");
    let no_sdk = folder.plugin(&["new", "flag", "--sdk", "there"]);
    assert_eq!(no_sdk.status, 1);
    assert!(no_sdk.error.contains("there is not the SDK"), "{no_sdk:?}");
    let no_module = folder.plugin(&["new", "flag", "--template", "hospital", "--module", "x"]);
    assert_eq!(no_module.status, 1);
    assert!(
        no_module.error.contains("it has patients, doctors"),
        "{no_module:?}"
    );
    assert!(!folder.path().join("flag").exists());
    let wrong = folder.plugin(&["new", "Flag"]);
    assert_eq!(wrong.status, 2);
}

#[test]
fn records_become_types_of_three_languages() {
    let folder = Folder::new(&[]);
    for (language, line) in [
        ("rust", "    pub price: Option<Money>,"),
        ("typescript", "  price?: Money | null;"),
        ("python", "        \"price\": NotRequired[Optional[Money]],"),
    ] {
        let said = folder.plugin(&["types", "--template", "jewellery", "--lang", language]);
        assert_eq!(said.status, 0, "{said:?}");
        assert!(said.out.lines().any(|found| found == line), "{said:?}");
    }
}
