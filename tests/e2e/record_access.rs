//! Which records a role reaches: own, of the team, by a rule, and what was shared. Lists, counts,
//! aggregates, search and every other way to a record agree with reading it alone.

use crm_model::query::{Query, QueryInput, Scope};
use crm_model::{Actor, TenantId};
use crm_store::{Store, StoreSettings, TenantTx};
use crm_tests::app::TestApp;
use crm_tests::client::{Answer, Client};
use crm_tests::cluster::cluster;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

/// A tenant with deals, of which agents see some.
struct Office {
    app: TestApp,
    tenant: TenantId,
    owner: Client,
}

impl Office {
    /// Agents reach what these rules let them.
    async fn new(rules: Value) -> Self {
        let app = TestApp::on(cluster().database().await, None).await;
        let (tenant, owner) = app.owner_of("hospital").await;
        let firms = json!([{"key": "name", "label": "Name", "type": "text", "required": true}]);
        owner.module("firms", firms).await;
        let deals = json!([
            {"key": "name", "label": "Name", "type": "text", "searchable": true, "unique": true},
            {"key": "region", "label": "Region", "type": "text", "indexed": true},
            {"key": "amount", "label": "Amount", "type": "integer", "indexed": true},
            {"key": "firm", "label": "Firm", "type": "relation", "module": "firms"},
            {"key": "parent", "label": "Parent", "type": "relation", "module": "deals"},
        ]);
        owner.module("deals", deals).await;
        let children = json!({"key": "children", "label": "Children", "type": "relation",
            "module": "deals", "inverse_of": "parent"});
        owner
            .post("modules/deals/fields", children)
            .await
            .expect(201);
        owner.tasks_end().await;
        let role = json!({"slug": "rep", "label": "Rep",
            "permissions": {
                "deals": ["create", "read", "update", "delete", "purge", "export", "manage"],
                "firms": ["create", "read"],
            },
            "records": {"deals": rules}});
        owner.post("roles", role).await.expect(201);
        Self { app, tenant, owner }
    }

    fn person(&self, user: &str, roles: &[&str]) -> Client {
        let roles = roles.iter().map(|role| role.parse().unwrap()).collect();
        let actor = Actor::person(user.parse().unwrap(), roles);
        let token = self
            .app
            .issuer
            .sign(self.tenant, &actor, Duration::from_secs(600));
        Client::new(&self.app.base, Some(token.unwrap()))
    }

    fn rep(&self, user: &str) -> Client {
        self.person(user, &["rep"])
    }

    async fn team(&self, slug: &str, members: &[&str]) {
        let team = json!({"slug": slug, "label": slug, "members": members});
        self.owner.post("teams", team).await.expect(201);
    }

    async fn attributes(&self, user: &str, attributes: Value) {
        let member = json!({"user_id": user, "attributes": attributes});
        self.owner.post("members", member).await.expect(201);
    }
}

