//! People who log in here, with a password: what somebody asks for, and what is wrong with it.

use serde::{Deserialize, Serialize};

use crate::fields::is_address;
use crate::limits::{
    EMAIL_MAX_CHARACTERS, PASSWORD_MAX_BYTES, PASSWORD_MIN_CHARACTERS, USER_MAX_ROLES,
    USER_NAME_MAX_CHARACTERS,
};
use crate::model::Model;
use crate::names::RoleSlug;
use crate::violation::Violations;

/// Somebody to invite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewLocalUser {
    pub email: String,
    #[serde(default)]
    pub name: String,
    pub roles: Vec<RoleSlug>,
}

/// What changes of somebody; nothing where nothing is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalUserEdit {
    #[serde(default)]
    pub roles: Option<Vec<RoleSlug>>,
    #[serde(default)]
    pub disabled: Option<bool>,
}

/// How an address is compared: without capitals, and without what stands around it.
pub fn email_key(email: &str) -> String {
    email.trim().to_lowercase()
}

/// What is wrong with somebody who is to be invited. Before a template is chosen there is no
/// model, and any role may be named.
pub fn check_local_user(user: &NewLocalUser, model: Option<&Model>) -> Violations {
    let mut violations = check_roles(&user.roles, model);
    let email = user.email.trim();
    let long = u64::try_from(email.len()).is_ok_and(|length| length > EMAIL_MAX_CHARACTERS);
    if long || !is_address(email) {
        violations.add("/email".to_owned(), "format", "is not an e-mail address");
    }
    if let Some(problem) = name_problem(&user.name) {
        violations.add("/name".to_owned(), "format", problem);
    }
    violations
}

/// What is wrong with roles that somebody is to have.
pub fn check_roles(roles: &[RoleSlug], model: Option<&Model>) -> Violations {
    let mut violations = Violations::default();
    if roles.is_empty() || roles.len() > USER_MAX_ROLES {
        let message = format!("has 1 to {USER_MAX_ROLES} roles");
        violations.add("/roles".to_owned(), "length", message);
    }
    for (number, role) in roles.iter().enumerate() {
        if model.is_some_and(|model| model.role(role).is_none()) {
            violations.add(format!("/roles/{number}"), "role", "there is no such role");
        }
    }
    violations
}

/// What is wrong with a person's name; a name may be empty.
pub fn name_problem(name: &str) -> Option<String> {
    let long = name.chars().count() > USER_NAME_MAX_CHARACTERS;
    (long || name.chars().any(char::is_control)).then(|| {
        format!("A name has at most {USER_NAME_MAX_CHARACTERS} characters, and no line breaks.")
    })
}

/// What is wrong with a password that somebody chooses.
pub fn password_problem(password: &str, email: &str) -> Option<String> {
    if password.chars().count() < PASSWORD_MIN_CHARACTERS {
        return Some(format!(
            "A password has at least {PASSWORD_MIN_CHARACTERS} characters. A few words in a row \
             are a good one."
        ));
    }
    if password.len() > PASSWORD_MAX_BYTES {
        return Some(format!(
            "A password has at most {PASSWORD_MAX_BYTES} bytes."
        ));
    }
    let mut letters = password.chars();
    let first = letters.next();
    let monotonous = letters.all(|letter| Some(letter) == first);
    if monotonous || email_key(password) == email_key(email) {
        return Some("This password is too easy to guess.".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_long_and_not_the_address() {
        let ok = |password: &str| password_problem(password, "Ada.Lovelace@example.com").is_none();
        assert!(ok("correct horse battery"));
        assert!(ok(&"ab".repeat(PASSWORD_MIN_CHARACTERS / 2)));
        assert!(!ok(&"ab".repeat(PASSWORD_MIN_CHARACTERS / 2)[1..]));
        assert!(ok(&"ab".repeat(PASSWORD_MAX_BYTES / 2)));
        assert!(!ok(&"ab".repeat(PASSWORD_MAX_BYTES / 2 + 1)));
        assert!(!ok("aaaaaaaaaaaaaaaa"));
        assert!(!ok("ada.lovelace@example.com"));
        assert!(!ok(""));
    }

    #[test]
    fn who_is_invited_has_an_address_and_roles() {
        let good = NewLocalUser {
            email: " Ada@Example.com ".to_owned(),
            name: "Ada".to_owned(),
            roles: vec!["owner".parse().unwrap()],
        };
        let wrong = |user: &NewLocalUser| check_local_user(user, None).as_slice().len();
        assert_eq!(wrong(&good), 0);
        assert_eq!(email_key(&good.email), "ada@example.com");
        let long = format!("{}.example.com", ["a"; 120].join("."));
        for bad in [
            NewLocalUser {
                email: "ada".to_owned(),
                ..good.clone()
            },
            NewLocalUser {
                email: format!("ada@{long}"),
                ..good.clone()
            },
            NewLocalUser {
                name: "a\nb".to_owned(),
                ..good.clone()
            },
            NewLocalUser {
                roles: Vec::new(),
                ..good.clone()
            },
            NewLocalUser {
                roles: vec!["owner".parse().unwrap(); USER_MAX_ROLES + 1],
                ..good.clone()
            },
        ] {
            assert_eq!(wrong(&bad), 1, "{bad:?}");
        }
    }
}
