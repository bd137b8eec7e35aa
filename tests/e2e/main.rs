//! End-to-end tests: real HTTP, real PostgreSQL as the runtime's own role, real components.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod actions;
mod activities;
mod after_event;
mod aggregate;
mod api_keys;
mod asking;
mod audit;
mod auth;
mod authorisation;
mod awaits;
mod away;
mod backfill;
mod bulk;
mod command;
mod conformance;
mod crash;
mod customize;
mod determinism;
mod edges;
mod effects;
mod export;
mod field_removal;
mod field_types;
mod flow;
mod functions;
mod fuzz_found;
mod guests;
mod guide;
mod history;
mod hooks;
mod http2;
mod identity;
mod imports;
mod incoming;
mod isolation;
mod leak;
mod local_issuer;
mod login;
mod mail;
mod model;
mod once;
mod order;
mod os_roles;
mod owasp;
mod permissions;
mod plans;
mod plugin_install;
mod plugin_tools;
mod plugins;
mod query;
mod query_property;
mod queue;
mod quotas;
mod random;
mod record_access;
mod records;
mod redis;
mod roles;
mod rollups;
mod rules;
mod run_as;
mod run_keeping;
mod run_words;
mod schedules;
mod search;
mod surface;
mod tasks;
mod templates;
mod tenants;
mod trash;
mod turns;
mod upgrade;
mod views;
mod webhooks;
mod workflow_test;
mod workflow_versions;
