//! Saved views of a module's records: which, in what order, and how they are shown. Says whether
//! a view fits the model; never runs one.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Data;
use crate::definition::FieldDefinition;
use crate::derived::main_part;
use crate::fields::{RELATION, field_type};
use crate::form::Form;
use crate::limits::{
    LABEL_MAX_CHARACTERS, VIEW_FILTER_MAX_BYTES, VIEW_MAX_COLUMNS, VIEW_MAX_SORT_FIELDS,
};
use crate::model::Module;
use crate::names::ModuleSlug;
use crate::overlay::{attributes, check_characters};
use crate::query::{Filter, Scope};
use crate::validate::merge_patch;
use crate::violation::Violations;

/// What every record has beside its data, by the names of the API's record.
pub const RECORD_ATTRIBUTES: [&str; 7] = [
    "id",
    "version",
    "owner_id",
    "created_at",
    "created_by",
    "updated_at",
    "updated_by",
];
/// Those of them that are moments.
const MOMENT_ATTRIBUTES: [&str; 2] = ["created_at", "updated_at"];

/// How records are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViewKind {
    #[default]
    Table,
    /// Columns of cards, one for each option of `group_by`.
    Kanban,
    /// On the days of `date_field`.
    Calendar,
}

/// A saved view, as it is sent and answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewDefinition {
    pub module: ModuleSlug,
    pub name: String,
    #[serde(default)]
    pub kind: ViewKind,
    /// A filter of the API; none: all records.
    #[serde(default)]
    pub filter: Option<Value>,
    /// Fields, `relation.field`, or what every record has; empty: the module's own order.
    #[serde(default)]
    pub columns: Vec<String>,
    /// As columns; `-` before a name turns its order around.
    #[serde(default)]
    pub sort: Vec<String>,
    #[serde(default)]
    pub group_by: Option<String>,
    #[serde(default)]
    pub date_field: Option<String>,
    /// For everybody who may read the module; otherwise for its creator alone.
    #[serde(default)]
    pub shared: bool,
}

impl ViewDefinition {
    /// This view with a merge patch (RFC 7396) over it.
    ///
    /// # Errors
    /// What is not the form of a view.
    pub fn patched(&self, patch: &Data) -> Result<Self, Violations> {
        let mut wanted = attributes(self);
        merge_patch(&mut wanted, patch);
        serde_json::from_value(Value::Object(wanted))
            .map_err(|error| Violations::one("", "shape", error.to_string()))
    }
}

/// Checks a view against its module: names that are there, a kind that can be shown, a filter
/// within its size. What the filter says is read by [`crate::query`].
///
/// # Errors
/// Everything that does not fit, with pointers from the root of the view.
pub fn check_view<'a>(
    scope: Scope<'a>,
    module: &'a Module,
    view: &ViewDefinition,
) -> Result<(), Violations> {
    check_characters(&attributes(view))?;
    let mut violations = Violations::default();
    let characters = view.name.chars().count();
    if view.name.trim().is_empty() || characters > LABEL_MAX_CHARACTERS {
        let message = format!("a view's name has 1 to {LABEL_MAX_CHARACTERS} characters");
        violations.add("/name".to_owned(), "length", message);
    }
    check_filter(view, &mut violations);
    check_list(
        scope,
        module,
        "columns",
        &view.columns,
        VIEW_MAX_COLUMNS,
        &mut violations,
    );
    let sort: Vec<String> = view
        .sort
        .iter()
        .map(|name| name.strip_prefix('-').unwrap_or(name).to_owned())
        .collect();
    check_list(
        scope,
        module,
        "sort",
        &sort,
        VIEW_MAX_SORT_FIELDS,
        &mut violations,
    );
    for (pointer, name) in [
        ("/group_by", &view.group_by),
        ("/date_field", &view.date_field),
    ] {
        if let Some(name) = name
            && let Err(message) = resolve(scope, module, name)
        {
            violations.add(pointer.to_owned(), "unknown_field", message);
        }
    }
    if violations.is_empty() {
        check_kind(scope, module, view, &mut violations);
    }
    violations.into_result()
}

