//! What leaves the system, or comes back later: asked for by an action, done by the host after
//! the mutations are committed, at least once.

use serde_json::Value;

/// Something for the host to do.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "an effect does nothing until it is returned"]
pub enum Effect {
    Email(Email),
    Webhook(Webhook),
    Http(HttpRequest),
    Notify(Notification),
    Schedule(Schedule),
}

/// A mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Email {
    pub to: Vec<String>,
    pub cc: Vec<String>,
    pub reply_to: Option<String>,
    pub subject: String,
    pub text: String,
    pub html: Option<String>,
}

/// A signed message to an address that the tenant keeps under that name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Webhook {
    pub endpoint: String,
    /// What it is about: `order.paid`.
    pub topic: String,
    pub payload: Value,
}

/// A request to another system. Handles of secrets ([`crate::secrets`]) may stand in the values
/// of headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRequest {
    /// Names the request in the event that its answer is.
    pub key: String,
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
    /// Whether the answer comes back, as an event of the kind `AnswerReceived`.
    pub wants_answer: bool,
}

/// A note to people, inside of the CRM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notification {
    /// Ids of users; `role:` and a role's name stand for everybody who has it.
    pub to: Vec<String>,
    pub title: String,
    pub body: Option<String>,
}

/// An event of the kind `TimeReached` for this action and the same record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schedule {
    /// The same key takes the place of what was scheduled under it.
    pub key: String,
    /// RFC 3339.
    pub at: String,
    pub payload: Value,
}

macro_rules! into_effect {
    ($($kind:ident($type:ty)),* $(,)?) => {
        $(impl From<$type> for Effect {
            fn from(effect: $type) -> Self {
                Self::$kind(effect)
            }
        })*
    };
}

into_effect!(
    Email(Email),
    Webhook(Webhook),
    Http(HttpRequest),
    Notify(Notification),
    Schedule(Schedule),
);
