//! The queue in memory, which the simulation of the workers runs on, is true to PostgreSQL: given
//! the same operations, both answer the same and hold the same rows.

use chrono::{DateTime, TimeDelta, Utc};
use crm_model::flow::Place;
use crm_model::{Actor, Cause, JobId, Lane, Priority, TenantId, WorkflowSlug};
use crm_store::commit::{Commit, Completion, JobState};
use crm_store::run_words::{runs_cancel, runs_retry};
use crm_store::{Store, StoreError, StoreSettings, TenantTx};
use crm_tests::app::TestApp;
use crm_tests::cluster::cluster;
use serde_json::json;
use sqlx::types::Json;
use sqlx::{Connection, PgConnection};
use std::collections::BTreeMap;
use uuid::Uuid;

#[path = "../../runtime/engine/src/queue/sim/dice.rs"]
mod dice;
#[path = "../../runtime/engine/src/queue/sim/memory.rs"]
#[allow(dead_code, reason = "the simulation asks it more")]
mod memory;

use dice::Dice;
use memory::{Ended, Key, Line, Lost, Memory, Row, State};

const SEEDS: u64 = 50;
const OPERATIONS: usize = 90;
const WORKFLOWS: [&str; 2] = ["first", "second"];
/// What jobs are limited by.
const LANES: [&str; 5] = [
    "",
    "",
    "workflow:first",
    "plugin:p",
    "workflow:first plugin:p",
];
const NAMES: [&str; 2] = ["workflow:first", "plugin:p"];
const REASONS: [&str; 2] = ["the workflow is paused", "left alone"];

/// PostgreSQL and the queue in memory, side by side.
struct Pair {
    store: Store,
    /// As the owner, who sees and writes all rows.
    owner: PgConnection,
    /// With an event of each.
    tenants: Vec<(TenantId, Uuid)>,
    memory: Memory,
    dice: Dice,
    now: DateTime<Utc>,
    tokens: Vec<Uuid>,
    leased: u32,
    held: u32,
    fenced: u32,
}

#[tokio::test]
async fn the_queue_in_memory_is_true_to_postgres() {
    let app = TestApp::on(cluster().database().await, None).await;
    let mut tenants = Vec::new();
    let mut owner = PgConnection::connect_with(&app.database.owner())
        .await
        .unwrap();
    for _ in 0..3 {
        let (tenant, client) = app.owner_of("hostile").await;
        let victim = json!({ "name": "v", "mode": "tell" });
        client.create("victims", victim).await;
        let event = "select id from crm_events where tenant_id = $1 limit 1";
        let event = sqlx::query_scalar(event).bind(tenant.uuid());
        tenants.push((tenant, event.fetch_one(&mut owner).await.unwrap()));
    }
    let settings = StoreSettings::default();
    let store = Store::connect(app.database.runtime(), settings).await;
    let mut pair = Pair {
        store: store.unwrap(),
        owner,
        tenants,
        memory: Memory::default(),
        dice: Dice::new(0),
        now: DateTime::UNIX_EPOCH,
        tokens: Vec::new(),
        leased: 0,
        held: 0,
        fenced: 0,
    };
    for seed in 0..SEEDS {
        pair.begin(seed).await;
        for operation in 0..OPERATIONS {
            let what = pair.operate().await;
            pair.compare(&format!("seed {seed}, operation {operation}: {what}"))
                .await;
        }
    }
    // It was about something.
    assert!(
        pair.leased > 1_000 && pair.fenced > 100 && pair.held > 25,
        "{} {} {}",
        pair.leased,
        pair.fenced,
        pair.held
    );
}

fn place(steps: i64) -> Place {
    serde_json::from_value(json!({ "threads": [], "steps": steps, "next_thread": 1 })).unwrap()
}

impl Pair {
    async fn begin(&mut self, seed: u64) {
        for table in [
            "delete from crm_jobs",
            "delete from crm_deferrals",
            "delete from crm_suspensions",
            "delete from crm_concurrency",
            "delete from crm_quotas",
        ] {
            sqlx::query(table).execute(&mut self.owner).await.unwrap();
        }
        self.memory = Memory::default();
        self.dice = Dice::new(seed);
        self.now = DateTime::from_timestamp(1_900_000_000, 0).unwrap();
        self.tokens = vec![self.dice.uuid()];
    }