/// A view as the reader of the scope may know it: without names that are not there for them. A
/// filter that asks about one goes as a whole.
pub fn shown_view<'a>(scope: Scope<'a>, module: &'a Module, view: &mut ViewDefinition) {
    let is_there = |name: &str| {
        let name = name.strip_prefix('-').unwrap_or(name);
        resolve(scope, module, name).is_ok()
    };
    view.columns.retain(|name| is_there(name));
    view.sort.retain(|name| is_there(name));
    view.group_by = view.group_by.take().filter(|name| is_there(name));
    view.date_field = view.date_field.take().filter(|name| is_there(name));
    let reads = |filter: &Value| Filter::parse(scope, &view.module, filter, "").is_ok();
    view.filter = view.filter.take().filter(reads);
}

fn check_filter(view: &ViewDefinition, violations: &mut Violations) {
    let Some(filter) = &view.filter else {
        return;
    };
    if filter.to_string().len() > VIEW_FILTER_MAX_BYTES {
        let message = format!("a view's filter has at most {VIEW_FILTER_MAX_BYTES} bytes");
        violations.add("/filter".to_owned(), "length", message);
    }
}

fn check_list<'a>(
    scope: Scope<'a>,
    module: &'a Module,
    member: &str,
    names: &[String],
    most: usize,
    violations: &mut Violations,
) {
    if names.len() > most {
        let message = format!("a view has at most {most} of them");
        violations.add(format!("/{member}"), "length", message);
        return;
    }
    for (index, name) in names.iter().enumerate() {
        let pointer = format!("/{member}/{index}");
        if let Err(message) = resolve(scope, module, name) {
            violations.add(pointer, "unknown_field", message);
        } else if names.iter().take(index).any(|before| before == name) {
            violations.add(pointer, "duplicate", format!("“{name}” stands there twice"));
        }
    }
}

/// Whether a name is an attribute of records, a field, a part of one (`price.currency`), or one
/// of the record that a relation points to (`doctor.department`).
fn resolve<'a>(scope: Scope<'a>, module: &'a Module, name: &str) -> Result<(), String> {
    let (head, rest) = match name.split_once('.') {
        Some((head, rest)) => (head, Some(rest)),
        None => (name, None),
    };
    if rest.is_none() && RECORD_ATTRIBUTES.contains(&head) {
        return Ok(());
    }
    let field = live_field(scope, module, head)?;
    let Some(rest) = rest else {
        return Ok(());
    };
    if field.kind == RELATION {
        let target = field.module.as_ref().and_then(|slug| scope.module(slug));
        let target = target.ok_or_else(|| format!("“{head}” points nowhere"))?;
        if RECORD_ATTRIBUTES.contains(&rest) {
            return Ok(());
        }
        return live_field(scope, target, rest).map(|_| ());
    }
    let parts = field_type(&field.kind).map_or(&[][..], |kind| kind.parts(field));
    if parts.iter().any(|part| part.name == Some(rest)) {
        return Ok(());
    }
    Err(format!("“{head}” has no part “{rest}”"))
}

fn live_field<'a>(
    scope: Scope<'a>,
    module: &'a Module,
    key: &str,
) -> Result<&'a FieldDefinition, String> {
    let unknown = || format!("“{}” has no field “{key}”", module.definition().slug);
    scope.sight(module).field(key).ok_or_else(unknown)
}

fn check_kind<'a>(
    scope: Scope<'a>,
    module: &'a Module,
    view: &ViewDefinition,
    violations: &mut Violations,
) {
    match view.kind {
        ViewKind::Table => {}
        ViewKind::Kanban => {
            let group = view.group_by.as_deref();
            if !group.is_some_and(|name| live_field(scope, module, name).is_ok_and(is_select)) {
                let message = "a kanban view is grouped by a select field of its module";
                violations.add("/group_by".to_owned(), "kind", message);
            }
        }
        ViewKind::Calendar => {
            let date = view.date_field.as_deref();
            let fits = date.is_some_and(|name| {
                MOMENT_ATTRIBUTES.contains(&name)
                    || live_field(scope, module, name).is_ok_and(is_day)
            });
            if !fits {
                let message = "a calendar view has a date or datetime field of its module";
                violations.add("/date_field".to_owned(), "kind", message);
            }
        }
    }
}

/// One of several options, not a list of them.
fn is_select(field: &FieldDefinition) -> bool {
    let form = field_type(&field.kind).map(|kind| main_part(kind.parts(field)).form);
    !field.options.is_empty() && form == Some(Form::Exact)
}

