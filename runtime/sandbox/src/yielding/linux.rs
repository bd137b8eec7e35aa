//! How Linux schedules threads that get out of the way.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::time::Duration;

/// How a thread is scheduled.
#[derive(Clone, Copy)]
struct Turn {
    nice: i32,
    /// How long it may go on before the scheduler looks again, unless somebody wakes up who asks for
    /// less, and everybody does.
    slice: Duration,
}

/// A tenth of a processor that somebody else wants too. It waits for its turn for as long as its
/// slice is of that share, so the slice is not as long as Linux allows.
const LAST: Turn = Turn {
    nice: 10,
    slice: Duration::from_millis(10),
};

/// Its full share, in the longest slices that Linux knows.
const INTERRUPTED: Turn = Turn {
    nice: 0,
    slice: Duration::from_millis(100),
};

/// Makes the calling thread one: with a higher nice value and a slice that is longer than others'.
/// Not of the policy `SCHED_IDLE`, which leaves it next to nothing: a call that took 2 ms by itself
/// missed its deadline of 5 s while five programs computed on two processors, and with a nice value
/// of 15 one of some more. Beside guests that loop requests were as fast with each of the three.
///
/// The nice value alone is not enough where threads are scheduled in groups, as services are, and
/// sessions: between groups it does not count. There a thread that wakes up in the database's group
/// goes first if it asks for less than the one that runs (EEVDF, Linux 6.12 and later). Where the
/// system does not do as it is told, the thread is one like others.
///
/// And it keeps off the first of the processors that this process may use, so that there is one
/// where nobody ever waits for a slice to end.
pub(crate) fn get_out_of_the_way() {
    try_schedule(LAST);
    if let Err(error) = keep_off_the_first() {
        tracing::debug!(%error, "a thread of guests may use any processor");
    }
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
    if let Err(error) = schedule(turn) {
        let nice = turn.nice;
        tracing::debug!(%error, nice, "a thread of guests is scheduled as any other");
    }
}

#[allow(
    unsafe_code,
    reason = "no library that we know sets a slice, and the C library has no wrapper for the call"
)]
fn schedule(turn: Turn) -> std::io::Result<()> {
    let slice = u64::try_from(turn.slice.as_nanos()).unwrap_or(u64::MAX);
    let attributes = libc::sched_attr {
        size: u32::try_from(size_of::<libc::sched_attr>()).unwrap_or_default(),
        sched_policy: libc::SCHED_OTHER.unsigned_abs(),
        sched_flags: 0,
        sched_nice: turn.nice,
        sched_priority: 0,
        sched_runtime: slice,
        sched_deadline: 0,
        sched_period: 0,
    };
    let this_thread = 0;
    let no_flags = 0;
    // SAFETY: the kernel reads `size` bytes from the pointer, which is to a structure of that size
    // that outlives the call; it keeps none of it and writes nothing. The call changes how the
    // calling thread is scheduled, and nothing else.
    let done = unsafe {
        libc::syscall(
            libc::SYS_sched_setattr,
            this_thread,
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

    #[test]
    fn a_thread_is_told_to_get_out_of_the_way() {
        let thread = std::thread::spawn(|| {
            get_out_of_the_way();
            let told = std::fs::read_to_string("/proc/thread-self/sched").unwrap();
            (told, sched_getaffinity(None).unwrap())
        });
        let (told, left) = thread.join().unwrap();
        let value = |name: &str| {
            let line = told.lines().find(|line| line.starts_with(name)).unwrap();
            line.rsplit(':').next().unwrap().trim().to_owned()
        };
        // As the kernel counts, 120 is nobody's disadvantage.
        assert_eq!(value("prio"), (120 + LAST.nice).to_string());
        let allowed = sched_getaffinity(None).unwrap();
        assert_eq!(left.count(), (allowed.count() - 1).max(1));
    }
}
