//! Entries on timelines: what they may say, who may write and change them, how they are listed
//! and told together with the changes of records.

use crm_model::TenantId;
use crm_tests::app::TestApp;
use crm_tests::client::Client;
use crm_tests::cluster::cluster;
use serde_json::{Value, json};

/// A hospital in which nothing happens by itself.
async fn hospital() -> (TestApp, TenantId, Client) {
    let app = TestApp::on(cluster().database().await, None).await;
    let (tenant, owner) = app.owner_of("hospital").await;
    (app, tenant, owner)
}

async fn patient(client: &Client, name: &str) -> String {
    let id = client.create("patients", json!({"full_name": name})).await;
    format!("records/patients/{id}")
}

async fn add(client: &Client, record: &str, activity: Value) -> Value {
    let path = format!("{record}/activities");
    client.post(&path, activity).await.expect(201)
}

/// All pages of a list, two rows each.
async fn pages(client: &Client, path: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    let mark = if path.contains('?') { '&' } else { '?' };
    loop {
        let page = format!("{path}{mark}limit=2{cursor}");
        let page = client.get(&page).await.expect(200);
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= 2, "{page}");
        rows.extend(data.clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

fn titles(rows: &[Value]) -> Vec<&str> {
    let titles = rows.iter().map(|row| row["title"].as_str().unwrap());
    titles.collect()
}

#[tokio::test]
async fn a_task_is_somebodys_and_gets_done() {
    let (app, tenant, owner) = hospital().await;
    let record = patient(&owner, "Ada").await;
    let task = json!({
        "kind": "task", "title": "Call back", "due_at": "2026-03-01T10:00:00+01:00",
        "assignee": "agent-1",
    });
    let created = owner.post(&format!("{record}/activities"), task).await;
    let path = format!("activities/{}", created.body["id"].as_str().expect("an id"));
    assert_eq!(
        created.header("location"),
        Some(format!("/api/crm/{path}").as_str())
    );
    let created = created.expect(201);
    assert_eq!(created["due_at"], "2026-03-01T09:00:00Z");
    assert_eq!(created["done"], false);
    assert_eq!(owner.get(&path).await.expect(200), created);

    let agent = app.client(tenant, "agent");
    let done = agent.patch(&path, json!({"done": true})).await.expect(200);
    assert_eq!(
        (&done["done"], &done["done_by"]),
        (&json!(true), &json!("agent-1"))
    );
    assert_eq!(done["updated_by"], "agent-1");
    assert_eq!(done["title"], "Call back", "what is not named stays");
    let again = owner.patch(&path, json!({"done": true})).await.expect(200);
    assert_eq!(again["done_by"], "agent-1", "it was done before");
    let reopened = json!({"done": false, "due_at": null, "title": "Write"});
    let reopened = owner.patch(&path, reopened).await.expect(200);
    assert_eq!(reopened["done_at"], Value::Null);
    assert_eq!(reopened["due_at"], Value::Null);
    assert_eq!(reopened["title"], "Write");
    assert_eq!(owner.get(&path).await.expect(200), reopened);

    assert_eq!(owner.delete(&path).await.status, 204);
    assert_eq!(owner.get(&path).await.status, 404);
    assert_eq!(owner.delete(&path).await.status, 404);
}

#[tokio::test]
async fn every_violation_of_an_activity_is_told() {
    let (_app, _, owner) = hospital().await;
    let record = patient(&owner, "Ada").await;
    let path = format!("{record}/activities");
    let wrong = owner
        .post(
            &path,
            json!({"kind": "party", "due_at": "soon", "assignee": ""}),
        )
        .await;
    let expected = [
        ("/assignee", "user"),
        ("/due_at", "datetime"),
        ("/kind", "enum"),
        ("/title", "required"),
    ];
    let expected = expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned()));
    assert_eq!(wrong.violations(), expected, "{}", wrong.body);
    let kinds = wrong.body["errors"][0]["message"].as_str().unwrap();
    assert!(
        kinds.contains("note, call, meeting, email, task, home-visit"),
        "{kinds}"
    );
    let system = json!({"kind": "system", "title": "I am the host"});
    assert_eq!(owner.post(&path, system).await.status, 422);

    let call = add(&owner, &record, json!({"kind": "call", "title": "Called"})).await;
    let call = format!("activities/{}", call["id"].as_str().unwrap());
    let wrong = owner
        .patch(
            &call,
            json!({"done": true, "title": "", "duration_minutes": 10_081}),
        )
        .await;
    let expected = [
        ("/done", "kind"),
        ("/duration_minutes", "max"),
        ("/title", "required"),
    ];
    let expected = expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned()));
    assert_eq!(wrong.violations(), expected, "{}", wrong.body);
    assert_eq!(
        owner.patch(&call, json!({"kind": "note"})).await.status,
        422
    );
}

