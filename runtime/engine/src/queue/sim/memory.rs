//! The queue's part of the database, in memory: each function does to the rows what the SQL
//! function of that name does (migrations 0089, 0111 to 0113 and the statements beside them in the
//! store). That it does is tested against PostgreSQL (`tests/e2e/queue.rs`), which
//! takes up this file as it stands.

use chrono::{DateTime, Utc};
use crm_model::flow::Place;
use crm_model::{JobId, Priority, TenantId};
use crm_store::commit::JobState;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

type At = DateTime<Utc>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Waiting,
    Queued,
    Leased,
    Done,
    Dead,
    Cancelled,
}

impl State {
    pub(crate) fn has_ended(self) -> bool {
        matches!(self, Self::Done | Self::Dead | Self::Cancelled)
    }
}

/// Where a run stands that goes in the order of its record's versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Open,
    Held,
    Begun,
}

/// A row of `crm_jobs`. All of a tenant's are of one record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) workflow: String,
    pub(crate) state: State,
    pub(crate) attempts: i32,
    pub(crate) failures: i32,
    pub(crate) available_at: At,
    pub(crate) token: Option<Uuid>,
    pub(crate) error: Option<String>,
    pub(crate) place: Option<Place>,
    pub(crate) finished_at: Option<At>,
    pub(crate) next: Option<JobId>,
    pub(crate) priority: Priority,
    pub(crate) lane: String,
    pub(crate) line: Option<Line>,
    /// Of the record, with its event.
    pub(crate) version: i64,
}

impl Row {
    pub(crate) fn new(workflow: &str, at: At, waits: bool, next: Option<JobId>) -> Self {
        Self {
            workflow: workflow.to_owned(),
            state: match waits {
                true => State::Waiting,
                false => State::Queued,
            },
            attempts: 0,
            failures: 0,
            available_at: at,
            token: None,
            error: None,
            place: None,
            finished_at: None,
            next,
            priority: Priority::Normal,
            lane: String::new(),
            line: None,
            version: 1,
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.state, State::Queued | State::Leased)
    }

    fn is_due(&self, now: At) -> bool {
        self.is_open() && self.available_at <= now
    }

    fn is_leased_under(&self, token: Uuid) -> bool {
        self.state == State::Leased && self.token == Some(token)
    }
}

/// The end of an attempt.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) token: Uuid,
    pub(crate) state: JobState,
    pub(crate) available_at: Option<At>,
    pub(crate) error: Option<String>,
    pub(crate) place: Option<Place>,
}

/// Somebody else has the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost;

pub(crate) type Key = (TenantId, JobId);

#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) rows: BTreeMap<Key, Row>,
    pub(crate) suspended: BTreeSet<TenantId>,
    /// `crm_deferrals`.
    pub(crate) deferred: BTreeMap<TenantId, At>,
    /// How many of each tenant's may be under way, where nothing else was set for it.
    pub(crate) running: Option<i64>,
    /// `crm_quotas`.
    pub(crate) own_running: BTreeMap<TenantId, Option<i64>>,
    /// `crm_concurrency`.
    pub(crate) concurrency: BTreeMap<(TenantId, String), i64>,
}

/// One place in so many is for the job that has waited longest.
const AGED_EVERY: u8 = 4;

/// What limits the jobs of a lane: first of all the tenant's own limit.
fn names(lane: &str) -> impl Iterator<Item = &str> {
    let names = lane.split(' ').filter(|name| !name.is_empty());
    std::iter::once("").chain(names)
}

fn has_room(rooms: &BTreeMap<&str, i64>, lane: &str) -> bool {
    names(lane).all(|name| rooms.get(name).is_none_or(|room| *room > 0))
}

fn take_room(rooms: &mut BTreeMap<&str, i64>, lane: &str) {
    for name in names(lane) {
        if let Some(room) = rooms.get_mut(name) {
            *room -= 1;
        }
    }
}

impl Memory {
    fn of_tenant(&self, tenant: TenantId) -> impl Iterator<Item = (JobId, &Row)> {
        let all = (tenant, JobId::new(Uuid::nil()))..=(tenant, JobId::new(Uuid::max()));
        self.rows.range(all).map(|((_, job), row)| (*job, row))
    }

