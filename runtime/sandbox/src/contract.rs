//! The contract of `plugin-sdk/wit`, as code: bindings for each world, and the check that a
//! component's imports and exports have the contract's types. Nothing here runs a guest.

use crm_model::manifest::World;
use std::sync::LazyLock;
use wit_parser::{Resolve, Span, WorldId};

use crate::error::SandboxError;

/// The package and version of an interface that a guest may import.
macro_rules! interface {
    ($name:literal) => {
        interface!($name, "1.0.0")
    };
    ($name:literal, $version:literal) => {
        concat!("crm:plugin/", $name, "@", $version)
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
/// Files that go with mails.
pub(crate) const ATTACHMENTS: &str = interface!("attachments", "1.1.0");
/// The interface through which a guest writes its run log.
pub(crate) const LOG: &str = interface!("log");
/// The packages of WASI 0.2 that there is an empty world of ([`crate::host::wasi`]).
const WASI: [&str; 6] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];
/// The interface that holds types only.
const TYPES: &str = interface!("types");
/// The contract's text.
const NEWEST: &str = include_str!("../../../plugin-sdk/wit/plugin.wit");
/// That of the version which it goes on from.
const V1_0: &str = include_str!("../../../plugin-sdk/wit/deps/plugin-1.0.0.wit");

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
            with: { "crm:plugin/types@1.0.0": super::action::crm::plugin1_0_0::types },
        });
    }

    /// What the text of 1.0.0 names.
    pub(crate) use action::crm::plugin1_0_0 as v1_0;
}

/// What a component of that world may import.
pub(crate) const fn imports_of(world: World) -> &'static [&'static str] {
    match world {
        World::Action => &[RECORDS, CONFIG, SECRETS, STATE, ATTACHMENTS, LOG, TYPES],
        World::Template => &[LOG, TYPES],
    }
}

/// Whether an import is one of WASI, which gives a guest nothing in any world.
pub(crate) fn is_wasi(import: &str) -> bool {
    import.contains("@0.2.") && WASI.iter().any(|package| import.starts_with(package))
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
    let mut push = |name: &str, text: &str| {
        let package = resolve.push_str(name, text);
        package.map_err(|error| error.to_string())
    };
    push("plugin-1.0.0.wit", V1_0)?;
    let package = push("plugin.wit", NEWEST)?;
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
/// What it imports of WASI is taken as it says, and checked when it is linked.
///
/// # Errors
/// [`SandboxError::Contract`] with what does not fit.
pub(crate) fn check(world: World, component: &[u8], wasi: bool) -> Result<(), SandboxError> {
    let contract = CONTRACT
        .as_ref()
        .map_err(|error| SandboxError::Unavailable(error.clone()))?;
    let id = match world {
        World::Action => contract.action,
        World::Template => contract.template,
    };
    let with_wasi = wasi.then(|| with_wasi(&contract.resolve, id, component));
    let with_wasi = with_wasi.transpose().map_err(SandboxError::Contract)?;
    let resolve = with_wasi.as_ref().unwrap_or(&contract.resolve);
    wit_component::targets(resolve, id, component)
        .map_err(|error| SandboxError::Contract(error.root_cause().to_string()))
}

/// The contract, its world enlarged by the interfaces of WASI as the component has them.
fn with_wasi(contract: &Resolve, world: WorldId, component: &[u8]) -> Result<Resolve, String> {
    let decoded = wit_component::decode(component).map_err(|error| error.to_string())?;
    let package = decoded.package();
    let decoded = decoded.resolve().clone();
    let own = decoded.select_world(&[package], None);
    let own = own.map_err(|error| error.to_string())?;
    let mut resolve = contract.clone();
    let merged = resolve.merge(decoded).map_err(|error| error.to_string())?;
    let own = merged
        .map_world(own, Span::default())
        .map_err(|error| error.to_string())?;
    let imports = resolve.worlds.get(own).map(|world| world.imports.clone());
    let mut imports = imports.unwrap_or_default();
    imports.retain(|key, _| is_wasi(&resolve.name_world_key(key)));
    if let Some(world) = resolve.worlds.get_mut(world) {
        world.imports.extend(imports);
    }
    Ok(resolve)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a text says beside its comments.
    fn without_comments(text: &str) -> Vec<&str> {
        let lines = text.lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty() && !line.starts_with("//"))
            .collect()
    }

    #[test]
    fn the_contract_is_what_was_published() {
        let frozen = [
            (
                V1_0,
                include_str!("../../../plugin-sdk/wit/frozen/1.0.0.wit"),
            ),
            (
                NEWEST,
                include_str!("../../../plugin-sdk/wit/frozen/1.1.0.wit"),
            ),
        ];
        for (now, frozen) in frozen {
            assert_eq!(
                without_comments(now),
                without_comments(frozen),
                "this is published, and components were built against it: a change is a new \
                 version beside it; plugin-sdk/wit/COMPATIBILITY.md says how"
            );
        }
    }
}