#[tokio::test]
async fn a_module_has_types_of_its_own() {
    let (_app, _, owner) = hospital().await;
    let record = patient(&owner, "Ada").await;
    let visit = json!({
        "kind": "home-visit", "title": "At home", "occurred_at": "2026-01-02T08:00:00Z",
        "duration_minutes": 45,
    });
    let visit = add(&owner, &record, visit).await;
    assert_eq!(visit["duration_minutes"], 45);
    add(&owner, &record, json!({"kind": "note", "title": "A note"})).await;
    let visits = pages(&owner, &format!("{record}/activities?kind=home-visit")).await;
    assert_eq!(visits, [visit]);

    let doctor = json!({"full_name": "Dr. No", "specialty": "other"});
    let doctor = owner.create("doctors", doctor).await;
    let elsewhere = owner
        .post(
            &format!("records/doctors/{doctor}/activities"),
            json!({"kind": "home-visit", "title": "x"}),
        )
        .await;
    assert_eq!(elsewhere.status, 422, "it is a type of patients alone");
}

#[tokio::test]
async fn entries_are_changed_by_those_who_may_update_the_record() {
    let (app, tenant, owner) = hospital().await;
    let record = patient(&owner, "Ada").await;
    let note = json!({"kind": "note", "title": "Private"});
    let added = add(&owner, &record, note.clone()).await;
    let path = format!("activities/{}", added["id"].as_str().unwrap());
    let change = json!({"title": "Changed"});

    let viewer = app.client(tenant, "viewer");
    viewer.get(&path).await.expect(200);
    assert_eq!(viewer.patch(&path, change.clone()).await.status, 403);
    assert_eq!(viewer.delete(&path).await.status, 403);
    let (_, stranger) = app.owner_of("hospital").await;
    let nobody = app.client(tenant, "nobody");
    for other in [&stranger, &nobody] {
        assert_eq!(other.get(&path).await.status, 404);
        assert_eq!(other.patch(&path, change.clone()).await.status, 404);
        assert_eq!(other.delete(&path).await.status, 404);
        assert_eq!(other.get(&format!("{record}/timeline")).await.status, 404);
        assert_eq!(
            other
                .post(&format!("{record}/activities"), note.clone())
                .await
                .status,
            404
        );
        let all = other.get("activities?created_by=owner-1").await.expect(200);
        assert_eq!(all["data"], json!([]));
    }
    assert_eq!(
        nobody.get("timeline?user=owner-1").await.expect(200)["data"],
        json!([])
    );
    assert_eq!(
        owner.get(&path).await.expect(200),
        added,
        "nothing came of it"
    );

    owner.delete(&record).await;
    assert_eq!(
        owner.get(&path).await.status,
        404,
        "the record is in the trash"
    );
    assert_eq!(owner.patch(&path, change).await.status, 404);
    let all = owner.get("activities").await.expect(200);
    assert_eq!(all["data"], json!([]));
}

#[tokio::test]
async fn what_the_system_wrote_stays() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("jewellery").await;
    let item = json!({"sku": "S-1", "carat": "0.23", "cut": "Ideal", "price": {"amount": "326", "currency": "USD"}});
    let item = owner.create("items", item).await;
    owner.run("valuation", &item, &["done"]).await;
    let list = format!("records/items/{item}/activities?kind=system");
    let list = owner.get(&list).await.expect(200);
    let entry = &list["data"][0];
    assert_eq!(entry["cause"]["plugin"], "jewellery-valuation");
    assert_eq!(entry["cause"]["plugin_version"], "0.1.0");
    let path = format!("activities/{}", entry["id"].as_str().unwrap());
    assert_eq!(
        owner.patch(&path, json!({"title": "Mine"})).await.status,
        403
    );
    assert_eq!(owner.delete(&path).await.status, 403);
    assert_eq!(owner.get(&path).await.expect(200), *entry);
}

