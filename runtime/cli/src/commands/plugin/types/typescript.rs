//! Records as interfaces.

use std::fmt::Write;

use super::shape::{Kind, Member, Shape};

/// The text of a declaration file.
pub(crate) fn render(title: &str, shape: &Shape) -> String {
    let mut text = format!("// {title}\n\n");
    text.push_str("/** An exact number: never a JavaScript number, which would round it. */\n");
    text.push_str("export type Decimal = string;\n");
    for record in &shape.records {
        let _ = write!(text, "\n/** {} */\n", comment(&record.about));
        interface(&mut text, &record.name, &record.members);
    }
    for (name, members) in &shape.objects {
        text.push('\n');
        interface(&mut text, name, members);
    }
    text
}

fn interface(text: &mut String, name: &str, members: &[Member]) {
    let _ = writeln!(text, "export interface {name} {{");
    for member in members {
        if !member.about.is_empty() {
            let _ = writeln!(text, "  /** {} */", comment(&member.about));
        }
        let (key, kind) = (&member.key, type_of(&member.kind));
        let _ = match member.required {
            true => writeln!(text, "  {key}: {kind};"),
            false => writeln!(text, "  {key}?: {kind} | null;"),
        };
    }
    text.push_str("}\n");
}

fn type_of(kind: &Kind) -> String {
    match kind {
        Kind::Text => "string".to_owned(),
        Kind::Integer => "number".to_owned(),
        Kind::Decimal => "Decimal".to_owned(),
        Kind::Boolean => "boolean".to_owned(),
        Kind::List(inner) => format!("{}[]", type_of(inner)),
        Kind::Object(name) => name.clone(),
        Kind::Any => "unknown".to_owned(),
    }
}

fn comment(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace("*/", "* /")
}
