//! The hostile guests, built from `tests/guests`.

#[allow(unreachable_pub, reason = "generated for any crate to include")]
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/components.rs"));
}

/// Every component that tests publish: first-party ones, then hostile ones, actions first.
pub fn components() -> impl Iterator<Item = &'static [u8]> {
    let bundled = crm_cli::bundled::components().iter();
    let published = embedded::COMPONENTS
        .iter()
        .filter(|(name, _)| !name.starts_with(CONFORMANCE));
    bundled.chain(published).map(|(_, component)| *component)
}

/// What the names of components start with that stay as they are, to be held against the contract.
const CONFORMANCE: &str = "conformance";

/// The component of that name.
///
/// # Panics
/// Where there is none.
pub fn component(name: &str) -> &'static [u8] {
    let mut all = crm_cli::bundled::components()
        .iter()
        .chain(embedded::COMPONENTS);
    let found = all.find(|(known, _)| *known == name);
    found.expect("a component of that name").1
}

/// The same code with so many bytes of nothing in it, of that class.
///
/// # Panics
/// As [`renamed`].
pub fn padded(name: &str, component: &[u8], class: &str, padding: usize) -> Vec<u8> {
    const NAME: &[u8] = b"\x07padding";
    let mut padded = changed(component, |manifest| {
        manifest["name"] = name.into();
        manifest["class"] = class.into();
    });
    padded.push(0);
    padded.extend(leb128(NAME.len() + padding));
    padded.extend(NAME);
    padded.resize(padded.len() + padding, 0);
    padded
}

/// The same code under another name and version: what a tenant could have made itself.
///
/// # Panics
/// Where the component has no manifest at its end.
pub fn renamed(name: &str, component: &[u8], version: &str) -> Vec<u8> {
    changed(component, |manifest| {
        manifest["name"] = name.into();
        manifest["version"] = version.into();
    })
}

/// The same code with another manifest.
///
/// # Panics
/// As [`renamed`].
pub fn changed(component: &[u8], change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    const SECTION: &[u8] = b"\x0ccrm:manifest";
    let at = component
        .windows(SECTION.len())
        .rposition(|window| window == SECTION)
        .expect("a manifest");
    let manifest = &component[at + SECTION.len()..];
    let mut manifest: serde_json::Value =
        serde_json::from_slice(manifest).expect("the manifest is the last section");
    change(&mut manifest);
    // Before the name stand the section's number and its size.
    let size = leb128(component.len() - at);
    let mut renamed = component[..at - size.len()].to_vec();
    let manifest = manifest.to_string();
    renamed.extend(leb128(SECTION.len() + manifest.len()));
    renamed.extend(SECTION);
    renamed.extend(manifest.as_bytes());
    renamed
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

/// A small component of a tenant's own.
pub fn own(name: &str) -> Vec<u8> {
    renamed(name, component("asks"), "1.0.0")
}
