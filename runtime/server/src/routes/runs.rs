//! `/runs`: what the workflows and the template's `after-event` did, why it failed, what comes next.

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use crm_engine::PAUSED;
use crm_engine::read::PageRequest;
use crm_model::{JobId, ModuleSlug, Priority, RunSource, Violations, WorkflowSlug};
use crm_store::runs::{Attempt, Run, RunFilter};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Parameters, segment};
use crate::page::{List, PageParameters};
use crate::problem::{Problem, ProblemBody};
use crate::routes::effects::EffectBody;
use crate::routes::workflows::visible;

const STATUSES: [&str; 5] = ["queued", "running", "done", "dead", "cancelled"];

/// A workflow, or the template's `after-event`, that an event started.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Run)]
pub(crate) struct RunBody {
    id: String,
    /// The workflow's name; `template:` and the template's for a run of its `after-event`.
    #[schema(example = "welcome")]
    workflow: String,
    /// The version of the workflow, where 0 is the template's own; null for a template's hook, and
    /// for what began before there were versions.
    workflow_version: Option<i32>,
    module: String,
    record_id: String,
    event_id: String,
    /// `queued`, `running`, `done`, `dead` or `cancelled`.
    status: &'static str,
    attempts: i32,
    /// `interactive`, `normal` or `bulk`: of a tenant's runs that are due, the more urgent ones
    /// begin first.
    priority: &'static str,
    /// Why the last attempt did not succeed, or was skipped.
    error: Option<String>,
    created_at: DateTime<Utc>,
    /// When a queued run is due.
    due_at: Option<DateTime<Utc>>,
    /// What a queued run waits for beside its turn: `order`, a run of the same event whose workflow
    /// comes before its own; `earlier_run`, one of the same record, where they go in order; `fuel`,
    /// of which the tenant has used up what it may until `due_at`; `delay`, a step that waits until
    /// then; `event`, `approval` and `call`, one that waits until then at most for something to
    /// come; `pause`, because its workflow is paused; `plugin`, which is switched off, stopped, or
    /// left alone after failures; `suspension`, of the tenant; `tenant_limit`, `workflow_limit` or
    /// `plugin_limit`, as many runs being under way as may be at once.
    waits_for: Option<&'static str>,
    /// Why nothing moves the run any more, where that is not on purpose: `unclaimed`, it has been
    /// due for more than ten minutes and nobody took it; `lease_over`, whoever took it has been
    /// silent for so long after its time was over; `behind`, it has waited for so long for the run
    /// before it; `no_end`, it is taken again and again and comes to no end.
    stuck: Option<String>,
    /// What it handed to the run that called it, as its `stop` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<Value>,
    finished_at: Option<DateTime<Utc>>,
}

/// A run with the log of its attempts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunDetail)]
pub(crate) struct RunDetailBody {
    #[serde(flatten)]
    run: RunBody,
    log: Vec<AttemptBody>,
    /// What it asked for beyond records, and what became of that.
    effects: Vec<EffectBody>,
}

/// One attempt at a step of a run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
struct AttemptBody {
    /// The step that it was for; none for runs from before there was more than one.
    step: Option<String>,
    /// Counts from 1, at each step anew.
    attempt: i32,
    /// `done`, `skipped` or `failed`.
    status: String,
    /// The event and the configuration, as the plugin got them.
    input: Value,
    /// What was called: action, version, status, fuel, memory, duration, log lines.
    steps: Value,
    /// What the plugin proposed; committed where the status is `done`.
    mutations: Value,
    /// Units, about one per WebAssembly instruction.
    fuel: i64,
    memory_bytes: i64,
    duration_us: i64,
    error: Option<String>,
    started_at: DateTime<Utc>,
}

