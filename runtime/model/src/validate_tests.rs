use super::*;
use crate::capability::{Capabilities, Grant};
use crate::permission::{Authority, permit};
use crate::testing::{actor, alone, definition, model, source};
use serde_json::json;
use uuid::Uuid;

fn data(value: Value) -> Data {
    value.as_object().unwrap().clone()
}

fn items() -> ModuleSlug {
    "items".parse().unwrap()
}

fn record() -> RecordId {
    RecordId::new(Uuid::from_u128(7))
}

fn run(mutation: &Mutation, base: Option<&Base>) -> Result<Validated, Refusal> {
    let model = model();
    let owner = actor("owner");
    let permit = permit(
        &model,
        Authority::User(&owner),
        action_of(mutation),
        &items(),
    )
    .unwrap();
    validate(&model, &permit, mutation, record(), base, &alone())
}

fn create(value: Value) -> Result<ValidChange, Refusal> {
    match run(
        &Mutation::Create {
            module: items(),
            data: data(value),
        },
        None,
    )? {
        Validated::Change(change) => Ok(change),
        Validated::Purge(_) | Validated::Unchanged => unreachable!("a new record is a change"),
    }
}

fn codes(value: Value) -> Vec<(String, String)> {
    match create(value).unwrap_err() {
        Refusal::Invalid(violations) => violations
            .as_slice()
            .iter()
            .map(|violation| (violation.pointer.clone(), violation.code.clone()))
            .collect(),
        other => unreachable!("{other}"),
    }
}

#[test]
fn values_are_stored_in_one_form() {
    let change = create(json!({
        "sku": "A1", "carat": 0.23, "price": {"amount": 326, "currency": "USD"},
        "seen_at": "2026-11-22T10:30:00+01:00", "phone": "+44 20 7183 8750", "notes": null,
    }))
    .unwrap();
    assert_eq!(
        Value::Object(change.after().unwrap().clone()),
        json!({
            "sku": "A1", "carat": "0.23", "price": {"amount": "326", "currency": "USD"},
            "seen_at": "2026-11-22T09:30:00Z", "phone": "+442071838750", "sold": false,
        })
    );
    assert_eq!(change.version(), 1);
}

