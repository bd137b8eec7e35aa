//! What the end-to-end tests and benches stand on: one private PostgreSQL for the process, a
//! database for each test copied from a template database, the real server over real HTTP as the
//! runtime's role, the real components. Nothing here is a mock.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "this crate is all tests; what goes wrong has to be loud"
)]

pub mod app;
pub mod browser;
pub mod client;
pub mod cluster;
pub mod guests;
pub mod index;
pub mod issuer;
pub mod redis;
pub mod sink;
