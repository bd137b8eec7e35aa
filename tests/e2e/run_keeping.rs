//! Runs that nothing moves are an alarm; old ones go when their time is over. The tests move times
//! instead of waiting for them.

use chrono::{DateTime, Datelike, Months, TimeDelta, Utc};
use crm_model::TenantId;
use crm_tests::app::TestApp;
use crm_tests::client::{Client, wait_until};
use crm_tests::cluster::cluster;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio_util::sync::CancellationToken;
use uuid::{NoContext, Timestamp, Uuid};

use crate::command::serving_only;

async fn database(app: &TestApp) -> PgConnection {
    PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap()
}

/// An office where two workflows start on each contact, one after the other.
async fn office(app: &TestApp) -> (TenantId, Client) {
    let (tenant, owner) = app.owner_of("office").await;
    for (slug, order) in [("first", 1), ("second", 2)] {
        let workflow = json!({ "slug": slug, "name": slug, "module": "contacts", "order": order,
            "trigger": { "on": "record_created" }, "steps": [
                { "action": "field-set",
                    "config": { "set": { "score": order.to_string() } } }] });
        owner.post("workflows", workflow).await.expect(201);
    }
    (tenant, owner)
}

async fn change(app: &TestApp, what: &str) {
    let statement = AssertSqlSafe(format!("update crm_jobs set {what}"));
    let done = sqlx::query(statement)
        .execute(&mut database(app).await)
        .await
        .unwrap();
    assert_ne!(done.rows_affected(), 0, "{what}");
}

/// The reasons of what is stuck, oldest run first, by the list and by each run; and how many the
/// whole installation counts.
async fn stuck(app: &TestApp, owner: &Client) -> (Vec<String>, i64) {
    let reasons = |page: &Value| -> Vec<String> {
        let runs = page["data"].as_array().unwrap().iter().rev();
        runs.filter_map(|run| run["stuck"].as_str().map(str::to_owned))
            .collect()
    };
    let listed = owner.get("runs?stuck=true").await.expect(200);
    let all = owner.get("runs").await.expect(200);
    assert_eq!(reasons(&listed), reasons(&all));
    assert_eq!(
        listed["data"].as_array().unwrap().len(),
        reasons(&all).len()
    );
    (
        reasons(&listed),
        app.engine.queue_health().await.unwrap().stuck,
    )
}

