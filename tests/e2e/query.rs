//! Lists: filters, order, pages, totals, related records, search; and that indexes serve them.

use crm_model::query::{Query, QueryInput, Scope};
use crm_model::{Actor, TenantId};
use crm_store::{Store, StoreSettings, TenantTx};
use crm_tests::app::TestApp;
use crm_tests::client::{Answer, Client};
use crm_tests::index::fill_index;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

struct Clinic {
    app: TestApp,
    tenant: TenantId,
    owner: Client,
    doctors: Vec<String>,
}

/// Two doctors, a patient, and six appointments.
async fn clinic() -> Clinic {
    let app = TestApp::start().await;
    let (tenant, owner) = app.owner_of("hospital").await;
    for (module, field) in [
        (
            "appointments",
            json!({"key": "code", "label": "Code", "type": "text", "indexed": true, "searchable": true}),
        ),
        (
            "appointments",
            json!({"key": "score", "label": "Score", "type": "decimal", "indexed": true}),
        ),
        (
            "doctors",
            json!({"key": "visits", "label": "Visits", "type": "relation", "module": "appointments", "inverse_of": "doctor"}),
        ),
    ] {
        owner
            .post(&format!("modules/{module}/fields"), field)
            .await
            .expect(201);
    }
    let mut doctors = Vec::new();
    for (name, specialty) in [("Grey", "surgery"), ("House", "neurology")] {
        let doctor = json!({"full_name": name, "specialty": specialty});
        doctors.push(owner.create("doctors", doctor).await);
    }
    let patient = owner.create("patients", json!({"full_name": "Ada"})).await;
    for (code, score, doctor, status, fee) in [
        ("alpha one", Some("10.5"), 0, "scheduled", "10.00"),
        ("Alpha Two", Some("9"), 0, "confirmed", "20.00"),
        ("beta", Some("-3"), 1, "scheduled", "30.00"),
        ("Gamma", None, 1, "completed", "40.00"),
        ("delta", Some("9.00"), 0, "scheduled", "50.00"),
        ("épsilon", Some("100"), 1, "cancelled", "60.00"),
    ] {
        let mut data = json!({
            "patient": patient, "doctor": doctors[doctor], "code": code, "status": status,
            "scheduled_at": "2026-11-22T09:30:00Z", "duration_minutes": 30,
            "fee": {"amount": fee, "currency": "USD"},
        });
        if let Some(score) = score {
            data["score"] = json!(score);
        }
        owner.create("appointments", data).await;
    }
    Clinic {
        app,
        tenant,
        owner,
        doctors,
    }
}

impl Clinic {
    async fn ask(&self, query: Value) -> Answer {
        self.owner.post("records/appointments/query", query).await
    }

    async fn codes(&self, query: Value) -> Vec<String> {
        codes(&self.ask(query).await.expect(200))
    }

    async fn filtered(&self, filter: Value) -> Vec<String> {
        let mut codes = self.codes(json!({ "filter": filter })).await;
        codes.sort();
        codes
    }
}

