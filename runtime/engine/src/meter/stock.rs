//! What is there at one time: records, waiting runs. Counted in the database now and then, and
//! here in between. It never says less than there is of this process's own, and where it says
//! more, because commits fell into a count, it is unsure and wants to be counted again before
//! anybody is refused.

use std::time::{Duration, Instant};

/// A count is taken again after so many times what it took, so that counting takes a hundredth of
/// one core at most.
const AGE_TIMES_TOOK: u32 = 100;
const AGE_MOST: Duration = Duration::from_secs(60);

/// A count that takes less is taken whenever somebody looks.
const CHEAP_MAX: Duration = Duration::from_millis(20);

/// One such count of one tenant.
pub(super) struct Stock {
    /// How long a count is good at least.
    age_least: Duration,
    base: i64,
    counted: Option<Instant>,
    took: Duration,
    /// What this process has committed since.
    delta: i64,
    /// What it may be about to commit.
    reserved: i64,
    is_unsure: bool,
    pub(super) is_counting: bool,
}

/// What a count started from.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    delta: i64,
    at: Instant,
}

impl Stock {
    pub(super) fn new(age_least: Duration) -> Self {
        Self {
            age_least: age_least.min(AGE_MOST),
            base: 0,
            counted: None,
            took: Duration::ZERO,
            delta: 0,
            reserved: 0,
            is_unsure: false,
            is_counting: false,
        }
    }

    /// What there is at most, as far as this process knows; none before the first count.
    pub(super) fn used(&self) -> Option<i64> {
        self.counted.map(|_| self.base + self.delta)
    }

    /// How many more there may be.
    pub(super) fn free(&self, limit: u64) -> i64 {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        limit.saturating_sub(self.base + self.delta + self.reserved)
    }

    pub(super) fn is_old(&self) -> bool {
        let age = (self.took * AGE_TIMES_TOOK).clamp(self.age_least, AGE_MOST);
        self.counted.is_none_or(|counted| counted.elapsed() >= age)
    }

    /// Whether somebody may be refused by it.
    pub(super) fn is_certain(&self) -> bool {
        !self.is_unsure && !self.is_old()
    }

    /// Whether it may be shown without another count.
    pub(super) fn is_good_to_show(&self) -> bool {
        self.is_certain() && self.took > CHEAP_MAX
    }

    pub(super) fn is_known(&self) -> bool {
        self.counted.is_some()
    }

    /// Whether it was counted after this moment.
    pub(super) fn is_counted_since(&self, moment: Instant) -> bool {
        self.counted.is_some_and(|counted| counted > moment)
    }

    pub(super) fn reserve(&mut self, amount: i64) {
        self.reserved += amount;
    }

    pub(super) fn release(&mut self, amount: i64) {
        self.reserved -= amount;
    }

    pub(super) fn add(&mut self, amount: i64) {
        self.delta += amount;
    }

    /// A count begins.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            delta: self.delta,
            at: Instant::now(),
        }
    }

    /// A count ends. Whatever was committed meanwhile may be in it or not, and counts once more.
    pub(super) fn counted(&mut self, mark: Mark, base: i64) {
        self.base = base;
        self.delta -= mark.delta;
        self.is_unsure = self.delta != 0 || self.reserved != 0;
        self.took = mark.at.elapsed();
        self.counted = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_to_be_committed_takes_room_until_it_is_or_is_not() {
        let mut stock = Stock::new(Duration::from_secs(1));
        assert_eq!(stock.used(), None);
        let mark = stock.mark();
        stock.counted(mark, 7);
        assert_eq!((stock.free(10), stock.is_certain()), (3, true));
        stock.reserve(2);
        assert_eq!(stock.free(10), 1);
        stock.add(1);
        stock.release(2);
        assert_eq!((stock.free(10), stock.used()), (2, Some(8)));
        stock.add(-3);
        assert_eq!(stock.free(10), 5);
        assert_eq!(stock.free(1), -4);
    }

    #[test]
    fn a_count_with_commits_in_it_refuses_nobody() {
        let mut stock = Stock::new(Duration::from_secs(1));
        let mark = stock.mark();
        stock.add(2);
        stock.counted(mark, 9);
        assert_eq!(stock.used(), Some(11), "more rather than less");
        assert!(!stock.is_certain());
        let mark = stock.mark();
        stock.counted(mark, 9);
        assert_eq!((stock.used(), stock.is_certain()), (Some(9), true));

        let mark = stock.mark();
        stock.reserve(1);
        stock.counted(mark, 9);
        assert!(!stock.is_certain(), "it may have been committed already");
    }
}
