//! What a component of crm:plugin@1.1.0 can rely on beside what 1.0.0 has: files that go with
//! mails. Written against the frozen texts alone. See `plugin-sdk/wit/COMPATIBILITY.md`.

#[cfg(target_family = "wasm")]
mod guest;
