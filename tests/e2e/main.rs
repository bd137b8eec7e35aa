//! End-to-end tests: real HTTP, real PostgreSQL as the runtime's own role, real components.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod activities;
mod auth;
mod away;
mod bulk;
mod command;
mod crash;
mod customize;
mod field_types;
mod guests;
mod history;
mod isolation;
mod once;
mod records;
mod rollups;
mod search;
mod surface;
mod templates;
mod trash;
