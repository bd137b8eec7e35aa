//! What is used up in windows of time: requests, fuel. Counted here at once, added to the
//! database in batches, and told from there what other processes have added.

use chrono::{DateTime, Utc};
use crm_model::quota::{window_end, window_start};

/// One such count of one tenant.
pub(super) struct Flow {
    window_seconds: u32,
    window: DateTime<Utc>,
    /// In this window, by all processes, as the database had it last.
    known: u64,
    /// Of this process, on its way to the database.
    settling: u64,
    /// Of this process, since then.
    pending: u64,
    /// Of windows that have ended, by their beginnings.
    late: Vec<(DateTime<Utc>, u64)>,
}

impl Flow {
    pub(super) fn new(window_seconds: u32) -> Self {
        Self {
            window_seconds,
            window: DateTime::UNIX_EPOCH,
            known: 0,
            settling: 0,
            pending: 0,
            late: Vec::new(),
        }
    }

    /// A new window begins with nothing.
    fn turn(&mut self, now: DateTime<Utc>) {
        let window = window_start(now, self.window_seconds);
        if window <= self.window {
            return;
        }
        if self.pending > 0 {
            self.late.push((self.window, self.pending));
        }
        // What is on its way arrives in its own window, or comes back as late.
        self.window = window;
        (self.known, self.settling, self.pending) = (0, 0, 0);
    }

    pub(super) fn used(&mut self, now: DateTime<Utc>) -> u64 {
        self.turn(now);
        self.known + self.settling + self.pending
    }

    pub(super) fn add(&mut self, now: DateTime<Utc>, amount: u64) {
        self.turn(now);
        self.pending = self.pending.saturating_add(amount);
    }

    pub(super) fn resets_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        window_end(now, self.window_seconds)
    }

    pub(super) fn has_pending(&self) -> bool {
        self.pending > 0 || !self.late.is_empty()
    }

    /// What is to be added to which window; this window's comes last, if only to be asked for.
    /// It is on its way until [`Flow::settled`] or [`Flow::failed`].
    pub(super) fn take(&mut self, now: DateTime<Utc>) -> Vec<(DateTime<Utc>, u64)> {
        self.turn(now);
        let mut taken = std::mem::take(&mut self.late);
        taken.push((self.window, self.pending));
        self.settling += std::mem::take(&mut self.pending);
        taken
    }

    /// The database has what was taken, and this much in that window.
    pub(super) fn settled(&mut self, window: DateTime<Utc>, added: u64, used: u64) {
        if window == self.window {
            self.settling = self.settling.saturating_sub(added);
            // Two answers may overtake each other, and a window's use only grows.
            self.known = self.known.max(used);
        }
    }

    /// It has not, as far as is known.
    pub(super) fn failed(&mut self, window: DateTime<Utc>, added: u64) {
        if window == self.window {
            self.settling = self.settling.saturating_sub(added);
            self.pending += added;
        } else if added > 0 {
            self.late.push((window, added));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn what_others_used_is_added_to_what_this_process_did() {
        let mut flow = Flow::new(60);
        flow.add(at(61), 3);
        assert_eq!(flow.take(at(62)), [(at(60), 3)]);
        flow.add(at(63), 2);
        assert_eq!(flow.used(at(63)), 5, "what is on its way counts");
        flow.settled(at(60), 3, 10);
        assert_eq!(flow.used(at(63)), 12);
        assert_eq!(flow.resets_at(at(63)), at(120));
    }

    #[test]
    fn a_window_begins_with_nothing_and_what_was_late_goes_into_its_own() {
        let mut flow = Flow::new(60);
        flow.add(at(61), 3);
        assert_eq!(flow.used(at(119)), 3);
        assert_eq!(flow.used(at(120)), 0);
        flow.add(at(121), 1);
        assert_eq!(flow.take(at(121)), [(at(60), 3), (at(120), 1)]);
        flow.settled(at(60), 3, 3);
        flow.settled(at(120), 1, 1);
        assert_eq!(flow.take(at(122)), [(at(120), 0)]);
    }

    #[test]
    fn what_could_not_be_added_is_added_later() {
        let mut flow = Flow::new(60);
        flow.add(at(61), 3);
        flow.take(at(61));
        flow.failed(at(60), 3);
        assert_eq!(flow.used(at(62)), 3);
        assert_eq!(flow.take(at(62)), [(at(60), 3)]);
        // The window ends while they are on their way.
        assert_eq!(flow.used(at(130)), 0);
        flow.failed(at(60), 3);
        assert_eq!(flow.take(at(130)), [(at(60), 3), (at(120), 0)]);
        assert_eq!(flow.take(at(130)), [(at(120), 0)], "and only once");
    }

    #[test]
    fn what_arrived_after_its_window_ended_is_not_added_again() {
        let mut flow = Flow::new(60);
        flow.add(at(61), 3);
        flow.take(at(61));
        assert_eq!(flow.used(at(130)), 0);
        flow.settled(at(60), 3, 3);
        assert_eq!(flow.take(at(130)), [(at(120), 0)]);
    }
}
