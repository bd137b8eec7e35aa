//! Every route, as `/openapi.json` lists them, with ids of the caller's own things, of another
//! tenant's, of deleted ones and of none: what is another tenant's is exactly as if it were not
//! there. A route that this test does not know how to ask fails it.

use crm_tests::app::TestApp;
use crm_tests::client::{Answer, Client};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Names nothing of a tenant's.
const OF_NOBODY: [&str; 9] = [
    "GET /auth/login",
    "GET /auth/callback",
    "GET /auth/session",
    "POST /auth/logout",
    "POST /auth/logout-everywhere",
    "GET /healthz",
    "GET /readyz",
    "GET /problems/{kind}",
    "GET /api/crm/templates/{slug}",
];
/// Writes whose paths name nothing. What the bodies of the last three name,
/// [`bodies_cannot_name_another_tenants_things`] asks for.
const COLLECTION_WRITES: &[&str] = &[
    "POST /api/crm/api-keys",
    "POST /api/crm/members",
    "POST /api/crm/roles",
    "POST /api/crm/teams",
    "POST /api/crm/users",
    "POST /api/crm/modules",
    "POST /api/crm/templates/select",
    "PATCH /api/crm/settings",
    "PATCH /api/crm/usage",
    "POST /api/crm/views",
    "POST /api/crm/workflows",
    "POST /api/crm/imports",
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
        ("members", "user") => "member",
        ("roles", "slug") => "role",
        ("teams", "slug") => "team",
        ("activities", "id") => "activity",
        ("imports", "id") => "import",
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

/// A body that is good; none where the test does not know one.
fn body(method: &Method, path: &str) -> Option<Option<Value>> {
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
            json!({"operations": [{"op": "create", "data": {"full_name": "Bulk"}}]})
        }
        "records/{module}/query" => json!({}),
        "records/{module}/{id}/activities" => json!({"kind": "note", "title": "hello"}),
        "records/{module}/{id}/owner" => json!({"owner_id": "somebody"}),
        "records/{module}/{id}/shares" => json!({"with": "user:somebody"}),
        "records/{module}/{id}/clone" | "records/{module}/{id}/restore" => json!({}),
        "workflows/{id}" => json!({"run_as": "itself"}),
        "tasks/{id}/cancel" => json!({}),
        "users/{id}" => json!({"roles": ["viewer"]}),
        "users/{id}/invitation" => json!({}),
        "views/{id}" => json!({"name": "Changed"}),
        _ => return None,
    };
    Some(Some(body))
}

