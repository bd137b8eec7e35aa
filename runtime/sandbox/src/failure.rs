//! How a call ends without an answer: what the guest said, what it did, or what the host could
//! not do. Each reads as a sentence that can stand in a run's log.

use crm_model::manifest::World;
use std::time::Duration;
use wasmtime::{PoolConcurrencyLimitError, Trap};

use crate::class::GuestLimits;
use crate::store::GuestState;
use crate::text::{Bytes, sentence};

/// Why a call has no answer. [`RunFailure::Fail`] and [`RunFailure::Skip`] are final; after the
/// others the job may be tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunFailure {
    /// The guest asks to be called again, not before that time is over.
    #[error("the component asks to be run again after {} ms: {reason}", .after.as_millis())]
    Retry { after: Duration, reason: String },
    /// The guest gave up, for good.
    #[error("{0}")]
    Fail(String),
    /// The guest had nothing to do; counts as done.
    #[error("nothing to do: {0}")]
    Skip(String),
    /// The guest's code came to a bad end.
    #[error("the component trapped: {reason}")]
    Trapped { reason: String },
    /// It used up its fuel.
    #[error("the component used up its {limit_units} units of fuel")]
    OutOfFuel { limit_units: u64 },
    /// It took too long.
    #[error("the component took longer than {} ms", .limit.as_millis())]
    TimedOut { limit: Duration },
    /// It was refused memory and could not do without.
    #[error("the component wanted more than {} of memory", Bytes(*.limit_bytes))]
    OutOfMemory { limit_bytes: usize },
    /// What it would be told is too big.
    #[error("the event has {}; a component is told at most {}", Bytes(*.size_bytes), Bytes(*.limit_bytes))]
    InputTooBig {
        size_bytes: usize,
        limit_bytes: usize,
    },
    /// It asked the host more often than it may.
    #[error("the component asked the host more than {limit} times")]
    TooManyHostCalls { limit: u32 },
    /// Its answer cannot be understood or is too big.
    #[error("the component answered with nonsense: {0}")]
    Nonsense(String),
    /// It was called as what it is not.
    #[error("the component is of the world `{}` and cannot be called as `{}`", .is.name(), .called.name())]
    WrongWorld { is: World, called: World },
    /// The machine's fault, not the guest's.
    #[error("the component could not be run: {0}")]
    Host(String),
}

impl RunFailure {
    /// A stable name, for logs and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Retry { .. } => "retry",
            Self::Fail(_) => "fail",
            Self::Skip(_) => "skip",
            Self::Trapped { .. } => "trapped",
            Self::OutOfFuel { .. } => "out_of_fuel",
            Self::TimedOut { .. } => "timed_out",
            Self::OutOfMemory { .. } => "out_of_memory",
            Self::InputTooBig { .. } => "input_too_big",
            Self::TooManyHostCalls { .. } => "too_many_host_calls",
            Self::Nonsense(_) => "nonsense",
            Self::WrongWorld { .. } => "wrong_world",
            Self::Host(_) => "host",
        }
    }

    pub(crate) fn host(error: impl ToString) -> Self {
        Self::Host(error.to_string())
    }

    pub(crate) fn nonsense(reason: impl AsRef<str>) -> Self {
        Self::Nonsense(sentence(reason.as_ref()))
    }

    pub(crate) fn input_too_big(size_bytes: usize, limits: &GuestLimits) -> Self {
        Self::InputTooBig {
            size_bytes,
            limit_bytes: limits.input_max_bytes,
        }
    }

    pub(crate) fn output_too_big(limits: &GuestLimits) -> Self {
        Self::Nonsense(format!(
            "more than {} of text",
            Bytes(limits.output_max_bytes)
        ))
    }
}

/// How far a call got before it failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Start,
    Call,
}

/// Reads wasmtime's error as the decision that it stands for.
pub(crate) fn failure_of(
    error: &wasmtime::Error,
    stage: Stage,
    state: &GuestState,
    limits: &GuestLimits,
) -> RunFailure {
    let out_of_memory = RunFailure::OutOfMemory {
        limit_bytes: limits.memory_max_bytes,
    };
    if state.gate.refused_calls() {
        return RunFailure::TooManyHostCalls {
            limit: limits.max_host_calls,
        };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => RunFailure::OutOfFuel {
            limit_units: limits.fuel_max_units,
        },
        Some(Trap::Interrupt) => RunFailure::TimedOut {
            limit: limits.call_max,
        },
        Some(_) if state.limiter.memory_refused() => out_of_memory,
        Some(trap) => RunFailure::Trapped {
            reason: trap_sentence(*trap),
        },
        None if error.is::<PoolConcurrencyLimitError>() => RunFailure::host(error),
        None => {
            let reason = sentence(&error.root_cause().to_string());
            match stage {
                Stage::Start if state.limiter.memory_refused() => out_of_memory,
                Stage::Start => RunFailure::Trapped {
                    reason: format!("at its start: {reason}"),
                },
                // wasmtime's type for this is not public.
                Stage::Call if reason.contains("fuel allocated for hostcalls") => {
                    RunFailure::Nonsense(format!(
                        "it passed more than {} at once",
                        Bytes(limits.crossing_max_bytes())
                    ))
                }
                Stage::Call => RunFailure::Nonsense(reason),
            }
        }
    }
}

fn trap_sentence(trap: Trap) -> String {
    match trap {
        Trap::UnreachableCodeReached => "unreachable code (abort or panic)".to_owned(),
        Trap::StackOverflow => "its call stack is used up (endless recursion?)".to_owned(),
        Trap::MemoryOutOfBounds => "it reached outside of its memory".to_owned(),
        Trap::IntegerDivisionByZero => "division by zero".to_owned(),
        other => {
            let text = other.to_string();
            text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned()
        }
    }
}
