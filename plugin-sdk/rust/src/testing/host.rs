//! A host for native tests: answers out of what the test put there, keeps what the action writes.
//! Each thread has one of its own, so tests do not meet.

use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::host::{RawFound, RawPage};
use crate::refusal::Refusal;

#[derive(Default)]
struct Mock {
    config: Value,
    records: BTreeMap<String, Vec<(String, Value)>>,
    answers: BTreeMap<String, Value>,
    state: BTreeMap<String, (String, u64)>,
    secrets: Vec<String>,
    attached: Vec<Attached>,
}

/// A file that an action attached to a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The mail's place among the answer's effects.
    pub effect: u32,
    pub name: String,
    pub media_type: String,
    pub content: Vec<u8>,
}

thread_local! {
    static MOCK: RefCell<Mock> = RefCell::default();
}

/// The host of this test, from nothing: what an earlier test left on the thread is gone.
#[derive(Debug)]
pub struct Host(());

/// A host that has nothing.
pub fn host() -> Host {
    MOCK.with_borrow_mut(|mock| *mock = Mock::default());
    Host(())
}

impl Host {
    /// What the tenant configured for the plugin.
    #[must_use]
    pub fn config(self, config: Value) -> Self {
        MOCK.with_borrow_mut(|mock| mock.config = config);
        self
    }

    /// A record that can be read. Queries find all records of a module, in the order in which
    /// they were given: the mock reads no filters.
    #[must_use]
    pub fn record(self, module: &str, id: &str, data: Value) -> Self {
        MOCK.with_borrow_mut(|mock| {
            let records = mock.records.entry(module.to_owned()).or_default();
            records.push((id.to_owned(), data));
        });
        self
    }

    /// What an aggregate over a module says.
    #[must_use]
    pub fn aggregate(self, module: &str, answer: Value) -> Self {
        MOCK.with_borrow_mut(|mock| mock.answers.insert(module.to_owned(), answer));
        self
    }

    /// A value that an earlier run kept.
    #[must_use]
    pub fn state(self, key: &str, value: Value) -> Self {
        MOCK.with_borrow_mut(|mock| mock.state.insert(key.to_owned(), (value.to_string(), 1)));
        self
    }

    /// A secret of the tenant; its handle is `handle-of-` and its name.
    #[must_use]
    pub fn secret(self, name: &str) -> Self {
        MOCK.with_borrow_mut(|mock| mock.secrets.push(name.to_owned()));
        self
    }

    /// What the action keeps under a key by now.
    pub fn kept(&self, key: &str) -> Option<Value> {
        MOCK.with_borrow(|mock| {
            let (text, _) = mock.state.get(key)?;
            serde_json::from_str(text).ok()
        })
    }

    /// What the action attached to mails by now.
    pub fn attached(&self) -> Vec<Attached> {
        MOCK.with_borrow(|mock| mock.attached.clone())
    }
}

#[allow(clippy::unnecessary_wraps, reason = "as the host that it stands for")]
pub(crate) fn attach(
    effect: u32,
    (name, media_type): (&str, &str),
    content: &[u8],
) -> Result<(), Refusal> {
    MOCK.with_borrow_mut(|mock| {
        mock.attached.push(Attached {
            effect,
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            content: content.to_owned(),
        });
    });
    Ok(())
}

pub(crate) fn config() -> String {
    MOCK.with_borrow(|mock| match &mock.config {
        Value::Null => Value::Object(Map::new()).to_string(),
        config => config.to_string(),
    })
}

fn found((id, data): &(String, Value)) -> RawFound {
    RawFound {
        id: id.clone(),
        version: 1,
        data: data.to_string(),
        owner_id: "tester".to_owned(),
        created_at: "2026-01-01T00:00:00Z".to_owned(),
        updated_at: "2026-01-01T00:00:00Z".to_owned(),
    }
}

pub(crate) fn records_get(module: &str, id: &str) -> Result<Option<RawFound>, Refusal> {
    MOCK.with_borrow(|mock| {
        let records = mock.records.get(module).into_iter().flatten();
        let mut wanted = records.filter(|(known, _)| known == id);
        Ok(wanted.next().map(found))
    })
}

pub(crate) fn records_query(module: &str, _query: &str) -> Result<RawPage, Refusal> {
    MOCK.with_borrow(|mock| {
        let records = mock.records.get(module).into_iter().flatten();
        Ok((records.map(found).collect(), None))
    })
}

pub(crate) fn records_aggregate(module: &str, _query: &str) -> Result<String, Refusal> {
    MOCK.with_borrow(|mock| {
        let nothing = json!({ "data": [] });
        Ok(mock.answers.get(module).unwrap_or(&nothing).to_string())
    })
}

pub(crate) fn secret(name: &str) -> Result<String, Refusal> {
    MOCK.with_borrow(|mock| {
        if mock.secrets.iter().any(|known| known == name) {
            Ok(format!("handle-of-{name}"))
        } else {
            Err(Refusal::Invalid(format!("there is no secret “{name}”")))
        }
    })
}

pub(crate) fn state_get(key: &str) -> Result<Option<(String, u64)>, Refusal> {
    MOCK.with_borrow(|mock| Ok(mock.state.get(key).cloned()))
}

pub(crate) fn state_set(key: &str, value: &str) -> Result<(), Refusal> {
    MOCK.with_borrow_mut(|mock| {
        let version = mock.state.get(key).map_or(0, |(_, version)| *version);
        let entry = (value.to_owned(), version + 1);
        mock.state.insert(key.to_owned(), entry);
        Ok(())
    })
}

pub(crate) fn state_delete(key: &str) -> Result<(), Refusal> {
    MOCK.with_borrow_mut(|mock| {
        mock.state.remove(key);
        Ok(())
    })
}
