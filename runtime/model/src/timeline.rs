//! What people read: the title of a record and of a change, out of values that [`crate::sight`]
//! leaves them. Never what they may do.

use serde_json::Value;

use crate::Data;
use crate::definition::FieldDefinition;
use crate::event::EventKind;
use crate::fields::SELECT;
use crate::model::Module;

/// Types whose values name a record where it has no title: the rest are ids, moments, numbers.
const NAMING_TYPES: [&str; 6] = [
    "text",
    "long_text",
    "full_name",
    "auto_number",
    "email",
    "phone",
];
/// Changed fields that a title names; the rest are counted.
const TITLE_MAX_FIELDS: usize = 3;

impl Module {
    /// What names a record to people: its title field, or the first text that it has.
    pub fn record_title(&self, data: &Data) -> Option<String> {
        let title = self.definition().title_field.as_ref();
        let title = title.and_then(|key| Some(self.field(key.as_str())?.0));
        let title = title.filter(|field| !field.retired);
        let naming = |field: &&FieldDefinition| {
            !field.retired && NAMING_TYPES.contains(&field.kind.as_str())
        };
        let name = |field: &FieldDefinition| {
            let text = words(field, data.get(field.key.as_str())?)?;
            (!text.trim().is_empty()).then_some(text)
        };
        title.and_then(name).or_else(|| {
            let fields = self.definition().fields.iter();
            fields.filter(naming).find_map(name)
        })
    }

    /// What a change did, in a line: `Created`, `Status: New → Won`, `Changed Phone, E-mail`.
    /// `before` and `after` hold the changed fields; `owner` is the new one where it changed hands.
    pub fn change_title(
        &self,
        kind: EventKind,
        (before, after): (&Data, &Data),
        owner: Option<&str>,
    ) -> String {
        match kind {
            EventKind::RecordCreated => return "Created".to_owned(),
            EventKind::RecordDeleted => return "Deleted".to_owned(),
            EventKind::RecordRestored => return "Restored".to_owned(),
            // The others change no record.
            _ => {}
        }
        let fields = self.definition().fields.iter();
        let changed = |field: &&FieldDefinition| {
            let key = field.key.as_str();
            !field.retired && (before.contains_key(key) || after.contains_key(key))
        };
        let (selects, others): (Vec<&FieldDefinition>, Vec<&FieldDefinition>) = fields
            .filter(changed)
            .partition(|field| field.kind == SELECT);
        let assigned = owner.map(|owner| format!("Assigned to {owner}"));
        let steps = selects.into_iter();
        let steps = steps.map(|field| step(field, before, after));
        let mut parts: Vec<String> = assigned.into_iter().chain(steps).collect();
        if !others.is_empty() {
            parts.push(listed(&others));
        }
        if parts.is_empty() {
            "Changed".to_owned()
        } else {
            parts.join("; ")
        }
    }
}

/// A select's value before and after, by their labels.
fn step(field: &FieldDefinition, before: &Data, after: &Data) -> String {
    let label = |data: &Data| {
        let value = data.get(field.key.as_str());
        let label = value.and_then(|value| words(field, value));
        label.unwrap_or_else(|| "–".to_owned())
    };
    format!("{}: {} → {}", field.label, label(before), label(after))
}

fn listed(fields: &[&FieldDefinition]) -> String {
    let labels: Vec<&str> = fields
        .iter()
        .take(TITLE_MAX_FIELDS)
        .map(|field| field.label.as_str())
        .collect();
    let labels = labels.join(", ");
    match fields.len().saturating_sub(TITLE_MAX_FIELDS) {
        0 => format!("Changed {labels}"),
        more => format!("Changed {labels} and {more} more"),
    }
}

/// A value as text, where it is one.
fn words(field: &FieldDefinition, value: &Value) -> Option<String> {
    match value {
        Value::String(text) => {
            let option = field.options.iter().find(|option| option.value == *text);
            Some(option.map_or_else(|| text.clone(), |option| option.label.clone()))
        }
        Value::Object(_) if field.kind == "full_name" => {
            let parts = ["prefix", "first_name", "middle", "last_name"];
            let parts = parts.iter().filter_map(|part| value.get(part)?.as_str());
            Some(parts.collect::<Vec<_>>().join(" "))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use crate::testing::{definition, source};
    use serde_json::json;

    fn data(value: Value) -> Data {
        serde_json::from_value(value).unwrap()
    }

    fn model(change: impl FnOnce(&mut Value)) -> Model {
        let mut definition = definition();
        change(&mut definition["modules"][0]);
        Model::compile(source(definition)).unwrap()
    }

    fn items(model: &Model) -> &Module {
        model.module(&"items".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_change_has_a_title_that_says_what_it_did() {
        let model = model(|module| module["fields"][1]["retired"] = json!(true));
        let module = items(&model);
        let updated = |before: Value, after: Value| {
            module.change_title(
                EventKind::RecordUpdated,
                (&data(before), &data(after)),
                None,
            )
        };
        assert_eq!(
            updated(
                json!({"cut": "Fair", "notes": "a"}),
                json!({"cut": "Ideal"})
            ),
            "Cut: Fair → Ideal"
        );
        assert_eq!(
            updated(json!({}), json!({"cut": "Ideal"})),
            "Cut: – → Ideal"
        );
        assert_eq!(
            updated(json!({"notes": "a"}), json!({"notes": "b"})),
            "Changed"
        );
        assert_eq!(
            updated(
                json!({}),
                json!({"sku": "A", "count": 1, "carat": "1", "sold": true, "cut": "Fair"})
            ),
            "Cut: – → Fair; Changed SKU, Count, Carat and 1 more"
        );
        let (none, kind) = (Data::new(), EventKind::RecordDeleted);
        assert_eq!(module.change_title(kind, (&none, &none), None), "Deleted");
    }

    #[test]
    fn a_record_is_named_by_its_title_or_its_first_text() {
        let titled = model(|_| {});
        let record = data(json!({"sku": "A1", "notes": "n", "cut": "Ideal"}));
        assert_eq!(items(&titled).record_title(&record).unwrap(), "A1");
        let without = data(json!({"count": 3, "cut": "Ideal", "notes": "n"}));
        assert_eq!(items(&titled).record_title(&without).unwrap(), "n");
        assert_eq!(
            items(&titled).record_title(&data(json!({"count": 3}))),
            None
        );
        let retired = model(|module| module["fields"][0]["retired"] = json!(true));
        assert_eq!(items(&retired).record_title(&record).unwrap(), "n");
    }
}
