//! The way back: a record's values as cells, which an import reads as the same values.

use serde_json::Value;

use super::cell::LIST_SEPARATOR;
use super::guard;
use crate::Data;
use crate::definition::FieldDefinition;
use crate::names::FieldKey;
use crate::sight::Sight;

/// A column of an export: a field, or one member of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportColumn {
    name: String,
    field: FieldKey,
    part: Option<&'static str>,
    free_text: bool,
}

/// Money has two columns; other values have one.
const MONEY_PARTS: [&str; 2] = ["amount", "currency"];

/// The columns of these fields of a module, of all that the reader sees where none are named.
///
/// # Errors
/// The first name that is no field.
pub fn export_columns(
    sight: &Sight<'_>,
    names: Option<&[FieldKey]>,
) -> Result<Vec<ExportColumn>, FieldKey> {
    let all = || {
        let fields = sight.fields();
        fields.filter(|field| field.inverse_of.is_none())
    };
    let chosen: Vec<&FieldDefinition> = match names {
        None => all().collect(),
        Some(names) => names
            .iter()
            .map(|name| {
                all()
                    .find(|field| field.key == *name)
                    .ok_or_else(|| name.clone())
            })
            .collect::<Result<_, _>>()?,
    };
    Ok(chosen.into_iter().flat_map(columns_of).collect())
}

fn columns_of(field: &FieldDefinition) -> Vec<ExportColumn> {
    // The values of a formula are those of its result's type.
    let kind = field.result.as_deref().unwrap_or(&field.kind);
    let column = |part: Option<&'static str>| ExportColumn {
        name: match part {
            None => field.key.to_string(),
            Some(part) => format!("{}.{part}", field.key),
        },
        field: field.key.clone(),
        part,
        free_text: guard::is_free_text(kind),
    };
    match kind {
        "currency" => MONEY_PARTS.map(|part| column(Some(part))).to_vec(),
        _ => vec![column(None)],
    }
}

impl ExportColumn {
    /// What stands in the header: `price.amount`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The field that it shows.
    pub fn field(&self) -> &FieldKey {
        &self.field
    }

    /// What stands in a record's cell; blank where there is no value.
    pub fn cell(&self, data: &Data) -> String {
        let value = data.get(self.field.as_str());
        let value = match self.part {
            None => value,
            Some(part) => value.and_then(|value| value.get(part)),
        };
        match value {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) if self.free_text => guard::guarded(text).into_owned(),
            Some(value) => text_of(value),
        }
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(members) if members.iter().all(Value::is_string) => {
            let texts: Vec<&str> = members.iter().filter_map(Value::as_str).collect();
            let separator = format!("{LIST_SEPARATOR} ");
            guard::guarded(&texts.join(&separator)).into_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::RowReader;
    use crate::import::testing::plan;
    use crate::testing::model;
    use serde_json::json;

    #[test]
    fn what_an_export_writes_an_import_reads() {
        let model = model();
        let module = model.module(&"items".parse().unwrap()).unwrap();
        let columns = export_columns(&model.sight(module, None), None).unwrap();
        let data = json!({"sku": "=A", "notes": "-x\n\"y\", z", "count": -3, "carat": "-0.10",
            "price": {"amount": "12.50", "currency": "USD"}, "sold": false,
            "made_on": "2026-11-22", "seen_at": "2026-11-22T09:30:00.500Z", "cut": "Ideal",
            "email": "+a@example.com", "phone": "+442071838750"});
        let Value::Object(data) = data else { panic!() };
        let cells: Vec<String> = columns.iter().map(|column| column.cell(&data)).collect();
        assert!(cells.contains(&"'=A".to_owned()) && cells.contains(&"-0.10".to_owned()));
        let mapped: Vec<(&str, &str)> = columns
            .iter()
            .map(|column| (column.name(), column.name()))
            .collect();
        let plan = plan(&mapped);
        let reader = RowReader::new(&plan, &model, module).unwrap();
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        let (read, errors) = reader.read(1, &cells);
        assert_eq!(errors, []);
        assert_eq!(read, data);
    }

    #[test]
    fn a_name_that_is_no_field_is_named() {
        let model = model();
        let module = model.module(&"items".parse().unwrap()).unwrap();
        let wrong: FieldKey = "nowhere".parse().unwrap();
        assert_eq!(
            export_columns(
                &model.sight(module, None),
                Some(std::slice::from_ref(&wrong))
            ),
            Err(wrong)
        );
    }
}
