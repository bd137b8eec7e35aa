//! Builds the hostile guests from source; the tests publish them beside the first-party ones.

fn main() {
    crm_plugin_build::embed(&[
        ("misbehave", "tests/guests/misbehave"),
        ("asks", "tests/guests/asks"),
        ("sends", "tests/guests/sends"),
        ("hostile", "tests/guests/hostile"),
        ("office", "tests/guests/office"),
        ("sending", "tests/guests/sending"),
        ("hooked", "tests/guests/hooked"),
        (
            "conformance_action_1_0",
            "tests/guests/conformance_action_1_0",
        ),
        (
            "conformance_action_1_1",
            "tests/guests/conformance_action_1_1",
        ),
        (
            "conformance_template_1_0",
            "tests/guests/conformance_template_1_0",
        ),
    ]);
}
