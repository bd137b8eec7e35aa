//! What stands between the network and the application: how long anybody may take (`connections`),
//! how often anybody may ask (`rates`), and what every answer says to browsers (`headers`).

pub(crate) mod connections;
pub(crate) mod headers;
pub(crate) mod rates;

pub use rates::{Rate, Rates};

use axum::http::HeaderValue;
use std::time::Duration;

/// A client that sends nothing of a request's head for longer is gone, or holds a connection to
/// hold it.
const HEAD_MAX: Duration = Duration::from_secs(20);
/// The same within a body. How long a whole request may take is another limit.
const BODY_PAUSE_MAX: Duration = Duration::from_secs(20);

/// Settings of the edges.
#[derive(Clone, Debug)]
pub struct Edges {
    /// Browsers reach this server over HTTPS alone, and shall stay with it.
    pub https: bool,
    /// Pages of these origins may read answers; nobody else's.
    pub cors_origins: Vec<Origin>,
    pub rates: Rates,
    /// From the connection, or from the last answer on it, to the end of a request's head.
    pub head_max: Duration,
    /// Between one piece of a body and the next.
    pub body_pause_max: Duration,
    /// How long connections are still taken after the stop, until whoever sends requests here has
    /// noticed.
    pub drain: Duration,
}

/// As an embedded server has it: no page elsewhere, no limit of rates, nobody else who serves.
impl Default for Edges {
    fn default() -> Self {
        Self {
            https: false,
            cors_origins: Vec::new(),
            rates: Rates::default(),
            head_max: HEAD_MAX,
            body_pause_max: BODY_PAUSE_MAX,
            drain: Duration::ZERO,
        }
    }
}

/// An origin as browsers write it: scheme, host and port, to the letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl Origin {
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl std::str::FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "“{text}” is not an origin: write it as https://app.example.com, without a path"
            )
        };
        let url: reqwest::Url = text.parse().map_err(|_| wrong())?;
        // `null` and `*` are no URLs, and whatever else than an origin is written differs from it.
        let is_web = matches!(url.scheme(), "http" | "https");
        if !is_web || text.contains('*') || url.origin().ascii_serialization() != text {
            return Err(wrong());
        }
        text.parse().map(Self).map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for good in ["https://app.example.com", "http://localhost:5173"] {
            assert!(good.parse::<Origin>().is_ok(), "{good}");
        }
        for bad in [
            "*",
            "null",
            "app.example.com",
            "https://app.example.com/",
            "https://app.example.com/x",
            "https://App.example.com",
            "https://app.example.com:443",
            "https://*.example.com",
            "https://a@example.com",
            "file:///x",
            "",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }
}
