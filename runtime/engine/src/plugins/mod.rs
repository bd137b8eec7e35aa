//! The tenant's plugins: what is installed and what it may do, installing, changing, removing.
//! Live for the next request and the next run on every instance, because each change is a version
//! of the tenant's model. Who manages everything decides.

pub(crate) mod preview;
mod uploads;
mod usage;

use crm_model::configuration::{configuration_check, steps_check};
use crm_model::limits::CONCURRENCY_MAX;
use crm_model::manifest::{GuestClass, Manifest, World};
use crm_model::model::InstalledPlugin;
use crm_model::permission::manages_all;
use crm_model::{Actor, Capabilities, Model, PluginName, TenantId, Violations, WorkflowSlug};
use crm_sandbox::ClassLimits;
use crm_store::plugins::{Available, Installed, Terms};
use crm_store::{StoreError, TenantTx};
use semver::Version;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::audit::{Act, audit_write};
use crate::breaker::BreakerState;
use crate::receipt::{ReceiptMaker, receipt_keep};
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

pub use preview::{Preview, PreviewRequest, PreviewedChange, PreviewedRun};
pub use uploads::Upload;
pub(crate) use uploads::Uploads;
pub use usage::PluginUsage;

/// An installed plugin, as those see it who decide about it.
#[derive(Clone, Debug)]
pub struct PluginView {
    pub install: Installed,
    /// Interfaces of the host that the component imports: what it does not import, it cannot use.
    pub imports: Vec<String>,
    /// Workflows with a step of it.
    pub workflows: Vec<WorkflowSlug>,
    /// Fields that other plugins may write too.
    pub conflicts: Vec<FieldConflict>,
    /// Steps of workflows that are not configured as this version wants it.
    pub unfit: Vec<UnfitStep>,
    pub breaker: BreakerState,
    /// Why this version runs nowhere.
    pub killed: Option<String>,
    /// Newer versions that could be installed, oldest first.
    pub newer: Vec<Version>,
}

/// A field that two plugins may write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldConflict {
    pub plugin: PluginName,
    pub module: String,
    pub field: String,
}

/// Something in the configuration of a workflow's step that its action does not want.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnfitStep {
    pub workflow: WorkflowSlug,
    /// Into the workflow: `/steps/0/config/…`.
    pub pointer: String,
    pub message: String,
}

/// What a component of its class may be, and what its calls may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Takes {
    pub class: GuestClass,
    pub component_max_bytes: usize,
    pub memory_max_bytes: usize,
}

impl Takes {
    fn of(class: GuestClass) -> Self {
        let limits = ClassLimits::of(class);
        Self {
            class,
            component_max_bytes: limits.component_max_bytes,
            memory_max_bytes: limits.call.memory_max_bytes,
        }
    }
}

impl PluginView {
    /// What it takes at most.
    pub fn takes(&self) -> Takes {
        Takes::of(self.install.manifest.0.class)
    }
}

/// What is to be installed.
#[derive(Debug)]
pub struct PluginInstall {
    pub source: PluginSource,
    /// Whether it takes the place of a version that is installed; what is not given stays then.
    pub replace: bool,
    /// The turn at sending a component, given back when the component is kept or refused.
    pub upload: Option<Upload>,
    /// What it is granted; all that it asks for unless given.
    pub grants: Option<Capabilities>,
    pub config: Option<Value>,
}

/// Where it comes from.
#[derive(Clone, Debug)]
pub enum PluginSource {
    /// A component that the tenant brings along.
    Component(Vec<u8>),
    /// One that is known; the newest version unless given.
    Known(PluginName, Option<Version>),
}

/// What is to be changed; what is not given stays.
#[derive(Clone, Debug, Default)]
pub struct PluginChange {
    pub version: Option<Version>,
    pub grants: Option<Capabilities>,
    pub config: Option<Value>,
    pub enabled: Option<bool>,
    /// How many runs may be at a step of it at once; none inside: any number.
    pub concurrency: Option<Option<u32>>,
}

/// What is written of one plugin.
struct Wanted {
    manifest: Manifest,
    digest: String,
    granted: Capabilities,
    settings: Value,
    enabled: bool,
    concurrency: Option<u32>,
    /// To be kept, where it is the tenant's own and new.
    component: Option<Vec<u8>>,
}

