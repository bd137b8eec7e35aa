//! A row of a file as the data of a record, with what is wrong with its cells.

use serde_json::{Value, json};

use super::cell::{self, CellError, Manner};
use super::plan::{ImportPlan, PlannedColumn, Target};
use super::progress::RowError;
use crate::Data;
use crate::definition::FieldDefinition;
use crate::model::{Model, Module};
use crate::names::FieldKey;

/// Reads rows under a plan and a model.
pub struct RowReader<'a> {
    plan: &'a ImportPlan,
    /// By column; none for columns that are left out.
    fields: Vec<Option<&'a FieldDefinition>>,
    manner: Manner,
}

impl<'a> RowReader<'a> {
    /// A reader of rows for records of this module.
    ///
    /// # Errors
    /// A sentence, where the model has lost a field of the plan.
    pub fn new(plan: &'a ImportPlan, model: &Model, module: &'a Module) -> Result<Self, String> {
        let find = |column: &PlannedColumn| match &column.target {
            None => Ok(None),
            Some(target) => field_of(module, &target.field)
                .map(Some)
                .ok_or_else(|| format!("there is no field “{}” any more", target.field)),
        };
        Ok(Self {
            plan,
            fields: plan.columns.iter().map(find).collect::<Result<_, _>>()?,
            manner: Manner {
                zone: model.settings().time_zone,
                date_order: plan.options.date_order,
                default_currency: plan.options.default_currency.clone(),
            },
        })
    }

    /// The data of a row, and every cell that is no value of its field. Blank cells say nothing:
    /// a new record gets the field's default, a record that is updated keeps its value.
    pub fn read(&self, row: u64, cells: &[&str]) -> (Data, Vec<RowError>) {
        let (mut data, mut errors) = (Data::new(), Vec::new());
        if cells.len() > self.plan.columns.len() {
            let (found, most) = (cells.len(), self.plan.columns.len());
            let message = format!("has {found} cells, but there are {most} columns");
            errors.push(RowError {
                row,
                column: None,
                field: None,
                code: "cells".to_owned(),
                message,
            });
        }
        let columns = self.plan.columns.iter().zip(&self.fields);
        for ((column, field), text) in columns.zip(cells.iter().copied()) {
            let (Some(target), Some(field)) = (&column.target, field) else {
                continue;
            };
            if text.trim().is_empty() {
                continue;
            }
            match self.value(target, field, text) {
                Ok(value) => put(&mut data, target, value),
                Err(error) => errors.push(RowError {
                    row,
                    column: Some(column.name.clone()),
                    field: Some(target.field.to_string()),
                    code: error.code.to_owned(),
                    message: error.message,
                }),
            }
        }
        self.add_currencies(&mut data);
        (data, errors)
    }

    fn value(
        &self,
        target: &Target,
        field: &FieldDefinition,
        text: &str,
    ) -> Result<Value, CellError> {
        match &target.part {
            Some(part) => cell::parse_part(field, part, text),
            None => cell::parse(field, text, &self.manner),
        }
    }

    /// Amounts whose currency's cell is blank.
    fn add_currencies(&self, data: &mut Data) {
        let Some(currency) = &self.manner.default_currency else {
            return;
        };
        for field in self.fields.iter().flatten() {
            if field.kind == "currency"
                && let Some(Value::Object(money)) = data.get_mut(field.key.as_str())
                && money.contains_key("amount")
            {
                money.entry("currency").or_insert_with(|| json!(currency));
            }
        }
    }
}

fn put(data: &mut Data, target: &Target, value: Value) {
    let Some(part) = &target.part else {
        data.insert(target.field.to_string(), value);
        return;
    };
    let object = data
        .entry(target.field.to_string())
        .or_insert_with(|| json!({}));
    if let Value::Object(members) = object {
        members.insert(part.clone(), value);
    }
}

fn field_of<'a>(module: &'a Module, key: &FieldKey) -> Option<&'a FieldDefinition> {
    let mut fields = module.definition().fields.iter();
    fields.find(|field| field.key == *key && !field.retired)
}

/// The column that fills what a violation's pointer names (`/data/price/amount`), and the field.
pub fn column_of<'a>(
    columns: &'a [PlannedColumn],
    pointer: &str,
) -> (Option<&'a str>, Option<String>) {
    let mut segments = pointer.split('/').skip(2);
    let (field, part) = (segments.next(), segments.next());
    let Some(field) = field else {
        return (None, None);
    };
    let of_field = |column: &&PlannedColumn| {
        let target = column.target.as_ref();
        target.is_some_and(|target| target.field.as_str() == field)
    };
    let of_part = |column: &&PlannedColumn| {
        let target = column.target.as_ref();
        of_field(column) && target.is_some_and(|target| target.part.as_deref() == part)
    };
    let column = columns
        .iter()
        .find(of_part)
        .or_else(|| columns.iter().find(of_field));
    (
        column.map(|column| column.name.as_str()),
        Some(field.to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::testing::plan;
    use crate::testing::model;

    fn read(columns: &[(&str, &str)], cells: &[&str]) -> (Value, Vec<(Option<String>, String)>) {
        let (model, plan) = (model(), plan(columns));
        let module = model.module(&"items".parse().unwrap()).unwrap();
        let reader = RowReader::new(&plan, &model, module).unwrap();
        let (data, errors) = reader.read(1, cells);
        let errors = errors.into_iter().map(|error| (error.column, error.code));
        (Value::Object(data), errors.collect())
    }

    #[test]
    fn a_row_becomes_data() {
        let columns = [
            ("Number", "sku"),
            ("x", ""),
            ("Amount", "price.amount"),
            ("In", "price.currency"),
        ];
        let (data, errors) = read(&columns, &["A-1", "ignored", "12.50", "usd"]);
        assert_eq!(errors, []);
        assert_eq!(
            data,
            json!({"sku": "A-1", "price": {"amount": "12.50", "currency": "USD"}})
        );
        let (data, _) = read(&columns, &["A-1", "", "12.50", ""]);
        assert_eq!(data["price"]["currency"], "EUR", "the default");
        let (data, _) = read(&columns, &["A-1", "", " "]);
        assert_eq!(
            data,
            json!({"sku": "A-1"}),
            "short rows and blank cells say nothing"
        );
    }

    #[test]
    fn every_wrong_cell_is_named() {
        let columns = [("Weight", "carat"), ("Made", "made_on")];
        let (data, errors) = read(&columns, &["heavy", "soon", "more"]);
        assert_eq!(data, json!({}));
        let columns = [None, Some("Weight".to_owned()), Some("Made".to_owned())];
        let codes = ["cells", "type", "format"].map(str::to_owned);
        assert_eq!(errors, columns.into_iter().zip(codes).collect::<Vec<_>>());
    }

    #[test]
    fn violations_find_their_columns() {
        let plan = plan(&[("A", "price.amount"), ("C", "price.currency"), ("S", "sku")]);
        let column = |pointer| column_of(&plan.columns, pointer).0;
        assert_eq!(column("/data/price/currency"), Some("C"));
        assert_eq!(column("/data/price"), Some("A"));
        assert_eq!(column("/data/sku"), Some("S"));
        assert_eq!(column("/data/carat"), None);
    }
}
