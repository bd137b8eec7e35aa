//! The record of what a guest was told, and a host that tells it the same again.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

use super::question::{Answer, Answering, GuestHost, Question, Refusal};

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    #[serde(flatten)]
    pub question: Question,
    #[serde(flatten)]
    pub answer: Answer,
}

impl Exchange {
    /// Puts other texts in the place of what was told: `of_record` makes them of records' data,
    /// and of nothing else that is known.
    pub fn redact(&mut self, of_record: &dyn Fn(&str) -> String) {
        const REDACTED: &str = "[redacted]";
        match &mut self.answer {
            Answer::Record { record } => {
                for record in record.iter_mut() {
                    record.data = of_record(&record.data);
                }
            }
            Answer::Page { records, .. } => {
                for record in records {
                    record.data = of_record(&record.data);
                }
            }
            Answer::Json { json } => *json = format!("\"{REDACTED}\""),
            Answer::Entry { entry } => {
                for entry in entry.iter_mut() {
                    entry.value = format!("\"{REDACTED}\"");
                }
            }
            Answer::Handle { .. } | Answer::Done | Answer::Refused(_) => {}
        }
        match &mut self.question {
            Question::RecordQuery { query, .. } | Question::RecordAggregate { query, .. } => {
                *query = format!("\"{REDACTED}\"");
            }
            Question::StateSet { value, .. } => *value = format!("\"{REDACTED}\""),
            _ => {}
        }
    }
}

/// Answers as a recorded run was answered. A guest that asks something else, or more, is refused;
/// it is not the guest of the record, or it is not deterministic.
#[derive(Clone, Debug)]
pub struct Replay {
    left: VecDeque<Exchange>,
}

impl Replay {
    /// From the exchanges of a report, in their order.
    pub fn new(journal: Vec<Exchange>) -> Self {
        Self {
            left: journal.into(),
        }
    }
}

impl GuestHost for Replay {
    fn answer<'a>(&'a mut self, question: &'a Question) -> Answering<'a> {
        // What a grant or a limit refuses is refused here too, before anybody is asked.
        while self.left.front().is_some_and(|next| {
            let refused = matches!(
                next.answer,
                Answer::Refused(Refusal::Denied(_) | Refusal::Limited(_))
            );
            refused && next.question != *question
        }) {
            self.left.pop_front();
        }
        let answer = match self.left.pop_front() {
            Some(exchange) if exchange.question == *question => exchange.answer,
            Some(exchange) => Answer::Refused(Refusal::Invalid(format!(
                "the recorded run asked {:?} here",
                exchange.question
            ))),
            None => Answer::Refused(Refusal::Invalid(
                "the recorded run asked nothing more here".to_owned(),
            )),
        };
        Box::pin(std::future::ready(answer))
    }
}
