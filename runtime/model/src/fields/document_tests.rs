//! Keeps `FIELDS.md` true. To write it anew:
//! `CRM_WRITE_DOCS=1 cargo test -p crm-model fields_md`.

use std::fmt::Write;

use super::*;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/FIELDS.md");
const HEAD: &str = "# Field types

Written from the code (`src/fields/`), one section a type. Change a type, then run
`CRM_WRITE_DOCS=1 cargo test -p crm-model fields_md`; a test compares. `GET /api/crm/field-types`
answers the same.

A new type is a file in `src/fields/` with its `mod` line, and one line in the list `TYPES`.
";

#[test]
fn fields_md_is_what_the_code_says() {
    let expected = document();
    if std::env::var_os("CRM_WRITE_DOCS").is_some() {
        std::fs::write(PATH, &expected).unwrap();
    }
    let written = std::fs::read_to_string(PATH).unwrap_or_default();
    assert!(
        written == expected,
        "FIELDS.md is not what the code says; run: CRM_WRITE_DOCS=1 cargo test -p crm-model fields_md"
    );
}

fn document() -> String {
    let mut text = HEAD.to_owned();
    let code = |names: &[&str]| -> String {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    writeln!(
        text,
        "\nEvery field takes {}. Every field that is not computed also takes {}. What else a \
         type takes stands in its section; anything else is refused.",
        code(attributes::EVERY),
        code(attributes::WRITTEN),
    )
    .unwrap();
    for (kind, described) in TYPES.iter().zip(catalogue()) {
        let accepted: Vec<&str> = described
            .attributes
            .iter()
            .copied()
            .filter(|name| !attributes::EVERY.contains(name) && !attributes::WRITTEN.contains(name))
            .collect();
        section(&mut text, &described, &code(&accepted)).unwrap();
        assert_eq!(described.name, kind.name());
    }
    text
}

fn section(
    text: &mut String,
    described: &TypeDescription,
    attributes: &str,
) -> Result<(), std::fmt::Error> {
    writeln!(text, "\n## {}\n\n{}\n", described.name, described.summary)?;
    if described.computed {
        writeln!(text, "- Computed by the host: nobody may send a value.")?;
    }
    writeln!(text, "- Stored: {}", described.storage)?;
    let form = word(&described.index_form);
    writeln!(
        text,
        "- Index form: {form}; shown as `{}`",
        described.rendering
    )?;
    for part in &described.parts {
        let operators: Vec<String> = part.operators.iter().map(word).collect();
        let of = part.name.map_or_else(String::new, |name| {
            format!(" of `{name}` ({})", word(&part.form))
        });
        writeln!(text, "- Operators{of}: {}", operators.join(", "))?;
    }
    if !attributes.is_empty() {
        writeln!(text, "- Takes also: {attributes}")?;
    }
    let definition = json!(described.definition);
    for (title, value) in [
        ("Definition", &definition),
        ("Value", &described.example),
        ("JSON Schema of a value", &described.schema),
    ] {
        writeln!(text, "\n{title}:\n\n```json\n{value}\n```")?;
    }
    Ok(())
}

fn word(value: &impl serde::Serialize) -> String {
    format!("`{}`", json!(value).as_str().unwrap_or_default())
}
