//! Records as structs for serde. Exact numbers are `rust_decimal`'s.

use std::fmt::Write;

use super::shape::{Kind, Member, Record, Shape};

/// Words that no name may be, not even after `r#`.
const NEVER: [&str; 4] = ["self", "super", "crate", "Self"];
const KEYWORDS: [&str; 47] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let",
    "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return",
    "static", "struct", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use",
    "virtual", "where", "while",
];

/// The text of a module `model`.
pub(crate) fn render(title: &str, shape: &Shape) -> String {
    let mut text = format!("//! {title}\n\n");
    text.push_str("#![allow(dead_code, reason = \"a plugin reads some of the fields\")]\n\n");
    if shape.has_decimals() {
        text.push_str("use rust_decimal::Decimal;\n");
    }
    text.push_str("use serde::{Deserialize, Serialize};\n");
    for record in &shape.records {
        record_of(&mut text, record);
    }
    for (name, members) in &shape.objects {
        text.push_str("\n#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]\n");
        structure(&mut text, name, members);
    }
    text
}

fn record_of(text: &mut String, record: &Record) {
    let _ = write!(
        text,
        "\n/// {}\n#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]\n\
         #[serde(default)]\n",
        one_line(&record.about)
    );
    structure(text, &record.name, &record.members);
    let _ = write!(
        text,
        "\nimpl {} {{\n    pub const MODULE: &str = {:?};\n}}\n",
        record.name, record.module
    );
}

fn structure(text: &mut String, name: &str, members: &[Member]) {
    let _ = writeln!(text, "pub struct {name} {{");
    for member in members {
        member_of(text, member);
    }
    text.push_str("}\n");
}

fn member_of(text: &mut String, member: &Member) {
    if !member.about.is_empty() {
        let _ = writeln!(text, "    /// {}", one_line(&member.about));
    }
    let (name, renamed) = identifier(&member.key);
    let mut attributes = Vec::new();
    if renamed {
        attributes.push(format!("rename = {:?}", member.key));
    }
    if !member.required {
        attributes.push("default".to_owned());
        attributes.push("skip_serializing_if = \"Option::is_none\"".to_owned());
    }
    if member.kind == Kind::Decimal {
        let with = match member.required {
            true => "str",
            false => "str_option",
        };
        attributes.push(format!("with = \"rust_decimal::serde::{with}\""));
    }
    if !attributes.is_empty() {
        let _ = writeln!(text, "    #[serde({})]", attributes.join(", "));
    }
    let kind = type_of(&member.kind);
    let _ = match member.required {
        true => writeln!(text, "    pub {name}: {kind},"),
        false => writeln!(text, "    pub {name}: Option<{kind}>,"),
    };
}

/// A field's key as an identifier, and whether serde has to be told its name.
fn identifier(key: &str) -> (String, bool) {
    if NEVER.contains(&key) {
        return (format!("{key}_"), true);
    }
    match KEYWORDS.contains(&key) {
        true => (format!("r#{key}"), false),
        false => (key.to_owned(), false),
    }
}

fn type_of(kind: &Kind) -> String {
    match kind {
        Kind::Text => "String".to_owned(),
        Kind::Integer => "i64".to_owned(),
        Kind::Decimal => "Decimal".to_owned(),
        Kind::Boolean => "bool".to_owned(),
        Kind::List(inner) => format!("Vec<{}>", type_of(inner)),
        Kind::Object(name) => name.clone(),
        Kind::Any => "serde_json::Value".to_owned(),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
