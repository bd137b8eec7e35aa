//! The clock that lets guests be interrupted: it ticks for as long as one runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Duration;
use wasmtime::Engine;

use crate::engine::unavailable;
use crate::error::SandboxError;

/// How often a running guest is looked at: it is stopped when its time is over, else it yields, but
/// for the first time, because a short call may meet a tick too.
const TICK: Duration = Duration::from_millis(1);

/// The same where all that run are long, because each tick costs everybody else some microseconds.
const LONG_TICK_MOST: Duration = Duration::from_millis(4);

/// The same where all that run are on probation: each burst of theirs ends with a look at the time.
const PROBATION_TICK: Duration = Duration::from_millis(10);

/// How long a turn of all long guests may take on one thread: one whose time is over is stopped when
/// its turn comes.
const LONG_TURN: Duration = Duration::from_millis(32);

/// For how many ticks it goes on after the last call that was not long, so that calls that follow each
/// other do not each wake it.
const LINGER_TICKS: u32 = 20;

/// Ticks on a thread of its own, until it is dropped.
#[derive(Debug)]
pub(crate) struct Clock {
    shared: Arc<Shared>,
    thread: Thread,
}

/// The order of all that is done to these is the same for everybody: either who begins sees that the
/// clock is asleep, or the clock sees, before it sleeps, that somebody began.
#[derive(Debug, Default)]
struct Shared {
    /// Guests that run, by their pace.
    quick: AtomicUsize,
    long: AtomicUsize,
    on_probation: AtomicUsize,
    is_asleep: AtomicBool,
    is_over: AtomicBool,
}

/// A guest runs, until this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    shared: Arc<Shared>,
    pace: Pace,
}

/// How closely a guest is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Each millisecond.
    Quick,
    /// Each few milliseconds.
    Long,
    /// Now and then.
    OnProbation,
}

impl Clock {
    /// # Errors
    /// [`SandboxError::Unavailable`] when the machine lacks a thread.
    pub(crate) fn start(engine: Engine) -> Result<Self, SandboxError> {
        let shared = Arc::new(Shared::default());
        let ticking = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("guest-clock".to_owned())
            .spawn(move || ticking.tick(&engine))
            .map_err(unavailable)?;
        Ok(Self {
            shared,
            thread: thread.thread().clone(),
        })
    }

    /// A guest begins to run, as a quick one.
    pub(crate) fn running(&self) -> Running {
        self.shared.quick.fetch_add(1, Ordering::SeqCst);
        let is_asleep = &self.shared.is_asleep;
        // Of those who begin at once, one wakes it.
        if is_asleep.load(Ordering::SeqCst) && is_asleep.swap(false, Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running {
            shared: Arc::clone(&self.shared),
            pace: Pace::Quick,
        }
    }

    /// How many run.
    pub(crate) fn count(&self) -> usize {
        let all = [Pace::Quick, Pace::Long, Pace::OnProbation];
        let count = |pace| self.shared.of(pace).load(Ordering::SeqCst);
        all.into_iter().map(count).sum()
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl Running {
    pub(crate) fn set(&mut self, pace: Pace) {
        // It counts as running all the time.
        self.shared.of(pace).fetch_add(1, Ordering::SeqCst);
        self.shared.of(self.pace).fetch_sub(1, Ordering::SeqCst);
        self.pace = pace;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.of(self.pace).fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn of(&self, pace: Pace) -> &AtomicUsize {
        match pace {
            Pace::Quick => &self.quick,
            Pace::Long => &self.long,
            Pace::OnProbation => &self.on_probation,
        }
    }

    fn tick(&self, engine: &Engine) {
        let mut ticks_left = LINGER_TICKS;
        while !self.is_over.load(Ordering::SeqCst) {
            engine.increment_epoch();
            if self.quick.load(Ordering::SeqCst) > 0 {
                ticks_left = LINGER_TICKS;
            }
            if ticks_left > 0 {
                ticks_left -= 1;
                std::thread::sleep(TICK);
            } else if self.sleep() {
                ticks_left = LINGER_TICKS;
            }
        }
    }

    /// Until a guest begins, or for a long tick where long ones run. Whether one has woken it.
    fn sleep(&self) -> bool {
        self.is_asleep.store(true, Ordering::SeqCst);
        let nobody_began = self.quick.load(Ordering::SeqCst) == 0;
        if nobody_began && !self.is_over.load(Ordering::SeqCst) {
            let count = |pace| self.of(pace).load(Ordering::SeqCst);
            match (count(Pace::Long), count(Pace::OnProbation)) {
                (0, 0) => std::thread::park(),
                (0, _) => std::thread::park_timeout(PROBATION_TICK),
                (long, _) => std::thread::park_timeout(long_tick(long)),
            }
        }
        !self.is_asleep.swap(false, Ordering::SeqCst)
    }
}

fn long_tick(long: usize) -> Duration {
    let share = LONG_TURN / u32::try_from(long.max(1)).unwrap_or(u32::MAX);
    share.clamp(TICK, LONG_TICK_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use wasmtime::{Config, Engine};

    fn engine() -> Engine {
        Engine::new(Config::new().epoch_interruption(true)).unwrap()
    }

    fn eventually(what: impl Fn() -> bool) -> bool {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(20) {
            if what() {
                return true;
            }
            std::thread::sleep(TICK);
        }
        false
    }

    #[test]
    fn the_clock_stands_while_no_guest_runs() {
        let clock = Clock::start(engine()).unwrap();
        let is_asleep = || clock.shared.is_asleep.load(Ordering::SeqCst);
        assert!(eventually(is_asleep));
        let running = clock.running();
        assert!(eventually(|| !is_asleep()));
        drop(running);
        assert!(eventually(is_asleep));
        assert_eq!(clock.count(), 0);
    }

    /// That it goes on shows where guests that loop are stopped.
    #[test]
    fn the_clock_ticks_less_often_for_long_guests() {
        let clock = Clock::start(engine()).unwrap();
        let mut running = clock.running();
        running.set(Pace::Long);
        let is_asleep = || clock.shared.is_asleep.load(Ordering::SeqCst);
        assert!(eventually(is_asleep));
        assert_eq!(long_tick(1), LONG_TICK_MOST);
        assert_eq!(long_tick(16), Duration::from_millis(2));
        assert_eq!(long_tick(1_000), TICK);
    }

    #[test]
    fn the_clock_ends_with_its_owner() {
        let clock = Clock::start(engine()).unwrap();
        let shared = Arc::downgrade(&clock.shared);
        assert!(eventually(|| clock.shared.is_asleep.load(Ordering::SeqCst)));
        drop(clock);
        assert!(eventually(|| shared.strong_count() == 0));
    }
}
