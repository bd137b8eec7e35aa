//! What a call leaves behind.

use crm_model::effect::Attachment;
use crm_model::limits::EMAIL_MAX_ATTACHMENTS;
use crm_model::{Effect, Mutation};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::failure::{RunFailure, over};
use crate::host::journal::Exchange;

/// What a run wants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub mutations: Vec<Mutation>,
    #[serde(default)]
    pub effects: Vec<Effect>,
}

impl Outcome {
    /// Puts files to the mails that they go with.
    pub(crate) fn with_attachments(
        mut self,
        attached: Vec<(u32, Attachment)>,
    ) -> Result<Self, RunFailure> {
        for (place, file) in attached {
            let index = usize::try_from(place).unwrap_or(usize::MAX);
            let Some(Effect::Email(mail)) = self.effects.get_mut(index) else {
                return Err(RunFailure::nonsense(format!(
                    "“{}” is attached to effect {}, which is no mail",
                    file.name,
                    u64::from(place) + 1
                )));
            };
            mail.attachments.push(file);
            over("attachments", mail.attachments.len(), EMAIL_MAX_ATTACHMENTS)?;
        }
        Ok(self)
    }
}

/// The account of one call of an action.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionReport {
    /// The mutations and effects that it proposes, decoded and counted but not yet checked against
    /// any model or grant; or why there are none.
    pub outcome: Result<Outcome, RunFailure>,
    /// Units of fuel that it used, about one per instruction.
    pub fuel: u64,
    /// The most linear memory that it held.
    pub memory_bytes: usize,
    /// From the instance's start to its answer, without waiting for a turn.
    pub duration: Duration,
    /// What it wrote to its log, oldest first.
    pub logs: Vec<LogLine>,
    /// Whether it wrote more than is kept.
    pub log_truncated: bool,
    /// What it asked and was told, in order.
    pub journal: Vec<Exchange>,
}

impl ActionReport {
    /// The report of a call that never got an instance.
    pub(crate) fn not_run(failure: RunFailure) -> Self {
        Self {
            outcome: Err(failure),
            fuel: 0,
            memory_bytes: 0,
            duration: Duration::ZERO,
            logs: Vec::new(),
            log_truncated: false,
            journal: Vec::new(),
        }
    }
}

/// One line of a run's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    pub level: LogLevel,
    pub message: String,
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}