#[tokio::test]
async fn what_nothing_moves_is_told_with_its_reason() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (tenant, owner) = office(&app).await;
    owner.create("contacts", json!({ "name": "Ada" })).await;
    let (_, stranger) = app.owner_of("office").await;
    let nothing = (Vec::new(), 0);
    let these = |reasons: &[&str]| {
        let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        let count = i64::try_from(reasons.len()).unwrap();
        (reasons, count)
    };
    assert_eq!(stuck(&app, &owner).await, nothing);
    let health = app.engine.queue_health().await.unwrap();
    assert!(health.oldest_due.is_some_and(|due| due <= Utc::now()));

    let ago = |minutes: u32| format!("available_at = now() - interval '{minutes} minutes'");
    change(&app, &ago(9)).await;
    assert_eq!(stuck(&app, &owner).await, nothing, "it may still come");
    change(&app, &ago(11)).await;
    assert_eq!(stuck(&app, &owner).await, these(&["unclaimed", "behind"]));
    change(&app, "state = 'leased' where state = 'queued'").await;
    assert_eq!(stuck(&app, &owner).await, these(&["lease_over", "behind"]));
    let again = "available_at = now() + interval '1 minute', attempts = ";
    change(&app, &format!("{again} 40 where state = 'leased'")).await;
    assert_eq!(stuck(&app, &owner).await, these(&["behind"]));
    change(&app, &format!("{again} 41 where state = 'leased'")).await;
    assert_eq!(stuck(&app, &owner).await, these(&["no_end", "behind"]));
    let theirs = stranger.get("runs?stuck=true").await.expect(200);
    assert_eq!(theirs["data"], json!([]));

    // On purpose.
    let waits = async || {
        let runs = owner.get("runs").await.expect(200);
        let runs = runs["data"].as_array().unwrap().iter().rev();
        runs.map(|run| run["waits_for"].clone()).collect::<Vec<_>>()
    };
    let back = "state = 'queued', attempts = 0, available_at = now() - interval '1 hour'";
    change(&app, &format!("{back} where state = 'leased'")).await;
    let mut database = database(&app).await;
    for (put, take, reasons) in [
        (
            "insert into crm_deferrals values ($1, now() + interval '1 hour')",
            "delete from crm_deferrals where tenant_id = $1",
            json!(["fuel", "order"]),
        ),
        (
            "insert into crm_suspensions values ($1, now(), 'somebody')",
            "delete from crm_suspensions where tenant_id = $1",
            json!(["suspension", "suspension"]),
        ),
    ] {
        let put = sqlx::query(put).bind(tenant.uuid());
        put.execute(&mut database).await.unwrap();
        assert_eq!(stuck(&app, &owner).await, nothing);
        assert_eq!(json!(waits().await), reasons);
        let take = sqlx::query(take).bind(tenant.uuid());
        take.execute(&mut database).await.unwrap();
        assert_eq!(stuck(&app, &owner).await, these(&["unclaimed", "behind"]));
    }
    let plugin = "available_at = now() + interval '1 hour', error = ";
    for (error, reason) in [("the workflow is paused", "pause"), ("it is off", "plugin")] {
        change(&app, &format!("{plugin} '{error}' where state = 'queued'")).await;
        assert_eq!(waits().await[0], reason);
    }
    change(&app, "failures = 1 where state = 'queued'").await;
    assert_eq!(waits().await[0], Value::Null, "it is tried again");

    let cancelled = owner.post("runs/cancel", json!({ "stuck": true })).await;
    assert_eq!(cancelled.expect(200)["taken"], 1, "what waited behind");
    assert_eq!(stuck(&app, &owner).await, nothing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_tell_of_runs_that_are_stuck() {
    let app = TestApp::on(cluster().database().await, None).await;
    let (_, owner) = office(&app).await;
    owner.create("contacts", json!({ "name": "Ada" })).await;
    // The one before it is gone, so nobody will ever wake it.
    change(&app, "state = 'cancelled' where state = 'queued'").await;
    change(
        &app,
        "available_at = now() - interval '1 hour' where state = 'waiting'",
    )
    .await;
    let server = tokio::task::block_in_place(|| serving_only(&app.database.url(), &[]));
    let client = Client::new(&server.base, None);
    wait_until("the metrics tell", async || {
        let metrics = client.get("/metrics").await.expect(200);
        let lines: Vec<&str> = metrics.as_str().unwrap().lines().collect();
        lines.contains(&"crm_runs_stuck 1") && lines.contains(&"crm_jobs_oldest_due_seconds 0")
    })
    .await;
}

/// A copy of a run, with its log, that began and ended so many days ago.
async fn aged(database: &mut PgConnection, run: &str, days: i64) -> Uuid {
    let at = Utc::now() - TimeDelta::days(days);
    let seconds = u64::try_from(at.timestamp()).unwrap();
    let id = || Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, 0));
    let (job, run) = (id(), Uuid::parse_str(run).unwrap());
    sqlx::query(
        "insert into crm_jobs select (jsonb_populate_record(j, jsonb_build_object(
            'id', $2::uuid, 'created_at', $3::timestamptz, 'finished_at', $3::timestamptz))).*
        from crm_jobs j where j.id = $1",
    )
    .bind(run)
    .bind(job)
    .bind(at)
    .execute(&mut *database)
    .await
    .unwrap();
    sqlx::query(
        "insert into crm_workflow_logs select (jsonb_populate_record(l, jsonb_build_object(
            'id', $4::uuid, 'job_id', $2::uuid, 'started_at', $3::timestamptz))).*
        from crm_workflow_logs l where l.job_id = $1",
    )
    .bind(run)
    .bind(job)
    .bind(at)
    .bind(id())
    .execute(&mut *database)
    .await
    .unwrap();
    job
}

