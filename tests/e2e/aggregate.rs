//! Numbers about groups of records.

use crm_tests::app::TestApp;
use crm_tests::client::Client;
use serde_json::{Value, json};

/// Five appointments of one patient with two doctors.
async fn clinic() -> (TestApp, Client) {
    let app = TestApp::start().await;
    let (_, owner) = app.owner_of("hospital").await;
    let mut doctors = Vec::new();
    for (name, specialty) in [("Grey", "surgery"), ("House", "neurology")] {
        let doctor = json!({"full_name": name, "specialty": specialty});
        doctors.push(owner.create("doctors", doctor).await);
    }
    let patient = owner.create("patients", json!({"full_name": "Ada"})).await;
    for (at, status, doctor, fee, currency) in [
        ("2026-10-31T23:30:00Z", "scheduled", 0, Some("0.10"), "USD"),
        ("2026-11-01T00:30:00Z", "scheduled", 0, Some("0.20"), "USD"),
        ("2026-11-15T10:00:00Z", "scheduled", 1, Some("1.00"), "USD"),
        ("2026-11-16T10:00:00Z", "completed", 1, None, "USD"),
        ("2026-12-01T10:00:00Z", "completed", 1, Some("7.00"), "EUR"),
    ] {
        let mut data = json!({
            "patient": patient, "doctor": doctors[doctor], "status": status,
            "scheduled_at": at, "duration_minutes": 30,
        });
        if let Some(fee) = fee {
            data["fee"] = json!({"amount": fee, "currency": currency});
        }
        owner.create("appointments", data).await;
    }
    (app, owner)
}

async fn ask(owner: &Client, body: Value) -> Value {
    let answer = owner.post("records/appointments/aggregate", body).await;
    answer.expect(200)["data"].clone()
}

#[tokio::test]
async fn numbers_are_exact_and_by_group() {
    let (_app, owner) = clinic().await;
    let metrics = json!([
        {"op": "count", "as": "n"}, {"op": "sum", "field": "fee", "as": "total"},
        {"op": "avg", "field": "fee"}, {"op": "median", "field": "fee", "as": "middle"},
        {"op": "min", "field": "fee", "as": "least"}, {"op": "max", "field": "fee", "as": "most"},
        {"op": "distinct", "field": "doctor", "as": "doctors"},
    ]);
    let groups = ask(
        &owner,
        json!({"group_by": ["status", "fee.currency"], "metrics": metrics}),
    )
    .await;
    assert_eq!(
        groups,
        json!([
            {"group": {"status": "completed", "fee.currency": null}, "n": 1, "total": "0", "avg_fee": null,
             "middle": null, "least": null, "most": null, "doctors": 1},
            {"group": {"status": "completed", "fee.currency": "EUR"}, "n": 1, "total": "7.00", "avg_fee": "7",
             "middle": "7", "least": "7.00", "most": "7.00", "doctors": 1},
            {"group": {"status": "scheduled", "fee.currency": "USD"}, "n": 3, "total": "1.30",
             "avg_fee": "0.4333333333", "middle": "0.2", "least": "0.10", "most": "1.00", "doctors": 2},
        ])
    );
}

#[tokio::test]
async fn time_falls_into_buckets() {
    let (_app, owner) = clinic().await;
    let by =
        |by: &str| json!({"group_by": [{"field": "scheduled_at", "by": by}], "sort": "-count"});
    let months = ask(&owner, by("month")).await;
    assert_eq!(
        months[0],
        json!({"group": {"scheduled_at": "2026-11-01"}, "count": 3})
    );
    assert_eq!(
        ask(&owner, by("year")).await,
        json!([{"group": {"scheduled_at": "2026-01-01"}, "count": 5}])
    );
    let hours = ask(&owner, by("hour")).await;
    assert!(
        hours
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["group"]["scheduled_at"] == "2026-10-31T23:00:00")
    );
}

#[tokio::test]
async fn groups_and_filters_reach_across_relations() {
    let (_app, owner) = clinic().await;
    let body = json!({
        "filter": {"field": "fee.currency", "op": "eq", "value": "USD"},
        "group_by": ["doctor.specialty"], "metrics": [{"op": "sum", "field": "fee", "as": "total"}],
        "sort": "-total", "limit": 1,
    });
    let answer = owner
        .post("records/appointments/aggregate", body)
        .await
        .expect(200);
    assert_eq!(
        answer["data"],
        json!([{"group": {"doctor.specialty": "neurology"}, "total": "1.00"}])
    );
    assert_eq!(answer["more"], true);
}

#[tokio::test]
async fn mistakes_are_named() {
    let (_app, owner) = clinic().await;
    for (body, pointer, code) in [
        (
            json!({"metrics": [{"op": "sum", "field": "fee"}]}),
            "/metrics/0",
            "mixed_currencies",
        ),
        (
            json!({"metrics": [{"op": "sum", "field": "status"}]}),
            "/metrics/0/field",
            "operation",
        ),
        (
            json!({"metrics": [{"op": "sum"}]}),
            "/metrics/0",
            "required",
        ),
        (
            json!({"group_by": ["statis"]}),
            "/group_by/0",
            "unknown_field",
        ),
        (
            json!({"group_by": [{"field": "status", "by": "day"}]}),
            "/group_by/0",
            "bucket",
        ),
        (
            json!({"group_by": ["status", "doctor", "patient", "room"]}),
            "/group_by",
            "too_many",
        ),
        (json!({"sort": "total"}), "/sort", "unknown_field"),
        (json!({"limit": 1001}), "/limit", "limit"),
        (
            json!({"metrics": vec![json!({"op": "count"}); 21]}),
            "/metrics",
            "too_many",
        ),
    ] {
        let answer = owner
            .post("records/appointments/aggregate", body.clone())
            .await;
        assert_eq!(answer.status, 422, "{body}");
        assert_eq!(
            answer.violations(),
            [(pointer.to_owned(), code.to_owned())],
            "{body}"
        );
    }
}
