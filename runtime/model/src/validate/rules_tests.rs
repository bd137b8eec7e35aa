//! Rules between fields, through the one maker of changes.

mod computed;
mod conditions;
mod sent;

use super::*;
use crate::permission::{Authority, permit};
use crate::testing::{actor, sales, source};
use serde_json::json;
use uuid::Uuid;

fn data(value: Value) -> Data {
    value.as_object().unwrap().clone()
}

fn deals() -> ModuleSlug {
    "deals".parse().unwrap()
}

fn record() -> RecordId {
    RecordId::new(Uuid::from_u128(7))
}

fn company() -> RecordId {
    RecordId::new(Uuid::from_u128(8))
}

/// What stands around a write; nothing, unless a test says so.
#[derive(Default)]
struct Around {
    at: i64,
    related: BTreeMap<RecordId, Data>,
    numbers: BTreeMap<FieldKey, i64>,
    rollups: BTreeMap<FieldKey, Value>,
}

impl Around {
    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            at: DateTime::from_timestamp(self.at, 0).unwrap(),
            related: &self.related,
            numbers: &self.numbers,
            made: None,
            rollups: &self.rollups,
            added: None,
        }
    }

    fn run(&self, mutation: &Mutation, base: Option<&Base>) -> Result<Validated, Refusal> {
        let model = sales_model();
        let owner = actor("owner");
        let authority = Authority::User(&owner);
        let permit = permit(&model, authority, action_of(mutation), &deals()).unwrap();
        validate(
            &model,
            &permit,
            mutation,
            record(),
            base,
            &self.surroundings(),
        )
    }

    fn created(&self, value: Value) -> Data {
        after(self.run(&create(value), None))
    }

    fn updated(&self, base: &Data, patch: Value) -> Data {
        after(self.run(&update(patch), Some(&stored(base))))
    }

    fn recomputed(&self, base: &Data) -> Option<ValidChange> {
        let surroundings = self.surroundings();
        let owner = actor("owner");
        recompute(
            &sales_model(),
            &deals(),
            record(),
            &stored(base),
            &owner,
            &surroundings,
        )
    }
}

fn sales_model() -> Model {
    let mut source = source(sales());
    source.settings.time_zone = chrono_tz::Tz::Asia__Tokyo;
    Model::compile(source).unwrap()
}

fn stored(data: &Data) -> Base {
    Base {
        version: 1,
        data: data.clone(),
    }
}

fn create(value: Value) -> Mutation {
    Mutation::Create {
        module: deals(),
        data: data(value),
    }
}

fn update(patch: Value) -> Mutation {
    Mutation::Update {
        module: deals(),
        record_id: record(),
        expected_version: None,
        patch: data(patch),
    }
}

fn replace(value: Data) -> Mutation {
    Mutation::Replace {
        module: deals(),
        record_id: record(),
        expected_version: None,
        data: value,
    }
}

fn after(result: Result<Validated, Refusal>) -> Data {
    match result {
        Ok(Validated::Change(change)) => change.after().unwrap().clone(),
        other => unreachable!("{other:?}"),
    }
}

fn violations(result: Result<Validated, Refusal>) -> Vec<(String, String, String)> {
    let Err(Refusal::Invalid(violations)) = result else {
        unreachable!("{result:?}")
    };
    let found = violations.as_slice().iter().cloned();
    found
        .map(|found| (found.pointer, found.code, found.message))
        .collect()
}

fn refusals(patch: Value, base: Option<&Data>) -> Vec<(String, String)> {
    let around = Around::default();
    let result = match base {
        None => around.run(&create(patch), None),
        Some(base) => around.run(&update(patch), Some(&stored(base))),
    };
    violations(result)
        .into_iter()
        .map(|(pointer, code, _)| (pointer, code))
        .collect()
}

fn one(pointer: &str, code: &str) -> Vec<(String, String)> {
    vec![(pointer.to_owned(), code.to_owned())]
}

fn changed(change: &ValidChange) -> Vec<&str> {
    change.changed().iter().map(FieldKey::as_str).collect()
}

/// Of what a hook is asked about, a change that breaks a rule as it is, or that still takes a
/// number, is worked out anew when the hook has answered.
#[test]
fn what_is_not_done_yet_is_not_valid_yet() {
    let (model, owner, around) = (sales_model(), actor("owner"), Around::default());
    let would = |mutation: &Mutation, base: Option<&Base>| {
        let authority = Authority::User(&owner);
        let permit = permit(&model, authority, action_of(mutation), &deals()).unwrap();
        let surroundings = around.surroundings();
        let asked = would_be(&model, &permit, mutation, record(), base, &surroundings);
        asked.unwrap().valid
    };
    let new = create(json!({"title": "Ring", "country": "de"}));
    let base = stored(&after(around.run(&new, None)));
    assert_eq!(would(&new, None), None, "its number comes later");
    let fine = update(json!({"title": "Rings"}));
    assert!(would(&fine, Some(&base)).is_some());
    let broken = update(json!({"country": "ch"}));
    assert_eq!(would(&broken, Some(&base)), None, "it breaks a rule");
    let required = update(json!({"stage": "offer", "unit_price": "2000"}));
    assert_eq!(would(&required, Some(&base)), None, "approval is required");
}
