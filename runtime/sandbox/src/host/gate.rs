//! The one way from a guest's question to its answer, beneath all interfaces and versions of the
//! contract: counted, measured, held against the grant, answered in time, written down.

use crm_model::Grant;
use crm_model::effect::Attachment;
use std::time::Instant;
use wasmtime::{StoreContextMut, Trap};

use super::journal::Exchange;
use super::question::{Answer, GuestHost, Question, Refusal};
use crate::class::GuestLimits;
use crate::contract::bindings::v1_0::types as wit;
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
    attached: Attached,
}

/// Files that go with mails, and what they are measured by.
struct Attached {
    /// By the mail's place among the effects.
    files: Vec<(u32, Attachment)>,
    bytes: usize,
    max_bytes: usize,
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
            attached: Attached {
                files: Vec::new(),
                bytes: 0,
                max_bytes: limits.output_max_bytes,
            },
        }
    }

    /// What was asked and answered, in order, and the files that go with mails, by the mail's
    /// place among the effects.
    pub(crate) fn take(&mut self) -> (Vec<Exchange>, Vec<(u32, Attachment)>) {
        let files = std::mem::take(&mut self.attached.files);
        (std::mem::take(&mut self.journal), files)
    }

    /// Whether the guest asked more often than it may.
    pub(crate) fn refused_calls(&self) -> bool {
        self.refused_calls
    }

    /// One question more.
    fn count(&mut self) -> wasmtime::Result<()> {
        if self.asked >= self.max_calls {
            self.refused_calls = true;
            return Err(Trap::UnreachableCodeReached.into());
        }
        self.asked += 1;
        Ok(())
    }

    /// Takes a file for a mail. It is a part of the answer that comes early, so nobody is asked,
    /// and nothing is in the journal: it comes again whenever the run is replayed.
    pub(super) fn attach(
        &mut self,
        effect: u32,
        (name, media_type): (String, String),
        content: &[u8],
    ) -> wasmtime::Result<Result<(), Refusal>> {
        self.count()?;
        Ok(self.attached_check(name, media_type, content).map(|file| {
            self.attached.bytes += content.len();
            self.attached.files.push((effect, file));
        }))
    }

    fn attached_check(
        &self,
        name: String,
        media_type: String,
        content: &[u8],
    ) -> Result<Attachment, Refusal> {
        if !self.grant.may_send_mail() {
            let reason = "the plugin may not send mail, so nothing goes with one".to_owned();
            return Err(Refusal::Denied(reason));
        }
        let Attached {
            bytes, max_bytes, ..
        } = self.attached;
        if content.len() > max_bytes.saturating_sub(bytes) {
            return Err(Refusal::Limited(format!(
                "all attachments of a run together have at most {max_bytes} bytes; {bytes} are \
                 taken, and this one has {}",
                content.len()
            )));
        }
        Attachment::new(name, media_type, content).map_err(Refusal::Invalid)
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
    gate.count()?;
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

impl From<Refusal> for wit::Refusal {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Denied(reason) => Self::Denied(reason),
            Refusal::Invalid(reason) => Self::Invalid(reason),
            Refusal::Limited(reason) => Self::Limited(reason),
            Refusal::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl Answer {
    /// What the guest reads where there is no answer of the kind that it asked for.
    pub(super) fn refusal(self) -> wit::Refusal {
        match self {
            Self::Refused(refusal) => refusal.into(),
            other => wit::Refusal::Unavailable(format!("the host answered with {other:?}")),
        }
    }
}
