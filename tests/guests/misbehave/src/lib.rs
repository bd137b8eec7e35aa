//! Does what no action should, as its configuration says: the tests' villain. It declares every
//! capability there is; what it is granted is the template's to say.

use crm_plugin_sdk::{Event, Failure, Mutation, Outcome, json, log};
use serde::Deserialize;
use serde_json::Value;

/// Which villainy.
#[derive(Debug, Deserialize)]
pub struct Config {
    how: How,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum How {
    /// Panics.
    Trap,
    /// Never ends.
    Spin,
    /// Takes memory until there is none.
    Hoard,
    /// Answers with a module name that is none.
    Nonsense,
    /// Writes a field that it was not granted.
    Overreach,
    /// Writes another record than the event's: the one whose id stands in `target`.
    Reach,
    /// Writes half of something valid and half of something that is not.
    Half,
    /// Writes another victim.
    Multiply,
    /// Asks to be called again, always.
    Postpone,
    /// Gives up.
    GiveUp,
    /// Counts up, which starts it again.
    Chain,
    /// Says what it was shown.
    Tell,
    /// Writes more log than is kept.
    Chatter,
}

/// One villainy per call.
///
/// # Errors
/// Where the villainy is to fail.
pub fn run(event: Event<Value>, config: Config) -> Outcome {
    let data = event.after.clone().unwrap_or_default();
    match config.how {
        How::Trap => trap(),
        How::Spin => loop {
            std::hint::spin_loop();
        },
        How::Hoard => hoard(),
        How::Nonsense => Ok(Mutation::create("No such module!", json!({})).into()),
        How::Overreach => Ok(Mutation::update(&event, json!({ "secret": "mine" })).into()),
        How::Reach => {
            let target = data
                .get("target")
                .and_then(Value::as_str)
                .unwrap_or_default();
            Ok(Mutation::update_record("victims", target, json!({ "note": "reached" })).into())
        }
        How::Half => Ok(vec![
            Mutation::create("victims", json!({ "name": "half" })),
            Mutation::update(&event, json!({ "counter": "not a number" })),
        ]
        .into()),
        How::Multiply => Ok(Mutation::create("victims", json!({ "name": "another" })).into()),
        How::Postpone => Err(Failure::retry(
            std::time::Duration::from_millis(1),
            "not in the mood",
        )),
        How::GiveUp => Err(Failure::fail("this will never work")),
        How::Chain => {
            let counter = data
                .get("counter")
                .and_then(Value::as_i64)
                .unwrap_or_default();
            Ok(Mutation::update(&event, json!({ "counter": counter + 1 })).into())
        }
        How::Tell => Ok(Mutation::update(&event, json!({ "note": data.to_string() })).into()),
        How::Chatter => {
            for _ in 0..10_000 {
                log::info("bla bla bla bla bla bla bla bla");
            }
            Err(Failure::skip("said enough"))
        }
    }
}

#[allow(clippy::panic, reason = "this is the villainy")]
fn trap() -> Outcome {
    panic!("on purpose")
}

fn hoard() -> Outcome {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(vec![1; 1 << 20]);
        std::hint::black_box(&hoard);
    }
}

crm_plugin_sdk::export_action!(run);
