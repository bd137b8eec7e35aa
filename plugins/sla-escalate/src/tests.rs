use super::*;
use crm_plugin_sdk::{Effect, testing};

fn config() -> Config {
    serde_json::from_value(json!({
        "when": "after.status == 'open'",
        "levels": [
            {
                "after": { "hours": 4 },
                "notify": { "to": ["{{ owner }}", "role:manager"], "title": "{{ after.name }} waits" },
            },
            { "after": { "days": 1 }, "assign": "ada", "set": { "priority": "'high'" } },
        ],
    }))
    .unwrap()
}

fn clock(at: &str, level: usize) -> Effect {
    Effect::Schedule(Schedule {
        key: KEY.to_owned(),
        at: at.to_owned(),
        payload: json!({ "level": level }),
    })
}

fn reached(level: usize) -> Outcome {
    let old = json!({ "status": "open", "name": "as it was" });
    let payload =
        json!({ "key": KEY, "at": "2026-01-02T07:04:05Z", "payload": { "level": level } });
    run(
        testing::happened(EventKind::TimeReached, "tickets", old, payload),
        config(),
    )
}

#[test]
fn the_clock_starts_when_the_record_begins_to_match() {
    let started = Answer::new().and(clock("2026-01-02T07:04:05Z", 0));
    let open = json!({ "status": "open" });
    let created = run(testing::created("tickets", open.clone()), config());
    assert_eq!(created, Ok(started.clone()));
    let closed = json!({ "status": "closed" });
    let reopened = testing::updated("tickets", closed.clone(), open.clone());
    assert_eq!(run(reopened, config()), Ok(started));
    for event in [
        testing::updated("tickets", open.clone(), open.clone()),
        testing::updated("tickets", open.clone(), closed.clone()),
        testing::created("tickets", closed),
        testing::deleted("tickets", open),
    ] {
        let outcome = run(event, config());
        assert!(matches!(outcome, Err(Failure::Skip(_))), "{outcome:?}");
    }
}

#[test]
fn a_level_tells_and_starts_the_next_clock() {
    let now = json!({ "status": "open", "name": "Ticket 7" });
    let _host = testing::host().record("tickets", testing::RECORD_ID, now);
    let told = Notification {
        to: vec!["tester".to_owned(), "role:manager".to_owned()],
        title: "Ticket 7 waits".to_owned(),
        body: None,
    };
    let next = clock("2026-01-03T03:04:00Z", 1);
    assert_eq!(reached(0), Ok(Answer::new().and(told).and(next)));
}

#[test]
fn the_last_level_assigns_and_sets() {
    let now = json!({ "status": "open" });
    let _host = testing::host().record("tickets", testing::RECORD_ID, now);
    let id = testing::RECORD_ID;
    let update = Mutation::update_record("tickets", id, json!({ "priority": "high" }));
    let answer = reached(1).unwrap();
    let [first, Mutation::Assign { owner, .. }] = answer.mutations.as_slice() else {
        panic!("{answer:?}")
    };
    assert_eq!((first, owner.as_str()), (&update, "ada"));
    assert!(answer.effects.is_empty());
    assert!(matches!(reached(2), Err(Failure::Skip(_))));
}

#[test]
fn what_was_dealt_with_or_is_gone_is_left_alone() {
    let now = json!({ "status": "closed" });
    let _host = testing::host().record("tickets", testing::RECORD_ID, now);
    assert_eq!(reached(0), Err(Failure::skip("it was dealt with in time")));
    let _host = testing::host();
    assert_eq!(reached(0), Err(Failure::skip("the record is gone")));
}
