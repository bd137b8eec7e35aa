//! Where a record points to after a link is made or ended, as a patch of its data.

use serde_json::Value;

use crate::Data;
use crate::definition::FieldDefinition;
use crate::ids::RecordId;
use crate::module::Module;
use crate::mutation::Mutation;

/// The patch that makes or ends the links.
///
/// # Errors
/// Why the field cannot be linked, as a sentence.
pub(super) fn relinked(
    module: &Module,
    mutation: &Mutation,
    before: Option<&Data>,
) -> Result<Data, String> {
    let (key, targets, linked) = match mutation {
        Mutation::Link { field, targets, .. } => (field, targets, true),
        Mutation::Unlink { field, targets, .. } => (field, targets, false),
        _ => return Err("only links are linked".to_owned()),
    };
    let field = module
        .definition()
        .fields
        .iter()
        .find(|one| one.key == *key);
    let field = field.filter(|one| one.module.is_some() && one.rollup.is_none());
    let field = field.ok_or_else(|| format!("“{key}” is no relation of this module"))?;
    if let (Some(of), Some(other)) = (&field.inverse_of, &field.module) {
        return Err(format!(
            "“{key}” is the other side of “{of}” of “{other}”: link it there"
        ));
    }
    let value = match before.and_then(|data| data.get(key.as_str())) {
        stored if field.many => many(stored, targets, linked),
        stored => one(field, stored, targets, linked)?,
    };
    Ok(Data::from_iter([(key.to_string(), value)]))
}

fn many(stored: Option<&Value>, targets: &[RecordId], linked: bool) -> Value {
    let mut ids: Vec<Value> = stored
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    for target in targets {
        let target = Value::String(target.to_string());
        ids.retain(|id| *id != target);
        if linked {
            ids.push(target);
        }
    }
    Value::Array(ids)
}

fn one(
    field: &FieldDefinition,
    stored: Option<&Value>,
    targets: &[RecordId],
    linked: bool,
) -> Result<Value, String> {
    let text = |target: &RecordId| Value::String(target.to_string());
    match targets {
        [target] if linked => Ok(text(target)),
        _ if linked => Err(format!("“{}” points to one record", field.key)),
        targets => {
            let ends = stored.is_some_and(|id| targets.iter().any(|target| text(target) == *id));
            Ok(if ends {
                Value::Null
            } else {
                stored.cloned().unwrap_or_default()
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    fn id(number: u128) -> RecordId {
        RecordId::new(Uuid::from_u128(number))
    }

    #[test]
    fn links_to_many_are_each_there_once() {
        let stored = json!([id(1).to_string(), id(2).to_string()]);
        let after = many(Some(&stored), &[id(2), id(3)], true);
        assert_eq!(
            after,
            json!([id(1).to_string(), id(2).to_string(), id(3).to_string()])
        );
        let after = many(Some(&stored), &[id(1), id(9)], false);
        assert_eq!(after, json!([id(2).to_string()]));
    }
}
