//! The world that workers are in: time, processes, the way to the database, and the database with
//! the mistake that is planted in it, if any.

use chrono::{DateTime, Utc};
use crm_model::{JobId, Priority, TenantId};
use crm_store::StoreError;
use crm_store::commit::JobState;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::dice::Dice;
use super::memory::{Ended, Key, Line, Lost, Memory, Row, State};
use super::oracle::Oracle;
use super::plan::{
    EventPlan, Fault, JobPlan, LIMITED_PLUGIN, LIMITED_WORKFLOW, Micros, Plan, QUIET_FROM, SECOND,
};
use super::planted::Planted;
use crate::queue::Take;

type At = DateTime<Utc>;

pub(super) type Happening = Box<dyn FnOnce(&mut World) + Send>;

/// The reason of runs that wait because their workflow is paused.
pub(super) const PAUSED: &str = "paused";

pub(super) fn workflow(number: usize) -> String {
    format!("w{number}")
}

pub(super) fn at(now: Micros) -> At {
    DateTime::from_timestamp_micros(1_900_000_000_000_000 + now).unwrap()
}

/// What the workers get from a database that does not answer. (One that does not need `sqlx`.)
fn no_answer() -> StoreError {
    StoreError::TooSlow
}

#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) skew: Micros,
    pub(super) is_alive: bool,
    pub(super) is_stopped: bool,
    /// Counts its lives.
    pub(super) life: u64,
    pub(super) stop: CancellationToken,
    pub(super) told: Arc<Notify>,
    pub(super) running: usize,
}

/// What the executor has to do to processes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Start(usize),
    Kill(usize),
}

pub(super) struct World {
    pub(super) now: Micros,
    pub(super) dice: Dice,
    pub(super) plan: Plan,
    pub(super) planted: Option<Planted>,
    pub(super) jobs: BTreeMap<JobId, JobPlan>,
    pub(super) memory: Memory,
    pub(super) oracle: Oracle,
    pub(super) processes: Vec<Process>,
    pub(super) orders: Vec<Order>,
    happenings: BTreeMap<(Micros, u64), Happening>,
    count: u64,
    away_until: Micros,
    /// Of all tenants' records.
    version: i64,
    pub(super) paused: BTreeSet<(TenantId, usize)>,
    pub(super) no_fuel: BTreeMap<TenantId, Micros>,
    /// Whether the statement's answer will come.
    is_answered: bool,
    /// What happened, where somebody wants to know.
    pub(super) trace: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(seed: u64, planted: Option<Planted>, is_traced: bool) -> Self {
        let plan = Plan::of(seed);
        let process = |skew: &Micros| Process {
            skew: *skew,
            ..Process::default()
        };
        let mut world = Self {
            now: 0,
            dice: Dice::new(!seed),
            planted,
            jobs: BTreeMap::new(),
            memory: Memory::default(),
            oracle: Oracle::new(&plan),
            processes: plan.skews.iter().map(process).collect(),
            orders: (0..plan.skews.len()).map(Order::Start).collect(),
            happenings: BTreeMap::new(),
            count: 0,
            away_until: 0,
            version: 0,
            paused: BTreeSet::new(),
            no_fuel: BTreeMap::new(),
            is_answered: true,
            trace: is_traced.then(Vec::new),
            plan: plan.clone(),
        };
        world.memory.running = plan.limits.running;
        for tenant in &plan.tenants {
            let of_lanes = [
                (LIMITED_WORKFLOW, plan.limits.workflow),
                (LIMITED_PLUGIN, plan.limits.plugin),
            ];
            for (name, most) in of_lanes {
                let most = most.map(|most| ((*tenant, name.to_owned()), most));
                world.memory.concurrency.extend(most);
            }
        }
        for event in plan.events {
            // Known from the beginning, so that nobody thinks that all is over.
            for job in &event.jobs {
                world.oracle.born(job);
                world.jobs.insert(job.id, job.clone());
            }
            world.later(event.at, move |world| world.event(&event));
        }
        for (at, fault) in plan.faults {
            world.later(at, move |world| world.fault(fault));
        }
        world
    }