    /// `crm_rooms`: the due jobs that there is room for, and how many more there is room for under
    /// each name; the tenant's own name is empty.
    fn rooms(&self, tenant: TenantId, now: At) -> (Vec<(JobId, &Row)>, BTreeMap<&str, i64>) {
        let of_lanes = self.concurrency.iter();
        let of_lanes = of_lanes.filter(|((of, _), _)| *of == tenant);
        let mut rooms: BTreeMap<&str, i64> = of_lanes
            .map(|((_, name), most)| (name.as_str(), *most))
            .collect();
        let own = self.own_running.get(&tenant);
        if let Some(most) = own.copied().unwrap_or(self.running) {
            rooms.insert("", most);
        }
        let rows = self.of_tenant(tenant).map(|(_, row)| row);
        for row in rows.filter(|row| row.state == State::Leased && row.available_at > now) {
            take_room(&mut rooms, &row.lane);
        }
        let due = self.of_tenant(tenant);
        let due = due.filter(|(_, row)| row.is_due(now) && has_room(&rooms, &row.lane));
        (due.collect(), rooms)
    }

    /// Whose turn it is, and how many of each tenant's jobs are taken at most.
    pub(crate) fn turns(
        &self,
        now: At,
        limit: usize,
        after: Option<TenantId>,
    ) -> (Vec<TenantId>, usize) {
        let due = self.rows.iter().filter(|(_, row)| row.is_due(now));
        let due: BTreeSet<TenantId> = due.map(|((tenant, _), _)| *tenant).collect();
        let due = due
            .into_iter()
            .filter(|tenant| !self.suspended.contains(tenant))
            .filter(|tenant| self.deferred.get(tenant).is_none_or(|until| *until <= now))
            .filter(|tenant| !self.rooms(*tenant, now).0.is_empty());
        let (rest, first): (Vec<TenantId>, Vec<TenantId>) =
            due.partition(|tenant| after.is_some_and(|after| *tenant <= after));
        let mut turns = first;
        turns.extend(rest);
        turns.truncate(limit);
        let share = limit.div_ceil(turns.len().max(1));
        (turns, share)
    }

    /// A tenant's due jobs, the first one first.
    pub(crate) fn due(&self, tenant: TenantId, now: At) -> Vec<JobId> {
        let due = self.of_tenant(tenant).filter(|(_, row)| row.is_due(now));
        let mut due: Vec<(At, JobId)> = due.map(|(job, row)| (row.available_at, job)).collect();
        due.sort();
        due.into_iter().map(|(_, job)| job).collect()
    }

    /// `crm_jobs_pick`, for a tenant with limits or without: whether each is one of those that have
    /// waited longest.
    fn pick(&self, tenant: TenantId, now: At, share: usize, aged: usize) -> Vec<(JobId, bool)> {
        let (due, mut rooms) = self.rooms(tenant, now);
        let mut oldest = due.clone();
        oldest.sort_by_key(|(job, row)| (row.available_at, row.priority, &row.lane, *job));
        let mut urgent = due;
        urgent.sort_by_key(|(job, row)| (row.priority, row.available_at, &row.lane, *job));
        let mut picked: Vec<(JobId, bool)> = Vec::new();
        let places = [(oldest, true, aged), (urgent, false, share)];
        for (due, is_aged, places) in places {
            for (job, row) in due {
                let is_new = picked.iter().all(|(other, _)| *other != job);
                if picked.len() < places && is_new && has_room(&rooms, &row.lane) {
                    take_room(&mut rooms, &row.lane);
                    picked.push((job, is_aged));
                }
            }
        }
        picked
    }

