//! Where the questions of an action go: in a component to the host, natively to the mock host of
//! [`crate::testing`].

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::host::{
    attach, config, records_aggregate, records_get, records_query, secret, state_delete, state_get,
    state_set,
};

#[cfg(target_family = "wasm")]
pub(crate) use contract::{
    attach, config, records_aggregate, records_get, records_query, secret, state_delete, state_get,
    state_set,
};

/// A record as the host tells it, its data still text.
pub(crate) struct RawFound {
    pub(crate) id: String,
    pub(crate) version: u64,
    pub(crate) data: String,
    pub(crate) owner_id: String,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
}

/// A page of them, and where the next one begins.
pub(crate) type RawPage = (Vec<RawFound>, Option<String>);

#[cfg(target_family = "wasm")]
mod contract {
    use super::{RawFound, RawPage};
    use crate::bindings::action::crm::{plugin1_0_0 as wit, plugin1_1_0 as wit_1_1};
    use crate::refusal::Refusal;

    pub(crate) fn attach(
        effect: u32,
        (name, media_type): (&str, &str),
        content: &[u8],
    ) -> Result<(), Refusal> {
        let attached = wit_1_1::attachments::attach(effect, name, media_type, content);
        attached.map_err(Refusal::from)
    }

    pub(crate) fn config() -> String {
        wit::config::get()
    }

    pub(crate) fn records_get(module: &str, id: &str) -> Result<Option<RawFound>, Refusal> {
        let found = wit::records::get(module, id).map_err(Refusal::from)?;
        Ok(found.map(RawFound::from))
    }

    pub(crate) fn records_query(module: &str, query: &str) -> Result<RawPage, Refusal> {
        let page = wit::records::query(module, query).map_err(Refusal::from)?;
        let records = page.records.into_iter().map(RawFound::from);
        Ok((records.collect(), page.next_cursor))
    }

    pub(crate) fn records_aggregate(module: &str, query: &str) -> Result<String, Refusal> {
        wit::records::aggregate(module, query).map_err(Refusal::from)
    }

    pub(crate) fn secret(name: &str) -> Result<String, Refusal> {
        wit::secrets::handle(name).map_err(Refusal::from)
    }

    pub(crate) fn state_get(key: &str) -> Result<Option<(String, u64)>, Refusal> {
        let entry = wit::state::get(key).map_err(Refusal::from)?;
        Ok(entry.map(|entry| (entry.value, entry.version)))
    }

    pub(crate) fn state_set(key: &str, value: &str) -> Result<(), Refusal> {
        wit::state::set(key, value).map_err(Refusal::from)
    }

    pub(crate) fn state_delete(key: &str) -> Result<(), Refusal> {
        wit::state::delete(key).map_err(Refusal::from)
    }

    impl From<wit::records::Found> for RawFound {
        fn from(found: wit::records::Found) -> Self {
            Self {
                id: found.id,
                version: found.version,
                data: found.data,
                owner_id: found.owner_id,
                created_at: found.created_at,
                updated_at: found.updated_at,
            }
        }
    }

    impl From<wit::types::Refusal> for Refusal {
        fn from(refusal: wit::types::Refusal) -> Self {
            match refusal {
                wit::types::Refusal::Denied(reason) => Self::Denied(reason),
                wit::types::Refusal::Invalid(reason) => Self::Invalid(reason),
                wit::types::Refusal::Limited(reason) => Self::Limited(reason),
                wit::types::Refusal::Unavailable(reason) => Self::Unavailable(reason),
            }
        }
    }
}
