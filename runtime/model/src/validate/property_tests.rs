//! What holds for any model and any record.

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::permission::{Authority, permit};
use crate::testing::{actor, alone, source};

const TYPES: [&str; 8] = [
    "text", "integer", "decimal", "currency", "boolean", "date", "datetime", "select",
];

fn things() -> ModuleSlug {
    "things".parse().unwrap()
}

fn record() -> RecordId {
    RecordId::new(Uuid::from_u128(7))
}

/// A field, and what it reads where it has an expression.
#[derive(Clone, Debug)]
struct Shape {
    kind: &'static str,
    required: bool,
    has_default: bool,
    condition: Option<(usize, &'static str)>,
    formula: Option<(usize, &'static str)>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let condition = (
        0..8_usize,
        prop::sample::select(vec!["visible_if", "required_if"]),
    );
    let operators = vec!["+ 1", "* 0.1", "== null", "?? 'none'", "/ 3"];
    let formula = (0..8_usize, prop::sample::select(operators));
    (
        prop::sample::select(TYPES.to_vec()),
        any::<bool>(),
        any::<bool>(),
        prop::option::of(condition),
        prop::option::of(formula),
    )
        .prop_map(|(kind, required, has_default, condition, formula)| Shape {
            kind,
            required,
            has_default,
            condition,
            formula,
        })
}

/// A value that the type takes, in one of its spellings.
fn value(kind: &str, seed: i64) -> Value {
    match kind {
        "text" => json!(format!("text {seed}")),
        "integer" => json!(seed),
        "decimal" if seed % 2 == 0 => json!(seed),
        "decimal" => json!(format!("{seed}.50")),
        "currency" => json!({"amount": seed, "currency": "CHF"}),
        "boolean" => json!(seed % 2 == 0),
        "date" => json!(format!("2026-01-{:02}", seed.rem_euclid(28) + 1)),
        "datetime" => json!(format!("2026-01-01T10:00:{:02}+01:00", seed.rem_euclid(60))),
        _ => json!("one"),
    }
}

fn compiled(shapes: &[Shape]) -> Model {
    let count = shapes.len();
    let fields = shapes.iter().enumerate().flat_map(|(index, shape)| {
        let mut field = json!({
            "key": format!("f{index}"), "label": "F", "type": shape.kind,
            "required": shape.required,
        });
        if shape.kind == "select" {
            field["options"] = json!([{"value": "one", "label": "One"}]);
        }
        if shape.has_default {
            field["default"] = value(shape.kind, 7);
        }
        if let Some((read, attribute)) = shape.condition {
            field[attribute] = json!(format!("record.f{} != null", read % count));
        }
        let formula = shape.formula.map(|(read, operator)| {
            // Every second one reads the formula before it, as far as there is one.
            let reads = if read % 2 == 0 || index == 0 {
                format!("record.f{}", read % count)
            } else {
                format!("(record.g{} ?? 0)", index - 1)
            };
            let result = ["text", "decimal", "integer", "boolean"][read % 4];
            json!({"key": format!("g{index}"), "label": "G", "type": "formula",
                   "result": result, "expression": format!("{reads} {operator}")})
        });
        let formula = formula.unwrap_or_else(|| {
            json!({"key": format!("g{index}"), "label": "G", "type": "formula",
                   "result": "text", "expression": "actor.user_id + now"})
        });
        [field, formula]
    });
    let mut fields: Vec<Value> = fields.collect();
    fields.push(json!({"key": "touched_at", "label": "T", "type": "updated_at"}));
    Model::compile(source(json!({
        "modules": [{"slug": "things", "label": "Thing", "fields": fields}],
        "roles": [{"slug": "owner", "label": "Owner", "permissions": {"*": ["*"]}}],
    })))
    .unwrap()
}

fn run(model: &Model, mutation: &Mutation, base: Option<&Base>) -> Result<Validated, Refusal> {
    let owner = actor("owner");
    let authority = Authority::User(&owner);
    let permit = permit(model, authority, action_of(mutation), &things()).unwrap();
    validate(model, &permit, mutation, record(), base, &alone())
}

fn create(data: Data) -> Mutation {
    Mutation::Create {
        module: things(),
        data,
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        (0..60_i64).prop_map(|seed| value(TYPES[usize::try_from(seed % 8).unwrap()], seed)),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((".{0,4}", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_valid_record_stays_as_it_is(
        shapes in prop::collection::vec(shape(), 1..8),
        seeds in prop::collection::vec(prop::option::of(0..60_i64), 8),
    ) {
        let model = compiled(&shapes);
        let data: Data = shapes
            .iter()
            .zip(&seeds)
            .enumerate()
            .filter_map(|(index, (shape, seed))| {
                Some((format!("f{index}"), value(shape.kind, (*seed)?)))
            })
            .collect();
        let result = run(&model, &create(data.clone()), None);
        prop_assert_eq!(&result, &run(&model, &create(data), None));
        let Ok(Validated::Change(change)) = result else {
            return Ok(());
        };
        let after = change.after().cloned().unwrap();
        let base = Base { version: 1, data: after.clone() };
        let (module, record_id, expected_version) = (things(), record(), None);
        let replace = Mutation::Replace {
            module: module.clone(), record_id, expected_version, data: after.clone(),
        };
        prop_assert_eq!(run(&model, &replace, Some(&base)), Ok(Validated::Unchanged));
        let update = Mutation::Update { module, record_id, expected_version, patch: after };
        prop_assert_eq!(run(&model, &update, Some(&base)), Ok(Validated::Unchanged));
        let owner = actor("owner");
        prop_assert_eq!(
            recompute(&model, &things(), record_id, &base, &owner, &alone()),
            None
        );
    }

    #[test]
    fn anything_is_judged_and_every_violation_points_into_the_data(
        shapes in prop::collection::vec(shape(), 1..8),
        values in prop::collection::vec(any_json(), 8),
    ) {
        let model = compiled(&shapes);
        let names = (0..8).map(|index| format!("f{index}"));
        let data: Data = names.zip(values).collect();
        if let Err(Refusal::Invalid(violations)) = run(&model, &create(data.clone()), None) {
            prop_assert!(!violations.is_empty());
            for violation in violations.as_slice() {
                prop_assert!(violation.pointer.starts_with("/data"), "{:?}", violation);
            }
        }
        let module = model.module(&things()).unwrap();
        let once = intake::normalized(module, data);
        prop_assert_eq!(&intake::normalized(module, once.clone()), &once);
    }
}
