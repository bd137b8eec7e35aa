//! The answer of another system, as the run that asked for it is told: so much of it, as text, and
//! without the secrets that were sent, in case the other side repeats them.

use crm_model::limits::{HTTP_ANSWER_HEADERS_MAX_BYTES, HTTP_ANSWER_MAX_BYTES};
use reqwest::Response;
use serde_json::{Map, Value, json};

use super::http::Filled;

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Seconds that the other side asks to be left alone for.
    pub(super) retry_after: Option<u64>,
    headers: Map<String, Value>,
    body: String,
}

/// Why there is none.
pub(super) enum Unread {
    TooLong,
    Broken,
}

impl Answer {
    pub(super) async fn read(mut response: Response, filled: &Filled) -> Result<Self, Unread> {
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(reqwest::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let mut headers = Map::new();
        let mut left = HTTP_ANSWER_HEADERS_MAX_BYTES;
        for (name, value) in response.headers() {
            let bytes = name.as_str().len() + value.len();
            let Some(rest) = left.checked_sub(bytes) else {
                break;
            };
            left = rest;
            let value = clean(&String::from_utf8_lossy(value.as_bytes()), filled);
            let all = headers.entry(name.as_str()).or_insert_with(|| json!(""));
            *all = match all.as_str() {
                Some("") | None => json!(value),
                Some(before) => json!(format!("{before}, {value}")),
            };
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| Unread::Broken)? {
            if body.len() + chunk.len() > HTTP_ANSWER_MAX_BYTES {
                return Err(Unread::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Self {
            status,
            retry_after,
            headers,
            body: clean(&String::from_utf8_lossy(&body), filled),
        })
    }

    /// What the event holds.
    pub(super) fn payload(self, key: &str) -> Value {
        json!({
            "key": key,
            "status": self.status,
            "headers": self.headers,
            "body": self.body,
        })
    }
}

/// What the event holds where there is no answer.
pub(super) fn no_answer(key: &str, reason: &str) -> Value {
    json!({ "key": key, "error": reason })
}

/// PostgreSQL stores no NUL; secrets become their handles again.
fn clean(text: &str, filled: &Filled) -> String {
    filled.hide(&text.replace('\0', "\u{fffd}"))
}
