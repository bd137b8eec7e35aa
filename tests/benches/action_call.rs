//! One action call: an event of about 1 kB goes into a fresh instance of the valuation action,
//! mutations come out. Ours: through the sandbox, with all limits, the run log, the event written
//! as JSON and the answer checked. The reference: bare wasmtime with the same engine
//! configuration, pre-linked, its event's strings written beforehand.
//!
//! Each side is tried in several ways; the ratio is of each side's best, ours only among the ways
//! in which the worker calls. The batches of all ways take turns.

use anyhow::{Context, Result, ensure};
use crm_model::{Cause, Event, EventKind, Grant};
use crm_sandbox::{ActionCall, LimitOverrides, NoHost, Plugin, Sandbox, SandboxSettings};
use serde_json::{Map, Value, json};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Handle};
use uuid::Uuid;

use crate::bare::{DirectAction, EventText, WaitingAction};
use crate::report::{Aim, Measure, median};
use crate::say;
use crate::scale::stones;

pub(crate) const NAME: &str = "action_call";

pub(crate) const COMPONENT: &str = "jewellery-valuation";
/// Size of the event as JSON, about.
const EVENT_BYTES: usize = 1000;
/// Calls of one way before the next has its turn.
const BATCH_CALLS: u32 = 2000;
const ROUNDS: u32 = 15;
/// Calls that are under way at once, where it is not one.
const IN_FLIGHT: u32 = 8;

/// The ways to call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `run_action` from another runtime.
    Away { in_flight: u32 },
    /// `run_action_here` on the guests’ runtime, as the worker calls.
    Here { in_flight: u32 },
    /// Plain calls on threads.
    BareDirect { threads: u32 },
    /// Futures on a runtime with as many threads as the sandbox's.
    BareWaiting { in_flight: u32 },
}

const WAYS: [Way; 8] = [
    Way::Away { in_flight: 1 },
    Way::Away {
        in_flight: IN_FLIGHT,
    },
    Way::Here { in_flight: 1 },
    Way::Here {
        in_flight: IN_FLIGHT,
    },
    Way::BareDirect { threads: 1 },
    Way::BareDirect { threads: 2 },
    Way::BareWaiting { in_flight: 1 },
    Way::BareWaiting {
        in_flight: IN_FLIGHT,
    },
];

impl Way {
    fn name(self) -> String {
        match self {
            Self::Away { in_flight } => format!("run_action_{in_flight}_in_flight"),
            Self::Here { in_flight } => format!("run_action_here_{in_flight}_in_flight"),
            Self::BareDirect { threads } => format!("bare_sync_{threads}_threads"),
            Self::BareWaiting { in_flight } => format!("bare_async_{in_flight}_in_flight"),
        }
    }
}

/// Everything that is called.
struct Bench {
    sandbox: Arc<Sandbox>,
    plugin: Arc<Plugin>,
    call: ActionCall,
    direct: Arc<DirectAction<()>>,
    waiting: Arc<WaitingAction<()>>,
    text: Arc<EventText>,
    bare_handle: Handle,
}