impl From<Run> for RunBody {
    fn from(run: Run) -> Self {
        let status = match run.state.as_str() {
            "leased" => "running",
            "done" => "done",
            "dead" => "dead",
            "cancelled" => "cancelled",
            _ => "queued",
        };
        let is_queued = run.state == "queued";
        let deferred = run.deferred_until.filter(|until| *until > run.available_at);
        let waits_for = match run.state.as_str() {
            "waiting" | "queued" if run.is_suspended => Some("suspension"),
            "waiting" => Some("order"),
            "queued" if deferred.is_some() => Some("fuel"),
            // Whatever it waited for before, of which its error may still speak.
            "queued" if run.is_held => Some("earlier_run"),
            "queued" if run.error.as_deref() == Some(PAUSED) => Some("pause"),
            // What failed and is tried again has counted that.
            "queued" if run.error.is_some() && run.failures == 0 => Some("plugin"),
            "queued" => match (run.rests_for.as_deref(), run.full.as_deref()) {
                (Some("event"), _) => Some("event"),
                (Some("approval"), _) => Some("approval"),
                (Some("call"), _) => Some("call"),
                (Some(_), _) => Some("delay"),
                (None, full) => full.map(limit_name),
            },
            _ => None,
        };
        Self {
            id: run.id.to_string(),
            workflow: run.workflow_slug,
            workflow_version: run.workflow_version,
            module: run.module_slug.to_string(),
            record_id: run.record_id.to_string(),
            event_id: run.event_id.to_string(),
            due_at: is_queued.then(|| deferred.unwrap_or(run.available_at)),
            waits_for,
            status,
            stuck: run.stuck,
            attempts: run.attempts,
            priority: Priority::of_number(run.priority).unwrap_or_default().name(),
            error: run.error,
            outputs: run.outputs.map(|outputs| outputs.0),
            created_at: run.created_at,
            finished_at: run.finished_at,
        }
    }
}

/// Which limit a run waits for, by its name in the store.
fn limit_name(name: &str) -> &'static str {
    match name.split_once(':') {
        None => "tenant_limit",
        Some(("workflow", _)) => "workflow_limit",
        Some(_) => "plugin_limit",
    }
}

impl From<Attempt> for AttemptBody {
    fn from(attempt: Attempt) -> Self {
        Self {
            attempt: attempt.attempt,
            step: attempt.step,
            status: attempt.status,
            input: attempt.input.0,
            steps: attempt.steps.0,
            mutations: attempt.mutations.0,
            fuel: attempt.fuel,
            memory_bytes: attempt.memory_bytes,
            duration_us: attempt.duration_us,
            error: attempt.error,
            started_at: attempt.started_at,
        }
    }
}

/// Which runs: those for which all of it holds.
#[derive(Clone, Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
#[schema(as = RunSelection)]
pub(crate) struct RunParameters {
    /// A workflow's name, or `template:` and the template's.
    workflow: Option<String>,
    /// `queued`, `running`, `done`, `dead` or `cancelled`.
    status: Option<String>,
    record_id: Option<String>,
    /// Of the workflow, or of the records.
    module: Option<String>,
    /// Begun not before this moment.
    from: Option<DateTime<Utc>>,
    /// Begun before this moment.
    to: Option<DateTime<Utc>>,
    /// A part of the run's error, as it is written.
    error_contains: Option<String>,
    /// `true`: those alone that nothing moves any more, and that not on purpose.
    #[serde(default)]
    stuck: bool,
    /// Runs on a page: 1 to 200, 50 unless given. Where something is done to them, how many at once:
    /// 1 to 500, 500 unless given.
    pub(crate) limit: Option<u32>,
    /// `next_cursor` of the page, or the answer, before.
    pub(crate) cursor: Option<String>,
}

impl RunParameters {
    fn page(&self) -> Result<PageRequest<JobId>, Problem> {
        let (limit, cursor) = (self.limit, self.cursor.clone());
        PageParameters {
            limit,
            cursor,
            include: None,
        }
        .request()
    }

    /// Whether it says nothing of which.
    pub(crate) fn is_open(&self) -> bool {
        let texts = [
            &self.workflow,
            &self.status,
            &self.record_id,
            &self.module,
            &self.error_contains,
        ];
        texts.iter().all(|text| text.is_none())
            && self.from.is_none()
            && self.to.is_none()
            && !self.stuck
    }

    pub(crate) fn filter(self) -> Result<RunFilter, Problem> {
        let mut violations = Violations::default();
        if self
            .status
            .as_deref()
            .is_some_and(|status| !STATUSES.contains(&status))
        {
            let message = format!("use one of: {}", STATUSES.join(", "));
            violations.add("/status".to_owned(), "enum", message);
        }
        let record = self.record_id.as_deref().map(str::parse).transpose();
        if record.is_err() {
            violations.add(
                "/record_id".to_owned(),
                "format",
                "is not the id of a record",
            );
        }
        let workflow = self.workflow.as_deref().map(str::parse::<RunSource>);
        if matches!(workflow, Some(Err(_))) {
            violations.add("/workflow".to_owned(), "format", "is not a workflow's name");
        }
        let module = self.module.as_deref().map(str::parse::<ModuleSlug>);
        let module = module.transpose();
        if module.is_err() {
            violations.add("/module".to_owned(), "format", "is not a module's name");
        }
        violations.into_result().map_err(Problem::invalid)?;
        let state = self.status.map(|status| match status.as_str() {
            "running" => "leased".to_owned(),
            _ => status,
        });
        Ok(RunFilter {
            workflow: self.workflow,
            state,
            record: record.ok().flatten(),
            module: module.ok().flatten(),
            from: self.from,
            to: self.to,
            error_contains: self.error_contains,
            is_stuck: self.stuck,
        })
    }
}

