//! Where records that pass can be found: tables that an index leads into.

use crm_model::form::Comparable;
use crm_model::query::{Condition, Filter, Keys, Place, SystemField, Test};

use super::sql::{Bind, Sql};

/// Keys that are each walked along for one page.
const EACH_KEY_MAX_KEYS: usize = 20;
/// Records that are there, by owner.
const OWNED: &str = "(select o.tenant_id, o.module_slug, o.owner_id, o.id as record_id \
    from crm_records o where o.deleted_at is null)";

/// Where records that pass can be found.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// The typed index.
    Index { slot: String, keys: Keys },
    /// The index of words: one of these.
    Words(Vec<String>),
    /// What belongs to one of these.
    Owners(Vec<String>),
    /// What is shared with one of these.
    Shares(Vec<String>),
    /// In one of these.
    OneOf(Vec<Source>),
}

/// Where all that a reader reaches can be found, if indexes lead there.
pub(super) fn of_reach(reach: &Filter) -> Option<Source> {
    match reach {
        Filter::Any(ways) => ways
            .iter()
            .map(of_reach)
            .collect::<Option<_>>()
            .map(Source::OneOf),
        Filter::All(filters) => filters.iter().find_map(of_reach),
        Filter::Shared { subjects, .. } => Some(Source::Shares(subjects.clone())),
        Filter::Test(Condition {
            target,
            test: Test::OneOf(values),
        }) if target.place == Place::System(SystemField::OwnerId) => {
            let owners = values.iter().filter_map(|value| match value {
                Comparable::Text(owner) => Some(owner.clone()),
                _ => None,
            });
            Some(Source::Owners(owners.collect()))
        }
        other => {
            let (slot, keys) = other.narrowing().into_iter().next()?;
            Some(Source::Index { slot, keys })
        }
    }
}

impl Source {
    /// Its table, or what stands for one.
    pub(super) fn table(&self, sql: &mut Sql, module: &str) -> String {
        match self {
            Self::Index { .. } => "crm_index".to_owned(),
            Self::Words(_) => "crm_words".to_owned(),
            Self::Shares(_) => "crm_shares".to_owned(),
            Self::Owners(_) => OWNED.to_owned(),
            Self::OneOf(sources) => {
                let mut parts = vec!["select null::uuid as record_id where false".to_owned()];
                for source in sources {
                    let table = source.table(sql, module);
                    let rows = source.rows(sql, module, "i");
                    parts.push(format!("select i.record_id from {table} i where {rows}"));
                }
                format!("({})", parts.join(" union all "))
            }
        }
    }

    /// Whether it has a row of the same record as `i`, as a condition.
    pub(super) fn has_record(&self, sql: &mut Sql, module: &str) -> String {
        let alias = sql.alias();
        let table = self.table(sql, module);
        let rows = self.rows(sql, module, &alias);
        format!(
            "exists (select from {table} {alias} where {rows} \
                and {alias}.record_id = i.record_id offset 0)"
        )
    }

    /// Its rows, as a condition on an alias of its table.
    pub(super) fn rows(&self, sql: &mut Sql, module: &str, alias: &str) -> String {
        let of_module = |sql: &mut Sql| {
            let module = sql.bind(Bind::Text(module.to_owned()));
            format!("{alias}.tenant_id = $1 and {alias}.module_slug = {module}")
        };
        match self {
            Self::Index { slot, keys } => {
                let slot = sql.bind(Bind::Text(slot.clone()));
                let keys = keys_condition(sql, keys, alias);
                format!("{alias}.tenant_id = $1 and {alias}.slot = {slot}{keys}")
            }
            Self::Words(words) => {
                let words = one_of(sql, words);
                format!("{} and {alias}.word {words}", of_module(sql))
            }
            Self::Owners(owners) => {
                let owners = one_of(sql, owners);
                format!("{} and {alias}.owner_id {owners}", of_module(sql))
            }
            Self::Shares(subjects) => {
                let subjects = one_of(sql, subjects);
                format!("{} and {alias}.subject {subjects}", of_module(sql))
            }
            Self::OneOf(_) => "true".to_owned(),
        }
    }

    /// The keys, if it is the typed index of this slot.
    pub(super) fn keys_of(&self, wanted: &str) -> Option<Keys> {
        match self {
            Self::Index { slot, keys } if slot == wanted => Some(keys.clone()),
            _ => None,
        }
    }

    /// Both ends, if it is a range of this slot.
    pub(super) fn range_of(
        &mut self,
        wanted: &str,
    ) -> Option<(&mut Option<String>, &mut Option<String>)> {
        match self {
            Self::Index {
                slot,
                keys: Keys::Range(from, to),
            } if slot == wanted => Some((from, to)),
            _ => None,
        }
    }

    /// The parts of it that are each in the order of ids, if they are few.
    pub(super) fn parts(&self) -> Option<Vec<Self>> {
        let each = |keys: &[String], part: fn(Vec<String>) -> Self| {
            keys.iter().map(|key| part(vec![key.clone()])).collect()
        };
        let parts: Vec<Self> = match self {
            Self::Index {
                slot,
                keys: Keys::OneOf(keys),
            } => {
                let part = |key: &String| Self::Index {
                    slot: slot.clone(),
                    keys: Keys::OneOf(vec![key.clone()]),
                };
                keys.iter().map(part).collect()
            }
            Self::Index { .. } => return None,
            Self::Words(words) => each(words, Self::Words),
            Self::Owners(owners) => each(owners, Self::Owners),
            Self::Shares(subjects) => each(subjects, Self::Shares),
            Self::OneOf(sources) => {
                let parts = sources.iter().map(Self::parts);
                parts.collect::<Option<Vec<_>>>()?.concat()
            }
        };
        Some(parts).filter(|parts| parts.len() <= EACH_KEY_MAX_KEYS)
    }

    pub(super) fn is_walkable(&self) -> bool {
        self.parts().is_some()
    }

    /// Whether a lookup in it is cheaper than one of the record.
    pub(super) const fn is_index(&self) -> bool {
        matches!(self, Self::Index { .. } | Self::Words(_))
    }
}

/// What a text has to be, behind its name.
fn one_of(sql: &mut Sql, texts: &[String]) -> String {
    match texts {
        [one] => format!("= {}", sql.bind(Bind::Text(one.clone()))),
        several => format!("= any({})", sql.bind(Bind::Texts(several.to_vec()))),
    }
}

/// Keys as a condition on an alias's `key`, beginning with `and`.
pub(super) fn keys_condition(sql: &mut Sql, keys: &Keys, alias: &str) -> String {
    match keys {
        Keys::OneOf(keys) => format!(" and {alias}.key {}", one_of(sql, keys)),
        Keys::Range(from, to) => {
            let mut condition = String::new();
            for (end, sign) in [(from, ">="), (to, "<=")] {
                if let Some(end) = end {
                    let end = sql.bind(Bind::Text(end.clone()));
                    condition.push_str(&format!(" and {alias}.key {sign} {end}"));
                }
            }
            condition
        }
    }
}
