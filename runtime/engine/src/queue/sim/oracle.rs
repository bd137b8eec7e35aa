//! What has to hold, whatever happens: an account of its own of every job, from what was asked for
//! and what was committed, that knows nothing of how the store comes to its answers.

use chrono::{DateTime, Utc};
use crm_model::limits::{JOB_MAX_ATTEMPTS, JOB_MAX_LOST_ATTEMPTS};
use crm_model::{JobId, TenantId};
use crm_store::commit::JobState;
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

use super::memory::Ended;
use super::plan::{JobPlan, LIMITED_PLUGIN, LIMITED_WORKFLOW, Limits, Plan, Step};
use crate::queue::Take;

type At = DateTime<Utc>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    /// What a step changes is changed exactly once, after what the steps before it change.
    Once,
    /// Only who holds a job ends it or gives it back; not after another has it, it was cancelled or
    /// it has ended.
    Fence,
    /// A job is leased to one at a time, and not after its end.
    Lease,
    /// The jobs of one event begin in their order, each after an attempt at each before it has
    /// ended.
    Order,
    /// What failed is not tried again before its pause is over.
    Backoff,
    /// What always fails is dead after so many failures, not before and not later; what ends its
    /// worker after so many lost attempts.
    Failures,
    /// What works is not dead because something else does not.
    Innocent,
    /// Whoever has due jobs gets a turn soon, however much others have.
    Fair,
    /// Every run ends.
    Stuck,
    /// A worker runs so many attempts side by side, and no more.
    Crowd,
    /// A run ends as its steps do.
    End,
    /// Of a tenant's due jobs the more urgent ones are taken, but for one place in four.
    Urgent,
    /// What has waited longest has its turn, however much that is more urgent comes along.
    Starved,
    /// No more are under way than may be, as the clock of whoever takes one more shows it; and what
    /// acts has its turn where that is limited.
    Limit,
    /// Runs of one record act one after the other, in the order of its versions, where they stand in
    /// a line.
    Line,
}

/// Places that a tenant is given before the job must have one that has waited longest. Where each
/// lease has one place for the tenant, every fourth is the right one by chance: once in a million
/// times it is none of so many.
const STARVED_MAX: usize = 48;

#[derive(Clone, Debug)]
pub(super) struct Broken {
    pub(super) rule: Rule,
    pub(super) what: String,
}

