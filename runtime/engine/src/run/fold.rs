//! Mutations of one run that concern the same record become one.

use crm_model::{Data, Mutation, RecordId, Violations};
use std::collections::HashMap;

/// One change for each record: patches of the same record become one, anything else twice is
/// refused.
pub(crate) fn fold(mutations: &[Mutation]) -> Result<Vec<Mutation>, Violations> {
    let mut folded: Vec<Mutation> = Vec::new();
    let mut places: HashMap<RecordId, usize> = HashMap::new();
    for (index, mutation) in mutations.iter().enumerate() {
        let record = match mutation {
            Mutation::Create { .. } | Mutation::Activity { .. } => None,
            other => other.record_id(),
        };
        let place = record.and_then(|id| places.get(&id).copied());
        let Some(earlier) = place.and_then(|place| folded.get_mut(place)) else {
            if let Some(id) = record {
                places.insert(id, folded.len());
            }
            folded.push(mutation.clone());
            continue;
        };
        match (earlier, mutation) {
            (Mutation::Update { patch, .. }, Mutation::Update { patch: later, .. }) => {
                join_patches(patch, later);
            }
            _ => {
                let message = "changes a record that an earlier mutation of this run changes";
                return Err(Violations::one(&format!("/{index}"), "conflict", message));
            }
        }
    }
    Ok(folded)
}

fn join_patches(patch: &mut Data, later: &Data) {
    for (name, value) in later {
        match (patch.get_mut(name), value) {
            (Some(serde_json::Value::Object(earlier)), serde_json::Value::Object(value)) => {
                join_patches(earlier, value);
            }
            _ => {
                patch.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    fn update(patch: serde_json::Value) -> Mutation {
        Mutation::Update {
            module: "items".parse().unwrap(),
            record_id: RecordId::new(Uuid::from_u128(1)),
            expected_version: None,
            patch: patch.as_object().unwrap().clone(),
        }
    }

    #[test]
    fn patches_of_one_record_become_one() {
        let folded = fold(&[
            update(json!({"a": 1, "price": {"amount": "1"}})),
            update(json!({"a": null, "price": {"currency": "USD"}})),
        ]);
        let expected = update(json!({"a": null, "price": {"amount": "1", "currency": "USD"}}));
        assert_eq!(folded, Ok(vec![expected]));
    }

    #[test]
    fn a_record_cannot_be_changed_and_deleted_at_once() {
        let delete = Mutation::Delete {
            module: "items".parse().unwrap(),
            record_id: RecordId::new(Uuid::from_u128(1)),
            expected_version: None,
        };
        assert!(fold(&[update(json!({})), delete]).is_err());
    }
}
