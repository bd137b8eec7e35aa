use super::*;
use crm_plugin_sdk::testing;

fn config() -> Config {
    serde_json::from_value(json!({
        "match": [
            { "field": "email", "as": "email" },
            { "field": "phone", "as": "phone" },
            { "field": "full_name", "as": "name" },
        ],
        "flag": "duplicate", "link": "duplicate_of", "activity": true,
    }))
    .unwrap()
}

fn host() -> testing::Host {
    testing::host()
        .record(
            "leads",
            testing::RECORD_ID,
            json!({ "email": "ada@example.com" }),
        )
        .record(
            "leads",
            "old",
            json!({ "full_name": "Lovelace, Ada", "phone": "044 123 45 67" }),
        )
        .record("leads", "new", json!({ "email": "ADA@example.com" }))
}

fn patch(outcome: Outcome) -> Value {
    match outcome.unwrap().mutations.into_iter().next() {
        Some(Mutation::Update { patch, .. }) => patch,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_oldest_that_matches_is_pointed_to() {
    let _host = host();
    for (record, id, field) in [
        (json!({ "email": "Ada@Example.com" }), "new", "email"),
        (
            json!({ "email": "bob@example.com", "phone": "+41441234567" }),
            "old",
            "phone",
        ),
        (
            json!({ "email": "ada@example.com", "full_name": "ada lovelace" }),
            "old",
            "full_name",
        ),
    ] {
        let answer = run(testing::created("leads", record), config()).unwrap();
        let id_of = testing::RECORD_ID;
        let found = json!({ "duplicate": true, "duplicate_of": id });
        let title = format!("Possibly a duplicate: the same {field}");
        let note = Mutation::activity_on("leads", id_of, ActivityKind::System, title);
        let expected = [
            Mutation::update_record("leads", id_of, found),
            note.with_body(format!("The other record is {id}")),
        ];
        assert_eq!(answer.mutations, expected);
    }
}

#[test]
fn a_record_is_no_duplicate_of_itself() {
    let email = json!({ "email": "ada@example.com" });
    let _host = testing::host().record("leads", testing::RECORD_ID, email.clone());
    let outcome = run(testing::created("leads", email), config());
    assert!(matches!(outcome, Err(Failure::Skip(_))), "{outcome:?}");
}

#[test]
fn a_flag_follows_what_is_so() {
    let _host = host();
    let flagged = json!({ "email": "ada@example.com", "duplicate": true, "duplicate_of": "new" });
    let mut cured = flagged.clone();
    cured["email"] = json!("bob@example.com");
    let event = testing::updated("leads", flagged.clone(), cured);
    let expected = json!({ "duplicate": false, "duplicate_of": null });
    assert_eq!(patch(run(event, config())), expected);

    let mut renamed = flagged.clone();
    renamed["email"] = json!("ADA@example.com");
    let event = testing::updated("leads", flagged.clone(), renamed);
    let outcome = run(event, config());
    assert!(matches!(outcome, Err(Failure::Skip(_))), "{outcome:?}");

    let mut elsewhere = flagged.clone();
    elsewhere["city"] = json!("Zürich");
    let event = testing::updated("leads", flagged, elsewhere);
    let expected = Failure::skip("nothing changed that tells who it is");
    assert_eq!(run(event, config()), Err(expected));
}

#[test]
fn a_record_that_says_nothing_is_no_duplicate() {
    let _host = host();
    for record in [
        json!({}),
        json!({ "email": "", "phone": null, "full_name": 7 }),
    ] {
        let outcome = run(testing::created("leads", record), config());
        assert!(matches!(outcome, Err(Failure::Skip(_))), "{outcome:?}");
    }
}
