//! Builds the first-party plugins and templates from source; they are embedded in the binary.

fn main() {
    crm_plugin_build::embed(&[
        ("field-set", "plugins/field-set"),
        ("jewellery-valuation", "plugins/jewellery-valuation"),
        ("hospital", "templates/hospital"),
        ("jewellery", "templates/jewellery"),
    ]);
}
