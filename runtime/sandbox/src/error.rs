//! Why a component is not accepted, or a sandbox not made.

use crm_model::manifest::{GuestClass, World};

use crate::text::Bytes;

/// Why a component cannot be used. All but [`SandboxError::Unavailable`] are the component's own
/// fault, so trying again does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SandboxError {
    /// The file is larger than a component may be.
    #[error(
        "the component has {}; at most {} are accepted: `component_max_bytes` of the class `{}`",
        Bytes(*.size_bytes), Bytes(*.limit_bytes), .class.name()
    )]
    TooBig {
        class: GuestClass,
        size_bytes: usize,
        limit_bytes: usize,
    },
    /// Not a WebAssembly component: anything else, a core module, or precompiled code.
    #[error("this is not a component: {0}")]
    NotAComponent(String),
    /// The manifest section is missing, there twice or not readable.
    #[error("the component's manifest is not usable: {0}")]
    Manifest(String),
    /// It wants something that the host does not give.
    #[error(
        "the component imports `{name}`, which a plugin of the world `{}` does not get: \
         only {allowed}", .world.name()
    )]
    ForbiddenImport {
        name: String,
        world: World,
        allowed: String,
    },
    /// It lacks the function that its world has.
    #[error("the component does not export the function `{export}` of the world `{}`", .world.name())]
    MissingExport { world: World, export: &'static str },
    /// The manifest names one world, the exports are another's.
    #[error(
        "the manifest says that the component is of the world `{}`, but it exports that of `{}`",
        .claimed.name(), .found.name()
    )]
    WorldMismatch { claimed: World, found: World },
    /// Imports or exports have other types than the contract.
    #[error("the component does not keep to the contract: {0}")]
    Contract(String),
    /// It could not be compiled or needs more than the sandbox has.
    #[error("the component cannot be compiled: {0}")]
    Compile(String),
    /// It declares or takes more of something than a component of its class may. A compiler that
    /// was stopped would have gone on, so what it measured is the least that there is.
    #[error(
        "the component goes over the limit `{limit}`: {measured}, and at most {most} is accepted"
    )]
    OverLimit {
        limit: &'static str,
        measured: u64,
        most: u64,
    },
    /// The machine's fault: no memory, no threads, no cache directory.
    #[error("the sandbox is not available: {0}")]
    Unavailable(String),
}

impl SandboxError {
    /// A stable name, for logs and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooBig { .. } => "too_big",
            Self::NotAComponent(_) => "not_a_component",
            Self::Manifest(_) => "manifest",
            Self::ForbiddenImport { .. } => "forbidden_import",
            Self::MissingExport { .. } => "missing_export",
            Self::WorldMismatch { .. } => "world_mismatch",
            Self::Contract(_) => "contract",
            Self::OverLimit { .. } => "over_limit",
            Self::Compile(_) => "compile",
            Self::Unavailable(_) => "unavailable",
        }
    }
}
