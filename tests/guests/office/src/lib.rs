//! A template for tests: contacts and their visits, every first-party action installed, and no
//! workflows; each test adds its own.

crm_plugin_sdk::export_template! {
    modules: ["../modules/contacts.json", "../modules/visits.json"],
    workflows: [],
    roles: "../roles.json",
    installs: "../installs.json",
}