#[derive(Debug)]
struct Seen {
    plan: JobPlan,
    holder: Option<(Uuid, At)>,
    not_before: Option<At>,
    /// At which step it is.
    at: usize,
    changes: Vec<u32>,
    /// Of this step.
    failures: i32,
    /// Leases of this step that came to no end.
    lost: i32,
    /// Dead because it was in hand each time that another run ended their worker.
    is_bystander: bool,
    has_begun: bool,
    /// Whether the next one may begin.
    has_ended_once: bool,
    end: Option<JobEnd>,
    /// What limits it, as far as that is known.
    lane: String,
    /// Of its record, when it was made.
    version: Option<i64>,
    /// It was told that it stands behind nobody in its line, since it was made or tried again.
    has_turn: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JobEnd {
    Done,
    Dead,
    Cancelled,
}

#[derive(Debug, Default)]
pub(super) struct Oracle {
    jobs: BTreeMap<JobId, Seen>,
    open: usize,
    /// By worker and tenant: leases in a row that passed the tenant over.
    passed_over: BTreeMap<(usize, TenantId), usize>,
    backoff: Duration,
    /// Whether there are runs that end their worker.
    has_killers: bool,
    limits: Limits,
    /// By tenant: which job has waited longest, and how many places others got meanwhile.
    waits_longest: BTreeMap<TenantId, (JobId, usize)>,
    pub(super) broken: Option<Broken>,
}

impl Oracle {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            backoff: plan.pace.settings.backoff,
            limits: plan.limits,
            ..Self::default()
        }
    }

    pub(super) fn breaks(&mut self, rule: Rule, what: String) {
        self.broken.get_or_insert(Broken { rule, what });
    }

    pub(super) fn all_have_ended(&self) -> bool {
        self.open == 0
    }

    pub(super) fn born(&mut self, plan: &JobPlan) {
        let seen = Seen {
            holder: None,
            not_before: None,
            at: 0,
            changes: vec![0; plan.steps.len()],
            failures: 0,
            lost: 0,
            is_bystander: false,
            has_begun: false,
            has_ended_once: false,
            end: None,
            lane: match plan.is_lane_known {
                true => self.limits.lane(plan, plan.steps.first()),
                false => String::new(),
            },
            plan: plan.clone(),
            version: None,
            has_turn: false,
        };
        let mut steps = plan.steps.iter();
        self.has_killers |= steps.any(|step| matches!(step.step, Step::Killer));
        self.jobs.insert(plan.id, seen);
        self.open += 1;
    }

    /// Runs that are dead because of what others did to their workers.
    pub(super) fn bystanders(&self) -> usize {
        let seen = self.jobs.values();
        seen.filter(|seen| seen.is_bystander).count()
    }

    fn with(&mut self, job: JobId, look: impl FnOnce(&mut Seen) -> Result<(), (Rule, String)>) {
        let Some(seen) = self.jobs.get_mut(&job) else {
            return self.breaks(Rule::End, format!("there is no job {job}"));
        };
        if let Err((rule, what)) = look(seen) {
            self.breaks(rule, format!("{job}: {what}"));
        }
    }

    pub(super) fn leased(&mut self, job: JobId, take: &Take) {
        let before = self.jobs.get(&job).filter(|seen| !seen.has_begun);
        let before = before.map(|seen| seen.plan.before.clone());
        for earlier in before.unwrap_or_default() {
            if self
                .jobs
                .get(&earlier)
                .is_some_and(|seen| !seen.has_ended_once)
            {
                let what = format!("{job} begins before {earlier} has ended an attempt");
                self.breaks(Rule::Order, what);
            }
        }
        self.with(job, |seen| {
            if let Some(end) = seen.end {
                return Err((Rule::Lease, format!("leased, and it is {end:?}")));
            }
            if let Some((holder, until)) = seen.holder {
                if take.now < until {
                    return Err((Rule::Lease, format!("{holder} holds it until {until}")));
                }
                seen.lost += 1;
            }
            if let Some(not_before) = seen.not_before
                && take.now < not_before
            {
                let what = format!("due at {not_before}, leased at {}", take.now);
                return Err((Rule::Backoff, what));
            }
            seen.not_before = None;
            seen.has_begun = true;
            seen.holder = Some((take.token, take.until));
            Ok(())
        });
        self.limited(job, take.now);
    }

    /// Holds what is under way against the limits, when one more is.
    fn limited(&mut self, job: JobId, now: At) {
        let Some(seen) = self.jobs.get(&job) else {
            return;
        };
        let has = |seen: &Seen, name: &str| seen.lane.split(' ').any(|own| own == name);
        for (name, most) in [
            ("", self.limits.running),
            (LIMITED_WORKFLOW, self.limits.workflow),
            (LIMITED_PLUGIN, self.limits.plugin),
        ] {
            let Some(most) = most.filter(|_| name.is_empty() || has(seen, name)) else {
                continue;
            };
            let held = self.jobs.values().filter(|other| {
                let is_held = other.holder.is_some_and(|(_, until)| until > now);
                let is_limited = name.is_empty() || has(other, name);
                is_held && is_limited && other.plan.tenant == seen.plan.tenant
            });
            let held = held.count() as i64;
            if held > most {
                let what = format!("{job}: {held} are under way of “{name}”, {most} may be");
                return self.breaks(Rule::Limit, what);
            }
        }
    }

    /// The job is there, for that version of its record.
    pub(super) fn made(&mut self, job: JobId, version: i64) {
        self.with(job, |seen| {
            seen.version = Some(version);
            Ok(())
        });
    }

    /// One of the same line that has to end first.
    fn before_in_line(&self, job: JobId) -> Option<JobId> {
        let own = self.jobs.get(&job).filter(|own| own.plan.is_in_line)?;
        let mut others = self.jobs.iter().filter(|(_, other)| {
            let is_of_line = other.plan.is_in_line
                && (other.plan.tenant, other.plan.workflow) == (own.plan.tenant, own.plan.workflow);
            is_of_line && other.end.is_none() && other.plan.id != job
        });
        let earlier = others.find(|(_, other)| {
            let version = other.version.zip(own.version);
            let is_earlier = version.is_some_and(|(other, own)| other < own);
            other.has_turn || (is_earlier && !own.has_turn)
        });
        earlier.map(|(job, _)| *job)
    }

    /// A job was told that it stands behind nobody.
    pub(super) fn stands_first(&mut self, job: JobId) {
        self.with(job, |seen| {
            seen.has_turn = true;
            Ok(())
        });
    }

    /// A job's step is called.
    pub(super) fn acts(&mut self, job: JobId, step: usize) {
        if let Some(earlier) = self.before_in_line(job) {
            self.breaks(Rule::Line, format!("{job} acts before {earlier} has ended"));
        }
        let limits = self.limits;
        self.with(job, |seen| {
            let lane = limits.lane(&seen.plan, seen.plan.steps.get(step));
            let mut names = lane.split(' ').filter(|name| !name.is_empty());
            match names.all(|name| seen.lane.split(' ').any(|own| own == name)) {
                true => Ok(()),
                false => Err((
                    Rule::Limit,
                    format!("at “{lane}”, leased in “{}”", seen.lane),
                )),
            }
        });
    }

    /// A job was given back, to have its turn in another lane.
    pub(super) fn lined_up(&mut self, job: JobId, token: Uuid, lane: &str) {
        self.with(job, |seen| {
            seen.held_by(token)?;
            seen.lane = lane.to_owned();
            Ok(())
        });
    }

    /// A tenant without a limit of its own got these jobs of those that were due, which are in no
    /// lane; it could have had `share`.
    pub(super) fn in_turn(
        &mut self,
        tenant: TenantId,
        share: usize,
        taken: &[JobId],
        due: &[(At, JobId)],
    ) {
        let priority = |job: &JobId| self.jobs.get(job).map(|seen| seen.plan.priority);
        let left = due.iter().filter(|(_, job)| !taken.contains(job));
        let urgent = left.filter_map(|(_, job)| priority(job)).min();
        let less = taken.iter().filter(|job| priority(job) > urgent).count();
        if urgent.is_some() && less > share.div_ceil(4) {
            let what = format!("{less} less urgent jobs of {tenant} are taken, of {share}");
            return self.breaks(Rule::Urgent, what);
        }
        let oldest = due
            .iter()
            .min_by_key(|(at, job)| (*at, priority(job), *job));
        let Some((_, oldest)) = oldest.filter(|(_, job)| !taken.contains(job)) else {
            self.waits_longest.remove(&tenant);
            return;
        };
        let waits = self.waits_longest.entry(tenant).or_insert((*oldest, 0));
        if waits.0 != *oldest {
            *waits = (*oldest, 0);
        }
        waits.1 += taken.len();
        if waits.1 > STARVED_MAX {
            let what = format!("{oldest} waits while others get {} places", waits.1);
            self.breaks(Rule::Starved, what);
        }
    }

    /// The end of an attempt was committed.
    pub(super) fn ended(&mut self, job: JobId, at: At, end: &Ended) {
        let (backoff, has_killers, mut is_over) = (self.backoff, self.has_killers, false);
        self.with(job, |seen| {
            seen.held_by(end.token)?;
            seen.has_ended_once = true;
            if end.place.is_some() {
                seen.lane = match seen.lane.starts_with(LIMITED_WORKFLOW) {
                    true => LIMITED_WORKFLOW.to_owned(),
                    false => String::new(),
                };
            }
            let step = seen.plan.steps.get(seen.at).map(|step| &step.step);
            match end.state {
                JobState::Queued if end.place.is_some() => {
                    seen.at += 1;
                    (seen.failures, seen.lost) = (0, 0);
                    seen.not_before = end.available_at;
                }
                JobState::Queued => {
                    seen.failures += 1;
                    if seen.failures >= JOB_MAX_ATTEMPTS {
                        let what = format!("{} failures, and it goes on", seen.failures);
                        return Err((Rule::Failures, what));
                    }
                    let pause = backoff * (1 << (seen.failures - 1));
                    seen.not_before = Some(at + pause);
                }
                JobState::Done => {
                    (seen.end, is_over) = (Some(JobEnd::Done), true);
                    seen.at = seen.plan.steps.len();
                }
                JobState::Dead => {
                    (seen.end, is_over) = (Some(JobEnd::Dead), true);
                    let (failures, lost) = (seen.failures + 1, seen.lost);
                    let is_lost = lost >= JOB_MAX_LOST_ATTEMPTS;
                    match step {
                        Some(Step::Hopeless) => {}
                        Some(Step::Poison) if failures == JOB_MAX_ATTEMPTS || is_lost => {}
                        Some(Step::Killer) if is_lost => {}
                        Some(Step::Poison | Step::Killer) => {
                            let what = format!("dead of {failures} failures and {lost} losses");
                            return Err((Rule::Failures, what));
                        }
                        // A known limit: the queue cannot tell which of those in hand it was.
                        _ if is_lost && has_killers => seen.is_bystander = true,
                        other => {
                            let what = format!("{other:?} dead: {:?}, {lost} lost", end.error);
                            return Err((Rule::Innocent, what));
                        }
                    }
                }
            }
            Ok(())
        });
        self.open -= usize::from(is_over);
    }

    /// What a step changes was committed.
    pub(super) fn changed(&mut self, job: JobId, step: usize) {
        self.with(job, |seen| {
            let earlier = seen.plan.steps.iter().zip(&seen.changes).take(step);
            for (number, (plan, changes)) in earlier.enumerate() {
                if matches!(plan.step, Step::Change) && *changes == 0 {
                    return Err((Rule::Once, format!("step {step} without step {number}")));
                }
            }
            let Some(changes) = seen.changes.get_mut(step) else {
                return Err((Rule::Once, format!("there is no step {step}")));
            };
            *changes += 1;
            match *changes {
                1 => Ok(()),
                times => Err((Rule::Once, format!("step {step} {times} times"))),
            }
        });
    }

    /// A job was given back.
    pub(super) fn given_back(&mut self, job: JobId, token: Uuid, lets_next: bool) {
        self.with(job, |seen| {
            seen.held_by(token)?;
            seen.has_ended_once |= lets_next;
            Ok(())
        });
    }

    pub(super) fn cancelled(&mut self, job: JobId) {
        self.with(job, |seen| {
            seen.holder = None;
            seen.has_ended_once = true;
            seen.end = Some(JobEnd::Cancelled);
            Ok(())
        });
        self.open -= 1;
    }

    pub(super) fn retried(&mut self, job: JobId) {
        self.with(job, |seen| {
            (seen.end, seen.is_bystander) = (None, false);
            seen.has_turn = false;
            (seen.failures, seen.lost) = (0, 0);
            Ok(())
        });
        self.open += 1;
    }

    /// A worker got jobs, `got` of these tenants that had some due.
    pub(super) fn shared_out(
        &mut self,
        worker: usize,
        limit: usize,
        due: &[TenantId],
        got: impl Fn(TenantId) -> bool,
    ) {
        // One tour of all whose turn it is, begun anywhere.
        let bound = 2 * due.len().div_ceil(limit.min(due.len().max(1))) + 2;
        self.passed_over
            .retain(|(other, tenant), _| *other != worker || due.contains(tenant));
        for tenant in due {
            let times = self.passed_over.entry((worker, *tenant)).or_default();
            *times = match got(*tenant) {
                true => 0,
                false => *times + 1,
            };
            if *times > bound {
                let what = format!("{tenant} was passed over {times} times by worker {worker}");
                return self.breaks(Rule::Fair, what);
            }
        }
    }

    /// A worker began anew.
    pub(super) fn started(&mut self, worker: usize) {
        self.passed_over.retain(|(other, _), _| *other != worker);
    }

    /// When all is over.
    pub(super) fn judge(&mut self) {
        let open = self.jobs.iter().filter(|(_, seen)| seen.end.is_none());
        let open: Vec<String> = open.map(|(job, seen)| format!("{job} {seen:?}")).collect();
        if let Some(first) = open.first() {
            let what = format!("{} runs have not ended, one is {first}", open.len());
            return self.breaks(Rule::Stuck, what);
        }
        let wrong = self.jobs.iter().find_map(|(job, seen)| {
            let wrong = seen.judge()?;
            Some((wrong.0, format!("{job}: {}; {seen:?}", wrong.1)))
        });
        if let Some((rule, what)) = wrong {
            self.breaks(rule, what);
        }
    }
}

