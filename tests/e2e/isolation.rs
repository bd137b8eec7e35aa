//! Tenants do not see or touch each other: by no endpoint, and by no statement of the runtime's
//! role.

use crm_tests::app::TestApp;
use reqwest::Method;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

#[tokio::test]
async fn another_tenants_things_do_not_exist() {
    let app = TestApp::start().await;
    let (_, alice) = app.owner_of("hostile").await;
    let (_, mallory) = app.owner_of("hostile").await;
    let record = alice
        .create("victims", json!({"name": "secret", "mode": "tell"}))
        .await;
    let run = alice.run("tell", &record, &["done"]).await;
    let run = run["id"].as_str().unwrap();
    let own = mallory.create("victims", json!({"name": "own"})).await;

    let missing = mallory
        .get(&format!("records/victims/{}", uuid::Uuid::now_v7()))
        .await;
    let body = json!({"data": {"name": "taken over"}}).to_string();
    let note = json!({"kind": "note", "title": "hello"}).to_string();
    let path = format!("records/victims/{record}");
    let attempts = [
        (Method::GET, path.clone(), None),
        (Method::PATCH, path.clone(), Some(body.clone())),
        (Method::PUT, path.clone(), Some(body.clone())),
        (Method::DELETE, path.clone(), None),
        (Method::GET, format!("{path}/history"), None),
        (Method::GET, format!("{path}/activities"), None),
        (Method::POST, format!("{path}/activities"), Some(note)),
        (Method::GET, format!("runs/{run}"), None),
        (Method::GET, "records/nowhere".to_owned(), None),
        (Method::GET, "records/No%20Such".to_owned(), None),
        (Method::POST, "records/nowhere".to_owned(), Some(body)),
        (Method::GET, "records/victims/not-an-id".to_owned(), None),
        (Method::GET, "modules/nowhere".to_owned(), None),
        (Method::GET, "runs/not-an-id".to_owned(), None),
    ];
    for (method, path, body) in attempts {
        let answer = mallory.call(method.clone(), &path, &[], body).await;
        assert_eq!(answer.status, 404, "{method} {path}");
        let without_id = |answer: &crm_tests::client::Answer| {
            let mut body = answer.body.clone();
            body.as_object_mut().unwrap().remove("request_id");
            body
        };
        assert_eq!(
            without_id(&answer),
            without_id(&missing),
            "{method} {path}: the same 404"
        );
    }
    let listed = mallory
        .get("records/victims?include=total")
        .await
        .expect(200);
    assert_eq!(listed["total"]["value"], 1);
    assert_eq!(listed["data"][0]["id"], json!(own));
    assert_eq!(mallory.get("runs").await.expect(200)["data"], json!([]));
    let untouched = alice.get(&path).await.expect(200);
    assert_eq!(untouched["data"]["name"], "secret");
    assert_eq!(
        untouched["version"], 2,
        "created, and told by its own workflow"
    );
}

