//! The diamonds: a CSV with the columns of ggplot2's data set, as items of the jewellery
//! template.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Where the full data set stands beside a checkout that has it.
const FULL: &str = "../shared/data/diamonds.csv";
/// 1,000 rows of it, for everyone else.
const SAMPLE: &str = include_str!("../../../../templates/jewellery/sample/diamonds.csv");

/// A row, as text: numbers stay exact.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Row {
    carat: String,
    cut: String,
    color: String,
    clarity: String,
    depth: String,
    table: String,
    price: String,
    x: String,
    y: String,
    z: String,
}

/// Rows to import, and what to call them.
pub(crate) struct Data {
    name: String,
    rows: Vec<Row>,
}

impl Data {
    /// The file given; else the full data set where it is; else the bundled sample.
    pub(crate) fn open(file: Option<&Path>) -> Result<Self> {
        let full = PathBuf::from(FULL);
        let path = file.or_else(|| full.exists().then_some(full.as_path()));
        let (name, text) = match path {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("{} cannot be read", path.display()))?;
                (path.display().to_string(), text)
            }
            None => ("the bundled sample".to_owned(), SAMPLE.to_owned()),
        };
        let rows = csv::Reader::from_reader(text.as_bytes())
            .into_deserialize()
            .collect::<Result<Vec<Row>, csv::Error>>()
            .with_context(|| format!("{name} is not the diamonds' CSV"))?;
        Ok(Self { name, rows })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }
}

/// The stock-keeping unit of a row: its place in the file, from 1.
pub(crate) fn sku(index: usize) -> String {
    format!("D-{:05}", index + 1)
}

impl Row {
    /// The row as an item's data.
    pub(crate) fn item(&self, index: usize) -> Value {
        json!({
            "sku": sku(index),
            "name": format!("{} ct {} diamond, {} {}", self.carat, self.cut, self.color, self.clarity),
            "carat": self.carat,
            "cut": self.cut,
            "color": self.color,
            "clarity": self.clarity,
            "depth": self.depth,
            "table": self.table,
            "price": { "amount": self.price, "currency": "USD" },
            "length_mm": self.x,
            "width_mm": self.y,
            "depth_mm": self.z,
        })
    }
}
