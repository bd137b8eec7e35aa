//! Runs that wait for something to come: an event, somebody's word, the end of another run.

use crm_tests::app::TestApp;
use crm_tests::client::{Client, wait_until};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::model::somebody_waits;

const ENDED: &[&str] = &["done", "dead"];

/// An office where new contacts go through these steps.
async fn office(steps: Value) -> (TestApp, Client) {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("office").await;
    let flow = flow("flow", "record_created", steps);
    owner.post("workflows", flow).await.expect(201);
    (app, owner)
}

fn flow(slug: &str, on: &str, steps: Value) -> Value {
    json!({
        "slug": slug, "name": slug, "module": "contacts", "trigger": { "on": on }, "steps": steps,
    })
}

fn sets(field: &str, value: &str) -> Value {
    json!({ "action": "field-set", "config": { "set": { field: value } } })
}

async fn ada(owner: &Client) -> String {
    owner.create("contacts", json!({ "name": "Ada" })).await
}

async fn change(owner: &Client, contact: &str, data: Value) {
    let path = format!("records/contacts/{contact}");
    let body = json!({ "data": data });
    owner.patch(&path, body).await.expect(200);
}

async fn found(owner: &Client, contact: &str) -> Value {
    let path = format!("records/contacts/{contact}");
    owner.get(&path).await.expect(200)["data"].clone()
}

/// The run, once it waits for this.
async fn waiting(owner: &Client, workflow: &str, contact: &str, what: &str) -> Value {
    let mut run = Value::Null;
    wait_until("the run waits", async || {
        run = owner.run(workflow, contact, &["queued", "running"]).await;
        run["waits_for"] == what
    })
    .await;
    run
}