#[tokio::test]
async fn the_runtime_role_is_held_by_the_database() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hostile").await;
    let record = owner
        .create("victims", json!({"name": "secret", "mode": "tell"}))
        .await;
    owner.run("tell", &record, &["done"]).await;
    let import = owner.upload("victims", "name\nv\n").await.expect(201);
    let dry = json!({"dry_run": true});
    owner.import(import["id"].as_str().unwrap(), dry).await;

    let mut runtime = PgConnection::connect_with(&app.database.runtime())
        .await
        .unwrap();
    let role = sqlx::query(
        "select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb,
            exists (select from pg_class where relowner = pg_roles.oid)
            or exists (select from pg_proc where proowner = pg_roles.oid)
            or exists (select from pg_namespace where nspowner = pg_roles.oid)
            or exists (select from pg_type where typowner = pg_roles.oid)
        from pg_roles where rolname = current_user and rolname = session_user",
    )
    .fetch_one(&mut runtime)
    .await
    .unwrap();
    for right in 0..5 {
        assert!(
            !role.get::<bool, _>(right),
            "right {right} of the runtime's role"
        );
    }

    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let tables: Vec<(String, bool, bool, bool)> = sqlx::query_as(
        "select format('%I.%I', n.nspname, c.relname), c.relrowsecurity, c.relforcerowsecurity,
            exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id')
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'v', 'm') and n.nspname in ('public', 'os', 'crm_log')
        order by 1",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    assert!(tables.len() >= 16, "{tables:?}");
    for (table, enabled, forced, of_a_tenant) in &tables {
        if *of_a_tenant {
            assert!(
                enabled & forced,
                "{table} has row-level security enabled and forced"
            );
            let filled: bool = sqlx::query_scalar(AssertSqlSafe(format!(
                "select exists (select from {table})"
            )))
            .fetch_one(&mut admin)
            .await
            .unwrap();
            let used = [
                "public.tenant_crm_configs",
                "public.crm_plugin_installs",
                "public.crm_records",
                "public.crm_record_history",
                "public.crm_events",
                "public.crm_jobs",
                "public.crm_workflow_logs",
            ];
            assert!(
                filled || !used.contains(&table.as_str()),
                "{table} has rows to hide"
            );
        }
        // No right at all, or no rows.
        let seen: Result<i64, sqlx::Error> =
            sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table}")))
                .fetch_one(&mut runtime)
                .await;
        match seen {
            Ok(rows) => assert_eq!(rows, 0, "without a tenant, {table} shows rows"),
            Err(error) => {
                let code = error.as_database_error().and_then(|error| error.code());
                assert_eq!(code.as_deref(), Some("42501"), "{table}: {error}");
            }
        }
    }

    check_keys(&mut admin).await;
    check_policies(&mut admin).await;
}

/// Keys, foreign keys (on both ends) and unique indexes of tenants' tables start with the tenant,
/// so that no tenant learns by a conflict what another has.
async fn check_keys(admin: &mut PgConnection) {
    let keys: Vec<(String, String)> = sqlx::query_as(
        "select c.conrelid::regclass::text, c.conname
        from pg_constraint c
        join pg_attribute first on first.attrelid = c.conrelid and first.attnum = c.conkey[1]
        where c.contype in ('p', 'u', 'f') and first.attname <> 'tenant_id'
            and exists (select from pg_attribute a
                where a.attrelid = c.conrelid and a.attname = 'tenant_id')",
    )
    .fetch_all(&mut *admin)
    .await
    .unwrap();
    assert_eq!(
        keys,
        [],
        "every key of a tenant's table starts with tenant_id"
    );
    let ends: Vec<(String, String)> = sqlx::query_as(
        "select c.conrelid::regclass::text, c.conname
        from pg_constraint c
        join pg_attribute first on first.attrelid = c.confrelid and first.attnum = c.confkey[1]
        where c.contype = 'f' and first.attname <> 'tenant_id'
            and exists (select from pg_attribute a
                where a.attrelid = c.conrelid and a.attname = 'tenant_id')",
    )
    .fetch_all(&mut *admin)
    .await
    .unwrap();
    assert_eq!(ends, [], "every foreign key points to the same tenant");
    let indexes: Vec<String> = sqlx::query_scalar(
        "select i.indexrelid::regclass::text
        from pg_index i
        left join pg_attribute first on first.attrelid = i.indrelid and first.attnum = i.indkey[0]
        where i.indisunique and first.attname is distinct from 'tenant_id'
            and exists (select from pg_attribute a join pg_class c on c.oid = a.attrelid
                join pg_namespace n on n.oid = c.relnamespace
                where a.attrelid = i.indrelid and a.attname = 'tenant_id'
                    and n.nspname in ('public', 'os'))",
    )
    .fetch_all(&mut *admin)
    .await
    .unwrap();
    assert_eq!(
        indexes, [""; 0],
        "every unique index of a tenant's table starts with tenant_id"
    );
}