pub(crate) async fn measure() -> Result<Measure> {
    let settings = SandboxSettings::default();
    let component = component(COMPONENT)?;
    let event = event()?;
    let event_bytes = serde_json::to_string(&event)?.len();
    let sandbox = Arc::new(Sandbox::new(settings.clone())?);
    let bare_runtime = Builder::new_multi_thread()
        .worker_threads(settings.threads)
        .thread_name("bare")
        .build()?;
    let bench = Bench {
        plugin: sandbox.load(component)?,
        sandbox,
        text: Arc::new(text(&event)?),
        call: call()?,
        direct: Arc::new(DirectAction::prepare(&settings, component)?),
        waiting: Arc::new(WaitingAction::prepare(&settings, component)?),
        bare_handle: bare_runtime.handle().clone(),
    };
    let seen = bench.rounds().await;
    // Not dropped here: that would block.
    bare_runtime.shutdown_background();
    let seen = seen?;

    let best = |is: fn(Way) -> bool| {
        let ways = seen.iter().filter(|(way, _)| is(*way));
        ways.min_by(|(_, one), (_, other)| median(one).total_cmp(&median(other)))
            .map(|(way, micros)| (way.name(), median(micros)))
            .context("nothing was measured")
    };
    let ours = best(|way| matches!(way, Way::Here { .. }))?;
    let away = best(|way| matches!(way, Way::Away { .. }))?;
    let direct = best(|way| matches!(way, Way::BareDirect { .. }))?;
    let waiting = best(|way| matches!(way, Way::BareWaiting { .. }))?;
    let reference = if direct.1 <= waiting.1 {
        &direct
    } else {
        &waiting
    };
    let details = json!({
        "component": COMPONENT,
        "component_bytes": component.len(),
        "event_bytes": event_bytes,
        "guest_threads": settings.threads,
        "rounds": ROUNDS,
        "calls_per_batch": BATCH_CALLS,
        "figure": "wall-clock time of a batch by its calls, the median of all rounds; each side's best way",
        "ours_way": ours.0,
        "reference_way": reference.0,
        "ratio_to_bare_sync": ours.1 / direct.1,
        "ratio_to_bare_async": ours.1 / waiting.1,
        "ratio_of_run_action": away.1 / reference.1,
        "microseconds_per_call": ways_json(&seen),
    });
    Ok(Measure {
        name: NAME,
        unit: "microseconds_per_call",
        ours: ours.1,
        reference: reference.1,
        aim: Aim::AtMost(1.3),
        details,
        took: Duration::ZERO,
    })
}

/// A bundled component.
pub(crate) fn component(name: &str) -> Result<&'static [u8]> {
    let (_, component) = crm_cli::bundled::components()
        .iter()
        .find(|(bundled, _)| *bundled == name)
        .with_context(|| format!("{name} is not bundled"))?;
    Ok(component)
}

/// A call with the event.
pub(crate) fn call() -> Result<ActionCall> {
    Ok(ActionCall {
        tenant: Some(stones::tenant(0)),
        event: Arc::new(event()?),
        configuration: Arc::new("{}".to_owned()),
        settings: Arc::new("{}".to_owned()),
        zone: "UTC".into(),
        locale: "en".into(),
        idempotency_key: "key".to_owned(),
        seed: 7,
        grant: Grant::default(),
        plan: LimitOverrides::default(),
    })
}

fn ways_json(seen: &[(Way, Vec<f64>)]) -> Value {
    let figures = seen.iter().map(|(way, micros)| {
        let least = micros.iter().copied().fold(f64::INFINITY, f64::min);
        let most = micros.iter().copied().fold(0.0, f64::max);
        (
            way.name(),
            json!({ "median": median(micros), "least": least, "most": most }),
        )
    });
    Value::Object(figures.collect::<Map<_, _>>())
}

impl Bench {
    /// Microseconds per call of each batch, by way.
    async fn rounds(&self) -> Result<Vec<(Way, Vec<f64>)>> {
        let mut seen: Vec<(Way, Vec<f64>)> = WAYS.iter().map(|way| (*way, Vec::new())).collect();
        for round in 0..=ROUNDS {
            for (way, micros) in &mut seen {
                let took = self.batch(*way).await.with_context(|| way.name())?;
                // The first round warms up.
                if round > 0 {
                    micros.push(took.as_secs_f64() * 1e6 / f64::from(BATCH_CALLS));
                }
            }
        }
        for (way, micros) in &seen {
            say(&format!("{}: {:.1} µs a call", way.name(), median(micros)));
        }
        Ok(seen)
    }