    async fn operate(&mut self) -> String {
        self.now += TimeDelta::milliseconds(self.dice.between(1, 3_000));
        match self.dice.below(21) {
            19..21 => self.behind().await,
            16 => self.line_up().await,
            17 => self.limit().await,
            18 => self.limit_tenant().await,
            0..3 => self.insert().await,
            3..7 => self.lease().await,
            7..11 => self.complete().await,
            11 => self.postpone().await,
            12 => self.defer().await,
            13 => self.wake().await,
            14 => self.retry_or_cancel().await,
            _ => self.suspend().await,
        }
    }

    fn tenant(&mut self) -> (TenantId, Uuid) {
        self.tenants[self.dice.below(self.tenants.len())]
    }

    fn later(&mut self) -> DateTime<Utc> {
        self.now + TimeDelta::milliseconds(self.dice.between(1, 9_000))
    }

    /// Any job there is, one in hand if possible.
    fn job(&mut self) -> Option<Key> {
        let all: Vec<Key> = self.memory.rows.keys().copied().collect();
        let is_leased = |job: &&Key| self.memory.rows[*job].state == State::Leased;
        let leased: Vec<Key> = all.iter().filter(is_leased).copied().collect();
        let from = match leased.is_empty() || self.dice.chance(200) {
            true => all,
            false => leased,
        };
        from.get(self.dice.below(from.len())).copied()
    }

    /// The token that a job is leased under, most of the time.
    fn token(&mut self, job: Key) -> Uuid {
        let right = self.memory.rows[&job].token;
        match right.filter(|_| !self.dice.chance(200)) {
            Some(token) => token,
            None => self.tokens[self.dice.below(self.tokens.len())],
        }
    }

