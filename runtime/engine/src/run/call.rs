//! What a plugin is called with: the event as it may see it, its configuration, a host that
//! answers it.

use crm_model::model::InstalledPlugin;
use crm_model::permission::Authority;
use crm_model::{Effect, Event, Grant, JobId, Model, PluginName};
use crm_sandbox::ActionCall;
use std::sync::Arc;
use uuid::Uuid;

use super::host::{Kept, RunHost};
use crate::Engine;

/// Who is called, on whose word, for which job.
pub(crate) struct Told<'a> {
    pub(crate) name: &'a PluginName,
    pub(crate) plugin: &'a InstalledPlugin,
    pub(crate) authority: Authority<'a>,
    pub(crate) job: JobId,
    /// What the call is, of all that its job does: the same at each attempt.
    pub(crate) work: Uuid,
}

/// The call; none where the event's module is no more.
pub(crate) fn action_call(
    model: &Model,
    told: &Told<'_>,
    event: &Event,
    configuration: &serde_json::Value,
) -> Option<ActionCall> {
    let plugin = told.plugin;
    let module = model.module(&event.module)?;
    // What the plugin sees is what the person sees of it, too, unless it runs as itself.
    let sight = model.sight(module, told.authority.reader());
    let (_, seed) = told.work.as_u64_pair();
    Some(ActionCall {
        tenant: Some(model.tenant_id()),
        event: Arc::new(event.visible_to(&plugin.grant, &sight)),
        configuration: Arc::new(configuration.to_string()),
        settings: Arc::clone(&plugin.settings),
        zone: model.settings().time_zone.name().into(),
        locale: model.settings().locale().into(),
        idempotency_key: told.work.to_string(),
        seed,
        grant: plugin.grant.clone(),
        plan: model.plan().limits,
    })
}

/// Whether a plugin may ask for all of these.
///
/// # Errors
/// A sentence that names the first that it may not.
pub(crate) fn effects_check(grant: &Grant, effects: &[Effect]) -> Result<(), String> {
    match effects.iter().find(|effect| !grant.may_ask_for(effect)) {
        None => Ok(()),
        Some(Effect::Http(request)) => Err(format!(
            "the plugin may not send requests to “{}”",
            request.host().unwrap_or_default()
        )),
        Some(effect) => Err(format!(
            "the plugin may not ask for effects of the kind `{}`",
            effect.kind()
        )),
    }
}

impl Engine {
    /// What answers the guest, and the values that it keeps.
    pub(crate) fn run_host(&self, model: &Arc<Model>, told: &Told<'_>) -> (RunHost, Kept) {
        let kept = Kept::default();
        let host = RunHost {
            engine: self.clone(),
            tenant: model.tenant_id(),
            model: Arc::clone(model),
            plugin: told.name.clone(),
            grant: told.plugin.grant.clone(),
            reader: told.authority.reader().cloned(),
            job: told.job,
            kept: kept.clone(),
        };
        (host, kept)
    }
}
