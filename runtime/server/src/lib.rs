//! HTTP. A request is: who is this (`auth`), which verb of the engine, what does the answer look
//! like (`routes`, one file per resource; `problem`, everything that is not an answer). Status
//! codes are known here and nowhere else; nothing is decided here.

pub mod auth;
pub mod edges;
pub mod tls;

mod acting;
mod app;
mod extract;
mod once;
mod openapi;
mod page;
mod parts;
mod problem;
mod routes;

pub use app::{App, router};
pub use edges::connections::serve;
