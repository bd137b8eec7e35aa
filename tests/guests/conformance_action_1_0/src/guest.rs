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
        path: "../../../plugin-sdk/wit/frozen/1.0.0.wit",
        world: "action",
    });
}

use bindings::crm::plugin::types::{
    Effect, Email, Event, EventKind, Failure, HttpRequest, Mutation, NewActivity, NewRecord,
    Notification, Outcome, RecordAssignment, RecordLink, RecordPatch, RecordRemoval, Refusal,
    RetryRequest, Schedule, Webhook,
};
use bindings::crm::plugin::{config, log, records, secrets, state};

struct Component;

impl bindings::Guest for Component {
    fn run(event: Event) -> Result<Outcome, Failure> {
        match event.configuration.as_str() {
            "\"told\"" => Err(Failure::Fail(told(&event))),
            "\"asked\"" => Err(Failure::Fail(asked())),
            "\"mutations\"" => Ok(Outcome {
                mutations: mutations(&event),
                effects: Vec::new(),
            }),
            "\"effects\"" => Ok(Outcome {
                mutations: Vec::new(),
                effects: effects(),
            }),
            "\"retry\"" => Err(Failure::Retry(RetryRequest {
                after_ms: 1_500,
                reason: "busy".to_owned(),
            })),
            "\"skip\"" => Err(Failure::Skip("nothing".to_owned())),
            other => Err(Failure::Fail(other.to_owned())),
        }
    }
}

fn told(event: &Event) -> String {
    let kind = match event.kind {
        EventKind::RecordCreated => "record-created",
        EventKind::RecordUpdated => "record-updated",
        EventKind::RecordDeleted => "record-deleted",
        EventKind::RecordRestored => "record-restored",
        EventKind::AnswerReceived => "answer-received",
        EventKind::TimeReached => "time-reached",
        EventKind::StartedByHand => "started-by-hand",
        EventKind::RequestReceived => "request-received",
        EventKind::Called => "called",
    };
    let causes = event.causes.iter().map(|cause| {
        [
            cause.event_id.as_str(),
            &cause.workflow,
            &cause.plugin,
            &cause.run_id,
        ]
        .join("/")
    });
    let causes: Vec<String> = causes.collect();
    [
        event.id.clone(),
        kind.to_owned(),
        event.module.clone(),
        event.record_id.clone(),
        event.record_version.to_string(),
        optional(event.before.clone()),
        optional(event.after.clone()),
        event.changed_fields.join(","),
        optional(event.payload.clone()),
        event.actor.user_id.clone(),
        event.actor.roles.join(","),
        causes.join(","),
        event.depth.to_string(),
        event.occurred_at.clone(),
        event.zone.clone(),
        event.locale.clone(),
        event.idempotency_key.clone(),
        event.seed.to_string(),
    ]
    .join("\n")
}

fn optional(text: Option<String>) -> String {
    text.unwrap_or_else(|| "none".to_owned())
}

fn refusal(refusal: Refusal) -> String {
    match refusal {
        Refusal::Denied(reason) => format!("denied: {reason}"),
        Refusal::Invalid(reason) => format!("invalid: {reason}"),
        Refusal::Limited(reason) => format!("limited: {reason}"),
        Refusal::Unavailable(reason) => format!("unavailable: {reason}"),
    }
}

fn found(found: records::Found) -> String {
    let version = found.version.to_string();
    [
        found.id,
        version,
        found.data,
        found.owner_id,
        found.created_at,
        found.updated_at,
    ]
    .join(" ")
}

fn entry(entry: state::Entry) -> String {
    format!("{} {}", entry.version, entry.value)
}

