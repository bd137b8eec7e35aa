//! Where a page ended: the sort keys of its last record, so that the next page begins right
//! behind it, however many there were before and whatever was written since.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, SecondsFormat, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::sort::SortKey;
use super::target::{Place, SystemField, Target};
use crate::form::{Comparable, Form};
use crate::ids::RecordId;
use crate::{Data, key};

/// Bytes of the digest that ties a cursor to its query.
const DIGEST_BYTES: usize = 8;

/// A record as a query looks at it.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    pub id: RecordId,
    pub version: i64,
    pub owner_id: &'a str,
    pub created_at: DateTime<Utc>,
    pub created_by: &'a str,
    pub updated_at: DateTime<Utc>,
    pub updated_by: &'a str,
    pub data: &'a Data,
}

impl RecordView<'_> {
    /// The value that a target names; none where there is none that compares.
    pub fn value(&self, target: &Target) -> Option<Comparable> {
        let text = |text: &str| Some(Comparable::Text(text.to_owned()));
        match &target.place {
            Place::System(SystemField::Id) => text(&self.id.to_string()),
            Place::System(SystemField::Version) => {
                Some(Comparable::Number(Decimal::from(self.version)))
            }
            Place::System(SystemField::OwnerId) => text(self.owner_id),
            Place::System(SystemField::CreatedBy) => text(self.created_by),
            Place::System(SystemField::UpdatedBy) => text(self.updated_by),
            Place::System(SystemField::CreatedAt) => Some(Comparable::Moment(self.created_at)),
            Place::System(SystemField::UpdatedAt) => Some(Comparable::Moment(self.updated_at)),
            Place::Data { .. } => target.form.comparable(self.stored(target)?),
        }
    }

    /// What is stored at a target in the data.
    pub fn stored(&self, target: &Target) -> Option<&Value> {
        let Place::Data { field, member } = &target.place else {
            return None;
        };
        let value = self.data.get(field.as_str())?;
        match member {
            Some(member) => value.get(member),
            None => Some(value),
        }
    }
}

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The place of the last record in each sort key's order; none for no value.
    pub keys: Vec<Option<SortValue>>,
    pub id: RecordId,
}

/// A value's place in an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortValue {
    /// As texts are ordered: folded or not, and cut as keys are.
    Text(String),
    Number(Decimal),
    Moment(DateTime<Utc>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    k: Vec<Option<String>>,
    i: RecordId,
    q: String,
}

impl SortValue {
    /// The place of a value in the order of its form.
    pub fn of(form: Form, value: &Comparable) -> Option<Self> {
        match value {
            Comparable::Number(number) => Some(Self::Number(*number)),
            Comparable::Moment(moment) => Some(Self::Moment(*moment)),
            Comparable::Text(_) | Comparable::Boolean(_) => {
                let key = form.key(value);
                (key != key::ABSENT).then_some(Self::Text(key))
            }
        }
    }

    /// Its key in the typed index.
    pub fn key(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => key::number(*number),
            Self::Moment(moment) => key::moment(*moment),
        }
    }

    fn wire(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Moment(moment) => moment.to_rfc3339_opts(SecondsFormat::Micros, true),
        }
    }

    fn read(form: Form, text: String) -> Option<Self> {
        if text.contains('\0') {
            return None;
        }
        match form {
            Form::Number => Decimal::from_str_exact(&text).ok().map(Self::Number),
            Form::Moment => DateTime::parse_from_rfc3339(&text)
                .ok()
                .map(|moment| Self::Moment(moment.with_timezone(&Utc))),
            _ => Some(Self::Text(text)),
        }
    }
}

impl Cursor {
    /// The place of a record in this order.
    pub(crate) fn after(sort: &[SortKey], record: &RecordView<'_>) -> Self {
        let keys = sort.iter().map(|key| {
            let value = record.value(&key.target)?;
            SortValue::of(key.target.form, &value)
        });
        Self {
            keys: keys.collect(),
            id: record.id,
        }
    }

    pub(crate) fn encode(&self, digest: &str) -> String {
        let wire = Wire {
            k: self
                .keys
                .iter()
                .map(|key| key.as_ref().map(SortValue::wire))
                .collect(),
            i: self.id,
            q: digest.to_owned(),
        };
        let json = serde_json::to_vec(&wire).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(json)
    }

    /// None for what is no cursor, or one of another query.
    pub(crate) fn decode(text: &str, sort: &[SortKey], digest: &str) -> Option<Self> {
        let json = URL_SAFE_NO_PAD.decode(text).ok()?;
        let wire: Wire = serde_json::from_slice(&json).ok()?;
        if wire.q != digest || wire.k.len() != sort.len() {
            return None;
        }
        let keys = wire.k.into_iter().zip(sort).map(|(text, key)| match text {
            None => Some(None),
            Some(text) => SortValue::read(key.target.form, text).map(Some),
        });
        Some(Self {
            keys: keys.collect::<Option<_>>()?,
            id: wire.i,
        })
    }
}

/// What ties a cursor to its query: the same for the same parameters alone.
pub(crate) fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    let digest = hasher.finalize();
    URL_SAFE_NO_PAD.encode(digest.get(..DIGEST_BYTES).unwrap_or_default())
}