async fn names(client: &Client, query: &str) -> BTreeSet<String> {
    let list = client.get(&format!("records/deals{query}")).await;
    let list = list.expect(200);
    let names = list["data"].as_array().unwrap().iter();
    names
        .map(|deal| deal["data"]["name"].as_str().unwrap().to_owned())
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn without_request(answer: &Answer) -> (u16, Value) {
    let mut body = answer.body.clone();
    if let Some(members) = body.as_object_mut() {
        members.remove("request_id");
    }
    (answer.status.as_u16(), body)
}

/// Every way to one record answers as if it were not there.
#[tokio::test]
async fn a_record_out_of_reach_is_a_missing_one_whichever_way() {
    let office = Office::new(json!({"read": ["own"]})).await;
    let (ann, bob) = (office.rep("ann"), office.rep("bob"));
    let theirs = ann.create("deals", json!({"name": "secret plan"})).await;
    let note = json!({"kind": "note", "title": "psst"});
    let activities = format!("records/deals/{theirs}/activities");
    let note = ann.post(&activities, note);
    let note = note.await.expect(201)["id"].as_str().unwrap().to_owned();
    let missing = Uuid::now_v7().to_string();
    let data = json!({"data": {"amount": 5}});
    let broken = json!({"data": {"amount": "many"}});
    for (method, path, body) in [
        ("GET", "records/deals/{id}", None),
        ("GET", "records/deals/{id}/history", None),
        ("GET", "records/deals/{id}/timeline", None),
        ("GET", "records/deals/{id}/stages", None),
        ("GET", "records/deals/{id}/activities", None),
        ("GET", "records/deals/{id}/shares", None),
        ("PATCH", "records/deals/{id}", Some(data.clone())),
        ("PATCH", "records/deals/{id}", Some(broken)),
        ("PUT", "records/deals/{id}", Some(data.clone())),
        ("DELETE", "records/deals/{id}", None),
        ("DELETE", "records/deals/{id}?purge=true", None),
        ("POST", "records/deals/{id}/restore", Some(json!({}))),
        ("POST", "records/deals/{id}/clone", Some(json!({}))),
        (
            "POST",
            "records/deals/{id}/shares",
            Some(json!({"with": "user:bob"})),
        ),
        ("DELETE", "records/deals/{id}/shares/user:bob", None),
        (
            "POST",
            "records/deals/{id}/activities",
            Some(json!({"kind": "note", "title": "x"})),
        ),
    ] {
        let ask = async |id: &str| {
            let body = body.as_ref().map(Value::to_string);
            let path = path.replace("{id}", id);
            bob.call(method.parse().unwrap(), &path, &[], body).await
        };
        let (hidden, unknown) = (ask(&theirs).await, ask(&missing).await);
        assert_eq!(hidden.status, 404, "{method} {path}: {}", hidden.body);
        assert_eq!(
            without_request(&hidden),
            without_request(&unknown),
            "{path}"
        );
        let stale = bob
            .patch_if(&format!("records/deals/{theirs}"), "\"9\"", data.clone())
            .await;
        assert_eq!(stale.status, 404);
    }
    for path in [format!("activities/{note}")] {
        assert_eq!(bob.get(&path).await.status, 404, "{path}");
        let patch = json!({"title": "x"});
        assert_eq!(bob.patch(&path, patch).await.status, 404, "{path}");
        assert_eq!(bob.delete(&path).await.status, 404, "{path}");
        assert_eq!(ann.get(&path).await.status, 200, "{path}");
    }
    for path in [
        "records/deals?include=total",
        "records/deals?deleted=only",
        "records/deals/export?format=csv",
        "search?q=secret",
        "activities",
        "timeline?user=ann",
        "runs",
    ] {
        let answer = bob.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let text = answer.body.to_string();
        assert!(
            !text.contains("secret") && !text.contains("psst"),
            "{path}: {text}"
        );
        assert!(!text.contains(&theirs), "{path}: {text}");
    }
    let bulk = json!({"atomic": false, "operations": [
        {"op": "update", "id": theirs, "data": {"amount": 1}},
        {"op": "delete", "id": theirs},
        {"op": "upsert", "match": {"field": "name", "value": "secret plan"}, "data": {"amount": 1}},
        {"op": "create", "data": {"name": "mine"}},
    ]});
    let results = bob.post("records/deals/bulk", bulk).await.body["results"].clone();
    let statuses: Vec<u64> = results
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [404, 404, 404, 201], "{results}");
    let deal = ann
        .get(&format!("records/deals/{theirs}"))
        .await
        .expect(200);
    assert_eq!(deal["version"], 1, "nothing of it changed");
    // And in the trash, too.
    ann.delete(&format!("records/deals/{theirs}")).await;
    let restored = bob
        .post(&format!("records/deals/{theirs}/restore"), json!({}))
        .await;
    assert_eq!(restored.status, 404);
    assert_eq!(names(&bob, "?deleted=only").await, set(&[]));
    assert_eq!(names(&ann, "?deleted=only").await, set(&["secret plan"]));
}

