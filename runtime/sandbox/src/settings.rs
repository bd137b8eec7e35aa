//! What a sandbox is made with. Every maximum defaults to its constant in
//! [`crm_model::limits`]; a test may choose a smaller one.

use crm_model::limits;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// How a [`crate::Sandbox`] is set up.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// Threads of the guests' own runtime.
    pub threads: usize,
    /// Calls that may hold an instance at once; further ones wait their turn.
    pub concurrency: u32,
    /// Absolute path of a directory where compiled code is kept between starts; none to compile
    /// anew at each start. What lies there is run as it is: nobody but the server may write to it.
    pub cache_dir: Option<PathBuf>,
    /// What one call may take.
    pub limits: GuestLimits,
}

impl Default for SandboxSettings {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            // More than there are threads, so that guests that spin to their limits leave room
            // for others to be served in between.
            concurrency: 64,
            cache_dir: None,
            limits: GuestLimits::default(),
        }
    }
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
    /// Wall-clock time, from the instance's start to its answer.
    #[serde(rename = "call_max_milliseconds", with = "milliseconds")]
    pub call_max: Duration,
    /// Strings of the answer, all together.
    pub output_max_bytes: usize,
    /// Log lines, each with one byte for its end; the rest is dropped.
    pub log_max_bytes: usize,
    /// Mutations of the answer.
    pub max_mutations: usize,
    /// Effects of the answer.
    pub max_effects: usize,
    /// Questions that it may ask the host.
    pub max_host_calls: u32,
    /// What goes into it at once: the event, or an answer of the host.
    pub input_max_bytes: usize,
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

impl Default for GuestLimits {
    fn default() -> Self {
        Self {
            memory_max_bytes: limits::GUEST_MEMORY_MAX_BYTES,
            table_max_elements: limits::GUEST_TABLE_MAX_ELEMENTS,
            fuel_max_units: limits::GUEST_FUEL_MAX_UNITS,
            call_max: Duration::from_millis(limits::GUEST_CALL_MAX_MILLISECONDS),
            output_max_bytes: limits::GUEST_OUTPUT_MAX_BYTES,
            log_max_bytes: limits::GUEST_LOG_MAX_BYTES,
            max_mutations: limits::RUN_MAX_MUTATIONS,
            max_effects: limits::RUN_MAX_EFFECTS,
            max_host_calls: limits::RUN_MAX_HOST_CALLS,
            input_max_bytes: limits::GUEST_INPUT_MAX_BYTES,
        }
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
