//! Every route, as `/openapi.json` lists them, asked by every role (`roles`) with ids of the
//! tenant's own things, of another tenant's, of deleted ones and of none: what is another tenant's
//! is exactly as if it were not there. What this file holds is how to ask each route; one that is
//! asked for nowhere fails the tests, unless it stands in `uncovered_routes.txt`.

mod bodies;
mod roles;

use crm_tests::app::TestApp;
use crm_tests::client::{Answer, Client};
use crm_tests::cluster::cluster;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Names nothing of a tenant's.
const OF_NOBODY: [&str; 13] = [
    "GET /auth/login",
    "GET /auth/callback",
    "GET /auth/session",
    "POST /auth/logout",
    "POST /auth/logout-everywhere",
    "GET /healthz",
    "GET /readyz",
    "GET /problems/{kind}",
    "POST /hooks/{secret}",
    "GET /mail/unsubscribe/{token}",
    "POST /mail/unsubscribe/{token}",
    "POST /mail/feedback/{secret}",
    "GET /api/crm/templates/{slug}",
];
/// Lists that want to know something first.
const LIST_PARAMETERS: [(&str, &str); 3] = [
    (
        "/api/crm/permissions/explain",
        "?module=patients&action=read",
    ),
    ("/api/crm/search", "?q=marked"),
    ("/api/crm/timeline", "?user=owner-1"),
];

/// Ids of one kind of thing.
#[derive(Debug)]
struct Ids {
    own: String,
    foreign: String,
    /// None where such things are not deleted.
    deleted: Option<String>,
    malformed: &'static str,
    missing: String,
}

type Things = BTreeMap<&'static str, Ids>;

/// What a parameter of a path names; none where the test does not know.
fn kind(path: &str, parameter: &str) -> Option<&'static str> {
    let resource = path.strip_prefix("/api/crm/")?.split('/').next()?;
    Some(match (resource, parameter) {
        (_, "module") => "module",
        (_, "field") => "field",
        ("api-keys", "id") => "api_key",
        ("secrets", "name") => "secret",
        ("webhooks", "id") => "webhook",
        ("mail", "address") => "suppression",
        ("members", "user") => "member",
        ("roles", "slug") => "role",
        ("teams", "slug") => "team",
        ("activities", "id") => "activity",
        ("imports", "id") => "import",
        ("plugins", "name") => "plugin",
        ("records", "id") => "record",
        ("records", "with") => "share",
        ("runs", "id") => "run",
        ("tasks", "id") => "task",
        ("users", "id") => "user",
        ("views", "id") => "view",
        ("workflows", "id") => "workflow",
        _ => return None,
    })
}

/// A body that is good for a collection, to which each caller adds something of their own mark;
/// none where the test does not know one. What these bodies name, `bodies` asks for.
pub(crate) fn collection_body(method: &Method, path: &str, mark: &str) -> Option<Value> {
    let body = match (method.as_str(), path.strip_prefix("/api/crm/")?) {
        ("POST", "api-keys") => json!({"name": mark}),
        ("POST", "secrets") => {
            json!({"name": mark, "value": format!("{mark} value"), "hosts": ["api.example.com"]})
        }
        ("POST", "webhooks") => json!({"name": mark, "url": "https://example.com/hook"}),
        // The server of these tests sends no mail.
        ("PUT", "mail/sender") => json!({"name": mark, "address": "desk@example.com"}),
        ("POST", "mail/sender/confirm") => json!({"code": mark}),
        ("POST", "mail/suppressions") => json!({"address": format!("{mark}@added.example")}),
        ("POST", "mail/feedback-address") | ("DELETE", "mail/feedback-address" | "mail/sender") => {
            json!({})
        }
        ("POST", "members") => json!({"user_id": format!("{mark}_added"), "roles": ["viewer"]}),
        ("POST", "roles" | "teams" | "modules") => {
            json!({"slug": format!("{mark}_added"), "label": mark})
        }
        ("POST", "templates/select") => json!({"template_id": "hospital"}),
        ("POST", "users") => {
            json!({"email": format!("{mark}@added.example"), "roles": ["viewer"]})
        }
        ("PUT", "limits") => json!({"plan": mark, "limits": {}}),
        ("PATCH", "usage") => json!({"quotas": {"records": 1_000_000}}),
        ("PATCH", "settings") => json!({"time_zone": "Europe/Berlin"}),
        ("POST", "runs/retry" | "runs/skip" | "runs/cancel") => json!({ "workflow": mark }),
        ("POST", "views") => json!({"name": mark, "module": "patients"}),
        ("POST", "workflows") => json!({
            "slug": format!("{mark}_added"), "name": mark, "module": "patients",
            "trigger": {"on": "record_deleted"},
            "steps": [{"action": "field-set", "config": {"set": {"welcome_note": "'x'"}}}],
        }),
        // The plugin's name.
        ("POST", "plugins") => json!(format!("{mark}-added").replace('_', "-")),
        // The file to upload.
        ("POST", "imports") => json!(format!("full_name\n{mark}\n")),
        _ => return None,
    };
    Some(body)
}

