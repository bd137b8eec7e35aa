//! Who records are shared with.

use serde::{Deserialize, Serialize};

use crate::names::{TeamSlug, UserId};

const USER: &str = "user:";
const TEAM: &str = "team:";

/// Who a record can be shared with, as it is stored: `user:u-1`, `team:west`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subject(String);

/// A text that is no [`Subject`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("names nobody: write user:… or team:…")]
pub struct SubjectError;

impl Subject {
    /// A person.
    pub fn user(user: &UserId) -> Self {
        Self(format!("{USER}{user}"))
    }

    /// Everybody in a team.
    pub fn team(team: &TeamSlug) -> Self {
        Self(format!("{TEAM}{team}"))
    }

    /// As it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The team, if it is one.
    pub fn as_team(&self) -> Option<TeamSlug> {
        self.0.strip_prefix(TEAM)?.parse().ok()
    }
}

impl TryFrom<String> for Subject {
    type Error = SubjectError;

    fn try_from(text: String) -> Result<Self, SubjectError> {
        text.parse()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.0
    }
}

impl std::str::FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let user = text.strip_prefix(USER);
        let user = user.and_then(|user| user.parse::<UserId>().ok());
        let team = text.strip_prefix(TEAM);
        let team = team.and_then(|team| team.parse::<TeamSlug>().ok());
        match (user, team) {
            (Some(user), _) => Ok(Self::user(&user)),
            (None, Some(team)) => Ok(Self::team(&team)),
            (None, None) => Err(SubjectError),
        }
    }
}
