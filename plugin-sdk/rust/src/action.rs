//! Between the contract's JSON text and the author's types: decodes, calls, and says in a
//! sentence what could not be read.

use serde::de::DeserializeOwned;

use crate::event::Event;
use crate::failure::{Failure, Outcome};

/// An event whose record data is still text.
pub(crate) type RawEvent = Event<String>;

/// Calls the author's function with decoded arguments.
pub(crate) fn call<T: DeserializeOwned, C: DeserializeOwned>(
    run: fn(Event<T>, C) -> Outcome,
    event: RawEvent,
    configuration: &str,
) -> Outcome {
    let config = decode("the step's configuration", configuration)?;
    run(decoded(event)?, config)
}

pub(crate) fn decoded<T: DeserializeOwned>(event: RawEvent) -> Result<Event<T>, Failure> {
    let record = |name, text: Option<String>| text.map(|text| decode(name, &text)).transpose();
    Ok(Event {
        before: record("the record before the event", event.before)?,
        after: record("the record after the event", event.after)?,
        id: event.id,
        kind: event.kind,
        module: event.module,
        record_id: event.record_id,
        record_version: event.record_version,
        changed_fields: event.changed_fields,
        payload: event.payload,
        actor: event.actor,
        causes: event.causes,
        depth: event.depth,
        occurred_at: event.occurred_at,
        zone: event.zone,
        locale: event.locale,
        idempotency_key: event.idempotency_key,
        seed: event.seed,
    })
}

pub(crate) fn decode<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, Failure> {
    serde_json::from_str(text)
        .map_err(|error| Failure::Fail(format!("{name} could not be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use serde::Deserialize;
    use serde_json::{Value, json};

    #[derive(Debug, Deserialize)]
    struct Item {
        sku: String,
    }

    fn run(event: Event<Item>, config: u32) -> Outcome {
        let sku = event.after.map(|item| item.sku).unwrap_or_default();
        Err(Failure::skip(format!("{sku} {config}")))
    }

    fn raw(after: &Value) -> RawEvent {
        let event: Event<Value> = testing::created("items", after.clone());
        RawEvent {
            after: Some(after.to_string()),
            id: event.id,
            module: event.module,
            ..RawEvent::default()
        }
    }

    #[test]
    fn what_can_be_read_reaches_the_function() {
        let outcome = call(run, raw(&json!({ "sku": "D-1", "more": 1 })), "7");
        assert_eq!(outcome, Err(Failure::skip("D-1 7")));
    }

    #[test]
    fn what_cannot_be_read_fails_the_run_by_name() {
        let outcome = call(run, raw(&json!({ "sku": null })), "7");
        let Err(Failure::Fail(message)) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(
            message.starts_with("the record after the event could not be read: "),
            "{message}"
        );

        let outcome = call(run, raw(&json!({ "sku": "D-1" })), "{}");
        let Err(Failure::Fail(message)) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(
            message.starts_with("the step's configuration could not be read: "),
            "{message}"
        );
    }
}