impl Engine {
    /// The installed plugins, by name.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub async fn plugins(
        &self,
        tenant: TenantId,
        actor: &Actor,
    ) -> Result<Vec<PluginView>, EngineError> {
        let (mut tx, model) = self.begin_plugins(tenant, actor).await?;
        let installs = crm_store::plugins::installs_list(&mut tx).await?;
        let versions = crm_store::plugins::versions_list(&mut tx, None).await?;
        drop(tx);
        let mut views = Vec::with_capacity(installs.len());
        for install in installs {
            views.push(self.plugin_view(&model, install, &versions).await?);
        }
        Ok(views)
    }

    async fn plugin_view(
        &self,
        model: &Model,
        install: Installed,
        versions: &[Available],
    ) -> Result<PluginView, EngineError> {
        let manifest = &install.manifest.0;
        let (name, tenant) = (manifest.name.clone(), model.tenant_id());
        let imports = match model.plugin(&name) {
            Some(plugin) => self.component(tenant, plugin).await?.imports().to_vec(),
            None => Vec::new(),
        };
        let workflows = model.workflows().iter();
        let uses = workflows.filter(|workflow| workflow.calls(&name));
        let newer = versions.iter().map(|version| &version.manifest.0);
        let newer = newer.filter(|other| other.name == name && other.version > manifest.version);
        let mut newer: Vec<Version> = newer.map(|manifest| manifest.version.clone()).collect();
        newer.sort();
        Ok(PluginView {
            imports,
            workflows: uses
                .map(|workflow| workflow.definition().slug.clone())
                .collect(),
            conflicts: conflicts(model, &name),
            unfit: unfit(model, manifest),
            breaker: self.breaker(tenant, &name),
            killed: self.inner.breakers.killed(&name, &manifest.version),
            newer,
            install,
        })
    }

    /// One installed plugin.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Forbidden`].
    pub async fn plugin(
        &self,
        tenant: TenantId,
        actor: &Actor,
        name: &PluginName,
    ) -> Result<PluginView, EngineError> {
        let (mut tx, model) = self.begin_plugins(tenant, actor).await?;
        let there = install_of(&mut tx, name).await?;
        let there = there.ok_or(EngineError::NotFound("plugin"))?;
        let versions = crm_store::plugins::versions_list(&mut tx, Some(name)).await?;
        drop(tx);
        self.plugin_view(&model, there, &versions).await
    }

    async fn begin_plugins(
        &self,
        tenant: TenantId,
        actor: &Actor,
    ) -> Result<(TenantTx, Arc<Model>), EngineError> {
        let tx = TenantTx::begin(self.store(), tenant).await?;
        let model = self.managed_model(&tx, actor).await?;
        Ok((tx, model))
    }

    /// The tenant's model, for those who decide about plugins.
    async fn managed_model(&self, tx: &TenantTx, actor: &Actor) -> Result<Arc<Model>, EngineError> {
        let model = self.model_at(tx.tenant_id(), tx.model_version()).await?;
        let model = model.ok_or(EngineError::NotFound("model"))?;
        if !manages_all(&model, actor) {
            return Err(EngineError::Forbidden(
                "plugins are for those who manage everything",
            ));
        }
        Ok(model)
    }

    /// Whether somebody may decide about plugins, asked before a component is read.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`].
    pub async fn plugins_managed(
        &self,
        tenant: TenantId,
        actor: &Actor,
    ) -> Result<(), EngineError> {
        self.begin_plugins(tenant, actor).await.map(drop)
    }

    /// Installs a plugin, with what it may do. The component is compiled before, so that what
    /// cannot run is refused here.
    ///
    /// # Errors
    /// [`EngineError::Component`] where the component is refused, [`EngineError::Conflict`] where
    /// a plugin of the name is installed or the version is taken by another component,
    /// [`EngineError::Refused`] where grants or configuration do not fit, [`EngineError::Forbidden`].
    pub async fn plugin_install(
        &self,
        tenant: TenantId,
        actor: Actor,
        install: PluginInstall,
        receipt: Option<ReceiptMaker<PluginView>>,
    ) -> Result<PluginView, EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            // Asked before anything is compiled.
            drop(engine.begin_plugins(tenant, &actor).await?);
            let PluginInstall {
                source,
                replace,
                upload,
                grants,
                config,
            } = install;
            let (manifest, digest, component) = engine.sourced(tenant, source).await?;
            let name = manifest.name.clone();
            let decide = move |there: Option<Installed>| match there {
                Some(_) if !replace => Err(EngineError::Conflict(format!(
                    "“{}” is installed already: send `replace` to put this in its place, or \
                     remove it first",
                    manifest.name
                ))),
                there => {
                    let concurrency = there.as_ref().and_then(concurrency);
                    let there =
                        there.map(|there| (there.granted.0, there.settings.0, there.enabled));
                    let (granted, settings, enabled) =
                        there.unwrap_or_else(|| (manifest.capabilities.clone(), json!({}), true));
                    Ok(Wanted {
                        granted: grants.unwrap_or(granted),
                        settings: config.unwrap_or(settings),
                        enabled,
                        concurrency,
                        manifest,
                        digest,
                        component,
                    })
                }
            };
            let view = engine
                .plugin_put(tenant, &actor, &name, receipt, decide)
                .await;
            drop(upload);
            view
        })
        .await
    }

    /// The manifest of what is to be installed, its digest, and its bytes where they are new.
    async fn sourced(
        &self,
        tenant: TenantId,
        source: PluginSource,
    ) -> Result<(Manifest, String, Option<Vec<u8>>), EngineError> {
        match source {
            PluginSource::Component(bytes) => {
                let (bytes, plugin) = self.component_take(bytes).await?;
                let digest = plugin.digest().to_string();
                Ok((plugin.manifest().clone(), digest, Some(bytes)))
            }
            PluginSource::Known(name, version) => {
                let known = self.version_known(tenant, &name, version.as_ref()).await?;
                Ok((known.manifest.0, known.digest, None))
            }
        }
    }

    /// A version that the tenant can install: this one, or the newest.
    async fn version_known(
        &self,
        tenant: TenantId,
        name: &PluginName,
        version: Option<&Version>,
    ) -> Result<Available, EngineError> {
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let versions = crm_store::plugins::versions_list(&mut tx, Some(name)).await?;
        let wanted = versions
            .into_iter()
            .filter(|known| version.is_none_or(|version| known.manifest.0.version == *version))
            .max_by(|one, other| one.manifest.0.version.cmp(&other.manifest.0.version));
        wanted.ok_or_else(|| {
            let message = match version {
                Some(version) => format!("there is no “{name}” {version}"),
                None => format!("there is no plugin “{name}”"),
            };
            EngineError::invalid(Violations::one("/version", "unknown_version", message))
        })
    }

    /// Changes a plugin: its version, up or down, what it is granted, its configuration, whether
    /// it runs.
    ///
    /// # Errors
    /// As [`Engine::plugin_install`], and [`EngineError::NotFound`].
    pub async fn plugin_change(
        &self,
        tenant: TenantId,
        actor: Actor,
        name: PluginName,
        change: PluginChange,
    ) -> Result<PluginView, EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            drop(engine.begin_plugins(tenant, &actor).await?);
            let version = match &change.version {
                None => None,
                Some(version) => Some(engine.version_known(tenant, &name, Some(version)).await?),
            };
            engine
                .plugin_put(tenant, &actor, &name, None, move |there| {
                    let there = there.ok_or(EngineError::NotFound("plugin"))?;
                    let concurrency = change.concurrency.unwrap_or(concurrency(&there));
                    let (manifest, digest) = match version {
                        Some(version) => (version.manifest.0, version.digest),
                        None => (there.manifest.0, there.digest),
                    };
                    Ok(Wanted {
                        granted: change.grants.unwrap_or(there.granted.0),
                        settings: change.config.unwrap_or(there.settings.0),
                        enabled: change.enabled.unwrap_or(there.enabled),
                        concurrency,
                        manifest,
                        digest,
                        component: None,
                    })
                })
                .await
        })
        .await
    }

    /// Writes what `decide` makes of the plugin that is there, if the model still compiles.
    async fn plugin_put(
        &self,
        tenant: TenantId,
        actor: &Actor,
        name: &PluginName,
        receipt: Option<ReceiptMaker<PluginView>>,
        decide: impl FnOnce(Option<Installed>) -> Result<Wanted, EngineError> + Send,
    ) -> Result<PluginView, EngineError> {
        let (mut tx, _) = self.begin_plugins(tenant, actor).await?;
        // Waits for other changes of the model.
        crm_store::models::model_advance(&mut tx).await?;
        let there = install_of(&mut tx, name).await?;
        let before = there.as_ref().map(said);
        let trial = there.as_ref().and_then(trial);
        let wanted = decide(there)?;
        check(&wanted)?;
        if let Some(trial) = trial.filter(|trial| *trial != wanted.manifest.version) {
            crm_store::plugins::components_forget(&mut tx, name, Some(&trial)).await?;
        }
        self.keep(&mut tx, &wanted, actor).await?;
        let terms = Terms {
            name,
            version: &wanted.manifest.version,
            granted: &wanted.granted,
            settings: &wanted.settings,
            enabled: wanted.enabled,
            concurrency: wanted.concurrency,
        };
        crm_store::plugins::install_put(&mut tx, &terms, fresh::now(), &actor.user_id).await?;
        let after = self.recompiled(&mut tx).await?;
        let there = install_of(&mut tx, name).await?;
        let there = there.ok_or(EngineError::NotFound("plugin"))?;
        let act = Act {
            action: match before {
                None => "plugin.installed",
                Some(_) => "plugin.changed",
            },
            target: format!("plugins/{name}"),
            before,
            after: Some(said(&there)),
        };
        audit_write(&mut tx, actor, act).await?;
        let versions = crm_store::plugins::versions_list(&mut tx, Some(name)).await?;
        let view = self.view_in(&mut tx, &after, there, &versions).await?;
        receipt_keep(&mut tx, actor, receipt.as_ref(), &view).await?;
        tx.commit().await?;
        self.model_keep(Arc::new(after));
        Ok(view)
    }

    /// The view of a plugin that is not committed yet: its component is read in the transaction.
    async fn view_in(
        &self,
        tx: &mut TenantTx,
        model: &Model,
        install: Installed,
        versions: &[Available],
    ) -> Result<PluginView, EngineError> {
        let digest = install.digest.parse();
        let loaded = digest
            .ok()
            .and_then(|digest| self.sandbox().loaded(&digest));
        if loaded.is_none() {
            let bytes = crm_store::plugins::component_read(tx, &install.digest).await?;
            let bytes = bytes.ok_or(EngineError::NotFound("component"))?;
            self.component_load(bytes).await?;
        }
        self.plugin_view(model, install, versions).await
    }

    /// Removes a plugin, with the values that it kept. Its runs stay in the log. `versions`: also
    /// what the tenant brought along of it, which need not be installed then.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] where workflows use it, [`EngineError::NotFound`],
    /// [`EngineError::Forbidden`].
    pub async fn plugin_remove(
        &self,
        tenant: TenantId,
        actor: Actor,
        name: PluginName,
        versions: bool,
    ) -> Result<(), EngineError> {
        let engine = self.clone();
        uncancelled(async move {
            let (mut tx, _) = engine.begin_plugins(tenant, &actor).await?;
            crm_store::models::model_advance(&mut tx).await?;
            let there = install_of(&mut tx, &name).await?;
            let is_trial = there.as_ref().is_some_and(|there| trial(there).is_some());
            let forgotten = match versions || is_trial {
                true => crm_store::plugins::components_forget(&mut tx, &name, None).await?,
                false => 0,
            };
            if there.is_none() && forgotten == 0 {
                return Err(EngineError::NotFound("plugin"));
            }
            crm_store::plugins::install_remove(&mut tx, &name).await?;
            let after = engine
                .recompiled(&mut tx)
                .await
                .map_err(|error| match error {
                    EngineError::Definition(error) => {
                        EngineError::Conflict(format!("it is in use: {error}"))
                    }
                    other => other,
                })?;
            let act = Act {
                action: "plugin.removed",
                target: format!("plugins/{name}"),
                before: there.as_ref().map(said),
                after: (forgotten > 0).then(|| json!({ "versions_removed": forgotten })),
            };
            audit_write(&mut tx, &actor, act).await?;
            tx.commit().await?;
            engine.model_keep(Arc::new(after));
            Ok(())
        })
        .await
    }

    /// The model with what was written of a plugin, and what follows for runs that are under way.
    async fn recompiled(&self, tx: &mut TenantTx) -> Result<Model, EngineError> {
        let source = crm_store::models::model_source(tx).await?;
        let source = source.ok_or(EngineError::NotFound("model"))?;
        let model = Model::compile(source).map_err(EngineError::from)?;
        crm_store::jobs::concurrency_settle(tx, &model.concurrency()).await?;
        Ok(model)
    }
}

