//! Keys for programs: what they may do, how they end, and that their secrets are nowhere.

use crm_tests::app::TestApp;
use crm_tests::client::Client;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

fn secret(answer: &Value) -> String {
    answer["key"].as_str().expect("a key").to_owned()
}

async fn make(owner: &Client, body: Value) -> (String, String) {
    let made = owner.post("api-keys", body).await.expect(201);
    (made["id"].as_str().unwrap().to_owned(), secret(&made))
}

async fn status(client: &Client, path: &str) -> u16 {
    client.get(path).await.status.as_u16()
}

#[tokio::test]
async fn a_key_acts_as_itself_and_is_seen_in_full_once() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let made = owner.post("api-keys", json!({"name": "Website"})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let text = secret(&made.body);
    assert!(text.starts_with(made.body["prefix"].as_str().unwrap()));
    assert!(text.len() > 90, "{text}");
    let program = owner.with_token(&text);
    let patient = program
        .create("patients", json!({"full_name": "Ada"}))
        .await;
    let record = owner.get(&format!("records/patients/{patient}")).await;
    let user = format!("api-key:{}", made.body["id"].as_str().unwrap());
    assert_eq!(record.body["created_by"], json!(user));
    let bootstrap = program.get("bootstrap").await.expect(200);
    assert_eq!(bootstrap["user"], json!({"id": user, "roles": ["owner"]}));

    let listed = owner.get("api-keys?include=total").await.expect(200);
    assert_eq!(listed["total"]["value"], 1);
    let listed = &listed["data"][0];
    assert_eq!(listed["name"], "Website");
    assert_eq!(listed.get("key"), None);
    let used = listed["last_used_at"].as_str().unwrap();
    assert!(used.ends_with(":00Z"), "{used}");

    // Neither the key nor its secret part is anywhere in the tables.
    let mut database = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = 'public'",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    // Bytes are shown in hexadecimal.
    let part = &text["crm_".len() + 20..60];
    let shown: String = part.bytes().map(|byte| format!("{byte:02x}")).collect();
    for table in tables {
        let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select count(*) from {table} t where t::text like any (array['%{part}%', '%{shown}%'])"
        )))
        .fetch_one(&mut database)
        .await
        .unwrap();
        assert_eq!(found, 0, "{table}");
    }
}

#[tokio::test]
async fn a_key_does_no_more_than_its_scope_and_its_roles() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let doctor = json!({"data": {"full_name": "Dr. Grey", "specialty": "cardiology"}});
    let patient = json!({"data": {"full_name": "Ada"}});

    let (_, reads) = make(
        &owner,
        json!({"name": "reads", "scopes": {"modules": ["patients"], "actions": ["read"]}}),
    )
    .await;
    let reads = owner.with_token(&reads);
    assert_eq!(status(&reads, "records/patients").await, 200);
    assert_eq!(status(&reads, "records/doctors").await, 404, "out of sight");
    assert_eq!(
        reads.post("records/patients", patient.clone()).await.status,
        403
    );
    let bootstrap = reads.get("bootstrap").await.expect(200);
    assert_eq!(bootstrap["permissions"], json!({"patients": ["read"]}));
    let modules = reads.get("modules").await.expect(200);
    assert_eq!(modules["data"].as_array().unwrap().len(), 1);

    let (_, writes) = make(
        &owner,
        json!({"name": "writes", "scopes": {"actions": ["read", "create"]}}),
    )
    .await;
    let writes = owner.with_token(&writes);
    writes.post("records/doctors", doctor).await.expect(201);
    let made = writes.create("patients", patient["data"].clone()).await;
    let path = format!("records/patients/{made}");
    assert_eq!(writes.delete(&path).await.status, 403);
    assert_eq!(writes.patch(&path, patient.clone()).await.status, 403);
    assert_eq!(status(&writes, "runs").await, 403);

    // One module whole is not the whole model.
    let (_, manages) = make(
        &owner,
        json!({"name": "m", "scopes": {"modules": ["patients"]}}),
    )
    .await;
    let manages = owner.with_token(&manages);
    let field = json!({"key": "size", "label": "Size", "type": "integer"});
    manages
        .post("modules/patients/fields", field.clone())
        .await
        .expect(201);
    assert_eq!(
        manages.post("modules/doctors/fields", field).await.status,
        404
    );
    let module = json!({"slug": "things", "label": "Thing", "fields": []});
    assert_eq!(manages.post("modules", module).await.status, 403);

    for (wrong, pointer) in [
        (json!({"name": ""}), "/name"),
        (
            json!({"name": "k", "roles": ["owner", "viewer"]}),
            "/roles/1",
        ),
        (
            json!({"name": "k", "scopes": {"actions": ["create"]}}),
            "/scopes/actions",
        ),
        (
            json!({"name": "k", "expires_at": "2001-01-01T00:00:00Z"}),
            "/expires_at",
        ),
    ] {
        let refused = owner.post("api-keys", wrong).await;
        assert_eq!(refused.status, 422, "{}", refused.body);
        assert_eq!(refused.body["errors"][0]["pointer"], pointer);
    }
}

