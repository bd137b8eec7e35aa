//! Workflows that a time starts. The tests move what is due to now instead of waiting for it.

use chrono::{Duration, Utc};
use crm_tests::app::TestApp;
use crm_tests::client::{Client, wait_until};
use crm_tests::cluster::TestDatabase;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

const ENDED: &[&str] = &["done", "dead"];

async fn office() -> (TestApp, Client) {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("office").await;
    for (key, kind) in [("due", "date"), ("meets_at", "datetime")] {
        let field = json!({ "key": key, "label": key, "type": kind });
        owner
            .post("modules/contacts/fields", field)
            .await
            .expect(201);
    }
    owner.tasks_end().await;
    (app, owner)
}

fn flow(trigger: Value, steps: Value) -> Value {
    let mut on = json!({ "on": "time_reached" });
    on.as_object_mut()
        .unwrap()
        .extend(trigger.as_object().unwrap().clone());
    json!({ "slug": "flow", "name": "Flow", "module": "contacts", "trigger": on, "steps": steps })
}

fn sets(value: &str) -> Value {
    json!([{ "id": "set", "action": "field-set", "config": { "set": { "status": value } } }])
}

async fn database(app: &TestApp) -> PgConnection {
    connection(&app.database).await
}

async fn connection(database: &TestDatabase) -> PgConnection {
    PgConnection::connect_with(&database.owner()).await.unwrap()
}

/// When the workflow is looked at next; none where it is not.
async fn next(app: &TestApp) -> Option<chrono::DateTime<Utc>> {
    sqlx::query_scalar("select next_at from crm_schedules where workflow_slug = 'flow'")
        .fetch_optional(&mut database(app).await)
        .await
        .unwrap()
}

/// Lets the workflow be due, and waits until somebody has looked.
async fn look(app: &TestApp) {
    let mut database = database(app).await;
    let due = "update crm_schedules set next_at = now() - interval '1 second'";
    let done = sqlx::query(due).execute(&mut database).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
    wait_until("the schedule is kept", async || {
        next(app).await.is_some_and(|next| next > Utc::now())
    })
    .await;
}

