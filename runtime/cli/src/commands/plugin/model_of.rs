//! The model of a template: one that the binary brings, by its name, or a component's.

use anyhow::{Context, Result, bail};
use crm_engine::publish::template_compile;
use crm_model::definition::TemplateDefinition;
use crm_model::{Manifest, Model};
use std::borrow::Cow;
use std::path::Path;

use super::author;
use crate::bundled;

/// A template's model: as it is written down, and compiled.
pub(crate) struct Template {
    pub(crate) manifest: Manifest,
    pub(crate) definition: TemplateDefinition,
    pub(crate) model: Model,
}

/// Compiles a template's model, as for a tenant that just chose it.
///
/// # Errors
/// A sentence: there is no such template, or what is wrong with it.
pub(crate) async fn model_of(template: &str) -> Result<Template> {
    let component = component_of(template)?;
    let sandbox = author::sandbox(None)?;
    let plugin = tokio::task::block_in_place(|| sandbox.load(&component))
        .with_context(|| format!("{template} is no template"))?;
    let text = sandbox.template_model(&plugin).await;
    let text = text.with_context(|| format!("{template} gives no model"))?;
    let manifest = plugin.manifest().clone();
    let (definition, model) = template_compile(&manifest, &text)?;
    Ok(Template {
        manifest,
        definition,
        model,
    })
}

fn component_of(template: &str) -> Result<Cow<'static, [u8]>> {
    let bundled = bundled::components();
    if let Some((_, component)) = bundled.iter().find(|(name, _)| *name == template) {
        return Ok(Cow::Borrowed(component));
    }
    if !Path::new(template).exists() {
        bail!(
            "there is no template “{template}”: name one that crm brings (hospital, jewellery) \
             or a component's file"
        );
    }
    let component =
        std::fs::read(template).with_context(|| format!("{template} cannot be read"))?;
    Ok(Cow::Owned(component))
}
