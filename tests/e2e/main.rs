//! End-to-end tests: real HTTP, real PostgreSQL as the runtime's own role, real components.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod auth;
mod away;
mod command;
mod crash;
mod customize;
mod export;
mod guests;
mod imports;
mod isolation;
mod records;
mod surface;
mod tasks;
mod templates;
