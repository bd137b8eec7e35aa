//! Every kind of mutation, every kind of nonsense, and each limit at its edge.

use super::*;
use crm_model::limits::RUN_MAX_MUTATIONS;
use serde_json::json;

const RECORD: &str = "018f4e6a-7c1e-7000-8000-000000000001";

fn create(module: &str, data: &str) -> wit::Mutation {
    wit::Mutation::Create(wit::NewRecord {
        module: module.into(),
        data: data.into(),
    })
}

fn update(record_id: &str, expected_version: Option<u64>, patch: &str) -> wit::Mutation {
    wit::Mutation::Update(wit::RecordPatch {
        module: "items".into(),
        record_id: record_id.into(),
        expected_version,
        patch: patch.into(),
    })
}

fn activity(kind: &str, title: &str) -> wit::Mutation {
    wit::Mutation::Activity(wit::NewActivity {
        module: "items".into(),
        record_id: RECORD.into(),
        kind: kind.into(),
        title: title.into(),
        body: Some("both sides".into()),
        due_at: None,
        assignee: None,
    })
}

fn decode(mutations: Vec<wit::Mutation>) -> Result<Vec<Mutation>, RunFailure> {
    decode_within(mutations, &GuestLimits::default())
}

fn decode_within(
    mutations: Vec<wit::Mutation>,
    limits: &GuestLimits,
) -> Result<Vec<Mutation>, RunFailure> {
    let answer = wit::Outcome {
        mutations,
        effects: Vec::new(),
    };
    answer_decode(Ok(answer), limits).map(|outcome| outcome.mutations)
}

fn nonsense(mutation: wit::Mutation) -> String {
    match decode(vec![mutation]) {
        Err(RunFailure::Nonsense(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_kind_of_mutation_is_decoded() {
    let delete = wit::Mutation::Delete(wit::RecordRemoval {
        module: "items".into(),
        record_id: RECORD.into(),
        expected_version: None,
    });
    let answer = vec![
        create("orders", r#"{"total":"12.50"}"#),
        update(RECORD, Some(3), r#"{"band":null}"#),
        delete,
        activity("system", "Valued"),
    ];
    let decoded = serde_json::to_value(decode(answer).unwrap()).unwrap();
    assert_eq!(
        decoded,
        json!([
            {"op": "create", "module": "orders", "data": {"total": "12.50"}},
            {"op": "update", "module": "items", "record_id": RECORD, "expected_version": 3,
             "patch": {"band": null}},
            {"op": "delete", "module": "items", "record_id": RECORD},
            {"op": "activity", "module": "items", "record_id": RECORD,
             "activity": {"kind": "system", "title": "Valued", "body": "both sides"}},
        ])
    );
}

#[test]
fn nonsense_is_named() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    for (mutation, expected) in [
        (create("Items; drop", "{}"), "is not a module name"),
        (create("items", "[]"), "its data is not a JSON object"),
        (create("items", "{"), "its data is not JSON: EOF"),
        (
            create("items", &deep),
            "its data is not JSON: recursion limit",
        ),
        (
            create("items", r#"{"a":[{"b":"x\u0000"}]}"#),
            "its data holds a NUL",
        ),
        (create("items", r#"{"a\u0000":1}"#), "its data holds a NUL"),
        (
            create("items", r#"{"a":1e999}"#),
            "its data is not JSON: number out of range",
        ),
        (update("42", None, "{}"), "its record id is not a UUID"),
        (
            update(RECORD, None, "\"text\""),
            "its patch is not a JSON object",
        ),
        (
            update(RECORD, Some(u64::MAX), "{}"),
            "no record has so high a version",
        ),
        (activity("Party!", "Valued"), "the activity's /kind"),
    ] {
        let reason = nonsense(mutation);
        assert!(reason.starts_with("mutation 1: "), "{reason}");
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn one_bad_mutation_refuses_all_and_is_counted_from_one() {
    let answer = decode(vec![create("items", "{}"), create("items", "7")]);
    let expected = "mutation 2: its data is not a JSON object";
    assert_eq!(answer, Err(RunFailure::Nonsense(expected.to_owned())));
}

#[test]
fn as_many_mutations_as_allowed_and_not_one_more() {
    let many = |count| vec![create("items", "{}"); count];
    assert_eq!(
        decode(many(RUN_MAX_MUTATIONS)).unwrap().len(),
        RUN_MAX_MUTATIONS
    );
    assert_eq!(
        decode(many(RUN_MAX_MUTATIONS + 1)),
        over("max_mutations", RUN_MAX_MUTATIONS + 1, RUN_MAX_MUTATIONS).map(|()| vec![])
    );
}

#[test]
fn as_much_text_as_allowed_and_not_one_byte_more() {
    let limits = GuestLimits {
        output_max_bytes: 1 << 10,
        ..GuestLimits::default()
    };
    let data = |bytes: usize| format!("{{{}}}", " ".repeat(bytes - "items".len() - 2));
    let answer = |bytes| decode_within(vec![create("items", &data(bytes))], &limits);
    assert!(answer(1 << 10).is_ok());
    assert_eq!(
        answer((1 << 10) + 1),
        over("output_max_bytes", 1025, 1024).map(|()| vec![])
    );
}

#[test]
fn a_guest_s_failure_keeps_its_meaning_and_loses_its_control_characters() {
    let failure = |failure| answer_decode(Err(failure), &GuestLimits::default()).unwrap_err();
    assert_eq!(
        failure(wit::Failure::Fail("no\0price".into())),
        RunFailure::Fail("no\u{fffd}price".into())
    );
    assert_eq!(
        failure(wit::Failure::Skip("no rate".into())),
        RunFailure::Skip("no rate".into())
    );
    let retry = |after_ms| {
        wit::Failure::Retry(wit::RetryRequest {
            after_ms,
            reason: "later".into(),
        })
    };
    let after = |after| RunFailure::Retry {
        after,
        reason: "later".into(),
    };
    assert_eq!(failure(retry(1_500)), after(Duration::from_millis(1_500)));
    assert_eq!(failure(retry(u64::MAX)), after(RETRY_AFTER_MAX));
}

#[test]
fn a_failure_s_text_has_the_answer_s_limit() {
    let limits = GuestLimits {
        output_max_bytes: 10,
        ..GuestLimits::default()
    };
    let answer = |bytes| answer_decode(Err(wit::Failure::Fail("x".repeat(bytes))), &limits);
    assert_eq!(answer(10), Err(RunFailure::Fail("x".repeat(10))));
    assert_eq!(answer(11).map(|_| ()), over("output_max_bytes", 11, 10));
}
