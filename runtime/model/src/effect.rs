//! What leaves the system, or comes back later: asked for by a plugin, done by the host after
//! the commit, at least once, under a key.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use mime::Mime;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits::{ATTACHMENT_NAME_MAX_CHARACTERS, EFFECT_KEY_MAX_CHARACTERS};

/// Whether a pattern names a host: the very name, `*.example.com` all that is below it (and not
/// `badexample.com`), `*` any. Hosts are in lower case.
pub fn names_host(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some("") => true,
        Some(below) => below.starts_with('.') && host.ends_with(below),
        None => pattern.eq_ignore_ascii_case(host),
    }
}

/// Something to be done after a run's mutations are committed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Effect {
    Email(Email),
    Webhook(Webhook),
    Http(HttpRequest),
    Notify(Notification),
    Schedule(Schedule),
}

impl Effect {
    /// Whether something follows for the workflow that asked: an answer, a time.
    pub fn comes_back(&self) -> bool {
        match self {
            Self::Schedule(_) => true,
            Self::Http(request) => request.wants_answer,
            Self::Email(_) | Self::Webhook(_) | Self::Notify(_) => false,
        }
    }

    /// The kind's name in JSON, in the store and in capabilities.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Webhook(_) => "webhook",
            Self::Http(_) => "http",
            Self::Notify(_) => "notify",
            Self::Schedule(_) => "schedule",
        }
    }
}

/// A mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Email {
    pub to: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    pub subject: String,
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// At most [`EMAIL_MAX_ATTACHMENTS`](crate::limits::EMAIL_MAX_ATTACHMENTS).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

/// A file that goes with a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    pub name: String,
    /// As MIME writes it: `text/calendar; method=REQUEST`.
    pub media_type: String,
    /// In base64 (RFC 4648).
    content: String,
}

impl Attachment {
    /// A file of that name and type.
    ///
    /// # Errors
    /// A sentence that says what is wrong with either.
    pub fn new(name: String, media_type: String, content: &[u8]) -> Result<Self, String> {
        let length = name.chars().count();
        if name.trim().is_empty() || length > ATTACHMENT_NAME_MAX_CHARACTERS {
            return Err(format!(
                "an attachment’s name has 1 to {ATTACHMENT_NAME_MAX_CHARACTERS} characters"
            ));
        }
        if name.contains(|c: char| c.is_control() || c == '/' || c == '\\') {
            return Err(format!(
                "an attachment’s name has no folders and no control characters: {name:?}"
            ));
        }
        if media_type.len() > EFFECT_KEY_MAX_CHARACTERS || media_type.parse::<Mime>().is_err() {
            return Err(format!(
                "“{}” is no media type, such as text/csv",
                beginning(&media_type)
            ));
        }
        Ok(Self {
            name,
            media_type,
            content: BASE64_STANDARD.encode(content),
        })
    }

    /// Its bytes.
    ///
    /// # Errors
    /// Where what was stored is no base64.
    pub fn content(&self) -> Result<Vec<u8>, base64::DecodeError> {
        BASE64_STANDARD.decode(&self.content)
    }
}

fn beginning(text: &str) -> String {
    text.chars().take(100).collect()
}

/// A signed message to an address that the tenant keeps under that name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    pub endpoint: String,
    /// What it is about: `order.paid`.
    pub topic: String,
    pub payload: Value,
}

/// A request to another system. Handles of secrets may stand in the values of headers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRequest {
    /// Names the request in the event that its answer is.
    pub key: String,
    pub method: String,
    pub url: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Whether the answer comes back as an event.
    #[serde(default)]
    pub wants_answer: bool,
}

impl HttpRequest {
    /// The host that it goes to, in lower case; none where the address is no web address.
    pub fn host(&self) -> Option<String> {
        let url = url::Url::parse(&self.url).ok()?;
        url.host_str().map(str::to_ascii_lowercase)
    }
}

/// A note to people, inside of the CRM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// Ids of users; `role:` and a role's name stand for the members and local users who have it.
    pub to: Vec<String>,
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// What stands before a role's name where people are named.
pub const ROLE_START: &str = "role:";

/// An event for the same workflow and record at a later time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The same key takes the place of what was scheduled under it.
    pub key: String,
    pub at: DateTime<Utc>,
    pub payload: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attachment_is_a_file_that_every_mail_program_can_keep() {
        let of = |name: &str, media_type: &str| {
            Attachment::new(
                name.to_owned(),
                media_type.to_owned(),
                b"BEGIN:VCALENDAR\0\xff",
            )
        };
        let fine = of("Besuch am 3. Mai.ics", "text/calendar; method=REQUEST").unwrap();
        assert_eq!(fine.content().unwrap(), b"BEGIN:VCALENDAR\0\xff");
        let long = "x".repeat(ATTACHMENT_NAME_MAX_CHARACTERS + 1);
        for (name, media_type, reason) in [
            ("", "text/csv", "1 to 200"),
            (" ", "text/csv", "1 to 200"),
            (&long, "text/csv", "1 to 200"),
            ("../passwd", "text/csv", "no folders"),
            ("a\\b", "text/csv", "no folders"),
            ("a\r\nBcc: b", "text/csv", "no control"),
            ("a", "", "no media type"),
            ("a", "text", "no media type"),
            ("a", "text/csv\r\nBcc: b", "no media type"),
        ] {
            let refused = of(name, media_type).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
    }
}
