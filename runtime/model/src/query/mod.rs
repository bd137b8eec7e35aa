//! Queries: what a client may ask of a module's records, read and typed. A [`Query`] says what
//! is wanted, not how it is found; the store decides that, and nothing here does any I/O.
//!
//! Names are looked up under a [`Scope`]: modules that the reader may not see, fields that are
//! retired or hidden from them and fields that do not exist are all unknown, alike.

mod aggregate;
mod aggregate_parse;
mod conditions;
mod cursor;
mod expand;
mod filter;
mod input;
mod operand;
mod parse;
mod relative;
mod scope;
mod sort;
mod target;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};
use std::collections::BTreeSet;

pub use aggregate::{
    Aggregate, AggregateInput, Bucket, Group, GroupInput, Metric, MetricInput, MetricOperation,
};
pub use cursor::{Cursor, RecordView, SortValue};
pub use expand::Expansion;
pub use filter::{Bound, Condition, Filter, Keys, Test};
pub use input::{Names, QueryInput};
pub(crate) use relative::{day_begins, moment_of};
pub use scope::Scope;
pub use sort::SortKey;
pub use target::{Kind, Link, Place, SystemField, Target, Way};

use crate::definition::FieldDefinition;
use crate::limits::{PAGE_DEFAULT_RECORDS, PAGE_MAX_RECORDS, SEARCH_MAX_CHARACTERS};
use crate::model::Module;
use crate::names::{FieldKey, ModuleSlug};
use crate::violation::{Violations, pointer_segment};

/// A page of a module's records: which ones, in which order, and what of them.
#[derive(Clone, Debug)]
pub struct Query {
    pub module: ModuleSlug,
    pub filter: Filter,
    /// Which records are there for the reader; none: all.
    pub reach: Option<Filter>,
    /// Empty: newest first.
    pub sort: Vec<SortKey>,
    /// Fields of the data to show; none: all.
    pub fields: Option<BTreeSet<FieldKey>>,
    pub expand: Vec<Expansion>,
    /// Words that a record must have.
    pub search: Option<Search>,
    /// The trash instead of what is there.
    pub deleted: bool,
    pub limit: u32,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
    /// Whether to count the whole list.
    pub total: bool,
    digest: String,
}

/// A full-text search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    pub text: String,
    /// The fields that the words have to stand in, where the reader does not see all of them.
    pub only: Option<Vec<FieldKey>>,
    /// PostgreSQL's name of the language.
    pub language: String,
}

impl Query {
    /// Reads a list's parameters.
    ///
    /// # Errors
    /// Every violation, with pointers into the parameters. A module that is not there for the
    /// reader is one too; callers who answer 404 ask before.
    pub fn parse(
        scope: Scope<'_>,
        slug: &ModuleSlug,
        input: &QueryInput,
    ) -> Result<Self, Violations> {
        let Some(module) = scope.module(slug) else {
            let message = format!("there is no module “{slug}”");
            return Err(Violations::one("", "unknown_module", message));
        };
        let mut violations = Violations::default();
        let names = |names: &'_ Option<Names>| -> Vec<String> {
            let names = names.as_ref().map(Names::list).unwrap_or_default();
            names.into_iter().map(str::to_owned).collect()
        };
        let (sorts, expands) = (names(&input.sort), names(&input.expand));
        let sort = sort::parse_sort(scope, module, &borrowed(&sorts), &mut violations);
        let expand = expand::parse_expand(scope, module, &borrowed(&expands), &mut violations);
        let filter = parse_filters(scope, module, input, &mut violations);
        let search = parse_search(scope, module, input, &mut violations);
        let deleted = one_value(input.deleted.as_deref(), "deleted", "only", &mut violations);
        let total = one_value(
            input.include.as_deref(),
            "include",
            "total",
            &mut violations,
        );
        let limit = parse_limit(input.limit, &mut violations);
        let fields = parse_fields(scope, module, input, &mut violations);
        let digest = digest_of(slug, input, &sorts);
        let cursor = match &input.cursor {
            None => None,
            Some(text) => {
                let cursor = Cursor::decode(text, &sort, &digest);
                if cursor.is_none() {
                    let message = "take next_cursor of the page before, unchanged, and repeat \
                                   the other parameters as they were";
                    violations.add("/cursor".to_owned(), "cursor", message);
                }
                cursor
            }
        };
        violations.into_result()?;
        Ok(Self {
            module: slug.clone(),
            filter,
            reach: scope.reach(module),
            sort,
            fields,
            expand,
            search,
            deleted,
            limit,
            cursor,
            total,
            digest,
        })
    }

    /// All records that pass a filter, newest first: for what the host itself reads.
    pub fn of(module: ModuleSlug, filter: Filter, limit: u32) -> Self {
        Self {
            module,
            filter,
            reach: None,
            sort: Vec::new(),
            fields: None,
            expand: Vec::new(),
            search: None,
            deleted: false,
            limit,
            cursor: None,
            total: false,
            digest: String::new(),
        }
    }

    /// The cursor for the page that follows this record.
    pub fn cursor_after(&self, record: &RecordView<'_>) -> String {
        Cursor::after(&self.sort, record).encode(&self.digest)
    }

    /// This query from behind this record on: how the host itself pages.
    pub fn continue_after(&mut self, record: &RecordView<'_>) {
        self.cursor = Some(Cursor::after(&self.sort, record));
    }

    /// Whether order and tie-break run from the largest to the smallest.
    pub fn is_descending(&self) -> bool {
        self.sort.first().is_none_or(|key| key.descending)
    }
}