#[tokio::test]
async fn relations_lead_to_nothing_that_is_out_of_reach() {
    let office = Office::new(json!({"read": ["own"]})).await;
    let (ann, bob) = (office.rep("ann"), office.rep("bob"));
    let theirs = json!({"name": "theirs", "region": "west", "amount": 7});
    let theirs = ann.create("deals", theirs).await;
    let mine = bob.create("deals", json!({"name": "mine"})).await;
    let point = json!({"data": {"parent": theirs}});
    let refused = bob
        .patch(&format!("records/deals/{mine}"), point.clone())
        .await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    let nowhere = json!({"data": {"parent": Uuid::now_v7()}});
    let unknown = bob.patch(&format!("records/deals/{mine}"), nowhere).await;
    assert_eq!(without_request(&refused), without_request(&unknown));
    // Somebody who sees both ties them.
    office
        .owner
        .patch(&format!("records/deals/{mine}"), point)
        .await
        .expect(200);
    let child = json!({"name": "child", "parent": mine});
    ann.create("deals", json!({"name": "other"})).await;
    office.owner.create("deals", child).await;
    let deal = bob
        .get("records/deals?expand=parent,children")
        .await
        .expect(200);
    assert_eq!(deal["data"].as_array().unwrap().len(), 1);
    assert!(!deal.to_string().contains("theirs"), "{deal}");
    assert!(!deal.to_string().contains("child\""), "{deal}");
    for filter in [
        json!({"field": "parent.region", "op": "eq", "value": "west"}),
        json!({"field": "parent.name", "op": "is_not_empty"}),
        json!({"field": "children", "op": "any", "where": {"field": "name", "op": "eq", "value": "child"}}),
        json!({"field": "children", "op": "is_not_empty"}),
    ] {
        let ask = json!({"filter": filter, "include": "total"});
        let found = bob
            .post("records/deals/query", ask.clone())
            .await
            .expect(200);
        assert_eq!(found["total"]["value"], 0, "{filter}: {found}");
        let all = office
            .owner
            .post("records/deals/query", ask)
            .await
            .expect(200);
        assert_ne!(all["total"]["value"], 0, "{filter}: {all}");
    }
    let groups = json!({"group_by": ["parent.region"], "metrics": [{"op": "count", "as": "n"}]});
    let groups = bob
        .post("records/deals/aggregate", groups)
        .await
        .expect(200);
    assert_eq!(
        groups["data"],
        json!([{"group": {"parent.region": null}, "n": 1}])
    );
}

#[tokio::test]
async fn shares_open_one_record_as_far_as_they_say() {
    let office = Office::new(json!({"read": ["own"]})).await;
    office.team("west", &["bob", "eve"]).await;
    let (ann, bob, eve) = (office.rep("ann"), office.rep("bob"), office.rep("eve"));
    let deal = ann
        .create("deals", json!({"name": "shared", "amount": 1}))
        .await;
    ann.create("deals", json!({"name": "private"})).await;
    let path = format!("records/deals/{deal}");
    let shares = format!("{path}/shares");
    let to_bob = json!({"with": "user:bob", "access": "update"});
    ann.post(&shares, to_bob).await.expect(201);
    ann.post(&shares, json!({"with": "team:west"}))
        .await
        .expect(201);
    for person in [&bob, &eve] {
        assert_eq!(names(person, "").await, set(&["shared"]));
        person.get(&path).await.expect(200);
    }
    let patch = json!({"data": {"amount": 2}});
    bob.patch(&path, patch.clone()).await.expect(200);
    let refused = eve.patch(&path, patch).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert!(
        refused.body["detail"]
            .as_str()
            .unwrap()
            .contains("this record")
    );
    assert_eq!(
        eve.post(&shares, json!({"with": "user:zoe"})).await.status,
        403
    );
    assert_eq!(
        bob.delete(&path).await.status,
        403,
        "a share lets nobody delete"
    );
    let listed = eve.get(&shares).await.expect(200)["data"].clone();
    assert_eq!(listed[0]["with"], "team:west");
    assert_eq!(listed[0]["access"], "read");
    assert_eq!(listed[1]["with"], "user:bob");
    // It opens no more than the person's roles do.
    let viewer = office.person("zoe", &["viewer"]);
    ann.post(&shares, json!({"with": "user:zoe", "access": "update"}))
        .await
        .expect(201);
    let may = viewer.patch(&path, json!({"data": {"amount": 3}})).await;
    assert!(matches!(may.status.as_u16(), 403 | 404), "{}", may.body);
    for wrong in ["bob", "user:", "team:No Such", "role:rep"] {
        let answer = ann.post(&shares, json!({"with": wrong})).await;
        assert_eq!(answer.status, 422, "{wrong}: {}", answer.body);
    }
    let unknown = ann.post(&shares, json!({"with": "team:east"})).await;
    assert_eq!(unknown.violations()[0].0, "/with");
    // A team that goes takes along what was shared with it, also if another comes by its name.
    office.owner.delete("teams/west").await;
    office.team("west", &["eve"]).await;
    assert_eq!(names(&eve, "").await, set(&[]));
    ann.delete(&format!("{shares}/user:bob")).await;
    assert_eq!(bob.get(&path).await.status, 404);
    assert_eq!(ann.delete(&format!("{shares}/user:bob")).await.status, 404);
    let told = office
        .owner
        .get("audit?action=record.shared")
        .await
        .expect(200);
    assert_eq!(told["data"].as_array().unwrap().len(), 3);
    // Shares go with their record.
    ann.delete(&format!("{path}?purge=true")).await;
    assert_eq!(names(&viewer, "?name=eq.shared").await, set(&[]));
}

