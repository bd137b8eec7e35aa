//! The runner of long tasks: takes one that is due, does it step by step, each step a short
//! transaction that also keeps the task's place, and holds the lease meanwhile. Whoever takes a
//! task over, after a crash, a stop or its turn, goes on where the last step ended; a lost lease writes
//! nothing. What a step does, the task's kind knows ([`crate::import`], [`crate::reindex`]).

use chrono::{DateTime, Utc};
use crm_model::limits::{LEASE_DEFAULT_SECONDS, TASK_MAX_ATTEMPTS, TASK_MAX_CONCURRENT};
use crm_model::permission::Action;
use crm_model::{Actor, ModuleSlug, TaskId, TenantId, UserId};
use crm_store::tasks::{Task, TaskSpec, TaskStatus};
use crm_store::{StoreError, TenantTx};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::read::{Page, PageRequest};
use crate::receipt::{ReceiptMaker, receipt_keep};
use crate::time::delta;
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

/// How a runner works.
#[derive(Clone, Copy, Debug)]
pub struct TaskSettings {
    /// Tasks side by side.
    pub concurrent: usize,
    /// How long a task is this runner's without a step; another takes it up after that.
    pub lease: Duration,
    /// How long a task is worked on before others that are due have their turn.
    pub turn: Duration,
    /// How often to look for tasks that others made.
    pub poll: Duration,
    /// The pause before a task is tried again that came to nothing.
    pub backoff: Duration,
}

impl Default for TaskSettings {
    fn default() -> Self {
        Self {
            concurrent: TASK_MAX_CONCURRENT,
            lease: Duration::from_secs(LEASE_DEFAULT_SECONDS),
            turn: Duration::from_secs(10),
            poll: Duration::from_millis(500),
            backoff: Duration::from_secs(2),
        }
    }
}

/// Pause after the database was away.
const AWAY_PAUSE: Duration = Duration::from_secs(1);

/// A task under a lease.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) tenant: TenantId,
    pub(crate) task: TaskId,
    pub(crate) token: Uuid,
    settings: TaskSettings,
}

/// How a step ended; where there is more to do, its state was kept in the step's transaction.
pub(crate) enum StepEnd {
    More(Value),
    Done,
    /// Nothing was done: again not before so long, which is no failed attempt.
    Wait(Duration),
    /// For people: it will never work.
    Failed(String),
}

/// What somebody may see of tasks and imports.
pub(crate) struct Sight {
    /// Others' too: those of people who may manage a module.
    pub(crate) others: bool,
    pub(crate) readable: Vec<ModuleSlug>,
}

impl Sight {
    /// Whose things a list is restricted to.
    pub(crate) fn only<'a>(&self, actor: &'a Actor) -> Option<&'a UserId> {
        (!self.others).then_some(&actor.user_id)
    }

    pub(crate) fn covers(&self, actor: &Actor, created_by: &str) -> bool {
        self.others || actor.user_id.as_str() == created_by
    }
}

impl Held {
    pub(crate) fn until(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + delta(self.settings.lease)
    }

    /// Keeps the task's place in the step's own transaction.
    pub(crate) async fn keep_place(
        &self,
        tx: &mut TenantTx,
        state: &Value,
    ) -> Result<(), StoreError> {
        let now = fresh::now();
        crm_store::tasks::task_step(tx, self.task, self.token, state, now, self.until(now)).await
    }
}

