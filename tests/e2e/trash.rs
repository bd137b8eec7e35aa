//! Deleted records: brought back, purged, copied; and what becomes of those that point to them.

use crm_tests::app::TestApp;
use crm_tests::client::Client;
use serde_json::{Value, json};
use sqlx::Connection;

async fn library(app: &TestApp) -> (crm_model::TenantId, Client) {
    let (tenant, owner) = app.owner_of("hospital").await;
    let authors = json!([
        {"key": "name", "label": "Name", "type": "text", "unique": true, "case_insensitive": true},
    ]);
    owner.module("authors", authors).await;
    let books = json!([
        {"key": "title", "label": "Title", "type": "text", "required": true},
        {"key": "number", "label": "Number", "type": "auto_number", "prefix": "B-", "digits": 4},
        {"key": "author", "label": "Author", "type": "relation", "module": "authors"},
        {"key": "editor", "label": "Editor", "type": "relation", "module": "authors",
         "on_delete": "restrict"},
        {"key": "readers", "label": "Readers", "type": "relation", "module": "authors",
         "many": true},
    ]);
    owner.module("books", books).await;
    let copies = json!([
        {"key": "shelf", "label": "Shelf", "type": "text"},
        {"key": "book", "label": "Book", "type": "relation", "module": "books", "required": true,
         "on_delete": "cascade"},
    ]);
    owner.module("copies", copies).await;
    (tenant, owner)
}

async fn data(client: &Client, path: &str) -> Value {
    client.get(path).await.expect(200)["data"].clone()
}

#[tokio::test]
async fn a_deleted_record_comes_back() {
    let app = TestApp::start().await;
    let (_, owner) = library(&app).await;
    let author = owner.create("authors", json!({"name": "Ada"})).await;
    let path = format!("records/authors/{author}");
    assert_eq!(owner.delete(&path).await.status, 204);
    let taken_over = owner.create("authors", json!({"name": "ADA"})).await;
    let restore = format!("{path}/restore");
    let answer = owner.post(&restore, json!({})).await;
    assert_eq!(
        answer.body["type"], "/problems/not-unique",
        "{}",
        answer.body
    );
    owner.delete(&format!("records/authors/{taken_over}")).await;
    let restored = owner.post(&restore, json!({})).await;
    assert_eq!(restored.header("etag"), Some("\"3\""));
    let restored = restored.expect(200);
    assert_eq!(restored["data"], json!({"name": "Ada"}));
    assert_eq!(restored["deleted_at"], Value::Null);
    assert_eq!(owner.get(&path).await.expect(200), restored);
    assert_eq!(
        owner.post(&restore, json!({})).await.status,
        404,
        "it is not deleted"
    );
    let history = owner.get(&format!("{path}/history")).await.expect(200);
    assert_eq!(history["data"][0]["kind"], "record_restored");
}

#[tokio::test]
async fn relations_have_their_rules() {
    let app = TestApp::start().await;
    let (_, owner) = library(&app).await;
    let ada = owner.create("authors", json!({"name": "Ada"})).await;
    let bob = owner.create("authors", json!({"name": "Bob"})).await;
    let eve = owner.create("authors", json!({"name": "Eve"})).await;
    let book = json!({"title": "T", "author": ada, "editor": eve, "readers": [ada, bob]});
    let book = owner.create("books", book).await;
    let copy = owner
        .create("copies", json!({"shelf": "1", "book": book}))
        .await;
    let book_path = format!("records/books/{book}");
    let copy_path = format!("records/copies/{copy}");

    let restricted = owner.delete(&format!("records/authors/{eve}")).await;
    assert_eq!(restricted.status, 409, "{}", restricted.body);
    assert!(
        restricted.body["detail"]
            .as_str()
            .unwrap()
            .contains("editor")
    );

    assert_eq!(
        owner.delete(&format!("records/authors/{ada}")).await.status,
        204
    );
    let left = data(&owner, &book_path).await;
    assert_eq!(left["author"], Value::Null);
    assert_eq!(left["readers"], json!([bob]));

    assert_eq!(owner.delete(&book_path).await.status, 204);
    assert_eq!(owner.get(&copy_path).await.status, 404, "it went along");
    owner.post(&format!("{copy_path}/restore"), json!({})).await;
    let answer = owner.post(&format!("{book_path}/restore"), json!({})).await;
    assert_eq!(answer.expect(200)["data"]["readers"], json!([bob]));

    let dangling = json!({"data": {"title": "U", "author": ada}});
    let dangling = owner.post("records/books", dangling).await;
    assert_eq!(
        dangling.violations(),
        [("/data/author".to_owned(), "relation".to_owned())]
    );
}