async fn approvals(client: &Client, query: &str) -> Vec<Value> {
    let page = client.get(&format!("approvals{query}")).await.expect(200);
    page["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_run_waits_for_a_change_of_its_record() {
    let (_app, owner) = office(json!([
        { "id": "paid", "wait_for": { "on": "record_updated", "fields": ["status"],
            "condition": "after.status == 'paid' and before.status != 'paid'" },
          "then": [sets("reasons", "\"met\"")], "else": [sets("reasons", "\"late\"")] },
        { "action": "field-set", "config": { "set": {
            "next_step": { "$expression": "'\"' + steps.paid.status + ' by ' + steps.paid.by + '\"'" } } } },
    ]))
    .await;
    let (contact, other) = (ada(&owner).await, ada(&owner).await);
    waiting(&owner, "flow", &contact, "event").await;
    waiting(&owner, "flow", &other, "event").await;
    // Neither of these is it: another field, another value, another record.
    change(&owner, &contact, json!({ "phone": "+4930123456" })).await;
    change(&owner, &contact, json!({ "status": "sent" })).await;
    change(&owner, &other, json!({ "status": "paid" })).await;
    owner.run("flow", &other, &["done"]).await;
    waiting(&owner, "flow", &contact, "event").await;
    assert_eq!(found(&owner, &contact).await["reasons"], Value::Null);

    change(&owner, &contact, json!({ "status": "paid" })).await;
    let run = owner.run("flow", &contact, ENDED).await;
    assert_eq!(run["status"], "done", "{run}");
    let contact = found(&owner, &contact).await;
    assert_eq!(contact["reasons"], "met");
    assert_eq!(contact["next_step"], "met by owner-1");
}

#[tokio::test]
async fn a_run_waits_for_a_record_that_points_to_its_own() {
    let (_app, owner) = office(json!([
        { "id": "visit", "wait_for": { "on": "record_created", "module": "visits", "link": "contact",
            "condition": "after.reason == record.name" } },
        { "action": "field-set", "config": { "set": {
            "next_step": { "$expression": "'\"' + steps.visit.record_id + '\"'" } } } },
    ]))
    .await;
    let (contact, other) = (ada(&owner).await, ada(&owner).await);
    waiting(&owner, "flow", &contact, "event").await;
    let visit = |reason: &str, contact: &str| json!({ "reason": reason, "contact": contact });
    owner.create("visits", visit("Ada", &other)).await;
    // Two at once, of which the second is it.
    let both = json!({ "atomic": true, "operations": [
        { "op": "create", "data": visit("Grace", &contact) },
        { "op": "create", "data": visit("Ada", &contact) },
    ] });
    let made = owner.post("records/visits/bulk", both).await.expect(200);
    let run = owner.run("flow", &contact, ENDED).await;
    assert_eq!(run["status"], "done", "{run}");
    let visit = found(&owner, &contact).await["next_step"].clone();
    assert!(visit.is_string(), "{made}");
    let visit = owner
        .get(&format!("records/visits/{}", visit.as_str().unwrap()))
        .await
        .expect(200);
    assert_eq!(
        visit["data"],
        json!({ "reason": "Ada", "contact": contact })
    );
}

#[tokio::test]
async fn a_deadline_ends_the_waiting() {
    let (_app, owner) = office(json!([
        { "wait_for": { "on": "record_deleted" }, "deadline": { "seconds": 1 },
          "then": [sets("reasons", "\"met\"")], "else": [sets("reasons", "\"late\"")] },
    ]))
    .await;
    let contact = ada(&owner).await;
    let run = owner.run("flow", &contact, ENDED).await;
    assert_eq!(run["status"], "done", "{run}");
    assert_eq!(found(&owner, &contact).await["reasons"], "late");
}

#[tokio::test]
async fn a_condition_that_cannot_be_answered_is_told_of_at_the_deadline() {
    let (_app, owner) = office(json!([
        { "id": "dated",
          "wait_for": { "on": "record_updated",
            "condition": "startsWith(after.reasons, 'paid')" },
          "deadline": { "seconds": 8 },
          "else": [
            { "if": "startsWith(steps.dated.error, 'its condition could not be answered: ')",
              "then": [sets("reasons", "\"told\"")] },
          ] },
    ]))
    .await;
    let contact = ada(&owner).await;
    waiting(&owner, "flow", &contact, "event").await;
    change(&owner, &contact, json!({ "name": "Ada Lovelace" })).await;
    let run = owner.run("flow", &contact, ENDED).await;
    assert_eq!(run["status"], "done", "{run}");
    assert_eq!(found(&owner, &contact).await["reasons"], "told");
}

#[tokio::test]
async fn what_comes_while_the_run_is_at_work_is_not_missed() {
    // The way beside it makes the change itself, in the commit that ends its attempt.
    let (app, owner) = office(json!([
        { "parallel": [
            [{ "wait_for": { "on": "record_updated", "condition": "after.status == 'own'" } }],
            [sets("status", "\"own\"")],
        ] },
        { "wait_for": { "on": "record_updated", "condition": "after.status == 'others'" } },
        sets("reasons", "\"met\""),
    ]))
    .await;
    let contact = ada(&owner).await;
    waiting(&owner, "flow", &contact, "event").await;
    wait_until("the other way has made its change", async || {
        found(&owner, &contact).await["status"] == "own"
    })
    .await;
    // Somebody has the run in hand while the change comes, and puts it to rest afterwards.
    let mut database = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let take = "update crm_jobs set state = 'leased', available_at = now() + interval '1 hour'
        where state = 'queued' and available_at > now() + interval '1 minute'
            and (select count(*) from crm_awaits w where w.job_id = crm_jobs.id) = 2";
    wait_until("the run is in hand", async || {
        let taken = sqlx::query(take).execute(&mut database).await.unwrap();
        taken.rows_affected() == 1
    })
    .await;
    change(&owner, &contact, json!({ "status": "others" })).await;
    let rest = "update crm_jobs set state = 'queued', available_at = now() + interval '1 hour'
        where state = 'leased'";
    sqlx::query(rest).execute(&mut database).await.unwrap();
    let run = owner.run("flow", &contact, ENDED).await;
    assert_eq!(run["status"], "done", "{run}");
    assert_eq!(found(&owner, &contact).await["reasons"], "met");
}

#[tokio::test]
async fn people_give_their_word_once() {
    let ask = json!({ "by": ["clerk-1", "role:owner"],
        "title": { "$expression": "'Discount for ' + record.name + '?'" }, "text": "10 %" });
    let (app, owner) = office(json!([
        { "id": "ok", "approval": ask, "then": [
            { "action": "field-set", "config": { "set": { "status": "'approved'",
                "reasons": { "$expression": "'\"' + steps.ok.by + ': ' + steps.ok.comment + '\"'" } } } }],
          "else": [sets("status", "\"refused\"")] },
    ]))
    .await;
    let tenant = owner.get("bootstrap").await.expect(200)["tenant"]["id"].clone();
    let tenant = tenant.as_str().unwrap().parse().unwrap();
    let (clerk, guest) = (app.client(tenant, "clerk"), app.client(tenant, "guest"));
    let contact = ada(&owner).await;
    waiting(&owner, "flow", &contact, "approval").await;

    let asked = approvals(&clerk, "?open=true").await;
    assert_eq!(asked.len(), 1);
    let asked = &asked[0];
    assert_eq!(
        (&asked["title"], &asked["text"], &asked["status"]),
        (&json!("Discount for Ada?"), &json!("10 %"), &json!("open"))
    );
    assert_eq!(
        (&asked["record_id"], &asked["step"]),
        (&json!(contact), &json!("ok"))
    );
    let notes = clerk.get("notifications").await.expect(200);
    assert_eq!(notes["data"][0]["title"], "Discount for Ada?");
    assert_eq!(approvals(&guest, "").await, Vec::<Value>::new());
    assert_eq!(guest.get("approvals?all=true").await.status, 403);
    let path = format!("approvals/{}", asked["id"].as_str().unwrap());
    let decide = format!("{path}/decide");
    let word = |word: &str| json!({ "decision": word, "comment": "a good client" });
    assert_eq!(guest.get(&path).await.status, 404);
    assert_eq!(guest.post(&decide, word("approve")).await.status, 404);
    let long = json!({ "decision": "reject", "comment": "x".repeat(2_001) });
    let refused = clerk.post(&decide, long).await;
    assert_eq!(
        refused.violations(),
        [("/comment".to_owned(), "length".to_owned())]
    );

    let decided = clerk
        .post_once(&decide, "k", word("approve"))
        .await
        .expect(200);
    assert_eq!(decided["status"], "approved");
    let again = clerk.post_once(&decide, "k", word("approve")).await;
    assert_eq!(again.expect(200), decided, "the same request");
    let late = owner.post(&decide, word("reject")).await;
    assert_eq!(late.status, 409);
    assert_eq!(late.body["detail"], "somebody has decided it");
    let run = owner.run("flow", &contact, ENDED).await;
    assert_eq!(run["status"], "done", "{run}");
    let seen = found(&owner, &contact).await;
    assert_eq!(
        (&seen["status"], &seen["reasons"]),
        (&json!("approved"), &json!("clerk-1: a good client"))
    );
    assert_eq!(clerk.get(&path).await.expect(200)["decided_by"], "clerk-1");

    // No is an answer too; and whose run has ended is asked no more.
    let (second, third) = (ada(&owner).await, ada(&owner).await);
    waiting(&owner, "flow", &second, "approval").await;
    let run = waiting(&owner, "flow", &third, "approval").await;
    let cancel = format!("runs/{}/cancel", run["id"].as_str().unwrap());
    owner.post(&cancel, json!({})).await.expect(204);
    let open = approvals(&owner, "?open=true&all=true").await;
    let open: Vec<&Value> = open.iter().map(|one| &one["record_id"]).collect();
    assert_eq!(open, [&json!(second)]);
    let of_third = approvals(&owner, &format!("?record_id={third}")).await;
    assert_eq!(of_third[0]["status"], "over");
    let gone = format!("approvals/{}/decide", of_third[0]["id"].as_str().unwrap());
    assert_eq!(owner.post(&gone, word("approve")).await.status, 409);
    let of_second = approvals(&owner, &format!("?record_id={second}")).await;
    let decide = format!("approvals/{}/decide", of_second[0]["id"].as_str().unwrap());
    owner
        .post(&decide, json!({ "decision": "reject" }))
        .await
        .expect(200);
    owner.run("flow", &second, &["done"]).await;
    assert_eq!(found(&owner, &second).await["status"], "refused");
}

#[tokio::test]
async fn one_workflow_calls_another_and_learns_how_it_ended() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("office").await;
    let child = flow(
        "child",
        "called",
        json!([
            { "if": "payload.fails", "then": [{ "stop": { "as": "failed", "message": "as told" } }] },
            { "action": "field-set", "config": { "set": { "status": "payload.word" } } },
            { "stop": { "as": "done", "outputs": { "letters": {
                "$expression": "len(record.status)" }, "plain": [1] } } },
        ]),
    );
    owner.post("workflows", child).await.expect(201);
    let parent = flow(
        "parent",
        "record_created",
        json!([
            { "id": "first", "call": { "workflow": "child",
                "payload": { "word": { "$expression": "'hello ' + record.name" } } } },
            { "id": "second", "call": { "workflow": "child", "payload": { "fails": true } },
              "else": [{ "action": "field-set", "config": { "set": { "reasons":
                { "$expression": "'\"' + steps.first.status + ' ' + string(steps.first.outputs.letters + steps.first.outputs.plain[0]) + ', ' + steps.second.status + ': ' + steps.second.error + '\"'" } } } }] },
            { "id": "third", "call": { "workflow": "nobody" },
              "else": [{ "action": "field-set", "config": { "set": { "next_step":
                { "$expression": "'\"' + steps.third.error + '\"'" } } } }] },
        ]),
    );
    owner.post("workflows", parent).await.expect(201);
    let contact = ada(&owner).await;
    let run = owner.run("parent", &contact, ENDED).await;
    assert_eq!(run["status"], "done", "{run}");
    let seen = found(&owner, &contact).await;
    assert_eq!(seen["status"], "hello Ada");
    assert_eq!(seen["reasons"], "done 10, failed: as told");
    assert_eq!(
        seen["next_step"],
        "there is no workflow “nobody” that starts on `called`"
    );
    let children = owner.get("runs?workflow=child").await.expect(200);
    assert_eq!(children["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn who_is_cancelled_takes_along_what_it_called() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("office").await;
    let calls = |workflow: &str| json!([{ "call": { "workflow": workflow } }]);
    for (slug, on, steps) in [
        ("last", "called", json!([{ "delay": { "seconds": 3_600 } }])),
        ("middle", "called", calls("last")),
        ("first", "record_created", calls("middle")),
    ] {
        let added = owner.post("workflows", flow(slug, on, steps)).await;
        added.expect(201);
    }
    let contact = ada(&owner).await;
    owner.run_at_rest("last", &contact).await;
    let body = json!({ "workflow": "first" });
    let taken = owner.post("runs/cancel", body).await.expect(200);
    assert_eq!(taken["taken"], 1, "{taken}");
    for slug in ["first", "middle", "last"] {
        let run = owner.run(slug, &contact, &["cancelled"]).await;
        assert!(
            run["error"].as_str().unwrap().starts_with("cancelled by"),
            "{run}"
        );
    }
}

#[tokio::test]
async fn what_is_called_while_its_caller_is_cancelled_ends_too() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("office").await;
    let rests = json!([{ "delay": { "seconds": 3_600 } }]);
    for (slug, on) in [("child", "called"), ("parent", "record_created")] {
        let added = owner.post("workflows", flow(slug, on, rests.clone())).await;
        added.expect(201);
    }
    let contact = ada(&owner).await;
    let run = waiting(&owner, "parent", &contact, "delay").await;
    let parent = run["id"].as_str().unwrap().to_owned();
    // A step that calls the child, and commits when the cancellation waits for it.
    let mut step = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let mut held = step.begin().await.unwrap();
    let called = sqlx::query(
        "with parent as (
            select * from crm_jobs where tenant_id = $1 and id = $2::uuid for update)
        insert into crm_jobs (tenant_id, id, workflow_slug, workflow_version, event_id, module_slug,
            record_id, state, available_at, created_at, parent_job_id, priority)
        select tenant_id, gen_random_uuid(), 'child', workflow_version, event_id, module_slug,
            record_id, 'queued', available_at, now(), id, priority
        from parent",
    )
    .bind(tenant.uuid())
    .bind(&parent)
    .execute(&mut *held)
    .await
    .unwrap();
    assert_eq!(called.rows_affected(), 1);
    let (client, path) = (owner.clone(), format!("runs/{parent}/cancel"));
    let cancelling = tokio::spawn(async move { client.post(&path, json!({})).await });
    let mut watcher = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let waits = async || somebody_waits(&mut watcher).await;
    wait_until("the cancellation waits", waits).await;
    held.commit().await.unwrap();
    let answer = cancelling.await.unwrap();
    assert!(answer.status.is_success(), "{answer:?}");
    for slug in ["parent", "child"] {
        owner.run(slug, &contact, &["cancelled"]).await;
    }
}

