//! Filters as SQL conditions. Each is true or false, never null, so that `not` is exact.

use crm_model::form::{Comparable, Form};
use crm_model::query::{Bound, Condition, Filter, Link, Place, SystemField, Target, Test, Way};
use uuid::Uuid;

use super::expression;
use super::sql::{Bind, Sql};

/// A filter over the alias.
pub(super) fn filter(sql: &mut Sql, filter: &Filter, alias: &str) -> String {
    match filter {
        Filter::All(filters) => joined(sql, filters, alias, " and ", "true"),
        Filter::Any(filters) => joined(sql, filters, alias, " or ", "false"),
        Filter::Not(inner) => format!("not {}", self::filter(sql, inner, alias)),
        Filter::Test(condition) => test(sql, condition, alias),
        Filter::Related { link, filter } => related(sql, link, filter, alias),
        Filter::Shared {
            subjects,
            to_change,
        } => shared(sql, subjects, *to_change, alias),
    }
}

fn joined(sql: &mut Sql, filters: &[Filter], alias: &str, word: &str, none: &str) -> String {
    if filters.is_empty() {
        return none.to_owned();
    }
    let pieces: Vec<String> = filters.iter().map(|one| filter(sql, one, alias)).collect();
    format!("({})", pieces.join(word))
}

fn test(sql: &mut Sql, condition: &Condition, alias: &str) -> String {
    let Condition { target, test } = condition;
    match test {
        Test::Present => present(target, alias),
        Test::OneOf(values) => one_of(sql, target, values, alias),
        Test::Range { from, to } => {
            let value = match target.form {
                Form::Text => expression::folded(target, alias),
                _ => expression::typed(target, alias),
            };
            let mut pieces = Vec::new();
            for (bound, sign) in [(from, ">"), (to, "<")] {
                if let Some(Bound {
                    value: end,
                    inclusive,
                }) = bound
                {
                    let equal = if *inclusive { "=" } else { "" };
                    let end = comparable(sql, end);
                    let collate = collation(target.form);
                    pieces.push(format!("({value}){collate} {sign}{equal} {end}"));
                }
            }
            never_null(target, &pieces.join(" and "))
        }
        Test::Contains(part) => {
            let part = sql.bind(Bind::Text(part.clone()));
            let value = expression::folded(target, alias);
            format!("((strpos({value}, {part}) > 0) is true)")
        }
        Test::StartsWith(part) => {
            let part = sql.bind(Bind::Text(part.clone()));
            let value = expression::folded(target, alias);
            format!("((left({value}, length({part})) = {part}) is true)")
        }
        Test::EndsWith(part) => {
            let part = sql.bind(Bind::Text(part.clone()));
            let value = expression::folded(target, alias);
            format!("((right({value}, length({part})) = {part}) is true)")
        }
        Test::Holds(values) => {
            let values = sql.bind(Bind::Texts(values.clone()));
            let list = expression::json(target, alias).unwrap_or_else(|| "null".to_owned());
            format!("(({list} ?| {values}) is true)")
        }
    }
}

fn present(target: &Target, alias: &str) -> String {
    match expression::json(target, alias) {
        // What every record has.
        None => "true".to_owned(),
        Some(value) => format!(
            "(coalesce({value}, 'null'::jsonb) \
                not in ('null'::jsonb, '\"\"'::jsonb, '[]'::jsonb))"
        ),
    }
}

fn one_of(sql: &mut Sql, target: &Target, values: &[Comparable], alias: &str) -> String {
    if target.place == Place::System(SystemField::Id) {
        let ids = values.iter().filter_map(|value| match value {
            Comparable::Text(text) => Uuid::try_parse(text).ok(),
            _ => None,
        });
        let ids = sql.bind(Bind::Uuids(ids.collect()));
        return format!("({alias}.id = any({ids}))");
    }
    let value = expression::typed(target, alias);
    if let [one] = values {
        let one = comparable(sql, one);
        return never_null(target, &format!("{value} = {one}"));
    }
    let values = match target.form {
        Form::Moment => {
            let moments = values.iter().filter_map(|value| match value {
                Comparable::Moment(moment) => Some(*moment),
                _ => None,
            });
            sql.bind(Bind::Moments(moments.collect()))
        }
        form => {
            let texts = values.iter().map(as_text).collect();
            let placeholder = sql.bind(Bind::Texts(texts));
            match form {
                Form::Number => format!("{placeholder}::numeric[]"),
                _ => placeholder,
            }
        }
    };
    never_null(target, &format!("{value} = any({values})"))
}

