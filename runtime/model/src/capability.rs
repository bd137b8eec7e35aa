//! Declared rights of a plugin. Allowed = declared by its manifest ∩ granted by the tenant
//! (∩ allowed to the person, which [`crate::permission`] adds).
//!
//! In JSON they read as data flows: `"reads": ["patients(full_name, phone)"]`,
//! `"writes": ["appointments(create, update; status)"]`, `"effects": ["email",
//! "http:api.example.com"]`.

mod flow;

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use crate::effect::{Effect, names_host};

/// Stands for every module, every field or every host.
pub(crate) const ANY: &str = "*";

/// What a plugin may read, write and do. Keys and members are names, or `*` for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// Module → fields whose values the plugin gets to see.
    #[serde(
        default,
        with = "flow::reads",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub reads: BTreeMap<String, BTreeSet<String>>,
    /// Module → what the plugin may change there.
    #[serde(
        default,
        with = "flow::writes",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub writes: BTreeMap<String, WriteCapability>,
    /// Modules on whose records' timelines the plugin may write.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub activities: BTreeSet<String>,
    /// Kinds of effects that it may ask for: `email`, `webhook`, `notify`, `schedule`, and
    /// `http:` with a host, `http:*.example.com` with those below one, `http:*` with any.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub effects: BTreeSet<String>,
    /// Names of the tenant's secrets that it may send along.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub secrets: BTreeSet<String>,
    /// Whether it may keep values from one run to the next.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub state: bool,
}

/// A right to change records of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteCapability {
    pub operations: BTreeSet<WriteOperation>,
    /// For create and update: the fields that may be set.
    #[serde(default)]
    pub fields: BTreeSet<String>,
}

/// How a record changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteOperation {
    Create,
    Update,
    Delete,
    /// The record gets another owner.
    Assign,
}

impl WriteOperation {
    const ALL: [Self; 4] = [Self::Create, Self::Update, Self::Delete, Self::Assign];

    /// The name in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Assign => "assign",
        }
    }
}

fn names(set: &BTreeSet<String>, name: &str) -> bool {
    set.contains(ANY) || set.contains(name)
}

impl Capabilities {
    /// Whether it reads records at all.
    pub fn reads_any(&self) -> bool {
        !self.reads.is_empty()
    }

    /// Whether it sends mail.
    pub fn sends_mail(&self) -> bool {
        self.effects.contains("email")
    }

    fn reads_module(&self, module: &str) -> bool {
        self.reads.contains_key(module) || self.reads.contains_key(ANY)
    }

    fn reads_field(&self, module: &str, field: &str) -> bool {
        [module, ANY]
            .iter()
            .filter_map(|key| self.reads.get(*key))
            .any(|fields| names(fields, field))
    }

    fn write_rights<'a>(&'a self, module: &'a str) -> impl Iterator<Item = &'a WriteCapability> {
        [module, ANY]
            .into_iter()
            .filter_map(|key| self.writes.get(key))
    }

    fn writes(&self, module: &str, operation: WriteOperation) -> bool {
        self.write_rights(module)
            .any(|right| right.operations.contains(&operation))
    }

    fn writes_field(&self, module: &str, operation: WriteOperation, field: &str) -> bool {
        self.write_rights(module)
            .any(|right| right.operations.contains(&operation) && names(&right.fields, field))
    }

    fn adds_activity(&self, module: &str) -> bool {
        names(&self.activities, module)
    }

    fn does(&self, effect: &Effect) -> bool {
        match effect {
            Effect::Http(request) => request.host().is_some_and(|host| self.calls(&host)),
            other => self.effects.contains(other.kind()),
        }
    }

    fn calls(&self, host: &str) -> bool {
        let named = self.effects.iter();
        let mut named = named.filter_map(|one| one.strip_prefix("http:"));
        named.any(|pattern| names_host(pattern, host))
    }
}

/// What one tenant lets one plugin do: both sides have to say yes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    declared: Capabilities,
    granted: Capabilities,
}

impl Grant {
    /// The meeting of what a manifest declares and what a tenant grants.
    pub fn new(declared: Capabilities, granted: Capabilities) -> Self {
        Self { declared, granted }
    }

    fn both(&self, says_yes: impl Fn(&Capabilities) -> bool) -> bool {
        says_yes(&self.declared) && says_yes(&self.granted)
    }

    /// What the manifest asks for.
    pub fn declared(&self) -> &Capabilities {
        &self.declared
    }

    /// What the tenant granted, whether asked for or not.
    pub fn granted(&self) -> &Capabilities {
        &self.granted
    }