async fn list(
    app: &App,
    caller: &Caller,
    parameters: RunParameters,
) -> Result<Json<List<RunBody>>, Problem> {
    let page = parameters.page()?;
    let filter = parameters.filter()?;
    let page = app
        .engine
        .runs(caller.tenant, &caller.actor, &filter, page)
        .await?;
    Ok(Json(List::page(
        page,
        |run| run.id.to_string(),
        RunBody::from,
    )))
}

/// Runs, newest first.
#[utoipa::path(get, path = "/runs", tag = "workflows", params(RunParameters),
    responses((status = 200, body = List<RunBody>), (status = 403, body = ProblemBody)))]
pub(crate) async fn runs_list(
    State(app): State<App>,
    caller: Caller,
    Parameters(parameters): Parameters<RunParameters>,
) -> Result<Json<List<RunBody>>, Problem> {
    list(&app, &caller, parameters).await
}

/// Runs of one workflow, newest first.
#[utoipa::path(get, path = "/workflows/{id}/runs", tag = "workflows",
    params(("id" = String, Path), PageParameters),
    responses(
        (status = 200, body = List<RunBody>),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn workflow_runs_list(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Parameters(PageParameters { limit, cursor, .. }): Parameters<PageParameters>,
) -> Result<Json<List<RunBody>>, Problem> {
    let workflow: WorkflowSlug = segment(&id)?;
    let parameters = RunParameters {
        workflow: Some(workflow.to_string()),
        limit,
        cursor,
        ..RunParameters::default()
    };
    let runs = list(&app, &caller, parameters).await?;
    let visible = visible(&app, &caller).await?;
    let known = visible.iter().any(|known| known.id == workflow.as_str());
    match known {
        true => Ok(runs),
        false => Err(Problem::not_found()),
    }
}

/// Which attempt, and for whom.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BundleParameters {
    /// The attempt's number; the last one unless given.
    attempt: Option<i32>,
    /// `personal_data`: without values of fields that are marked so, for the plugin's author. Such
    /// a bundle shows what happened but cannot be replayed to the byte.
    redact: Option<String>,
}

/// A run as a file: all that the plugin was told and answered, its component's digest, limits and
/// fuel. `crm plugin replay` runs it again, on any machine. For those who manage everything.
#[utoipa::path(get, path = "/runs/{id}/bundle", tag = "workflows",
    params(("id" = String, Path), BundleParameters),
    responses(
        (status = 200, body = Object),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn run_bundle(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Parameters(parameters): Parameters<BundleParameters>,
) -> Result<Json<Value>, Problem> {
    let redacted = match parameters.redact.as_deref() {
        None => false,
        Some("personal_data") => true,
        Some(_) => {
            let message = "use personal_data, or leave it out";
            return Err(Problem::invalid(Violations::one(
                "/redact", "enum", message,
            )));
        }
    };
    let bundle = app
        .engine
        .run_bundle(
            caller.tenant,
            &caller.actor,
            segment(&id)?,
            parameters.attempt,
            redacted,
        )
        .await?;
    serde_json::to_value(&bundle)
        .map(Json)
        .map_err(|error| crm_engine::EngineError::Internal(error.to_string()).into())
}

/// One run: input, mutations, fuel, duration and error of each attempt.
#[utoipa::path(get, path = "/runs/{id}", tag = "workflows",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = RunDetailBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
    ))]
pub(crate) async fn run_get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<RunDetailBody>, Problem> {
    let (run, attempts, effects) = app
        .engine
        .run(caller.tenant, &caller.actor, segment(&id)?)
        .await?;
    let log = attempts.into_iter().map(AttemptBody::from).collect();
    Ok(Json(RunDetailBody {
        run: run.into(),
        log,
        effects: effects.into_iter().map(EffectBody::from).collect(),
    }))
}
