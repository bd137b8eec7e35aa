//! What several roles leave of fields, and what becomes of a record and of what is sent.

use super::*;
use crate::Mutation;
use crate::permission::{Authority, permit};
use crate::testing::{alone, definition, source};
use crate::validate::{Base, Refusal, Validated, validate};
use serde_json::json;
use uuid::Uuid;

fn limited() -> Model {
    let mut definition = definition();
    definition["roles"] = json!([
        {"slug": "owner", "label": "Owner", "permissions": {"*": ["*"]}},
        {"slug": "clerk", "label": "Clerk",
         "permissions": {"items": ["create", "read", "update"]},
         "fields": {"items": {"notes": "hidden", "phone": "masked", "price": "masked",
                              "count": "read_only"}}},
        {"slug": "reader", "label": "Reader", "permissions": {"items": ["read"]},
         "fields": {"items": {"notes": "masked"}}},
        {"slug": "stranger", "label": "Stranger", "permissions": {"elsewhere": ["read"]}},
    ]);
    Model::compile(source(definition)).unwrap()
}

fn actor(roles: &[&str]) -> Actor {
    let roles = roles.iter().map(|role| role.parse().unwrap()).collect();
    Actor::person("u-1".parse().unwrap(), roles)
}

fn data(value: Value) -> Data {
    serde_json::from_value(value).unwrap()
}

fn record() -> Data {
    data(
        json!({"sku": "A1", "notes": "secret", "phone": "+41441234567", "count": 3,
        "price": {"amount": "1.00", "currency": "CHF"}}),
    )
}

fn shown(roles: &[&str]) -> Value {
    let model = limited();
    let module = model.module(&"items".parse().unwrap()).unwrap();
    let sight = model.sight(module, Some(&actor(roles)));
    Value::Object(sight.show(&record()).into_owned())
}

#[test]
fn the_most_generous_role_that_reads_counts_for_each_field() {
    let clerk = json!({"sku": "A1", "phone": "••••4567", "price": "••••", "count": 3});
    assert_eq!(shown(&["clerk"]), clerk);
    assert_eq!(
        shown(&["clerk", "stranger"]),
        clerk,
        "who reads nothing opens nothing"
    );
    let both = shown(&["clerk", "reader"]);
    assert_eq!(
        (&both["notes"], &both["phone"]),
        (&json!("••••"), &json!("+41441234567"))
    );
    assert_eq!(shown(&["clerk", "owner"]), Value::Object(record()));
}

fn sent(roles: &[&str], patch: Value) -> Result<Option<Data>, Vec<(String, String)>> {
    let model = limited();
    let items = "items".parse().unwrap();
    let actor = actor(roles);
    let permit = permit(&model, Authority::User(&actor), Action::Update, &items).unwrap();
    let record_id = crate::RecordId::new(Uuid::from_u128(1));
    let mutation = Mutation::Update {
        module: items.clone(),
        record_id,
        expected_version: None,
        patch: data(patch),
    };
    let base = Base {
        version: 1,
        data: record(),
    };
    match validate(&model, &permit, &mutation, record_id, Some(&base), &alone()) {
        Ok(Validated::Change(change)) => Ok(change.after().cloned()),
        Ok(_) => Ok(None),
        Err(Refusal::Invalid(violations)) => Err(violations
            .as_slice()
            .iter()
            .map(|violation| (violation.pointer.clone(), violation.code.clone()))
            .collect()),
        Err(other) => panic!("{other}"),
    }
}

fn one(field: &str, code: &str) -> Result<Option<Data>, Vec<(String, String)>> {
    Err(vec![(format!("/data/{field}"), code.to_owned())])
}

#[test]
fn what_is_hidden_answers_as_what_is_not_there() {
    for value in [json!("secret"), json!("other"), json!(7)] {
        assert_eq!(
            sent(&["clerk"], json!({"notes": value})),
            one("notes", "unknown_field")
        );
    }
    assert_eq!(sent(&["clerk"], json!({"notes": null})), Ok(None));
    assert_eq!(sent(&["clerk"], json!({"nothing": null})), Ok(None));
}

#[test]
fn a_mask_is_never_written_and_the_value_behind_it_not_guessed() {
    for sent_back in [json!({"phone": "••••4567"}), json!({"price": "••••"})] {
        assert_eq!(sent(&["clerk"], sent_back), Ok(None));
    }
    for guess in ["+41441234567", "+41440000000", "••••9999"] {
        assert_eq!(
            sent(&["clerk"], json!({"phone": guess})),
            one("phone", "read_only")
        );
    }
    let owner = sent(&["clerk", "owner"], json!({"phone": "+41440000000"}));
    assert_eq!(owner.unwrap().unwrap()["phone"], "+41440000000");
}

#[test]
fn read_only_takes_its_own_value_back_and_no_other() {
    assert_eq!(sent(&["clerk"], json!({"count": 3})), Ok(None));
    assert_eq!(
        sent(&["clerk"], json!({"count": 4})),
        one("count", "read_only")
    );
    // Reading comes from one role, writing from the other: no role opens the field for both.
    assert_eq!(
        sent(&["clerk", "reader"], json!({"count": 4})),
        one("count", "read_only")
    );
}

#[test]
fn what_is_not_hidden_stays_when_something_else_is_written() {
    let after = sent(&["clerk"], json!({"sku": "B2"})).unwrap().unwrap();
    let mut expected = record();
    expected.insert("sku".to_owned(), json!("B2"));
    assert_eq!(after, expected);
}

#[test]
fn the_module_tells_nothing_of_what_is_hidden() {
    let model = limited();
    let module = model.module(&"items".parse().unwrap()).unwrap();
    let sight = model.sight(module, Some(&actor(&["clerk"])));
    let schema = sight.schema();
    assert_eq!(schema["properties"].get("notes"), None);
    assert_eq!(schema["properties"]["count"]["readOnly"], true);
    assert!(
        sight
            .unknown_field("note")
            .contains("there is no such field")
    );
    assert!(!sight.unknown_field("note").contains("notes"));
    assert!(!sight.limits_search());
}

#[test]
fn a_role_that_names_no_field_of_the_model_makes_none() {
    for fields in [
        json!({"items": {"nots": "hidden"}}),
        json!({"item": {"notes": "hidden"}}),
    ] {
        let mut definition = definition();
        definition["roles"][0]["fields"] = fields;
        assert_eq!(
            Model::compile(source(definition)).unwrap_err().place,
            "roles"
        );
    }
}
