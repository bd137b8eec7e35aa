//! Search across modules: what is found, in which order, by whom, and how PostgreSQL goes about
//! it.

use crm_model::TenantId;
use crm_tests::app::TestApp;
use crm_tests::client::Client;
use crm_tests::cluster::cluster;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

async fn hospital() -> (TestApp, TenantId, Client) {
    let app = TestApp::on(cluster().database().await, None).await;
    let (tenant, owner) = app.owner_of("hospital").await;
    (app, tenant, owner)
}

async fn patient(client: &Client, name: &str) -> String {
    client.create("patients", json!({"full_name": name})).await
}

async fn doctor(client: &Client, name: &str) -> String {
    let data = json!({"full_name": name, "specialty": "other"});
    client.create("doctors", data).await
}

fn column<'a>(found: &'a Value, key: &str) -> Vec<&'a str> {
    let rows = found["data"].as_array().unwrap().iter();
    rows.map(|row| row[key].as_str().unwrap()).collect()
}

async fn titles(client: &Client, query: &str) -> Vec<String> {
    let found = client.get(&format!("search?q={query}")).await.expect(200);
    assert_eq!(found["complete"], true);
    column(&found, "title")
        .into_iter()
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn records_of_all_modules_are_found_by_all_their_words() {
    let (_app, _, owner) = hospital().await;
    let ada = patient(&owner, "Ada Lovelace").await;
    let king = doctor(&owner, "Ada King").await;
    patient(&owner, "Grace Hopper").await;

    let found = owner.get("search?q=ada").await.expect(200);
    assert_eq!(
        column(&found, "module"),
        ["doctors", "patients"],
        "the newest first"
    );
    assert_eq!(column(&found, "id"), [king, ada.clone()]);
    let record = owner
        .get(&format!("records/patients/{ada}"))
        .await
        .expect(200);
    assert_eq!(found["data"][1]["record"], record);
    assert_eq!(found["next_cursor"], Value::Null);

    assert_eq!(
        titles(&owner, "LOVE%20").await,
        ["Ada Lovelace"],
        "the last as it begins"
    );
    assert_eq!(titles(&owner, "lovelace%20ad").await, ["Ada Lovelace"]);
    assert_eq!(
        titles(&owner, "love%20ada").await,
        [""; 0],
        "the others in full"
    );
    assert_eq!(titles(&owner, "ada%20hopper").await, [""; 0], "all of them");
    assert_eq!(
        titles(&owner, "ada&modules=patients").await,
        ["Ada Lovelace"]
    );
    assert_eq!(
        titles(&owner, "ada&modules=patients,doctors").await.len(),
        2
    );
}

#[tokio::test]
async fn what_fits_better_comes_first() {
    let (_app, _, owner) = hospital().await;
    patient(&owner, "Dia").await;
    patient(&owner, "Diana Diamond").await;
    patient(&owner, "Diana Smith").await;
    patient(&owner, "Dial Plate").await;
    let found = titles(&owner, "dia").await;
    assert_eq!(found, ["Diana Diamond", "Dia", "Dial Plate", "Diana Smith"]);
}

#[tokio::test]
async fn search_follows_what_becomes_of_records() {
    let (app, tenant, owner) = hospital().await;
    let id = patient(&owner, "Ada Lovelace").await;
    let path = format!("records/patients/{id}");
    let change = json!({"data": {"full_name": "Ada King", "email": "ada@example.org"}});
    owner.patch(&path, change).await.expect(200);
    assert_eq!(titles(&owner, "lovelace").await, [""; 0]);
    assert_eq!(titles(&owner, "king").await, ["Ada King"]);
    assert_eq!(
        titles(&owner, "ada@exa").await,
        ["Ada King"],
        "half an address"
    );
    assert_eq!(titles(&owner, "ada@example.org").await, ["Ada King"]);
    owner.delete(&path).await;
    assert_eq!(titles(&owner, "king").await, [""; 0]);
    owner
        .post(&format!("{path}/restore"), json!({}))
        .await
        .expect(200);
    assert_eq!(titles(&owner, "king").await, ["Ada King"]);

    let (_, stranger) = app.owner_of("hospital").await;
    assert_eq!(titles(&stranger, "king").await, [""; 0]);
    assert_eq!(titles(&app.client(tenant, "nobody"), "king").await, [""; 0]);
    let nobody = app.client(tenant, "nobody");
    let unreadable = nobody.get("search?q=a&modules=patients").await;
    assert_eq!(
        unreadable.violations(),
        [("/modules".to_owned(), "module".to_owned())]
    );
}

#[tokio::test]
async fn words_are_those_of_the_tenants_language() {
    let (app, tenant, owner) = hospital().await;
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    sqlx::query(
        "update tenant_crm_configs set language = 'english', model_version = model_version + 1
        where tenant_id = $1",
    )
    .bind(tenant.uuid())
    .execute(&mut admin)
    .await
    .unwrap();
    patient(&owner, "The Running Doctor").await;
    assert_eq!(
        titles(&owner, "runs%20doctors").await,
        ["The Running Doctor"]
    );
    assert_eq!(
        titles(&owner, "the%20running").await,
        ["The Running Doctor"]
    );
    patient(&owner, "Theodora").await;
    assert_eq!(
        titles(&owner, "the").await,
        ["Theodora"],
        "the beginning of a name"
    );
}

#[tokio::test]
async fn what_cannot_be_looked_for_is_refused() {
    let (_app, _, owner) = hospital().await;
    let long = "x".repeat(501);
    let many = "a%20".repeat(11);
    for (query, pointer, code) in [
        ("", "/q", "required"),
        ("q=%20", "/q", "required"),
        ("q=%21%3F", "/q", "words"),
        ("q=a%00b", "/q", "characters"),
        (&format!("q={long}"), "/q", "max_length"),
        (&format!("q={many}"), "/q", "max_words"),
        ("q=a&modules=nothing", "/modules", "module"),
        ("q=a&cursor=1", "/cursor", "cursor"),
        ("q=a&limit=0", "/limit", "limit"),
    ] {
        let wrong = owner.get(&format!("search?{query}")).await;
        let expected = [(pointer.to_owned(), code.to_owned())];
        assert_eq!(wrong.violations(), expected, "{query}: {}", wrong.body);
    }
    owner
        .get(&format!("search?q={}", "x".repeat(500)))
        .await
        .expect(200);
}

#[tokio::test]
async fn pages_have_neither_gaps_nor_repetitions() {
    let (_app, _, owner) = hospital().await;
    for number in 0..7 {
        let second = if number % 3 == 0 { "Anton" } else { "Smith" };
        patient(&owner, &format!("Ann {second} N{number}")).await;
    }
    let whole = owner.get("search?q=an").await.expect(200);
    let whole = column(&whole, "id");
    assert_eq!(whole.len(), 7);
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = owner
            .get(&format!("search?q=an&limit=2{cursor}"))
            .await
            .expect(200);
        ids.extend(column(&page, "id").into_iter().map(str::to_owned));
        // What comes meanwhile moves nothing.
        patient(&owner, "Ann Later").await;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let of_then: Vec<&String> = ids
        .iter()
        .filter(|id| whole.contains(&id.as_str()))
        .collect();
    assert_eq!(of_then, whole.iter().collect::<Vec<_>>());
    let distinct: std::collections::BTreeSet<&String> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
}

/// Words as if they were of this many records; the id of each begins with its number.
async fn plant(app: &TestApp, tenant: TenantId, word: &str, records: i32) {
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    sqlx::query(
        "insert into crm_words (tenant_id, word, module_slug, record_id)
        select $1, $2 || case when n % 10 = 0 then '' else n::text end, 'patients',
            (lpad(to_hex(n), 8, '0') || '-0000-7000-8000-000000000000')::uuid
        from generate_series(1, $3) as n",
    )
    .bind(tenant.uuid())
    .bind(word)
    .bind(records)
    .execute(&mut admin)
    .await
    .unwrap();
    sqlx::raw_sql("analyze crm_words")
        .execute(&mut admin)
        .await
        .unwrap();
}

#[tokio::test]
async fn search_goes_along_the_words_under_row_level_security() {
    let (app, tenant, _) = hospital().await;
    let (other, _) = app.owner_of("hospital").await;
    plant(&app, tenant, "word", 5_000).await;
    plant(&app, other, "word", 5_000).await;
    let mut runtime = PgConnection::connect_with(&app.database.runtime())
        .await
        .unwrap();
    let mut transaction = runtime.begin().await.unwrap();
    sqlx::query("select crm_tenant_begin($1)")
        .bind(tenant.uuid())
        .execute(&mut *transaction)
        .await
        .unwrap();
    let statement = format!("explain (costs off) {}", crm_store::search::RANK);
    let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(statement))
        .bind(tenant.uuid())
        .bind(["patients"].as_slice())
        .bind("word12")
        .bind("word12\u{10ffff}")
        .bind(["more"].as_slice())
        .bind(["wor"].as_slice())
        .bind(["wor\u{10ffff}"].as_slice())
        .bind(10_001_i64)
        .bind(100_000_i64)
        .bind(i64::MAX)
        .bind(Uuid::max())
        .bind(51_i64)
        .fetch_all(&mut *transaction)
        .await
        .unwrap();
    let plan = plan.join("\n");
    assert!(!plan.contains("Seq Scan on crm_words"), "{plan}");
    let conditions: Vec<&str> = plan
        .lines()
        .filter(|line| line.contains("Index Cond") && line.contains("word"))
        .collect();
    assert_eq!(
        conditions.len(),
        4,
        "every look goes along the primary key: {plan}"
    );
    for condition in conditions {
        assert!(condition.contains("tenant_id"), "{condition}");
    }
    assert!(plan.contains("crm_words_pkey"), "{plan}");
}

