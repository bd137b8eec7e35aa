use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::executor::{Played, play};
use super::oracle::Rule;
use super::planted::Planted;

const SEEDS: u64 = 2_000;

/// The first of the seeds that breaks a rule.
fn first_broken(planted: Option<Planted>) -> Option<(u64, Played)> {
    let bystanders = AtomicU64::new(0);
    let next = AtomicU64::new(0);
    let found: Mutex<Option<(u64, Played)>> = Mutex::default();
    let threads = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .max(2);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS {
                        break;
                    }
                    let played = play(seed, planted, false);
                    bystanders.fetch_add(played.bystanders as u64, Ordering::Relaxed);
                    if played.broken.is_some() {
                        next.store(SEEDS, Ordering::Relaxed);
                        let mut found = found.lock().unwrap();
                        if found.as_ref().is_none_or(|(first, _)| seed < *first) {
                            *found = Some((seed, played));
                        }
                    }
                }
            });
        }
    });
    if planted.is_none() {
        println!("{bystanders:?} runs died of what others did to their workers");
    }
    found.into_inner().unwrap()
}

/// `QUEUE_SEED=7 cargo test -p crm-engine simulated -- --nocapture` plays one seed alone, and tells.
#[test]
fn simulated_workers_keep_every_rule() {
    if let Ok(seed) = std::env::var("QUEUE_SEED") {
        let played = play(seed.parse().unwrap(), None, true);
        played.trace.iter().for_each(|line| println!("{line}"));
        assert!(played.broken.is_none(), "{:?}", played.broken);
        return;
    }
    if let Some((seed, played)) = first_broken(None) {
        panic!(
            "seed {seed} breaks a rule: {:?} (QUEUE_SEED={seed} plays it alone)",
            played.broken
        );
    }
}

#[test]
fn a_seed_is_the_same_each_time() {
    for seed in 0..20 {
        let (first, second) = (play(seed, None, true), play(seed, None, true));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.polls, second.polls, "seed {seed}");
    }
}

/// Says which seed found it: `--nocapture` shows it.
fn assert_found(planted: Planted, rules: &[Rule]) {
    let Some((seed, played)) = first_broken(Some(planted)) else {
        panic!("{planted:?} is not found within {SEEDS} seeds");
    };
    let broken = played.broken.unwrap();
    println!(
        "{planted:?}: seed {seed}, {:?}: {}",
        broken.rule, broken.what
    );
    assert!(
        rules.contains(&broken.rule),
        "{planted:?}: seed {seed}: {broken:?}"
    );
}

macro_rules! planted {
    ($($test:ident: $planted:ident breaks $($rule:ident)|+;)*) => {
        $(
            #[test]
            fn $test() {
                assert_found(Planted::$planted, &[$(Rule::$rule),+]);
            }
        )*
    };
}

planted! {
    early_acknowledgement_is_found: EarlyAcknowledge breaks Once;
    a_place_apart_from_its_mutation_is_found: PlaceApart breaks Once;
    a_forgotten_place_is_found: PlaceForgotten breaks Once | Innocent | Stuck;
    a_missing_fence_is_found: NoFence breaks Fence | Once;
    one_token_for_all_is_found: OneToken breaks Once | Fence | Backoff;
    a_double_release_is_found: DoubleRelease breaks Fence;
    a_lease_without_end_is_found: EndlessLease breaks Stuck;
    a_lease_that_holds_nobody_off_is_found: NoLease breaks Lease;
    a_next_job_that_is_never_woken_is_found: NextNeverWoken breaks Stuck;
    a_next_job_that_only_success_wakes_is_found: NextWokenBySuccess breaks Stuck;
    a_next_job_that_is_woken_early_is_found: NextWokenEarly breaks Order;
    jobs_that_do_not_wait_are_found: NobodyWaits breaks Order;
    a_missing_pause_is_found: NoBackoff breaks Backoff;
    uncounted_failures_are_found: FailuresNotCounted breaks Failures | Backoff;
    uncounted_losses_are_found: LostNotCounted breaks Stuck;
    losses_that_count_as_failures_are_found: LostAsFailed breaks Failures | Innocent | Stuck;
    first_come_first_served_is_found: Unfair breaks Fair | Urgent | Limit;
    a_round_that_begins_anew_is_found: RoundForgotten breaks Fair;
    a_commit_that_is_sent_again_is_found: Resent breaks Once;
    a_commit_after_the_end_is_found: CancelIgnored breaks Fence;
    a_cancelled_run_that_waited_and_wakes_the_next_is_found: WaitingWakesNext breaks Order;
    a_cancelled_run_that_waited_and_loses_the_next_is_found: WaitingLosesNext breaks Stuck;
    postponements_that_count_are_found: PostponeCounts breaks Innocent | Failures;
    ignored_priorities_are_found: PriorityIgnored breaks Urgent;
    jobs_that_never_age_are_found: NothingAges breaks Starved;
    ignored_limits_are_found: LimitIgnored breaks Limit;
    leases_that_take_room_after_their_end_are_found: EndedLeasesCount breaks Stuck | Fair;
    runs_in_no_lane_are_found: LaneNotAsked breaks Limit;
    a_run_that_lines_up_and_wakes_the_next_is_found: LineUpWakesNext breaks Order;
    runs_that_overtake_are_found: LineNotAsked breaks Line;
    a_line_that_stands_still_is_found: LineStandsStill breaks Stuck;
    runs_tried_again_that_cut_in_are_found: LineForgetsBegun breaks Line;
}
