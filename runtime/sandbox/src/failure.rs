//! How a call ends without an answer: what the guest said, what it did, or what the host could
//! not do. Each reads as a sentence that can stand in a run's log.

use crm_model::limits::GUEST_STACK_MAX_BYTES;
use crm_model::manifest::World;
use std::time::Duration;
use wasmtime::{PoolConcurrencyLimitError, Trap};

use crate::class::GuestLimits;
use crate::probation::PROBATION;
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
    #[error("the component took longer than {} ms{}", .limit.as_millis(), probation_words(*.on_probation))]
    TimedOut {
        limit: Duration,
        took: Duration,
        /// Whether it had a share of its time only, because of an earlier call.
        on_probation: bool,
    },
    /// It was refused memory and could not do without.
    #[error("the component wanted {} of memory, and gets at most {}", Bytes(*.wanted_bytes), Bytes(*.limit_bytes))]
    OutOfMemory {
        wanted_bytes: usize,
        limit_bytes: usize,
    },
    /// It went over another of the limits of a call.
    #[error("the component goes over the limit `{}`: {}, and at most {} is accepted", .0.limit, .0.measured, .0.most)]
    OverLimit(OverLimit),
    /// Its answer cannot be understood.
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
            Self::OverLimit(_) => "over_limit",
            Self::Nonsense(_) => "nonsense",
            Self::WrongWorld { .. } => "wrong_world",
            Self::Host(_) => "host",
        }
    }

    /// Whether the guest's code is to blame: not for what it says, which may well be right, nor for
    /// what the host could not do.
    pub const fn is_fault(&self) -> bool {
        !matches!(
            self,
            Self::Retry { .. } | Self::Fail(_) | Self::Skip(_) | Self::Host(_)
        )
    }

    /// Whether it was stopped because it computed, or waited, for too long.
    pub const fn is_stop(&self) -> bool {
        matches!(self, Self::OutOfFuel { .. } | Self::TimedOut { .. })
    }

    /// How it failed on probation.
    pub(crate) fn on_probation(mut self) -> Self {
        if let Self::TimedOut { on_probation, .. } = &mut self {
            *on_probation = true;
        }
        self
    }

    pub(crate) fn host(error: impl ToString) -> Self {
        Self::Host(error.to_string())
    }

    pub(crate) fn nonsense(reason: impl AsRef<str>) -> Self {
        Self::Nonsense(sentence(reason.as_ref()))
    }

    /// The limit that a call went over, if that is how it failed.
    pub fn over_limit(&self) -> Option<OverLimit> {
        let milliseconds = |time: &Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (limit, measured, most) = match self {
            Self::OverLimit(over) => return Some(*over),
            Self::OutOfFuel { limit_units } => ("fuel_max_units", *limit_units, *limit_units),
            Self::TimedOut { limit, took, .. } => (
                "call_max_milliseconds",
                milliseconds(took),
                milliseconds(limit),
            ),
            Self::OutOfMemory {
                wanted_bytes,
                limit_bytes,
            } => (
                "memory_max_bytes",
                *wanted_bytes as u64,
                *limit_bytes as u64,
            ),
            _ => return None,
        };
        Some(OverLimit {
            limit,
            measured,
            most,
        })
    }
}

/// A limit of a call, as [`crate::LimitOverrides`] names it, and what was measured: where the call
/// was stopped before it could take more, the least that it would have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverLimit {
    pub limit: &'static str,
    pub measured: u64,
    pub most: u64,
}

impl OverLimit {
    pub(crate) fn new(limit: &'static str, measured: usize, most: usize) -> Self {
        Self {
            limit,
            measured: measured as u64,
            most: most as u64,
        }
    }
}

/// Whether something is within its limit.
pub(crate) fn over(limit: &'static str, measured: usize, most: usize) -> Result<(), RunFailure> {
    if measured <= most {
        return Ok(());
    }
    Err(RunFailure::OverLimit(OverLimit::new(limit, measured, most)))
}

/// How far a call got before it failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Start,
    Call,
}

fn probation_words(on_probation: bool) -> String {
    if !on_probation {
        return String::new();
    }
    let seconds = PROBATION.as_secs();
    format!(
        "; it was let compute little of that, because a call of it was stopped less than {seconds} s before"
    )
}

/// Reads wasmtime's error as the decision that it stands for.
pub(crate) fn failure_of(
    error: &wasmtime::Error,
    stage: Stage,
    state: &GuestState,
    limits: &GuestLimits,
) -> RunFailure {
    if state.gate.refused_calls() {
        let most = limits.max_host_calls as usize;
        return RunFailure::OverLimit(OverLimit::new("max_host_calls", most + 1, most));
    }
    let refused = || refused(state, limits);
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => RunFailure::OutOfFuel {
            limit_units: limits.fuel_max_units,
        },
        Some(Trap::Interrupt) => RunFailure::TimedOut {
            limit: limits.call_max,
            took: state.elapsed(),
            on_probation: false,
        },
        // It calls deeper than its stack is.
        Some(Trap::StackOverflow) => RunFailure::OverLimit(OverLimit::new(
            "stack_max_bytes",
            GUEST_STACK_MAX_BYTES,
            GUEST_STACK_MAX_BYTES,
        )),
        Some(trap) => refused().unwrap_or_else(|| RunFailure::Trapped {
            reason: trap_sentence(*trap),
        }),
        None if error.is::<PoolConcurrencyLimitError>() => RunFailure::host(error),
        None => {
            let reason = sentence(&error.root_cause().to_string());
            match stage {
                Stage::Start => refused().unwrap_or_else(|| RunFailure::Trapped {
                    reason: format!("at its start: {reason}"),
                }),
                // wasmtime's type for this is not public.
                Stage::Call if reason.contains("fuel allocated for hostcalls") => {
                    let measured = limits.crossing_max_bytes() + 1;
                    let most = limits.output_max_bytes;
                    RunFailure::OverLimit(OverLimit::new("output_max_bytes", measured, most))
                }
                Stage::Call => RunFailure::Nonsense(reason),
            }
        }
    }
}

/// A guest that was refused memory or table elements and then came to a bad end could not do
/// without.
fn refused(state: &GuestState, limits: &GuestLimits) -> Option<RunFailure> {
    if let Some(wanted_bytes) = state.limiter.memory_refused_bytes() {
        return Some(RunFailure::OutOfMemory {
            wanted_bytes,
            limit_bytes: limits.memory_max_bytes,
        });
    }
    let wanted = state.limiter.table_refused_elements()?;
    let over = OverLimit::new("table_max_elements", wanted, limits.table_max_elements);
    Some(RunFailure::OverLimit(over))
}

fn trap_sentence(trap: Trap) -> String {
    match trap {
        Trap::UnreachableCodeReached => "unreachable code (abort or panic)".to_owned(),
        Trap::MemoryOutOfBounds => "it reached outside of its memory".to_owned(),
        Trap::IntegerDivisionByZero => "division by zero".to_owned(),
        other => {
            let text = other.to_string();
            text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned()
        }
    }
}
