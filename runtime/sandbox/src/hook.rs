//! What a template is asked beside its model: before a change is saved, while its sender waits,
//! and when its tenant moves to another version of it. Nothing can be asked of the host there.
//!
//! Hooks have threads and turns of their own, so that no request waits behind a long run.

use chrono::{DateTime, SecondsFormat, Utc};
use crm_model::hooks::SaveKind;
use crm_model::limits::{BEFORE_SAVE_MAX_CONCURRENT, BEFORE_SAVE_MAX_READY, VIOLATIONS_MAX_COUNT};
use crm_model::manifest::World;
use crm_model::{Actor, Data, FieldKey, Grant, ModuleSlug, RecordId};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::Store;
use wasmtime::component::TypedFunc;

use crate::call::{in_time, since_1970};
use crate::class::GuestLimits;
use crate::contract::bindings::template::Template;
use crate::contract::bindings::v1_0::types as wit;
use crate::digest::Digest;
use crate::failure::{RunFailure, Stage, failure_of, over};
use crate::host::Gate;
use crate::host::question::NoHost;
use crate::mutation::data_decode;
use crate::plan::LimitOverrides;
use crate::plugin::{Guest, Plugin, TemplateGuest};
use crate::report::LogLine;
use crate::store::{GuestState, store_account, store_new, store_restart};
use crate::text::sentence;

/// What `before-save` is called with: a change that is about to be made.
#[derive(Clone, Debug)]
pub struct SaveCall {
    pub kind: SaveKind,
    pub module: ModuleSlug,
    /// None for a new record.
    pub record_id: Option<RecordId>,
    /// The record as it is, whole.
    pub before: Option<Data>,
    /// The record as it would be.
    pub after: Data,
    pub changed: Vec<FieldKey>,
    /// The person who makes it.
    pub actor: Actor,
    pub at: DateTime<Utc>,
    /// The tenant's time zone: `Europe/Berlin`.
    pub zone: Arc<str>,
    /// The tenant's language: `de`.
    pub locale: Arc<str>,
    pub seed: u64,
    /// What the tenant's plan says of its calls.
    pub plan: LimitOverrides,
}

/// What a template says to a change.
#[derive(Clone, Debug, PartialEq)]
pub enum HookVerdict {
    /// It may be made as it is.
    Fine,
    /// A merge patch of the record, not yet checked against any model.
    Patch(Data),
    /// What is wrong with it; at least one thing.
    Objections(Vec<Objection>),
}

/// What is wrong with a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// The field that it is about, as the guest calls it; none for the record as a whole.
    pub field: Option<String>,
    pub message: String,
}

/// The account of one call of `before-save`.
#[derive(Debug)]
pub struct HookReport {
    pub verdict: Result<HookVerdict, RunFailure>,
    /// Units of fuel that it used, about one per instruction.
    pub fuel: u64,
    /// The most linear memory that it held.
    pub memory_bytes: usize,
    /// From the instance's start to its answer, without waiting for a turn.
    pub duration: Duration,
    /// What it wrote to its log, oldest first.
    pub logs: Vec<LogLine>,
    pub leftover: Leftover,
}

/// The instance of a call that has ended, and its turn. To clear it away takes as long as to make
/// it, so whoever has to wait for something else does that meanwhile: by dropping this then, or by
/// having the next one made as well.
#[derive(Default)]
pub struct Leftover(Option<Ended>);

struct Ended {
    /// Dropped before the turn, which ends when the instance's place in the pool is free.
    store: Store<GuestState>,
    turn: OwnedSemaphorePermit,
    next: Option<Next>,
}

/// An instance that is worth making, and where it is kept.
struct Next {
    room: Arc<HookRoom>,
    plugin: Arc<Plugin>,
    limits: GuestLimits,
}

impl Leftover {
    /// Clears the instance away and has a fresh one ready for the next call of the same component.
    /// Whoever stops waiting for that leaves none.
    pub async fn renew(self) {
        let Some(Ended { store, turn, next }) = self.0 else {
            return;
        };
        drop(store);
        if let Some(next) = next {
            // What is wrong with it is told to who calls it.
            if let Ok(instance) = HookInstance::ready(&next).await {
                next.room.keep(instance);
            }
        }
        drop(turn);
    }
}

impl std::fmt::Debug for Leftover {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Leftover").finish_non_exhaustive()
    }
}

impl HookReport {
    pub(crate) fn not_run(failure: RunFailure) -> Self {
        Self {
            verdict: Err(failure),
            fuel: 0,
            memory_bytes: 0,
            duration: Duration::ZERO,
            logs: Vec::new(),
            leftover: Leftover::default(),
        }
    }
}

/// An instance that nobody has called.
struct HookInstance {
    digest: Digest,
    limits: GuestLimits,
    store: Store<GuestState>,
    hook: BeforeSave,
}

