//! The contract as generated code, and the way between its types and this crate's. Exists only in
//! guests; natively nothing crosses a component's edge.

use serde::de::DeserializeOwned;

use self::action::crm::plugin1_0_0::types as wit;
use crate::action::{RawEvent, call, decode, decoded};
use crate::effect::Effect;
use crate::event::{Actor, CauseLink, Event, EventKind};
use crate::failure::{Failure, Outcome};
use crate::hooks::{Change, ChangeKind, Verdict};
use crate::log;
use crate::mutation::{Link, Mutation};

/// The world of workflow steps.
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
pub mod action {
    wit_bindgen::generate!({
        path: "../wit",
        world: "action",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "crm_plugin_sdk::bindings::action",
    });
}

/// The world of industry templates.
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
pub mod template {
    wit_bindgen::generate!({
        path: "../wit",
        world: "template",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "crm_plugin_sdk::bindings::template",
        with: {
            "crm:plugin/types@1.0.0": crate::bindings::action::crm::plugin1_0_0::types,
            "crm:plugin/log@1.0.0": crate::bindings::action::crm::plugin1_0_0::log,
        },
    });
}

/// What `export_action!` exports: one call from the host.
pub fn run<T: DeserializeOwned, C: DeserializeOwned>(
    function: fn(Event<T>, C) -> Outcome,
    mut event: wit::Event,
) -> Result<wit::Outcome, wit::Failure> {
    panics_are_logged();
    let configuration = std::mem::take(&mut event.configuration);
    answer(read_event(event).and_then(|event| call(function, event, &configuration)))
}

/// What `export_template!` exports as `after-event`.
pub fn after_event<T: DeserializeOwned>(
    function: fn(Event<T>) -> Outcome,
    event: wit::Event,
) -> Result<wit::Outcome, wit::Failure> {
    panics_are_logged();
    answer(read_event(event).and_then(decoded).and_then(function))
}

/// What `export_template!` exports as `before-save`.
pub fn before_save(
    function: fn(Change) -> Verdict,
    change: wit::Change,
) -> Result<Option<String>, Vec<wit::Objection>> {
    panics_are_logged();
    let verdict = read_change(change).and_then(function);
    verdict
        .map(|patch| patch.map(|patch| patch.to_string()))
        .map_err(|objections| {
            let objections = objections.into_iter();
            let objections = objections.map(|objection| wit::Objection {
                field: objection.field,
                message: objection.message,
            });
            objections.collect()
        })
}

/// A panic ends as a trap that says nothing; the run log should say what it was.
fn panics_are_logged() {
    std::panic::set_hook(Box::new(|panic| log::error(panic.to_string())));
}

fn answer(outcome: Outcome) -> Result<wit::Outcome, wit::Failure> {
    let answer = outcome.map_err(wit::Failure::from)?;
    Ok(wit::Outcome {
        mutations: answer
            .mutations
            .into_iter()
            .map(wit::Mutation::from)
            .collect(),
        effects: answer.effects.into_iter().map(wit::Effect::from).collect(),
    })
}

fn read_change(change: wit::Change) -> Result<Change, Vec<crate::Objection>> {
    let json = |text: &str| {
        let unreadable = |failure| vec![crate::Objection::whole(format!("{failure:?}"))];
        decode("the record", text).map_err(unreadable)
    };
    Ok(Change {
        kind: match change.kind {
            wit::ChangeKind::Create => ChangeKind::Create,
            wit::ChangeKind::Update => ChangeKind::Update,
        },
        before: change.before.as_deref().map(json).transpose()?,
        after: json(&change.after)?,
        module: change.module,
        record_id: change.record_id,
        changed_fields: change.changed_fields,
        actor: Actor {
            user_id: change.user_id,
            roles: change.roles,
        },
        occurred_at: change.occurred_at,
        zone: change.zone,
        locale: change.locale,
        seed: change.seed,
    })
}

fn actor(actor: wit::Actor) -> Actor {
    Actor {
        user_id: actor.user_id,
        roles: actor.roles,
    }
}

