//! How wasmtime is set up.
//!
//! Measured for a fresh instance per call: pooled memory that stays resident, small stacks, no
//! `pagemap_scan` (wasmtime issue 14357: a swapped-out dirty page survives into the next
//! instance).

use crm_model::limits::{
    BEFORE_SAVE_MAX_CONCURRENT, BEFORE_SAVE_MAX_READY, COMPONENT_MAX_INSTANCES,
    COMPONENT_MAX_MEMORIES, GUEST_STACK_MAX_BYTES, PLAN_MEMORY_MAX_BYTES, PLAN_TABLE_MAX_ELEMENTS,
};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::error::SandboxError;
use crate::settings::SandboxSettings;

/// Native stack of a call: the guest's, and what the host needs on top of it.
const CALL_STACK_BYTES: usize = GUEST_STACK_MAX_BYTES + (192 << 10);

/// What stays in memory of a slot after a call, so that the next one takes no page faults.
const MEMORY_RESIDENT_BYTES: usize = 2 << 20;
const TABLE_RESIDENT_BYTES: usize = 64 << 10;

/// The configuration of the sandbox's engine, for a benchmark that compares with bare wasmtime.
pub fn wasmtime_config(settings: &SandboxSettings) -> Config {
    let mut config = code_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(settings)));
    config
}

/// All that compiled code depends on: the same for who compiles and for who runs.
pub(crate) fn code_config() -> Config {
    let mut config = Config::new();
    config
        .memory_may_move(false)
        .max_wasm_stack(GUEST_STACK_MAX_BYTES)
        .async_stack_size(CALL_STACK_BYTES)
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        // Same input, same output, on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_threads(false)
        // Plugins are stripped, so a backtrace would say nothing; traps are named without one.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .native_unwind_info(cfg!(windows));
    config
}

fn pool(settings: &SandboxSettings) -> PoolingAllocationConfig {
    let instances = settings
        .concurrency
        .saturating_add(BEFORE_SAVE_MAX_CONCURRENT)
        .saturating_add(BEFORE_SAVE_MAX_READY);
    let mut pool = PoolingAllocationConfig::new();
    // Every call may take all that a component may have, and so may every instance that is ready,
    // so that a permit is all that a call has to wait for. Memory slots are address space until
    // they are used.
    pool.total_component_instances(instances)
        .total_stacks(instances)
        .total_core_instances(instances.saturating_mul(COMPONENT_MAX_INSTANCES))
        .max_core_instances_per_component(COMPONENT_MAX_INSTANCES)
        .total_tables(instances.saturating_mul(COMPONENT_MAX_INSTANCES))
        .max_tables_per_component(COMPONENT_MAX_INSTANCES)
        .table_elements(PLAN_TABLE_MAX_ELEMENTS)
        .total_memories(instances.saturating_mul(COMPONENT_MAX_MEMORIES))
        .max_memories_per_component(COMPONENT_MAX_MEMORIES)
        .max_memory_size(PLAN_MEMORY_MAX_BYTES)
        .linear_memory_keep_resident(MEMORY_RESIDENT_BYTES)
        .table_keep_resident(TABLE_RESIDENT_BYTES)
        .async_stack_keep_resident(CALL_STACK_BYTES)
        .pagemap_scan(Enabled::No);
    pool
}

pub(crate) fn unavailable(error: impl ToString) -> SandboxError {
    SandboxError::Unavailable(error.to_string())
}
