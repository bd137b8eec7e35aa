//! What every answer tells browsers: what a page may load, whose pages may read an answer, and
//! that an answer is what it says it is.

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware;
use axum::response::Response;
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::Edges;

/// Of pages: nothing from elsewhere, no script or style within the page, no frame around it.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'",
);
/// Of everything else, should a browser take it for a page.
const DATA_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");
/// Two years, as the preload lists of browsers want it.
const STAY_WITH_HTTPS: HeaderValue =
    HeaderValue::from_static("max-age=63072000; includeSubDomains");
/// How long a browser may keep what it was told about another origin.
const CORS_KEPT: Duration = Duration::from_secs(3600);

/// Puts them around a router, outside of everything that answers.
pub(crate) fn with_headers(router: Router, edges: &Edges) -> Router {
    let https = edges.https;
    let router = match edges.cors_origins.is_empty() {
        true => router,
        false => router.layer(cors(edges)),
    };
    router.layer(middleware::map_response(
        move |mut response: Response| async move {
            harden(response.headers_mut(), https);
            response
        },
    ))
}

fn harden(headers: &mut HeaderMap, https: bool) {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.trim_start().to_ascii_lowercase();
    let is_page = kind.starts_with("text/html");
    if kind.contains("json") || kind.starts_with("text/csv") {
        // Somebody's data: a browser's cache may be on a desk that others use too.
        let kept_nowhere = headers.entry(header::CACHE_CONTROL);
        kept_nowhere.or_insert(HeaderValue::from_static("no-store"));
    }
    let policy = match is_page {
        true => PAGE_POLICY,
        false => DATA_POLICY,
    };
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    // Browsers send `Origin: null` with forms of pages that send no referrer at all.
    let referrer = HeaderValue::from_static(match is_page {
        true => "same-origin",
        false => "no-referrer",
    });
    headers.insert(header::REFERRER_POLICY, referrer);
    if https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, STAY_WITH_HTTPS);
    }
}

/// Tokens come in a header that the page sets itself, so cookies are never wanted.
fn cors(edges: &Edges) -> CorsLayer {
    let name = HeaderName::from_static;
    let origins = edges.cors_origins.iter().map(super::Origin::header);
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            name("idempotency-key"),
            name("x-request-id"),
        ])
        .expose_headers([
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            header::CONTENT_DISPOSITION,
            header::WWW_AUTHENTICATE,
            name("idempotent-replayed"),
            name("ratelimit"),
            name("ratelimit-policy"),
            name("x-request-id"),
        ])
        .max_age(CORS_KEPT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hardened(kind: &'static str, https: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        harden(&mut headers, https);
        headers
    }

    #[test]
    fn a_page_runs_no_script_but_the_servers_own_files() {
        for kind in ["text/html", "text/html; charset=utf-8", "Text/HTML"] {
            let headers = hardened(kind, false);
            let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.contains("script-src 'self';"), "{policy}");
            assert!(policy.contains("default-src 'none'"), "{policy}");
            assert!(!policy.contains("unsafe"), "{policy}");
        }
        let data = hardened("application/json", false);
        assert_eq!(data[header::CONTENT_SECURITY_POLICY], DATA_POLICY);
    }

    #[test]
    fn data_is_kept_nowhere_and_the_rest_as_it_says() {
        for kind in [
            "application/json",
            "application/problem+json",
            "text/csv; charset=utf-8",
        ] {
            assert_eq!(hardened(kind, false)[header::CACHE_CONTROL], "no-store");
        }
        assert!(!hardened("text/css", false).contains_key(header::CACHE_CONTROL));
    }

    #[test]
    fn browsers_are_bound_to_https_only_where_there_is_https() {
        let name = header::STRICT_TRANSPORT_SECURITY;
        assert!(hardened("text/html", true).contains_key(&name));
        assert!(!hardened("text/html", false).contains_key(&name));
    }
}
