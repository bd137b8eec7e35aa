//! Every role asks every route. Whatever a role may, of another tenant's things it learns as much
//! as of things that there never were, and changes none. What each is answered about its own
//! tenant's things is `route_matrix.txt`, so that nobody gains or loses a right unseen.

use super::{
    LIST_PARAMETERS, OF_NOBODY, Things, body, collection_body, comparable, delete_some, fill,
    filled, in_order, is_known, kind, parameters, things,
};
use crm_tests::app::TestApp;
use crm_tests::client::{Answer, Client};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a super admin alone does, from outside the tenant.
const OF_OPERATORS: [(&Method, &str); 2] = [
    (&Method::PATCH, "/api/crm/usage"),
    (&Method::PUT, "/api/crm/limits"),
];

/// May do everything to patients, and only to their own.
const OWN: &str = "own";
/// Those of the template, and one with rules for records; the mightiest last, whose deletions
/// nobody has to live with.
const ROLES: [&str; 6] = ["viewer", "agent", "manager", OWN, "admin", "owner"];
/// Those who may delete patients, and so see the trash.
const DELETE: [&str; 2] = [OWN, "owner"];
/// Kinds of things of which rules for records let some people see only some.
const OUT_OF_REACH: [&str; 3] = ["record", "activity", "run"];

type Routes = [(Method, String)];
type Names = BTreeMap<&'static str, String>;

/// Somebody with a role, and what they ask for.
struct Asker<'a> {
    role: &'static str,
    client: Client,
    owner: &'a Client,
    things: Things,
    /// Other people's things of the same tenant.
    hidden: &'a Names,
    /// A record that may be restored by those who may delete it.
    trashed: &'a str,
}

#[tokio::test]
async fn no_role_sees_another_tenants_things() {
    let app = TestApp::start().await;
    let (_, alice) = app.owner_of("hospital").await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let actions = [
        "create", "read", "update", "delete", "purge", "export", "import", "manage",
    ];
    let own = json!({"slug": OWN, "label": "Own", "permissions": {"patients": actions},
        "records": {"patients": {"read": ["own"]}}});
    owner.post("roles", own).await.expect(201);
    let (foreign, hidden) = (fill(&alice, "theirs").await, fill(&owner, "hidden").await);
    let deleted = delete_some(&owner).await;
    let trashed = owner
        .create("patients", json!({"full_name": "Trashed"}))
        .await;
    owner.delete(&format!("records/patients/{trashed}")).await;
    let document = owner.get("/openapi.json").await.expect(200);
    let routes = in_order(&document);
    let before = everything(&alice, &routes, &foreign).await;

    let mut matrix: BTreeMap<String, BTreeMap<&str, String>> = BTreeMap::new();
    for role in ROLES {
        let own = fill(&owner, &format!("mine_{role}")).await;
        let handed = json!({"owner_id": format!("{role}-1")});
        let path = format!("records/patients/{}/owner", own["record"]);
        owner.put(&path, handed).await.expect(200);
        let asker = Asker {
            role,
            client: app.client(tenant, role),
            owner: &owner,
            things: things(&own, &foreign, &deleted),
            hidden: &hidden,
            trashed: &trashed,
        };
        for (method, path) in &routes {
            let route = format!("{method} {path}");
            // What nobody knows how to ask, `no_route_is_left_out` names.
            if OF_NOBODY.contains(&route.as_str()) || !is_known(method, path) {
                continue;
            }
            let answer = asker.ask(method, path, &foreign).await;
            matrix
                .entry(route)
                .or_default()
                .insert(role, class(&answer));
        }
    }
    let after = everything(&alice, &routes, &foreign).await;
    assert_eq!(before, after, "the other tenant's things are as they were");
    check_matrix(&matrix);
}

fn class(answer: &Answer) -> String {
    match answer.status.is_success() {
        true => "2xx".to_owned(),
        false => answer.status.as_u16().to_string(),
    }
}

fn check_matrix(matrix: &BTreeMap<String, BTreeMap<&str, String>>) {
    let mut lines = vec![format!(
        "{:60} {}",
        "",
        ROLES.map(|role| format!("{role:8}")).concat()
    )];
    for (route, answers) in matrix {
        let answers = ROLES.map(|role| format!("{:8}", answers[role]));
        lines.push(format!("{route:60} {}", answers.concat()));
    }
    let shown: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/route_matrix.txt");
    if std::env::var_os("CRM_WRITE_DOCS").is_some() {
        std::fs::write(file, shown.join("\n") + "\n").unwrap();
    }
    let expected = std::fs::read_to_string(file).unwrap();
    let expected: Vec<&str> = expected.lines().collect();
    let news: Vec<&&str> = shown
        .iter()
        .filter(|line| !expected.contains(line))
        .collect();
    assert!(
        shown == expected,
        "who is answered what has changed; new: {news:#?}. If that is meant, write \
         tests/e2e/route_matrix.txt anew: CRM_WRITE_DOCS=1 cargo test -p crm-tests no_role_sees"
    );
}