fn asked() -> String {
    log::write(log::Level::Debug, "one");
    log::write(log::Level::Info, "two");
    log::write(log::Level::Warn, "three");
    log::write(log::Level::Error, "four");
    let record = |id| match records::get("items", id) {
        Ok(record) => optional(record.map(found)),
        Err(refused) => refusal(refused),
    };
    let page = match records::query("items", "{\"limit\":2}") {
        Ok(page) => {
            let records: Vec<String> = page.records.into_iter().map(found).collect();
            format!("{} next {}", records.join(", "), optional(page.next_cursor))
        }
        Err(refused) => refusal(refused),
    };
    let kept = |key| match state::get(key) {
        Ok(kept) => optional(kept.map(entry)),
        Err(refused) => refusal(refused),
    };
    let done = |answer: Result<(), Refusal>| match answer {
        Ok(()) => "done".to_owned(),
        Err(refused) => refusal(refused),
    };
    [
        record("there"),
        record("gone"),
        record("denied"),
        record("invalid"),
        record("limited"),
        record("unavailable"),
        page,
        records::aggregate("items", "{\"group_by\":[\"cut\"]}").unwrap_or_else(refusal),
        config::get(),
        secrets::handle("stripe").unwrap_or_else(refusal),
        kept("there"),
        kept("gone"),
        done(state::set("there", "[2]")),
        done(state::delete("there")),
    ]
    .join("\n")
}

fn mutations(event: &Event) -> Vec<Mutation> {
    let module = || "items".to_owned();
    let record_id = || event.record_id.clone();
    let link = || RecordLink {
        module: module(),
        record_id: record_id(),
        field: "pair".to_owned(),
        target_id: record_id(),
    };
    let activity = |body, due_at, assignee| {
        Mutation::Activity(NewActivity {
            module: module(),
            record_id: record_id(),
            kind: "task".to_owned(),
            title: "Look".to_owned(),
            body,
            due_at,
            assignee,
        })
    };
    let text = |text: &str| Some(text.to_owned());
    vec![
        Mutation::Create(NewRecord {
            module: module(),
            data: "{\"carat\":\"0.5\"}".to_owned(),
        }),
        Mutation::Update(RecordPatch {
            module: module(),
            record_id: record_id(),
            expected_version: Some(7),
            patch: "{\"carat\":null}".to_owned(),
        }),
        Mutation::Update(RecordPatch {
            module: module(),
            record_id: record_id(),
            expected_version: None,
            patch: "{}".to_owned(),
        }),
        Mutation::Delete(RecordRemoval {
            module: module(),
            record_id: record_id(),
            expected_version: Some(7),
        }),
        Mutation::Link(link()),
        Mutation::Unlink(link()),
        activity(None, None, None),
        activity(text("Closely"), text("2024-05-07T08:00:00Z"), text("ada")),
        Mutation::Assign(RecordAssignment {
            module: module(),
            record_id: record_id(),
            expected_version: None,
            owner: "ada".to_owned(),
        }),
    ]
}

fn effects() -> Vec<Effect> {
    let text = ToOwned::to_owned;
    vec![
        Effect::Email(Email {
            to: vec![text("a@example.com")],
            cc: vec![text("b@example.com")],
            reply_to: Some(text("c@example.com")),
            subject: text("Hello"),
            text: text("plain"),
            html: Some(text("<p>rich</p>")),
        }),
        Effect::Email(Email {
            to: vec![text("a@example.com")],
            cc: Vec::new(),
            reply_to: None,
            subject: text("Hello"),
            text: text("plain"),
            html: None,
        }),
        Effect::Webhook(Webhook {
            endpoint: text("shop"),
            topic: text("item.sold"),
            payload: text("{\"id\":1}"),
        }),
        Effect::Http(HttpRequest {
            key: text("rate"),
            method: text("POST"),
            url: text("https://api.example.com/rates"),
            headers: vec![(text("accept"), text("application/json"))],
            body: Some(text("{}")),
            wants_answer: true,
        }),
        Effect::Notify(Notification {
            to: vec![text("role:owner")],
            title: text("Sold"),
            body: Some(text("An item")),
        }),
        Effect::Schedule(Schedule {
            key: text("later"),
            at: text("2024-05-07T08:00:00Z"),
            payload: text("[1]"),
        }),
    ]
}

#[allow(unsafe_code, reason = "generated: the component's exported symbols")]
const _: () = {
    bindings::export!(Component with_types_in bindings);
};