/// A body that is good; none where the test does not know one.
pub(crate) fn body(method: &Method, path: &str) -> Option<Option<Value>> {
    if matches!(*method, Method::GET | Method::DELETE) {
        return Some(None);
    }
    let path = path.strip_prefix("/api/crm/")?;
    let body = match path {
        "activities/{id}" => json!({"title": "changed"}),
        "api-keys/{id}/rotate" => json!({}),
        "roles/{slug}" | "teams/{slug}" => json!({"label": "Changed"}),
        "imports/{id}/run" => json!({"dry_run": true}),
        "modules/{module}" | "modules/{module}/fields/{field}" => json!({"label": "Changed"}),
        "modules/{module}/fields" => json!({"key": "added", "label": "Added", "type": "text"}),
        "records/{module}" | "records/{module}/{id}" => json!({"data": {"full_name": "changed"}}),
        "records/{module}/aggregate" => json!({"metrics": [{"op": "count", "as": "n"}]}),
        "records/{module}/bulk" => {
            json!({"atomic": true,
                "operations": [{"op": "create", "data": {"full_name": "Bulk"}}]})
        }
        "plugins/{name}" => json!({"enabled": true}),
        "plugins/{name}/preview" => json!({"module": "patients", "last": 1}),
        "records/{module}/query" => json!({}),
        "records/{module}/{id}/activities" => json!({"kind": "note", "title": "hello"}),
        "records/{module}/{id}/owner" => json!({"owner_id": "somebody"}),
        "records/{module}/{id}/shares" => json!({"with": "user:somebody"}),
        "records/{module}/{id}/clone" | "records/{module}/{id}/restore" => json!({}),
        "workflows/{id}" => json!({"run_as": "itself"}),
        "workflows/{id}/address" => json!({}),
        "workflows/{id}/test" => json!({"last": 5}),
        "workflows/{id}/publish" | "workflows/{id}/runs/move" => json!({}),
        // Whoever may is told that a workflow keeps its name.
        "workflows/{id}/draft" => json!({
            "slug": "another", "name": "Another", "module": "patients",
            "trigger": {"on": "record_deleted"},
            "steps": [{"action": "field-set", "config": {"set": {"welcome_note": "'x'"}}}],
        }),
        "approvals/{id}/decide" => json!({"decision": "approve"}),
        "tasks/{id}/cancel" | "runs/{id}/retry" | "runs/{id}/skip" | "runs/{id}/cancel" => {
            json!({})
        }
        // No record of anybody's, so that nothing starts.
        "workflows/{id}/start" => json!({"record_ids": [uuid::Uuid::nil()]}),
        "users/{id}" => json!({"roles": ["viewer"]}),
        "users/{id}/invitation" => json!({}),
        "webhooks/{id}" => json!({"enabled": false}),
        "webhooks/{id}/rotate" => json!({}),
        "webhooks/{id}/redeliver" => json!({"failed_since": "2020-01-01T00:00:00Z"}),
        "views/{id}" => json!({"name": "Changed"}),
        _ => return None,
    };
    Some(Some(body))
}

/// The problem without the one thing in which two may differ.
pub(crate) fn comparable(answer: &Answer) -> (u16, Value) {
    let mut body = answer.body.clone();
    if let Some(members) = body.as_object_mut() {
        members.remove("request_id");
    }
    (answer.status.as_u16(), body)
}

fn id(body: &Value) -> String {
    body["id"].as_str().expect("an id").to_owned()
}