impl Engine {
    /// Works on tasks until `stop`; steps that are under way come to their end.
    pub async fn work_tasks(&self, settings: TaskSettings, stop: CancellationToken) {
        let mut running = JoinSet::new();
        while !stop.is_cancelled() {
            while running.try_join_next().is_some() {}
            if running.len() >= settings.concurrent {
                running.join_next().await;
                continue;
            }
            let pause = match self.task_take(settings).await {
                Ok(Some(held)) => {
                    let (engine, stop) = (self.clone(), stop.clone());
                    running.spawn(async move { engine.task_run(&held, &stop).await });
                    continue;
                }
                Ok(None) => settings.poll,
                Err(error) => {
                    tracing::warn!(%error, "no tasks can be leased");
                    AWAY_PAUSE
                }
            };
            tokio::select! {
                () = self.inner.tasks_waiting.notified() => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// Tells this process's runner that a task was queued; call it after the commit.
    pub(crate) fn tasks_notify(&self) {
        self.inner.tasks_waiting.notify_one();
    }

    async fn task_take(&self, settings: TaskSettings) -> Result<Option<Held>, StoreError> {
        let (now, token) = (fresh::now(), fresh::token());
        let until = now + delta(settings.lease);
        let taken = crm_store::tasks::task_lease(self.store(), now, until, token).await?;
        Ok(taken.map(|(tenant, task)| Held {
            tenant,
            task,
            token,
            settings,
        }))
    }

    async fn task_run(&self, held: &Held, stop: &CancellationToken) {
        let ended = tokio::select! {
            ended = self.task_steps(held, stop) => ended,
            lost = self.task_hold(held) => Err(lost.into()),
        };
        let Err(error) = ended else { return };
        if let Err(error) = self.task_give_up(held, error).await {
            tracing::warn!(task.id = %held.task, %error, "the task's end could not be written");
        }
    }

    /// Holds the lease for as long as it is there; what it returns is why it no longer is.
    async fn task_hold(&self, held: &Held) -> StoreError {
        loop {
            tokio::time::sleep(held.settings.lease / 3).await;
            let extended = async {
                let mut tx = TenantTx::begin(self.store(), held.tenant).await?;
                let until = held.until(fresh::now());
                crm_store::tasks::task_extend(&mut tx, held.task, held.token, until).await?;
                tx.commit().await
            };
            match extended.await {
                Ok(()) => {}
                Err(lost @ StoreError::LeaseLost) => return lost,
                Err(error) => {
                    tracing::warn!(task.id = %held.task, %error, "the lease was not extended");
                }
            }
        }
    }

    async fn task_steps(&self, held: &Held, stop: &CancellationToken) -> Result<(), EngineError> {
        let mut tx = TenantTx::begin(self.store(), held.tenant).await?;
        let task = crm_store::tasks::task_read(&mut tx, held.task).await?;
        drop(tx);
        let task = task.ok_or(EngineError::NotFound("task"))?;
        if task.attempts > TASK_MAX_ATTEMPTS {
            let last = task
                .error
                .as_deref()
                .unwrap_or("the runner stopped in its middle");
            let message = format!("none of {TASK_MAX_ATTEMPTS} attempts came further: {last}");
            return Ok(self.task_end(held, Some(&message)).await?);
        }
        let by: UserId = task
            .created_by
            .parse()
            .map_err(|error| StoreError::corrupt("user", error))?;
        let mut state = task.state;
        let began = Instant::now();
        let mut steps = 0_u32;
        loop {
            let has_had_turn = steps > 0 && began.elapsed() >= held.settings.turn;
            if has_had_turn || stop.is_cancelled() {
                self.task_give_back(held, fresh::now(), None).await?;
                self.tasks_notify();
                return Ok(());
            }
            steps += 1;
            match self.task_step(held, &task.spec, &by, state).await? {
                StepEnd::More(next) => state = next,
                StepEnd::Done => return Ok(self.task_end(held, None).await?),
                StepEnd::Wait(pause) => {
                    return Ok(self
                        .task_give_back(held, fresh::now() + pause, None)
                        .await?);
                }
                StepEnd::Failed(message) => {
                    return Ok(self.task_end(held, Some(&message)).await?);
                }
            }
        }
    }

    async fn task_step(
        &self,
        held: &Held,
        spec: &TaskSpec,
        by: &UserId,
        state: Value,
    ) -> Result<StepEnd, EngineError> {
        match spec {
            TaskSpec::Import(plan) => self.import_step(held, plan, state).await,
            TaskSpec::Reindex {
                module,
                fields,
                words,
            } => {
                let what = (module, fields.as_slice(), *words);
                self.reindex_step(held, by, what, state).await
            }
            TaskSpec::FieldRemove { module, field } => {
                self.field_remove_step(held, module, field, state).await
            }
            TaskSpec::ModuleRemove { module } => self.module_remove_step(held, module, state).await,
        }
    }

    /// After an error: again later, where that can help.
    async fn task_give_up(&self, held: &Held, error: EngineError) -> Result<(), StoreError> {
        match error {
            EngineError::Store(StoreError::LeaseLost) => {
                tracing::info!(task.id = %held.task, "the task was cancelled or taken over");
                Ok(())
            }
            EngineError::Refused(_)
            | EngineError::NotFound(_)
            | EngineError::Forbidden(_)
            | EngineError::Conflict(_)
            | EngineError::Quota(_) => self.task_end(held, Some(&error.to_string())).await,
            EngineError::Store(StoreError::Corrupt { .. }) => {
                tracing::error!(task.id = %held.task, %error, "a task cannot be read");
                self.task_end(held, Some("the task cannot be read by this version"))
                    .await
            }
            other => {
                tracing::warn!(task.id = %held.task, error = %other, "a task's step failed");
                let due = fresh::now() + held.settings.backoff;
                let message = "a step failed inside the host; the log has the rest";
                self.task_give_back(held, due, Some(message)).await
            }
        }
    }

    async fn task_give_back(
        &self,
        held: &Held,
        due: DateTime<Utc>,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut tx = TenantTx::begin(self.store(), held.tenant).await?;
        crm_store::tasks::task_release(&mut tx, held.task, held.token, due, error).await?;
        tx.commit().await
    }

    async fn task_end(&self, held: &Held, error: Option<&str>) -> Result<(), StoreError> {
        let status = if error.is_none() { "done" } else { "failed" };
        metrics::counter!("crm_tasks_total", "status" => status).increment(1);
        let mut tx = TenantTx::begin(self.store(), held.tenant).await?;
        let now = fresh::now();
        crm_store::tasks::task_finish(&mut tx, held.task, held.token, error, now).await?;
        tx.commit().await
    }

    /// A page of tasks, newest first: your own, and everybody's for those who may manage a
    /// module.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn tasks(
        &self,
        tenant: TenantId,
        actor: &Actor,
        page: PageRequest<TaskId>,
    ) -> Result<Page<Task>, EngineError> {
        let (mut tx, sight) = self.begin_sight(tenant, actor).await?;
        let (by, limit) = (sight.only(actor), page.limit + 1);
        let rows = crm_store::tasks::tasks_page(&mut tx, by, page.before, limit).await?;
        Ok(Page::cut(rows, page.limit))
    }

    /// One task.
    ///
    /// # Errors
    /// [`EngineError::NotFound`].
    pub async fn task(
        &self,
        tenant: TenantId,
        actor: &Actor,
        id: TaskId,
    ) -> Result<Task, EngineError> {
        let (mut tx, sight) = self.begin_sight(tenant, actor).await?;
        crm_store::tasks::task_read(&mut tx, id)
            .await?
            .filter(|task| sight.covers(actor, &task.created_by))
            .ok_or(EngineError::NotFound("task"))
    }

    /// Stops a task; what its steps committed stays. Cancelling again changes nothing.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]; [`EngineError::Conflict`] where it has come to another end;
    /// [`EngineError::Forbidden`] for work that the model needs.
    pub async fn task_cancel(
        &self,
        tenant: TenantId,
        actor: Actor,
        id: TaskId,
        receipt: Option<ReceiptMaker<Task>>,
    ) -> Result<Task, EngineError> {
        let task = self.task(tenant, &actor, id).await?;
        if !matches!(task.spec, TaskSpec::Import(_)) {
            return Err(EngineError::Forbidden(
                "this work follows from a change of the model; change the model instead",
            ));
        }
        let engine = self.clone();
        uncancelled(async move {
            let mut tx = TenantTx::begin(engine.store(), tenant).await?;
            crm_store::tasks::task_cancel(&mut tx, id, fresh::now()).await?;
            let task = crm_store::tasks::task_read(&mut tx, id).await?;
            let task = task.ok_or(EngineError::NotFound("task"))?;
            if task.status != TaskStatus::Cancelled {
                let end = task.status.name();
                let message = format!("the task has come to its end: it is {end}");
                return Err(EngineError::Conflict(message));
            }
            receipt_keep(&mut tx, &actor, receipt.as_ref(), &task).await?;
            tx.commit().await?;
            Ok(task)
        })
        .await
    }

    pub(crate) async fn begin_sight(
        &self,
        tenant: TenantId,
        actor: &Actor,
    ) -> Result<(TenantTx, Sight), EngineError> {
        let tx = TenantTx::begin(self.store(), tenant).await?;
        let model = self.model_at(tenant, tx.model_version()).await?;
        let permissions = model.map_or_else(Default::default, |model| model.permissions(actor));
        let may = |action| {
            permissions
                .values()
                .any(|actions| actions.contains(&action))
        };
        let sight = Sight {
            others: may(Action::Manage),
            readable: permissions
                .iter()
                .filter(|(_, actions)| actions.contains(&Action::Read))
                .map(|(module, _)| module.clone())
                .collect(),
        };
        Ok((tx, sight))
    }
}