/// Filters that come with an aggregate or a list.
fn parse_filters<'a>(
    scope: Scope<'a>,
    module: &'a Module,
    input: &QueryInput,
    violations: &mut Violations,
) -> Filter {
    let mut filters = Vec::new();
    if let Some(value) = input.filter.as_ref().filter(|value| !value.is_null()) {
        filters.extend(parse::Parser::new(scope, violations).filter(module, value, "/filter", 1));
    }
    for (name, text) in &input.short {
        let pointer = format!("/{}", pointer_segment(name));
        if let Err(message) = scope.follow(module, name) {
            let known = scope.fields(module).into_iter();
            let message = if name.contains('.') {
                message
            } else {
                input::unknown_parameter(name, known)
            };
            violations.add(pointer, "parameter", message);
            continue;
        }
        match input::short_condition(name, text) {
            Ok(value) => {
                let mut own = Violations::default();
                let filter = parse::Parser::new(scope, &mut own).filter(module, &value, "", 1);
                for violation in own.as_slice() {
                    violations.add(pointer.clone(), &violation.code, violation.message.clone());
                }
                filters.extend(filter);
            }
            Err(message) => violations.add(pointer, "condition", message),
        }
    }
    Filter::All(filters)
}

fn parse_search<'a>(
    scope: Scope<'a>,
    module: &'a Module,
    input: &QueryInput,
    violations: &mut Violations,
) -> Option<Search> {
    let text = input.q.as_deref().filter(|text| !text.trim().is_empty())?;
    if text.chars().count() > SEARCH_MAX_CHARACTERS {
        let message = format!("q has at most {SEARCH_MAX_CHARACTERS} characters");
        violations.add("/q".to_owned(), "too_long", message);
        return None;
    }
    if text.contains('\0') {
        violations.add("/q".to_owned(), "format", "q has no NUL character");
        return None;
    }
    let sight = scope.sight(module);
    Some(Search {
        text: text.to_owned(),
        only: sight.limits_search().then(|| sight.searched_fields()),
        language: scope.model().settings().language.clone(),
    })
}

fn parse_limit(limit: Option<u32>, violations: &mut Violations) -> u32 {
    let limit = limit.unwrap_or(PAGE_DEFAULT_RECORDS);
    if limit == 0 || limit > PAGE_MAX_RECORDS {
        let message = format!("limit is 1 to {PAGE_MAX_RECORDS}");
        violations.add("/limit".to_owned(), "limit", message);
    }
    limit
}

fn parse_fields<'a>(
    scope: Scope<'a>,
    module: &'a Module,
    input: &QueryInput,
    violations: &mut Violations,
) -> Option<BTreeSet<FieldKey>> {
    let names = input.fields.as_ref()?.list();
    let mut keys = BTreeSet::new();
    for name in names {
        match scope.sight(module).field(name) {
            Some(FieldDefinition { key, .. }) => {
                keys.insert(key.clone());
            }
            None if SystemField::ALL.iter().any(|field| field.name() == name) => {}
            None => {
                let sight = scope.sight(module);
                let known = sight.fields().map(|field| field.key.as_str());
                let hint = crate::nearest::suggestion(name, known);
                let message = format!("“{}” has no field “{name}”{hint}", module.definition().slug);
                violations.add("/fields".to_owned(), "unknown_field", message);
            }
        }
    }
    Some(keys)
}

/// Whether a parameter that has one value has it.
fn one_value(given: Option<&str>, name: &str, value: &str, violations: &mut Violations) -> bool {
    match given {
        None => false,
        Some(given) if given == value => true,
        Some(_) => {
            let message = format!("the only value is {value}");
            violations.add(format!("/{name}"), name, message);
            false
        }
    }
}

fn digest_of(slug: &ModuleSlug, input: &QueryInput, sorts: &[String]) -> String {
    let filter = json!([input.filter, input.short]);
    let search = json!([input.q, input.deleted]);
    let sort = Value::from(sorts.join(","));
    cursor::digest(&[
        slug.as_str(),
        &filter.to_string(),
        &sort.to_string(),
        &search.to_string(),
    ])
}

fn borrowed(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}
