//! Builds the hostile guests from source; the tests publish them beside the first-party ones.

fn main() {
    crm_plugin_build::embed(&[
        ("misbehave", "tests/guests/misbehave"),
        ("hostile", "tests/guests/hostile"),
    ]);
}