fn read_event(event: wit::Event) -> Result<RawEvent, Failure> {
    let payload = event.payload.as_deref();
    let payload = payload.map(|text| decode("what came with the event", text));
    let causes = event.causes.into_iter().map(|cause| CauseLink {
        event_id: cause.event_id,
        workflow: cause.workflow,
        plugin: cause.plugin,
        run_id: cause.run_id,
    });
    Ok(Event {
        id: event.id,
        kind: match event.kind {
            wit::EventKind::RecordCreated => EventKind::RecordCreated,
            wit::EventKind::RecordUpdated => EventKind::RecordUpdated,
            wit::EventKind::RecordDeleted => EventKind::RecordDeleted,
            wit::EventKind::RecordRestored => EventKind::RecordRestored,
            wit::EventKind::AnswerReceived => EventKind::AnswerReceived,
            wit::EventKind::TimeReached => EventKind::TimeReached,
            wit::EventKind::StartedByHand => EventKind::StartedByHand,
            wit::EventKind::RequestReceived => EventKind::RequestReceived,
            wit::EventKind::Called => EventKind::Called,
        },
        module: event.module,
        record_id: event.record_id,
        record_version: event.record_version,
        before: event.before,
        after: event.after,
        changed_fields: event.changed_fields,
        payload: payload.transpose()?,
        actor: actor(event.actor),
        causes: causes.collect(),
        depth: event.depth,
        occurred_at: event.occurred_at,
        zone: event.zone,
        locale: event.locale,
        idempotency_key: event.idempotency_key,
        seed: event.seed,
    })
}

impl From<Mutation> for wit::Mutation {
    fn from(mutation: Mutation) -> Self {
        match mutation {
            Mutation::Create { module, data } => Self::Create(wit::NewRecord {
                module,
                data: data.to_string(),
            }),
            Mutation::Update {
                module,
                record_id,
                expected_version,
                patch,
            } => Self::Update(wit::RecordPatch {
                module,
                record_id,
                expected_version,
                patch: patch.to_string(),
            }),
            Mutation::Delete {
                module,
                record_id,
                expected_version,
            } => Self::Delete(wit::RecordRemoval {
                module,
                record_id,
                expected_version,
            }),
            Mutation::Activity {
                module,
                record_id,
                kind,
                title,
                body,
                due_at,
                assignee,
            } => {
                let kind = kind.name().to_owned();
                Self::Activity(wit::NewActivity {
                    module,
                    record_id,
                    kind,
                    title,
                    body,
                    due_at,
                    assignee,
                })
            }
            Mutation::Link(link) => Self::Link(link.into()),
            Mutation::Unlink(link) => Self::Unlink(link.into()),
            Mutation::Assign {
                module,
                record_id,
                expected_version,
                owner,
            } => Self::Assign(wit::RecordAssignment {
                module,
                record_id,
                expected_version,
                owner,
            }),
        }
    }
}

impl From<Link> for wit::RecordLink {
    fn from(link: Link) -> Self {
        Self {
            module: link.module,
            record_id: link.record_id,
            field: link.field,
            target_id: link.target_id,
        }
    }
}

impl From<Effect> for wit::Effect {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Email(email) => Self::Email(wit::Email {
                to: email.to,
                cc: email.cc,
                reply_to: email.reply_to,
                subject: email.subject,
                text: email.text,
                html: email.html,
            }),
            Effect::Webhook(hook) => Self::Webhook(wit::Webhook {
                endpoint: hook.endpoint,
                topic: hook.topic,
                payload: hook.payload.to_string(),
            }),
            Effect::Http(request) => Self::Http(wit::HttpRequest {
                key: request.key,
                method: request.method,
                url: request.url,
                headers: request.headers,
                body: request.body,
                wants_answer: request.wants_answer,
            }),
            Effect::Notify(note) => Self::Notify(wit::Notification {
                to: note.to,
                title: note.title,
                body: note.body,
            }),
            Effect::Schedule(schedule) => Self::Schedule(wit::Schedule {
                key: schedule.key,
                at: schedule.at,
                payload: schedule.payload.to_string(),
            }),
        }
    }
}

impl From<Failure> for wit::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Retry { after, reason } => Self::Retry(wit::RetryRequest {
                after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
                reason,
            }),
            Failure::Fail(message) => Self::Fail(message),
            Failure::Skip(message) => Self::Skip(message),
        }
    }
}