#[tokio::test]
async fn a_workflow_that_calls_itself_comes_to_an_end() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("office").await;
    let steps =
        json!([{ "call": { "workflow": "again" }, "else": [{ "stop": { "as": "failed" } }] }]);
    owner
        .post("workflows", flow("again", "called", steps.clone()))
        .await
        .expect(201);
    owner
        .post("workflows", flow("first", "record_created", steps))
        .await
        .expect(201);
    let contact = ada(&owner).await;
    owner.run("first", &contact, &["dead"]).await;
    let runs = owner.get("runs?workflow=again").await.expect(200);
    let runs = runs["data"].as_array().unwrap();
    let cut = runs.iter().filter(|run| {
        let error = run["error"].as_str().unwrap_or_default();
        error.contains("the chain is cut here") && error.contains("again → again")
    });
    assert_eq!(cut.count(), 1, "{runs:?}");
    assert!(runs.len() < 10, "{}", runs.len());
}

#[tokio::test]
async fn a_run_waits_for_what_its_own_version_says() {
    let wait =
        json!({ "wait_for": { "on": "record_updated", "condition": "after.status == 'old'" } });
    let (_app, owner) = office(json!([wait, sets("reasons", "\"old\"")])).await;
    let contact = ada(&owner).await;
    waiting(&owner, "flow", &contact, "event").await;
    let draft = flow(
        "flow",
        "record_created",
        json!([sets("reasons", "\"new\"")]),
    );
    owner.put("workflows/flow/draft", draft).await.expect(200);
    owner
        .post("workflows/flow/publish", json!({}))
        .await
        .expect(200);
    change(&owner, &contact, json!({ "status": "old" })).await;
    let run = owner.run("flow", &contact, ENDED).await;
    assert_eq!(run["status"], "done", "{run}");
    assert_eq!(found(&owner, &contact).await["reasons"], "old");
}

