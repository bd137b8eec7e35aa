//! API4:2023 Unrestricted Resource Consumption: one request, or many, cannot take what all others
//! need. Here that is the memory for bodies and heads, depth that parsers and planners would pay
//! for, rows of one answer, patterns that never end, and what one tenant may keep. Slow clients
//! and rates are `edges.rs`'s; each limit of queries with its place `query.rs`'s; bodies that are
//! none `surface.rs`'s; files `imports.rs`'s; guests' fuel and memory `guests.rs`'s; kept answers
//! `once.rs`'s.

use super::{PATIENCE, of_nothing, operations, quiet, raw, request, status};
use crm_model::limits::{REQUEST_BODY_MAX_BYTES, TENANT_MAX_API_KEYS};
use crm_tests::client::Client;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Routes that take more than others, each with a limit and a test of its own.
const TAKE_MORE: [&str; 3] = [
    "/api/crm/records/{module}/bulk",
    "/api/crm/imports",
    "/api/crm/plugins",
];
/// What an attack may take in a build without optimisation.
const QUICK: Duration = Duration::from_secs(10);

async fn writes(client: &Client) -> Vec<(Method, String)> {
    let mut operations = operations(client).await;
    operations.retain(|(method, path)| {
        [Method::POST, Method::PUT, Method::PATCH].contains(method)
            && !TAKE_MORE.contains(&path.as_str())
            // These read no body.
            && !path.starts_with("/auth/logout")
            && path != "/mail/unsubscribe/{token}"
    });
    operations
}

#[tokio::test]
async fn no_route_takes_a_body_that_is_too_large_or_too_deep() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    let large = format!("{{{}}}", " ".repeat(REQUEST_BODY_MAX_BYTES - 1));
    let deep = format!(
        "{{\"data\": {}1{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let wide = format!("{{\"data\": {{{}\"z\": 1}}}}", "\"a\": 1,".repeat(100_000));
    for (method, path) in writes(&owner).await {
        let path = of_nothing(&path.replace("{module}", "patients"));
        let call = async |body: &str| {
            let began = Instant::now();
            let answer = owner
                .call(method.clone(), &path, &[], Some(body.to_owned()))
                .await;
            assert!(
                began.elapsed() < QUICK,
                "{method} {path}: {:?}",
                began.elapsed()
            );
            answer.status.as_u16()
        };
        let status = call(&large).await;
        assert!(
            status == 413,
            "{method} {path}: {status} for one byte too many"
        );
        for body in [&deep, &wide] {
            let status = call(body).await;
            let shown = &body[..16];
            assert!(
                (400..500).contains(&status),
                "{method} {path}: {status} for {shown}…"
            );
        }
    }
    owner.get("records/patients").await.expect(200);
}

/// `{"data":{"full_name":"Zipped"}}` behind 10 bytes of gzip's head.
const ZIPPED: &str = "1f8b0800000000000203ab564a492c4954b2aa564a2bcdc989cf4bcc4d55b2528aca2c28484d51\
                      aaad0500ed330bb91f000000";

/// What is not unpacked cannot be a bomb.
#[tokio::test]
async fn packed_bodies_are_not_unpacked() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    let digits = ZIPPED.as_bytes().chunks(2);
    let packed: Vec<u8> = digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    for encoding in ["gzip", "x-gzip", "deflate", "br", "zstd", "gzip, gzip"] {
        let headers = format!(
            "content-type: application/json\r\ncontent-encoding: {encoding}\r\n\
             content-length: {}\r\n",
            packed.len()
        );
        let head = request(&owner, "POST /api/crm/records/patients", &headers);
        let answer = raw(&app.base, &[head.as_bytes(), &packed].concat()).await;
        assert!(
            [400, 415].contains(&status(&answer)),
            "{encoding}: {answer}"
        );
    }
    let all = owner
        .get("records/patients?include=total")
        .await
        .expect(200);
    assert_eq!(all["total"]["value"], 0);
}

#[tokio::test]
async fn floods_of_heads_are_cut_off() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    let many: String = (0..5_000)
        .map(|number| format!("x-{number}: 1\r\n"))
        .collect();
    let long = format!("x-long: {}\r\n", "a".repeat(2 << 20));
    let path = format!("GET /api/crm/records/patients?q={}", "a".repeat(1 << 20));
    let deep = format!("GET /{}", "a/".repeat(60_000));
    let line = "GET /api/crm/bootstrap";
    for (what, sent) in [
        ("many", request(&owner, line, &many)),
        ("long", request(&owner, line, &long)),
        ("a long address", request(&owner, &path, "")),
        ("a deep address", request(&owner, &deep, "")),
    ] {
        let answer = raw(&app.base, sent.as_bytes()).await;
        // Who sends on after the refusal may not read it any more.
        let refused = answer.is_empty() || (400..500).contains(&status(&answer));
        assert!(refused, "{what}: {answer}");
        assert!(!answer.contains("200 OK"), "{what}: {answer}");
    }
    let lies = "content-type: application/json\r\ncontent-length: 18446744073709551616\r\n";
    let answer = raw(
        &app.base,
        request(&owner, "POST /api/crm/views", lies).as_bytes(),
    )
    .await;
    assert_eq!(status(&answer), 400, "{answer}");
    owner.get("bootstrap").await.expect(200);
}

