//! The component. What it is asked about says what it does.

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
        world: "template",
    });
}

use bindings::crm::plugin::log;
use bindings::crm::plugin::types::{
    Change, ChangeKind, Event, Failure, Mutation, NewRecord, Objection, Outcome,
};

struct Component;

impl bindings::Guest for Component {
    fn model() -> String {
        "{\"modules\":[{\"slug\":\"items\",\"label\":\"Item\",\"fields\":[\
         {\"key\":\"name\",\"label\":\"Name\",\"type\":\"text\"}]}],\
         \"workflows\":[],\"roles\":[],\"installs\":[]}"
            .to_owned()
    }

    fn before_save(change: Change) -> Result<Option<String>, Vec<Objection>> {
        log::write(log::Level::Info, "asked");
        match change.after.as_str() {
            "{\"name\":\"fine\"}" => Ok(None),
            "{\"name\":\"more\"}" => Ok(Some("{\"name\":null}".to_owned())),
            _ => Err(vec![
                Objection {
                    field: Some("name".to_owned()),
                    message: told(&change),
                },
                Objection {
                    field: None,
                    message: "whole".to_owned(),
                },
            ]),
        }
    }

    fn after_event(event: Event) -> Result<Outcome, Failure> {
        if event.module != "items" {
            return Err(Failure::Skip(event.module));
        }
        Ok(Outcome {
            mutations: vec![Mutation::Create(NewRecord {
                module: event.module,
                data: event.after.unwrap_or_default(),
            })],
            effects: Vec::new(),
        })
    }

    fn migrate(
        module: String,
        from_version: String,
        data: String,
    ) -> Result<Option<String>, String> {
        match from_version.as_str() {
            "0.1.0" => Ok(None),
            "0.2.0" => Ok(Some(data)),
            _ => Err(format!("{module} {from_version}")),
        }
    }
}

fn told(change: &Change) -> String {
    let kind = match change.kind {
        ChangeKind::Create => "create",
        ChangeKind::Update => "update",
    };
    [
        kind.to_owned(),
        change.module.clone(),
        change.record_id.clone(),
        change.before.clone().unwrap_or_else(|| "none".to_owned()),
        change.after.clone(),
        change.changed_fields.join(","),
        change.user_id.clone(),
        change.roles.join(","),
        change.occurred_at.clone(),
        change.zone.clone(),
        change.locale.clone(),
        change.seed.to_string(),
    ]
    .join("\n")
}

#[allow(unsafe_code, reason = "generated: the component's exported symbols")]
const _: () = {
    bindings::export!(Component with_types_in bindings);
};