impl HookInstance {
    async fn ready(next: &Next) -> Result<Self, RunFailure> {
        let Next { plugin, limits, .. } = next;
        let mut store = quiet_store(plugin, limits, Arc::default())?;
        let hook = hook_start(&mut store, plugin, limits).await?;
        store.data_mut().rest();
        Ok(Self {
            digest: plugin.digest(),
            limits: *limits,
            store,
            hook,
        })
    }
}

/// The turns that calls wait for, and the instances that wait for calls.
pub(crate) struct HookRoom {
    turns: Arc<Semaphore>,
    /// The newest is the last.
    ready: Mutex<Vec<HookInstance>>,
}

impl HookRoom {
    pub(crate) fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(BEFORE_SAVE_MAX_CONCURRENT as usize)),
            ready: Mutex::default(),
        }
    }

    /// A fresh instance for a call with these limits, where one is ready.
    fn take(&self, digest: Digest, limits: &GuestLimits) -> Option<HookInstance> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |one: &HookInstance| one.digest == digest && one.limits == *limits;
        let place = ready.iter().rposition(fits)?;
        Some(ready.remove(place))
    }

    /// Keeps an instance in place of the one that nobody has wanted for longest, where there are
    /// too many.
    fn keep(&self, instance: HookInstance) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let excess = (ready.len() + 1).saturating_sub(BEFORE_SAVE_MAX_READY as usize);
        let gone: Vec<HookInstance> = ready.drain(..excess).collect();
        ready.push(instance);
        drop(ready);
        // To clear one away takes its time.
        drop(gone);
    }

    /// Calls a template's `before-save`.
    pub(crate) async fn before_save(
        self: &Arc<Self>,
        plugin: &Arc<Plugin>,
        limits: &GuestLimits,
        call: &SaveCall,
        is_long: Arc<AtomicBool>,
    ) -> HookReport {
        let limits = GuestLimits {
            call_max: limits.before_save_max,
            ..*limits
        };
        let Ok(turn) = Arc::clone(&self.turns).acquire_owned().await else {
            return HookReport::not_run(RunFailure::host("the sandbox is closed"));
        };
        let (mut store, hook) = match self.take(plugin.digest(), &limits) {
            Some(HookInstance {
                mut store, hook, ..
            }) => {
                store_restart(&mut store, plugin, &limits, is_long);
                (store, Some(hook))
            }
            None => match quiet_store(plugin, &limits, is_long) {
                Ok(store) => (store, None),
                Err(failure) => return HookReport::not_run(failure),
            },
        };
        if plugin.wasi {
            store.data_mut().set_wasi(since_1970(call.at), call.seed);
        }
        let verdict = before_save_in((&mut store, hook), plugin, &limits, call);
        let verdict = in_time(plugin, &limits, verdict).await;
        let usage = store_account(&mut store, &limits);
        // What begins by asking for the time begins with its call, and what fails is not asked for
        // again so soon.
        let next = (!plugin.wasi && verdict.is_ok()).then(|| Next {
            room: Arc::clone(self),
            plugin: Arc::clone(plugin),
            limits,
        });
        HookReport {
            verdict,
            fuel: usage.fuel,
            memory_bytes: usage.memory_bytes,
            duration: usage.duration,
            logs: usage.logs,
            leftover: Leftover(Some(Ended { store, turn, next })),
        }
    }

    /// Calls a template's `migrate`.
    pub(crate) async fn migrate(
        &self,
        plugin: &Plugin,
        limits: &GuestLimits,
        (module, from_version, data): (&ModuleSlug, &semver::Version, &Data),
    ) -> Result<Option<Data>, RunFailure> {
        let _turn = self.turns.acquire().await.map_err(RunFailure::host)?;
        let data = serde_json::to_string(data).map_err(RunFailure::host)?;
        over("input_max_bytes", data.len(), limits.input_max_bytes)?;
        let mut store = quiet_store(plugin, limits, Arc::default())?;
        let from_version = from_version.to_string();
        let answer = async {
            let template = template_start(&mut store, plugin, limits).await?;
            let answer = template
                .call_migrate(&mut store, module.as_str(), &from_version, &data)
                .await;
            answer.map_err(|error| failure_of(&error, Stage::Call, store.data(), limits))
        };
        match in_time(plugin, limits, answer).await? {
            Ok(None) => Ok(None),
            Ok(Some(text)) => {
                over("output_max_bytes", text.len(), limits.output_max_bytes)?;
                let data = data_decode("data", &text).map_err(RunFailure::nonsense)?;
                Ok(Some(data))
            }
            Err(reason) => {
                over("output_max_bytes", reason.len(), limits.output_max_bytes)?;
                Err(RunFailure::Fail(sentence(&reason)))
            }
        }
    }
}

