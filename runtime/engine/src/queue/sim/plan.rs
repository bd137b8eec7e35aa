//! What one seed plays: who has which jobs, what each of their steps does, and what happens to the
//! machines meanwhile.

use crm_model::{JobId, Priority, TenantId};
use std::time::Duration;

use super::dice::Dice;
use crate::queue::Pace;
use crate::worker::WorkerSettings;

/// Microseconds of the simulation's time.
pub(super) type Micros = i64;

pub(super) const SECOND: Micros = 1_000_000;
const MILLI: Micros = 1_000;

/// Faults end here; what people do ends before.
pub(super) const QUIET_FROM: Micros = 30 * SECOND;

/// By when all runs have to have ended.
pub(super) const DEADLINE: Micros = QUIET_FROM + 900 * SECOND;

/// What a step of a run does.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Changes a record.
    Change,
    /// Changes nothing.
    Skip,
    /// Waits so long.
    Delay(Micros),
    /// Fails each time.
    Poison,
    /// Ends the worker's process each time.
    Killer,
    /// Says that it will never work.
    Hopeless,
}

/// A step, and how often it comes to nothing at first.
#[derive(Clone, Debug)]
pub(super) struct StepPlan {
    pub(super) step: Step,
    /// What it needs cannot be read.
    pub(super) unread: i32,
    /// The action asks to be tried again.
    pub(super) retried: i32,
    /// The door refuses its mutations.
    pub(super) refused: i32,
    pub(super) takes: Micros,
    /// Whether it calls the plugin that there may be a limit for.
    pub(super) is_at_plugin: bool,
}

/// A run.
#[derive(Clone, Debug)]
pub(super) struct JobPlan {
    pub(super) tenant: TenantId,
    pub(super) id: JobId,
    pub(super) workflow: usize,
    pub(super) steps: Vec<StepPlan>,
    /// Its event's jobs that come before it.
    pub(super) before: Vec<JobId>,
    pub(super) priority: Priority,
    /// Whether what limits it is known when it begins to wait.
    pub(super) is_lane_known: bool,
    /// Whether it stands in its record's line.
    pub(super) is_in_line: bool,
}

/// How many runs of a tenant may be under way at once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// All together.
    pub(super) running: Option<i64>,
    /// Of its first workflow.
    pub(super) workflow: Option<i64>,
    /// At the plugin.
    pub(super) plugin: Option<i64>,
}

pub(super) const LIMITED_WORKFLOW: &str = "workflow:w0";
pub(super) const LIMITED_PLUGIN: &str = "plugin:p";

impl Limits {
    /// What limits a run at that step; none: before it is known at which it is.
    pub(super) fn lane(&self, job: &JobPlan, step: Option<&StepPlan>) -> String {
        let workflow = self.workflow.filter(|_| job.workflow == 0);
        let plugin = self
            .plugin
            .filter(|_| step.is_some_and(|it| it.is_at_plugin));
        let names = [
            workflow.map(|_| LIMITED_WORKFLOW),
            plugin.map(|_| LIMITED_PLUGIN),
        ];
        names.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// What a change leaves behind: its jobs, in their order.
#[derive(Clone, Debug)]
pub(super) struct EventPlan {
    pub(super) at: Micros,
    pub(super) jobs: Vec<JobPlan>,
}

/// What happens to the installation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// A process ends at once, and comes back so much later.
    Crash(usize, Micros),
    /// A process stands still for so long, and knows nothing of it (SIGSTOP).
    Stop(usize, Micros),
    /// A worker is told to stop, and started again so much later.
    Restart(usize, Micros),
    /// The database answers nobody for so long.
    Away(Micros),
    /// A workflow of a tenant is paused for so long.
    Pause(usize, usize, Micros),
    /// A tenant is suspended for so long.
    Suspend(usize, Micros),
    /// A tenant's fuel is used up for so long.
    NoFuel(usize, Micros),
    /// Somebody ends one run, of those that there are.
    Cancel(usize),
    /// Somebody has dead runs tried again.
    Retry,
}

/// One seed's.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) pace: Pace,
    pub(super) tenants: Vec<TenantId>,
    /// By how much each process's clock is wrong.
    pub(super) skews: Vec<Micros>,
    pub(super) events: Vec<EventPlan>,
    pub(super) faults: Vec<(Micros, Fault)>,
    /// Of a thousand requests to the database, so many are lost, and so many answers.
    pub(super) lost: u64,
    /// Whether there may be runs that end their workers: they take long to die.
    pub(super) has_killers: bool,
    /// Of a thousand attempts, so many find their plugin left alone.
    pub(super) left_alone: u64,
    pub(super) limits: Limits,
    /// Whether runs of one workflow go in the order of their record's versions.
    pub(super) has_lines: bool,
}

/// The workflow whose runs may stand in lines.
const LINED_WORKFLOW: usize = 1;
pub(super) const WORKFLOWS: usize = 3;

