//! What a component of each class may be, and what its calls may take: one table.

use crm_model::GuestClass;
use crm_model::limits;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::error::SandboxError;

/// What a component may be, what compiling it may take, and what its calls may take unless a plan
/// says otherwise ([`crate::LimitOverrides`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassLimits {
    pub component_max_bytes: usize,
    /// Functions of all its modules together.
    pub max_functions: usize,
    /// Types of all its modules together, and its own.
    pub max_types: usize,
    /// Imports of all its modules together, and its own.
    pub max_imports: usize,
    pub compile: CompileLimits,
    pub call: GuestLimits,
}

/// What compiling one component may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    pub memory_max_bytes: u64,
    /// How long the compiler may keep all processors busy. On a machine that is busy with
    /// something else it may take longer by the clock, but not [`CompileLimits::PATIENCE`] times
    /// as long.
    pub time_max: Duration,
}

/// What one call of a guest may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestLimits {
    /// Linear memory, all memories of the instance together.
    pub memory_max_bytes: usize,
    /// Elements of all its tables together.
    pub table_max_elements: usize,
    /// About one unit per WebAssembly instruction.
    pub fuel_max_units: u64,
    /// Wall-clock time of an action, from the instance's start to its answer.
    #[serde(rename = "call_max_milliseconds", with = "milliseconds")]
    pub call_max: Duration,
    /// The same of a before-save hook.
    #[serde(rename = "before_save_max_milliseconds", with = "milliseconds")]
    pub before_save_max: Duration,
    /// What goes into it at once: the event, or an answer of the host.
    pub input_max_bytes: usize,
    /// Strings of the answer, all together.
    pub output_max_bytes: usize,
    /// Log lines, each with one byte for its end; the rest is dropped.
    pub log_max_bytes: usize,
    /// Questions to the host.
    pub max_host_calls: u32,
    /// Mutations of the answer.
    pub max_mutations: usize,
    /// Effects of the answer.
    pub max_effects: usize,
}

impl ClassLimits {
    /// The limits of a class.
    pub const fn of(class: GuestClass) -> Self {
        match class {
            GuestClass::Standard => Self {
                component_max_bytes: limits::COMPONENT_MAX_BYTES,
                max_functions: limits::COMPONENT_MAX_FUNCTIONS,
                max_types: limits::COMPONENT_MAX_TYPES,
                max_imports: limits::COMPONENT_MAX_IMPORTS,
                compile: CompileLimits {
                    memory_max_bytes: limits::COMPILE_MEMORY_MAX_BYTES,
                    time_max: Duration::from_millis(limits::COMPILE_MAX_MILLISECONDS),
                },
                call: STANDARD_CALL,
            },
            GuestClass::Interpreter => Self {
                component_max_bytes: limits::INTERPRETER_MAX_BYTES,
                max_functions: limits::INTERPRETER_MAX_FUNCTIONS,
                max_types: limits::INTERPRETER_MAX_TYPES,
                max_imports: limits::INTERPRETER_MAX_IMPORTS,
                compile: CompileLimits {
                    memory_max_bytes: limits::INTERPRETER_COMPILE_MEMORY_MAX_BYTES,
                    time_max: Duration::from_millis(limits::INTERPRETER_COMPILE_MAX_MILLISECONDS),
                },
                call: GuestLimits {
                    memory_max_bytes: limits::INTERPRETER_MEMORY_MAX_BYTES,
                    table_max_elements: limits::INTERPRETER_TABLE_MAX_ELEMENTS,
                    ..STANDARD_CALL
                },
            },
        }
    }
}

const STANDARD_CALL: GuestLimits = GuestLimits {
    memory_max_bytes: limits::GUEST_MEMORY_MAX_BYTES,
    table_max_elements: limits::GUEST_TABLE_MAX_ELEMENTS,
    fuel_max_units: limits::GUEST_FUEL_MAX_UNITS,
    call_max: Duration::from_millis(limits::GUEST_CALL_MAX_MILLISECONDS),
    before_save_max: Duration::from_millis(limits::BEFORE_SAVE_MAX_MILLISECONDS),
    input_max_bytes: limits::GUEST_INPUT_MAX_BYTES,
    output_max_bytes: limits::GUEST_OUTPUT_MAX_BYTES,
    log_max_bytes: limits::GUEST_LOG_MAX_BYTES,
    max_host_calls: limits::RUN_MAX_HOST_CALLS,
    max_mutations: limits::RUN_MAX_MUTATIONS,
    max_effects: limits::RUN_MAX_EFFECTS,
};

impl Default for GuestLimits {
    fn default() -> Self {
        STANDARD_CALL
    }
}

impl GuestLimits {
    /// What wasmtime copies out of a guest per crossing before it stops the guest.
    ///
    /// Above what an answer may hold, so that an answer that is a little too big is counted and
    /// refused by its own limit, and one that is absurdly big is never copied at all.
    pub(crate) fn crossing_max_bytes(&self) -> usize {
        const SLACK: usize = 64 << 10;
        self.output_max_bytes
            .saturating_mul(2)
            .saturating_add(SLACK)
    }
}

mod milliseconds {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        u64::try_from(duration.as_millis())
            .unwrap_or(u64::MAX)
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

impl CompileLimits {
    /// How much longer than `time_max` it may take by the clock.
    pub(crate) const PATIENCE: u32 = 6;

    pub(crate) fn too_slow(&self, took: Duration) -> SandboxError {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        SandboxError::OverLimit {
            limit: "compile_max_milliseconds",
            measured: milliseconds(took),
            most: milliseconds(self.time_max),
        }
    }

    /// The compiler died asking for more, so what it has had is all that is known.
    pub(crate) fn too_big(&self) -> SandboxError {
        SandboxError::OverLimit {
            limit: "compile_memory_max_bytes",
            measured: self.memory_max_bytes,
            most: self.memory_max_bytes,
        }
    }
}