async fn install_of(tx: &mut TenantTx, name: &PluginName) -> Result<Option<Installed>, StoreError> {
    let installs = crm_store::plugins::installs_list(tx).await?;
    let mut installs = installs.into_iter();
    Ok(installs.find(|install| install.manifest.0.name == *name))
}

fn concurrency(there: &Installed) -> Option<u32> {
    there.concurrency.map(i32::unsigned_abs)
}

/// What the audit log keeps of a plugin.
fn said(install: &Installed) -> Value {
    json!({
        "version": install.manifest.0.version,
        "digest": install.digest,
        "granted": install.granted.0,
        "config": install.settings.0,
        "enabled": install.enabled,
        "concurrency": install.concurrency,
    })
}

fn check(wanted: &Wanted) -> Result<(), EngineError> {
    let name = &wanted.manifest.name;
    if wanted.manifest.world != World::Action {
        return Err(EngineError::Conflict(format!(
            "“{name}” is a template: it is chosen, not installed"
        )));
    }
    if !wanted.settings.is_object() {
        let message = "a plugin’s configuration is a JSON object";
        let violations = Violations::one("/config", "type", message);
        return Err(EngineError::invalid(violations));
    }
    if let Some(concurrency) = wanted.concurrency
        && !(1..=CONCURRENCY_MAX).contains(&concurrency)
    {
        let message = format!("is 1 to {CONCURRENCY_MAX}, or null for any number");
        let violations = Violations::one("/concurrency", "range", message);
        return Err(EngineError::invalid(violations));
    }
    match &wanted.manifest.settings_schema {
        Some(schema) => {
            configuration_check(schema, &wanted.settings, "/config").map_err(EngineError::invalid)
        }
        None => Ok(()),
    }
}

