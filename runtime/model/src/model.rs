//! A tenant's whole schema, compiled: template and overlay together, immutable, identified by
//! its version. Compiling finds every mistake that a definition can hold, so that later steps
//! need not look again.

use chrono::DateTime;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::capability::Grant;
use crate::definition::{TeamDefinition, TemplateDefinition, WorkflowDefinition};
use crate::hooks::TemplateHooks;
use crate::ids::TenantId;
use crate::limits;
use crate::names::{
    FieldKey, ModuleSlug, PluginName, RoleSlug, TemplateSlug, UserId, WorkflowSlug,
};
use crate::overlay::{MergedModule, Overlay};
use crate::permission::{Action, Actor};
use crate::plan::Plan;
use crate::query::{Filter, Scope};
use crate::reach::Reaches;
use crate::relations::{Links, ReferenceRule, RollupUse};
use crate::roles::{Members, Role, Roles, Teams};
use crate::rules::Rules;
use crate::settings::Settings;
use crate::subscription::Subscription;
use crate::workflow::{Compiled, Workflow};

pub use crate::module::Module;

/// Why definitions do not make a model. `place` says which part, as a person would look for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ModelError {
    pub place: String,
    pub message: String,
}

impl ModelError {
    pub(crate) fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            message: message.into(),
        }
    }
}

/// The template that a tenant chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TemplateReference {
    pub slug: TemplateSlug,
    pub version: semver::Version,
}

/// What a model is compiled from.
#[derive(Clone, Debug)]
pub struct ModelSource {
    pub tenant_id: TenantId,
    /// Grows by one with every change of the tenant's model.
    pub version: i64,
    pub template: TemplateReference,
    /// The template's hooks; none where it has none.
    pub hooks: Option<TemplateHooks>,
    pub settings: Settings,
    pub definition: TemplateDefinition,
    /// The tenant's own modules and fields, and its edits of the template's.
    pub overlay: Overlay,
    /// The tenant's own workflows, and what stands in the place of the template's.
    pub workflows: Vec<OwnWorkflow>,
    /// Plugins that the tenant installed.
    pub plugins: BTreeMap<PluginName, InstalledPlugin>,
    /// What the tenant knows of its people.
    pub members: Members,
    pub teams: Teams,
    /// Fields whose rows in the typed index, unique values or words are not complete yet,
    /// because they came to records that were there before.
    pub building: BTreeSet<(ModuleSlug, FieldKey)>,
    /// Whether the tenant is read only for now.
    pub suspended: bool,
    /// What the operator says of its limits.
    pub plan: Plan,
    /// Webhooks that are told of records by themselves.
    pub subscriptions: Vec<Subscription>,
}

/// A workflow that the tenant has published.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnWorkflow {
    pub slug: WorkflowSlug,
    /// How many versions there are: they count from 1.
    pub newest: u32,
    /// The version that events start, with its number; none of one that was taken away.
    pub live: Option<(u32, WorkflowDefinition)>,
}

/// A plugin as a tenant has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledPlugin {
    pub version: semver::Version,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// What its manifest declares and the tenant grants.
    pub grant: Grant,
    /// What the tenant configured for it as a whole: a JSON object as text.
    pub settings: Arc<String>,
    /// Whether it runs; what it would do waits meanwhile.
    pub enabled: bool,
    /// How many runs may be at a step of it at once; none: any number.
    pub concurrency: Option<u32>,
}

/// A compiled model.
#[derive(Debug)]
pub struct Model {
    tenant_id: TenantId,
    version: i64,
    template: TemplateReference,
    hooks: Option<TemplateHooks>,
    settings: Settings,
    modules: BTreeMap<ModuleSlug, Module>,
    links: Links,
    workflows: Vec<Arc<Workflow>>,
    /// The template's in whose place the tenant has put its own.
    replaced: Vec<Arc<Workflow>>,
    roles: Roles,
    plugins: BTreeMap<PluginName, InstalledPlugin>,
    suspended: bool,
    plan: Plan,
    subscriptions: Vec<Subscription>,
}