#[tokio::test]
async fn teams_and_attributes_count_from_the_next_request() {
    let rules = json!({"read": ["team", "record.region in user.regions"], "delete": ["own"]});
    let office = Office::new(rules).await;
    let (ann, bob) = (office.rep("ann"), office.rep("bob"));
    let deal = ann
        .create("deals", json!({"name": "ann's", "region": "west"}))
        .await;
    let path = format!("records/deals/{deal}");
    assert_eq!(names(&bob, "").await, set(&[]));
    office.team("sales", &["ann", "bob"]).await;
    assert_eq!(names(&bob, "").await, set(&["ann's"]));
    bob.patch(&path, json!({"data": {"amount": 1}}))
        .await
        .expect(200);
    assert_eq!(bob.delete(&path).await.status, 403);
    office
        .owner
        .patch("teams/sales", json!({"members": ["ann"]}))
        .await
        .expect(200);
    assert_eq!(bob.get(&path).await.status, 404);
    office
        .attributes("bob", json!({"regions": ["east", "west"]}))
        .await;
    assert_eq!(names(&bob, "").await, set(&["ann's"]));
    // Of a new record the rules have to hold as well: it is his own, but not of his regions.
    let outside = bob
        .post(
            "records/deals",
            json!({"data": {"name": "b", "region": "south"}}),
        )
        .await;
    assert_eq!(
        outside.status, 201,
        "his own, so it is of his team: {}",
        outside.body
    );
    office.attributes("bob", json!({"regions": "west"})).await;
    assert_eq!(
        names(&bob, "").await,
        set(&["b"]),
        "an attribute that does not fit opens nothing"
    );
}