impl Seen {
    fn held_by(&mut self, token: Uuid) -> Result<(), (Rule, String)> {
        if let Some(end) = self.end {
            return Err((Rule::Fence, format!("ended again, and it is {end:?}")));
        }
        match self.holder.take() {
            Some((holder, _)) if holder == token => Ok(()),
            holder => {
                let what = format!("let go by {token}, and {holder:?} has it");
                Err((Rule::Fence, what))
            }
        }
    }

    fn judge(&self) -> Option<(Rule, String)> {
        let stops = |plan: &Step| matches!(plan, Step::Poison | Step::Killer | Step::Hopeless);
        let stop = self.plan.steps.iter().position(|plan| stops(&plan.step));
        let last = match (self.end?, stop) {
            (JobEnd::Cancelled, _) => return None,
            (JobEnd::Done, None) => self.plan.steps.len(),
            (JobEnd::Dead, _) if self.is_bystander => self.at,
            (JobEnd::Dead, Some(stop)) => stop,
            (end, _) => return Some((Rule::End, format!("it is {end:?}"))),
        };
        let steps = self.plan.steps.iter().zip(&self.changes).enumerate();
        let wrong = steps.filter(|(number, (plan, changes))| {
            let is_made = matches!(plan.step, Step::Change) && *number < last;
            **changes != u32::from(is_made)
        });
        let wrong = wrong.map(|(number, (_, changes))| format!("step {number} {changes} times"));
        wrong.map(|wrong| (Rule::Once, wrong)).next()
    }
}