fn codes(page: &Value) -> Vec<String> {
    let rows = page["data"].as_array().unwrap().iter();
    rows.map(|row| row["data"]["code"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn filters_find_what_they_say() {
    let clinic = clinic().await;
    for (filter, expected) in [
        (
            json!({"field": "code", "op": "eq", "value": "Gamma"}),
            vec!["Gamma"],
        ),
        (
            json!({"field": "code", "op": "eq", "value": "gamma"}),
            vec![],
        ),
        (
            json!({"field": "code", "op": "starts_with", "value": "ALPHA"}),
            vec!["Alpha Two", "alpha one"],
        ),
        (
            json!({"field": "code", "op": "contains", "value": "ET"}),
            vec!["beta"],
        ),
        (
            json!({"field": "code", "op": "ends_with", "value": "ta"}),
            vec!["beta", "delta"],
        ),
        (
            json!({"field": "code", "op": "in", "value": ["beta", "Gamma"]}),
            vec!["Gamma", "beta"],
        ),
        (
            json!({"field": "score", "op": "eq", "value": "9.0"}),
            vec!["Alpha Two", "delta"],
        ),
        (
            json!({"field": "score", "op": "ne", "value": 9}),
            vec!["Gamma", "alpha one", "beta", "épsilon"],
        ),
        (
            json!({"field": "score", "op": "lt", "value": 9}),
            vec!["beta"],
        ),
        (
            json!({"field": "score", "op": "between", "value": ["9", "10.5"]}),
            vec!["Alpha Two", "alpha one", "delta"],
        ),
        (json!({"field": "score", "op": "is_empty"}), vec!["Gamma"]),
        (
            json!({"not": {"field": "score", "op": "gte", "value": 0}}),
            vec!["Gamma", "beta"],
        ),
        (
            json!({"or": [{"field": "status", "op": "eq", "value": "completed"}, {"field": "fee", "op": "gt", "value": "50"}]}),
            vec!["Gamma", "épsilon"],
        ),
        (
            json!({"field": "fee.currency", "op": "ne", "value": "USD"}),
            vec![],
        ),
        (
            json!({"field": "doctor.specialty", "op": "eq", "value": "neurology"}),
            vec!["Gamma", "beta", "épsilon"],
        ),
        (
            json!({"field": "doctor", "op": "eq", "value": clinic.doctors[0]}),
            vec!["Alpha Two", "alpha one", "delta"],
        ),
        (
            json!({"field": "created_at", "op": "within", "value": "last_24_hours"}),
            vec![
                "Alpha Two",
                "Gamma",
                "alpha one",
                "beta",
                "delta",
                "épsilon",
            ],
        ),
        (
            json!({"field": "created_at", "op": "within", "value": "last_year"}),
            vec![],
        ),
        (
            json!({"and": [{"field": "owner_id", "op": "is_me"}, {"field": "version", "op": "gt", "value": 1}]}),
            vec![],
        ),
        (json!({"or": []}), vec![]),
    ] {
        assert_eq!(clinic.filtered(filter.clone()).await, expected, "{filter}");
    }
}

#[tokio::test]
async fn a_relation_to_many_is_asked_for_any_and_none() {
    let clinic = clinic().await;
    let find = |op: &str| json!({"filter": {"field": "visits", "op": op, "where": {"field": "status", "op": "eq", "value": "completed"}}});
    let names = |page: Value| page["data"][0]["data"]["full_name"].clone();
    let any = clinic
        .owner
        .post("records/doctors/query", find("any"))
        .await
        .expect(200);
    assert_eq!(
        (any["data"].as_array().unwrap().len(), names(any)),
        (1, json!("House"))
    );
    let none = clinic
        .owner
        .post("records/doctors/query", find("none"))
        .await
        .expect(200);
    assert_eq!(
        (none["data"].as_array().unwrap().len(), names(none)),
        (1, json!("Grey"))
    );
}

#[tokio::test]
async fn the_short_form_in_a_url_is_the_same() {
    let clinic = clinic().await;
    let path = "records/appointments?status=eq.scheduled&score=gte.9&sort=-score";
    let page = clinic.owner.get(path).await.expect(200);
    assert_eq!(codes(&page), ["alpha one", "delta"]);
    let path =
        "records/appointments?code=in.beta,Gamma&doctor.full_name=eq.House&sort=code&fields=code";
    let page = clinic.owner.get(path).await.expect(200);
    assert_eq!(codes(&page), ["beta", "Gamma"]);
    assert_eq!(page["data"][0]["data"], json!({"code": "beta"}));
    let wrong = clinic.owner.get("records/appointments?sorted=code").await;
    let message = wrong.body["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("did you mean “sort”"), "{message}");
    let wrong = clinic.owner.get("records/appointments?status=new").await;
    assert_eq!(
        wrong.violations(),
        [("/status".to_owned(), "condition".to_owned())]
    );
}

#[tokio::test]
async fn order_is_by_fields_with_nothing_first_and_pages_follow_it() {
    let clinic = clinic().await;
    for (sort, expected) in [
        (
            "score",
            [
                "Gamma",
                "beta",
                "Alpha Two",
                "delta",
                "alpha one",
                "épsilon",
            ],
        ),
        (
            "-score",
            [
                "épsilon",
                "alpha one",
                "delta",
                "Alpha Two",
                "beta",
                "Gamma",
            ],
        ),
        (
            "-code",
            [
                "épsilon",
                "Gamma",
                "delta",
                "beta",
                "Alpha Two",
                "alpha one",
            ],
        ),
        (
            "status,-code",
            [
                "épsilon",
                "Gamma",
                "Alpha Two",
                "delta",
                "beta",
                "alpha one",
            ],
        ),
        (
            "",
            [
                "épsilon",
                "delta",
                "Gamma",
                "beta",
                "Alpha Two",
                "alpha one",
            ],
        ),
    ] {
        let all = clinic.codes(json!({ "sort": sort })).await;
        assert_eq!(all, expected, "{sort}");
        let mut paged = Vec::new();
        let mut cursor = Value::Null;
        loop {
            let page = clinic
                .ask(json!({"sort": sort, "limit": 1, "cursor": cursor}))
                .await
                .expect(200);
            paged.extend(codes(&page));
            cursor = page["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        assert_eq!(paged, expected, "{sort}, page by page");
    }
}

#[tokio::test]
async fn a_cursor_of_another_query_is_refused() {
    let clinic = clinic().await;
    let page = clinic
        .ask(json!({"sort": "code", "limit": 1}))
        .await
        .expect(200);
    for query in [
        json!({"sort": "-code", "cursor": page["next_cursor"]}),
        json!({"sort": "code", "cursor": page["next_cursor"], "filter": {"field": "score", "op": "is_empty"}}),
        json!({"cursor": "nonsense"}),
    ] {
        let answer = clinic.ask(query.clone()).await;
        assert_eq!(answer.status, 422, "{query}");
        assert_eq!(
            answer.violations(),
            [("/cursor".to_owned(), "cursor".to_owned())]
        );
    }
}

#[tokio::test]
async fn expansion_brings_related_records_along() {
    let clinic = clinic().await;
    let query = json!({"filter": {"field": "code", "op": "eq", "value": "Gamma"}, "expand": "doctor.visits,patient"});
    let page = clinic.ask(query).await.expect(200);
    let expanded = &page["data"][0]["expanded"];
    assert_eq!(expanded["patient"]["data"]["full_name"], "Ada");
    assert_eq!(expanded["doctor"]["data"]["full_name"], "House");
    let visits = &expanded["doctor"]["expanded"]["visits"];
    assert_eq!(
        codes(&json!({ "data": visits })),
        ["épsilon", "Gamma", "beta"]
    );
    let wrong = clinic.ask(json!({"expand": "docter"})).await;
    let message = wrong.body["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("did you mean “doctor”"), "{message}");
}

#[tokio::test]
async fn totals_and_words_and_the_trash() {
    let clinic = clinic().await;
    let page = clinic
        .ask(json!({"include": "total", "limit": 1}))
        .await
        .expect(200);
    assert_eq!(page["total"], json!({"value": 6, "exact": true}));
    let page = clinic
        .ask(json!({"q": "alp", "include": "total"}))
        .await
        .expect(200);
    assert_eq!(codes(&page), ["Alpha Two", "alpha one"]);
    assert_eq!(page["total"]["value"], 2);
    assert_eq!(clinic.codes(json!({"q": "alpha t"})).await, ["Alpha Two"]);
    assert_eq!(
        clinic.codes(json!({"q": "alp two"})).await,
        Vec::<String>::new()
    );
    let id = page["data"][0]["id"].as_str().unwrap();
    assert_eq!(
        clinic
            .owner
            .delete(&format!("records/appointments/{id}"))
            .await
            .status,
        204
    );
    let trash = clinic.ask(json!({"deleted": "only"})).await.expect(200);
    assert_eq!(codes(&trash), ["Alpha Two"]);
    assert!(trash["data"][0]["deleted_at"].is_string());
    assert_eq!(
        clinic.codes(json!({"q": "two"})).await,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn every_mistake_is_named_with_its_place() {
    let clinic = clinic().await;
    let deep = (0..11).fold(
        json!({"field": "code", "op": "is_empty"}),
        |inner, _| json!({ "not": inner }),
    );
    let eq = |field: &str, value: Value| json!({"field": field, "op": "eq", "value": value});
    for (query, pointer, code) in [
        (
            json!({"filter": {"and": [eq("cod", json!("x"))]}}),
            "/filter/and/0/field",
            "unknown_field",
        ),
        (
            json!({"filter": {"field": "code", "op": "eqq", "value": "x"}}),
            "/filter/op",
            "operator",
        ),
        (
            json!({"filter": {"field": "score", "op": "contains", "value": "x"}}),
            "/filter/op",
            "operator",
        ),
        (
            json!({"filter": eq("score", json!("nine"))}),
            "/filter/value",
            "type",
        ),
        (
            json!({"filter": eq("code", json!(9))}),
            "/filter/value",
            "type",
        ),
        (
            json!({"filter": eq("doctor", json!("Grey"))}),
            "/filter/value",
            "type",
        ),
        (
            json!({"filter": eq("code", json!("a\u{0}"))}),
            "/filter/value",
            "format",
        ),
        (
            json!({"filter": eq("code", json!("a".repeat(1001)))}),
            "/filter/value",
            "too_long",
        ),
        (
            json!({"filter": {"field": "code", "op": "in", "value": vec!["a"; 501]}}),
            "/filter/value",
            "too_many",
        ),
        (
            json!({"filter": {"or": vec![eq("code", json!("a")); 101]}}),
            "/filter/or/100",
            "too_many",
        ),
        (
            json!({"filter": deep}),
            "/filter/not/not/not/not/not/not/not/not/not/not",
            "too_deep",
        ),
        (
            json!({"filter": {"field": "created_at", "op": "within", "value": "someday"}}),
            "/filter/value",
            "value",
        ),
        (
            json!({"filter": {"field": "code", "op": "eq"}}),
            "/filter",
            "required",
        ),
        (json!({"filter": []}), "/filter", "shape"),
        (json!({"sort": "cod"}), "/sort", "unknown_field"),
        (json!({"fields": "cod"}), "/fields", "unknown_field"),
        (json!({"limit": 201}), "/limit", "limit"),
        (json!({"include": "all"}), "/include", "include"),
    ] {
        let answer = clinic.ask(query.clone()).await;
        assert_eq!(answer.status, 422, "{query}");
        assert_eq!(
            answer.violations(),
            [(pointer.to_owned(), code.to_owned())],
            "{query}"
        );
    }
    let at_the_limits =
        json!({"filter": {"or": vec![eq("code", json!("a".repeat(1000))); 100]}, "limit": 200});
    clinic.ask(at_the_limits).await.expect(200);
}

#[tokio::test]
async fn pages_stand_still_while_records_come_and_go() {
    let clinic = clinic().await;
    let first = clinic
        .ask(json!({"sort": "-fee", "limit": 3}))
        .await
        .expect(200);
    assert_eq!(codes(&first), ["épsilon", "delta", "Gamma"]);
    let last = &first["data"][2];
    let mut data = last["data"].clone();
    data["fee"]["amount"] = json!("99.00");
    clinic.owner.create("appointments", data).await;
    let path = format!("records/appointments/{}", last["id"].as_str().unwrap());
    assert_eq!(clinic.owner.delete(&path).await.status, 204);
    let rest = clinic
        .ask(json!({"sort": "-fee", "cursor": first["next_cursor"]}))
        .await
        .expect(200);
    assert_eq!(codes(&rest), ["beta", "Alpha Two", "alpha one"]);
}

#[tokio::test]
async fn the_trash_is_for_those_who_may_delete() {
    let clinic = clinic().await;
    let viewer = clinic.app.client(clinic.tenant, "viewer");
    let path = "records/appointments/query";
    viewer.post(path, json!({"sort": "code"})).await.expect(200);
    assert_eq!(
        viewer.post(path, json!({"deleted": "only"})).await.status,
        403
    );
}

#[tokio::test]
async fn another_tenant_sees_nothing_of_it() {
    let clinic = clinic().await;
    let (other, stranger) = clinic.app.owner_of("hospital").await;
    assert_ne!(other, clinic.tenant);
    let page = stranger
        .post(
            "records/appointments/query",
            json!({"include": "total", "q": "alpha"}),
        )
        .await
        .expect(200);
    assert_eq!(
        (page["data"].clone(), page["total"]["value"].clone()),
        (json!([]), json!(0))
    );
}

/// Appointments enough for the planner to have a choice.
async fn crowd(clinic: &Clinic, count: i32) {
    let mut owner = PgConnection::connect_with(&clinic.app.database.owner())
        .await
        .unwrap();
    sqlx::query(
        "insert into crm_records (tenant_id, id, module_slug, data, version, owner_id, created_at,
            created_by, updated_at, updated_by)
        select $1, gen_random_uuid(), 'appointments', jsonb_build_object('code', 'c' || n,
            'score', (n % 1000)::text, 'doctor', $2::text, 'status', 'scheduled'), 1, 'owner-1', now(), 'x', now(), 'x'
        from generate_series(1, $3) n",
    )
    .bind(clinic.tenant.uuid())
    .bind(&clinic.doctors[0])
    .bind(count)
    .execute(&mut owner)
    .await
    .unwrap();
    fill_index(&clinic.app, clinic.tenant).await;
    sqlx::raw_sql("analyze crm_records; analyze crm_index; analyze crm_words")
        .execute(&mut owner)
        .await
        .unwrap();
}

fn nodes<'p>(plan: &'p Value, found: &mut Vec<&'p Value>) {
    found.push(plan);
    for inner in plan["Plans"].as_array().into_iter().flatten() {
        nodes(inner, found);
    }
}

#[tokio::test]
async fn every_way_to_a_page_goes_along_an_index() {
    let clinic = clinic().await;
    crowd(&clinic, 8_000).await;
    let store = Store::connect(clinic.app.database.runtime(), StoreSettings::default())
        .await
        .unwrap();
    let model = clinic
        .app
        .engine
        .model(clinic.tenant)
        .await
        .unwrap()
        .unwrap();
    let actor = Actor::person("owner-1".parse().unwrap(), vec!["owner".parse().unwrap()]);
    let scope = Scope::person(&model, &actor, chrono::Utc::now());
    let page = clinic
        .ask(json!({"sort": "score", "limit": 100}))
        .await
        .expect(200);
    let newest = clinic.ask(json!({"limit": 10})).await.expect(200);
    for (query, index, sorts) in [
        (json!({}), "crm_records_by_module", false),
        (
            json!({"sort": "-created_at"}),
            "crm_records_by_created",
            false,
        ),
        (
            json!({"sort": "updated_at"}),
            "crm_records_by_updated",
            false,
        ),
        (
            json!({"cursor": newest["next_cursor"]}),
            "crm_records_by_module",
            false,
        ),
        (
            json!({"filter": {"field": "owner_id", "op": "eq", "value": "nobody"}}),
            "crm_records_by_owner",
            false,
        ),
        (
            json!({"filter": {"field": "created_at", "op": "within", "value": "last_year"}}),
            "crm_records_by_created",
            true,
        ),
        (json!({"deleted": "only"}), "crm_records_deleted", false),
        (json!({"sort": "-score"}), "crm_index_pkey", false),
        (
            json!({"sort": "score", "cursor": page["next_cursor"]}),
            "crm_index_pkey",
            false,
        ),
        (
            json!({"sort": "score", "filter": {"field": "score", "op": "gte", "value": "500"}}),
            "crm_index_pkey",
            false,
        ),
        (
            json!({"filter": {"field": "doctor", "op": "eq", "value": clinic.doctors[0]}}),
            "crm_index_pkey",
            false,
        ),
        (
            json!({"filter": {"field": "score", "op": "between", "value": ["10", "20"]}}),
            "crm_index_pkey",
            true,
        ),
        (
            json!({"filter": {"field": "score", "op": "eq", "value": "7"}, "sort": "-created_at"}),
            "crm_index_pkey",
            true,
        ),
        (
            json!({"filter": {"field": "doctor", "op": "eq", "value": clinic.doctors[0]}, "sort": "score"}),
            "crm_index_pkey",
            false,
        ),
        (json!({"q": "c77"}), "crm_words_pkey", true),
    ] {
        let input: QueryInput = serde_json::from_value(query.clone()).unwrap();
        let parsed = Query::parse(scope, &"appointments".parse().unwrap(), &input).unwrap();
        let mut tx = TenantTx::begin_query(&store, clinic.tenant, 5_000)
            .await
            .unwrap();
        let plan = crm_store::query::explain(&mut tx, &parsed).await.unwrap();
        let mut found = Vec::new();
        nodes(&plan[0]["Plan"], &mut found);
        let used: Vec<&str> = found
            .iter()
            .filter_map(|node| node["Index Name"].as_str())
            .collect();
        assert!(used.contains(&index), "{query}: {plan:#}");
        let conditions: Vec<&str> = found
            .iter()
            .filter(|node| node["Index Name"] == index)
            .filter_map(|node| node["Index Cond"].as_str())
            .collect();
        assert!(
            conditions
                .iter()
                .any(|condition| condition.contains("tenant_id")),
            "{query}: {plan:#}"
        );
        let types: Vec<&str> = found
            .iter()
            .filter_map(|node| node["Node Type"].as_str())
            .collect();
        assert!(!types.contains(&"Seq Scan"), "{query}: {plan:#}");
        assert!(sorts || !types.contains(&"Sort"), "{query}: {plan:#}");
    }
}