#[test]
fn every_violation_is_listed_with_its_pointer() {
    let mut found = codes(json!({
        "notes": 3, "count": 11, "carat": "0.001", "price": {"amount": "1.234", "currency": "USD"},
        "sold": "yes", "made_on": "2026-02-30", "seen_at": "noon", "cut": "Round",
        "email": "ada", "phone": "12", "pair": "x", "colour": "D", "a/b": 1,
    }));
    found.sort();
    let expected = [
        ("/data/a~1b", "unknown_field"),
        ("/data/carat", "scale"),
        ("/data/colour", "unknown_field"),
        ("/data/count", "max"),
        ("/data/cut", "enum"),
        ("/data/email", "format"),
        ("/data/made_on", "format"),
        ("/data/notes", "type"),
        ("/data/pair", "format"),
        ("/data/phone", "format"),
        ("/data/price", "scale"),
        ("/data/seen_at", "format"),
        ("/data/sku", "required"),
        ("/data/sold", "type"),
    ];
    let expected: Vec<(String, String)> = expected
        .iter()
        .map(|(pointer, code)| ((*pointer).into(), (*code).into()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn bounds_hold_at_the_limit_and_not_past_it() {
    for (value, code) in [
        (json!({"sku": "A".repeat(21)}), "max_length"),
        (json!({"sku": "a"}), "pattern"),
        (json!({"sku": ""}), "required"),
        (json!({"sku": "  "}), "pattern"),
        (json!({"sku": "A\u{0}"}), "characters"),
        (json!({"sku": "A\nB"}), "format"),
        (json!({"sku": "A", "count": -1}), "min"),
        (json!({"sku": "A", "count": 1.5}), "type"),
        (json!({"sku": "A", "carat": "0.00"}), "min"),
        (json!({"sku": "A", "carat": "100.01"}), "max"),
        (json!({"sku": "A", "carat": "10000"}), "precision"),
        (
            json!({"sku": "A", "carat": 0.123_456_789_012_345_67}),
            "type",
        ),
        (json!({"sku": "A", "carat": "1e2"}), "pattern"),
        (
            json!({"sku": "A", "price": {"amount": "1", "currency": "XXQ"}}),
            "currency",
        ),
        (
            json!({"sku": "A", "price": {"amount": "-1", "currency": "USD"}}),
            "min",
        ),
        (
            json!({"sku": "A", "price": {"amount": "1.5", "currency": "JPY"}}),
            "scale",
        ),
        (json!({"sku": "A", "price": {"amount": "1"}}), "required"),
    ] {
        let found = codes(value.clone());
        assert!(
            found.iter().any(|(_, found)| found == code),
            "{value}: {found:?}"
        );
    }
    for value in [
        json!({"sku": "A".repeat(20), "count": 10, "carat": "100"}),
        json!({"sku": "A", "count": 0, "carat": "0.01", "price": {"amount": "0", "currency": "JPY"}}),
    ] {
        assert!(create(value.clone()).is_ok(), "{value}");
    }
}

#[test]
fn an_update_merges_and_says_what_changed() {
    let base = Base {
        version: 3,
        data: data(json!({"sku": "A", "count": 1, "price": {"amount": "5", "currency": "USD"}})),
    };
    let update = |patch: Value, expected_version| Mutation::Update {
        module: items(),
        record_id: record(),
        expected_version,
        patch: data(patch),
    };
    let patch = update(json!({"count": null, "price": {"amount": "6"}}), Some(3));
    let Validated::Change(change) = run(&patch, Some(&base)).unwrap() else {
        unreachable!()
    };
    assert_eq!(
        change.after().unwrap()["price"],
        json!({"amount": "6", "currency": "USD"})
    );
    let changed: Vec<&str> = change.changed().iter().map(FieldKey::as_str).collect();
    assert_eq!(changed, ["count", "price"]);
    assert_eq!((change.base_version(), change.version()), (3, 4));

    assert_eq!(
        run(&update(json!({"count": 1}), None), Some(&base)),
        Ok(Validated::Unchanged)
    );
    assert_eq!(
        run(&update(json!({}), Some(2)), Some(&base)),
        Err(Refusal::Stale {
            expected: 2,
            current: 3
        })
    );
    assert_eq!(run(&update(json!({}), None), None), Err(Refusal::NotFound));
    assert!(matches!(
        run(&update(json!({"sku": null}), None), Some(&base)),
        Err(Refusal::Invalid(_))
    ));
}

#[test]
fn a_permit_for_one_thing_is_none_for_another() {
    let model = model();
    let owner = actor("owner");
    let permit = permit(&model, Authority::User(&owner), Action::Read, &items()).unwrap();
    let mutation = Mutation::Create {
        module: items(),
        data: data(json!({"sku": "A"})),
    };
    let refused = validate(&model, &permit, &mutation, record(), None, &alone());
    assert!(matches!(refused, Err(Refusal::Denied(_))));
}

#[test]
fn roles_say_what_people_may_do() {
    let model = model();
    let ask = |role, action, module: &str| {
        let actor = actor(role);
        permit(
            &model,
            Authority::User(&actor),
            action,
            &module.parse().unwrap(),
        )
        .map(drop)
    };
    assert!(ask("owner", Action::Delete, "items").is_ok());
    assert!(ask("viewer", Action::Read, "items").is_ok());
    assert!(matches!(
        ask("viewer", Action::Update, "items"),
        Err(Denied::Forbidden { .. })
    ));
    for (role, module) in [("owner", "nothing"), ("stranger", "items")] {
        assert!(matches!(
            ask(role, Action::Read, module),
            Err(Denied::Invisible { .. })
        ));
    }
}

#[test]
fn a_plugin_does_what_its_grant_and_the_person_may() {
    let model = model();
    let capabilities: Capabilities = serde_json::from_value(json!({
        "writes": {"items": {"operations": ["update"], "fields": ["count"]}},
    }))
    .unwrap();
    let grant = Grant::new(capabilities.clone(), capabilities);
    let attempt = |role: &str, patch: Value| {
        let behalf_of = actor(role);
        let authority = Authority::Plugin {
            grant: &grant,
            behalf_of: &behalf_of,
            run_as: crate::permission::RunAs::Person,
        };
        let mutation = Mutation::Update {
            module: items(),
            record_id: record(),
            expected_version: None,
            patch: data(patch),
        };
        let permit = permit(&model, authority, Action::Update, &items())?;
        let base = Base {
            version: 1,
            data: data(json!({"sku": "A"})),
        };
        validate(&model, &permit, &mutation, record(), Some(&base), &alone())
    };
    assert!(attempt("owner", json!({"count": 2})).is_ok());
    assert!(matches!(
        attempt("viewer", json!({"count": 2})),
        Err(Refusal::Denied(_))
    ));
    let Err(Refusal::Invalid(violations)) = attempt("owner", json!({"count": 2, "notes": "x"}))
    else {
        unreachable!("notes are not granted")
    };
    assert_eq!(violations.as_slice()[0].code, "forbidden");
}

#[test]
fn a_workflow_starts_on_its_fields_and_condition() {
    let model = Model::compile(source(definition())).unwrap();
    let workflow = &model.workflows()[0];
    let event = |changed: &str, amount: &str| crate::Event {
        id: crate::EventId::new(Uuid::from_u128(9)),
        kind: EventKind::RecordUpdated,
        module: items(),
        record_id: record(),
        record_version: 2,
        before: None,
        after: Some(data(
            json!({"price": {"amount": amount, "currency": "USD"}}),
        )),
        changed_fields: vec![changed.parse().unwrap()],
        payload: None,
        actor: actor("owner"),
        cause: crate::Cause::User,
        depth: 0,
        occurred_at: chrono::DateTime::UNIX_EPOCH,
    };
    assert!(workflow.is_triggered_by(&event("price", "1")));
    assert!(!workflow.is_triggered_by(&event("count", "1")));
    assert_eq!(
        workflow.condition_holds(&event("price", "100.01")),
        Ok(true)
    );
    assert_eq!(workflow.condition_holds(&event("price", "100")), Ok(false));
    assert!(workflow.condition_holds(&event("price", "x")).is_err());
}

/// What a hook is asked about is worked out once: with nothing to add, it is the change.
#[test]
fn what_would_be_is_what_is_made_where_nothing_is_added() {
    let model = model();
    let owner = actor("owner");
    let would = |mutation: &Mutation, base: Option<&Base>| {
        let action = action_of(mutation);
        let permit = permit(&model, Authority::User(&owner), action, &items()).unwrap();
        would_be(&model, &permit, mutation, record(), base, &alone())
    };
    let new = |value| Mutation::Create {
        module: items(),
        data: data(value),
    };
    let fine = new(json!({"sku": "A1", "carat": 0.23}));
    let Ok(Validated::Change(made)) = run(&fine, None) else {
        panic!("it is a change");
    };
    let asked = would(&fine, None).unwrap();
    assert_eq!(asked.valid.as_ref(), Some(&made));
    assert_eq!(Some(&asked.after), made.after());

    let base = Base {
        version: 3,
        data: made.after().unwrap().clone(),
    };
    let update = Mutation::Update {
        module: items(),
        record_id: record(),
        expected_version: None,
        patch: data(json!({"carat": "0.5"})),
    };
    let Ok(Validated::Change(made)) = run(&update, Some(&base)) else {
        panic!("it is a change");
    };
    let asked = would(&update, Some(&base)).unwrap();
    assert_eq!(asked.before.as_ref(), made.before());
    assert_eq!(asked.changed, made.changed());
    assert_eq!(asked.valid, Some(made));

    // The hook may still add what is missing.
    let missing = new(json!({"carat": 0.23}));
    run(&missing, None).unwrap_err();
    assert_eq!(would(&missing, None).unwrap().valid, None);
}