#[tokio::test]
async fn only_people_who_manage_everything_have_a_say_over_keys() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let (id, text) = make(&owner, json!({"name": "all that the owner may"})).await;
    let (_, stranger) = app.owner_of("hospital").await;
    let key = owner.with_token(&text);
    let nobody = app.client(tenant, "agent");
    let nobody_at_all = app.client(tenant, "no_such_role");
    for (who, client) in [
        ("a key", &key),
        ("a role", &nobody),
        ("no role", &nobody_at_all),
    ] {
        let rotate = format!("api-keys/{id}/rotate");
        assert_eq!(status(client, "api-keys").await, 403, "{who}");
        let made = client.post("api-keys", json!({"name": "another"})).await;
        assert_eq!(made.status, 403, "{who}");
        assert_eq!(client.post(&rotate, json!({})).await.status, 403, "{who}");
        assert_eq!(
            client.delete(&format!("api-keys/{id}")).await.status,
            403,
            "{who}"
        );
    }
    assert_eq!(stranger.delete(&format!("api-keys/{id}")).await.status, 404);
    let rotated = stranger
        .post(&format!("api-keys/{id}/rotate"), json!({}))
        .await;
    assert_eq!(rotated.status, 404);
    assert_eq!(
        stranger.get("api-keys").await.expect(200)["data"],
        json!([])
    );
    assert_eq!(
        status(&key, "bootstrap").await,
        200,
        "and nothing has happened to it"
    );
}

#[tokio::test]
async fn a_key_ends_at_once_and_everywhere() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let second = TestApp::on(app.database.clone(), None).await;
    let (id, text) = make(&owner, json!({"name": "k"})).await;
    let there = second.client(tenant, "owner").with_token(&text);
    assert_eq!(status(&there, "bootstrap").await, 200);
    assert_eq!(owner.delete(&format!("api-keys/{id}")).await.status, 204);
    let ended = there.get("bootstrap").await;
    assert_eq!(ended.status, 401);
    assert_eq!(ended.header("www-authenticate"), Some("Bearer"));
    assert_eq!(owner.delete(&format!("api-keys/{id}")).await.status, 404);
    assert_eq!(
        owner
            .post(&format!("api-keys/{id}/rotate"), json!({}))
            .await
            .status,
        404
    );
    let listed = owner.get("api-keys").await.expect(200);
    assert!(listed["data"][0]["revoked_at"].is_string());

    // Time ends keys too.
    let expires = json!({"name": "k", "expires_at": "2999-01-01T00:00:00Z"});
    let (_, text) = make(&owner, expires).await;
    let program = owner.with_token(&text);
    assert_eq!(status(&program, "bootstrap").await, 200);
    let mut database = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    sqlx::query("update crm_api_keys set expires_at = now() - interval '1 second'")
        .execute(&mut database)
        .await
        .unwrap();
    assert_eq!(status(&program, "bootstrap").await, 401);
}

