//! Times that were scheduled: the effect itself waits until then, and becomes an event.

use chrono::TimeDelta;
use crm_model::EventKind;
use crm_model::effect::Schedule;
use crm_model::limits::SCHEDULE_NEW_CHAIN_SECONDS;
use crm_store::effects::LoadedEffect;
use serde_json::json;

use super::{End, Next};

/// What happens when the time has come. What was scheduled for much later is no link of the chain
/// that it came from: else nothing could be done every day.
pub(super) fn time_reached(effect: &LoadedEffect, schedule: &Schedule) -> End {
    let ahead = schedule.at - effect.occurred_at;
    End::Done {
        status: None,
        next: Some(Next {
            kind: EventKind::TimeReached,
            payload: json!({
                "key": schedule.key,
                "at": schedule.at,
                "payload": schedule.payload,
            }),
            new_chain: ahead >= TimeDelta::seconds(SCHEDULE_NEW_CHAIN_SECONDS),
        }),
    }
}