/// What a tenant has of everything; each word says whose it is.
pub(crate) async fn fill(owner: &Client, mark: &str) -> BTreeMap<&'static str, String> {
    let module = format!("{mark}_module");
    let fields = json!([{"key": "full_name", "label": mark, "type": "text"}]);
    owner.module(&module, fields).await;
    let record = owner
        .create("patients", json!({"full_name": format!("{mark} marked")}))
        .await;
    let run = owner.run("welcome", &record, &["done"]).await;
    let note = json!({"kind": "note", "title": format!("{mark} note")});
    let note = owner
        .post(&format!("records/patients/{record}/activities"), note)
        .await;
    let file = format!("full_name\n{mark}\n");
    let import = owner.upload("patients", file).await.expect(201);
    let view = json!({"name": mark, "module": "patients", "shared": true});
    let view = owner.post("views", view).await.expect(201);
    let field = json!({"key": format!("{mark}_field"), "label": mark, "type": "text",
        "indexed": true});
    owner
        .post("modules/patients/fields", field)
        .await
        .expect(201);
    owner.tasks_end().await;
    let dry = json!({"dry_run": true});
    owner.import(import["id"].as_str().unwrap(), dry).await;
    let task = owner.get("tasks").await.expect(200)["data"][0].clone();
    let workflow = json!({
        "slug": format!("{mark}_workflow"), "name": mark, "module": "patients",
        "trigger": {"on": "request_received"},
        "steps": [{"action": "field-set", "config": {"set": {"welcome_note": "'x'"}}}],
    });
    owner.post("workflows", workflow.clone()).await.expect(201);
    let at = format!("workflows/{mark}_workflow");
    let address = owner.post(&format!("{at}/address"), json!({})).await;
    address.expect(201);
    let draft = owner.put(&format!("{at}/draft"), workflow).await;
    draft.expect(200);
    let role = format!("{mark}_role");
    let named = json!({"slug": role, "label": mark});
    owner.post("roles", named).await.expect(201);
    let team = format!("{mark}_team");
    let named = json!({"slug": team, "label": mark, "members": [mark]});
    owner.post("teams", named).await.expect(201);
    let share = format!("user:{mark}");
    let shares = format!("records/patients/{record}/shares");
    let with = json!({ "with": share });
    owner.post(&shares, with).await.expect(201);
    let member = format!("{mark}_user");
    let has = json!({"user_id": member, "roles": ["viewer"]});
    owner.post("members", has).await.expect(201);
    let key = owner.post("api-keys", json!({"name": mark})).await;
    let secret = format!("{mark}_secret");
    let kept =
        json!({"name": secret, "value": format!("{mark} value"), "hosts": ["api.example.com"]});
    owner.post("secrets", kept).await.expect(201);
    let hook = json!({"name": format!("{mark}_hook"), "url": "https://example.com/hook"});
    let hook = owner.post("webhooks", hook).await.expect(201);
    let suppression = format!("{mark}@suppressed.example");
    let suppressed = json!({"address": suppression, "note": mark});
    owner
        .post("mail/suppressions", suppressed)
        .await
        .expect(201);
    let feedback = owner.post("mail/feedback-address", json!({})).await;
    feedback.expect(201);
    let email = format!("{mark}@example.com");
    let user = json!({"email": email, "name": mark, "roles": ["viewer"]});
    let user = owner.post("users", user).await;
    let plugin = format!("{mark}-plugin").replace('_', "-");
    owner
        .install(&crm_tests::guests::own(&plugin), &[])
        .await
        .expect(201);
    BTreeMap::from([
        ("plugin", plugin),
        ("user", id(&user.expect(201))),
        ("api_key", id(&key.expect(201))),
        ("secret", secret),
        ("webhook", id(&hook)),
        ("suppression", suppression),
        ("role", role),
        ("team", team),
        ("share", share),
        ("member", member),
        ("module", module),
        ("field", format!("{mark}_field")),
        ("record", record),
        ("run", id(&run)),
        ("activity", id(&note.expect(201))),
        ("import", id(&import)),
        ("view", id(&view)),
        ("task", id(&task)),
        ("workflow", format!("{mark}_workflow")),
    ])
}

