//! API9:2023 Improper Inventory Management: what answers is what is documented, no more and no
//! less, in one version and under one name. The list itself is `surface.txt` (by `surface.rs`,
//! which also asks each for a credential); who is answered what, `route_matrix.txt`.

use super::{of_nothing, quiet};
use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeSet;

/// What answers without standing in the document: for machines that watch, and the document.
const OUTSIDE_THE_DOCUMENT: [&str; 2] = ["/metrics", "/openapi.json"];
/// What answers strangers, by the document.
const OF_STRANGERS: [&str; 11] = [
    "/auth/callback",
    "/auth/login",
    "/auth/logout",
    "/auth/logout-everywhere",
    "/auth/session",
    "/healthz",
    "/hooks/{secret}",
    "/mail/feedback/{secret}",
    "/mail/unsubscribe/{token}",
    "/problems/{kind}",
    "/readyz",
];
/// A method that no route takes: the refusal lists those that it does take.
const UNHEARD_OF: &str = "BREW";

fn methods(operations: &Value) -> BTreeSet<String> {
    let names = operations.as_object().unwrap().keys();
    names.map(|name| name.to_uppercase()).collect()
}

#[tokio::test]
async fn each_path_takes_the_methods_that_are_documented_and_no_others() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    let document = owner.get("/openapi.json").await.expect(200);
    for (path, operations) in document["paths"].as_object().unwrap() {
        let method = Method::from_bytes(UNHEARD_OF.as_bytes()).unwrap();
        let asked = of_nothing(path);
        let refused = owner.call(method, &asked, &[], None).await;
        assert_eq!(
            refused.status, 405,
            "{path} is documented and does not answer"
        );
        let allowed = refused.header("allow").unwrap().split(',');
        let mut allowed: BTreeSet<String> = allowed.map(|one| one.trim().to_owned()).collect();
        let documented = methods(operations);
        if documented.contains("GET") {
            assert!(allowed.remove("HEAD"), "{path}");
        }
        assert_eq!(
            allowed, documented,
            "{path}: what it takes and what is documented"
        );
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let asked = owner.call(method.parse().unwrap(), &asked, &[], None).await;
            let takes = asked.status != 405;
            assert_eq!(takes, documented.contains(method), "{method} {path}");
        }
    }
}

/// The router is asked for its own list, so that nothing stands beside the document.
#[test]
fn what_is_routed_is_documented() {
    let source = include_str!("../../../runtime/server/src/app.rs");
    let mut beside = BTreeSet::new();
    for part in source.split(".route(").skip(1) {
        let path = part.split('"').nth(1).unwrap();
        beside.insert(path);
    }
    assert_eq!(
        beside,
        BTreeSet::from(OUTSIDE_THE_DOCUMENT),
        "routes of runtime/server/src/app.rs beside the documented ones: document them with \
         `.routes(routes!(…))`, or say in OUTSIDE_THE_DOCUMENT that they are meant to be outside"
    );
    for door in [
        "nest_service",
        "route_service",
        "fallback_service",
        "ServeDir",
        "any(",
    ] {
        assert!(
            !source.contains(door),
            "{door} answers what nobody has listed"
        );
    }
}

#[tokio::test]
async fn the_document_says_who_is_asked_for_a_credential() {
    let app = quiet().await;
    let document = app.anonymous().get("/openapi.json").await.expect(200);
    assert!(document["security"][0]["bearer"].is_array());
    let mut of_strangers = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let name = format!("{method} {path}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(!operation["tags"][0].is_null(), "{name} has no tag");
            assert_ne!(operation["deprecated"], true, "{name}: when does it end?");
            match operation["security"].as_array() {
                None => assert!(responses.contains_key("401"), "{name} documents no 401"),
                Some(_) => {
                    of_strangers.insert(path.as_str());
                }
            }
        }
    }
    assert_eq!(
        of_strangers,
        BTreeSet::from(OF_STRANGERS),
        "operations that ask for no credential: if that is meant, add them to OF_STRANGERS"
    );
}

#[tokio::test]
async fn there_is_one_version_under_one_name() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    let document = owner.get("/openapi.json").await.expect(200);
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["servers"], Value::Null, "no other host is named");
    let mut alive = Vec::new();
    for path in [
        "/api/v1/crm/bootstrap",
        "/api/v0/bootstrap",
        "/api/crm/v1/bootstrap",
        "/api/crm/v2/bootstrap",
        "/api/crm/beta/bootstrap",
        "/api/crm/internal/bootstrap",
        "/api/crm/test/bootstrap",
        "/v1/bootstrap",
        "/api/bootstrap",
        "/crm/bootstrap",
        "/bootstrap",
        "/api/records/patients",
        "/api/crm/record/patients",
        "/api/crm/patients",
        "/api/crm/template/select",
        "/api/crm/templates/choose",
        "/api/crm/apikeys",
        "/api/crm/api_keys",
        "/api/crm/export",
        "/api-docs",
        "/swagger",
        "/swagger.json",
        "/swagger-ui",
        "/swagger-ui/index.html",
        "/openapi.yaml",
        "/openapi/v3.json",
        "/v3/api-docs",
        "/api/crm/openapi.json",
        "/health",
        "/healthz/",
        "/ready",
        "/livez",
        "/metrics/",
        "/prometheus",
    ] {
        let answer = owner.get(path).await;
        if answer.status != 404 {
            alive.push((path, answer.status.as_u16()));
        }
    }
    assert_eq!(alive, [], "old and other names of what there is");
    for path in OUTSIDE_THE_DOCUMENT {
        owner.get(path).await.expect(200);
        assert_eq!(owner.delete(path).await.status, 405, "{path}");
        assert!(
            document["paths"][path].is_null(),
            "{path} is documented now"
        );
    }
}
