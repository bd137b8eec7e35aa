//! What a guest asks and what it is told, as data: so that every question takes one way, is
//! checked in one place, and can be written down and answered again.

use serde::{Deserialize, Serialize};
use std::future::Future;
use std::pin::Pin;

/// A guest's question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Question {
    /// One record.
    RecordGet { module: String, id: String },
    /// A page of records; the query as JSON text.
    RecordQuery { module: String, query: String },
    /// Groups and metrics; the query as JSON text.
    RecordAggregate { module: String, query: String },
    /// A text that stands for a secret.
    SecretHandle { name: String },
    /// The value under a key.
    StateGet { key: String },
    /// A new value under a key, as JSON text.
    StateSet { key: String, value: String },
    /// No value under a key.
    StateDelete { key: String },
}

impl Question {
    /// Bytes of its texts.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::RecordGet { module, id: text }
            | Self::RecordQuery {
                module,
                query: text,
            }
            | Self::RecordAggregate {
                module,
                query: text,
            }
            | Self::StateSet {
                key: module,
                value: text,
            } => module.len() + text.len(),
            Self::SecretHandle { name: text }
            | Self::StateGet { key: text }
            | Self::StateDelete { key: text } => text.len(),
        }
    }
}

/// What the host says to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    Record {
        record: Option<FoundRecord>,
    },
    Page {
        records: Vec<FoundRecord>,
        next_cursor: Option<String>,
    },
    /// JSON text.
    Json {
        json: String,
    },
    Handle {
        handle: String,
    },
    Entry {
        entry: Option<StateEntry>,
    },
    Done,
    Refused(Refusal),
}

/// A record as a guest gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundRecord {
    pub id: String,
    pub version: u64,
    /// JSON text, only of fields that may be seen.
    pub data: String,
    pub owner_id: String,
    pub created_at: String,
    pub updated_at: String,
}

/// A kept value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEntry {
    /// JSON text.
    pub value: String,
    pub version: u64,
}

/// Why a question has no answer; a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "refusal", content = "reason", rename_all = "snake_case")]
pub enum Refusal {
    Denied(String),
    Invalid(String),
    Limited(String),
    Unavailable(String),
}

/// An answer on its way.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// Whoever answers guests. Nothing is asked of it that the plugin's grant does not name; which
/// fields of which records may be seen is for it to say.
pub trait GuestHost: Send {
    fn answer<'a>(&'a mut self, question: &'a Question) -> Answering<'a>;
}

/// Says no to everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHost;

impl GuestHost for NoHost {
    fn answer<'a>(&'a mut self, _question: &'a Question) -> Answering<'a> {
        let reason = "nothing can be asked of the host here".to_owned();
        Box::pin(std::future::ready(Answer::Refused(Refusal::Unavailable(
            reason,
        ))))
    }
}
