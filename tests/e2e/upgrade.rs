//! A database of an older version is brought up to date with what it holds, by an owner who is
//! no superuser.

use crm_store::admin::Admin;
use crm_tests::cluster::cluster;
use serde_json::json;
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::path::Path;
use uuid::Uuid;

/// The last migration before the typed index.
const OLDER: i64 = 17;

#[tokio::test]
async fn records_of_an_older_version_get_their_place_in_the_index() {
    let database = cluster().blank_database().await;
    let mut superuser = PgConnection::connect_with(&database.owner()).await.unwrap();
    let owner = format!("older_owner_{}", database.name);
    for statement in [
        format!("create role {owner} createrole"),
        format!("grant crm_runtime, crm_scheduler, crm_purger to {owner}"),
        format!("alter database {} owner to {owner}", database.name),
    ] {
        superuser
            .execute(sqlx::query(AssertSqlSafe(statement)))
            .await
            .unwrap();
    }
    let as_owner = database.owner().options([("role", owner.as_str())]);
    let mut older = PgConnection::connect_with(&as_owner).await.unwrap();
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations"));
    let mut migrator = Migrator::new(folder).await.unwrap();
    let first: Vec<_> = migrator
        .iter()
        .filter(|migration| migration.version <= OLDER)
        .cloned()
        .collect();
    migrator.migrations = first.into();
    migrator.run(&mut older).await.unwrap();

    let (tenant, record) = (Uuid::now_v7(), Uuid::now_v7());
    let definition = json!({"modules": [{"slug": "books", "label": "Book", "fields": [
        {"key": "title", "label": "Title", "type": "text"},
        {"key": "next", "label": "Next", "type": "relation", "module": "books"},
    ]}]});
    sqlx::query(
        "insert into crm_templates (slug, version, title, description, definition, digest)
        values ('library', '1.0.0', 'Library', '', $1, '')",
    )
    .bind(definition)
    .execute(&mut superuser)
    .await
    .unwrap();
    sqlx::query(
        "insert into tenant_crm_configs (
            tenant_id, template_slug, template_version, model_version, selected_at, selected_by)
        values ($1, 'library', '1.0.0', 1, now(), 'ada')",
    )
    .bind(tenant)
    .execute(&mut superuser)
    .await
    .unwrap();
    sqlx::query(
        "insert into crm_records (
            tenant_id, id, module_slug, data, version, owner_id, created_at, created_by,
            updated_at, updated_by)
        values ($1, $2, 'books', '{}', 1, 'ada', now(), 'ada', now(), 'ada')",
    )
    .bind(tenant)
    .bind(record)
    .execute(&mut superuser)
    .await
    .unwrap();
    sqlx::query(
        "insert into crm_activities (
            tenant_id, id, module_slug, record_id, kind, title, created_at, created_by, cause)
        values ($1, $2, 'books', $2, 'note', 'hello', now(), 'ada', '{}')",
    )
    .bind(tenant)
    .bind(record)
    .execute(&mut superuser)
    .await
    .unwrap();

    for days in [0, 20, 1_000] {
        sqlx::query(
            "insert into crm_workflow_logs (tenant_id, id, job_id, workflow_slug, attempt, status,
                input, steps, mutations, fuel, memory_bytes, duration_us, started_at)
            values ($1, gen_random_uuid(), gen_random_uuid(), 'w', 1, 'done', '{}', '[]', '[]', 0,
                0, 0, now() - make_interval(days => $2))",
        )
        .bind(tenant)
        .bind(days)
        .execute(&mut superuser)
        .await
        .unwrap();
    }

    Admin::connect(&as_owner)
        .await
        .unwrap()
        .migrate()
        .await
        .unwrap();
    let tasks: Vec<(serde_json::Value, String)> =
        sqlx::query_as("select spec, status from crm_tasks where tenant_id = $1")
            .bind(tenant)
            .fetch_all(&mut superuser)
            .await
            .unwrap();
    let spec = json!({"kind": "reindex", "module": "books", "fields": ["next"]});
    assert_eq!(tasks, [(spec, "queued".to_owned())]);
    let building: Vec<(String, String)> =
        sqlx::query_as("select module_slug, field_key from crm_fields_building")
            .fetch_all(&mut superuser)
            .await
            .unwrap();
    assert_eq!(building, [("books".to_owned(), "next".to_owned())]);
    let told: i64 = sqlx::query_scalar("select count(*) from crm_activities where at = created_at")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    assert_eq!(told, 1);
    let logs: Vec<String> = sqlx::query_scalar(
        "select tableoid::regclass::text from crm_workflow_logs order by started_at",
    )
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    assert_eq!(logs.len(), 3);
    assert_eq!(logs[0], "crm_log.runs_other", "older than a year");
    let in_months = logs[1..].iter().all(|table| table != "crm_log.runs_other");
    assert!(in_months, "{logs:?}");
    let open: i64 = sqlx::query_scalar(
        "select count(*) from pg_class
        where relrowsecurity and not relforcerowsecurity and (relname like '%crm%' or relname like 'runs_%')",
    )
    .fetch_one(&mut superuser)
    .await
    .unwrap();
    assert_eq!(open, 0, "every table is closed again");
}