impl Engine {
    /// Keeps the component of a new version; names and versions mean one component.
    async fn keep(
        &self,
        tx: &mut TenantTx,
        wanted: &Wanted,
        actor: &Actor,
    ) -> Result<(), EngineError> {
        let Some(component) = &wanted.component else {
            return Ok(());
        };
        let (name, version) = (&wanted.manifest.name, &wanted.manifest.version);
        let known = crm_store::plugins::versions_list(tx, Some(name)).await?;
        let mut same = known
            .iter()
            .filter(|known| known.manifest.0.version == *version);
        match same.next() {
            Some(known) if known.digest == wanted.digest => return Ok(()),
            Some(_) => {
                return Err(EngineError::Conflict(format!(
                    "another build of “{name}” {version} is known here; versions are immutable: raise \
                 the version"
                )));
            }
            None => {}
        }
        if crm_store::plugins::is_published(tx, name).await? {
            return Err(EngineError::Conflict(format!(
                "“{name}” is published here for everybody: give yours another name"
            )));
        }
        self.room_check(tx, wanted.manifest.class, component.len())
            .await?;
        let at = fresh::now();
        let parts = (&wanted.manifest, wanted.digest.as_str(), &component[..]);
        match crm_store::plugins::component_keep(tx, parts, at, &actor.user_id).await {
            Err(StoreError::Exists(what)) => Err(EngineError::Conflict(format!("{what} exists"))),
            other => Ok(other?),
        }
    }
}

