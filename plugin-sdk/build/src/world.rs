//! The contract for toolchains that import all of a world, whether it is used or not: with those
//! interfaces alone that the manifest asks for. What is not imported cannot be used, so the host
//! can say so with certainty.

use serde_json::Value;
use std::path::{Path, PathBuf};

use crate::error::BuildError;
use crate::write;

const CONTRACT: &str = include_str!("../../wit/plugin.wit");
/// Interfaces of the world `action`, and the capability that is for nothing without them.
const ASKED_FOR: [(&str, &str); 3] = [
    ("records", "reads"),
    ("secrets", "secrets"),
    ("state", "state"),
];

/// Writes the contract into a folder of its own and says where.
pub(crate) fn world_write(target: &Path, manifest: &Value) -> Result<PathBuf, BuildError> {
    let folder = target.join("wit");
    write(&folder.join("plugin.wit"), narrowed(manifest).as_bytes())?;
    Ok(folder)
}

fn narrowed(manifest: &Value) -> String {
    let asks = |capability: &str| match manifest.pointer(&format!("/capabilities/{capability}")) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Array(members)) => !members.is_empty(),
        Some(Value::Object(members)) => !members.is_empty(),
        Some(_) => true,
    };
    let left_out: Vec<String> = ASKED_FOR
        .iter()
        .filter(|(_, capability)| !asks(capability))
        .map(|(interface, _)| format!("import {interface};"))
        .collect();
    CONTRACT
        .lines()
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
            let text = narrowed(&json!({ "capabilities": capabilities }));
            let world = text.split("world action {").nth(1).unwrap();
            let world = world.split('}').next().unwrap();
            let lines = world.lines().map(str::trim);
            lines
                .filter_map(|line| Some(line.strip_prefix("import ")?.to_owned()))
                .collect()
        };
        assert_eq!(imports(json!({})), ["config;", "log;"]);
        assert_eq!(imports(Value::Null), ["config;", "log;"]);
        let all = json!({ "reads": ["a(b)"], "secrets": ["s"], "state": true });
        assert_eq!(
            imports(all),
            ["records;", "config;", "secrets;", "state;", "log;"]
        );
        let none = json!({ "reads": [], "secrets": [], "state": false });
        assert_eq!(imports(none), ["config;", "log;"]);
    }
}