async fn runs(owner: &Client) -> Vec<Value> {
    let runs = owner.get("runs?workflow=flow").await.expect(200);
    runs["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_clock_starts_one_run_at_each_time() {
    let (app, owner) = office().await;
    let steps = json!([{ "for_each": { "module": "contacts", "filter":
            { "field": "status", "op": "eq", "value": "new" } },
        "do": sets("'warm'") }]);
    let first = owner
        .create("contacts", json!({ "name": "Ada", "status": "new" }))
        .await;
    let cron = json!({ "cron": "0 9 * * *" });
    let added = owner.post("workflows", flow(cron, steps)).await.expect(201);
    assert_eq!(added["run_as"], "itself", "nobody causes it");
    assert!(next(&app).await.unwrap() > Utc::now());
    assert_eq!(runs(&owner).await.len(), 0);

    look(&app).await;
    wait_until("the run is done", async || {
        runs(&owner).await.iter().any(|run| run["status"] == "done")
    })
    .await;
    let all = runs(&owner).await;
    assert_eq!(all.len(), 1, "however many look: {all:?}");
    let path = format!("records/contacts/{first}");
    assert_eq!(owner.get(&path).await.expect(200)["data"]["status"], "warm");
}

#[tokio::test]
async fn a_date_starts_one_run_for_each_record_and_again_when_it_moves() {
    let (app, owner) = office().await;
    let date = json!({ "date": { "field": "meets_at", "minutes": -60 } });
    let mut workflow = flow(date, sets("'warm'"));
    workflow["condition"] = json!("after.name != 'Nobody'");
    owner.post("workflows", workflow).await.expect(201);
    let at = |minutes: i64| (Utc::now() + Duration::minutes(minutes)).to_rfc3339();
    let contact = |name: &str, at: String| json!({ "name": name, "meets_at": at });
    let passed = owner.create("contacts", contact("Passed", at(30))).await;
    let later = owner.create("contacts", contact("Later", at(600))).await;
    look(&app).await;
    assert_eq!(
        runs(&owner).await.len(),
        0,
        "what has passed, or is yet to come"
    );

    // As if it had been looked for ten minutes ago.
    let seen =
        (Utc::now() + Duration::minutes(50)).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let back = "update crm_schedules set reached = $1";
    let mut store = database(&app).await;
    sqlx::query(back)
        .bind(&seen)
        .execute(&mut store)
        .await
        .unwrap();
    let due = owner.create("contacts", contact("Due", at(55))).await;
    owner.create("contacts", contact("Nobody", at(55))).await;
    look(&app).await;
    let run = owner.run("flow", &due, ENDED).await;
    assert_eq!(run["status"], "done", "{run}");
    look(&app).await;
    assert_eq!(runs(&owner).await.len(), 1, "once for each");
    let input = &run["log"][0]["input"]["event"];
    assert_eq!(input["kind"], "time_reached");

    let path = format!("records/contacts/{later}");
    let moved = json!({ "data": { "meets_at": at(55) } });
    owner.patch(&path, moved).await.expect(200);
    sqlx::query(back)
        .bind(&seen)
        .execute(&mut store)
        .await
        .unwrap();
    look(&app).await;
    owner.run("flow", &later, ENDED).await;
    let path = format!("records/contacts/{passed}");
    assert_eq!(
        owner.get(&path).await.expect(200)["data"]["status"],
        Value::Null
    );
}

/// Records of a page, and one more.
const OVER_A_PAGE: usize = 201;

#[tokio::test]
async fn many_records_are_started_page_by_page() {
    let (app, owner) = office().await;
    let date = json!({ "date": { "field": "due", "days": 0 } });
    owner
        .post("workflows", flow(date, sets("'warm'")))
        .await
        .expect(201);
    let yesterday = Utc::now().date_naive().pred_opt().unwrap().to_string();
    let contacts = (0..OVER_A_PAGE).map(|number| {
        let data = json!({ "name": format!("Contact {number}"), "due": yesterday });
        json!({ "op": "create", "data": data })
    });
    let bulk = json!({ "atomic": true, "operations": contacts.collect::<Vec<_>>() });
    owner.post("records/contacts/bulk", bulk).await.expect(200);
    // The database takes a page's runs and no more, as if somebody had been killed then.
    let mut store = database(&app).await;
    for sql in [
        "create sequence started",
        "create function refuse() returns trigger language plpgsql security definer as $$ begin
            if nextval('started') > 200 then raise exception 'enough'; end if; return new;
        end $$",
        "create trigger refuse after insert on crm_jobs for each row
            when (new.workflow_slug = 'flow') execute function refuse()",
        "update crm_schedules set reached = '2000-01-01'",
    ] {
        sqlx::query(sql).execute(&mut store).await.unwrap();
    }
    let count = async |store: &mut PgConnection| -> i64 {
        let runs = "select count(*) from crm_jobs where workflow_slug = 'flow'";
        sqlx::query_scalar(runs).fetch_one(store).await.unwrap()
    };
    look(&app).await;
    assert_eq!(
        count(&mut store).await,
        200,
        "a page stays where the next fails"
    );

    sqlx::query("drop trigger refuse on crm_jobs")
        .execute(&mut store)
        .await
        .unwrap();
    look(&app).await;
    assert_eq!(count(&mut store).await, 201);
    let records = "select count(distinct record_id) from crm_jobs where workflow_slug = 'flow'";
    let records: i64 = sqlx::query_scalar(records)
        .fetch_one(&mut store)
        .await
        .unwrap();
    assert_eq!(records, 201, "each once");
    look(&app).await;
    assert_eq!(count(&mut store).await, 201, "and no more");
}

#[tokio::test]
async fn what_rests_or_goes_is_not_looked_at() {
    let (app, owner) = office().await;
    let date = json!({ "date": { "field": "due", "days": -3, "at": "09:00" } });
    let daily = flow(date, sets("'warm'"));
    owner.post("workflows", daily).await.expect(201);
    let before = next(&app).await.unwrap();
    let zone = json!({ "time_zone": "Pacific/Kiritimati" });
    owner.patch("settings", zone).await.expect(200);
    assert_ne!(next(&app).await.unwrap(), before, "in the tenant's zone");
    for (paused, is_there) in [(true, false), (false, true)] {
        let pause = json!({ "paused": paused });
        owner.patch("workflows/flow", pause).await.expect(200);
        assert_eq!(next(&app).await.is_some(), is_there);
    }
    assert_eq!(owner.delete("workflows/flow").await.status, 204);
    assert_eq!(next(&app).await, None);

    let wrong = flow(json!({ "cron": "0 9 30 2 *" }), sets("'warm'"));
    let refused = owner.post("workflows", wrong).await;
    assert_eq!(refused.status, 422);
    assert!(
        refused.body.to_string().contains("never reached"),
        "{refused:?}"
    );
}