/// The version that goes when another takes its place, if this is one.
fn trial(there: &Installed) -> Option<Version> {
    let manifest = &there.manifest.0;
    (there.own && manifest.is_trial()).then(|| manifest.version.clone())
}

/// What of the workflows does not fit a version of a plugin.
fn unfit(model: &Model, manifest: &Manifest) -> Vec<UnfitStep> {
    let Some(schema) = &manifest.config_schema else {
        return Vec::new();
    };
    let mut unfit = Vec::new();
    for workflow in model.workflows() {
        let definition = workflow.definition();
        let checked = steps_check(definition, |action| {
            (*action == manifest.name).then_some(schema)
        });
        let violations = checked.err().unwrap_or_default();
        unfit.extend(violations.as_slice().iter().map(|violation| UnfitStep {
            workflow: definition.slug.clone(),
            pointer: violation.pointer.clone(),
            message: violation.message.clone(),
        }));
    }
    unfit
}

/// Fields that another plugin may write too, as far as both grants name them.
fn conflicts(model: &Model, name: &PluginName) -> Vec<FieldConflict> {
    let written = |plugin: &InstalledPlugin| -> BTreeSet<(String, String)> {
        let modules = model.modules();
        let fields = modules.flat_map(|module| {
            let definition = module.definition();
            let fields = definition.fields.iter();
            fields.map(|field| (definition.slug.to_string(), field.key.to_string()))
        });
        let writes = |(module, field): &(String, String)| {
            let operations = [
                crm_model::capability::WriteOperation::Create,
                crm_model::capability::WriteOperation::Update,
            ];
            let mut operations = operations.into_iter();
            operations.any(|operation| plugin.grant.names_write(module, operation, field))
        };
        fields.filter(writes).collect()
    };
    let Some(own) = model.plugin(name).map(written) else {
        return Vec::new();
    };
    let others = model.plugins().filter(|(other, _)| *other != name);
    let conflicts = others.flat_map(|(other, plugin)| {
        let shared: Vec<_> = written(plugin).intersection(&own).cloned().collect();
        shared.into_iter().map(|(module, field)| FieldConflict {
            plugin: other.clone(),
            module,
            field,
        })
    });
    conflicts.collect()
}
