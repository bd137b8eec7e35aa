//! A template for tests: a new ticket asks for what it says.

crm_plugin_sdk::export_template! {
    modules: ["../tickets.json"],
    workflows: ["../ask.json"],
    roles: "../roles.json",
    installs: "../installs.json",
}