    /// `crm_jobs_lease`.
    pub(crate) fn lease(
        &mut self,
        (now, until): (At, At),
        token: Uuid,
        limit: usize,
        after: Option<TenantId>,
    ) -> Vec<Key> {
        let (turns, share) = self.turns(now, limit, after);
        let begun_at = usize::from(token.as_bytes()[15] % AGED_EVERY);
        let aged = (begun_at + share) / usize::from(AGED_EVERY);
        let picked = turns.into_iter().enumerate().flat_map(|(turn, tenant)| {
            let picked = self.pick(tenant, now, share, aged).into_iter();
            let picked = picked.map(move |(job, is_aged)| (turn, is_aged, (tenant, job)));
            picked.collect::<Vec<_>>()
        });
        let mut picked: Vec<(usize, bool, Key)> = picked.take(limit).collect();
        picked.sort_by_key(|(turn, is_aged, job)| {
            let priority = (!is_aged).then(|| self.rows[job].priority);
            (*turn, priority, job.1)
        });
        let jobs: Vec<Key> = picked.into_iter().map(|(_, _, job)| job).collect();
        self.lease_these(&jobs, until, token);
        jobs
    }

    /// What `crm_jobs_lease` does to the rows that it has chosen.
    pub(crate) fn lease_these(&mut self, jobs: &[Key], until: At, token: Uuid) {
        for job in jobs {
            if let Some(row) = self.rows.get_mut(job) {
                row.state = State::Leased;
                row.attempts += 1;
                row.available_at = until;
                row.token = Some(token);
            }
        }
    }

    /// `crm_job_complete`.
    pub(crate) fn complete(&mut self, job: Key, at: At, end: &Ended) -> Result<(), Lost> {
        let row = self.rows.get_mut(&job);
        let row = row
            .filter(|row| row.is_leased_under(end.token))
            .ok_or(Lost)?;
        let is_queued = end.state == JobState::Queued;
        let has_moved = end.place.is_some();
        row.state = match end.state {
            JobState::Queued => State::Queued,
            JobState::Done => State::Done,
            JobState::Dead => State::Dead,
        };
        row.available_at = end.available_at.unwrap_or(at);
        row.token = None;
        row.error.clone_from(&end.error);
        if has_moved && is_queued {
            row.attempts = 0;
        }
        row.failures = match has_moved {
            true => 0,
            false if is_queued => row.failures + 1,
            false => row.failures,
        };
        if let Some(place) = &end.place {
            row.place = Some(place.clone());
            row.lane = names(&row.lane)
                .filter(|name| name.starts_with("workflow:"))
                .collect();
        }
        row.finished_at = (!is_queued).then_some(at);
        let next = row.next;
        self.line_next(job, at);
        self.wake_next(job.0, next);
        Ok(())
    }

    fn wake_next(&mut self, tenant: TenantId, next: Option<JobId>) {
        let next = next.and_then(|next| self.rows.get_mut(&(tenant, next)));
        if let Some(next) = next.filter(|next| next.state == State::Waiting) {
            next.state = State::Queued;
        }
    }

    /// `crm_jobs_postpone`.
    pub(crate) fn postpone(
        &mut self,
        tenant: TenantId,
        (jobs, token): (&[JobId], Uuid),
        until: At,
        reason: &str,
    ) {
        for job in jobs {
            let row = self.rows.get_mut(&(tenant, *job));
            let Some(row) = row.filter(|row| row.is_leased_under(token)) else {
                continue;
            };
            row.state = State::Queued;
            row.attempts -= 1;
            row.available_at = until;
            row.token = None;
            row.error = Some(reason.to_owned());
            let next = row.next;
            self.wake_next(tenant, next);
        }
    }

    /// `crm_line_first`.
    fn line_first(&self, tenant: TenantId, workflow: &str) -> Option<JobId> {
        let of_line = self.of_tenant(tenant).filter(|(_, row)| {
            row.line.is_some() && row.workflow == workflow && !row.state.has_ended()
        });
        let first =
            of_line.min_by_key(|(job, row)| (row.line != Some(Line::Begun), row.version, *job));
        first.map(|(job, _)| job)
    }

    /// `crm_job_behind`.
    pub(crate) fn behind(&mut self, job: Key, token: Uuid, until: At) -> Result<bool, Lost> {
        let row = self.rows.get(&job);
        let row = row.filter(|row| row.is_leased_under(token)).ok_or(Lost)?;
        if row.line.is_none() {
            return Ok(false);
        }
        let is_first = self.line_first(job.0, &row.workflow) == Some(job.1);
        let Some(row) = self.rows.get_mut(&job) else {
            return Err(Lost);
        };
        if is_first {
            row.line = Some(Line::Begun);
            return Ok(false);
        }
        row.state = State::Queued;
        row.attempts -= 1;
        row.available_at = until;
        row.token = None;
        row.line = Some(Line::Held);
        let next = row.next;
        self.wake_next(job.0, next);
        Ok(true)
    }