#[tokio::test]
async fn new_records_satisfy_the_rules_for_new_ones() {
    let rules = json!({"read": ["all"], "create": ["record.region in user.regions"]});
    let office = Office::new(rules).await;
    office.attributes("ann", json!({"regions": ["west"]})).await;
    let ann = office.rep("ann");
    let deal = |name: &str, region: &str| json!({"data": {"name": name, "region": region}});
    ann.post("records/deals", deal("one", "west"))
        .await
        .expect(201);
    let refused = ann.post("records/deals", deal("two", "east")).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    let bulk = |atomic: bool| {
        json!({"atomic": atomic, "operations": [
            {"op": "create", "data": {"name": "three", "region": "west"}},
            {"op": "create", "data": {"name": "four", "region": "east"}},
            {"op": "create", "data": {"name": "five"}},
        ]})
    };
    let statuses = async |atomic| {
        let answer = ann.post("records/deals/bulk", bulk(atomic)).await;
        let results = answer.body["results"].as_array().unwrap().clone();
        let statuses = results
            .iter()
            .map(|result| result["status"].as_u64().unwrap());
        statuses.collect::<Vec<_>>()
    };
    assert_eq!(statuses(true).await[1..], [403, 403]);
    assert_eq!(names(&ann, "").await, set(&["one"]), "all or nothing");
    assert_eq!(statuses(false).await, [201, 403, 403]);
    assert_eq!(names(&ann, "").await, set(&["one", "three"]));
    office
        .rep("zoe")
        .post("records/deals", deal("z", "west"))
        .await
        .expect(403);
}

#[tokio::test]
async fn records_change_hands() {
    let office = Office::new(json!({"read": ["own"]})).await;
    let (ann, bob) = (office.rep("ann"), office.rep("bob"));
    let deal = ann.create("deals", json!({"name": "x"})).await;
    let path = format!("records/deals/{deal}");
    let owner = format!("{path}/owner");
    let to = |user: &str| json!({ "owner_id": user });
    assert_eq!(
        bob.put(&owner, to("bob")).await.status,
        404,
        "not his to take"
    );
    let given = ann.put(&owner, to("bob")).await.expect(200);
    assert_eq!(given["owner_id"], "bob");
    assert_eq!(given["version"], 2);
    assert_eq!(given["created_by"], "ann");
    assert_eq!(ann.get(&path).await.status, 404);
    let deal = bob.get(&path).await.expect(200);
    assert_eq!(deal["owner_id"], "bob");
    assert_eq!(deal["updated_by"], "ann");
    // The same again changes nothing.
    let same = bob.put(&owner, to("bob")).await.expect(200);
    assert_eq!(same["version"], 2);
    let history = bob.get(&format!("{path}/history")).await.expect(200);
    assert_eq!(history["data"][0]["new_owner_id"], "bob");
    assert_eq!(history["data"][0]["changes"], json!({}));
    let timeline = bob.get(&format!("{path}/timeline")).await.expect(200);
    assert_eq!(timeline["data"][0]["title"], "Assigned to bob");
    assert_eq!(names(&bob, "?owner_id=eq.bob").await, set(&["x"]));
    for wrong in [json!({}), json!({"owner_id": ""}), json!({"owner_id": 1})] {
        let answer = bob.put(&owner, wrong.clone()).await;
        assert!(
            matches!(answer.status.as_u16(), 400 | 422),
            "{wrong}: {}",
            answer.body
        );
    }
    let stale = [("if-match", "\"1\"")];
    let body = Some(to("ann").to_string());
    let stale = bob.call(reqwest::Method::PUT, &owner, &stale, body).await;
    assert_eq!(stale.status, 412, "{}", stale.body);
    let viewer = office.person("zoe", &["viewer"]);
    let refused = viewer.put(&owner, to("zoe")).await;
    assert!(
        matches!(refused.status.as_u16(), 403 | 404),
        "{}",
        refused.body
    );
}

