//! A worker's process in the simulation: what the queue is given there, and what runs do.

use chrono::{DateTime, TimeDelta, Utc};
use crm_model::flow::Place;
use crm_model::quota::{QuotaName, QuotaSpent};
use crm_model::{
    Actor, Cause, Event, EventId, EventKind, JobId, Lane, RecordId, RunSource, TenantId,
    WorkflowSlug,
};
use crm_store::StoreError;
use crm_store::commit::{AttemptStatus, JobState};
use crm_store::jobs::{JobTurn, LoadedJob};
use serde_json::json;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;
use uuid::Uuid;

use super::executor::{Sim, SimTasks};
use super::memory::{Ended, Key};
use super::oracle::Rule;
use super::plan::{JobPlan, Micros, SECOND, Step, StepPlan};
use super::planted::Planted;
use super::world::{PAUSED, World, at};
use crate::EngineError;
use crate::breaker::Wait;
use crate::queue::{Ahead, Clock, End, Host, JobStore, Lease, Random, Run, Take, Verdict, attempt};

/// How often a run of a paused workflow looks whether it may go on.
const LOOK: TimeDelta = TimeDelta::seconds(15);
/// How often one looks whether an earlier run of its record has ended. Longer than a simulation.
const LINE_LOOK: TimeDelta = TimeDelta::seconds(3_600);

#[derive(Clone)]
pub(super) struct SimHost {
    pub(super) sim: Arc<Sim>,
    pub(super) process: usize,
}

/// What comes back, some time.
struct Slot<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        let (value, waker) = (None, None);
        Self { value, waker }
    }
}

async fn filled<T>(slot: Arc<Mutex<Slot<T>>>) -> T {
    std::future::poll_fn(|context| {
        let mut slot = slot.lock().unwrap();
        match slot.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    })
    .await
}

fn fill<T>(slot: &Mutex<Slot<T>>, value: T) {
    let mut slot = slot.lock().unwrap();
    slot.value = Some(value);
    if let Some(waker) = slot.waker.take() {
        waker.wake();
    }
}

impl SimHost {
    async fn ask<T: Send + 'static>(
        &self,
        statement: impl FnOnce(&mut World) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let slot: Arc<Mutex<Slot<Result<T, StoreError>>>> = Arc::default();
        let answer = Arc::clone(&slot);
        self.sim
            .world()
            .ask(statement, move |done| fill(&answer, done));
        filled(slot).await
    }
}

impl Clock for SimHost {
    fn now(&self) -> DateTime<Utc> {
        self.sim.world().clock(self.process)
    }

    async fn sleep(&self, pause: Duration) {
        let slot: Arc<Mutex<Slot<()>>> = Arc::default();
        let over = Arc::clone(&slot);
        let pause = Micros::try_from(pause.as_micros()).unwrap();
        self.sim.world().later(pause, move |_| fill(&over, ()));
        filled(slot).await;
    }
}

impl Random for SimHost {
    fn token(&self) -> Uuid {
        let mut world = self.sim.world();
        match world.planted {
            Some(Planted::OneToken) => Uuid::from_u128(7),
            _ => world.dice.uuid(),
        }
    }
}

impl JobStore for SimHost {
    type Model = ();

    async fn lease(&self, take: Take) -> Result<Vec<JobTurn>, StoreError> {
        let process = self.process;
        let leased = self.ask(move |world| {
            let jobs = world.lease(process, &take).into_iter();
            let turns = jobs.map(|job| {
                let row = &world.memory.rows[&job];
                JobTurn {
                    tenant: job.0,
                    job: job.1,
                    lane: Lane::stored(row.lane.clone()),
                    priority: row.priority,
                }
            });
            Ok(turns.collect())
        });
        leased.await
    }

    async fn load(
        &self,
        tenant: TenantId,
        jobs: &[JobId],
    ) -> Result<Option<((), Vec<LoadedJob>)>, EngineError> {
        let jobs = jobs.to_vec();
        let loaded = self.ask(move |world| {
            let jobs = jobs.iter().map(|job| loaded(world, (tenant, *job)));
            Ok(jobs.collect())
        });
        Ok(Some(((), loaded.await?)))
    }

