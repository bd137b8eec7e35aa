//! The hostile guests, built from `tests/guests`.

#[allow(unreachable_pub, reason = "generated for any crate to include")]
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/components.rs"));
}

/// Every component that tests publish: first-party ones, then hostile ones, actions first.
pub fn components() -> impl Iterator<Item = &'static [u8]> {
    let bundled = crm_cli::bundled::components().iter();
    bundled
        .chain(embedded::COMPONENTS)
        .map(|(_, component)| *component)
}
