//! The only SQL. Every function that touches a tenant's rows takes a [`TenantTx`], or the
//! tenant itself where one statement does all (it sets the tenant before it looks). Nothing here
//! decides anything: rules are the model's, order is the engine's.
//!
//! The exception is [`admin`]: what the owner of the database does, apart from serving.

pub mod activities;
pub mod admin;
pub mod api_keys;
pub mod audit;
pub mod awaits;
pub mod building;
pub mod commit;
pub mod effects;
pub mod forget;
pub mod history;
pub mod hook_failures;
pub mod imports;
pub mod incoming;
pub mod jobs;
pub mod mail;
pub mod models;
pub mod notifications;
pub mod overlay;
pub mod plans;
pub mod plugin_state;
pub mod plugins;
pub mod query;
pub mod quotas;
pub mod receipts;
pub mod records;
pub mod reindex;
pub mod run_keeping;
pub mod run_words;
pub mod runs;
pub mod schedules;
pub mod search;
pub mod secrets;
pub mod sessions;
pub mod shares;
pub mod tasks;
pub mod users;
pub mod views;
pub mod webhooks;
pub mod workflows;

mod error;
mod pool;
mod roles;
mod store;
mod tenant_tx;

pub use error::{StoreError, Taken};
pub use store::{Store, StoreSettings};
pub use tenant_tx::TenantTx;

/// Connection settings, made from a URL or by the private PostgreSQL.
pub use sqlx::postgres::PgConnectOptions;
