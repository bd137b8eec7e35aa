//! The room for other people's code, and the only one that names wasmtime.
//!
//! A [`Sandbox`] reads components ([`component_inspect`]), compiles them once and runs each call
//! in a fresh instance on a runtime of its own, under limits of memory, fuel, time, output and
//! log. It never opens a file, a socket or a database for a guest, never keeps an instance
//! between two calls, and never lets a guest's fault become more than a [`RunFailure`].

mod artifact;
mod bundle;
mod call;
mod class;
mod clock;
mod code;
mod compile;
mod compiler_process;
mod contract;
mod digest;
mod effect;
mod engine;
mod error;
mod event;
mod failure;
mod hook;
mod host;
mod inspect;
mod limiter;
mod mutation;
mod plan;
mod plugin;
mod probation;
mod report;
mod sandbox;
mod settings;
mod shape;
mod store;
mod text;
mod threads;
mod yielding;

pub use artifact::{CacheKey, CodeCache};
pub use bundle::{
    BUNDLE_FORMAT, Bundle, RecordedCall, RecordedFailure, RecordedResult, RecordedTerms,
};
pub use call::ActionCall;
pub use class::{ClassLimits, CompileLimits, GuestLimits};
pub use compile::CompileCommand;
pub use compiler_process::compile_in_this_process;
pub use digest::{Digest, DigestError};
pub use engine::wasmtime_config;
pub use error::SandboxError;
pub use failure::{OverLimit, RunFailure};
pub use hook::{HookReport, HookVerdict, Leftover, Objection, SaveCall};
pub use host::journal::{Exchange, Replay};
pub use host::question::{
    Answer, Answering, FoundRecord, GuestHost, NoHost, Question, Refusal, StateEntry,
};
pub use inspect::{Inspected, component_inspect};
pub use plan::{EffectiveLimit, LimitError, LimitOverrides, over_caps};
pub use plugin::Plugin;
pub use report::{ActionReport, LogLevel, LogLine, Outcome};
pub use sandbox::Sandbox;
pub use settings::SandboxSettings;
