//! Values of a record as SQL expressions over an alias of `crm_records`.
//!
//! A stored value that has not the form that the model says now (its type was another once) is
//! no value: casts stand behind a look at the text, so that they cannot fail.

use crm_model::form::Form;
use crm_model::limits::KEY_MAX_CHARACTERS;
use crm_model::query::{Kind, Link, Place, SystemField, Target, Way};

use super::predicate;
use super::sql::{Bind, Sql};

const NUMBER: &str = "^-?[0-9]+([.][0-9]+)?$";
const MOMENT: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2})$";
const DAY: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$";
const RECORD_ID: &str = "^[0-9a-fA-F-]{36}$";

/// The value as JSON; only of data.
pub(super) fn json(target: &Target, alias: &str) -> Option<String> {
    match &target.place {
        Place::System(_) => None,
        Place::Data { field, member } => Some(match member {
            None => format!("({alias}.data -> '{field}')"),
            Some(member) => format!("({alias}.data -> '{field}' -> '{member}')"),
        }),
    }
}

/// The value as text.
pub(super) fn text(target: &Target, alias: &str) -> String {
    match &target.place {
        Place::System(field @ (SystemField::Id | SystemField::Version)) => {
            format!("({alias}.{}::text)", field.name())
        }
        Place::System(field) => format!("{alias}.{}", field.name()),
        Place::Data {
            field,
            member: None,
        } => format!("({alias}.data ->> '{field}')"),
        Place::Data {
            field,
            member: Some(member),
        } => format!("({alias}.data -> '{field}' ->> '{member}')"),
    }
}

/// The value in the type that it compares in: text, numeric or timestamptz.
pub(super) fn typed(target: &Target, alias: &str) -> String {
    match (target.form, &target.place) {
        (Form::Number, Place::System(field)) => format!("({alias}.{}::numeric)", field.name()),
        (Form::Moment, Place::System(field)) => format!("{alias}.{}", field.name()),
        (Form::Number, Place::Data { .. }) => guarded(&text(target, alias), NUMBER, "numeric"),
        (Form::Moment, Place::Data { .. }) => guarded(&text(target, alias), MOMENT, "timestamptz"),
        _ => text(target, alias),
    }
}

/// A text without regard to case.
pub(super) fn folded(target: &Target, alias: &str) -> String {
    format!("lower({} collate \"und-x-icu\")", text(target, alias))
}

/// A day as a date.
pub(super) fn day(target: &Target, alias: &str) -> String {
    guarded(&text(target, alias), DAY, "date")
}

/// The value's place in an order; missing values come first.
pub(super) fn order(target: &Target, alias: &str) -> String {
    let most = KEY_MAX_CHARACTERS;
    match (target.form, &target.place) {
        (_, Place::System(SystemField::Id)) => format!("{alias}.id"),
        (Form::Number | Form::Moment, Place::System(_)) => typed(target, alias),
        (Form::Number, _) => format!("coalesce({}, '-infinity'::numeric)", typed(target, alias)),
        (Form::Moment, _) => format!(
            "coalesce({}, '-infinity'::timestamptz)",
            typed(target, alias)
        ),
        (Form::Text, _) => format!(
            "(coalesce(left({}, {most}), '') collate \"C\")",
            folded(target, alias)
        ),
        _ => format!(
            "(coalesce(left({}, {most}), '') collate \"C\")",
            text(target, alias)
        ),
    }
}

/// The id in a relation to one.
pub(super) fn related_id(field: &crm_model::FieldKey, alias: &str) -> String {
    guarded(&format!("({alias}.data ->> '{field}')"), RECORD_ID, "uuid")
}

/// The ids in a relation to many, as the rows of a subquery.
pub(super) fn related_ids(field: &crm_model::FieldKey, alias: &str) -> String {
    let list = format!("({alias}.data -> '{field}')");
    let id = guarded("e.id", RECORD_ID, "uuid");
    format!(
        "select {id} from jsonb_array_elements_text(\
            case when jsonb_typeof({list}) = 'array' then {list} else '[]' end) e (id)"
    )
}

/// A value at the end of relations to one, as an expression over `alias`.
pub(super) fn across(
    sql: &mut Sql,
    links: &[Link],
    alias: &str,
    value: &dyn Fn(&str) -> String,
) -> String {
    let Some((link, rest)) = links.split_first() else {
        return value(alias);
    };
    let Way::One { field } = &link.way else {
        return "null".to_owned();
    };
    let other = sql.alias();
    let module = sql.bind(Bind::Text(link.module.to_string()));
    let inner = across(sql, rest, &other, value);
    let reached = predicate::reached(sql, link.reach.as_deref(), &other);
    let id = related_id(field, alias);
    format!(
        "(select {inner} from crm_records {other} where {other}.tenant_id = $1 \
            and {other}.id = {id} and {other}.module_slug = {module} \
            and {other}.deleted_at is null{reached})"
    )
}

/// Whether a value is a day.
pub(super) fn is_day(target: &Target) -> bool {
    target.kind == Kind::Day
}

fn guarded(text: &str, pattern: &str, kind: &str) -> String {
    format!("(case when {text} ~ '{pattern}' then ({text})::{kind} end)")
}
