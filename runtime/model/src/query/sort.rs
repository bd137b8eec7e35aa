//! The order of a list. Missing values count as the smallest; the record's id decides between
//! equals, in the direction of the first field, so that no two records share a place.

use super::scope::Scope;
use super::target::{End, Target};
use crate::form::Form;
use crate::limits::SORT_MAX_FIELDS;
use crate::model::Module;
use crate::violation::Violations;

/// One field that a list is sorted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SortKey {
    pub target: Target,
    pub descending: bool,
}

/// Reads `-price`, `name`. What is wrong is added to the violations.
pub(crate) fn parse_sort<'a>(
    scope: Scope<'a>,
    module: &'a Module,
    names: &[&str],
    violations: &mut Violations,
) -> Vec<SortKey> {
    if names.len() > SORT_MAX_FIELDS {
        let message = format!("a list is sorted by at most {SORT_MAX_FIELDS} fields");
        violations.add("/sort".to_owned(), "too_many", message);
        return Vec::new();
    }
    let mut keys: Vec<SortKey> = Vec::new();
    for name in names {
        let (bare, descending) = match name.strip_prefix('-') {
            Some(bare) => (bare, true),
            None => (*name, false),
        };
        let mut refuse =
            |code: &str, message: String| violations.add("/sort".to_owned(), code, message);
        let named = match scope.follow(module, bare) {
            Ok(named) => named,
            Err(message) => {
                refuse("unknown_field", message);
                continue;
            }
        };
        let is_inverse =
            matches!(&named.end, End::Field { field, .. } if field.inverse_of.is_some());
        let target = named.target(bare);
        if !named.links.is_empty() || is_inverse || matches!(target.form, Form::Opaque | Form::List)
        {
            let message = format!("a list cannot be sorted by “{bare}”");
            refuse("unsortable", message);
        } else if keys.iter().any(|key| key.target.place == target.place) {
            refuse("twice", format!("“{bare}” stands in sort twice"));
        } else {
            keys.push(SortKey { target, descending });
        }
    }
    keys
}