#[tokio::test]
async fn one_answer_has_so_many_rows_and_no_more() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    let mut lists = 0;
    for (method, path) in operations(&owner).await {
        if method != Method::GET {
            continue;
        }
        let asked = path.replace("{module}", "patients");
        let document = owner.get("/openapi.json").await.expect(200);
        let parameters = document["paths"][&path]["get"]["parameters"].to_string();
        if !parameters.contains("\"limit\"") || asked.contains('{') {
            continue;
        }
        lists += 1;
        let asked = match asked.as_str() {
            "/api/crm/search" => format!("{asked}?q=a&"),
            "/api/crm/timeline" => format!("{asked}?user=owner-1&"),
            _ => format!("{asked}?"),
        };
        for limit in ["0", "201", "-1", "4294967296", "1e3", "200.5", "0x10", ""] {
            let answer = owner.get(&format!("{asked}limit={limit}")).await;
            assert_eq!(answer.status, 422, "{asked}limit={limit}: {}", answer.body);
        }
        for cursor in ["a", "0", "%00", "%27--", &"a".repeat(4_000)] {
            let answer = owner.get(&format!("{asked}cursor={cursor}")).await;
            let status = answer.status.as_u16();
            assert!(
                status == 422 || status == 200,
                "{asked}{cursor}: {}",
                answer.body
            );
        }
    }
    assert!(lists >= 8, "only {lists} lists were found");
}

#[tokio::test]
async fn questions_that_grow_are_cut() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    owner.create("patients", json!({"full_name": "Ada"})).await;
    let empty = json!({"field": "full_name", "op": "is_empty"});
    let nest = |depth: usize| (0..depth).fold(empty.clone(), |inner, _| json!({"not": inner}));
    // 2 ** 6 conditions of conditions, where each level alone is small.
    let tree = (0..7).fold(empty.clone(), |inner, _| json!({"and": [inner, inner]}));
    let around = ["patient.appointments"; 6].join(".");
    for query in [
        json!({"filter": nest(60)}),
        json!({"filter": {"or": [tree, tree]}}),
        json!({"filter": {"or": vec![empty.clone(); 5_000]}}),
        json!({"filter": {"field": "full_name", "op": "in", "value": vec!["a"; 5_000]}}),
        json!({"filter": {"field": around, "op": "is_empty"}}),
        json!({"expand": vec!["patient"; 5_000].join(",")}),
        json!({"expand": around}),
        json!({"sort": vec!["full_name"; 5_000].join(",")}),
        json!({"q": "a ".repeat(5_000)}),
    ] {
        let shown: String = query.to_string().chars().take(60).collect();
        let began = Instant::now();
        let answer = owner.post("records/patients/query", query).await;
        let status = answer.status.as_u16();
        assert!((400..500).contains(&status), "{shown}: {status}");
        assert!(began.elapsed() < QUICK, "{shown}: {:?}", began.elapsed());
        assert!(
            answer.body.to_string().len() < 64 << 10,
            "{shown}: a long answer"
        );
    }
    let metrics: Vec<Value> = (0..500)
        .map(|number| json!({"op": "count", "as": format!("n{number}")}))
        .collect();
    for aggregate in [
        json!({ "metrics": metrics }),
        json!({"group_by": vec!["gender"; 100], "metrics": [{"op": "count", "as": "n"}]}),
    ] {
        let answer = owner.post("records/patients/aggregate", aggregate).await;
        assert_eq!(answer.status, 422, "{}", answer.body);
    }
    let deep = nest(2_000).to_string();
    let url = format!("records/patients?filter={}", deep.replace('"', "%22"));
    let answer = owner.get(&url).await;
    assert!(answer.status.is_client_error(), "{}", answer.status);
}

/// A pattern is the tenant's own, and so is the harm, unless it stops the server for all.
#[tokio::test]
async fn no_pattern_takes_forever() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    let hostile = [
        "^(a+)+$",
        "^(a|aa)+$",
        "^(.*)*$",
        "(a{1,500}){1,500}$",
        "((a{99}){99}){99}",
    ];
    let mut patterns = 0;
    for (number, pattern) in hostile.iter().enumerate() {
        let key = format!("evil_{number}");
        let field = json!({"key": key, "label": "E", "type": "text", "pattern": pattern});
        let began = Instant::now();
        let added = owner.post("modules/patients/fields", field).await;
        if added.status == 422 {
            continue;
        }
        added.expect(201);
        patterns += 1;
        let text = format!("{}!", "a".repeat(999));
        let record = json!({"data": {"full_name": "x", (key): text}});
        let answer = owner.post("records/patients", record).await;
        assert!(
            answer.status == 422 || answer.status == 201,
            "{pattern}: {}",
            answer.body
        );
        assert!(began.elapsed() < QUICK, "{pattern}: {:?}", began.elapsed());
    }
    assert!(patterns >= 2, "the usual evil ones are patterns");
}

/// Keys of one tenant are not endless.
#[tokio::test]
async fn a_tenant_keeps_so_many_keys() {
    let app = quiet().await;
    let (_, owner) = app.owner_of("hospital").await;
    let began = Instant::now();
    for number in 0..TENANT_MAX_API_KEYS {
        let made = owner
            .post("api-keys", json!({"name": format!("k{number}")}))
            .await;
        assert_eq!(made.status, 201, "{number}: {}", made.body);
    }
    let refused = owner
        .post("api-keys", json!({"name": "one too many"}))
        .await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(
        refused.body["detail"]
            .as_str()
            .unwrap()
            .contains("200 API keys")
    );
    assert!(began.elapsed() < 6 * PATIENCE);
}