impl Model {
    /// Compiles definitions.
    ///
    /// # Errors
    /// The first mistake found, with its place.
    pub fn compile(source: ModelSource) -> Result<Self, ModelError> {
        let ModelSource {
            tenant_id,
            version,
            template,
            hooks,
            settings,
            definition,
            overlay,
            building,
            suspended,
            plan,
            subscriptions,
            ..
        } = source;
        let roles = overlay.merge_roles(&definition);
        let modules = compile_modules(overlay.merge(&definition), &building)?;
        let links = Links::compile(&modules)?;
        let against = (&modules, &source.plugins, &overlay.workflow_edits);
        let Compiled {
            workflows,
            replaced,
        } = Compiled::all(definition.workflows, source.workflows, against)?;
        let roles = Roles::compile(roles, source.members, source.teams, &modules)
            .map_err(|message| ModelError::new("roles", message))?;
        let plugins = source.plugins;
        let model = Self {
            tenant_id,
            version,
            template,
            hooks,
            settings,
            modules,
            links,
            workflows,
            replaced,
            roles,
            plugins,
            suspended,
            plan,
            subscriptions,
        };
        model.check_rollup_filters()?;
        model
            .check_reaches()
            .map_err(|message| ModelError::new("roles", message))?;
        Ok(model)
    }

    /// Filters are read against a whole model, so they come last.
    fn check_rollup_filters(&self) -> Result<(), ModelError> {
        for (slug, module) in &self.modules {
            for (field, rollup) in module.rollups() {
                let Some(filter) = &rollup.filter else {
                    continue;
                };
                let scope = Scope::host(self, DateTime::UNIX_EPOCH);
                Filter::parse(scope, &rollup.module, filter, "").map_err(|violations| {
                    let place = format!("modules/{slug}/fields/{field}/rollup/filter");
                    ModelError::new(place, violations.to_string())
                })?;
            }
        }
        Ok(())
    }

    /// Whether the tenant is read only for now: then nobody writes.
    pub fn suspended(&self) -> bool {
        self.suspended
    }

    /// What the operator says of the limits of its guests' calls.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whose model it is.
    pub fn tenant_id(&self) -> TenantId {
        self.tenant_id
    }

    /// Which of the tenant's models it is.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The template below it.
    pub fn template(&self) -> &TemplateReference {
        &self.template
    }

    /// The template's hooks; none where it has none.
    pub fn hooks(&self) -> Option<&TemplateHooks> {
        self.hooks.as_ref()
    }

    /// Time zone and language.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The module of that name.
    pub fn module(&self, slug: &ModuleSlug) -> Option<&Module> {
        self.modules.get(slug)
    }