/// A comparison that is false for a missing value. Columns always have one, and without more
/// around it the comparison can go along an index.
fn never_null(target: &Target, comparison: &str) -> String {
    match target.place {
        Place::System(_) => format!("({comparison})"),
        Place::Data { .. } => format!("(({comparison}) is true)"),
    }
}

/// A value to compare with, bound.
fn comparable(sql: &mut Sql, value: &Comparable) -> String {
    match value {
        Comparable::Moment(moment) => sql.bind(Bind::Moment(*moment)),
        Comparable::Number(number) => {
            format!("{}::numeric", sql.bind(Bind::Text(number.to_string())))
        }
        other => sql.bind(Bind::Text(as_text(other))),
    }
}

fn as_text(value: &Comparable) -> String {
    match value {
        Comparable::Text(text) => text.clone(),
        Comparable::Number(number) => number.to_string(),
        Comparable::Moment(moment) => moment.to_rfc3339(),
        Comparable::Boolean(truth) => truth.to_string(),
    }
}

const fn collation(form: Form) -> &'static str {
    match form {
        Form::Number | Form::Moment => "",
        _ => " collate \"C\"",
    }
}

/// Whether a record at the other end passes. `offset 0` keeps PostgreSQL from turning the
/// lookups, which go along a key, into a join over all.
fn related(sql: &mut Sql, link: &Link, inner: &Filter, alias: &str) -> String {
    let other = sql.alias();
    let module = sql.bind(Bind::Text(link.module.to_string()));
    let passes = filter(sql, inner, &other);
    let reached = reached(sql, link.reach.as_deref(), &other);
    let live = format!(
        "{other}.tenant_id = $1 and {other}.module_slug = {module} \
            and {other}.deleted_at is null{reached} and {passes}"
    );
    let found = |condition: String| {
        format!("(exists (select from crm_records {other} where {condition} and {live} offset 0))")
    };
    match &link.way {
        Way::One { field } => found(format!(
            "{other}.id = {}",
            expression::related_id(field, alias)
        )),
        Way::Many { field } => found(format!(
            "{other}.id in ({})",
            expression::related_ids(field, alias)
        )),
        Way::Inverse {
            slot: Some(slot), ..
        } => {
            let slot = sql.bind(Bind::Text(slot.clone()));
            let index = sql.alias();
            format!(
                "(exists (select from crm_index {index} cross join lateral (\
                    select from crm_records {other} \
                    where {other}.id = {index}.record_id and {live} offset 0) {other} \
                where {index}.tenant_id = $1 and {index}.slot = {slot} \
                    and {index}.key = {alias}.id::text offset 0))"
            )
        }
        Way::Inverse { field, many, .. } if *many => {
            found(format!("({other}.data -> '{field}') ? ({alias}.id::text)"))
        }
        Way::Inverse { field, .. } => {
            found(format!("({other}.data ->> '{field}') = {alias}.id::text"))
        }
    }
}

/// That a record is there for the reader: beginning with `and`, empty where all are.
pub(super) fn reached(sql: &mut Sql, reach: Option<&Filter>, alias: &str) -> String {
    match reach {
        Some(reach) => format!(" and {}", filter(sql, reach, alias)),
        None => String::new(),
    }
}

fn shared(sql: &mut Sql, subjects: &[String], to_change: bool, alias: &str) -> String {
    let share = sql.alias();
    let subjects = sql.bind(Bind::Texts(subjects.to_vec()));
    let may = match to_change {
        true => format!(" and {share}.may_update"),
        false => String::new(),
    };
    format!(
        "(exists (select from crm_shares {share} where {share}.tenant_id = $1 \
            and {share}.record_id = {alias}.id and {share}.subject = any({subjects}){may} \
            offset 0))"
    )
}
