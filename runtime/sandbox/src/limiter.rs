//! Counts what an instance holds and refuses what goes past its limits: memory and table
//! elements, each summed over all that the instance has.

use crm_model::limits::{COMPONENT_MAX_INSTANCES, COMPONENT_MAX_MEMORIES};
use wasmtime::ResourceLimiter;

use crate::class::GuestLimits;

/// One call's account.
pub(crate) struct Limiter {
    memory_max_bytes: usize,
    memory_bytes: usize,
    memory_peak_bytes: usize,
    memory_refused_bytes: Option<usize>,
    table_max_elements: usize,
    table_elements: usize,
    table_refused_elements: Option<usize>,
    /// What was allowed last, taken back if the growth fails all the same.
    last_growth: usize,
}

impl Limiter {
    pub(crate) fn new(limits: &GuestLimits) -> Self {
        Self {
            memory_max_bytes: limits.memory_max_bytes,
            memory_bytes: 0,
            memory_peak_bytes: 0,
            memory_refused_bytes: None,
            table_max_elements: limits.table_max_elements,
            table_elements: 0,
            table_refused_elements: None,
            last_growth: 0,
        }
    }

    /// The most linear memory that the instance held.
    pub(crate) fn memory_peak_bytes(&self) -> usize {
        self.memory_peak_bytes
    }

    /// How much memory the instance would have had when it was last refused more.
    pub(crate) fn memory_refused_bytes(&self) -> Option<usize> {
        self.memory_refused_bytes
    }

    /// How many table elements it would have had when it was last refused more.
    pub(crate) fn table_refused_elements(&self) -> Option<usize> {
        self.table_refused_elements
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        let total = self.memory_bytes.saturating_add(growth);
        if total > self.memory_max_bytes {
            self.memory_refused_bytes = Some(total);
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.last_growth = growth;
        self.memory_bytes = total;
        self.memory_peak_bytes = self.memory_peak_bytes.max(total);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory_bytes = self.memory_bytes.saturating_sub(self.last_growth);
        self.last_growth = 0;
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self
            .table_elements
            .saturating_add(desired.saturating_sub(current));
        if total > self.table_max_elements {
            self.table_refused_elements = Some(total);
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        COMPONENT_MAX_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        COMPONENT_MAX_INSTANCES as usize
    }

    fn memories(&self) -> usize {
        COMPONENT_MAX_MEMORIES as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter() -> Limiter {
        Limiter::new(&GuestLimits {
            memory_max_bytes: 100,
            table_max_elements: 10,
            ..GuestLimits::default()
        })
    }

    #[test]
    fn memory_is_summed_and_refused_one_past_the_limit() {
        let mut limiter = limiter();
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert_eq!(limiter.memory_refused_bytes(), None);
        assert!(!limiter.memory_growing(60, 61, None).unwrap());
        assert_eq!(limiter.memory_refused_bytes(), Some(101));
        assert_eq!(limiter.memory_peak_bytes(), 100);
    }

    #[test]
    fn a_growth_that_fails_is_taken_back() {
        let mut limiter = limiter();
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        limiter
            .memory_grow_failed(wasmtime::Error::msg("no pages left"))
            .unwrap();
        assert!(limiter.memory_growing(0, 100, None).unwrap());
    }

    #[test]
    fn a_memory_s_own_maximum_is_not_the_limit_of_the_sandbox() {
        let mut limiter = limiter();
        assert!(!limiter.memory_growing(0, 60, Some(50)).unwrap());
        assert_eq!(limiter.memory_refused_bytes(), None);
    }

    #[test]
    fn table_elements_are_summed_and_refused_one_past_the_limit() {
        let mut limiter = limiter();
        assert!(limiter.table_growing(0, 6, None).unwrap());
        assert!(limiter.table_growing(0, 4, None).unwrap());
        assert_eq!(limiter.table_refused_elements(), None);
        assert!(!limiter.table_growing(6, 7, None).unwrap());
        assert_eq!(limiter.table_refused_elements(), Some(11));
    }
}
