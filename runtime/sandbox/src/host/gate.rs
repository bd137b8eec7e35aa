//! The one way from a guest's question to its answer, beneath all interfaces and versions of the
//! contract: counted, measured, held against the grant, answered in time, written down.

use crm_model::Grant;
use std::time::Instant;
use wasmtime::{StoreContextMut, Trap};

use super::journal::Exchange;
use super::question::{Answer, GuestHost, Question, Refusal};
use crate::class::GuestLimits;
use crate::contract::bindings::action::crm::plugin::types as wit;
use crate::store::GuestState;

/// Where a call's questions go.
pub(crate) struct Gate {
    host: Option<Box<dyn GuestHost>>,
    grant: Grant,
    asked: u32,
    max_calls: u32,
    max_bytes: usize,
    refused_calls: bool,
    journal: Vec<Exchange>,
}

impl Gate {
    pub(crate) fn new(host: Box<dyn GuestHost>, grant: Grant, limits: &GuestLimits) -> Self {
        Self {
            host: Some(host),
            grant,
            asked: 0,
            max_calls: limits.max_host_calls,
            max_bytes: limits.input_max_bytes,
            refused_calls: false,
            journal: Vec::new(),
        }
    }

    /// What was asked and answered, in order.
    pub(crate) fn into_journal(self) -> Vec<Exchange> {
        self.journal
    }

    /// Whether the guest asked more often than it may.
    pub(crate) fn refused_calls(&self) -> bool {
        self.refused_calls
    }

    /// Whether the grant names what is asked for at all.
    fn check(&self, question: &Question) -> Result<(), Refusal> {
        if question.text_bytes() > self.max_bytes {
            return Err(Refusal::Limited(format!(
                "a question has at most {} bytes; this one has {}",
                self.max_bytes,
                question.text_bytes()
            )));
        }
        match question {
            Question::RecordGet { module, .. }
            | Question::RecordQuery { module, .. }
            | Question::RecordAggregate { module, .. } => {
                if self.grant.may_read_module(module) {
                    return Ok(());
                }
                Err(Refusal::Denied(format!(
                    "the plugin may not read records of “{module}”"
                )))
            }
            Question::SecretHandle { name } => {
                if self.grant.may_send(name) {
                    return Ok(());
                }
                Err(Refusal::Denied(format!(
                    "the plugin may not send the secret “{name}”"
                )))
            }
            Question::StateGet { .. }
            | Question::StateSet { .. }
            | Question::StateDelete { .. } => {
                if self.grant.may_keep_state() {
                    return Ok(());
                }
                Err(Refusal::Denied(
                    "the plugin may not keep values between runs".to_owned(),
                ))
            }
        }
    }
}

/// Asks the host. Ends the guest where it asks too often or its time is over.
pub(super) async fn ask(
    store: &mut StoreContextMut<'_, GuestState>,
    question: Question,
) -> wasmtime::Result<Answer> {
    let deadline = store.data().deadline();
    let gate = &mut store.data_mut().gate;
    if gate.asked >= gate.max_calls {
        gate.refused_calls = true;
        return Err(Trap::UnreachableCodeReached.into());
    }
    gate.asked += 1;
    let answer = match gate.check(&question) {
        Err(refusal) => Answer::Refused(refusal),
        Ok(()) => {
            // Taken out so that the store can be used by the guest's other interfaces meanwhile.
            let Some(mut host) = gate.host.take() else {
                return Err(Trap::UnreachableCodeReached.into());
            };
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = tokio::time::timeout(left, host.answer(&question)).await;
            let gate = &mut store.data_mut().gate;
            gate.host = Some(host);
            // Neither fuel nor epochs interrupt the host.
            answer.map_err(|_| Trap::Interrupt)?
        }
    };
    let gate = &mut store.data_mut().gate;
    let answer = match answer {
        answer if answer.text_bytes() > gate.max_bytes => {
            Answer::Refused(Refusal::Limited(format!(
                "an answer has at most {} bytes; this one would have {}: ask for less",
                gate.max_bytes,
                answer.text_bytes()
            )))
        }
        answer => answer,
    };
    gate.journal.push(Exchange {
        question,
        answer: answer.clone(),
    });
    Ok(answer)
}

impl Answer {
    fn text_bytes(&self) -> usize {
        let of_record = |record: &super::question::FoundRecord| {
            // Ids, an owner and two moments beside the data.
            record.data.len() + 256
        };
        match self {
            Self::Record { record } => record.as_ref().map_or(0, of_record),
            Self::Page { records, .. } => records.iter().map(of_record).sum(),
            Self::Json { json: text } | Self::Handle { handle: text } => text.len(),
            Self::Entry { entry } => entry.as_ref().map_or(0, |entry| entry.value.len()),
            Self::Done | Self::Refused(_) => 0,
        }
    }
}

impl Answer {
    /// What the guest reads where there is no answer of the kind that it asked for.
    pub(super) fn refusal(self) -> wit::Refusal {
        match self {
            Self::Refused(Refusal::Denied(reason)) => wit::Refusal::Denied(reason),
            Self::Refused(Refusal::Invalid(reason)) => wit::Refusal::Invalid(reason),
            Self::Refused(Refusal::Limited(reason)) => wit::Refusal::Limited(reason),
            Self::Refused(Refusal::Unavailable(reason)) => wit::Refusal::Unavailable(reason),
            other => wit::Refusal::Unavailable(format!("the host answered with {other:?}")),
        }
    }
}
