//! The `crm` command: reads what it is told, puts the rooms together, says what it does. The
//! product's verbs are in the engine.

pub mod bundled;
pub mod doctor;
pub mod host;
pub mod postgres;

mod arguments;
mod code;
mod commands;
mod database;
mod demo;
mod say;

pub use arguments::run;
pub use database::Database;

/// Requests are made of many small pieces, which come and go on all threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