#[tokio::test]
async fn tasks_are_listed_by_whose_they_are() {
    let (app, tenant, owner) = hospital().await;
    let record = patient(&owner, "Ada").await;
    for number in 0..5 {
        let due = format!("2026-03-0{}T00:00:00Z", number + 1);
        let task = json!({
            "kind": "task", "title": format!("Task {number}"), "due_at": due,
            "assignee": "agent-1",
        });
        let task = add(&owner, &record, task).await;
        if number == 2 {
            let path = format!("activities/{}", task["id"].as_str().unwrap());
            owner.patch(&path, json!({"done": true})).await.expect(200);
        }
        add(&owner, &record, json!({"kind": "note", "title": "Between"})).await;
    }
    let agent = app.client(tenant, "agent");
    let open = pages(&agent, "activities?assignee=me&done=false").await;
    assert_eq!(titles(&open), ["Task 4", "Task 3", "Task 1", "Task 0"]);
    let soon = "activities?assignee=agent-1&done=false&due_before=2026-03-02T00:00:01Z";
    assert_eq!(titles(&pages(&owner, soon).await), ["Task 1", "Task 0"]);
    let done = pages(&owner, "activities?created_by=me&done=true").await;
    assert_eq!(titles(&done), ["Task 2"]);
    let of_record = pages(&owner, &format!("{record}/activities?done=false")).await;
    assert_eq!(of_record, open);
    assert_eq!(pages(&owner, "activities?kind=note").await.len(), 5);
    assert_eq!(
        pages(&agent, "activities?assignee=me&created_by=me")
            .await
            .len(),
        0
    );
    for (query, pointer) in [
        ("due_before=soon", "/due_before"),
        ("assignee=", "/assignee"),
        ("kind=A%20B", "/kind"),
        ("cursor=x", "/cursor"),
    ] {
        let wrong = owner.get(&format!("activities?{query}")).await;
        assert_eq!(wrong.violations()[0].0, pointer, "{}", wrong.body);
    }
}

#[tokio::test]
async fn a_records_timeline_tells_changes_and_entries_in_one_list() {
    let (_app, _, owner) = hospital().await;
    let record = patient(&owner, "Ada").await;
    let change = json!({"data": {"gender": "female", "phone": "+442079460000"}});
    owner.patch(&record, change).await.expect(200);
    let visit = json!({
        "kind": "home-visit", "title": "Long ago", "occurred_at": "1999-12-31T23:59:59Z",
    });
    add(&owner, &record, visit.clone()).await;
    add(&owner, &record, visit).await;
    add(&owner, &record, json!({"kind": "note", "title": "A note"})).await;
    owner.delete(&record).await;
    owner
        .post(&format!("{record}/restore"), json!({}))
        .await
        .expect(200);

    let timeline = pages(&owner, &format!("{record}/timeline")).await;
    let expected = [
        "Restored",
        "Deleted",
        "A note",
        "Gender: – → Female; Changed Phone",
        "Created",
        "Long ago",
        "Long ago",
    ];
    assert_eq!(titles(&timeline), expected);
    assert_ne!(
        timeline[5]["id"], timeline[6]["id"],
        "two entries of the same time"
    );
    assert_eq!(timeline[5]["at"], "1999-12-31T23:59:59Z");
    let changed = &timeline[3];
    assert_eq!(changed["type"], "change");
    assert_eq!(changed["by"], "owner-1");
    assert_eq!(
        changed["change"]["changes"]["gender"],
        json!({"from": null, "to": "female"})
    );
    assert_eq!(timeline[2]["activity"]["kind"], "note");
    let whole = owner.get(&format!("{record}/timeline")).await.expect(200);
    assert_eq!(whole["data"], json!(timeline), "on one page as on many");
    let wrong = owner.get(&format!("{record}/timeline?cursor=1.x")).await;
    assert_eq!(wrong.violations()[0].1, "cursor");
}

#[tokio::test]
async fn a_persons_timeline_tells_what_they_did() {
    let (app, tenant, owner) = hospital().await;
    let agent = app.client(tenant, "agent");
    let record = patient(&owner, "Ada").await;
    add(&agent, &record, json!({"kind": "call", "title": "Called"})).await;
    let change = json!({"data": {"notes": "x"}});
    agent.patch(&record, change).await.expect(200);
    let other = patient(&agent, "Bob").await;
    add(
        &owner,
        &other,
        json!({"kind": "note", "title": "The owner's"}),
    )
    .await;
    add(
        &agent,
        &other,
        json!({"kind": "note", "title": "The agent's"}),
    )
    .await;

    let mine = pages(&agent, "timeline?user=me").await;
    let expected = ["The agent's", "Created", "Changed Notes", "Called"];
    assert_eq!(titles(&mine), expected);
    assert_eq!(pages(&owner, "timeline?user=agent-1").await, mine);
    assert_eq!(agent.get("timeline").await.expect(200)["data"], json!(mine));
    let (_, stranger) = app.owner_of("hospital").await;
    let elsewhere = stranger.get("timeline?user=agent-1").await.expect(200);
    assert_eq!(elsewhere["data"], json!([]));
}

#[tokio::test]
async fn an_entry_is_added_once_for_each_key() {
    let (_app, _, owner) = hospital().await;
    let record = patient(&owner, "Ada").await;
    let path = format!("{record}/activities");
    let note = json!({"kind": "note", "title": "Once", "body": "only"});
    let first = owner.post_once(&path, "k", note.clone()).await;
    let again = owner.post_once(&path, "k", note).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(first.expect(201), again.expect(201));
    assert_eq!(pages(&owner, &path).await.len(), 1);
}