    /// Whether the plugin may see anything of the module's records.
    pub fn may_read_module(&self, module: &str) -> bool {
        self.both(|one| one.reads_module(module))
    }

    /// Whether the plugin may see the field's value.
    pub fn may_read(&self, module: &str, field: &str) -> bool {
        self.both(|one| one.reads_field(module, field))
    }

    /// Whether the plugin may do this to records of the module.
    pub fn may_write(&self, module: &str, operation: WriteOperation) -> bool {
        self.both(|one| one.writes(module, operation))
    }

    /// Whether the plugin may set the field.
    pub fn may_write_field(&self, module: &str, operation: WriteOperation, field: &str) -> bool {
        self.both(|one| one.writes_field(module, operation, field))
    }

    /// Whether both sides name the field as one that is set; what is open to all plugins by `*` is
    /// nobody's in particular.
    pub fn names_write(&self, module: &str, operation: WriteOperation, field: &str) -> bool {
        self.may_write_field(module, operation, field)
            && [&self.declared, &self.granted].iter().any(|side| {
                let right = side.writes.get(module);
                right.is_some_and(|right| right.fields.contains(field))
            })
    }

    /// Whether the plugin may add to timelines of the module's records.
    pub fn may_add_activity(&self, module: &str) -> bool {
        self.both(|one| one.adds_activity(module))
    }

    /// Whether the plugin may ask for the effect.
    pub fn may_ask_for(&self, effect: &Effect) -> bool {
        self.both(|one| one.does(effect))
    }

    /// Whether the plugin may ask for mails.
    pub fn may_send_mail(&self) -> bool {
        self.both(Capabilities::sends_mail)
    }

    /// Whether the plugin may send that secret of the tenant along.
    pub fn may_send(&self, secret: &str) -> bool {
        self.both(|one| names(&one.secrets, secret))
    }

    /// Whether the plugin may keep values between runs.
    pub fn may_keep_state(&self) -> bool {
        self.both(|one| one.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::{HttpRequest, Notification};

    fn capabilities(json: &str) -> Capabilities {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn both_sides_have_to_say_yes() {
        let all = capabilities(
            r#"{"reads":["*(*)"],"writes":["*(update; *)"],"activities":["*"],
                "effects":["notify"],"secrets":["*"],"state":true}"#,
        );
        let some = capabilities(
            r#"{"reads":["items(carat)"],"writes":["items(update; band)"],"secrets":["stripe"]}"#,
        );
        let notify = Effect::Notify(Notification {
            to: vec!["ada".to_owned()],
            title: "Hello".to_owned(),
            body: None,
        });
        assert!(Grant::new(all.clone(), all.clone()).may_ask_for(&notify));
        for grant in [Grant::new(all.clone(), some.clone()), Grant::new(some, all)] {
            assert!(grant.may_read("items", "carat"));
            assert!(!grant.may_read("items", "price"));
            assert!(!grant.may_read("orders", "carat"));
            assert!(grant.may_read_module("items") && !grant.may_read_module("orders"));
            assert!(grant.may_write("items", WriteOperation::Update));
            assert!(!grant.may_write("items", WriteOperation::Delete));
            assert!(!grant.may_write("items", WriteOperation::Assign));
            assert!(!grant.may_write("orders", WriteOperation::Update));
            assert!(grant.may_write_field("items", WriteOperation::Update, "band"));
            assert!(!grant.may_write_field("items", WriteOperation::Update, "price"));
            assert!(!grant.may_add_activity("items"));
            assert!(!grant.may_ask_for(&notify));
            assert!(grant.may_send("stripe") && !grant.may_send("twilio"));
            assert!(!grant.may_keep_state());
        }
    }

    #[test]
    fn requests_go_to_the_hosts_that_are_named() {
        let capabilities =
            capabilities(r#"{"effects":["http:api.example.com","http:*.partner.example"]}"#);
        let calls = |url: &str| {
            capabilities.does(&Effect::Http(HttpRequest {
                key: "one".to_owned(),
                method: "GET".to_owned(),
                url: url.to_owned(),
                headers: Vec::new(),
                body: None,
                wants_answer: false,
            }))
        };
        assert!(calls("https://api.example.com/v1"));
        assert!(calls("https://API.example.com:8443/v1"));
        assert!(calls("https://eu.partner.example/"));
        for url in [
            "https://example.com/",
            "https://api.example.com.evil.example/",
            "https://api.example.com@evil.example/",
            "https://badpartner.example/",
            "https://partner.example/",
            "no address",
            "",
        ] {
            assert!(!calls(url), "{url}");
        }
    }
}