#[tokio::test]
async fn others_are_asked_too_where_nobody_answers() {
    let later = json!({ "after": { "seconds": 2 }, "by": ["clerk-1", "chief-1"] });
    let ask = json!({ "by": "clerk-1", "title": "Well?", "escalate": later });
    let (app, owner) = office(json!([
        { "id": "ok", "approval": ask,
          "then": [sets("status", "\"approved\"")], "else": [sets("status", "\"refused\"")] },
    ]))
    .await;
    let tenant = owner.get("bootstrap").await.expect(200)["tenant"]["id"].clone();
    let tenant = tenant.as_str().unwrap().parse().unwrap();
    let (clerk, chief) = (app.client(tenant, "clerk"), app.client(tenant, "chief"));
    let contact = ada(&owner).await;
    waiting(&owner, "flow", &contact, "approval").await;
    let asked = approvals(&clerk, "?open=true").await.remove(0);
    assert_eq!(asked["by"], json!(["clerk-1"]));
    assert!(asked["escalates_at"].is_string(), "{asked}");
    assert_eq!(approvals(&chief, "").await, Vec::<Value>::new());
    wait_until("the chief is asked", async || {
        !approvals(&chief, "?open=true").await.is_empty()
    })
    .await;
    for (who, notes) in [(&clerk, 1), (&chief, 1)] {
        let told = who.get("notifications").await.expect(200);
        assert_eq!(
            told["data"].as_array().unwrap().len(),
            notes,
            "each once: {told}"
        );
        let asked = approvals(who, "?open=true").await.remove(0);
        assert_eq!(asked["by"], json!(["clerk-1", "chief-1"]));
        assert_eq!(asked["escalates_at"], Value::Null);
    }
    // Who was asked first may still answer.
    let decide = format!("approvals/{}/decide", asked["id"].as_str().unwrap());
    let word = json!({ "decision": "approve" });
    clerk.post(&decide, word).await.expect(200);
    owner.run("flow", &contact, &["done"]).await;
    assert_eq!(found(&owner, &contact).await["status"], "approved");
}