    /// `crm_line_next`, for what may have left its line.
    fn line_next(&mut self, job: Key, at: At) {
        let Some(left) = self.rows.get(&job) else {
            return;
        };
        if left.line.is_none() || !left.state.has_ended() {
            return;
        }
        let first = self.line_first(job.0, &left.workflow);
        let first = first.and_then(|first| self.rows.get_mut(&(job.0, first)));
        let held = first.filter(|row| row.state == State::Queued && row.line == Some(Line::Held));
        if let Some(held) = held {
            held.available_at = held.available_at.min(at);
            held.line = Some(Line::Open);
        }
    }

    /// `crm_job_line_up`.
    pub(crate) fn line_up(&mut self, job: Key, token: Uuid, at: At, lane: &str) {
        let row = self.rows.get_mut(&job);
        if let Some(row) = row.filter(|row| row.is_leased_under(token)) {
            row.state = State::Queued;
            row.attempts -= 1;
            row.available_at = at;
            row.token = None;
            row.lane = lane.to_owned();
        }
    }

    /// `jobs_defer`.
    pub(crate) fn defer(
        &mut self,
        tenant: TenantId,
        (jobs, token): (&[JobId], Uuid),
        now: At,
        until: At,
    ) {
        let deferred = self.deferred.entry(tenant).or_insert(until);
        *deferred = until.max(*deferred);
        for job in jobs {
            let row = self.rows.get_mut(&(tenant, *job));
            if let Some(row) = row.filter(|row| row.is_leased_under(token)) {
                row.state = State::Queued;
                row.attempts = (row.attempts - 1).max(0);
                row.available_at = now;
                row.token = None;
            }
        }
    }

    /// `jobs_wake`.
    pub(crate) fn wake(&mut self, tenant: TenantId, workflow: &str, reason: &str, at: At) {
        let rows = self.rows.iter_mut().filter(|((of, _), row)| {
            *of == tenant
                && row.workflow == workflow
                && row.state == State::Queued
                && row.error.as_deref() == Some(reason)
        });
        for (_, row) in rows {
            row.available_at = at;
            row.error = None;
        }
    }

    /// `runs_retry`, of one.
    pub(crate) fn retry(&mut self, job: Key, at: At) -> bool {
        let row = self.rows.get_mut(&job);
        let Some(row) = row.filter(|row| row.state == State::Dead && row.attempts > 0) else {
            return false;
        };
        row.state = State::Queued;
        (row.attempts, row.failures) = (0, 0);
        row.available_at = at;
        (row.error, row.finished_at) = (None, None);
        row.line = row.line.map(|_| Line::Open);
        true
    }

    /// `crm_jobs_cancel`, of one.
    pub(crate) fn cancel(&mut self, job: Key, at: At, reason: &str) -> bool {
        let is_bridged = self.bridge(job);
        let row = self.rows.get_mut(&job);
        let Some(row) = row.filter(|row| row.is_open() || row.state == State::Waiting) else {
            return false;
        };
        row.state = State::Cancelled;
        row.token = None;
        row.error = Some(reason.to_owned());
        row.finished_at = Some(at);
        let next = row.next.take();
        self.line_next(job, at);
        if !is_bridged {
            self.wake_next(job.0, next);
        }
        true
    }

    /// Has the run before a waiting one go on to the run behind it.
    fn bridge(&mut self, job: Key) -> bool {
        let waiting = self.rows.get(&job);
        let Some(waiting) = waiting.filter(|row| row.state == State::Waiting) else {
            return false;
        };
        let next = waiting.next;
        let before = self
            .rows
            .iter_mut()
            .find(|((tenant, _), row)| *tenant == job.0 && row.next == Some(job.1));
        let Some((_, before)) = before else {
            return false;
        };
        before.next = next;
        true
    }
}
