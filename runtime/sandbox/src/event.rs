//! An event on its way into a guest: its record data as JSON text, its ids and time as text.

use chrono::SecondsFormat;
use crm_model::{CauseLink, Data, Event, EventKind};

use crate::call::ActionCall;
use crate::contract::bindings::v1_0::types as wit;

/// The event as the contract has it.
pub(crate) fn event_encode(call: &ActionCall) -> Result<wit::Event, serde_json::Error> {
    let event: &Event = &call.event;
    let json = |data: Option<&Data>| data.map(serde_json::to_string).transpose();
    let texts = |names: &mut dyn Iterator<Item = String>| names.collect::<Vec<_>>();
    Ok(wit::Event {
        id: event.id.to_string(),
        kind: kind_encode(event.kind),
        module: event.module.to_string(),
        record_id: event.record_id.to_string(),
        record_version: event.record_version.unsigned_abs(),
        before: json(event.before.as_ref())?,
        after: json(event.after.as_ref())?,
        changed_fields: texts(&mut event.changed_fields.iter().map(ToString::to_string)),
        payload: event.payload.as_ref().map(ToString::to_string),
        actor: wit::Actor {
            user_id: event.actor.user_id.to_string(),
            roles: texts(&mut event.actor.roles.iter().map(ToString::to_string)),
        },
        causes: event.cause.chain().into_iter().map(cause_encode).collect(),
        depth: event.depth,
        occurred_at: event
            .occurred_at
            .to_rfc3339_opts(SecondsFormat::AutoSi, true),
        zone: call.zone.to_string(),
        locale: call.locale.to_string(),
        configuration: call.configuration.to_string(),
        idempotency_key: call.idempotency_key.clone(),
        seed: call.seed,
    })
}

/// Bytes of what grows with the tenant's data.
pub(crate) fn event_bytes(event: &wit::Event) -> usize {
    let texts = [&event.before, &event.after, &event.payload];
    let texts = texts.into_iter().flatten().map(String::len);
    texts.sum::<usize>() + event.configuration.len()
}

fn kind_encode(kind: EventKind) -> wit::EventKind {
    match kind {
        EventKind::RecordCreated => wit::EventKind::RecordCreated,
        EventKind::RecordUpdated => wit::EventKind::RecordUpdated,
        EventKind::RecordDeleted => wit::EventKind::RecordDeleted,
        EventKind::RecordRestored => wit::EventKind::RecordRestored,
        EventKind::AnswerReceived => wit::EventKind::AnswerReceived,
        EventKind::TimeReached => wit::EventKind::TimeReached,
        EventKind::StartedByHand => wit::EventKind::StartedByHand,
        // The contract has no word of its own for it, and its payload tells.
        EventKind::RequestReceived | EventKind::MailFeedback => wit::EventKind::RequestReceived,
        EventKind::Called => wit::EventKind::Called,
    }
}

fn cause_encode(link: CauseLink) -> wit::Cause {
    wit::Cause {
        event_id: link.event.id.to_string(),
        workflow: link.workflow.to_string(),
        plugin: link.plugin.to_string(),
        run_id: link.run.to_string(),
    }
}
