//! The contract of `plugin-sdk/wit`, as code: bindings for each world, and the check that a
//! component's imports and exports have the contract's types. Nothing here runs a guest.

use crm_model::manifest::World;
use std::sync::LazyLock;
use wit_parser::{Resolve, WorldId};

use crate::error::SandboxError;

/// The package and version of every interface that a guest may import.
macro_rules! interface {
    ($name:literal) => {
        concat!("crm:plugin/", $name, "@1.0.0")
    };
}

/// Other records of the tenant.
pub(crate) const RECORDS: &str = interface!("records");
/// What the tenant configured.
pub(crate) const CONFIG: &str = interface!("config");
/// Handles of secrets.
pub(crate) const SECRETS: &str = interface!("secrets");
/// Values that are kept between runs.
pub(crate) const STATE: &str = interface!("state");
/// The interface through which a guest writes its run log.
pub(crate) const LOG: &str = interface!("log");
/// The interface that holds types only.
const TYPES: &str = interface!("types");

/// The generated bindings.
#[allow(
    unsafe_code,
    unreachable_pub,
    dead_code,
    clippy::all,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "written by wasmtime's macro, which keeps to other rules"
)]
pub(crate) mod bindings {
    pub(crate) mod action {
        wasmtime::component::bindgen!({
            path: "../../plugin-sdk/wit",
            world: "action",
            exports: { default: async },
        });
    }

    pub(crate) mod template {
        wasmtime::component::bindgen!({
            path: "../../plugin-sdk/wit",
            world: "template",
            exports: { default: async },
            with: { "crm:plugin/types": super::action::crm::plugin::types },
        });
    }
}

/// What a component of that world may import.
pub(crate) const fn imports_of(world: World) -> &'static [&'static str] {
    match world {
        World::Action => &[RECORDS, CONFIG, SECRETS, STATE, LOG, TYPES],
        World::Template => &[LOG, TYPES],
    }
}

/// The function that a component of that world has to export.
pub(crate) const fn export_of(world: World) -> &'static str {
    match world {
        World::Action => "run",
        World::Template => "model",
    }
}

struct Contract {
    resolve: Resolve,
    action: WorldId,
    template: WorldId,
}

/// Read once: the text is part of the program, so it can only fail in a build that no test ran.
static CONTRACT: LazyLock<Result<Contract, String>> = LazyLock::new(|| {
    let mut resolve = Resolve::default();
    let text = include_str!("../../../plugin-sdk/wit/plugin.wit");
    let package = resolve
        .push_str("plugin.wit", text)
        .map_err(|error| error.to_string())?;
    let world = |name: &str| {
        resolve
            .select_world(&[package], Some(name))
            .map_err(|error| error.to_string())
    };
    let (action, template) = (world(World::Action.name())?, world(World::Template.name())?);
    Ok(Contract {
        resolve,
        action,
        template,
    })
});

/// Validates a component and checks its imports and exports against its world, types included.
///
/// # Errors
/// [`SandboxError::Contract`] with what does not fit.
pub(crate) fn check(world: World, component: &[u8]) -> Result<(), SandboxError> {
    let contract = CONTRACT
        .as_ref()
        .map_err(|error| SandboxError::Unavailable(error.clone()))?;
    let id = match world {
        World::Action => contract.action,
        World::Template => contract.template,
    };
    wit_component::targets(&contract.resolve, id, component)
        .map_err(|error| SandboxError::Contract(error.root_cause().to_string()))
}

#[cfg(test)]
mod tests {
    /// What a text says beside its comments.
    fn without_comments(text: &str) -> Vec<&str> {
        let lines = text.lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty() && !line.starts_with("//"))
            .collect()
    }

    #[test]
    fn the_contract_is_what_was_published() {
        let now = include_str!("../../../plugin-sdk/wit/plugin.wit");
        let frozen = include_str!("../../../plugin-sdk/wit/frozen/1.0.0.wit");
        assert_eq!(
            without_comments(now),
            without_comments(frozen),
            "crm:plugin@1.0.0 is published, and components were built against it: a change is a \
             new version beside it; plugin-sdk/wit/COMPATIBILITY.md says how"
        );
    }
}
