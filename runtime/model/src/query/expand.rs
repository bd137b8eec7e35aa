//! Related records that an answer brings along: `doctor`, `doctor.department`, `orders`.

use super::scope::Scope;
use super::target::Link;
use crate::fields::RELATION;
use crate::limits::{EXPAND_MAX_DEPTH, EXPAND_MAX_RELATIONS};
use crate::model::Module;
use crate::names::FieldKey;
use crate::nearest::suggestion;
use crate::violation::Violations;

/// A relation to expand, and what to expand of the records at its other end.
#[derive(Clone, Debug, PartialEq)]
pub struct Expansion {
    pub field: FieldKey,
    pub link: Link,
    pub inner: Vec<Expansion>,
}

/// Reads `doctor,doctor.department,orders`. What is wrong is added to the violations.
pub(crate) fn parse_expand<'a>(
    scope: Scope<'a>,
    module: &'a Module,
    names: &[&str],
    violations: &mut Violations,
) -> Vec<Expansion> {
    if names.len() > EXPAND_MAX_RELATIONS {
        let message = format!("an answer expands at most {EXPAND_MAX_RELATIONS} relations");
        violations.add("/expand".to_owned(), "too_many", message);
        return Vec::new();
    }
    let mut expansions = Vec::new();
    for name in names {
        let path: Vec<&str> = name.split('.').collect();
        if path.len() > EXPAND_MAX_DEPTH {
            let message = format!("“{name}” leads across more than {EXPAND_MAX_DEPTH} relations");
            violations.add("/expand".to_owned(), "too_deep", message);
        } else if let Err(message) = insert(scope, module, &path, &mut expansions) {
            violations.add("/expand".to_owned(), "unknown_field", message);
        }
    }
    expansions
}

fn insert<'a>(
    scope: Scope<'a>,
    module: &'a Module,
    path: &[&str],
    expansions: &mut Vec<Expansion>,
) -> Result<(), String> {
    let Some((head, tail)) = path.split_first() else {
        return Ok(());
    };
    let found = scope
        .field(module, head)
        .and_then(|(field, _)| Some((field, scope.link(field)?)));
    let Some((field, (link, next))) = found else {
        let sight = scope.sight(module);
        let relations = sight.clear_fields().filter(|field| field.kind == RELATION);
        let known = relations.map(|field| field.key.as_str());
        let hint = suggestion(head, known);
        let slug = &module.definition().slug;
        return Err(format!("“{slug}” has no relation “{head}”{hint}"));
    };
    let index = expansions.iter().position(|known| known.field == field.key);
    let index = index.unwrap_or_else(|| {
        expansions.push(Expansion {
            field: field.key.clone(),
            link,
            inner: Vec::new(),
        });
        expansions.len() - 1
    });
    match expansions.get_mut(index) {
        Some(expansion) => insert(scope, next, tail, &mut expansion.inner),
        None => Ok(()),
    }
}
