use super::*;
use crm_plugin_sdk::testing::{self, Host, RECORD_ID};

fn config() -> Config {
    serde_json::from_value(json!({
        "module": "patients",
        "history": {
            "module": "appointments", "inverse": "patient", "kind": "reason", "at": "day",
        },
        "like": ["condition"], "field": "next_step", "task": true,
    }))
    .unwrap()
}

fn steps(host: Host, patient: &str, steps: &[(&str, &str)]) -> Host {
    steps.iter().fold(host, |host, (reason, day)| {
        let step = json!({ "patient": patient, "reason": reason, "day": day });
        host.record("appointments", &format!("{patient}-{day}"), step)
    })
}

/// The patient, whose last visit was a check-up, and peers on whose check-ups something followed.
fn clinic(peers: &[(&str, &str)]) -> Host {
    let patient = json!({ "condition": "asthma" });
    let mut host = testing::host().record("patients", RECORD_ID, patient.clone());
    host = steps(host, RECORD_ID, &[("check-up", "2026-01-01")]);
    for (index, (kind, day)) in peers.iter().enumerate() {
        let peer = format!("peer-{index}");
        host = host.record("patients", &peer, patient.clone());
        host = steps(host, &peer, &[("check-up", "2025-01-01"), (kind, day)]);
    }
    host
}

fn suggested() -> Outcome {
    run(
        testing::created("patients", json!({ "condition": "asthma" })),
        config(),
    )
}

#[test]
fn what_mostly_followed_for_others_is_suggested_with_its_grounds() {
    let _host = clinic(&[
        ("follow-up", "2025-04-01"),
        ("follow-up", "2025-04-02"),
        ("follow-up", "2025-05-01"),
        ("surgery", "2025-01-03"),
        ("surgery", "2025-01-04"),
    ]);
    let text = "Schedule “follow-up” three months after “check-up” of 2026-01-01";
    let task = Mutation::activity_on(
        "patients",
        RECORD_ID,
        crm_plugin_sdk::ActivityKind::Task,
        text,
    );
    let task = task.with_body(
        "“check-up” was followed by “follow-up” 3 out of 5 times, at the median 91 days later; \
         seen in the history of 6 records with the same condition.",
    );
    let expected = [
        Mutation::update_record("patients", RECORD_ID, json!({ "next_step": text })),
        task.due_at("2026-04-02T00:00:00Z"),
    ];
    assert_eq!(suggested().unwrap().mutations, expected);
}

#[test]
fn a_step_of_the_history_leads_to_its_record() {
    let _host = clinic(&[("follow-up", "2025-04-01"); 3]);
    let step = json!({ "patient": RECORD_ID, "reason": "check-up", "day": "2026-01-01" });
    let from_step = run(testing::created("appointments", step), config()).unwrap();
    assert_eq!(from_step, suggested().unwrap());
    let outcome = run(testing::created("appointments", json!({})), config());
    assert!(matches!(outcome, Err(Failure::Skip(_))), "{outcome:?}");
}

#[test]
fn the_records_own_history_comes_first() {
    let host = clinic(&[("surgery", "2025-01-03"); 9]);
    let own = ["2025-07-01", "2025-08-01", "2025-09-01"].map(|day| ("check-up", day));
    let _host = steps(host, RECORD_ID, &own);
    let answer = suggested().unwrap();
    let [
        Mutation::Update { patch, .. },
        Mutation::Activity { body, due_at, .. },
    ] = answer.mutations.as_slice()
    else {
        panic!("{answer:?}")
    };
    let text = "Schedule “check-up” four weeks after “check-up” of 2026-01-01";
    assert_eq!(*patch, json!({ "next_step": text }));
    assert!(body.as_deref().unwrap().contains("seen in its own history"));
    assert_eq!(due_at.as_deref(), Some("2026-02-01T00:00:00Z"));
}

#[test]
fn what_is_overdue_is_due_now() {
    let _host = clinic(&[("follow-up", "2025-01-01"); 3]);
    let answer = suggested().unwrap();
    let Some(Mutation::Activity { due_at, title, .. }) = answer.mutations.last() else {
        panic!("{answer:?}")
    };
    assert_eq!(due_at.as_deref(), Some("2026-01-02T03:04:05Z"));
    assert!(title.contains("at once after"), "{title}");
}

#[test]
fn too_little_is_not_enough() {
    for peers in [
        &[][..],
        &[("follow-up", "2025-04-01"); 2],
        &[
            ("a", "2025-04-01"),
            ("b", "2025-04-01"),
            ("c", "2025-04-01"),
        ],
    ] {
        let _host = clinic(peers);
        let outcome = suggested();
        assert!(matches!(outcome, Err(Failure::Skip(_))), "{outcome:?}");
    }
    let _host = testing::host().record("patients", RECORD_ID, json!({}));
    let nothing = Failure::skip("nothing was done with the record yet");
    assert_eq!(suggested(), Err(nothing));
    let _host = testing::host();
    assert_eq!(suggested(), Err(Failure::skip("the record is gone")));
}

#[test]
fn the_same_suggestion_is_not_made_twice() {
    let text = "Schedule “follow-up” three months after “check-up” of 2026-01-01";
    let patient = json!({ "condition": "asthma", "next_step": text });
    let host = testing::host().record("patients", RECORD_ID, patient);
    let mut host = steps(host, RECORD_ID, &[("check-up", "2026-01-01")]);
    for peer in ["a", "b", "c"] {
        host = host.record("patients", peer, json!({ "condition": "asthma" }));
        host = steps(
            host,
            peer,
            &[("check-up", "2025-01-01"), ("follow-up", "2025-04-01")],
        );
    }
    let unchanged = Failure::skip("the suggestion is what it was");
    assert_eq!(suggested(), Err(unchanged));
}