async fn check_policies(admin: &mut PgConnection) {
    let policies: Vec<(String, String)> = sqlx::query_as(
        "select p.polrelid::regclass::text, p.polname::text from pg_policy p
        where (p.polqual is null or p.polwithcheck is null)
            and exists (select from pg_attribute a
                where a.attrelid = p.polrelid and a.attname = 'tenant_id')
        order by 1, 2",
    )
    .fetch_all(&mut *admin)
    .await
    .unwrap();
    assert_eq!(
        policies,
        [],
        "every policy holds for what is read and written"
    );
    let open: Vec<(String, String, String)> = sqlx::query_as(
        "select p.polrelid::regclass::text, p.polname::text,
            (select string_agg(r::regrole::text, ',') from unnest(p.polroles) as r)
        from pg_policy p
        where pg_get_expr(p.polqual, p.polrelid) not like '%crm.tenant_id%'
            and p.polroles <> array[current_user::text::regrole::oid]
        order by 1",
    )
    .fetch_all(&mut *admin)
    .await
    .unwrap();
    let names: Vec<&str> = open.iter().map(|(table, ..)| table.as_str()).collect();
    assert_eq!(
        names,
        [
            "crm_concurrency",
            "crm_deferrals",
            "crm_effects",
            "crm_jobs",
            "crm_quotas",
            "crm_schedules",
            "crm_suspensions",
            "crm_tasks"
        ],
        "{open:?}"
    );
    assert!(
        open.iter().all(|(_, _, roles)| roles == "crm_scheduler"),
        "who looks across tenants: {open:?}"
    );
    let views: Vec<String> = sqlx::query_scalar(
        "select c.oid::regclass::text
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('public', 'os') and (c.relkind = 'm'
            or c.relkind = 'v' and not coalesce(c.reloptions, '{}') @> '{security_invoker=true}')",
    )
    .fetch_all(&mut *admin)
    .await
    .unwrap();
    assert_eq!(views, [""; 0], "views with their owner's rights");

    let definers: Vec<String> = sqlx::query_scalar(
        "select p.proname::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where p.prosecdef and n.nspname in ('public', 'os')
        order by 1",
    )
    .fetch_all(&mut *admin)
    .await
    .unwrap();
    assert_eq!(
        definers,
        [
            "crm_effects_lease",
            "crm_field_forget",
            "crm_field_forget_runs",
            "crm_jobs_lease",
            "crm_jobs_watch",
            "crm_plan_set",
            "crm_plugin_kills_list",
            "crm_quota_set",
            "crm_record_purge",
            "crm_run_log_month",
            "crm_run_logs_ahead",
            "crm_run_logs_drop",
            "crm_runs_tenants",
            "crm_runs_trim",
            "crm_schedules_due",
            "crm_tasks_lease"
        ],
        "functions with their owner's rights"
    );
}

#[tokio::test]
async fn a_tenant_cannot_write_rows_of_another() {
    let app = TestApp::start().await;
    let (alice, _) = app.owner_of("hostile").await;
    let (mallory, _) = app.owner_of("hostile").await;
    let mut runtime = PgConnection::connect_with(&app.database.runtime())
        .await
        .unwrap();
    let mut transaction = runtime.begin().await.unwrap();
    sqlx::query("select crm_tenant_begin($1)")
        .bind(mallory.uuid())
        .execute(&mut *transaction)
        .await
        .unwrap();
    let stolen =
        sqlx::query("update tenant_crm_configs set model_version = 99 where tenant_id = $1")
            .bind(alice.uuid())
            .execute(&mut *transaction)
            .await
            .unwrap();
    assert_eq!(stolen.rows_affected(), 0);
    let planted = sqlx::query(
        "insert into crm_workflows (tenant_id, slug, newest_version, created_at, created_by)
        values ($1, 'x', 1, now(), 'mallory')",
    )
    .bind(alice.uuid())
    .execute(&mut *transaction)
    .await;
    let code = planted
        .unwrap_err()
        .into_database_error()
        .unwrap()
        .code()
        .unwrap()
        .into_owned();
    assert_eq!(code, "42501", "new row violates row-level security policy");
}

#[tokio::test]
async fn a_store_refuses_a_role_that_sees_too_much() {
    use crm_store::{Store, StoreError, StoreSettings};
    let app = TestApp::start().await;
    let store = Store::connect(app.database.owner(), StoreSettings::default()).await;
    assert!(matches!(store, Err(StoreError::UnsafeRole { .. })));
    let taken_on = crm_store::admin::runtime_options(app.database.owner());
    let store = Store::connect(taken_on, StoreSettings::default())
        .await
        .unwrap();
    assert!(store.schema_version().await.unwrap().is_some());
}

