//! Whether a request with a cookie was made by a page of this server's own: browsers send cookies
//! along whoever asks.

use axum::http::{HeaderMap, HeaderName, header};
use crm_engine::secret::TenantSecret;
use sha2::{Digest, Sha256};

use crate::problem::{Kind, Problem};

/// How a page shows that it has read its session.
pub(crate) const CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses what a page of another origin sent, as the browser tells: `Sec-Fetch-Site`, or
/// `Origin` where it is too old for that, or the server is reached without TLS. What says neither
/// is no browser, and has no business with cookies.
pub(crate) fn check_origin(headers: &HeaderMap, own: &str) -> Result<(), Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let same = match (text(FETCH_SITE), text(header::ORIGIN)) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => origin == own,
        (None, None) => false,
    };
    match same {
        true => Ok(()),
        false => Err(refused("the request was made by a page of another origin")),
    }
}

/// Refuses what does not show the session's own token.
pub(crate) fn check_token(secret: &TenantSecret, given: Option<&str>) -> Result<(), Problem> {
    let Some(given) = given else {
        return Err(refused("the session's token is missing: send X-CSRF-Token"));
    };
    // Digests are compared, so that time tells nothing of where two tokens begin to differ.
    if Sha256::digest(given) == Sha256::digest(secret.csrf_token()) {
        Ok(())
    } else {
        Err(refused("the token is not this session's"))
    }
}

/// The token that a request shows.
pub(crate) fn token_of(headers: &HeaderMap) -> Option<&str> {
    headers.get(CSRF_TOKEN)?.to_str().ok()
}

fn refused(detail: &str) -> Problem {
    Problem::detailed(Kind::CrossSite, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_pages_of_the_own_origin_pass() {
        let own = "https://crm.example.com";
        let passes = |site: Option<&'static str>, origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            for (name, value) in [(FETCH_SITE, site), (header::ORIGIN, origin)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            check_origin(&headers, own).is_ok()
        };
        assert!(passes(Some("same-origin"), None));
        assert!(passes(Some("same-origin"), Some(own)));
        assert!(passes(None, Some(own)));
        for site in ["same-site", "cross-site", "none", ""] {
            assert!(!passes(Some(site), Some(own)), "{site}");
        }
        for origin in [
            "null",
            "",
            "http://crm.example.com",
            "https://crm.example.com:8443",
            "https://crm.example.com.evil.example",
            "https://evil.example",
        ] {
            assert!(!passes(None, Some(origin)), "{origin}");
        }
        assert!(!passes(None, None));
    }
}
