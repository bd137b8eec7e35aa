//! What a component of crm:plugin@1.0.0 can rely on: it tells everything that it was told, and
//! asks for everything that there is. Written against the frozen text alone, so that it is the
//! same component whatever becomes of the SDK. See `plugin-sdk/wit/COMPATIBILITY.md`.

#[cfg(target_family = "wasm")]
mod guest;
