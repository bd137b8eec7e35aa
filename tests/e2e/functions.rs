//! The functions of the database.

use crm_tests::cluster::cluster;
use sqlx::{Connection, PgConnection};

/// PostgreSQL reads, analyses and plans those in SQL anew for each call, but for the two of one
/// expression, which become a part of what calls them. The others here are called seldom.
#[tokio::test]
async fn what_is_called_often_keeps_its_plans() {
    let database = cluster().database().await;
    let mut owner = PgConnection::connect_with(&database.owner()).await.unwrap();
    let in_sql: Vec<String> = sqlx::query_scalar(
        "select p.proname::text
        from pg_proc p
        join pg_namespace n on n.oid = p.pronamespace
        join pg_language l on l.oid = p.prolang
        where l.lanname = 'sql' and n.nspname in ('public', 'os')
        order by 1",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert_eq!(
        in_sql,
        [
            "crm_line",
            "crm_plugin_kills_list",
            "crm_run_logs_from",
            "crm_run_rests_for",
            "crm_schedules_due",
            "crm_webhook_line"
        ],
        "functions in SQL"
    );
}