#[tokio::test]
async fn words_that_are_too_common_are_said_to_be() {
    let (app, tenant, owner) = hospital().await;
    patient(&owner, "Word Newest").await;
    plant(&app, tenant, "other", 100).await;
    let rare = owner.get("search?q=word").await.expect(200);
    assert_eq!(rare["complete"], true);
    plant(&app, tenant, "word", 12_000).await;
    let common = owner.get("search?q=word").await.expect(200);
    assert_eq!(common["complete"], false);
    let both = owner.get("search?q=word%20newest").await.expect(200);
    assert_eq!(column(&both, "title"), ["Word Newest"]);
}

#[tokio::test]
async fn a_retired_field_finds_nothing_until_it_comes_back() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let nickname = json!({"key": "nickname", "label": "Nickname", "type": "text",
        "searchable": true, "indexed": true, "unique": true});
    let fields = "modules/patients/fields";
    owner.post(fields, nickname).await.expect(201);
    let ada = json!({"full_name": "Ada", "nickname": "countess"});
    let ada = owner.create("patients", ada).await;
    owner.run("welcome", &ada, &["done"]).await;
    let path = format!("records/patients/{ada}");
    let version = owner.get(&path).await.expect(200)["version"].clone();
    assert_eq!(titles(&owner, "countess").await, ["Ada"]);

    let field = format!("{fields}/nickname");
    let retire = |retired: bool| owner.patch(&field, json!({ "retired": retired }));
    retire(true).await.expect(200);
    owner.tasks_end().await;
    assert_eq!(titles(&owner, "countess").await, [""; 0]);
    assert_eq!(titles(&owner, "ada").await, ["Ada"], "by what shows");
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let kept: (i64, i64) = sqlx::query_as(
        "select (select count(*) from crm_index where slot = 'patients.nickname'),
            (select count(*) from crm_unique where slot = 'patients.nickname')",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert_eq!(kept, (1, 1), "its rows and its unique value are kept right");

    retire(false).await.expect(200);
    owner.tasks_end().await;
    assert_eq!(titles(&owner, "countess").await, ["Ada"]);
    let record = owner.get(&path).await.expect(200);
    assert_eq!(record["data"]["nickname"], "countess");
    assert_eq!(record["version"], version, "nobody changed the record");
    let taken = json!({"data": {"full_name": "Eve", "nickname": "countess"}});
    let taken = owner.post("records/patients", taken).await;
    assert_eq!(taken.body["type"], "/problems/not-unique", "{}", taken.body);
}

#[tokio::test]
async fn words_of_another_language_go_with_it() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let language = |language: &str| owner.patch("settings", json!({ "language": language }));
    language("english").await.expect(200);
    doctor(&owner, "Running Water").await;
    language("simple").await.expect(200);
    owner.tasks_end().await;
    let mut admin = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let words: Vec<String> = sqlx::query_scalar("select word from crm_words order by word")
        .fetch_all(&mut admin)
        .await
        .unwrap();
    assert_eq!(words, ["running", "water"]);
}
