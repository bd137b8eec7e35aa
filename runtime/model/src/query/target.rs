//! What the names in a query stand for: `status`, `price.currency`, `doctor.department`,
//! `created_at`. A name that is not there for the reader is unknown, whatever the reason.

use serde_json::Value;
use std::sync::Arc;

use super::filter::Filter;
use super::scope::Scope;
use crate::definition::FieldDefinition;
use crate::derived;
use crate::fields::{FieldType, RELATION};
use crate::form::{Form, Part};
use crate::limits::FILTER_MAX_HOPS;
use crate::model::Module;
use crate::names::{FieldKey, ModuleSlug};
use crate::nearest::suggestion;

/// What every record has beside its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SystemField {
    Id,
    Version,
    OwnerId,
    CreatedAt,
    CreatedBy,
    UpdatedAt,
    UpdatedBy,
}

impl SystemField {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Id,
        Self::Version,
        Self::OwnerId,
        Self::CreatedAt,
        Self::CreatedBy,
        Self::UpdatedAt,
        Self::UpdatedBy,
    ];

    /// Its name, for clients and in the store alike.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Version => "version",
            Self::OwnerId => "owner_id",
            Self::CreatedAt => "created_at",
            Self::CreatedBy => "created_by",
            Self::UpdatedAt => "updated_at",
            Self::UpdatedBy => "updated_by",
        }
    }

    const fn form(self) -> Form {
        match self {
            Self::Version => Form::Number,
            Self::CreatedAt | Self::UpdatedAt => Form::Moment,
            Self::Id | Self::OwnerId | Self::CreatedBy | Self::UpdatedBy => Form::Exact,
        }
    }

    const fn kind(self) -> Kind {
        match self {
            Self::Id => Kind::Record,
            Self::OwnerId | Self::CreatedBy | Self::UpdatedBy => Kind::User,
            Self::Version => Kind::Integer,
            Self::CreatedAt | Self::UpdatedAt => Kind::Plain,
        }
    }
}

/// What values of one form mean, where operators or answers depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Plain,
    /// A day, as `YYYY-MM-DD`.
    Day,
    /// A user's id.
    User,
    /// A record's id.
    Record,
    /// A number that is answered as a JSON number.
    Integer,
}

/// Where a value stands in a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    System(SystemField),
    /// In the data: the field's value, or a member of it.
    Data {
        field: FieldKey,
        member: Option<&'static str>,
    },
}

/// A value of a record that a query names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub place: Place,
    pub form: Form,
    pub kind: Kind,
    /// Where the typed index holds its keys, completely; none where it does not.
    pub slot: Option<String>,
    /// As the client wrote it.
    pub name: String,
}

/// A way from a record to others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    /// Whose records are at the other end.
    pub module: ModuleSlug,
    pub way: Way,
    /// Those of them that are there for the reader; none: all.
    pub reach: Option<Arc<Filter>>,
}

/// How records are tied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// This record's field holds the other's id.
    One { field: FieldKey },
    /// This record's field holds a list of ids.
    Many { field: FieldKey },
    /// The other records' field holds this record's id, or a list with it.
    Inverse {
        field: FieldKey,
        many: bool,
        /// Where the typed index has it, completely.
        slot: Option<String>,
    },
}

/// A name, followed to its end.
#[derive(Clone, Debug)]
pub(crate) struct Named<'a> {
    /// Relations on the way, outermost first.
    pub(crate) links: Vec<Link>,
    pub(crate) end: End<'a>,
}

/// What a name ends in.
#[derive(Clone)]
pub(crate) enum End<'a> {
    System(SystemField),
    Field {
        module: &'a Module,
        field: &'a FieldDefinition,
        kind: &'static dyn FieldType,
        /// None for the bare name.
        part: Option<Part>,
    },
}

impl std::fmt::Debug for End<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System(field) => field.fmt(formatter),
            Self::Field { field, .. } => field.key.fmt(formatter),
        }
    }
}

impl Named<'_> {
    /// What is looked at to say whether there is a value: a bare name means all of it, not its
    /// first part.
    pub(crate) fn whole(&self, target: Target) -> Target {
        match (&self.end, &target.place) {
            (
                End::Field { part: None, .. },
                Place::Data {
                    field,
                    member: Some(_),
                },
            ) => Target {
                place: Place::Data {
                    field: field.clone(),
                    member: None,
                },
                form: Form::Opaque,
                slot: None,
                ..target
            },
            _ => target,
        }
    }

    /// What is compared.
    pub(crate) fn target(&self, name: &str) -> Target {
        match &self.end {
            End::System(field) => Target {
                place: Place::System(*field),
                form: field.form(),
                kind: field.kind(),
                slot: None,
                name: name.to_owned(),
            },
            End::Field {
                module,
                field,
                kind,
                part,
            } => data_target(module, field, *kind, *part, name),
        }
    }
}