    pub(super) fn note(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let line = format!("{:>12} {}", self.now, line(self));
            self.trace.get_or_insert_default().push(line);
        }
    }

    pub(super) fn later(&mut self, after: Micros, what: impl FnOnce(&mut Self) + Send + 'static) {
        self.count += 1;
        let when = (self.now + after, self.count);
        self.happenings.insert(when, Box::new(what));
    }

    /// Goes on in time to what happens next.
    pub(super) fn next(&mut self) -> Option<Happening> {
        let ((when, _), what) = self.happenings.pop_first()?;
        self.now = when;
        Some(what)
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.now >= QUIET_FROM
    }

    /// As the process's clock shows it.
    pub(super) fn clock(&self, process: usize) -> At {
        at(self.now + self.processes[process].skew)
    }

    fn event(&mut self, event: &EventPlan) {
        let now = at(self.now);
        self.version += 1;
        for (number, job) in event.jobs.iter().enumerate() {
            let waits = number > 0 && self.planted != Some(Planted::NobodyWaits);
            let next = event.jobs.get(number + 1).map(|next| next.id);
            let mut row = Row::new(&workflow(job.workflow), now, waits, next);
            row.priority = job.priority;
            row.version = self.version;
            row.line = job.is_in_line.then_some(Line::Open);
            self.oracle.made(job.id, self.version);
            if job.is_lane_known {
                row.lane = self.plan.limits.lane(job, job.steps.first());
            }
            self.memory.rows.insert((job.tenant, job.id), row);
        }
        self.note(|_| format!("event: {:?}", event.jobs));
        let process = self.dice.below(self.processes.len());
        self.tell(process);
    }

    pub(super) fn tell(&self, process: usize) {
        self.processes[process].told.notify_one();
    }

    pub(super) fn kill(&mut self, process: usize, back_in: Micros) {
        if !self.processes[process].is_alive {
            return;
        }
        self.note(|_| format!("process {process} is killed"));
        self.orders.push(Order::Kill(process));
        self.later(back_in, move |world| {
            world.orders.push(Order::Start(process))
        });
    }

    fn fault(&mut self, fault: Fault) {
        self.note(|_| format!("{fault:?}"));
        let tenant = |world: &Self, number: usize| world.plan.tenants[number];
        match fault {
            Fault::Crash(process, back_in) => self.kill(process, back_in),
            Fault::Stop(process, long) => {
                self.processes[process].is_stopped = true;
                self.later(long, move |world| {
                    world.processes[process].is_stopped = false
                });
            }
            Fault::Restart(process, back_in) => {
                self.processes[process].stop.cancel();
                self.later(back_in, move |world| world.kill(process, SECOND / 10));
            }
            Fault::Away(long) => self.away_until = self.now + long,
            Fault::Pause(number, workflow, long) => {
                let tenant = tenant(self, number);
                self.paused.insert((tenant, workflow));
                self.later(long, move |world| world.go_on(tenant, workflow));
            }
            Fault::Suspend(number, long) => {
                let tenant = tenant(self, number);
                self.memory.suspended.insert(tenant);
                self.later(long, move |world| {
                    world.memory.suspended.remove(&tenant);
                });
            }
            Fault::NoFuel(number, long) => {
                let until = self.now + long;
                self.no_fuel.insert(tenant(self, number), until);
            }
            Fault::Cancel(number) => self.cancel(number),
            Fault::Retry => {
                let dead = self.memory.rows.iter();
                let dead = dead.filter(|(_, row)| row.state == State::Dead);
                for job in dead.map(|(job, _)| *job).collect::<Vec<_>>() {
                    if self.memory.retry(job, at(self.now)) {
                        self.oracle.retried(job.1);
                    }
                }
            }
        }
    }

    fn go_on(&mut self, tenant: TenantId, number: usize) {
        self.paused.remove(&(tenant, number));
        let (now, workflow) = (at(self.now), workflow(number));
        self.memory.wake(tenant, &workflow, PAUSED, now);
    }

    fn cancel(&mut self, number: usize) {
        let open = self.memory.rows.iter();
        let open = open.filter(|(_, row)| !row.state.has_ended());
        let open: Vec<Key> = open.map(|(job, _)| *job).collect();
        let Some(job) = open.get(number % open.len().max(1)).copied() else {
            return;
        };
        self.note(|_| format!("cancelled: {}", job.1));
        let before = self.memory.rows[&job].clone();
        if self.memory.cancel(job, at(self.now), "somebody said so") {
            self.oracle.cancelled(job.1);
        }
        let next = before.next.filter(|_| before.state == State::Waiting);
        let Some(next) = next else { return };
        match self.planted {
            Some(Planted::WaitingWakesNext) => {
                self.memory.rows.get_mut(&(job.0, next)).unwrap().state = State::Queued;
            }
            Some(Planted::WaitingLosesNext) => {
                let rows = self.memory.rows.values_mut();
                rows.filter(|row| row.next == Some(next))
                    .for_each(|row| row.next = None);
            }
            _ => {}
        }
    }

    /// Sends a statement to the database; `answer` takes what comes back, if anything does: who
    /// asked may be gone by then, and the statement is carried out all the same.
    pub(super) fn ask<T: Send + 'static>(
        &mut self,
        statement: impl FnOnce(&mut Self) -> Result<T, StoreError> + Send + 'static,
        answer: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) {
        let (there, back) = (self.way(), self.way());
        let is_lost = |world: &mut Self| !world.is_quiet() && world.dice.chance(world.plan.lost);
        let (is_sent, is_answered) = (!is_lost(self), !is_lost(self));
        self.later(there, move |world| {
            let done = match is_sent && world.now >= world.away_until {
                true => {
                    world.is_answered = is_answered;
                    statement(world)
                }
                false => Err(no_answer()),
            };
            let done = match is_answered {
                true => done,
                false => Err(no_answer()),
            };
            world.later(back, move |_| answer(done));
        });
    }

    /// How long a message is under way: a moment, or, until all is quiet, longer than a lease.
    fn way(&mut self) -> Micros {
        let lease = self.plan.pace.settings.lease.as_micros() as i64;
        match self.dice.below(1_000) {
            0..2 if !self.is_quiet() => self.dice.between(lease / 2, 2 * lease),
            2..30 => self.dice.between(SECOND / 100, SECOND / 2),
            _ => self.dice.between(SECOND / 2_000, SECOND / 100),
        }
    }
}

