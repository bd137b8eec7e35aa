//! How Linux schedules threads that get out of the way.

use rustix::process::Pid;
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How a thread is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    policy: libc::c_int,
    nice: i32,
    /// How long it may go on before the scheduler looks again, unless somebody wakes up who asks for
    /// less, and everybody does.
    slice: Duration,
}

/// A tenth of a processor that somebody else wants too. It waits for its turn for as long as its
/// slice is of that share, so the slice is not as long as Linux allows.
const LAST: Turn = Turn {
    policy: libc::SCHED_OTHER,
    nice: 10,
    slice: Duration::from_millis(10),
};

/// What nobody else wants.
const REST: Turn = Turn {
    policy: libc::SCHED_IDLE,
    ..LAST
};

/// Its full share, in the longest slices that Linux knows.
const INTERRUPTED: Turn = Turn {
    policy: libc::SCHED_OTHER,
    nice: 0,
    slice: Duration::from_millis(100),
};

/// How often threads that get out of the way are looked at.
const LOOK: Duration = Duration::from_millis(25);

/// What such a thread has to get between two looks, if it wants anything.
const LEAST: Duration = Duration::from_millis(1);

/// How long a thread that got less has its share, before it is tried whether the rest is enough.
const FED: Duration = Duration::from_secs(1);

/// Threads that get out of the way. Each has what nobody else wants for as long as that is enough
/// for it to get on, and a tenth of what others want too when it is not.
///
/// What nobody else wants may be nothing: with the policy `SCHED_IDLE` alone a call that took 2 ms
/// by itself missed its deadline of 5 s while five programs computed on two processors; a thread
/// of that policy had a gap of 4.5 s there. Hence the looks. A process that may not take the policy
/// back (that needs `CAP_SYS_NICE`, or an `RLIMIT_NICE` of 10 at least) never sets it.
///
/// The share is by a nice value, which is not enough where threads are scheduled in groups, as
/// services are, and sessions: between groups it does not count. There a thread that wakes up in the
/// database's group goes first if it asks for less than the one that runs (EEVDF, Linux 6.12 and
/// later). Where the system does not do as it is told, the threads are like others.
///
/// And they keep off the first of the processors that this process may use, so that there is one
/// where nobody ever waits for a slice to end.
pub(crate) struct LastThreads {
    may_rest: bool,
    seen: Mutex<Seen>,
}

struct Seen {
    at: Instant,
    threads: Vec<Thread>,
}

struct Thread {
    id: Pid,
    computed: Duration,
    turn: Turn,
    fed_until: Instant,
}

impl Default for LastThreads {
    fn default() -> Self {
        Self {
            may_rest: may_rest(),
            seen: Mutex::new(Seen {
                at: Instant::now(),
                threads: Vec::new(),
            }),
        }
    }
}