    async fn fuel_spent(&self, tenant: TenantId) -> Result<Option<QuotaSpent>, EngineError> {
        let world = self.sim.world();
        let until = world.no_fuel.get(&tenant);
        Ok(until
            .filter(|until| world.now < **until)
            .map(|until| QuotaSpent {
                quota: QuotaName::Fuel,
                limit: 1,
                used: 1,
                window_seconds: None,
                resets_at: Some(at(*until)),
                retry_after_seconds: 1,
            }))
    }

    async fn defer(
        &self,
        (): &(),
        (jobs, token): (Vec<LoadedJob>, Uuid),
        now: DateTime<Utc>,
        spent: QuotaSpent,
    ) -> Result<(), EngineError> {
        let until = spent.resets_at.unwrap_or(now);
        let jobs: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        let deferred = self.ask(move |world| {
            let tenant = jobs.first().map(|job| world.jobs[job].tenant);
            let Some(tenant) = tenant else { return Ok(()) };
            if world.memory.suspended.contains(&tenant) {
                return Err(StoreError::Suspended);
            }
            world.defer(tenant, &jobs, token, (now, until));
            Ok(())
        });
        Ok(deferred.await?)
    }
}

impl Host for SimHost {
    type Tasks = SimTasks;

    fn tasks(&self) -> SimTasks {
        SimTasks {
            sim: Arc::clone(&self.sim),
            process: self.process,
            mine: Vec::new(),
        }
    }

    fn attempts(&self) -> SimTasks {
        self.tasks()
    }

    async fn told(&self) {
        let told = Arc::clone(&self.sim.world().processes[self.process].told);
        told.notified().await;
    }

    fn attempt(&self, (): (), lease: Lease) -> impl Future<Output = ()> + Send + 'static {
        let host = self.clone();
        async move {
            let _crowd = Crowd::joined(&host);
            let plan = host.sim.world().jobs[&lease.job.id].clone();
            let has_others = !plan.before.is_empty();
            let is_limited = {
                let limits = host.sim.world().plan.limits;
                !lease.lane.is_free() || limits.running.is_some()
            };
            let at = lease.job.place.as_ref().map_or(0, Place::steps) as usize;
            let mut run = SimRun {
                host: host.clone(),
                lease,
                plan,
                at,
            };
            let _ = attempt(&mut run).await;
            if has_others || is_limited || run.plan.is_in_line {
                run.tell();
            }
        }
    }
}

/// One of the attempts that a process makes side by side.
struct Crowd {
    host: SimHost,
    life: u64,
}

impl Crowd {
    fn joined(host: &SimHost) -> Self {
        let mut world = host.sim.world();
        let most = world.plan.pace.settings.concurrency;
        let process = &mut world.processes[host.process];
        process.running += 1;
        let (running, life) = (process.running, process.life);
        if running > most {
            let what = format!("{running} attempts side by side");
            world.oracle.breaks(Rule::Crowd, what);
        }
        let host = host.clone();
        Self { host, life }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let mut world = self.host.sim.world();
        let process = &mut world.processes[self.host.process];
        if process.life == self.life {
            process.running -= 1;
        }
    }
}

/// An attempt in the simulation.
struct SimRun {
    host: SimHost,
    lease: Lease,
    plan: JobPlan,
    /// The step that it is at.
    at: usize,
}

impl SimRun {
    fn step(&self) -> Option<&StepPlan> {
        self.plan.steps.get(self.at)
    }

    /// How often the step has failed, less the times that it was to fail earlier on.
    fn failed(&self, earlier: impl Fn(&StepPlan) -> i32) -> i32 {
        self.lease.job.failures - self.step().map_or(0, earlier)
    }

    fn ended(&self, end: &End) -> Ended {
        Ended {
            token: self.lease.token,
            state: end.state,
            available_at: end.available_at,
            error: end.error.clone(),
            place: end.place.clone(),
        }
    }

    fn elsewhere(&self, step: Option<&StepPlan>) -> Option<Lane> {
        let world = self.host.sim.world();
        let lane = Lane::stored(world.plan.limits.lane(&self.plan, step));
        let is_asked = world.planted != Some(Planted::LaneNotAsked);
        (is_asked && !self.lease.lane.covers(&lane)).then_some(lane)
    }

    fn wait(&self, until: TimeDelta, reason: &str) -> Ahead<usize> {
        Ahead::Wait(Wait {
            until: self.host.now() + until,
            status: "waits",
            reason: reason.to_owned(),
        })
    }

