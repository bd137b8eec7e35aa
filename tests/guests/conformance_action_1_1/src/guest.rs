//! The component. Its configuration says what it does.

#[allow(
    unsafe_code,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "generated: the canonical ABI passes raw pointers"
)]
mod bindings {
    wit_bindgen::generate!({
        path: [
            "../../../plugin-sdk/wit/frozen/1.0.0.wit",
            "../../../plugin-sdk/wit/frozen/1.1.0.wit",
        ],
        world: "crm:plugin/action@1.1.0",
        generate_all,
    });
}

use bindings::crm::plugin1_0_0::types::{
    Effect, Email, Event, Failure, Notification, Outcome, Refusal,
};
use bindings::crm::plugin1_1_0::attachments::attach;

struct Component;

impl bindings::Guest for Component {
    fn run(event: Event) -> Result<Outcome, Failure> {
        match event.configuration.as_str() {
            "\"attached\"" => {
                file(1, "visit.ics", b"BEGIN:VEVENT");
                file(1, "empty", b"");
                file(2, "bytes", &[0, 255, 13, 10]);
                Ok(outcome())
            }
            "\"on a note\"" => {
                file(0, "visit.ics", b"BEGIN:VEVENT");
                Ok(outcome())
            }
            "\"on nothing\"" => {
                file(u32::MAX, "visit.ics", b"BEGIN:VEVENT");
                Ok(outcome())
            }
            "\"eleven\"" => {
                for number in 0..11 {
                    file(1, &number.to_string(), b"");
                }
                Ok(outcome())
            }
            "\"without end\"" => loop {
                file(1, "a", b"");
            },
            "\"too much\"" => {
                let half = vec![b'x'; 200 << 10];
                let answers = [
                    attach(1, "a", "text/plain", &half),
                    attach(1, "b", "text/plain", &half),
                ];
                Err(Failure::Fail(answers.map(told).join("\n")))
            }
            "\"refused\"" => {
                let answers = [
                    attach(1, "a/b", "text/plain", b""),
                    attach(1, "a", "text", b""),
                    attach(1, "a", "text/plain", b""),
                ];
                Err(Failure::Fail(answers.map(told).join("\n")))
            }
            other => Err(Failure::Fail(other.to_owned())),
        }
    }
}

fn file(effect: u32, name: &str, content: &[u8]) {
    let _ = attach(effect, name, "text/calendar; method=REQUEST", content);
}

fn told(answer: Result<(), Refusal>) -> String {
    match answer {
        Ok(()) => "done".to_owned(),
        Err(Refusal::Denied(reason)) => format!("denied: {reason}"),
        Err(Refusal::Invalid(reason)) => format!("invalid: {reason}"),
        Err(Refusal::Limited(reason)) => format!("limited: {reason}"),
        Err(Refusal::Unavailable(reason)) => format!("unavailable: {reason}"),
    }
}

/// A note, and two mails.
fn outcome() -> Outcome {
    let mail = |to: &str| {
        Effect::Email(Email {
            to: vec![to.to_owned()],
            cc: Vec::new(),
            reply_to: None,
            subject: "Hello".to_owned(),
            text: "plain".to_owned(),
            html: None,
        })
    };
    let note = Effect::Notify(Notification {
        to: vec!["ada".to_owned()],
        title: "Hello".to_owned(),
        body: None,
    });
    Outcome {
        mutations: Vec::new(),
        effects: vec![note, mail("a@example.com"), mail("b@example.com")],
    }
}

#[allow(unsafe_code, reason = "generated: the component's exported symbols")]
const _: () = {
    bindings::export!(Component with_types_in bindings);
};