/// The statements.
impl World {
    pub(super) fn lease(&mut self, worker: usize, take: &Take) -> Vec<Key> {
        let limit = usize::try_from(take.limit).unwrap();
        let (now, planted) = (take.now, self.planted);
        let (due, _) = self.memory.turns(now, usize::MAX, None);
        let in_no_lane = self.due_in_no_lane(&due, now);
        let times = (now, take.until);
        let is_lost = |row: &Row| planted.is_some() && row.state == State::Leased;
        let lost = self.memory.rows.iter().filter(|(_, row)| is_lost(row));
        let lost: Vec<Key> = lost.map(|(job, _)| *job).collect();
        let jobs = match planted {
            Some(Planted::Unfair) => {
                let jobs = self.first_come(now, limit);
                self.memory.lease_these(&jobs, take.until, take.token);
                jobs
            }
            Some(
                Planted::NoLease
                | Planted::PriorityIgnored
                | Planted::NothingAges
                | Planted::LimitIgnored
                | Planted::EndedLeasesCount,
            ) => {
                let mut all = self.mistaken(now, &lost);
                let jobs = all.lease(times, take.token, limit, take.after);
                self.memory.lease_these(&jobs, take.until, take.token);
                jobs
            }
            _ if due.is_empty() => Vec::new(),
            _ => {
                let after = take.after;
                let after = after.filter(|_| planted != Some(Planted::RoundForgotten));
                self.memory.lease(times, take.token, limit, after)
            }
        };
        for job in &jobs {
            self.oracle.leased(job.1, take);
            let row = self.memory.rows.get_mut(job).unwrap();
            match planted {
                Some(Planted::EndlessLease) => row.available_at = at(i64::MAX / 8),
                Some(Planted::LostNotCounted) if lost.contains(job) => row.attempts -= 1,
                Some(Planted::LostAsFailed) if lost.contains(job) => row.failures += 1,
                Some(Planted::NextWokenEarly) => {
                    let next = row
                        .next
                        .and_then(|next| self.memory.rows.get_mut(&(job.0, next)));
                    if let Some(next) = next.filter(|next| next.state == State::Waiting) {
                        next.state = State::Queued;
                    }
                }
                _ => {}
            }
        }
        let share = limit.div_ceil(due.len().clamp(1, limit));
        for (tenant, due) in in_no_lane {
            let taken = jobs.iter().filter(|(of, _)| *of == tenant);
            let taken: Vec<JobId> = taken.map(|(_, job)| *job).collect();
            self.oracle.in_turn(tenant, share, &taken, &due);
        }
        if !jobs.is_empty() && self.is_answered {
            let got = |tenant| jobs.iter().any(|(other, _)| *other == tenant);
            self.oracle.shared_out(worker, limit, &due, got);
        }
        self.note(|_| format!("{worker} leases {jobs:?} of {due:?} under {}", take.token));
        jobs
    }