    async fn insert(&mut self) -> String {
        let (tenant, event) = self.tenant();
        let jobs = 1 + self.dice.below(3);
        let jobs: Vec<JobId> = (0..jobs).map(|_| JobId::new(self.dice.uuid())).collect();
        for (number, job) in jobs.iter().enumerate() {
            let workflow = WORKFLOWS[self.dice.below(2)];
            let next = jobs.get(number + 1).copied();
            let mut row = Row::new(workflow, self.now, number > 0, next);
            row.priority = Priority::ALL[self.dice.below(3)];
            row.lane = LANES[self.dice.below(LANES.len())].to_owned();
            row.line = self.dice.chance(700).then_some(Line::Open);
            let state = name(row.state);
            sqlx::query(
                "insert into crm_jobs (
                    tenant_id, id, workflow_slug, event_id, module_slug, record_id, state,
                    available_at, created_at, next_job_id, priority, lane, line)
                select e.tenant_id, $3, $4, e.id, e.module_slug, e.record_id, $5, $6, $6, $7, $8, $9,
                    $10
                from crm_events e where e.tenant_id = $1 and e.id = $2",
            )
            .bind(tenant.uuid())
            .bind(event)
            .bind(job.uuid())
            .bind(workflow)
            .bind(state)
            .bind(self.now)
            .bind(next.map(JobId::uuid))
            .bind(row.priority.number())
            .bind(&row.lane)
            .bind(row.line.map(line))
            .execute(&mut self.owner)
            .await
            .unwrap();
            self.memory.rows.insert((tenant, *job), row);
        }
        format!("insert {jobs:?}")
    }

    /// Of jobs of one lane and priority that are due at the same moment PostgreSQL may take any.
    async fn lease(&mut self) -> String {
        let (now, until, token) = (self.now, self.later(), self.dice.uuid());
        let limit = 1 + self.dice.below(8);
        let after = match self.dice.chance(300) {
            true => None,
            false => Some(self.tenant().0),
        };
        let count = i32::try_from(limit).unwrap();
        let running = self.memory.running;
        let most = running.map(i64::unsigned_abs);
        let (times, store) = ((now, until), &self.store);
        let turns = crm_store::jobs::jobs_lease(store, times, token, count, after, most);
        let turns = turns.await.unwrap();
        for turn in &turns {
            let row = &self.memory.rows[&(turn.tenant, turn.job)];
            assert_eq!(turn.lane.as_str(), row.lane);
            assert_eq!(turn.priority, row.priority);
        }
        let leased: Vec<Key> = turns.iter().map(|turn| (turn.tenant, turn.job)).collect();
        let expected = self.memory.clone().lease(times, token, limit, after);
        let due = |jobs: &[Key]| {
            let due = jobs.iter().map(|job| {
                let row = &self.memory.rows[job];
                (job.0, row.priority, row.available_at, row.lane.clone())
            });
            let mut due: Vec<_> = due.collect();
            due.sort();
            due
        };
        let what = format!("lease at {now}, {limit} after {after:?}, {most:?} under way");
        assert_eq!(due(&leased), due(&expected), "{what}");
        let tenants = |jobs: &[Key]| jobs.iter().map(|job| job.0).collect::<Vec<_>>();
        assert_eq!(tenants(&leased), tenants(&expected), "{what}");
        let priorities = |jobs: &[Key]| {
            let jobs = jobs.iter().map(|job| self.memory.rows[job].priority);
            jobs.collect::<Vec<_>>()
        };
        if due(&leased).windows(2).all(|two| two[0] != two[1]) {
            assert_eq!(priorities(&leased), priorities(&expected), "{what}");
        }
        self.memory.lease_these(&leased, until, token);
        self.leased += u32::try_from(leased.len()).unwrap();
        self.tokens.push(token);
        self.load(&leased).await;
        what
    }

    async fn load(&mut self, leased: &[Key]) {
        let mut jobs: BTreeMap<TenantId, Vec<JobId>> = BTreeMap::new();
        for (tenant, job) in leased {
            jobs.entry(*tenant).or_default().push(*job);
        }
        for (tenant, jobs) in jobs {
            let loaded = crm_store::jobs::jobs_load(&self.store, tenant, &jobs).await;
            let (_, mut loaded) = loaded.unwrap();
            loaded.sort_by_key(|job| job.id);
            assert_eq!(loaded.len(), jobs.len());
            for job in loaded {
                let row = &self.memory.rows[&(tenant, job.id)];
                let counts = (job.attempt, job.failures, job.place);
                assert_eq!(counts, (row.attempts, row.failures, row.place.clone()));
                assert_eq!(job.workflow.to_string(), row.workflow);
            }
        }
    }

    async fn complete(&mut self) -> String {
        let Some(job) = self.job() else {
            return "nothing".to_owned();
        };
        let ended = Ended {
            token: self.token(job),
            state: [
                JobState::Queued,
                JobState::Queued,
                JobState::Done,
                JobState::Dead,
            ][self.dice.below(4)],
            available_at: match self.dice.chance(500) {
                true => Some(self.later()),
                false => None,
            },
            error: self.dice.chance(400).then(|| "it failed".to_owned()),
            place: match self.dice.chance(400) {
                true => Some(place(self.dice.between(0, 5))),
                false => None,
            },
        };
        let completion = Completion {
            job_id: job.1,
            lease_token: ended.token,
            state: ended.state,
            available_at: ended.available_at,
            error: ended.error.clone(),
            place: ended.place.clone(),
            outputs: None,
            effects: Vec::new(),
            log: None,
            keeps: Vec::new(),
            root: None,
        };
        let commit = Commit {
            tenant: job.0,
            model_version: 1,
            at: self.now,
            actor: &Actor::person("ada".parse().unwrap(), Vec::new()),
            cause: &Cause::User,
            depth: 0,
            changes: Vec::new(),
            clear: &[],
            jobs: &[],
            activities: &[],
            completion: Some(completion),
            receipt: None,
        };
        let committed = crm_store::commit::commit(&self.store, &commit).await;
        let expected = self.memory.complete(job, self.now, &ended);
        let what = format!("complete {job:?} {ended:?}");
        match (committed, expected) {
            (Ok(()), Ok(())) => {}
            (Err(StoreError::LeaseLost), Err(Lost)) => self.fenced += 1,
            (there, here) => panic!("{what}: {there:?}, in memory {here:?}"),
        }
        what
    }

    /// Some jobs of one tenant, and a token.
    fn some(&mut self) -> Option<(TenantId, Vec<JobId>, Uuid)> {
        let job = self.job()?;
        let token = self.token(job);
        let mut jobs = vec![job.1];
        let all: Vec<Key> = self.memory.rows.keys().copied().collect();
        let others = all
            .iter()
            .filter(|other| other.0 == job.0 && other.1 != job.1);
        jobs.extend(
            others
                .filter(|_| self.dice.chance(400))
                .map(|other| other.1),
        );
        Some((job.0, jobs, token))
    }

    async fn postpone(&mut self) -> String {
        let Some((tenant, jobs, token)) = self.some() else {
            return "nothing".to_owned();
        };
        let (until, reason) = (self.later(), REASONS[self.dice.below(2)]);
        let these = (&jobs[..], token);
        crm_store::jobs::jobs_postpone(&self.store, tenant, these, until, reason)
            .await
            .unwrap();
        self.memory.postpone(tenant, these, until, reason);
        format!("postpone {jobs:?} under {token}")
    }

    async fn behind(&mut self) -> String {
        let Some(job) = self.job() else {
            return "nothing".to_owned();
        };
        let (token, until) = (self.token(job), self.later());
        let there = crm_store::jobs::job_behind(&self.store, job.0, (job.1, token), until).await;
        let here = self.memory.behind(job, token, until);
        let what = format!("behind {job:?} under {token}");
        match (there, here) {
            (Ok(there), Ok(here)) => {
                assert_eq!(there, here, "{what}");
                self.held += u32::from(here);
            }
            (Err(StoreError::LeaseLost), Err(Lost)) => {}
            (there, here) => panic!("{what}: {there:?}, in memory {here:?}"),
        }
        what
    }

    async fn line_up(&mut self) -> String {
        let Some(job) = self.job() else {
            return "nothing".to_owned();
        };
        let (token, now) = (self.token(job), self.now);
        let lane = LANES[self.dice.below(LANES.len())];
        let stored = Lane::stored(lane.to_owned());
        crm_store::jobs::job_line_up(&self.store, job.0, (job.1, token), now, &stored)
            .await
            .unwrap();
        self.memory.line_up(job, token, now, lane);
        format!("line {job:?} up in “{lane}” under {token}")
    }

    /// What a tenant's model says of how many may be under way.
    async fn limit(&mut self) -> String {
        let (tenant, _) = self.tenant();
        let mut most = BTreeMap::new();
        for name in NAMES {
            if self.dice.chance(600) {
                most.insert(name.to_owned(), self.dice.below(4) as u32 + 1);
            }
        }
        if let Some(mut tx) = self.transaction(tenant).await {
            crm_store::jobs::concurrency_settle(&mut tx, &most)
                .await
                .unwrap();
            tx.commit().await.unwrap();
            self.memory.concurrency.retain(|(of, _), _| *of != tenant);
            let most = most.clone().into_iter();
            let most = most.map(|(name, most)| ((tenant, name), i64::from(most)));
            self.memory.concurrency.extend(most);
        }
        format!("limit {tenant} to {most:?}")
    }

    /// What is set of how many of a tenant's may be under way, or of any tenant's.
    async fn limit_tenant(&mut self) -> String {
        let (tenant, _) = self.tenant();
        let most = match self.dice.chance(500) {
            true => Some(self.dice.between(0, 5)),
            false => None,
        };
        match self.dice.below(3) {
            0 => self.memory.running = most,
            1 => {
                self.memory.own_running.insert(tenant, most);
                let statement =
                    "insert into crm_quotas as q values ($1, 'running', $2, now(), 'ada')
                    on conflict (tenant_id, quota) do update set amount = excluded.amount";
                let statement = sqlx::query(statement).bind(tenant.uuid()).bind(most);
                statement.execute(&mut self.owner).await.unwrap();
            }
            _ => {
                self.memory.own_running.remove(&tenant);
                let statement = "delete from crm_quotas where tenant_id = $1";
                let statement = sqlx::query(statement).bind(tenant.uuid());
                statement.execute(&mut self.owner).await.unwrap();
            }
        }
        format!("limit {tenant} or all to {most:?}")
    }

    /// A transaction of the tenant's; none where it is suspended, and so cannot write.
    async fn transaction(&mut self, tenant: TenantId) -> Option<TenantTx> {
        match self.memory.suspended.contains(&tenant) {
            true => None,
            false => Some(TenantTx::begin(&self.store, tenant).await.unwrap()),
        }
    }

    async fn defer(&mut self) -> String {
        let Some((tenant, jobs, token)) = self.some() else {
            return "nothing".to_owned();
        };
        let (now, until) = (self.now, self.later());
        if let Some(mut tx) = self.transaction(tenant).await {
            crm_store::quotas::jobs_defer(&mut tx, &jobs, token, now, until)
                .await
                .unwrap();
            tx.commit().await.unwrap();
            self.memory.defer(tenant, (&jobs, token), now, until);
        }
        format!("defer {jobs:?} under {token}")
    }

    async fn wake(&mut self) -> String {
        let (tenant, _) = self.tenant();
        let workflow = WORKFLOWS[self.dice.below(2)];
        if let Some(mut tx) = self.transaction(tenant).await {
            let slug: WorkflowSlug = workflow.parse().unwrap();
            crm_store::jobs::jobs_wake(&mut tx, &slug.into(), REASONS[0], self.now)
                .await
                .unwrap();
            tx.commit().await.unwrap();
            self.memory.wake(tenant, workflow, REASONS[0], self.now);
        }
        format!("wake {workflow} of {tenant}")
    }

    async fn retry_or_cancel(&mut self) -> String {
        let Some((tenant, mut jobs, _)) = self.some() else {
            return "nothing".to_owned();
        };
        jobs.sort();
        let retries = self.memory.rows[&(tenant, jobs[0])].state == State::Dead;
        let what = format!("retry {retries} or cancel {jobs:?}");
        if let Some(mut tx) = self.transaction(tenant).await {
            let (now, reason) = (self.now, "somebody said so");
            let there = match retries {
                true => runs_retry(&mut tx, &jobs, now).await,
                false => runs_cancel(&mut tx, &jobs, now, reason).await,
            };
            tx.commit().await.unwrap();
            let memory = &mut self.memory;
            let here = jobs.into_iter().filter(|job| match retries {
                true => memory.retry((tenant, *job), now),
                false => memory.cancel((tenant, *job), now, reason),
            });
            let here: Vec<JobId> = here.collect();
            let mut there = there.unwrap();
            there.sort();
            assert_eq!(there, here, "{what}");
        }
        what
    }

    async fn suspend(&mut self) -> String {
        let (tenant, _) = self.tenant();
        let statement = match self.memory.suspended.remove(&tenant) {
            true => "delete from crm_suspensions where tenant_id = $1",
            false => {
                self.memory.suspended.insert(tenant);
                "insert into crm_suspensions values ($1, now(), 'ada')"
            }
        };
        let statement = sqlx::query(statement).bind(tenant.uuid());
        statement.execute(&mut self.owner).await.unwrap();
        format!("suspend {tenant}, or not")
    }

    async fn compare(&mut self, what: &str) {
        type There = (
            Uuid,
            Uuid,
            String,
            String,
            i32,
            i32,
            DateTime<Utc>,
            Option<Uuid>,
            Option<String>,
            Option<Json<Place>>,
            Option<DateTime<Utc>>,
            Option<Uuid>,
        );
        let there: Vec<There> = sqlx::query_as(
            "select tenant_id, id,
                concat_ws(' ', workflow_slug, priority, lane, coalesce(line, '')), state, attempts,
                failures, available_at, lease_token, error, place, finished_at, next_job_id
            from crm_jobs order by tenant_id, id",
        )
        .fetch_all(&mut self.owner)
        .await
        .unwrap();
        let here = self.memory.rows.iter().map(|((tenant, job), row)| {
            (
                tenant.uuid(),
                job.uuid(),
                [
                    row.workflow.as_str(),
                    &row.priority.number().to_string(),
                    &row.lane,
                    row.line.map_or("", line),
                ]
                .join(" "),
                name(row.state).to_owned(),
                row.attempts,
                row.failures,
                row.available_at,
                row.token,
                row.error.clone(),
                row.place.clone().map(Json),
                row.finished_at,
                row.next.map(JobId::uuid),
            )
        });
        let here: Vec<There> = here.collect();
        assert_eq!(there, here, "{what}");
        let there: Vec<(Uuid, DateTime<Utc>)> =
            sqlx::query_as("select tenant_id, until from crm_deferrals order by tenant_id")
                .fetch_all(&mut self.owner)
                .await
                .unwrap();
        let here = self.memory.deferred.iter();
        let here: Vec<_> = here
            .map(|(tenant, until)| (tenant.uuid(), *until))
            .collect();
        assert_eq!(there, here, "{what}");
    }
}

fn line(line: Line) -> &'static str {
    match line {
        Line::Open => "open",
        Line::Held => "held",
        Line::Begun => "begun",
    }
}

fn name(state: State) -> &'static str {
    match state {
        State::Waiting => "waiting",
        State::Queued => "queued",
        State::Leased => "leased",
        State::Done => "done",
        State::Dead => "dead",
        State::Cancelled => "cancelled",
    }
}
