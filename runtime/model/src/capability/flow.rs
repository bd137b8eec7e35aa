//! Capabilities as people read them: `patients(full_name, phone)`,
//! `appointments(create, update; status)`. What older manifests say as objects is understood too.

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

use super::{WriteCapability, WriteOperation};

#[derive(Deserialize)]
#[serde(untagged)]
enum Written<T> {
    Flows(Vec<String>),
    Object(BTreeMap<String, T>),
}

/// `module(inside)`; without parentheses nothing is inside.
fn parts(flow: &str) -> Result<(&str, &str), String> {
    let flow = flow.trim();
    let wrong = || format!("`{flow}` does not read as `module(fields)`");
    match flow.split_once('(') {
        None if flow.is_empty() || flow.contains(')') => Err(wrong()),
        None => Ok((flow, "")),
        Some((module, rest)) => {
            let inside = rest.strip_suffix(')').ok_or_else(wrong)?;
            let module = module.trim();
            if module.is_empty() || inside.contains(['(', ')']) {
                return Err(wrong());
            }
            Ok((module, inside.trim()))
        }
    }
}

fn list(text: &str) -> Result<BTreeSet<String>, String> {
    if text.trim().is_empty() {
        return Ok(BTreeSet::new());
    }
    text.split(',')
        .map(|name| match name.trim() {
            "" => Err(format!("`{text}` has a name too few or a comma too many")),
            name => Ok(name.to_owned()),
        })
        .collect()
}

fn join<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

pub(super) fn read_parse(flow: &str) -> Result<(String, BTreeSet<String>), String> {
    let (module, fields) = parts(flow)?;
    let fields = list(fields)?;
    if fields.is_empty() {
        return Err(format!("`{flow}` names no fields: `{module}(field, …)`"));
    }
    Ok((module.to_owned(), fields))
}

pub(super) fn write_parse(flow: &str) -> Result<(String, WriteCapability), String> {
    let (module, inside) = parts(flow)?;
    let (operations, fields) = inside.split_once(';').unwrap_or((inside, ""));
    let operations = list(operations)?
        .into_iter()
        .map(|name| {
            let known = WriteOperation::ALL.into_iter();
            let mut known = known.filter(|operation| operation.name() == name);
            known.next().ok_or_else(|| {
                let all = join(WriteOperation::ALL.map(WriteOperation::name));
                format!("`{flow}`: there is no operation `{name}`; use {all}")
            })
        })
        .collect::<Result<BTreeSet<_>, _>>()?;
    if operations.is_empty() {
        return Err(format!(
            "`{flow}` names no operations: `{module}(create, update; field, …)`"
        ));
    }
    let fields = list(fields)?;
    Ok((module.to_owned(), WriteCapability { operations, fields }))
}

pub(super) fn read_text(module: &str, fields: &BTreeSet<String>) -> String {
    format!("{module}({})", join(fields.iter().map(String::as_str)))
}

pub(super) fn write_text(module: &str, right: &WriteCapability) -> String {
    let operations = join(right.operations.iter().map(|operation| operation.name()));
    if right.fields.is_empty() {
        return format!("{module}({operations})");
    }
    let fields = join(right.fields.iter().map(String::as_str));
    format!("{module}({operations}; {fields})")
}

fn collected<T, E: Error>(
    flows: Vec<String>,
    parse: impl Fn(&str) -> Result<(String, T), String>,
) -> Result<BTreeMap<String, T>, E> {
    let mut all = BTreeMap::new();
    for flow in flows {
        let (module, right) = parse(&flow).map_err(E::custom)?;
        if all.insert(module.clone(), right).is_some() {
            return Err(E::custom(format!("`{module}` stands there twice")));
        }
    }
    Ok(all)
}

macro_rules! as_flows {
    ($name:ident, $right:ty, $parse:path, $text:path) => {
        pub(super) mod $name {
            use super::*;

            pub(crate) fn serialize<S: Serializer>(
                rights: &BTreeMap<String, $right>,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(rights.iter().map(|(module, right)| $text(module, right)))
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<BTreeMap<String, $right>, D::Error> {
                match Written::<$right>::deserialize(deserializer)? {
                    Written::Object(rights) => Ok(rights),
                    Written::Flows(flows) => collected(flows, $parse),
                }
            }
        }
    };
}

as_flows!(reads, BTreeSet<String>, read_parse, read_text);
as_flows!(writes, WriteCapability, write_parse, write_text);

#[cfg(test)]
mod tests {
    use super::super::Capabilities;
    use serde_json::json;

    #[test]
    fn flows_are_read_and_written() {
        let json = json!({
            "reads": ["*(*)", "patients(full_name, phone)"],
            "writes": ["appointments(create, update; status)", "notes(delete)"],
            "effects": ["email", "http:api.example.com"],
        });
        let read: Capabilities = serde_json::from_value(json.clone()).unwrap();
        assert!(read.reads_field("patients", "phone"));
        assert_eq!(serde_json::to_value(&read).unwrap(), json);
    }

    #[test]
    fn objects_say_the_same() {
        let objects = json!({
            "reads": { "patients": ["full_name"] },
            "writes": { "patients": { "operations": ["update"], "fields": ["full_name"] } },
        });
        let flows = json!({
            "reads": [" patients ( full_name ) "],
            "writes": ["patients(update;full_name)"],
        });
        let read = |json| serde_json::from_value::<Capabilities>(json).unwrap();
        assert_eq!(read(objects), read(flows));
    }

    #[test]
    fn what_is_written_wrongly_is_named() {
        for (key, flow, what) in [
            ("reads", "patients", "names no fields"),
            ("reads", "patients(", "does not read as"),
            ("reads", "(a)", "does not read as"),
            ("reads", "patients(a))", "does not read as"),
            ("reads", "patients(a,)", "comma too many"),
            ("writes", "patients(; a)", "names no operations"),
            (
                "writes",
                "patients(drop; a)",
                "there is no operation `drop`",
            ),
        ] {
            let read = serde_json::from_value::<Capabilities>(json!({ key: [flow] }));
            let error = read.unwrap_err().to_string();
            assert!(error.contains(what), "{flow}: {error}");
        }
        let twice = json!({ "reads": ["a(b)", "a(c)"] });
        let error = serde_json::from_value::<Capabilities>(twice).unwrap_err();
        assert!(error.to_string().contains("twice"), "{error}");
    }
}
