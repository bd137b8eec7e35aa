//! Mistakes that the simulation has to find, each made in the store or in a piece that the queue is
//! given. What each of them breaks stands in the tests.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Planted {
    /// The job is done before its mutations are committed.
    EarlyAcknowledge,
    /// The mutations are committed before the end of the attempt, which brings the place.
    PlaceApart,
    /// The place is not kept.
    PlaceForgotten,
    /// The end of an attempt is taken from whoever comes.
    NoFence,
    /// All leases have one token.
    OneToken,
    /// Whoever had a job gives it back, also when somebody else has it.
    DoubleRelease,
    /// A lease has no end.
    EndlessLease,
    /// A lease holds nobody off.
    NoLease,
    /// The end of a job wakes nobody.
    NextNeverWoken,
    /// The end of a job wakes the next only where it succeeded.
    NextWokenBySuccess,
    /// A job wakes the next when it is leased.
    NextWokenEarly,
    /// Nobody waits for the job before it.
    NobodyWaits,
    /// What failed is due at once.
    NoBackoff,
    /// Attempts that failed are not counted.
    FailuresNotCounted,
    /// Attempts that were lost are not counted.
    LostNotCounted,
    /// What was lost counts as having failed.
    LostAsFailed,
    /// First come, first served.
    Unfair,
    /// The round begins at the first tenant each time.
    RoundForgotten,
    /// A commit whose answer is lost is sent again, as a new one.
    Resent,
    /// A run that was cancelled may still commit.
    CancelIgnored,
    /// A run that is cancelled while it waits wakes the next.
    WaitingWakesNext,
    /// A run that is cancelled while it waits takes the next with it.
    WaitingLosesNext,
    /// What is given back counts as an attempt.
    PostponeCounts,
    /// Priorities mean nothing.
    PriorityIgnored,
    /// No place is for what has waited longest.
    NothingAges,
    /// Limits mean nothing.
    LimitIgnored,
    /// A lease takes room also after its end.
    EndedLeasesCount,
    /// Nobody asks whether what limits a run was known when it was leased.
    LaneNotAsked,
    /// A run that lines up elsewhere wakes the next.
    LineUpWakesNext,
    /// Nobody asks whether an earlier run of the record has ended.
    LineNotAsked,
    /// Who leaves a line lets nobody go.
    LineStandsStill,
    /// Who is tried again goes before those that have begun meanwhile.
    LineForgetsBegun,
}