    async fn batch(&self, way: Way) -> Result<Duration> {
        match way {
            Way::Away { in_flight } => {
                let (sandbox, plugin) = (Arc::clone(&self.sandbox), Arc::clone(&self.plugin));
                let call = self.call.clone();
                batch(&Handle::current(), in_flight, move || {
                    let (sandbox, plugin) = (Arc::clone(&sandbox), Arc::clone(&plugin));
                    let call = call.clone();
                    async move {
                        let report = sandbox.run_action(&plugin, call, Box::new(NoHost)).await;
                        ensure!(!report.outcome?.mutations.is_empty(), "no mutations");
                        Ok(())
                    }
                })
                .await
            }
            Way::Here { in_flight } => {
                let (sandbox, plugin) = (Arc::clone(&self.sandbox), Arc::clone(&self.plugin));
                let call = Arc::new(self.call.clone());
                batch(self.sandbox.handle(), in_flight, move || {
                    let (sandbox, plugin) = (Arc::clone(&sandbox), Arc::clone(&plugin));
                    let call = Arc::clone(&call);
                    async move {
                        let report = sandbox
                            .run_action_here(&plugin, call, Box::new(NoHost))
                            .await;
                        ensure!(!report.outcome?.mutations.is_empty(), "no mutations");
                        Ok(())
                    }
                })
                .await
            }
            Way::BareDirect { threads } => {
                let (action, text) = (Arc::clone(&self.direct), Arc::clone(&self.text));
                tokio::task::spawn_blocking(move || batch_direct(&action, &text, threads)).await?
            }
            Way::BareWaiting { in_flight } => {
                let (action, text) = (Arc::clone(&self.waiting), Arc::clone(&self.text));
                batch(&self.bare_handle, in_flight, move || {
                    let (action, text) = (Arc::clone(&action), Arc::clone(&text));
                    async move { action.call(&text).await }
                })
                .await
            }
        }
    }
}

/// A batch on a runtime: as many tasks as calls are to be in flight, one call after the other in
/// each.
async fn batch<Call, Called>(handle: &Handle, in_flight: u32, call: Call) -> Result<Duration>
where
    Call: Fn() -> Called + Clone + Send + 'static,
    Called: Future<Output = Result<()>> + Send + 'static,
{
    let began = Instant::now();
    let tasks: Vec<_> = (0..in_flight)
        .map(|_| {
            let call = call.clone();
            handle.spawn(async move {
                for _ in 0..BATCH_CALLS / in_flight {
                    call().await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(began.elapsed())
}

/// A batch of plain calls on threads.
fn batch_direct(action: &DirectAction<()>, text: &EventText, threads: u32) -> Result<Duration> {
    let began = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| (0..BATCH_CALLS / threads).try_for_each(|_| action.call(text))))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .map_err(|_| anyhow::anyhow!("a thread panicked"))?
        })
    })?;
    Ok(began.elapsed())
}

/// A stone was entered, with notes that bring the event to its size.
fn event() -> Result<Event> {
    let mut after = json!({
        "sku": "D-00001",
        "name": "0.23 ct Ideal diamond, E SI2",
        "carat": "0.23",
        "cut": "Ideal",
        "color": "E",
        "clarity": "SI2",
        "depth": "61.5",
        "table": "55",
        "price": { "amount": "326", "currency": "USD" },
        "length_mm": "3.95",
        "width_mm": "3.98",
        "depth_mm": "2.43",
        "status": "in_stock",
        "notes": "",
    });
    let mut event = Event {
        id: crm_model::EventId::new(Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0001)),
        kind: EventKind::RecordCreated,
        module: "items".parse()?,
        record_id: crm_model::RecordId::new(Uuid::from_u128(
            0x0197_0000_0000_7000_8000_0000_0000_0002,
        )),
        record_version: 1,
        before: None,
        after: None,
        changed_fields: Vec::new(),
        payload: None,
        actor: crm_model::Actor::person("bench".parse()?, vec!["owner".parse()?]),
        cause: Cause::User,
        depth: 0,
        occurred_at: chrono::DateTime::UNIX_EPOCH,
    };
    let fields = after.as_object().context("not an object")?;
    event.changed_fields = fields
        .keys()
        .map(|field| field.parse())
        .collect::<Result<_, _>>()?;
    event.after = Some(fields.clone());
    let missing = EVENT_BYTES.saturating_sub(serde_json::to_string(&event)?.len());
    if let Some(notes) = after.get_mut("notes") {
        *notes = json!("Bought at auction. ".repeat(missing.div_ceil(19)));
    }
    event.after = after.as_object().cloned();
    Ok(event)
}

fn text(event: &Event) -> Result<EventText> {
    Ok(EventText {
        id: event.id.to_string(),
        module: event.module.to_string(),
        record_id: event.record_id.to_string(),
        after: serde_json::to_string(&event.after)?,
        changed_fields: event
            .changed_fields
            .iter()
            .map(ToString::to_string)
            .collect(),
        user_id: event.actor.user_id.to_string(),
        roles: event.actor.roles.iter().map(ToString::to_string).collect(),
        occurred_at: event.occurred_at.to_rfc3339(),
        config: "{}".to_owned(),
    })
}