#[tokio::test]
async fn nobody_points_to_a_record_that_is_going() {
    let app = TestApp::start().await;
    let (_, owner) = library(&app).await;
    for round in 0..6 {
        let author = owner
            .create("authors", json!({"name": format!("A{round}")}))
            .await;
        let path = format!("records/authors/{author}");
        let create = |n: usize| {
            let owner = owner.clone();
            let body = json!({"data": {"title": format!("{round}/{n}"), "author": author}});
            async move { owner.post("records/books", body).await }
        };
        let (deleted, created) = tokio::join!(
            owner.delete(&path),
            futures::future::join_all((0..6).map(create))
        );
        assert_eq!(deleted.status, 204, "{}", deleted.body);
        for answer in created {
            match answer.status.as_u16() {
                201 => {
                    let id = answer.body["id"].as_str().unwrap();
                    let book = data(&owner, &format!("records/books/{id}")).await;
                    assert_eq!(book["author"], Value::Null, "it was let go of");
                }
                status => assert_eq!(status, 422, "{}", answer.body),
            }
        }
    }
}

#[tokio::test]
async fn a_purged_record_leaves_nothing() {
    let app = TestApp::start().await;
    let (tenant, owner) = library(&app).await;
    let author = owner.create("authors", json!({"name": "Ada"})).await;
    let path = format!("records/authors/{author}");
    let note = json!({"kind": "note", "title": "hello"});
    owner
        .post(&format!("{path}/activities"), note)
        .await
        .expect(201);
    let manager = app.client(tenant, "viewer");
    assert!(
        [403, 404].contains(
            &manager
                .delete(&format!("{path}?purge=true"))
                .await
                .status
                .as_u16()
        )
    );
    assert_eq!(
        owner.delete(&format!("{path}?purge=true")).await.status,
        204
    );
    assert_eq!(
        owner
            .post(&format!("{path}/restore"), json!({}))
            .await
            .status,
        404
    );
    assert_eq!(
        owner.delete(&format!("{path}?purge=true")).await.status,
        404
    );
    let mut database = sqlx::PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    for table in [
        "crm_records",
        "crm_record_history",
        "crm_events",
        "crm_activities",
        "crm_index",
        "crm_unique",
        "crm_words",
    ] {
        let id = if table == "crm_records" {
            "id"
        } else {
            "record_id"
        };
        let query = format!("select count(*) from {table} where {id} = $1::uuid");
        let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .bind(&author)
            .fetch_one(&mut database)
            .await
            .unwrap();
        assert_eq!(left, 0, "{table}");
    }
}

#[tokio::test]
async fn a_copy_has_what_may_be_there_twice() {
    let app = TestApp::start().await;
    let (_, owner) = library(&app).await;
    let ada = owner.create("authors", json!({"name": "Ada"})).await;
    let book = owner
        .create("books", json!({"title": "T", "author": ada}))
        .await;
    let copy = owner
        .post(
            &format!("records/books/{book}/clone"),
            json!({"data": {"title": "T2"}}),
        )
        .await
        .expect(201);
    assert_eq!(
        copy["data"],
        json!({"title": "T2", "author": ada, "number": "B-0002"})
    );
    let nameless = owner
        .post(&format!("records/authors/{ada}/clone"), json!({}))
        .await
        .expect(201);
    assert_eq!(nameless["data"], json!({}));
}