#[tokio::test]
async fn what_cannot_be_waited_for_is_named() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("office").await;
    let add = async |step: Value| {
        let made = owner
            .post("workflows", flow("wrong", "record_created", json!([step])))
            .await;
        assert_eq!(made.status, 422, "{}", made.body);
        let text = made.body.to_string();
        let (at, message) = (made.violations(), text);
        assert_eq!(at.len(), 1, "{message}");
        message
    };
    let wait = |wait: Value| json!({ "wait_for": wait });
    let cases = [
        (
            wait(json!({ "on": "time_reached" })),
            "record_created, record_updated",
        ),
        (wait(json!({ "on": "record_created" })), "wait_for/link"),
        (
            wait(json!({ "on": "record_updated", "module": "visits" })),
            "wait_for/link",
        ),
        (
            wait(json!({ "on": "record_updated", "module": "visits", "link": "no" })),
            "has no field “no”",
        ),
        (
            wait(json!({ "on": "record_updated", "module": "no", "link": "contact" })),
            "there is no module “no”",
        ),
        (
            wait(json!({ "on": "record_updated", "condition": "1 +" })),
            "wait_for/condition",
        ),
        (
            wait(json!({ "on": "record_deleted", "fields": ["status"] })),
            "go with record_updated",
        ),
        (
            json!({ "approval": { "by": [], "title": "?" } }),
            "by: 1 to",
        ),
        (
            json!({ "approval": { "by": "role:Not a role", "title": "?" } }),
            "by: 1 to",
        ),
        (json!({ "approval": { "by": "ada", "title": "" } }), "title"),
        (
            json!({ "approval": { "by": "ada", "title": "?",
                "escalate": { "after": { "seconds": 1 }, "by": [] } } }),
            "escalate/by",
        ),
        (
            json!({ "approval": { "by": "ada", "title": "?",
                "escalate": { "after": {}, "by": "bob" } } }),
            "escalate/after",
        ),
        (
            json!({ "call": { "workflow": "child", "payload": 1 } }),
            "call/payload",
        ),
        (
            json!({ "delay": { "seconds": 1 }, "deadline": { "seconds": 1 } }),
            "`deadline` does not go",
        ),
    ];
    for (step, expected) in cases {
        let message = add(step).await;
        assert!(message.contains(expected), "{message}");
    }
}