    async fn commit(&self, end: Option<&End>, change: Option<usize>) -> Result<(), StoreError> {
        let job = (self.lease.tenant, self.lease.job.id);
        let (end, now) = (end.map(|end| self.ended(end)), self.host.now());
        let commit = self.host.ask(move |world| match (end, change) {
            (Some(end), change) => world.commit(job, now, end, change),
            (None, change) => {
                change
                    .into_iter()
                    .for_each(|step| world.oracle.changed(job.1, step));
                Ok(())
            }
        });
        commit.await
    }
}

impl Run for SimRun {
    type Act = usize;

    fn lease(&self) -> &Lease {
        &self.lease
    }

    fn now(&self) -> DateTime<Utc> {
        self.host.now()
    }

    async fn is_behind(&mut self) -> Result<bool, StoreError> {
        if !self.plan.is_in_line {
            return Ok(false);
        }
        let (job, token) = ((self.lease.tenant, self.lease.job.id), self.lease.token);
        let until = self.host.now() + LINE_LOOK;
        let behind = self.host.ask(move |world| world.behind(job, token, until));
        behind.await
    }

    async fn next(&mut self) -> Result<Ahead<usize>, String> {
        let (is_paused, is_left_alone) = {
            let mut world = self.host.sim.world();
            let workflow = (self.lease.tenant, self.plan.workflow);
            let left_alone = world.plan.left_alone;
            let is_left_alone = !world.is_quiet() && world.dice.chance(left_alone);
            (world.paused.contains(&workflow), is_left_alone)
        };
        if is_paused {
            return Ok(self.wait(LOOK, PAUSED));
        }
        if let Some(lane) = self.elsewhere(None) {
            return Ok(Ahead::LineUp(lane));
        }
        let Some(step) = self.step() else {
            let place = self.lease.job.place.as_ref().map(|_| place(0));
            return Ok(Ahead::Rest(End {
                place,
                ..End::new(JobState::Done)
            }));
        };
        if self.lease.job.failures < step.unread {
            return Err("what it needs cannot be read".to_owned());
        }
        if let Step::Delay(long) = step.step {
            return Ok(Ahead::Rest(End {
                available_at: Some(self.host.now() + TimeDelta::microseconds(long)),
                place: Some(place(self.at + 1)),
                ..End::new(JobState::Queued)
            }));
        }
        if let Some(lane) = self.elsewhere(Some(step)) {
            return Ok(Ahead::LineUp(lane));
        }
        match is_left_alone {
            true => Ok(self.wait(TimeDelta::milliseconds(300), "left alone")),
            false => Ok(Ahead::Act(self.at)),
        }
    }

    async fn call(&mut self, _: &usize) -> Verdict {
        let Some(StepPlan {
            step,
            takes,
            retried,
            ..
        }) = self.step().cloned()
        else {
            return Verdict::Never("there is no such step".to_owned());
        };
        let takes = Duration::from_micros(takes.unsigned_abs());
        self.host
            .sim
            .world()
            .oracle
            .acts(self.lease.job.id, self.at);
        if matches!(step, Step::Killer) {
            let process = self.host.process;
            self.host.sim.world().kill(process, SECOND / 2);
            std::future::pending::<()>().await;
        }
        self.host.sleep(takes).await;
        let again = || Verdict::Again {
            reason: "it did not work".to_owned(),
            after: takes,
        };
        match step {
            Step::Hopeless => Verdict::Never("it never works".to_owned()),
            Step::Poison => again(),
            _ if self.failed(|step| step.unread) < retried => again(),
            Step::Skip => Verdict::Skipped("nothing to do".to_owned()),
            _ => Verdict::Done,
        }
    }