fn data_target(
    module: &Module,
    field: &FieldDefinition,
    kind: &'static dyn FieldType,
    part: Option<Part>,
    name: &str,
) -> Target {
    let main = if is_many(field) {
        Part::whole(Form::List)
    } else {
        derived::main_part(kind.parts(field))
    };
    let part = part.unwrap_or(main);
    let indexed = part == main && module.has_index(&field.key);
    Target {
        place: Place::Data {
            field: field.key.clone(),
            member: part.name,
        },
        form: part.form,
        kind: value_kind(field, kind),
        slot: indexed.then(|| derived::slot(&module.definition().slug, &field.key)),
        name: name.to_owned(),
    }
}

fn value_kind(field: &FieldDefinition, kind: &'static dyn FieldType) -> Kind {
    match (field.kind.as_str(), field.result.as_deref()) {
        ("date", _) | ("formula", Some("date")) => Kind::Day,
        ("user", _) => Kind::User,
        (RELATION, _) => Kind::Record,
        ("formula", Some("integer")) => Kind::Integer,
        _ if kind.example().is_i64() => Kind::Integer,
        _ => Kind::Plain,
    }
}

pub(crate) fn is_many(field: &FieldDefinition) -> bool {
    field.kind == RELATION && field.many && field.inverse_of.is_none()
}

impl<'a> Scope<'a> {
    /// Follows a name from a module.
    ///
    /// # Errors
    /// A sentence about what is unknown or too far.
    pub(crate) fn follow(&self, module: &'a Module, name: &str) -> Result<Named<'a>, String> {
        let mut links = Vec::new();
        let mut module = module;
        let mut rest = name;
        loop {
            let (head, tail) = match rest.split_once('.') {
                Some((head, tail)) => (head, Some(tail)),
                None => (rest, None),
            };
            if let (Some(field), None) = (system_field(head), tail) {
                let end = End::System(field);
                return Ok(Named { links, end });
            }
            let Some((field, kind)) = self.field(module, head) else {
                return Err(unknown(*self, module, head));
            };
            let end = |part| End::Field {
                module,
                field,
                kind,
                part,
            };
            let Some(tail) = tail else {
                let end = end(None);
                return Ok(Named { links, end });
            };
            let parts = kind.parts(field);
            if let Some(part) = parts.iter().find(|part| part.name == Some(tail)) {
                let end = end(Some(*part));
                return Ok(Named { links, end });
            }
            let Some((link, next)) = self.link(field).filter(|(link, _)| link.way.is_to_one())
            else {
                let names = parts.iter().filter_map(|part| part.name);
                let hint = suggestion(tail, names);
                return Err(format!("“{head}” has no part “{tail}”{hint}"));
            };
            links.push(link);
            if links.len() > FILTER_MAX_HOPS {
                return Err(format!(
                    "a name leads across at most {FILTER_MAX_HOPS} relations"
                ));
            }
            module = next;
            rest = tail;
        }
    }

    /// Where a relation leads; none for other fields and where the reader sees nothing.
    pub(crate) fn link(&self, field: &FieldDefinition) -> Option<(Link, &'a Module)> {
        if field.kind != RELATION {
            return None;
        }
        let slug = field.module.as_ref()?;
        let module = self.module(slug)?;
        let way = match &field.inverse_of {
            None if field.many => Way::Many {
                field: field.key.clone(),
            },
            None => Way::One {
                field: field.key.clone(),
            },
            Some(other) => {
                let (other, _) = self.field(module, other.as_str())?;
                let slot = derived::slot(slug, &other.key);
                Way::Inverse {
                    field: other.key.clone(),
                    many: other.many,
                    slot: Some(slot).filter(|_| module.has_index(&other.key)),
                }
            }
        };
        let link = Link {
            module: slug.clone(),
            way,
            reach: self.reach(module).map(Arc::new),
        };
        Some((link, module))
    }
}

impl Way {
    /// Whether there is at most one at the other end.
    pub const fn is_to_one(&self) -> bool {
        matches!(self, Self::One { .. })
    }
}

fn system_field(name: &str) -> Option<SystemField> {
    SystemField::ALL
        .into_iter()
        .find(|field| field.name() == name)
}

fn unknown<'a>(scope: Scope<'a>, module: &'a Module, name: &str) -> String {
    if scope.sight(module).field(name).is_some() {
        return format!("“{name}” is masked for you: records cannot be looked up by it");
    }
    let known = scope.fields(module).into_iter();
    let system = SystemField::ALL.iter().map(|field| field.name());
    let hint = suggestion(name, known.chain(system));
    let label = &module.definition().slug;
    format!("“{label}” has no field “{name}”{hint}")
}

/// A value of that kind, from what a query compares with.
///
/// # Errors
/// What the target takes, to end “takes …”.
pub(crate) fn check_kind(kind: Kind, value: &Value) -> Result<(), &'static str> {
    let text = value.as_str();
    match kind {
        Kind::Day => text
            .and_then(|text| text.parse::<chrono::NaiveDate>().ok())
            .map(|_| ())
            .ok_or("a date such as 2026-11-22"),
        Kind::Record => text
            .and_then(|text| text.parse::<crate::ids::RecordId>().ok())
            .map(|_| ())
            .ok_or("the id of a record"),
        Kind::Plain | Kind::User | Kind::Integer => Ok(()),
    }
}
