//! CSV files: what their columns seem to be, which fields they are for, what a cell means as a
//! value of a field, and how a value is written into a cell. Pure: it never reads a file, and
//! never decides whether a record is valid; rows become data, which the door judges.

mod cell;
mod dates;
mod guard;
mod infer;
mod mapping;
mod numbers;
mod plan;
mod progress;
mod propose;
mod render;
mod row;
mod scan;
mod sniff;
#[cfg(test)]
mod testing;
mod utf8;

pub use cell::CellError;
pub use dates::DateOrder;
pub use infer::{Column, describe_columns};
pub use mapping::{MappingInput, RunInput, plan_columns};
pub use plan::{ImportOptions, ImportPlan, OnError, PlannedColumn, Target};
pub use progress::{ImportState, RowError};
pub use propose::propose;
pub use render::{ExportColumn, export_columns};
pub use row::{RowReader, column_of};
pub use scan::{ScanError, Scanner};
pub use sniff::{DELIMITERS, sniff_delimiter};
pub use utf8::{EncodingError, Utf8Check};
