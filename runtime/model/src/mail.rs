//! Mail of tenants: whom it is from, and whom it does not go to.

use serde::{Deserialize, Serialize};

use crate::effect::names_host;
use crate::fields::is_address;
use crate::limits::{EMAIL_MAX_CHARACTERS, SENDER_NAME_MAX_CHARACTERS};
use crate::violation::Violations;

pub use crate::local_user::email_key;

/// Whom a tenant wants its mails to be from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSender {
    /// What people read in the place of the address.
    pub name: String,
    pub address: String,
    /// Where answers go, where a mail does not say; to the address unless given.
    pub reply_to: Option<String>,
}

/// Why no mail goes to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuppressionReason {
    /// Whoever reads it wants none.
    Unsubscribed,
    /// It does not take any.
    Bounced,
    /// Whoever reads it called one spam.
    Complained,
    /// Somebody of the tenant said so.
    Added,
}

impl SuppressionReason {
    /// Its name in JSON and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unsubscribed => "unsubscribed",
            Self::Bounced => "bounced",
            Self::Complained => "complained",
            Self::Added => "added",
        }
    }
}

/// An address as suppressed ones are kept: lower case where that makes no difference. Any text is
/// one that could be looked for but with a NUL, which PostgreSQL takes in no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressKey(String);

impl AddressKey {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// It has a NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAddress;

impl std::str::FromStr for AddressKey {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        match text.contains('\0') {
            true => Err(NoAddress),
            false => Ok(Self(email_key(text))),
        }
    }
}

/// Whether mails can go to it: `ada@example.com`, without a name.
pub fn is_mail_address(text: &str) -> bool {
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    length <= EMAIL_MAX_CHARACTERS && is_address(text)
}

/// Whether the operator sends mail from addresses at this one's domain. `domains` are names of
/// domains; `*.example.com` is what is below one, `*` any.
pub fn may_send_as(domains: &[String], address: &str) -> bool {
    let domain = address.rsplit_once('@').map(|(_, domain)| domain);
    let domain = domain.unwrap_or_default().to_ascii_lowercase();
    domains.iter().any(|pattern| names_host(pattern, &domain))
}

/// What is wrong with a sender, where the operator sends mail from these domains.
pub fn check_sender(sender: &NewSender, domains: &[String]) -> Violations {
    let mut violations = Violations::default();
    let length = sender.name.chars().count();
    let is_blank = sender.name.trim().is_empty() || sender.name.contains(char::is_control);
    if is_blank || length > SENDER_NAME_MAX_CHARACTERS {
        let message = format!("a name has 1 to {SENDER_NAME_MAX_CHARACTERS} printable characters");
        violations.add("/name".to_owned(), "length", message);
    }
    if !is_mail_address(&sender.address) {
        violations.add("/address".to_owned(), "format", "is not an e-mail address");
    } else if !may_send_as(domains, &sender.address) {
        let message = match domains {
            [] => "this server sends mail from its own address alone: whoever runs it names \
                   domains that it may send for in CRM_SMTP_SENDER_DOMAINS"
                .to_owned(),
            some => format!(
                "this server sends mail from addresses at {} alone: whoever runs it adds domains \
                 to CRM_SMTP_SENDER_DOMAINS",
                some.join(", ")
            ),
        };
        violations.add("/address".to_owned(), "domain", message);
    }
    if sender
        .reply_to
        .as_ref()
        .is_some_and(|to| !is_mail_address(to))
    {
        violations.add("/reply_to".to_owned(), "format", "is not an e-mail address");
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_of_a_domain_that_the_operator_sends_for() {
        let domains = ["acme.example", "*.shops.example"].map(str::to_owned);
        for address in ["ada@acme.example", "ada@ACME.example", "a@b.shops.example"] {
            assert!(may_send_as(&domains, address), "{address}");
        }
        for address in [
            "ada@badacme.example",
            "ada@acme.example.evil.example",
            "ada@shops.example",
            "acme.example",
            "ada@acme.example@evil.example",
        ] {
            assert!(!may_send_as(&domains, address), "{address}");
        }
        assert!(!may_send_as(&[], "ada@acme.example"));
        assert!(may_send_as(&["*".to_owned()], "ada@acme.example"));
    }

    #[test]
    fn what_is_wrong_with_a_sender_is_said() {
        let domains = ["acme.example".to_owned()];
        let check = |name: &str, address: &str, reply_to: Option<&str>| {
            let sender = NewSender {
                name: name.to_owned(),
                address: address.to_owned(),
                reply_to: reply_to.map(str::to_owned),
            };
            check_sender(&sender, &domains).into_result()
        };
        assert!(check("Acme", "ada@acme.example", Some("desk@other.example")).is_ok());
        for (name, address, reply_to, pointer) in [
            (" ", "ada@acme.example", None, "/name"),
            ("A\r\nBcc: x", "ada@acme.example", None, "/name"),
            ("Acme", "Ada <ada@acme.example>", None, "/address"),
            ("Acme", "ada@other.example", None, "CRM_SMTP_SENDER_DOMAINS"),
            ("Acme", "ada@acme.example", Some("nobody"), "/reply_to"),
        ] {
            let violations = check(name, address, reply_to).unwrap_err().to_string();
            assert!(violations.contains(pointer), "{violations}");
        }
    }
}