    /// Of tenants without a limit of their own, whose other jobs are in no lane either.
    fn due_in_no_lane(&self, tenants: &[TenantId], now: At) -> Vec<(TenantId, Vec<(At, JobId)>)> {
        if self.plan.limits.running.is_some() {
            return Vec::new();
        }
        let rows = &self.memory.rows;
        let due = tenants.iter().map(|tenant| {
            let due = self.memory.due(*tenant, now).into_iter();
            let due = due.map(|job| (rows[&(*tenant, job)].available_at, job));
            (*tenant, due.collect::<Vec<_>>())
        });
        let is_free = |tenant: TenantId, due: &[(At, JobId)]| {
            let mut lanes = due.iter().map(|(_, job)| &rows[&(tenant, *job)].lane);
            lanes.all(String::is_empty)
        };
        due.filter(|(tenant, due)| is_free(*tenant, due)).collect()
    }

    /// The rows as a store with that mistake sees them.
    fn mistaken(&self, now: At, leased: &[Key]) -> Memory {
        let mut all = self.memory.clone();
        match self.planted {
            Some(Planted::NoLease) => {
                for job in leased {
                    all.rows.get_mut(job).unwrap().available_at = now;
                }
            }
            Some(Planted::PriorityIgnored) => {
                let rows = all.rows.values_mut();
                rows.for_each(|row| row.priority = Priority::Normal);
            }
            Some(Planted::NothingAges) => {
                let due = all.rows.values_mut().filter(|row| row.available_at <= now);
                due.for_each(|row| row.available_at = at(i64::from(row.priority.number())));
            }
            Some(Planted::LimitIgnored) => {
                all.running = None;
                all.concurrency.clear();
            }
            Some(Planted::EndedLeasesCount) => {
                let ended = leased.iter().map(|job| (job, &self.memory.rows[job]));
                for (job, row) in ended.filter(|(_, row)| row.available_at <= now) {
                    if let Some(running) = all.running {
                        let own = all.own_running.entry(job.0).or_insert(Some(running));
                        *own = own.map(|most| most - 1);
                    }
                    for name in row.lane.split(' ') {
                        let most = all.concurrency.get_mut(&(job.0, name.to_owned()));
                        most.into_iter().for_each(|most| *most -= 1);
                    }
                }
            }
            _ => {}
        }
        all
    }

    fn first_come(&self, now: At, limit: usize) -> Vec<Key> {
        let (tenants, _) = self.memory.turns(now, usize::MAX, None);
        let due = tenants.into_iter().flat_map(|tenant| {
            let due = self.memory.due(tenant, now).into_iter();
            due.map(move |job| (tenant, job)).collect::<Vec<_>>()
        });
        let mut due: Vec<Key> = due.collect();
        due.sort_by_key(|job| self.memory.rows[job].available_at);
        due.truncate(limit);
        due
    }

    /// The end of an attempt, and what its step changes, in one commit.
    pub(super) fn commit(
        &mut self,
        job: Key,
        now: At,
        mut end: Ended,
        change: Option<usize>,
    ) -> Result<(), StoreError> {
        self.note(|_| format!("commit {} {end:?} {change:?}", job.1));
        let told = end.clone();
        let before = self.memory.rows[&job].clone();
        let next = before.next.map(|next| (job.0, next));
        let waiting = next.and_then(|next| self.memory.rows.get(&next).cloned());
        let row = self.memory.rows.get_mut(&job).unwrap();
        match self.planted {
            Some(Planted::NoFence) if !row.state.has_ended() => {
                (row.state, row.token) = (State::Leased, Some(end.token));
            }
            Some(Planted::CancelIgnored) if row.state == State::Cancelled => {
                (row.state, row.token) = (State::Leased, Some(end.token));
            }
            Some(Planted::NoBackoff) if end.place.is_none() => end.available_at = None,
            _ => {}
        }
        let held = self.standing_still();
        let committed = self.memory.complete(job, now, &end);
        committed.map_err(|Lost| StoreError::LeaseLost)?;
        self.memory.rows.extend(held);
        let row = self.memory.rows.get_mut(&job).unwrap();
        match self.planted {
            Some(Planted::FailuresNotCounted) => row.failures = 0,
            Some(Planted::PlaceForgotten) => row.place = before.place,
            _ => {}
        }
        let wakes = match self.planted {
            Some(Planted::NextNeverWoken) => false,
            Some(Planted::NextWokenBySuccess) => end.state == JobState::Done,
            _ => true,
        };
        if let (false, Some(next), Some(waiting)) = (wakes, next, waiting) {
            self.memory.rows.insert(next, waiting);
        }
        if let Some(step) = change {
            self.oracle.changed(job.1, step);
        }
        self.oracle.ended(job.1, now, &told);
        Ok(())
    }

