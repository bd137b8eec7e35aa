//! One call of an action, or of a template's `after-event`, as a server makes it: the same sandbox and limits, the event cut down to
//! what is granted, what it asks for held against the grant.

mod granted;

use anyhow::{Context, Result, bail};
use crm_model::manifest::World;
use crm_model::{Grant, Manifest};
use crm_sandbox::{
    ActionCall, ActionReport, Answer, BUNDLE_FORMAT, Bundle, Digest, GuestHost, GuestLimits,
    LimitOverrides, Plugin, Question, Sandbox,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

use super::author;
use super::fixture::{FixtureHost, Situation};
use granted::refused;

/// An action, or a template, that is ready to be called.
pub(crate) struct Runner {
    sandbox: Sandbox,
    plugin: Arc<Plugin>,
}

/// A call and what became of it.
pub(crate) struct Run {
    pub(crate) call: ActionCall,
    pub(crate) report: ActionReport,
    /// What it asked for and was not granted; a server would refuse the run.
    pub(crate) refused: Vec<String>,
}

impl Runner {
    /// Compiles an action.
    ///
    /// # Errors
    /// A sentence: why the component is refused, or that it is a template.
    pub(crate) fn new(component: &[u8]) -> Result<Self> {
        Self::limited(component, None)
    }

    /// Compiles an action, for calls under these limits; those of its class if there are none.
    ///
    /// # Errors
    /// As [`Runner::new`].
    pub(crate) fn limited(component: &[u8], limits: Option<GuestLimits>) -> Result<Self> {
        let sandbox = author::sandbox(limits)?;
        let plugin = tokio::task::block_in_place(|| sandbox.load(component))
            .context("the component is refused; `crm plugin check` says more")?;
        Self::of(sandbox, plugin)
    }

    /// A component that is compiled already.
    ///
    /// # Errors
    /// That it is a template.
    pub(crate) fn of(sandbox: Sandbox, plugin: Arc<Plugin>) -> Result<Self> {
        let manifest = plugin.manifest();
        if manifest.world == World::Template && manifest.hooks.after_event.is_empty() {
            bail!(
                "{} is a template that is told of no events; `crm plugin check` calls a template \
                 for its model",
                manifest.name
            );
        }
        Ok(Self { sandbox, plugin })
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        self.plugin.manifest()
    }

    pub(crate) fn digest(&self) -> Digest {
        self.plugin.digest()
    }

    pub(crate) fn limits(&self) -> GuestLimits {
        self.sandbox
            .limits_of(&self.plugin, &LimitOverrides::default())
    }

    /// Calls it once.
    pub(crate) async fn run(&self, situation: &Situation) -> Run {
        let Situation { occasion, world } = situation;
        let declared = self.manifest().capabilities.clone();
        let granted = world.grant.clone().unwrap_or_else(|| declared.clone());
        let grant = Grant::new(declared, granted);
        let call = ActionCall {
            tenant: None,
            event: Arc::new(occasion.event.granted(&grant)),
            configuration: Arc::new(occasion.configuration.to_string()),
            settings: Arc::new(Value::Object(world.settings.clone()).to_string()),
            zone: occasion.zone.as_str().into(),
            locale: occasion.locale.as_str().into(),
            idempotency_key: occasion.idempotency_key.clone(),
            seed: occasion.seed,
            grant: grant.clone(),
            plan: LimitOverrides::default(),
        };
        let host = Box::new(FixtureHost::new(world, grant));
        self.call(call, host).await
    }

    /// Calls it with a call that is made already.
    pub(crate) async fn call(&self, call: ActionCall, host: Box<dyn GuestHost>) -> Run {
        let grant = call.grant.clone();
        let report = self
            .sandbox
            .run_action(&self.plugin, call.clone(), host)
            .await;
        let refused = match &report.outcome {
            Ok(outcome) => refused(&grant, outcome),
            Err(_) => Vec::new(),
        };
        Run {
            call,
            report,
            refused,
        }
    }
}

impl Run {
    /// The run as a file that can be run again.
    pub(crate) fn bundle(&self, runner: &Runner) -> Bundle {
        let manifest = runner.manifest();
        Bundle {
            format: BUNDLE_FORMAT.to_owned(),
            plugin: manifest.name.clone(),
            version: manifest.version.clone(),
            digest: runner.digest(),
            limits: runner.limits(),
            call: (&self.call).into(),
            journal: self.report.journal.clone(),
            result: (&self.report).into(),
            redacted: false,
        }
    }

    /// What became of it, as cases expect it: no times, no fuel.
    pub(crate) fn result(&self) -> Value {
        let mut result = Map::new();
        match &self.report.outcome {
            Ok(outcome) => {
                result.insert("mutations".to_owned(), json!(outcome.mutations));
                if !outcome.effects.is_empty() {
                    result.insert("effects".to_owned(), json!(outcome.effects));
                }
            }
            Err(failure) => {
                result.insert("failure".to_owned(), json!(failure.code()));
                result.insert("message".to_owned(), json!(failure.to_string()));
            }
        }
        let state = self.state();
        if !state.is_empty() {
            result.insert("state".to_owned(), Value::Object(state));
        }
        if !self.refused.is_empty() {
            result.insert("refused".to_owned(), json!(self.refused));
        }
        Value::Object(result)
    }

    /// What it keeps for later: the last value of each key, null where it is gone.
    fn state(&self) -> Map<String, Value> {
        let mut state = Map::new();
        for exchange in &self.report.journal {
            if exchange.answer != Answer::Done {
                continue;
            }
            match &exchange.question {
                Question::StateSet { key, value } => {
                    let value = serde_json::from_str(value).unwrap_or(Value::Null);
                    state.insert(key.clone(), value);
                }
                Question::StateDelete { key } => {
                    state.insert(key.clone(), Value::Null);
                }
                _ => {}
            }
        }
        state
    }

    /// Everything there is to say, for programs.
    pub(crate) fn account(&self, digest: Digest) -> Value {
        let report = &self.report;
        let mut account = self.result();
        if let Value::Object(account) = &mut account {
            account.insert("component".to_owned(), json!(digest));
            account.insert("fuel".to_owned(), json!(report.fuel));
            account.insert("memory_bytes".to_owned(), json!(report.memory_bytes));
            let microseconds = report.duration.as_micros();
            account.insert("duration_microseconds".to_owned(), json!(microseconds));
            account.insert("logs".to_owned(), json!(report.logs));
            account.insert("log_truncated".to_owned(), json!(report.log_truncated));
            account.insert("journal".to_owned(), json!(report.journal));
        }
        account
    }
}
