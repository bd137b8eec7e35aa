//! Builds the first-party plugins and templates from source; they are embedded in the binary.

fn main() {
    crm_plugin_build::embed(&[
        ("assign", "plugins/assign"),
        ("currency-convert", "plugins/currency-convert"),
        ("dedupe-flag", "plugins/dedupe-flag"),
        ("email", "plugins/email"),
        ("field-set", "plugins/field-set"),
        ("http-request", "plugins/http-request"),
        ("jewellery-valuation", "plugins/jewellery-valuation"),
        ("lead-score", "plugins/lead-score"),
        ("next-action", "plugins/next-action"),
        ("notify", "plugins/notify"),
        ("record-create", "plugins/record-create"),
        ("record-update-related", "plugins/record-update-related"),
        ("sla-escalate", "plugins/sla-escalate"),
        ("task-create", "plugins/task-create"),
        ("webhook", "plugins/webhook"),
        ("hospital", "templates/hospital"),
        ("jewellery", "templates/jewellery"),
    ]);
}
