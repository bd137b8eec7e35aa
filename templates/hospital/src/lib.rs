//! The hospital template: patients, doctors and appointments, as the JSON files beside this
//! crate's sources say. Nothing is computed here; the component hands out the files.

crm_plugin_sdk::export_template! {
    modules: [
        "../modules/patients.json",
        "../modules/doctors.json",
        "../modules/appointments.json",
    ],
    workflows: ["../workflows/welcome.json", "../workflows/closed.json"],
    roles: "../roles.json",
    installs: "../installs.json",
}

#[cfg(test)]
mod tests;