    /// As `Course::end` ends the steps of a workflow.
    fn end(&mut self, _: &usize, verdict: Verdict) -> End {
        let now = self.host.now();
        let (status, call_error) = match &verdict {
            Verdict::Again { reason, after } => {
                let tries = (crm_model::limits::JOB_MAX_ATTEMPTS, None);
                if let Some(end) = End::tried_again(&self.lease, tries, reason, *after, now) {
                    return end;
                }
                (AttemptStatus::Failed, Some(reason.clone()))
            }
            Verdict::Never(reason) => (AttemptStatus::Failed, Some(reason.clone())),
            Verdict::Skipped(reason) => (AttemptStatus::Skipped, Some(reason.clone())),
            Verdict::Done => (AttemptStatus::Done, None),
        };
        let had = self.lease.job.place.is_some();
        let next = self.at + 1;
        let end = match status {
            AttemptStatus::Failed => End {
                error: call_error.clone(),
                place: had.then(|| place(self.at)),
                ..End::new(JobState::Dead)
            },
            _ if next == self.plan.steps.len() => End {
                place: had.then(|| place(0)),
                ..End::new(JobState::Done)
            },
            _ => End {
                place: Some(place(next)),
                ..End::new(JobState::Queued)
            },
        };
        End {
            status: Some(status),
            call_error,
            ..end
        }
    }

    fn has_mutations(&self) -> bool {
        self.step()
            .is_some_and(|step| matches!(step.step, Step::Change))
    }

    async fn apply(&mut self, step: &usize, end: &End) -> Result<Option<Verdict>, StoreError> {
        let refused = self.step().map_or(0, |step| step.refused);
        if self.failed(|step| step.unread + step.retried) < refused {
            return Ok(Some(Verdict::Again {
                reason: "the door refuses it".to_owned(),
                after: Duration::ZERO,
            }));
        }
        let planted = self.host.sim.world().planted;
        let (step, end) = (Some(*step), Some(end));
        match planted {
            Some(Planted::EarlyAcknowledge) => {
                self.commit(end, None).await?;
                self.commit(None, step).await?;
            }
            Some(Planted::PlaceApart) => {
                self.commit(None, step).await?;
                self.commit(end, None).await?;
            }
            Some(Planted::Resent) => match self.commit(end, step).await {
                Err(StoreError::LeaseLost) => return Err(StoreError::LeaseLost),
                Err(_) => self.commit(None, step).await?,
                Ok(()) => {}
            },
            _ => self.commit(end, step).await?,
        }
        Ok(None)
    }

    async fn record(&mut self, end: &End) -> Result<&'static str, StoreError> {
        self.commit(Some(end), None).await?;
        Ok("recorded")
    }

    async fn postpone(&mut self, wait: Wait) -> Result<(), StoreError> {
        let (job, token) = ((self.lease.tenant, self.lease.job.id), self.lease.token);
        let postponed = self.host.ask(move |world| {
            world.postpone(job, token, wait.until, &wait.reason);
            Ok(())
        });
        postponed.await
    }

    async fn line_up(&mut self, lane: Lane) -> Result<(), StoreError> {
        let (job, token) = ((self.lease.tenant, self.lease.job.id), self.lease.token);
        let now = self.host.now();
        let lined_up = self.host.ask(move |world| {
            world.line_up(job, token, now, lane.as_str());
            Ok(())
        });
        lined_up.await
    }

    fn tell(&self) {
        self.host.sim.world().tell(self.host.process);
    }
}

/// Where a run stands before that step.
fn place(step: usize) -> Place {
    static PLACES: LazyLock<Vec<Place>> = LazyLock::new(|| {
        let place = |steps| json!({ "threads": [], "steps": steps, "next_thread": 1 });
        let places = (0..16).map(|steps| serde_json::from_value(place(steps)).unwrap());
        places.collect()
    });
    PLACES[step].clone()
}

fn loaded(world: &World, job: Key) -> LoadedJob {
    static EVENT: LazyLock<Event> = LazyLock::new(|| Event {
        id: EventId::new(Uuid::nil()),
        kind: EventKind::RecordCreated,
        module: "things".parse().unwrap(),
        record_id: RecordId::new(Uuid::nil()),
        record_version: 1,
        before: None,
        after: None,
        changed_fields: Vec::new(),
        payload: None,
        actor: Actor::person("ada".parse().unwrap(), Vec::new()),
        cause: Cause::User,
        depth: 0,
        occurred_at: DateTime::UNIX_EPOCH,
    });
    let row = &world.memory.rows[&job];
    let workflow: WorkflowSlug = row.workflow.parse().unwrap();
    LoadedJob {
        id: job.1,
        version: None,
        workflow: RunSource::from(workflow),
        attempt: row.attempts,
        failures: row.failures,
        place: row.place.clone(),
        event: EVENT.clone(),
        current: None,
    }
}