/// A store of a guest that can ask nothing of the host.
pub(crate) fn quiet_store(
    plugin: &Plugin,
    limits: &GuestLimits,
    is_long: Arc<AtomicBool>,
) -> Result<Store<GuestState>, RunFailure> {
    let gate = Gate::new(Box::new(NoHost), Grant::default(), limits);
    store_new(plugin, limits, gate, Arc::default(), is_long)
}

pub(crate) async fn template_start(
    store: &mut Store<GuestState>,
    plugin: &Plugin,
    limits: &GuestLimits,
) -> Result<Template, RunFailure> {
    let template = template_of(plugin)?;
    let instance = template.pre.instantiate_async(&mut *store).await;
    instance.map_err(|error| failure_of(&error, Stage::Start, store.data(), limits))
}

fn template_of(plugin: &Plugin) -> Result<&TemplateGuest, RunFailure> {
    match &plugin.guest {
        Guest::Template(template) => Ok(template),
        Guest::Action(_) => Err(RunFailure::WrongWorld {
            is: plugin.manifest().world,
            called: World::Template,
        }),
    }
}

/// What the contract says that `before-save` answers.
type SaveAnswer = Result<Option<String>, Vec<wit::Objection>>;

type BeforeSave = TypedFunc<(Box<wit::Change>,), (SaveAnswer,)>;

/// Makes the instance.
async fn hook_start(
    store: &mut Store<GuestState>,
    plugin: &Plugin,
    limits: &GuestLimits,
) -> Result<BeforeSave, RunFailure> {
    let template = template_of(plugin)?;
    let instance = template.pre.instance_pre().instantiate_async(&mut *store);
    let hook = instance
        .await
        .and_then(|instance| instance.get_typed_func(&mut *store, template.before_save));
    hook.map_err(|error| failure_of(&error, Stage::Start, store.data(), limits))
}

async fn before_save_in(
    (store, hook): (&mut Store<GuestState>, Option<BeforeSave>),
    plugin: &Plugin,
    limits: &GuestLimits,
    call: &SaveCall,
) -> Result<HookVerdict, RunFailure> {
    let change = change_encode(call).map_err(RunFailure::host)?;
    let input_bytes = change.after.len() + change.before.as_ref().map_or(0, String::len);
    over("input_max_bytes", input_bytes, limits.input_max_bytes)?;
    let hook = match hook {
        Some(hook) => hook,
        None => hook_start(store, plugin, limits).await?,
    };
    let answer = hook.call_async(&mut *store, (Box::new(change),)).await;
    let (answer,) =
        answer.map_err(|error| failure_of(&error, Stage::Call, store.data(), limits))?;
    match answer {
        Ok(None) => Ok(HookVerdict::Fine),
        Ok(Some(patch)) => {
            over("output_max_bytes", patch.len(), limits.output_max_bytes)?;
            let patch = data_decode("patch", &patch).map_err(RunFailure::nonsense)?;
            Ok(match patch.is_empty() {
                true => HookVerdict::Fine,
                false => HookVerdict::Patch(patch),
            })
        }
        Err(objections) => objections_decode(&objections, limits),
    }
}

fn objections_decode(
    objections: &[wit::Objection],
    limits: &GuestLimits,
) -> Result<HookVerdict, RunFailure> {
    let bytes =
        |one: &wit::Objection| one.message.len() + one.field.as_ref().map_or(0, String::len);
    over(
        "output_max_bytes",
        objections.iter().map(bytes).sum(),
        limits.output_max_bytes,
    )?;
    if objections.is_empty() {
        return Err(RunFailure::nonsense("it objects without an objection"));
    }
    let objections = objections.iter().take(VIOLATIONS_MAX_COUNT);
    let objections = objections.map(|one| Objection {
        field: one.field.as_deref().map(sentence),
        message: sentence(&one.message),
    });
    Ok(HookVerdict::Objections(objections.collect()))
}

fn change_encode(call: &SaveCall) -> Result<wit::Change, serde_json::Error> {
    Ok(wit::Change {
        kind: match call.kind {
            SaveKind::Create => wit::ChangeKind::Create,
            SaveKind::Update => wit::ChangeKind::Update,
        },
        module: call.module.to_string(),
        record_id: call.record_id.map(|id| id.to_string()).unwrap_or_default(),
        before: call
            .before
            .as_ref()
            .map(serde_json::to_string)
            .transpose()?,
        after: serde_json::to_string(&call.after)?,
        changed_fields: call.changed.iter().map(ToString::to_string).collect(),
        user_id: call.actor.user_id.to_string(),
        roles: call.actor.roles.iter().map(ToString::to_string).collect(),
        occurred_at: call.at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        zone: call.zone.to_string(),
        locale: call.locale.to_string(),
        seed: call.seed,
    })
}
