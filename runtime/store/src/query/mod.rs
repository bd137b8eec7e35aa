//! Queries as SQL: the one compiler, over parsed names, with every value bound. It decides how
//! records are found, never which: that is the model's [`crm_model::query`].

mod aggregate;
mod count;
mod expression;
mod page;
mod plan;
mod predicate;
mod reach;
mod related;
mod search;
mod source;
mod sql;

pub use aggregate::{Aggregated, AggregatedRow, aggregate};
pub use count::{Count, count};
pub use page::{Found, explain, page};
pub use reach::{NewRecord, passing, would_pass};
pub use related::{by_ids, pointing_to};