/// For every person and every rule: the list, its count, the aggregate, the export and reading
/// each record alone say the same, and no more can be changed than is seen.
#[tokio::test]
async fn every_way_of_asking_agrees() {
    let rules: &[(&str, Value)] = &[
        ("own", json!(["own"])),
        ("team", json!(["team"])),
        ("west", json!(["record.region == 'west'"])),
        ("regions", json!(["record.region in user.regions"])),
        ("not-mine", json!(["not (record.region in user.regions)"])),
        (
            "big-or-own",
            json!(["own", "record.amount >= user.from and record.amount < 8"]),
        ),
        ("by-parent", json!(["record.parent.region in user.regions"])),
        ("by-firm", json!(["record.firm.name == user.firm"])),
        ("empty", json!(["record.region == null"])),
    ];
    let office = Office::new(json!({"read": ["own"]})).await;
    office.team("a", &["ann", "bob"]).await;
    office.team("b", &["bob", "eve"]).await;
    let bob = json!({"regions": ["west", "north"], "from": 4, "firm": "Acme"});
    office.attributes("bob", bob).await;
    office
        .attributes("eve", json!({"regions": ["east"], "firm": "None"}))
        .await;
    let acme = office.owner.create("firms", json!({"name": "Acme"})).await;
    let mut ids = Vec::new();
    for number in 0..36_usize {
        let owner = office.person(["ann", "bob", "eve"][number % 3], &["owner"]);
        let region =
            [json!("west"), json!("east"), json!("north"), Value::Null][number % 4].clone();
        let mut deal = json!({"name": format!("deal {number}"), "amount": number % 10});
        deal["region"] = region;
        if number % 5 == 0 {
            deal["firm"] = json!(acme);
        }
        if let Some(parent) = ids.get(number / 2).filter(|_| number % 2 == 1) {
            deal["parent"] = json!(parent);
        }
        ids.push(owner.create("deals", deal).await);
    }
    let share = json!({"with": "team:b"});
    let shares = format!("records/deals/{}/shares", ids[0]);
    office.owner.post(&shares, share).await.expect(201);
    let mut seen = BTreeSet::new();
    for (slug, rule) in rules {
        let role = json!({"slug": slug, "label": slug,
            "permissions": {"deals": ["read", "update", "export"], "firms": ["read"]},
            "records": {"deals": {"read": rule}}});
        office.owner.post("roles", role).await.expect(201);
        for user in ["ann", "bob", "eve"] {
            let person = office.person(user, &[slug]);
            let reached = agreed(&person, &ids).await;
            seen.insert(reached.len());
            assert!(
                slug != &"own"
                    || reached.len()
                        == if user == "ann" {
                            12
                        } else {
                            13 - usize::from(user == "ann")
                        },
                "{user}: {reached:?}"
            );
        }
    }
    assert!(seen.len() > 5, "the rules differ: {seen:?}");
    let both = office.person("ann", &["own", "west"]);
    let either = agreed(&both, &ids).await;
    assert_eq!(either.len(), 12 + 9 - 3, "roles add up");
}

