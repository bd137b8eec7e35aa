//! The jewellery template: items, customers and orders, as the JSON files beside this crate's
//! sources say. Nothing is computed here; the component hands out the files.

crm_plugin_sdk::export_template! {
    modules: [
        "../modules/items.json",
        "../modules/customers.json",
        "../modules/orders.json",
    ],
    workflows: ["../workflows/valuation.json", "../workflows/revaluation.json"],
    roles: "../roles.json",
    installs: "../installs.json",
}

#[cfg(test)]
mod tests;
