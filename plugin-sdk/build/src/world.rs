//! The contract for toolchains that import all of a world, whether it is used or not: with those
//! interfaces alone that the manifest asks for. What is not imported cannot be used, so the host
//! can say so with certainty.

use serde_json::Value;
use std::path::{Path, PathBuf};

use crate::error::BuildError;
use crate::write;

/// Its texts, by the files that toolchains look for them in.
const CONTRACT: [(&str, &str); 2] = [
    ("plugin.wit", include_str!("../../wit/plugin.wit")),
    (
        "deps/plugin-1.0.0.wit",
        include_str!("../../wit/deps/plugin-1.0.0.wit"),
    ),
];
/// Interfaces of the world `action`, and the capability that is for nothing without them; of
/// effects, the one of that name.
const ASKED_FOR: [(&str, &str, Option<&str>); 4] = [
    ("records", "reads", None),
    ("secrets", "secrets", None),
    ("state", "state", None),
    ("attachments", "effects", Some("email")),
];

/// Writes the contract into a folder of its own and says where.
pub(crate) fn world_write(target: &Path, manifest: &Value) -> Result<PathBuf, BuildError> {
    let folder = target.join("wit");
    for (file, text) in CONTRACT {
        write(&folder.join(file), narrowed(text, manifest).as_bytes())?;
    }
    Ok(folder)
}

fn narrowed(text: &str, manifest: &Value) -> String {
    let asks = |capability: &str, member: Option<&str>| match (
        manifest.pointer(&format!("/capabilities/{capability}")),
        member,
    ) {
        (None | Some(Value::Null | Value::Bool(false)), _) => false,
        (Some(Value::Array(members)), Some(member)) => {
            members.iter().any(|one| one.as_str() == Some(member))
        }
        (Some(Value::Array(members)), None) => !members.is_empty(),
        (Some(Value::Object(members)), _) => !members.is_empty(),
        (Some(_), _) => true,
    };
    let left_out: Vec<String> = ASKED_FOR
        .iter()
        .filter(|(_, capability, member)| !asks(capability, *member))
        .map(|(interface, _, _)| format!("import {interface};"))
        .collect();
    text.lines()
        .filter(|line| !left_out.iter().any(|import| line.trim() == import))
        .fold(String::new(), |text, line| text + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn interfaces_are_imported_where_the_manifest_asks_for_them() {
        let imports = |capabilities: Value| -> Vec<String> {
            let manifest = json!({ "capabilities": capabilities });
            let mut imports = Vec::new();
            for (_, text) in CONTRACT {
                let text = narrowed(text, &manifest);
                let world = text.split("world action {").nth(1).unwrap();
                let world = world.split('}').next().unwrap();
                let lines = world.lines().map(str::trim);
                imports.extend(
                    lines.filter_map(|line| Some(line.strip_prefix("import ")?.to_owned())),
                );
            }
            imports
        };
        assert_eq!(imports(json!({})), ["config;", "log;"]);
        assert_eq!(imports(Value::Null), ["config;", "log;"]);
        let all = json!({
            "reads": ["a(b)"], "secrets": ["s"], "state": true, "effects": ["notify", "email"],
        });
        assert_eq!(
            imports(all),
            [
                "attachments;",
                "records;",
                "config;",
                "secrets;",
                "state;",
                "log;"
            ]
        );
        let none = json!({ "reads": [], "secrets": [], "state": false, "effects": ["notify"] });
        assert_eq!(imports(none), ["config;", "log;"]);
    }
}