impl Plan {
    pub(super) fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let lease = dice.between(2_000, 6_000) * MILLI;
        let processes = 1 + dice.below(4);
        let tenants = 1 + dice.below(5);
        let mut tenants: Vec<TenantId> = (0..tenants).map(|_| TenantId::new(dice.uuid())).collect();
        tenants.sort();
        let settings = WorkerSettings {
            concurrency: 1 + dice.below(4),
            lease: micros(lease),
            poll: micros(dice.between(1_000, 4_000) * MILLI),
            backoff: micros(dice.between(100, 1_000) * MILLI),
        };
        let pace = Pace {
            settings,
            batch: 2 + dice.below(7) as u16,
        };
        // Clocks that are further apart than a lease take each other's jobs all the time.
        let skews = (0..processes).map(|_| dice.between(-lease / 4, lease / 4));
        let skews = skews.collect();
        let mut plan = Self {
            pace,
            skews,
            events: Vec::new(),
            faults: Vec::new(),
            lost: match dice.chance(500) {
                true => dice.between(5, 60) as u64,
                false => 0,
            },
            has_killers: dice.chance(100),
            left_alone: [0, 0, 0, 0, 0, 60, 60, 970][dice.below(8)],
            limits: Limits {
                running: dice.chance(200).then(|| dice.between(1, 6)),
                workflow: dice.chance(300).then(|| dice.between(1, 3)),
                plugin: dice.chance(300).then(|| dice.between(1, 3)),
            },
            has_lines: dice.chance(300),
            tenants,
        };
        plan.events(&mut dice);
        plan.faults(&mut dice, lease);
        plan
    }

    fn events(&mut self, dice: &mut Dice) {
        // One tenant comes with a heap of work at the beginning.
        if dice.chance(250) {
            let tenant = dice.below(self.tenants.len());
            for _ in 0..dice.between(25, 45) {
                let event = self.event(dice, tenant, (0, 1), false);
                self.events.push(event);
            }
        }
        // Something that nobody waits for, and much after it that somebody does.
        if dice.chance(100) {
            let tenant = dice.below(self.tenants.len());
            for number in 0..dice.between(60, 80) {
                let mut event = self.event(dice, tenant, (0, 1), false);
                let (at, priority) = match number {
                    0 => (0, Priority::Bulk),
                    _ => (event.at + 1, Priority::Interactive),
                };
                event.at = at;
                for job in &mut event.jobs {
                    job.priority = priority;
                }
                self.events.push(event);
            }
        }
        for tenant in 0..self.tenants.len() {
            for _ in 0..dice.between(1, 4) {
                let at = dice.between(0, 12) * SECOND;
                let event = self.event(dice, tenant, (at, 3), true);
                self.events.push(event);
            }
        }
    }

    fn event(
        &self,
        dice: &mut Dice,
        tenant: usize,
        (at, most): (Micros, usize),
        may_fail: bool,
    ) -> EventPlan {
        let mut before = Vec::new();
        let count = 1 + dice.below(most);
        let priority = Priority::ALL[dice.below(3)];
        let jobs = (0..count).map(|_| {
            let id = JobId::new(dice.uuid());
            let steps = match may_fail {
                true => 1 + dice.below(3),
                false => 1,
            };
            let job = JobPlan {
                tenant: self.tenants.get(tenant).copied().unwrap(),
                id,
                workflow: dice.below(WORKFLOWS),
                steps: (0..steps)
                    .map(|_| step(dice, may_fail, self.has_killers))
                    .collect(),
                before: before.clone(),
                priority,
                is_lane_known: dice.chance(700),
                is_in_line: false,
            };
            before.push(id);
            job
        });
        let mut jobs: Vec<JobPlan> = jobs.collect();
        // An event starts a workflow once.
        let first = jobs.iter_mut().find(|job| job.workflow == LINED_WORKFLOW);
        if let Some(first) = first {
            first.is_in_line = self.has_lines;
        }
        EventPlan {
            at: at + dice.between(0, SECOND),
            jobs,
        }
    }

    fn faults(&mut self, dice: &mut Dice, lease: Micros) {
        let processes = self.skews.len();
        for _ in 0..dice.below(10) {
            let at = dice.between(SECOND / 10, QUIET_FROM - SECOND);
            let long = |dice: &mut Dice| dice.between(SECOND / 5, 5 * SECOND);
            let process = dice.below(processes);
            let tenant = dice.below(self.tenants.len());
            let fault = match dice.below(10) {
                0 | 1 => Fault::Crash(process, long(dice)),
                2 => Fault::Stop(process, dice.between(lease / 2, 3 * lease)),
                3 => Fault::Restart(process, long(dice)),
                4 => Fault::Away(long(dice)),
                5 => Fault::Pause(tenant, dice.below(WORKFLOWS), long(dice)),
                6 => Fault::Suspend(tenant, long(dice)),
                7 => Fault::NoFuel(tenant, long(dice)),
                8 => Fault::Cancel(dice.below(usize::MAX)),
                _ => Fault::Retry,
            };
            self.faults.push((at, fault));
        }
    }
}

fn step(dice: &mut Dice, may_fail: bool, may_kill: bool) -> StepPlan {
    let times = |dice: &mut Dice, per_mille| i32::from(may_fail && dice.chance(per_mille));
    let unread = times(dice, 40);
    let retried = times(dice, 120) + times(dice, 120);
    let refused = times(dice, 60);
    let step = match dice.below(100) {
        0..3 if may_fail => Step::Poison,
        3 if may_fail && may_kill => Step::Killer,
        4..7 if may_fail => Step::Hopeless,
        7..17 if may_fail => Step::Delay(dice.between(SECOND / 10, 4 * SECOND)),
        17..27 => Step::Skip,
        _ => Step::Change,
    };
    StepPlan {
        step,
        unread,
        retried,
        refused,
        takes: dice.between(MILLI, 300 * MILLI),
        is_at_plugin: dice.chance(300),
    }
}

fn micros(long: Micros) -> Duration {
    Duration::from_micros(long.unsigned_abs())
}