/// Which of these runs are there, each with how many entries of its log.
async fn kept(database: &mut PgConnection, runs: &[Uuid]) -> Vec<Option<i64>> {
    let mut kept = Vec::new();
    for run in runs {
        let job: bool = sqlx::query_scalar("select exists (select from crm_jobs where id = $1)")
            .bind(run)
            .fetch_one(&mut *database)
            .await
            .unwrap();
        let logs: i64 =
            sqlx::query_scalar("select count(*) from crm_workflow_logs where job_id = $1")
                .bind(run)
                .fetch_one(&mut *database)
                .await
                .unwrap();
        assert!(job || logs == 0, "a log without its run");
        kept.push(job.then_some(logs));
    }
    kept
}

async fn keep(app: &TestApp) {
    let stop = CancellationToken::new();
    let (one, other) = (app.engine.clone(), app.engine.clone());
    // As two instances do.
    let both = tokio::join!(one.run_logs_keep(&stop), other.run_logs_keep(&stop));
    both.0.unwrap();
    both.1.unwrap();
}

#[tokio::test]
async fn old_runs_go_when_the_tenants_time_is_over() {
    let app = TestApp::start().await;
    let (_, owner) = office(&app).await;
    let (_, stranger) = office(&app).await;
    let mut database = database(&app).await;
    let mut old = Vec::new();
    for client in [&owner, &stranger] {
        let ada = client.create("contacts", json!({ "name": "Ada" })).await;
        let run = client.run("second", &ada, &["done"]).await;
        let run = run["id"].as_str().unwrap().to_owned();
        let mut ages = Vec::new();
        for days in [10, 40, 100, 500] {
            ages.push(aged(&mut database, &run, days).await);
        }
        old.push(ages);
    }
    let settings = owner.get("settings").await.expect(200);
    assert_eq!(settings["run_log_days"], Value::Null);
    assert_eq!(settings["run_log_max_days"], 400);
    keep(&app).await;
    for runs in &old {
        let there = [Some(1), Some(1), Some(1), None];
        assert_eq!(
            kept(&mut database, runs).await,
            there,
            "the operator's time"
        );
    }

    for (days, status) in [(401, 422), (0, 422), (30, 200)] {
        let patch = json!({ "run_log_days": days });
        let answer = owner.patch("settings", patch).await;
        assert_eq!(answer.status, status, "{days}: {}", answer.body);
        if status == 422 {
            assert_eq!(answer.violations()[0].0, "/run_log_days");
        }
    }
    // What has not ended stays, and what something is still to come of.
    let open = "update crm_jobs set state = 'queued', finished_at = null, \
                available_at = now() + interval '1 day' where id = $1";
    let run = sqlx::query(open).bind(old[0][1]);
    run.execute(&mut database).await.unwrap();
    let later = aged(&mut database, &old[0][2].to_string(), 90).await;
    sqlx::query(
        "insert into crm_effects (tenant_id, job_id, number, kind, target, effect, secrets,
            workflow_slug, record_id, state, available_at, created_at)
        select tenant_id, id, 1, 'schedule', 'k', '{}', '[]', workflow_slug, record_id, 'queued',
            now() + interval '1 day', now()
        from crm_jobs where id = $1",
    )
    .bind(later)
    .execute(&mut database)
    .await
    .unwrap();
    keep(&app).await;
    let own = [old[0][0], old[0][1], old[0][2], later];
    let expected = [Some(1), Some(0), None, Some(0)];
    assert_eq!(kept(&mut database, &own).await, expected);
    let theirs = kept(&mut database, &old[1][..3]).await;
    assert_eq!(theirs, [Some(1); 3], "another tenant's");
    let runs = owner.get("runs?workflow=second").await.expect(200);
    assert_eq!(runs["data"].as_array().unwrap().len(), 4, "with today's");

    let done = "update crm_effects set state = 'done' where job_id = $1";
    let done = sqlx::query(done).bind(later);
    done.execute(&mut database).await.unwrap();
    keep(&app).await;
    assert_eq!(kept(&mut database, &[later]).await, [None]);
    let effects: i64 = sqlx::query_scalar("select count(*) from crm_effects")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(effects, 0, "what became of what it asked for goes with it");
}

