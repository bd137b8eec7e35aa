use super::*;
use crm_plugin_sdk::{ActivityKind, Failure, json, testing};
use serde_json::Value;

fn task(zone: &str, at: &str, config: Value) -> Mutation {
    let mut event = testing::created("leads", json!({ "name": "Ada", "meets_on": "2026-05-10" }));
    event.zone = zone.to_owned();
    event.occurred_at = at.to_owned();
    let answer = run(event, serde_json::from_value(config).unwrap()).unwrap();
    answer.mutations.into_iter().next().unwrap()
}

fn due(zone: &str, at: &str, due: Value) -> String {
    match task(zone, at, json!({ "title": "x", "due": due })) {
        Mutation::Activity {
            due_at: Some(moment),
            ..
        } => moment,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_task_has_title_text_time_and_somebody() {
    let _host = testing::host().record("leads", testing::RECORD_ID, json!({}));
    let config = json!({
        "title": "Call {{ after.name }}", "body": "About {{ event.module }}",
        "due": { "days": 2 }, "assignee": "{{ owner }}",
    });
    let expected =
        Mutation::activity_on("leads", testing::RECORD_ID, ActivityKind::Task, "Call Ada");
    let expected = expected.with_body("About leads").for_user("tester");
    assert_eq!(
        task("UTC", "2026-01-02T03:04:05Z", config),
        expected.due_at("2026-01-04T03:04:00Z")
    );
}

#[test]
fn times_are_on_the_tenants_clock() {
    for (zone, at, when, expected) in [
        (
            "Europe/Berlin",
            "2026-01-02T23:30:00Z",
            json!({ "days": 1, "at": "09:00" }),
            "2026-01-04T09:00:00+01:00",
        ),
        // The clocks go forward in the night before the 29th of March.
        (
            "Europe/Berlin",
            "2026-03-28T11:00:00Z",
            json!({ "days": 1 }),
            "2026-03-29T12:00:00+02:00",
        ),
        (
            "Europe/Berlin",
            "2026-03-28T11:00:00Z",
            json!({ "days": 1, "at": "09:30" }),
            "2026-03-29T09:30:00+02:00",
        ),
        (
            "Europe/Berlin",
            "2026-03-28T11:00:00Z",
            json!({ "hours": 24 }),
            "2026-03-29T13:00:00+02:00",
        ),
        (
            "Europe/Berlin",
            "2026-03-27T11:00:00Z",
            json!({ "days": 2, "at": "02:30" }),
            "2026-03-29T03:30:00+02:00",
        ),
        (
            "America/New_York",
            "2026-01-31T12:00:00.123456Z",
            json!({ "months": 1 }),
            "2026-02-28T07:00:00-05:00",
        ),
        (
            "Asia/Tokyo",
            "2026-01-31T12:00:00Z",
            json!("d(after.meets_on, event.zone).sub(1, 'day')"),
            "2026-05-09T00:00:00+09:00",
        ),
    ] {
        assert_eq!(due(zone, at, when), expected, "{zone} {at}");
    }
}

#[test]
fn what_is_no_time_fails() {
    for (when, reason) in [
        (json!({ "at": "25:00" }), "`25:00` is not a time of the day"),
        (json!("after.name"), "a time was expected"),
        (json!("after.none"), "a time was expected"),
    ] {
        let event = testing::created("leads", json!({ "name": "Ada" }));
        let config = json!({ "title": "x", "due": when });
        let outcome = run(event, serde_json::from_value(config).unwrap());
        let Err(Failure::Fail(message)) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(message.starts_with(reason), "{message}");
    }
    let unreadable = json!({ "title": "x", "due": "1 +" });
    assert!(serde_json::from_value::<Config>(unreadable).is_err());
}
