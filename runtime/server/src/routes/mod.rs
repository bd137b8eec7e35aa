//! One file per resource: what it takes, what it answers, and about twenty lines in between.

pub(crate) mod activities;
pub(crate) mod aggregate;
pub(crate) mod api_keys;
pub(crate) mod bootstrap;
pub(crate) mod bulk;
pub(crate) mod change;
pub(crate) mod export;
pub(crate) mod field_types;
pub(crate) mod fields;
pub(crate) mod history;
pub(crate) mod import_form;
pub(crate) mod import_upload;
pub(crate) mod imports;
pub(crate) mod modules;
pub(crate) mod operations;
pub(crate) mod query;
pub(crate) mod records;
pub(crate) mod runs;
pub(crate) mod search;
pub(crate) mod settings;
pub(crate) mod tasks;
pub(crate) mod templates;
pub(crate) mod timeline;
pub(crate) mod views;
pub(crate) mod workflows;