/// What the tenant had and has no more.
async fn delete_some(owner: &Client) -> BTreeMap<&'static str, String> {
    let mut gone = fill(owner, "gone").await;
    for name in ["import", "task", "workflow", "user"] {
        gone.remove(name);
    }
    for path in [
        format!("activities/{}", gone["activity"]),
        format!("views/{}", gone["view"]),
        format!("modules/patients/fields/{}", gone["field"]),
        format!("modules/{}", gone["module"]),
        format!("api-keys/{}", gone["api_key"]),
        format!("members/{}", gone["member"]),
        format!("roles/{}", gone["role"]),
        format!("teams/{}", gone["team"]),
        format!("plugins/{}", gone["plugin"]),
        format!("secrets/{}", gone["secret"]),
        format!("webhooks/{}", gone["webhook"]),
        format!("mail/suppressions/{}", gone["suppression"]),
    ] {
        let deleted = owner.delete(&path).await;
        assert!(deleted.status.is_success(), "{path}: {}", deleted.body);
    }
    let record = format!("records/patients/{}?purge=true", gone["record"]);
    assert!(owner.delete(&record).await.status.is_success());
    owner.tasks_end().await;
    gone
}

fn things(
    own: &BTreeMap<&'static str, String>,
    foreign: &BTreeMap<&'static str, String>,
    deleted: &BTreeMap<&'static str, String>,
) -> Things {
    let of_kind = |(kind, own): (&&'static str, &String)| {
        let named = [
            "module", "field", "workflow", "role", "member", "team", "share", "plugin", "secret",
        ]
        .contains(kind);
        let (malformed, missing) = match named {
            true if *kind == "share" => ("No%20Such", "user:nowhere".to_owned()),
            true => ("No%20Such", "nowhere".to_owned()),
            false => ("not-an-id", Uuid::now_v7().to_string()),
        };
        let ids = Ids {
            own: own.clone(),
            foreign: foreign[kind].clone(),
            deleted: deleted.get(kind).cloned(),
            malformed,
            missing,
        };
        (*kind, ids)
    };
    own.iter().map(of_kind).collect()
}

pub(crate) fn parameters(path: &str) -> Vec<&str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .collect()
}

/// Reads first, deletions last, and of those what stands in a record before the record.
pub(crate) fn in_order(document: &Value) -> Vec<(Method, String)> {
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            routes.push((method, path.clone()));
        }
    }
    let rank = |method: &Method| {
        ["GET", "POST", "PATCH", "PUT", "DELETE"]
            .iter()
            .position(|known| *known == method.as_str())
    };
    routes.sort_by_key(|(method, path)| {
        let takes_others_along = path.starts_with("/api/crm/records/");
        (
            rank(method),
            takes_others_along,
            std::cmp::Reverse(path.len()),
        )
    });
    routes
}

/// The path with `own` ids, but for one parameter.
fn filled(path: &str, things: &Things, other: Option<(&str, &str)>) -> String {
    let mut asked = path.to_owned();
    for parameter in parameters(path) {
        let own = match (parameter, kind(path, parameter).unwrap()) {
            // Where another thing is named too, it is one of this module.
            ("module", _) if parameters(path).len() > 1 => "patients",
            (_, kind) => &things[kind].own,
        };
        let value = match other {
            Some((name, value)) if name == parameter => value,
            _ => own,
        };
        asked = asked.replace(&format!("{{{parameter}}}"), value);
    }
    asked
}

/// Whether [`kind`], [`body`] and [`collection_body`] say how to ask it.
fn is_known(method: &Method, path: &str) -> bool {
    let mut parameters = parameters(path).into_iter().peekable();
    match parameters.peek() {
        None if *method == Method::GET => true,
        None => collection_body(method, path, "x").is_some(),
        Some(_) => {
            body(method, path).is_some() && parameters.all(|name| kind(path, name).is_some())
        }
    }
}

/// The file is written by hand: a route in it is one that somebody chose not to ask.
#[tokio::test]
async fn no_route_is_left_out() {
    let app = TestApp::on(cluster().database().await, None).await;
    let document = app.anonymous().get("/openapi.json").await.expect(200);
    let uncovered: Vec<String> = in_order(&document)
        .iter()
        .filter(|(method, path)| !is_known(method, path))
        .map(|(method, path)| format!("{method} {path}"))
        .filter(|route| !OF_NOBODY.contains(&route.as_str()))
        .collect();
    assert_eq!(
        uncovered.join("\n"),
        include_str!("uncovered_routes.txt").trim_end(),
        "routes that no role asks with ids of others: say in tests/e2e/authorisation.rs what their \
         parameters name (`kind`, and `fill` for one of each), which body is good (`body`, or \
         `collection_body` where the path names nothing), or that they are nobody's (`OF_NOBODY`)"
    );
}
