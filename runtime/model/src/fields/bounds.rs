//! `min` and `max` of a field, for every type whose values have an order. Never says what a value
//! is: the type reads it.

use serde_json::Value;

use super::Problem;
use crate::definition::FieldDefinition;

/// Checks that the bounds are values of the type, and in order. `shape` says what they are.
pub(super) fn check_definition<T: PartialOrd>(
    field: &FieldDefinition,
    shape: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<(), String> {
    let bound = |given: &Option<Value>| match given {
        None => Ok(None),
        Some(given) => read(given)
            .map(Some)
            .ok_or_else(|| format!("min and max are {shape}")),
    };
    match (bound(&field.min)?, bound(&field.max)?) {
        (Some(min), Some(max)) if min > max => Err("min is more than max".to_owned()),
        _ => Ok(()),
    }
}

/// Checks a value against bounds that [`check_definition`] found right.
pub(super) fn check<T: PartialOrd>(
    min: Option<&Value>,
    max: Option<&Value>,
    value: &T,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<(), Problem> {
    let breaks = |bound: Option<&Value>, broken: fn(&T, &T) -> bool| {
        let bound = bound?;
        broken(value, &read(bound)?).then(|| shown(bound))
    };
    if let Some(min) = breaks(min, |value, min| value < min) {
        return Err(Problem::new("min", format!("is less than {min}")));
    }
    if let Some(max) = breaks(max, |value, max| value > max) {
        return Err(Problem::new("max", format!("is more than {max}")));
    }
    Ok(())
}

fn shown(bound: &Value) -> String {
    bound
        .as_str()
        .map_or_else(|| bound.to_string(), ToOwned::to_owned)
}