impl Asker<'_> {
    /// The answer about the own tenant's thing, after what is asked about others'.
    async fn ask(&self, method: &Method, path: &str, foreign: &Names) -> Answer {
        match (parameters(path).is_empty(), method) {
            (true, &Method::GET) => self.list(path, foreign).await,
            (true, _) => self.collection(method, path).await,
            (false, _) => {
                self.others(method, path).await;
                self.own(method, path).await
            }
        }
    }

    async fn call(&self, method: &Method, path: &str, asked: &str) -> Answer {
        let body = body(method, path).unwrap().map(|body| self.mine(&body));
        self.client.call(method.clone(), asked, &[], body).await
    }

    /// What is added gets the asker's mark, and what is given away is given to them.
    fn mine(&self, body: &Value) -> String {
        let added = format!("added_{}", self.role);
        let body = body
            .to_string()
            .replace("\"added\"", &format!("\"{added}\""));
        body.replace("somebody", &format!("{}-1", self.role))
    }

    /// Foreign, deleted and malformed ids are answered as those of nothing.
    async fn others(&self, method: &Method, path: &str) {
        for parameter in parameters(path) {
            let kind = kind(path, parameter).unwrap();
            let ids = &self.things[kind];
            let with = |value| filled(path, &self.things, Some((parameter, value)));
            let missing = self.call(method, path, &with(&ids.missing)).await;
            let what = format!("{}: {method} {path}", self.role);
            let status = missing.status.as_u16();
            assert!(
                status == 404 || (status == 403 && self.role != "owner"),
                "{what}: a missing {parameter}: {}",
                missing.body
            );
            let hidden = (self.role == OWN && OUT_OF_REACH.contains(&kind))
                .then(|| self.hidden[kind].as_str());
            let trashed =
                (kind == "record" && !DELETE.contains(&self.role)).then_some(self.trashed);
            let others = [
                ("foreign", Some(ids.foreign.as_str())),
                ("deleted", ids.deleted.as_deref()),
                ("trashed", trashed),
                ("hidden", hidden),
                ("malformed", Some(ids.malformed)),
            ];
            for (whose, value) in others {
                let Some(value) = value else { continue };
                let answer = self.call(method, path, &with(value)).await;
                // What cannot be an id may be refused before anybody asks who wants to know.
                if whose == "malformed" && status == 403 && answer.status == 404 {
                    continue;
                }
                assert_eq!(
                    comparable(&answer),
                    comparable(&missing),
                    "{what}: a {whose} {parameter} is a missing one"
                );
            }
        }
    }

    async fn own(&self, method: &Method, path: &str) -> Answer {
        // A module of one's own is for deleting: few see it, and all see this one.
        let everybodys = (*method != Method::DELETE).then_some(("module", "patients"));
        let asked = filled(path, &self.things, everybodys);
        let record = format!("records/patients/{}", self.things["record"].own);
        let restores = path.ends_with("/restore");
        if restores {
            assert!(self.owner.delete(&record).await.status.is_success());
        }
        let answer = self.call(method, path, &asked).await;
        if restores && !answer.status.is_success() {
            let restore = format!("{record}/restore");
            self.owner.post(&restore, json!({})).await.expect(200);
        }
        self.there(method, path, answer)
    }

    async fn collection(&self, method: &Method, path: &str) -> Answer {
        let body = collection_body(method, path, &format!("mine_{}", self.role)).unwrap();
        let answer = match body.as_str() {
            Some(plugin) if path.ends_with("/plugins") => {
                let component = crm_tests::guests::own(plugin);
                self.client.install(&component, &[]).await
            }
            Some(file) => self.client.upload("patients", file).await,
            None => {
                let body = Some(body.to_string());
                self.client.call(method.clone(), path, &[], body).await
            }
        };
        self.there(method, path, answer)
    }

    async fn list(&self, path: &str, foreign: &Names) -> Answer {
        let parameters = LIST_PARAMETERS.iter().find(|(list, _)| *list == path);
        let parameters = parameters.map_or("", |(_, parameters)| parameters);
        let answer = self.client.get(&format!("{path}{parameters}")).await;
        let shown = answer.body.to_string();
        let whole = answer.headers.iter();
        let headers: String = whole.map(|(_, value)| format!("{value:?}")).collect();
        for (kind, foreign) in foreign {
            let shows = shown.contains(foreign) || headers.contains(foreign);
            assert!(!shows, "{}: {path} shows a foreign {kind}", self.role);
        }
        assert!(!shown.contains("theirs"), "{}: {path}: {shown}", self.role);
        self.there(&Method::GET, path, answer)
    }

    /// Nobody gets an error of the server's, and owners may do all that is a tenant's to do.
    fn there(&self, method: &Method, path: &str, answer: Answer) -> Answer {
        let status = answer.status.as_u16();
        let is_owners = self.role == "owner" && !OF_OPERATORS.contains(&(method, path));
        let may = !is_owners || ![403, 404].contains(&status);
        assert!(
            status < 500 && ![401, 405, 415].contains(&status) && may,
            "{}: {method} {path}: one's own is there: {}",
            self.role,
            answer.body
        );
        answer
    }
}

/// All that the reading routes say of these things.
async fn everything(owner: &Client, routes: &Routes, ids: &Names) -> Vec<Value> {
    let things = things(ids, ids, &BTreeMap::new());
    let mut said = Vec::new();
    for (method, path) in routes {
        let names_something = !parameters(path).is_empty() && is_known(method, path);
        if *method != Method::GET || !names_something {
            continue;
        }
        let answer = owner.get(&filled(path, &things, None)).await;
        said.push(json!([path, answer.body]));
    }
    said
}