#[tokio::test]
async fn the_hosts_own_tables_are_left_as_they_are() {
    use crm_store::admin::Admin;
    let database = crm_tests::cluster::cluster().blank_database().await;
    let mut host = PgConnection::connect_with(&database.owner()).await.unwrap();
    sqlx::raw_sql(
        "create schema os;
        create table os.tenants (id uuid primary key, name text, plan text);
        insert into os.tenants values
            ('00000000-0000-0000-0000-00000000000a', 'Alice', 'gold'),
            ('00000000-0000-0000-0000-00000000000b', 'Bob', 'tin');
        grant usage on schema os to crm_runtime;
        grant select (id, name) on os.tenants to crm_runtime",
    )
    .execute(&mut host)
    .await
    .unwrap();
    // Two processes that start at once on a new database: one migrates, one waits.
    let (mut one, mut other) = (
        Admin::connect(&database.owner()).await.unwrap(),
        Admin::connect(&database.owner()).await.unwrap(),
    );
    let (first, second) = tokio::join!(one.migrate(), other.migrate());
    first.unwrap();
    second.unwrap();
    let untouched: bool = sqlx::query_scalar(
        "select not c.relrowsecurity and count(a) = 3
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
        where c.oid = 'os.tenants'::regclass group by c.relrowsecurity",
    )
    .fetch_one(&mut host)
    .await
    .unwrap();
    assert!(untouched);
    let writes: bool = sqlx::query_scalar(
        "select has_table_privilege('crm_runtime', 'os.tenants', 'insert, update, delete')",
    )
    .fetch_one(&mut host)
    .await
    .unwrap();
    assert!(
        !writes,
        "the runtime's role reads the host's tables and never writes them"
    );
    let mut runtime = PgConnection::connect_with(&database.runtime())
        .await
        .unwrap();
    let names = "select array_agg(name) from crm_tenants";
    let none: Option<Vec<String>> = sqlx::query_scalar(names)
        .fetch_one(&mut runtime)
        .await
        .unwrap();
    assert_eq!(none, None, "without a tenant");
    let mut transaction = runtime.begin().await.unwrap();
    sqlx::query("select crm_tenant_begin('00000000-0000-0000-0000-00000000000a')")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let own: Option<Vec<String>> = sqlx::query_scalar(names)
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
    assert_eq!(own, Some(vec!["Alice".to_owned()]));
    transaction.rollback().await.unwrap();
    check_host_is_out_of_reach(&mut runtime).await;
}

/// As the runtime's own role: the host's tables cannot be written, nor owned.
async fn check_host_is_out_of_reach(runtime: &mut PgConnection) {
    for statement in [
        "insert into os.tenants (id, name) values (gen_random_uuid(), 'x')",
        "update os.tenants set name = 'x'",
        "delete from os.tenants",
        "update crm_tenants set name = 'x'",
        "insert into crm_tenants (id, name) values (gen_random_uuid(), 'x')",
        "select from os.platform_users",
        "insert into os.platform_users values (gen_random_uuid(), 'x', 'x')",
        "select from os.apps",
        "insert into os.apps values ('x', 'x')",
        "select from os.tenant_apps",
        "insert into os.tenant_apps values (gen_random_uuid(), 'x')",
        "create table os.mine (id uuid)",
        "create table public.mine (id uuid)",
    ] {
        let refused = sqlx::query(statement).execute(&mut *runtime).await;
        let refused = refused.expect_err(statement);
        let code = refused.as_database_error().unwrap().code().unwrap();
        assert_eq!(code, "42501", "{statement}");
    }
    let owned: i64 = sqlx::query_scalar(
        "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'os' and (pg_has_role(current_user, c.relowner, 'usage')
            or pg_has_role(current_user, n.nspowner, 'usage'))",
    )
    .fetch_one(&mut *runtime)
    .await
    .unwrap();
    assert_eq!(owned, 0, "nothing of the host's is the runtime's");
}

#[tokio::test]
async fn without_a_host_its_tables_stand_there_and_are_out_of_reach() {
    let app = TestApp::start().await;
    let mut runtime = PgConnection::connect_with(&app.database.runtime())
        .await
        .unwrap();
    check_host_is_out_of_reach(&mut runtime).await;
}