#[tokio::test]
async fn what_is_no_key_gets_the_same_answer() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let (other_tenant, _) = app.owner_of("hospital").await;
    let (_, text) = make(&owner, json!({"name": "k"})).await;
    let simple = |tenant: crm_model::TenantId| tenant.uuid().simple().to_string();
    let moved = text.replace(&simple(tenant), &simple(other_tenant));
    assert_ne!(moved, text);
    let nowhere = text.replace(&simple(tenant), &"0".repeat(32));
    let mut guessed = text.clone().into_bytes();
    guessed[10] = if guessed[10] == b'a' { b'b' } else { b'a' };
    let cut = text[..text.len() - 1].to_owned();
    for wrong in [
        moved,
        nowhere,
        String::from_utf8(guessed).unwrap(),
        cut,
        text.to_uppercase().replace("CRM_", "crm_"),
        "crm_".to_owned(),
        "crm_' or true --".to_owned(),
    ] {
        let answer = owner.with_token(&wrong).get("bootstrap").await;
        assert_eq!(answer.status, 401, "{wrong}");
        assert_eq!(answer.body["detail"], "the API key is not valid", "{wrong}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
}

#[tokio::test]
async fn a_replaced_secret_goes_on_for_as_long_as_was_said() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let (id, first) = make(&owner, json!({"name": "k"})).await;
    let rotate = format!("api-keys/{id}/rotate");
    let works = |text: &str| {
        let program = owner.with_token(text);
        async move { status(&program, "bootstrap").await == 200 }
    };
    let rotated = owner
        .post(&rotate, json!({"overlap_seconds": 3600}))
        .await
        .expect(200);
    let second = secret(&rotated);
    assert_ne!(first, second);
    assert_eq!(rotated["id"], json!(id));
    assert!(second.starts_with(rotated["prefix"].as_str().unwrap()));
    assert!(works(&first).await && works(&second).await);

    // The hour is over.
    let mut database = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    sqlx::query("update crm_api_key_secrets set valid_until = now() where valid_until is not null")
        .execute(&mut database)
        .await
        .unwrap();
    assert!(!works(&first).await && works(&second).await);

    // Without an overlap, at once.
    let rotated = owner
        .post(&rotate, json!({"overlap_seconds": 0}))
        .await
        .expect(200);
    let third = secret(&rotated);
    assert!(!works(&first).await && !works(&second).await && works(&third).await);

    // A longer overlap does not bring back what ends sooner.
    let rotated = owner
        .post(&rotate, json!({"overlap_seconds": 60}))
        .await
        .expect(200);
    owner
        .post(&rotate, json!({"overlap_seconds": 3600}))
        .await
        .expect(200);
    let ends: Vec<bool> = sqlx::query_scalar(
        "select valid_until < now() + interval '2 minutes' from crm_api_key_secrets
        where valid_until is not null order by created_at",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    assert_eq!(ends, [true, false]);
    assert!(works(&third).await && works(&secret(&rotated)).await);

    for wrong in [-1, 30 * 24 * 3600 + 1] {
        let refused = owner.post(&rotate, json!({"overlap_seconds": wrong})).await;
        assert_eq!(refused.status, 422);
    }
    let longest = json!({"overlap_seconds": 30 * 24 * 3600});
    owner.post(&rotate, longest).await.expect(200);
}

#[tokio::test]
async fn a_repeated_request_makes_no_second_key_and_tells_no_secret() {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let body = json!({"name": "Website"});
    let first = owner.post_once("api-keys", "key-1", body.clone()).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let again = owner.post_once("api-keys", "key-1", body).await;
    assert_eq!(again.status, 201);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.body["id"], first.body["id"]);
    assert_eq!(again.body.get("key"), None);
    let listed = owner.get("api-keys?include=total").await.expect(200);
    assert_eq!(listed["total"]["value"], 1);

    let rotate = format!("api-keys/{}/rotate", first.body["id"].as_str().unwrap());
    let rotated = owner.post_once(&rotate, "key-2", json!({})).await;
    let repeated = owner.post_once(&rotate, "key-2", json!({})).await;
    assert_eq!(rotated.status, 200, "{}", rotated.body);
    assert_eq!(repeated.body["prefix"], rotated.body["prefix"]);
    assert_eq!(repeated.body.get("key"), None);
    let program = owner.with_token(&secret(&rotated.body));
    assert_eq!(status(&program, "bootstrap").await, 200);
}

#[tokio::test]
async fn many_at_once_make_no_key_past_the_limit() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    make(&owner, json!({"name": "first"})).await;
    let mut database = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    // All but two of those that there may be.
    sqlx::query(
        "insert into crm_api_keys (tenant_id, id, name, user_id, roles, scope, created_at, created_by)
        select tenant_id, gen_random_uuid(), name, user_id, roles, scope, created_at, created_by
        from crm_api_keys, generate_series(2, $2) where tenant_id = $1",
    )
    .bind(tenant.uuid())
    .bind(crm_model::limits::TENANT_MAX_API_KEYS - 2)
    .execute(&mut database)
    .await
    .unwrap();
    let make = |number: u32| {
        let (owner, body) = (owner.clone(), json!({"name": format!("k{number}")}));
        async move { owner.post("api-keys", body).await.status.as_u16() }
    };
    let mut statuses = futures::future::join_all((0..12).map(make)).await;
    statuses.sort_unstable();
    let mut expected = [409; 12];
    expected[..2].fill(201);
    assert_eq!(statuses, expected);
}

/// Roles that somebody has by membership are theirs to give to a key.
#[tokio::test]
async fn a_key_has_the_roles_of_its_makers_membership_too() {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    let member = json!({"user_id": "guest-1", "roles": ["owner"]});
    owner.post("members", member).await.expect(201);
    let guest = app.client(tenant, "guest");
    let made = guest.post("api-keys", json!({"name": "k"})).await;
    let made = made.expect(201);
    assert_eq!(made["roles"], json!(["guest", "owner"]));
    let key = guest.with_token(made["key"].as_str().unwrap());
    key.create("patients", json!({"full_name": "Ada"})).await;
    let narrow = json!({"name": "n", "roles": ["owner"]});
    guest.post("api-keys", narrow).await.expect(201);
    let path = format!("api-keys/{}/rotate", made["id"].as_str().unwrap());
    guest.post(&path, json!({})).await.expect(200);
}
