//! Records as typed dictionaries, which is what their JSON becomes. In the form that takes any
//! key, for a field may be called `class`.

use std::fmt::Write;

use super::shape::{Kind, Member, Shape};

/// The text of a module.
pub(crate) fn render(title: &str, shape: &Shape) -> String {
    let mut text = format!("\"\"\"{title}\"\"\"\n\n");
    text.push_str("from typing import Any, NotRequired, Optional, TypedDict\n\n");
    text.push_str("# An exact number: decimal.Decimal(text) reads it; a float would round it.\n");
    text.push_str("Decimal = str\n");
    // Before the records that hold them.
    for (name, members) in &shape.objects {
        dictionary(&mut text, name, members);
    }
    for record in &shape.records {
        let about = record.about.split_whitespace().collect::<Vec<_>>();
        let _ = write!(text, "\n# {}", about.join(" "));
        dictionary(&mut text, &record.name, &record.members);
    }
    text
}

fn dictionary(text: &mut String, name: &str, members: &[Member]) {
    let _ = write!(text, "\n{name} = TypedDict(\n    {name:?},\n    {{\n");
    for member in members {
        if !member.about.is_empty() {
            let about = member.about.split_whitespace().collect::<Vec<_>>();
            let _ = writeln!(text, "        # {}", about.join(" "));
        }
        let (key, kind) = (&member.key, type_of(&member.kind));
        let _ = match member.required {
            true => writeln!(text, "        {key:?}: {kind},"),
            false => writeln!(text, "        {key:?}: NotRequired[Optional[{kind}]],"),
        };
    }
    text.push_str("    },\n)\n");
}

fn type_of(kind: &Kind) -> String {
    match kind {
        Kind::Text => "str".to_owned(),
        Kind::Integer => "int".to_owned(),
        Kind::Decimal => "Decimal".to_owned(),
        Kind::Boolean => "bool".to_owned(),
        Kind::List(inner) => format!("list[{}]", type_of(inner)),
        Kind::Object(name) => name.clone(),
        Kind::Any => "Any".to_owned(),
    }
}