fn is_day(field: &FieldDefinition) -> bool {
    let form = field_type(&field.kind).map(|kind| main_part(kind.parts(field)).form);
    form == Some(Form::Moment)
        || field.kind == "date"
        || field
            .result
            .as_deref()
            .is_some_and(|result| result == "date")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::model;
    use serde_json::json;

    fn codes(attributes: Value) -> Vec<(String, String)> {
        let mut view = json!({"module": "items", "name": "A view"});
        let members = attributes.as_object().unwrap().clone();
        view.as_object_mut().unwrap().extend(members);
        let view: ViewDefinition = serde_json::from_value(view).unwrap();
        let model = model();
        let module = model.module(&view.module).unwrap();
        let scope = Scope::host(&model, chrono::DateTime::UNIX_EPOCH);
        let Err(violations) = check_view(scope, module, &view) else {
            return Vec::new();
        };
        let pairs = violations.as_slice().iter();
        pairs
            .map(|violation| (violation.pointer.clone(), violation.code.clone()))
            .collect()
    }

    fn one(pointer: &str, code: &str) -> Vec<(String, String)> {
        vec![(pointer.to_owned(), code.to_owned())]
    }

    #[test]
    fn a_view_names_what_is_there() {
        let good = json!({
            "columns": ["sku", "price.currency", "pair.count", "pair.created_at", "owner_id"],
            "sort": ["-price", "created_at"], "group_by": "cut",
            "filter": {"field": "sku", "op": "eq", "value": "A"},
        });
        assert_eq!(codes(good), []);
        for (attributes, pointer, code) in [
            (
                json!({"columns": ["nowhere"]}),
                "/columns/0",
                "unknown_field",
            ),
            (
                json!({"columns": ["sku", "sku.x"]}),
                "/columns/1",
                "unknown_field",
            ),
            (
                json!({"columns": ["pair.nowhere"]}),
                "/columns/0",
                "unknown_field",
            ),
            (
                json!({"columns": ["sku", "sku"]}),
                "/columns/1",
                "duplicate",
            ),
            (json!({"sort": ["sku", "-sku"]}), "/sort/1", "duplicate"),
            (json!({"group_by": "nowhere"}), "/group_by", "unknown_field"),
            (json!({"name": " "}), "/name", "length"),
            (json!({"name": "a\u{0}"}), "/name", "characters"),
            (
                json!({"filter": {"value": ["\u{0}"]}}),
                "/filter",
                "characters",
            ),
        ] {
            assert_eq!(
                codes(attributes.clone()),
                one(pointer, code),
                "{attributes}"
            );
        }
    }

    #[test]
    fn a_kind_has_what_it_needs() {
        assert_eq!(codes(json!({"kind": "kanban", "group_by": "cut"})), []);
        assert_eq!(codes(json!({"kind": "kanban"})), one("/group_by", "kind"));
        let by_text = json!({"kind": "kanban", "group_by": "sku"});
        assert_eq!(codes(by_text), one("/group_by", "kind"));
        for day in ["made_on", "seen_at", "created_at"] {
            assert_eq!(codes(json!({"kind": "calendar", "date_field": day})), []);
        }
        let by_text = json!({"kind": "calendar", "date_field": "sku"});
        assert_eq!(codes(by_text), one("/date_field", "kind"));
    }

    #[test]
    fn a_filter_at_the_limit_is_kept_and_one_past_it_is_refused() {
        let frame = json!({ "value": "" }).to_string().len();
        let filter = |bytes: usize| json!({"filter": {"value": "x".repeat(bytes - frame)}});
        assert_eq!(codes(filter(VIEW_FILTER_MAX_BYTES)), []);
        let past = codes(filter(VIEW_FILTER_MAX_BYTES + 1));
        assert_eq!(past, one("/filter", "length"));
        let columns: Vec<&str> = vec!["sku"; VIEW_MAX_COLUMNS + 1];
        assert_eq!(
            codes(json!({ "columns": columns })),
            one("/columns", "length")
        );
        let sort: Vec<&str> = vec!["sku"; VIEW_MAX_SORT_FIELDS + 1];
        assert_eq!(codes(json!({ "sort": sort })), one("/sort", "length"));
    }
}
