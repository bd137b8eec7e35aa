//! Keys for programs: what somebody asks for, and what is wrong with it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use crate::limits::{API_KEY_MAX_SCOPE_MODULES, API_KEY_NAME_MAX_CHARACTERS};
use crate::names::{ModuleSlug, RoleSlug};
use crate::permission::{Action, Actor};
use crate::violation::Violations;

/// What a caller may do at most, whatever its roles allow. Keys have one, people do not; what has
/// one never makes keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// All modules where there is no list; what concerns the whole model then too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modules: Option<BTreeSet<ModuleSlug>>,
    /// All actions where there is no list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actions: Option<BTreeSet<Action>>,
}

impl Scope {
    /// Whether an action on a module is within it. `*`, which stands for all modules, is no
    /// module's name, so a list never has it.
    pub fn allows(&self, module: &str, action: Action) -> bool {
        let module = self
            .modules
            .as_ref()
            .is_none_or(|modules| modules.contains(module));
        let actions = self.actions.as_ref();
        module && actions.is_none_or(|actions| actions.contains(&action))
    }
}

/// A key that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    pub name: String,
    /// Some of the maker's own; all of them unless given.
    #[serde(default)]
    pub roles: Option<Vec<RoleSlug>>,
    #[serde(default)]
    pub scopes: Scope,
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// What is wrong with a key that `maker` asks for at `now`.
pub fn check_api_key(key: &NewApiKey, maker: &Actor, now: DateTime<Utc>) -> Violations {
    let mut violations = Violations::default();
    let length = key.name.chars().count();
    if key.name.trim().is_empty() || length > API_KEY_NAME_MAX_CHARACTERS {
        let message = format!("has 1 to {API_KEY_NAME_MAX_CHARACTERS} characters");
        violations.add("/name".to_owned(), "length", message);
    }
    if key.name.chars().any(char::is_control) {
        violations.add("/name".to_owned(), "format", "has no control characters");
    }
    for (number, role) in key.roles.iter().flatten().enumerate() {
        if !maker.roles.contains(role) {
            let message = "is not one of your roles: a key may do no more than you";
            violations.add(format!("/roles/{number}"), "role", message);
        }
    }
    let modules = key.scopes.modules.as_ref().map_or(0, BTreeSet::len);
    if modules > API_KEY_MAX_SCOPE_MODULES {
        let message = format!("names at most {API_KEY_MAX_SCOPE_MODULES} modules");
        violations.add("/scopes/modules".to_owned(), "limit", message);
    }
    let actions = key.scopes.actions.as_ref();
    if actions.is_some_and(|actions| !actions.contains(&Action::Read)) {
        let message = "has to hold “read”: what may not be read is not there";
        violations.add("/scopes/actions".to_owned(), "required", message);
    }
    if key.expires_at.is_some_and(|at| at <= now) {
        violations.add("/expires_at".to_owned(), "range", "has to be in the future");
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::actor;

    fn scope(modules: Option<&[&str]>, actions: Option<&[Action]>) -> Scope {
        Scope {
            modules: modules.map(|all| all.iter().map(|slug| slug.parse().unwrap()).collect()),
            actions: actions.map(|all| all.iter().copied().collect()),
        }
    }

    #[test]
    fn a_scope_allows_what_both_its_lists_hold() {
        assert!(Scope::default().allows("leads", Action::Purge));
        assert!(Scope::default().allows("*", Action::Manage));
        let narrow = scope(Some(&["leads"]), Some(&[Action::Read]));
        assert!(narrow.allows("leads", Action::Read));
        assert!(!narrow.allows("leads", Action::Update));
        assert!(!narrow.allows("deals", Action::Read));
        assert!(!narrow.allows("*", Action::Read));
        let one = scope(Some(&["leads"]), None);
        assert!(one.allows("leads", Action::Manage));
        assert!(!one.allows("*", Action::Manage), "not the whole model");
        assert!(!scope(Some(&[]), None).allows("leads", Action::Read));
    }

    #[test]
    fn a_key_has_a_name_a_future_and_none_but_its_makers_roles() {
        let now = DateTime::UNIX_EPOCH;
        let good = NewApiKey {
            name: "n".repeat(API_KEY_NAME_MAX_CHARACTERS),
            roles: Some(vec!["owner".parse().unwrap()]),
            scopes: scope(None, Some(&[Action::Read])),
            expires_at: Some(now + chrono::TimeDelta::seconds(1)),
        };
        let wrong = |key: &NewApiKey| check_api_key(key, &actor("owner"), now).as_slice().len();
        assert_eq!(wrong(&good), 0);
        for bad in [
            NewApiKey {
                name: String::new(),
                ..good.clone()
            },
            NewApiKey {
                name: "a\u{7}".to_owned(),
                ..good.clone()
            },
            NewApiKey {
                name: "n".repeat(API_KEY_NAME_MAX_CHARACTERS + 1),
                ..good.clone()
            },
            NewApiKey {
                roles: Some(vec!["staff".parse().unwrap()]),
                ..good.clone()
            },
            NewApiKey {
                scopes: scope(None, Some(&[Action::Create])),
                ..good.clone()
            },
            NewApiKey {
                expires_at: Some(now),
                ..good.clone()
            },
        ] {
            assert_eq!(wrong(&bad), 1, "{bad:?}");
        }
    }
}