fn month(at: DateTime<Utc>) -> String {
    format!("crm_log.runs_{}_{:02}", at.year(), at.month())
}

#[tokio::test]
async fn months_of_the_log_come_and_go_as_tables() {
    let app = TestApp::on(cluster().database().await, None).await;
    let mut database = database(&app).await;
    let (now, old) = (Utc::now(), Utc::now() - TimeDelta::days(500));
    let next = now.checked_add_months(Months::new(1)).unwrap();
    let drop = AssertSqlSafe(format!("drop table {}", month(next)));
    sqlx::query(drop).execute(&mut database).await.unwrap();
    let made: bool = sqlx::query_scalar("select crm_run_log_month($1)")
        .bind(old)
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert!(made);
    // An entry of a month that there is no table for yet.
    let far = now.checked_add_months(Months::new(30)).unwrap();
    for at in [now, old, far] {
        sqlx::query(
            "insert into crm_workflow_logs (tenant_id, id, job_id, workflow_slug, attempt, status,
                input, steps, mutations, fuel, memory_bytes, duration_us, started_at)
            values (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'w', 1, 'done', '{}',
                '[]', '[]', 0, 0, 0, $1)",
        )
        .bind(at)
        .execute(&mut database)
        .await
        .unwrap();
    }
    let tables = async |database: &mut PgConnection| {
        let tables: Vec<String> = sqlx::query_scalar(
            "select tableoid::regclass::text from crm_workflow_logs order by started_at",
        )
        .fetch_all(database)
        .await
        .unwrap();
        tables
    };
    let other = "crm_log.runs_other".to_owned();
    let expected = [month(old), month(now), other.clone()];
    assert_eq!(tables(&mut database).await, expected);
    let is_there = async |database: &mut PgConnection, at| {
        let there: bool = sqlx::query_scalar("select to_regclass($1) is not null")
            .bind(month(at))
            .fetch_one(database)
            .await
            .unwrap();
        there
    };
    keep(&app).await;
    assert!(is_there(&mut database, next).await);
    assert!(!is_there(&mut database, old).await);
    assert_eq!(tables(&mut database).await, [month(now), other]);

    // Who serves drops no newer month, whatever it says, and makes none on its own.
    let mut runtime = PgConnection::connect_with(&app.database.runtime())
        .await
        .unwrap();
    let dropped: Option<i32> = sqlx::query_scalar("select crm_run_logs_drop(-1000)")
        .fetch_one(&mut runtime)
        .await
        .unwrap();
    assert_eq!(dropped, Some(0));
    assert!(is_there(&mut database, now).await);
    for refused in [
        "select crm_run_log_month(now())".to_owned(),
        format!("drop table {}", month(now)),
        format!("select from {}", month(now)),
        "delete from crm_workflow_logs".to_owned(),
        "delete from crm_jobs".to_owned(),
    ] {
        let error = sqlx::query(AssertSqlSafe(refused.clone()))
            .execute(&mut runtime)
            .await
            .unwrap_err();
        let code = error.as_database_error().and_then(|error| error.code());
        assert_eq!(code.as_deref(), Some("42501"), "{refused}: {error}");
    }
}