    pub(super) fn postpone(&mut self, job: Key, token: Uuid, until: At, reason: &str) {
        self.note(|_| format!("{} is postponed until {until}: {reason}", job.1));
        self.release(job, token);
        let before = self.memory.rows[&job].clone();
        let jobs = (&[job.1][..], token);
        self.memory.postpone(job.0, jobs, until, reason);
        self.released(job, token, &before, true);
    }

    pub(super) fn behind(&mut self, job: Key, token: Uuid, until: At) -> Result<bool, StoreError> {
        if self.planted == Some(Planted::LineNotAsked) {
            return Ok(false);
        }
        let before = self.memory.rows[&job].clone();
        let is_behind = self.memory.behind(job, token, until);
        let is_behind = is_behind.map_err(|Lost| StoreError::LeaseLost)?;
        if is_behind {
            self.note(|_| format!("{} is held", job.1));
            self.released(job, token, &before, true);
            return Ok(true);
        }
        self.oracle.stands_first(job.1);
        let forgets = self.planted == Some(Planted::LineForgetsBegun);
        if let Some(row) = self.memory.rows.get_mut(&job).filter(|_| forgets) {
            row.line = before.line;
        }
        Ok(false)
    }

    /// What is held, where whoever leaves a line lets nobody go.
    fn standing_still(&self) -> Vec<(Key, Row)> {
        let rows = self.memory.rows.iter();
        let held = rows.filter(|(_, row)| row.line == Some(Line::Held));
        let held = held.filter(|_| self.planted == Some(Planted::LineStandsStill));
        held.map(|(job, row)| (*job, row.clone())).collect()
    }

    pub(super) fn line_up(&mut self, job: Key, token: Uuid, now: At, lane: &str) {
        self.note(|_| format!("{} lines up in “{lane}”", job.1));
        let before = self.memory.rows[&job].clone();
        self.memory.line_up(job, token, now, lane);
        if self.memory.rows[&job].state == State::Queued && before.state == State::Leased {
            self.oracle.lined_up(job.1, token, lane);
            let next = before.next.map(|next| (job.0, next));
            let next = next.and_then(|next| self.memory.rows.get_mut(&next));
            let next = next.filter(|next| next.state == State::Waiting);
            if let (Some(next), Some(Planted::LineUpWakesNext)) = (next, self.planted) {
                next.state = State::Queued;
            }
        }
    }

    pub(super) fn defer(&mut self, tenant: TenantId, jobs: &[JobId], token: Uuid, spent: (At, At)) {
        self.note(|_| format!("{jobs:?} are deferred"));
        let rows = jobs
            .iter()
            .map(|job| self.memory.rows[&(tenant, *job)].clone());
        let before: Vec<Row> = rows.collect();
        for job in jobs {
            self.release((tenant, *job), token);
        }
        self.memory.defer(tenant, (jobs, token), spent.0, spent.1);
        for (job, before) in jobs.iter().zip(&before) {
            self.released((tenant, *job), token, before, false);
        }
    }

    fn release(&mut self, job: Key, token: Uuid) {
        let row = self.memory.rows.get_mut(&job).unwrap();
        if self.planted == Some(Planted::DoubleRelease) && row.state == State::Leased {
            row.token = Some(token);
        }
    }

    fn released(&mut self, job: Key, token: Uuid, before: &Row, lets_next: bool) {
        let row = self.memory.rows.get_mut(&job).unwrap();
        if before.state != State::Leased || row.state == State::Leased {
            return;
        }
        if self.planted == Some(Planted::PostponeCounts) {
            row.attempts = before.attempts;
        }
        self.oracle.given_back(job.1, token, lets_next);
    }
}