/// The records that somebody sees, by every way of asking.
async fn agreed(person: &Client, ids: &[String]) -> BTreeSet<String> {
    let mut alone = BTreeSet::new();
    for id in ids {
        let status = person.get(&format!("records/deals/{id}")).await.status;
        let same = json!({"data": {}});
        let written = person
            .patch(&format!("records/deals/{id}"), same)
            .await
            .status;
        match status.as_u16() {
            200 => {
                alone.insert(id.clone());
                assert!(matches!(written.as_u16(), 200 | 403), "{id}: {written}");
            }
            _ => assert_eq!(written, 404, "{id}"),
        }
    }
    for query in [
        "?limit=200&include=total",
        "?limit=200&include=total&sort=-amount",
        "?limit=200&include=total&sort=created_at",
        "?limit=200&include=total&q=deal",
    ] {
        let list = person
            .get(&format!("records/deals{query}"))
            .await
            .expect(200);
        assert_eq!(ids_of(&list), alone, "{query}");
        assert_eq!(list["total"]["value"], alone.len(), "{query}");
    }
    let mut paged = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = person
            .get(&format!("records/deals?limit=4{cursor}"))
            .await
            .expect(200);
        let found = ids_of(&page);
        assert!(paged.is_disjoint(&found), "no record twice");
        paged.extend(found);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, alone, "page by page");
    let narrow = json!({"filter": {"field": "region", "op": "eq", "value": "west"},
        "include": "total", "limit": 200});
    let narrow = person.post("records/deals/query", narrow).await.expect(200);
    assert!(ids_of(&narrow).is_subset(&alone));
    let count = json!({"metrics": [{"op": "count", "as": "n"}]});
    let count = person
        .post("records/deals/aggregate", count)
        .await
        .expect(200);
    assert_eq!(count["data"][0]["n"], alone.len());
    let groups = json!({"group_by": ["region"], "metrics": [{"op": "count", "as": "n"}]});
    let groups = person
        .post("records/deals/aggregate", groups)
        .await
        .expect(200);
    let sum: u64 = groups["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["n"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, alone.len() as u64);
    let export = person
        .get("records/deals/export?format=csv")
        .await
        .expect(200);
    assert_eq!(export.as_str().unwrap().lines().count(), alone.len() + 1);
    let found = person.get("search?q=deal&limit=200").await.expect(200);
    let found: BTreeSet<String> = found["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hit| {
            hit["record"]["id"]
                .as_str()
                .or(hit["id"].as_str())
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(found, alone, "search");
    alone
}

fn ids_of(list: &Value) -> BTreeSet<String> {
    let rows = list["data"].as_array().unwrap().iter();
    rows.map(|row| row["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn explanations_name_the_rule() {
    let rules = json!({"read": ["own", "record.region in user.regions"], "delete": ["own"]});
    let office = Office::new(rules).await;
    let (ann, bob) = (office.rep("ann"), office.rep("bob"));
    let deal = ann
        .create("deals", json!({"name": "x", "region": "west"}))
        .await;
    let member = json!({"user_id": "bob", "roles": ["rep"], "attributes": {"regions": ["west"]}});
    office.owner.post("members", member).await.expect(201);
    let member = json!({"user_id": "eve", "roles": ["rep"]});
    office.owner.post("members", member).await.expect(201);
    let ask = async |client: &Client, user: &str, action: &str| {
        let path =
            format!("permissions/explain?module=deals&id={deal}&action={action}&user={user}");
        client.get(&path).await.expect(200)
    };
    let told = ask(&office.owner, "bob", "read").await;
    assert_eq!(told["allowed"], true, "{told}");
    let rules = &told["roles"][0]["records"];
    assert_eq!(rules[0], json!({"rule": "own", "holds": false}));
    assert_eq!(
        rules[1],
        json!({"rule": "record.region in user.regions", "holds": true})
    );
    let told = ask(&bob, "bob", "delete").await;
    assert_eq!(told["allowed"], false, "{told}");
    assert!(
        told["reason"].as_str().unwrap().contains("may read it"),
        "{told}"
    );
    let told = ask(&office.owner, "eve", "read").await;
    assert_eq!(told["allowed"], false);
    assert!(
        told["reason"]
            .as_str()
            .unwrap()
            .contains("none of the rules"),
        "{told}"
    );
    // Eve learns of it what she would learn of a record that is not there.
    let eve = office.person("eve", &[]);
    let missing = format!(
        "permissions/explain?module=deals&id={}&action=read",
        Uuid::now_v7()
    );
    let missing = eve.get(&missing).await.expect(200);
    assert_eq!(ask(&eve, "eve", "read").await, missing);
    let share = json!({"with": "user:eve"});
    ann.post(&format!("records/deals/{deal}/shares"), share)
        .await
        .expect(201);
    let told = ask(&eve, "eve", "read").await;
    assert!(
        told["reason"].as_str().unwrap().contains("shared"),
        "{told}"
    );
}

#[tokio::test]
async fn rules_that_cannot_be_are_refused_with_the_reason() {
    let office = Office::new(json!({"read": ["own"]})).await;
    for (rules, words) in [
        (
            json!({"deals": {"read": ["record.nothing == 1"]}}),
            "has no field",
        ),
        (
            json!({"deals": {"read": ["len(record.name) > 2"]}}),
            "cannot be looked for",
        ),
        (json!({"deals": {"read": []}}), "1 to"),
        (
            json!({"*": {"read": ["record.name == 'x'"]}}),
            "every module",
        ),
        (json!({"nowhere": {"read": ["own"]}}), "no module"),
        (json!({"deals": {"write": ["own"]}}), "unknown field"),
    ] {
        let role = json!({"slug": "wrong", "label": "Wrong", "records": rules});
        let answer = office.owner.post("roles", role).await;
        assert!(
            matches!(answer.status.as_u16(), 400 | 422),
            "{rules}: {}",
            answer.body
        );
        assert!(
            answer.body.to_string().contains(words),
            "{rules}: {}",
            answer.body
        );
        assert_eq!(office.owner.get("roles/wrong").await.status, 404);
    }
    // What a rule looks at stays.
    let rule = json!({"records": {"deals": {"read": ["record.region == 'west'"]}}});
    office.owner.patch("roles/rep", rule).await.expect(200);
    let gone = office.owner.delete("modules/deals/fields/region").await;
    assert_eq!(gone.status, 409, "{}", gone.body);
    let wrong = json!({"user_id": "ann", "attributes": {"id": "bob"}});
    assert_eq!(office.owner.post("members", wrong).await.status, 422);
    let wrong = json!({"user_id": "ann", "attributes": {"a": {"b": 1}}});
    assert_eq!(office.owner.post("members", wrong).await.status, 422);
}

/// A person who reaches few of many records pays for few.
#[tokio::test]
async fn indexes_lead_to_what_is_reached() {
    let rules = json!({"read": ["own", "record.region in user.regions"]});
    let office = Office::new(rules).await;
    office
        .attributes("ann", json!({"regions": ["nowhere"]}))
        .await;
    let many: Vec<Value> = (0..3_000)
        .map(|number| json!({"op": "create", "data": {"name": format!("d{number}"), "region": "west"}}))
        .collect();
    let bulk = json!({"atomic": true, "operations": many});
    office
        .owner
        .post("records/deals/bulk", bulk)
        .await
        .expect(200);
    office
        .rep("ann")
        .create("deals", json!({"name": "hers"}))
        .await;
    let owner = office.app.database.owner();
    let mut owner = PgConnection::connect_with(&owner).await.unwrap();
    for statement in [
        "insert into crm_shares (tenant_id, record_id, subject, module_slug, may_update,
            shared_at, shared_by)
        select tenant_id, id, 'user:zoe', module_slug, false, now(), 'zoe' from crm_records",
        "analyze",
    ] {
        sqlx::query(statement).execute(&mut owner).await.unwrap();
    }
    let runtime = office.app.database.runtime();
    let store = Store::connect(runtime, StoreSettings::default())
        .await
        .unwrap();
    let model = office
        .app
        .engine
        .model(office.tenant)
        .await
        .unwrap()
        .unwrap();
    let ann = Actor::person("ann".parse().unwrap(), vec!["rep".parse().unwrap()]);
    let scope = Scope::person(&model, &ann, chrono::Utc::now());
    for sort in [None, Some("amount"), Some("-created_at"), Some("name")] {
        let input: QueryInput = serde_json::from_value(json!({ "sort": sort })).unwrap();
        let query = Query::parse(scope, &"deals".parse().unwrap(), &input).unwrap();
        let mut tx = TenantTx::begin(&store, office.tenant).await.unwrap();
        let plan = crm_store::query::explain(&mut tx, &query).await.unwrap();
        let text = plan.to_string();
        for index in [
            "crm_records_by_owner",
            "crm_shares_by_subject",
            "crm_index_pkey",
        ] {
            assert!(text.contains(index), "{sort:?}, {index}: {plan:#}");
        }
        assert!(!text.contains("Seq Scan"), "{sort:?}: {plan:#}");
        let mut lookups = Vec::new();
        nodes(&plan[0]["Plan"], &mut lookups);
        let walks = lookups.iter().filter(|node| {
            let condition = node["Index Cond"].as_str().unwrap_or_default();
            let is_narrow = condition.contains("owner_id =") || condition.contains("(id =");
            node["Relation Name"] == "crm_records" && !is_narrow
        });
        assert_eq!(walks.count(), 0, "{sort:?}: {plan:#}");
    }
}

fn nodes<'p>(node: &'p Value, found: &mut Vec<&'p Value>) {
    found.push(node);
    for inner in node["Plans"].as_array().into_iter().flatten() {
        nodes(inner, found);
    }
}
