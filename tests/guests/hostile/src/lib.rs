//! A template for tests: a record of `victims` starts the workflow that its `mode` names.

crm_plugin_sdk::export_template! {
    modules: ["../victims.json"],
    workflows: [
        "../workflows/trap.json",
        "../workflows/spin.json",
        "../workflows/hoard.json",
        "../workflows/nonsense.json",
        "../workflows/overreach.json",
        "../workflows/reach.json",
        "../workflows/half.json",
        "../workflows/postpone.json",
        "../workflows/give_up.json",
        "../workflows/tell.json",
        "../workflows/chatter.json",
        "../workflows/chain.json",
        "../workflows/chain_on.json",
    ],
    roles: "../roles.json",
    installs: "../installs.json",
}