/// The runs of the workflow, the oldest first, each with its status and why.
async fn runs(owner: &Client, workflow: &str) -> Vec<(String, String)> {
    let path = format!("runs?workflow={workflow}");
    let runs = owner.get(&path).await.expect(200);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let runs = runs["data"].as_array().unwrap().iter().rev();
    runs.map(|run| (text(&run["status"]), text(&run["error"])))
        .collect()
}

#[tokio::test]
async fn a_record_goes_through_a_workflow_as_often_as_it_says() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("office").await;
    let started = async |enrolment: &str| {
        let mut flow = flow(
            enrolment,
            "started_by_hand",
            json!([
                { "wait_for": { "on": "record_updated", "fields": ["status"] } },
            ]),
        );
        flow["enrolment"] = json!(enrolment);
        owner.post("workflows", flow).await.expect(201);
        let contact = ada(&owner).await;
        let start = async || {
            let body = json!({ "record_ids": [contact] });
            let path = format!("workflows/{enrolment}/start");
            let started = owner.post(&path, body).await.expect(202);
            let run = format!("runs/{}", started["runs"][0].as_str().unwrap());
            let mut seen = Value::Null;
            wait_until("the run waits or is over", async || {
                seen = owner.get(&run).await.expect(200);
                seen["waits_for"] == "event" || seen["status"] == "done"
            })
            .await;
            seen["status"].as_str().unwrap().to_owned()
        };
        let (first, second) = (start().await, start().await);
        change(&owner, &contact, json!({ "status": "new" })).await;
        wait_until("all are over", async || {
            let runs = runs(&owner, enrolment).await;
            runs.iter().all(|(status, _)| status == "done")
        })
        .await;
        let third = start().await;
        let why: Vec<String> = runs(&owner, enrolment)
            .await
            .into_iter()
            .map(|(_, why)| why)
            .collect();
        ([first, second, third], why)
    };
    let ([first, second, third], why) = started("one_at_a_time").await;
    assert_eq!([first, second, third], ["queued", "done", "queued"]);
    assert!(why[1].contains("there is one at a time"), "{why:?}");
    let (states, why) = started("once").await;
    assert_eq!(states, ["queued", "done", "done"]);
    assert!(why[2].contains("it does once"), "{why:?}");
    let (states, why) = started("every_time").await;
    assert_eq!(states, ["queued"; 3], "{why:?}");
}