/// The problem without the one thing in which two may differ.
fn comparable(answer: &Answer) -> (u16, Value) {
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
async fn fill(owner: &Client, mark: &str) -> BTreeMap<&'static str, String> {
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
        "trigger": {"on": "record_deleted"},
        "steps": [{"action": "field-set", "config": {"set": {"welcome_note": "'x'"}}}],
    });
    owner.post("workflows", workflow).await.expect(201);
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
    let email = format!("{mark}@example.com");
    let user = json!({"email": email, "name": mark, "roles": ["viewer"]});
    let user = owner.post("users", user).await;
    BTreeMap::from([
        ("user", id(&user.expect(201))),
        ("api_key", id(&key.expect(201))),
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
            "module", "field", "workflow", "role", "member", "team", "share",
        ]
        .contains(kind);
        let (malformed, missing) = match named {
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

fn parameters(path: &str) -> Vec<&str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .collect()
}

/// Reads first, deletions last, and of those what stands in a record before the record.
fn in_order(document: &Value) -> Vec<(Method, String)> {
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

#[tokio::test]
async fn another_tenants_things_are_as_if_they_were_not_there() {
    let app = TestApp::start().await;
    let (_, alice) = app.owner_of("hospital").await;
    let (_, mallory) = app.owner_of("hospital").await;
    let foreign = fill(&alice, "theirs").await;
    let own = fill(&mallory, "mine").await;
    let deleted = delete_some(&mallory).await;
    let things = things(&own, &foreign, &deleted);
    let document = mallory.get("/openapi.json").await.expect(200);
    let routes = in_order(&document);
    let before = everything(&alice, &routes, &foreign).await;

    let mut uncovered = Vec::new();
    for (method, path) in &routes {
        let route = format!("{method} {path}");
        if OF_NOBODY.contains(&route.as_str()) {
            continue;
        }
        let known = parameters(path)
            .iter()
            .all(|name| kind(path, name).is_some());
        match (parameters(path).is_empty(), body(method, path)) {
            (true, _) if *method == Method::GET => list(&mallory, path, &foreign).await,
            (true, _) if COLLECTION_WRITES.contains(&route.as_str()) => {}
            (false, Some(body)) if known => ask(&mallory, method, path, body, &things).await,
            _ => uncovered.push(route),
        }
    }
    assert_eq!(uncovered, [""; 0], "routes that nothing here asks");
    let after = everything(&alice, &routes, &foreign).await;
    assert_eq!(before, after, "the other tenant's things are as they were");
}

async fn ask(mallory: &Client, method: &Method, path: &str, body: Option<Value>, things: &Things) {
    let call = async |path: &str| {
        let body = body.as_ref().map(Value::to_string);
        mallory.call(method.clone(), path, &[], body).await
    };
    for parameter in parameters(path) {
        let ids = &things[kind(path, parameter).unwrap()];
        let with = |value| filled(path, things, Some((parameter, value)));
        let missing = call(&with(&ids.missing)).await;
        assert_eq!(missing.status, 404, "{method} {path}: {}", missing.body);
        let others = [
            ("foreign", Some(ids.foreign.as_str())),
            ("deleted", ids.deleted.as_deref()),
            ("malformed", Some(ids.malformed)),
        ];
        for (what, value) in others {
            let Some(value) = value else { continue };
            let answer = call(&with(value)).await;
            assert_eq!(
                comparable(&answer),
                comparable(&missing),
                "{method} {path}: a {what} {parameter} is a missing one"
            );
        }
    }
    if path.ends_with("/restore") {
        let record = format!("records/patients/{}", things["record"].own);
        assert!(mallory.delete(&record).await.status.is_success());
    }
    let own = call(&filled(path, things, None)).await;
    let status = own.status.as_u16();
    assert!(
        status < 500 && ![401, 403, 404, 405].contains(&status),
        "{method} {path}: one's own is there: {}",
        own.body
    );
}

async fn list(mallory: &Client, path: &str, foreign: &BTreeMap<&'static str, String>) {
    let parameters = LIST_PARAMETERS.iter().find(|(list, _)| *list == path);
    let parameters = parameters.map_or("", |(_, parameters)| parameters);
    let answer = mallory.get(&format!("{path}{parameters}")).await;
    let shown = answer.expect(200).to_string();
    for (kind, foreign) in foreign {
        assert!(!shown.contains(foreign), "{path} shows a foreign {kind}");
    }
    assert!(
        !shown.contains("theirs"),
        "{path} shows what is not the caller's"
    );
}

/// All that the reading routes say of these things.
async fn everything(
    owner: &Client,
    routes: &[(Method, String)],
    ids: &BTreeMap<&'static str, String>,
) -> Vec<Value> {
    let things = things(ids, ids, &BTreeMap::new());
    let mut said = Vec::new();
    for (method, path) in routes {
        let known = parameters(path)
            .iter()
            .all(|name| kind(path, name).is_some());
        if *method != Method::GET || parameters(path).is_empty() || !known {
            continue;
        }
        let answer = owner.get(&filled(path, &things, None)).await;
        said.push(json!([path, answer.body]));
    }
    said
}

#[tokio::test]
async fn bodies_cannot_name_another_tenants_things() {
    let app = TestApp::start().await;
    let (_, alice) = app.owner_of("hospital").await;
    let (_, mallory) = app.owner_of("hospital").await;
    let theirs = fill(&alice, "theirs").await;
    let doctor = json!({"full_name": "D", "specialty": "neurology"});
    let doctor = mallory.create("doctors", doctor).await;
    let same = |foreign: &Answer, missing: &Answer, ids: (&str, &str)| {
        let (status, body) = comparable(foreign);
        let body = body.to_string().replace(ids.0, ids.1);
        let (expected, missing) = comparable(missing);
        assert_eq!((status, body), (expected, missing.to_string()));
        assert!(status >= 400 || ids.0.is_empty(), "{missing}");
    };

    let module = theirs["module"].as_str();
    let view = |module: &str| json!({"name": "V", "module": module});
    let (foreign, missing) = (view(module), view("nowhere"));
    let foreign = mallory.post("views", foreign).await;
    let missing = mallory.post("views", missing).await;
    same(&foreign, &missing, (module, "nowhere"));
    let workflow = |module: &str| {
        json!({"slug": "w", "name": "W", "module": module,
            "trigger": {"on": "record_created"},
            "steps": [{"action": "field-set", "config": {"set": {"full_name": "'x'"}}}]})
    };
    let foreign = mallory.post("workflows", workflow(module)).await;
    let missing = mallory.post("workflows", workflow("nowhere")).await;
    same(&foreign, &missing, (module, "nowhere"));
    let foreign = mallory.upload(module, "full_name\nA\n").await;
    let missing = mallory.upload("nowhere", "full_name\nA\n").await;
    same(&foreign, &missing, (module, "nowhere"));

    let nobody = Uuid::now_v7().to_string();
    let record = theirs["record"].as_str();
    let appointment = |patient: &str| {
        json!({"data": {"patient": patient, "doctor": doctor,
            "scheduled_at": "2026-01-01T10:00:00Z"}})
    };
    let path = "records/appointments";
    let foreign = mallory.post(path, appointment(record)).await;
    let missing = mallory.post(path, appointment(&nobody)).await;
    same(&foreign, &missing, (record, &nobody));
    let bulk = |id: &str| {
        json!({"atomic": true, "operations": [{"op": "update", "id": id,
            "data": {"full_name": "x"}}]})
    };
    let path = "records/patients/bulk";
    let foreign = mallory.post(path, bulk(record)).await;
    let missing = mallory.post(path, bulk(&nobody)).await;
    same(&foreign, &missing, (record, &nobody));
    let record = alice.get(&format!("records/patients/{record}")).await;
    assert_eq!(record.expect(200)["data"]["full_name"], "theirs marked");
}
