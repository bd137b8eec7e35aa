//! What holds for every type, also for those to come: each brings its own values along.

use proptest::strategy::{BoxedStrategy, Strategy, Union};
use proptest::test_runner::{Config, TestRunner};
use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::*;
use crate::form::{Comparable, Form};
use crate::{key, schema};

/// The field that a type's sample defines.
pub(super) fn sample_of(name: &str) -> FieldDefinition {
    catalogue::sample(field_type(name).unwrap()).unwrap()
}

fn for_all<T: std::fmt::Debug>(values: &BoxedStrategy<T>, holds: impl Fn(&T)) {
    let mut runner = TestRunner::new(Config {
        cases: 128,
        failure_persistence: None,
        ..Config::default()
    });
    let run = runner.run(values, |value| {
        holds(&value);
        Ok(())
    });
    run.unwrap();
}

#[test]
fn names_are_field_keys_and_each_stands_there_once() {
    let names: BTreeSet<&str> = type_names().into_iter().collect();
    assert_eq!(names.len(), TYPES.len());
    for name in names {
        assert!(name.parse::<crate::names::FieldKey>().is_ok(), "{name}");
    }
}

#[test]
fn every_type_is_in_the_catalogue_with_a_sound_definition() {
    let described = catalogue();
    assert_eq!(described.len(), TYPES.len());
    for (kind, description) in TYPES.iter().zip(described) {
        let name = kind.name();
        let sound = check_definition(*kind, &description.definition);
        assert_eq!(sound, Ok(()), "{name}");
        assert!(!description.parts.is_empty(), "{name}");
        assert!(!description.summary.is_empty() && !description.storage.is_empty());
        assert!(
            jsonschema::draft202012::meta::is_valid(&description.schema),
            "{name}"
        );
    }
}

#[test]
fn examples_are_values_in_stored_form() {
    for kind in TYPES {
        let (name, field) = (kind.name(), sample_of(kind.name()));
        let example = kind.example();
        assert_eq!(kind.normalize(&field, example.clone()), example, "{name}");
        let validator = schema::compile(&kind.schema(&field)).unwrap();
        assert!(validator.is_valid(&example), "{name}");
        assert!(kind.check(&field, &example).is_ok(), "{name}");
    }
}

#[test]
fn values_pass_and_stay_as_they_are_once_normalized() {
    for kind in TYPES {
        let (name, field) = (kind.name(), sample_of(kind.name()));
        let validator = schema::compile(&kind.schema(&field)).unwrap();
        for_all(&kind.values(), |value| {
            let stored = kind.normalize(&field, value.clone());
            assert!(validator.is_valid(&stored), "{name}: {value} as {stored}");
            if let Err(problem) = kind.check(&field, &stored) {
                panic!("{name}: {value}: {}", problem.message);
            }
            assert_eq!(kind.normalize(&field, stored.clone()), stored, "{name}");
        });
    }
}

#[test]
fn whatever_a_client_sends_is_judged_without_a_panic_and_normalized_once() {
    // What is right for one type is as good a mistake as any for another.
    let anything = Union::new(TYPES.iter().map(|kind| kind.values())).boxed();
    for kind in TYPES {
        let (name, field) = (kind.name(), sample_of(kind.name()));
        for_all(&anything, |value| {
            let once = kind.normalize(&field, value.clone());
            let _ = kind.check(&field, &once);
            assert_eq!(kind.normalize(&field, once.clone()), once, "{name}");
        });
    }
}

#[test]
fn keys_are_in_the_order_of_the_values() {
    for kind in TYPES {
        let (name, field) = (kind.name(), sample_of(kind.name()));
        let stored = |value: &Value| kind.normalize(&field, value.clone());
        for_all(&(kind.values(), kind.values()).boxed(), |(a, b)| {
            let (a, b) = (stored(a), stored(b));
            for part in kind.parts(&field) {
                let comparable = |value| part.form.comparable(part.of(value)?);
                if let (Some(a), Some(b)) = (comparable(&a), comparable(&b)) {
                    let keys = part.form.key(&a).cmp(&part.form.key(&b));
                    assert_eq!(keys, order(part.form, &a, &b), "{name}: {a:?} {b:?}");
                }
            }
        });
    }
}

/// Written down again rather than taken from the code under test.
fn order(form: Form, a: &Comparable, b: &Comparable) -> Ordering {
    match (a, b) {
        (Comparable::Text(a), Comparable::Text(b)) if form == Form::Text => {
            key::fold(a).cmp(&key::fold(b))
        }
        (Comparable::Text(a), Comparable::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Comparable::Number(a), Comparable::Number(b)) => a.cmp(b),
        (Comparable::Moment(a), Comparable::Moment(b)) => {
            a.timestamp_micros().cmp(&b.timestamp_micros())
        }
        (Comparable::Boolean(a), Comparable::Boolean(b)) => a.cmp(b),
        other => panic!("two values of one type compare as {other:?}"),
    }
}