#[tokio::test]
async fn a_field_that_stays_as_it_is_starts_a_workflow() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("office").await;
    let mut stays = flow(
        "flow",
        "record_updated",
        json!([sets("reasons", "\"overstayed\"")]),
    );
    stays["trigger"]["stays"] = json!({ "field": "status", "value": "offer", "seconds": 12 });
    owner.post("workflows", stays.clone()).await.expect(201);
    let offer = json!({ "name": "Ada", "status": "offer" });
    // At once, because it has to be before the time is over, also on a disk that is busy.
    let left = owner.create("contacts", offer).await;
    change(&owner, &left, json!({ "status": "won" })).await;
    let stayed = ada(&owner).await;
    change(&owner, &stayed, json!({ "status": "other" })).await;
    change(&owner, &stayed, json!({ "status": "offer" })).await;
    change(&owner, &stayed, json!({ "phone": "+4930123456" })).await;
    owner.run("flow", &stayed, &["done"]).await;
    let run = owner.run("flow", &left, &["done"]).await;
    assert_eq!(run["error"], "“status” did not stay as it was");
    assert_eq!(found(&owner, &stayed).await["reasons"], "overstayed");
    assert_eq!(found(&owner, &left).await["reasons"], Value::Null);
    assert_eq!(runs(&owner, "flow").await.len(), 2);
    for (stay, expected) in [
        (json!({ "field": "no", "seconds": 1 }), "has no field “no”"),
        (
            json!({ "field": "status", "seconds": 0 }),
            "trigger/stays/seconds",
        ),
    ] {
        stays["slug"] = json!("wrong");
        stays["trigger"]["stays"] = stay;
        let wrong = owner.post("workflows", stays.clone()).await;
        assert_eq!(wrong.status, 422);
        assert!(wrong.body.to_string().contains(expected), "{}", wrong.body);
    }
}

#[tokio::test]
async fn a_run_waits_for_business_hours() {
    let (_app, owner) = office(json!([
        { "delay": { "business_hours": true } }, sets("reasons", "\"at work\""),
    ]))
    .await;
    let put = async |hours: Value| {
        let patch = json!({ "business_hours": hours });
        owner.patch("settings", patch).await
    };
    let wrong = put(json!({ "monday": [["17:00", "09:00"]] })).await;
    assert_eq!(wrong.status, 422);
    assert_eq!(wrong.violations()[0].0, "/business_hours");
    let day = json!([["00:00", "24:00"]]);
    let week = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let always: Value = week
        .map(|name| (name.to_owned(), day.clone()))
        .into_iter()
        .collect();
    let kept = put(always.clone()).await.expect(200);
    assert_eq!(kept["business_hours"]["friday"], day);
    let contact = ada(&owner).await;
    owner.run("flow", &contact, &["done"]).await;
    // Today and tomorrow are holidays, wherever today is by then.
    let mut closed = always;
    let today = chrono::Utc::now().date_naive();
    closed["holidays"] = json!([today, today + chrono::Days::new(1)]);
    put(closed).await.expect(200);
    let contact = ada(&owner).await;
    let run = waiting(&owner, "flow", &contact, "delay").await;
    let next = today + chrono::Days::new(2);
    assert_eq!(run["due_at"], format!("{next}T00:00:00Z"));
}
