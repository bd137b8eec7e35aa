//! Names that people choose: slugs of modules, fields, workflows, roles, plugins and templates,
//! and the login's name for a user. Parsed once, at the edge.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::limits::{NAME_MAX_CHARACTERS, USER_ID_MAX_CHARACTERS};

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "“{text}” is not a {kind}: use 1 to {NAME_MAX_CHARACTERS} characters, a lower-case letter \
     first, then lower-case letters, digits or {separator}"
)]
pub struct NameError {
    text: String,
    kind: &'static str,
    separator: &'static str,
}

fn is_name(text: &str, separators: &[char]) -> bool {
    text.len() <= NAME_MAX_CHARACTERS
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.chars().all(|character| {
            character.is_ascii_lowercase()
                || character.is_ascii_digit()
                || separators.contains(&character)
        })
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $separators:expr, $shown:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if is_name(text, $separators) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError {
                        text: text.chars().take(NAME_MAX_CHARACTERS).collect(),
                        kind: $kind,
                        separator: $shown,
                    })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A kind of record: `patients`, `items`.
    ModuleSlug, "module name", &['_'], "underscores"
}
name! {
    /// An attribute of a module: `full_name`.
    FieldKey, "field key", &['_'], "underscores"
}
name! {
    /// An automation of a tenant: `welcome`.
    WorkflowSlug, "workflow name", &['_', '-'], "- and _"
}
name! {
    /// A step of a workflow: `find_doctor`.
    StepName, "step name", &['_'], "underscores"
}
name! {
    /// A set of permissions: `owner`.
    RoleSlug, "role name", &['_', '-'], "- and _"
}
name! {
    /// People who work together: `west`.
    TeamSlug, "team name", &['_', '-'], "- and _"
}
name! {
    /// A published component: `field-set`.
    PluginName, "plugin name", &['_', '-'], "- and _"
}
name! {
    /// An industry template: `jewellery`.
    TemplateSlug, "template name", &['_', '-'], "- and _"
}

impl StepName {
    /// What the first step of a workflow is called that says nothing of it.
    pub(crate) fn first() -> Self {
        Self("step_1".into())
    }
}

/// The login's name for a person (`sub` of the token). The CRM never interprets it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserId(Arc<str>);

/// Why a text is not a user id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a user id has 1 to {USER_ID_MAX_CHARACTERS} characters and no control characters")]
pub struct UserIdError;

impl UserId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UserId {
    type Error = UserIdError;

    fn try_from(text: String) -> Result<Self, UserIdError> {
        let length = text.chars().count();
        if length == 0 || length > USER_ID_MAX_CHARACTERS || text.chars().any(char::is_control) {
            return Err(UserIdError);
        }
        Ok(Self(text.into()))
    }
}

impl std::str::FromStr for UserId {
    type Err = UserIdError;

    fn from_str(text: &str) -> Result<Self, UserIdError> {
        Self::try_from(text.to_owned())
    }
}

impl From<UserId> for String {
    fn from(user: UserId) -> Self {
        user.0.as_ref().to_owned()
    }
}

impl std::fmt::Display for UserId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_at_the_limit_is_accepted_and_one_past_it_is_refused() {
        assert!(
            "a".repeat(NAME_MAX_CHARACTERS)
                .parse::<ModuleSlug>()
                .is_ok()
        );
        assert!(
            "a".repeat(NAME_MAX_CHARACTERS + 1)
                .parse::<ModuleSlug>()
                .is_err()
        );
    }

    #[test]
    fn names_are_lower_case_words() {
        for text in [
            "",
            "Items",
            "1items",
            "it ems",
            "items;",
            "ïtems",
            "field-set",
        ] {
            assert!(text.parse::<ModuleSlug>().is_err(), "{text}");
        }
        assert!("field-set".parse::<PluginName>().is_ok());
    }

    #[test]
    fn a_user_id_is_short_and_printable() {
        assert!("a".repeat(USER_ID_MAX_CHARACTERS).parse::<UserId>().is_ok());
        assert!(
            "a".repeat(USER_ID_MAX_CHARACTERS + 1)
                .parse::<UserId>()
                .is_err()
        );
        assert!("a\u{0}".parse::<UserId>().is_err());
        assert!("".parse::<UserId>().is_err());
    }
}