    /// All modules, by name.
    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.modules.values()
    }

    /// All workflows: the template's, then the tenant's.
    pub fn workflows(&self) -> &[Arc<Workflow>] {
        &self.workflows
    }

    /// A workflow as it was in another version than the one that is live, with what the tenant says
    /// of the live one. Its definition is of version `version`; the template's own is 0, and its
    /// definition is here.
    ///
    /// # Errors
    /// A sentence, where that version does not go with the model as it is by now.
    pub fn workflow_as_of(
        &self,
        version: u32,
        definition: WorkflowDefinition,
    ) -> Result<Workflow, String> {
        let slug = definition.slug.clone();
        let mut workflow = Workflow::compile(definition, version, &self.modules, &self.plugins)?;
        if let Some(live) = self.workflow(&slug) {
            workflow.is_as(live);
        }
        Ok(workflow)
    }

    /// The template's workflow of that name, where the tenant has put its own in its place.
    pub fn replaced_workflow(&self, slug: &WorkflowSlug) -> Option<&Arc<Workflow>> {
        let mut replaced = self.replaced.iter();
        replaced.find(|workflow| workflow.definition().slug == *slug)
    }

    /// The workflow of that name.
    pub fn workflow(&self, slug: &WorkflowSlug) -> Option<&Arc<Workflow>> {
        let mut workflows = self.workflows.iter();
        workflows.find(|workflow| workflow.definition().slug == *slug)
    }

    /// Webhooks that are told of records by themselves.
    pub fn subscriptions(&self) -> &[Subscription] {
        &self.subscriptions
    }

    /// All installed plugins, by name.
    pub fn plugins(&self) -> impl Iterator<Item = (&PluginName, &InstalledPlugin)> {
        self.plugins.iter()
    }

    /// The installed plugin of that name.
    pub fn plugin(&self, name: &PluginName) -> Option<&InstalledPlugin> {
        self.plugins.get(name)
    }

    /// What somebody may do, by module.
    pub fn permissions(&self, actor: &Actor) -> BTreeMap<ModuleSlug, Vec<Action>> {
        self.roles.permissions(actor, self.modules.keys().cloned())
    }

    /// All roles, by name.
    pub fn all_roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.all()
    }

    /// The role of that name.
    pub fn role(&self, slug: &RoleSlug) -> Option<&Role> {
        self.roles.find(slug)
    }

    /// What the tenant knows of its people.
    pub fn members(&self) -> &Members {
        self.roles.members()
    }

    /// The teams, by name.
    pub fn teams(&self) -> &Teams {
        self.roles.teams()
    }

    /// The teams that somebody is in.
    pub fn teams_of(&self, user: &UserId) -> impl Iterator<Item = &TeamDefinition> {
        self.roles.teams_of(user)
    }

    pub(crate) fn reaches(&self) -> &Reaches {
        self.roles.reaches()
    }

    /// The roles of a person: those that the login gave, and those that they have here. Also
    /// names that are no roles of this model.
    pub fn roles_of<'a>(&'a self, actor: &'a Actor) -> BTreeSet<&'a RoleSlug> {
        self.roles.slugs_of(actor)
    }

    /// The rollups that look at records of this module.
    pub fn rollups_over(&self, child: &ModuleSlug) -> &[RollupUse] {
        let rollups = self.links.rollups_over.get(child);
        rollups.map(Vec::as_slice).unwrap_or_default()
    }

    /// The stored relations that point to records of this module.
    pub fn references_to(&self, module: &ModuleSlug) -> &[ReferenceRule] {
        let rules = self.links.references_to.get(module);
        rules.map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn roles(&self) -> &Roles {
        &self.roles
    }

    /// Notes that lookups by these fields cannot be relied on yet.
    pub fn mark_building(&mut self, module: &ModuleSlug, fields: &BTreeSet<FieldKey>) {
        if let Some(module) = self.modules.get_mut(module) {
            module.mark_building(fields);
        }
    }
}

fn compile_modules(
    merged: Vec<MergedModule>,
    building: &BTreeSet<(ModuleSlug, FieldKey)>,
) -> Result<BTreeMap<ModuleSlug, Module>, ModelError> {
    let count = merged.len();
    if count == 0 || count > limits::MODEL_MAX_MODULES {
        let most = limits::MODEL_MAX_MODULES;
        let message = format!("a model has 1 to {most} modules");
        return Err(ModelError::new("modules", message));
    }
    let slugs: BTreeSet<ModuleSlug> = merged
        .iter()
        .map(|module| module.definition.slug.clone())
        .collect();
    let mut modules = BTreeMap::new();
    for module in merged {
        let slug = module.definition.slug.clone();
        let building = building.iter().filter(|(module, _)| *module == slug);
        let building = building.map(|(_, field)| field.clone()).collect();
        let module = Module::compile(module, building, &slugs)?;
        if modules.insert(slug.clone(), module).is_some() {
            let place = format!("modules/{slug}");
            return Err(ModelError::new(place, "stands there twice"));
        }
    }
    // Expressions look into other modules, so they come when all modules are there.
    let mut rules = modules
        .iter()
        .map(|(slug, module)| Ok((slug.clone(), Rules::compile(module, &modules)?)))
        .collect::<Result<BTreeMap<_, _>, ModelError>>()?;
    for (slug, module) in &mut modules {
        module.set_rules(rules.remove(slug).unwrap_or_default());
    }
    Ok(modules)
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
