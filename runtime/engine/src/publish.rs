//! Publishing: a component becomes known to this installation. What a template says has to
//! compile before anybody can choose it.

use crm_model::configuration::steps_check;
use crm_model::definition::TemplateDefinition;
use crm_model::manifest::World;
use crm_model::model::{InstalledPlugin, Model, ModelSource, TemplateReference};
use crm_model::settings::Settings;
use crm_model::{Grant, Manifest, ModelError, TenantId};
use crm_sandbox::{Inspected, Sandbox, component_inspect};
use crm_store::admin::{Admin, Published};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

use crate::EngineError;

/// Checks a component and publishes it, as the owner of the database.
///
/// # Errors
/// [`EngineError::Component`] where it is refused, [`EngineError::Definition`] where its model
/// does not compile or a step is not configured as its action wants it, [`EngineError::Store`].
pub async fn publish(
    admin: &mut Admin,
    sandbox: &Sandbox,
    component: &[u8],
) -> Result<(Manifest, Published), EngineError> {
    let Inspected {
        manifest, digest, ..
    } = component_inspect(component)?;
    let digest = digest.to_string();
    if let Some(there) = admin.published_digest(&manifest).await? {
        let same = if there == digest {
            Published::Unchanged
        } else {
            Published::Conflict
        };
        return Ok((manifest, same));
    }
    let plugin = tokio::task::block_in_place(|| sandbox.load(component))?;
    let template = match manifest.world {
        World::Action => None,
        World::Template => {
            let text = sandbox.template_model(&plugin).await?;
            let template = template_compile(&manifest, &text)?.0;
            steps_fit(admin, &template).await?;
            Some(template)
        }
    };
    let published = admin
        .publish(&manifest, &digest, component, template.as_ref())
        .await?;
    Ok((manifest, published))
}

/// The steps of a template's workflows are configured as the actions want it that it installs.
async fn steps_fit(admin: &mut Admin, template: &TemplateDefinition) -> Result<(), EngineError> {
    let mut schemas = BTreeMap::new();
    for install in &template.installs {
        let manifest = admin
            .published_manifest(&install.plugin, &install.version)
            .await?;
        if let Some(schema) = manifest.and_then(|manifest| manifest.config_schema) {
            schemas.insert(install.plugin.clone(), schema);
        }
    }
    for workflow in &template.workflows {
        steps_check(workflow, |action| schemas.get(action)).map_err(|violations| ModelError {
            place: format!("workflows/{}", workflow.slug),
            message: violations.to_string(),
        })?;
    }
    Ok(())
}

/// Parses what a template says and compiles it as for a tenant that just chose it.
///
/// # Errors
/// [`EngineError::Definition`] with the place in the template.
pub fn template_compile(
    manifest: &Manifest,
    text: &str,
) -> Result<(TemplateDefinition, Model), EngineError> {
    let definition: TemplateDefinition =
        serde_json::from_str(text).map_err(|error| ModelError {
            place: format!("the model of “{}”", manifest.name),
            message: error.to_string(),
        })?;
    let installed = definition.installs.iter().map(|install| {
        let plugin = InstalledPlugin {
            version: install.version.clone(),
            digest: String::new(),
            grant: Grant::new(install.grant.clone(), install.grant.clone()),
            settings: Default::default(),
            enabled: true,
            concurrency: None,
        };
        (install.plugin.clone(), plugin)
    });
    let slug = manifest.name.as_str().parse();
    let slug = slug.map_err(|error| EngineError::Internal(format!("{error}")))?;
    let model = Model::compile(ModelSource {
        tenant_id: TenantId::new(Uuid::nil()),
        version: 1,
        template: TemplateReference {
            slug,
            version: manifest.version.clone(),
        },
        hooks: None,
        plugins: installed.collect::<BTreeMap<_, _>>(),
        definition: definition.clone(),
        overlay: crm_model::overlay::Overlay::default(),
        workflows: Vec::new(),
        settings: Settings::default(),
        members: Default::default(),
        teams: Default::default(),
        building: BTreeSet::new(),
        suspended: false,
        plan: Default::default(),
        subscriptions: Vec::new(),
    })?;
    let is_known = |name: &str| {
        let mut modules = definition.modules.iter();
        modules.any(|module| module.slug.as_str() == name)
    };
    if let Some(module) = manifest.hooks.unknown_module(is_known) {
        return Err(ModelError {
            place: format!("the hooks of “{}”", manifest.name),
            message: format!("there is no module “{module}”"),
        }
        .into());
    }
    Ok((definition, model))
}