impl LastThreads {
    /// Makes the calling thread one of them.
    pub(crate) fn join(&self) {
        try_schedule(LAST);
        if let Err(error) = keep_off_the_first() {
            tracing::debug!(%error, "a thread of guests may use any processor");
        }
        if !self.may_rest {
            return;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.threads.push(Thread {
            id: gettid(),
            computed: Duration::ZERO,
            turn: LAST,
            fed_until: Instant::now(),
        });
    }

    /// Gives each thread its turn, if it is time to look. For a clock that ticks more often.
    pub(crate) fn look(&self) {
        if !self.may_rest {
            return;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now.duration_since(seen.at) < LOOK {
            return;
        }
        seen.at = now;
        // What cannot be read is of a thread that has ended.
        seen.threads.retain_mut(|thread| thread.look(now).is_some());
    }
}

impl Thread {
    fn look(&mut self, now: Instant) -> Option<()> {
        let computed = computed(self.id)?;
        let got = computed.saturating_sub(self.computed);
        self.computed = computed;
        if got < LEAST && wants_to_run(self.id)? {
            self.fed_until = now + FED;
        }
        let turn = if now < self.fed_until { LAST } else { REST };
        if turn != self.turn {
            schedule(self.id.as_raw_pid(), turn).ok()?;
            self.turn = turn;
        }
        Some(())
    }
}

/// How long a thread of this process has had a processor (`proc_pid_schedstat`).
fn computed(thread: Pid) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
    let nanoseconds = text.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// Whether it has a processor or waits for one (`proc_pid_stat`). Its name, in brackets, may hold
/// anything.
fn wants_to_run(thread: Pid) -> Option<bool> {
    let text = fs::read_to_string(format!("/proc/self/task/{thread}/stat")).ok()?;
    let (_, after_name) = text.rsplit_once(')')?;
    Some(after_name.trim_start().starts_with('R'))
}

/// Whether threads of this process may leave `SCHED_IDLE` again, tried by one that ends then.
fn may_rest() -> bool {
    let tried = std::thread::spawn(|| {
        let back = schedule(CALLER, REST).and_then(|()| schedule(CALLER, LAST));
        back.is_ok() && computed(gettid()).is_some()
    });
    tried.join().unwrap_or(false)
}

fn keep_off_the_first() -> rustix::io::Result<()> {
    let mut allowed = sched_getaffinity(None)?;
    let first = (0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu));
    if let (Some(first), true) = (first, allowed.count() > 1) {
        allowed.unset(first);
        sched_setaffinity(None, &allowed)?;
    }
    Ok(())
}

/// Makes the calling thread one that others may interrupt when they wake up, and that has its share
/// of the processor: with the long slice alone.
pub(crate) fn let_others_go_first() {
    try_schedule(INTERRUPTED);
}

fn try_schedule(turn: Turn) {
    if let Err(error) = schedule(CALLER, turn) {
        let nice = turn.nice;
        tracing::debug!(%error, nice, "a thread of guests is scheduled as any other");
    }
}

/// The calling thread, where a thread's id is asked for.
const CALLER: i32 = 0;

#[allow(
    unsafe_code,
    reason = "no library that we know sets a slice, and the C library has no wrapper for the call"
)]
fn schedule(thread: i32, turn: Turn) -> std::io::Result<()> {
    let slice = u64::try_from(turn.slice.as_nanos()).unwrap_or(u64::MAX);
    let attributes = libc::sched_attr {
        size: u32::try_from(size_of::<libc::sched_attr>()).unwrap_or_default(),
        sched_policy: turn.policy.unsigned_abs(),
        sched_flags: 0,
        sched_nice: turn.nice,
        sched_priority: 0,
        sched_runtime: slice,
        sched_deadline: 0,
        sched_period: 0,
    };
    let no_flags = 0;
    // SAFETY: the kernel reads `size` bytes from the pointer, which is to a structure of that size
    // that outlives the call; it keeps none of it and writes nothing. The call changes how one
    // thread is scheduled, and nothing else; where there is no such thread, it fails.
    let done = unsafe {
        libc::syscall(
            libc::SYS_sched_setattr,
            thread,
            &raw const attributes,
            no_flags,
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::JoinHandle;

    fn value(told: &str, name: &str) -> String {
        let line = told.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(':').next().unwrap().trim().to_owned()
    }

    #[test]
    fn a_thread_is_told_to_get_out_of_the_way() {
        let thread = std::thread::spawn(|| {
            LastThreads::default().join();
            let told = fs::read_to_string("/proc/thread-self/sched").unwrap();
            (told, sched_getaffinity(None).unwrap())
        });
        let (told, left) = thread.join().unwrap();
        // As the kernel counts, 120 is nobody's disadvantage.
        assert_eq!(value(&told, "prio"), (120 + LAST.nice).to_string());
        let allowed = sched_getaffinity(None).unwrap();
        assert_eq!(left.count(), (allowed.count() - 1).max(1));
    }

    /// A thread that computes until it is told to end, after a beginning of its own.
    struct Computing {
        is_over: Arc<AtomicBool>,
        thread: Option<JoinHandle<()>>,
    }

    impl Computing {
        fn after(begin: impl FnOnce() + Send + 'static) -> Self {
            let is_over = Arc::new(AtomicBool::new(false));
            let told = Arc::clone(&is_over);
            let thread = std::thread::spawn(move || {
                begin();
                while !told.load(Ordering::Relaxed) {
                    std::hint::black_box(());
                }
            });
            Self {
                is_over,
                thread: Some(thread),
            }
        }
    }

    impl Drop for Computing {
        fn drop(&mut self) {
            self.is_over.store(true, Ordering::Relaxed);
            self.thread.take().unwrap().join().unwrap();
        }
    }

    fn looks_until(threads: &LastThreads, is_so: impl Fn(&Thread) -> bool) {
        let begun = Instant::now();
        loop {
            threads.look();
            let seen = threads.seen.lock().unwrap();
            if seen.threads.iter().any(&is_so) {
                return;
            }
            drop(seen);
            assert!(begun.elapsed() < Duration::from_secs(60), "it never was");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn policy_of(thread: Pid) -> String {
        let told = fs::read_to_string(format!("/proc/self/task/{thread}/sched")).unwrap();
        value(&told, "policy")
    }

    /// On one processor, with four others that want all of it.
    #[test]
    fn what_nobody_wants_is_enough_until_it_is_nothing() {
        let threads = Arc::new(LastThreads::default());
        if !threads.may_rest {
            let refused =
                std::thread::spawn(|| schedule(CALLER, REST).and_then(|()| schedule(CALLER, LAST)));
            refused.join().unwrap().unwrap_err();
            return;
        }
        let mut one = sched_getaffinity(None).unwrap();
        let mut allowed = (0..CpuSet::MAX_CPU).filter(|&cpu| one.is_set(cpu));
        let last = allowed.next_back().unwrap();
        one.clear();
        one.set(last);
        let joining = Arc::clone(&threads);
        let ours = Computing::after(move || {
            joining.join();
            sched_setaffinity(None, &one).unwrap();
        });
        looks_until(&threads, |thread| thread.turn == REST);
        let id = threads.seen.lock().unwrap().threads[0].id;
        assert_eq!(policy_of(id), libc::SCHED_IDLE.to_string());

        let others: Vec<Computing> = (0..4)
            .map(|_| Computing::after(move || sched_setaffinity(None, &one).unwrap()))
            .collect();
        looks_until(&threads, |thread| thread.turn == LAST);
        assert_eq!(policy_of(id), libc::SCHED_OTHER.to_string());

        drop(others);
        looks_until(&threads, |thread| thread.turn == REST);
        drop(ours);
        looks_until_gone(&threads);
    }

    fn looks_until_gone(threads: &LastThreads) {
        let begun = Instant::now();
        while !threads.seen.lock().unwrap().threads.is_empty() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "it is still there"
            );
            threads.look();
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
