//! First-party components, built from `plugins/` and `templates/` and embedded in the binary.

#[allow(unreachable_pub, reason = "generated for any crate to include")]
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/components.rs"));
}

/// Name and bytes of each component: actions first, so that templates find what they install.
pub fn components() -> &'static [(&'static str, &'static [u8])] {
    embedded::COMPONENTS
}
