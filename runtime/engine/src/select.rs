//! Choosing a template: once, and the CRM is there.

use crm_model::definition::TemplateDefinition;
use crm_model::model::{Model, TemplateReference};
use crm_model::permission::manages_all;
use crm_model::{Actor, TemplateSlug, TenantId, Violations};
use crm_store::TenantTx;
use crm_store::plugins::TemplateSummary;
use semver::Version;
use serde_json::json;

use crate::audit::{Act, audit_write};
use crate::receipt::{ReceiptMaker, receipt_keep};
use crate::schedules::schedules_settle;
use crate::uncancelled::uncancelled;
use crate::{Engine, EngineError, fresh};

/// Roles of the login that may choose, before a template says what roles there are.
const CHOOSING_ROLES: [&str; 2] = ["owner", "admin"];

/// Whether somebody may choose a template.
pub(crate) fn may_choose(actor: &Actor) -> bool {
    let mut roles = actor.roles.iter();
    roles.any(|role| CHOOSING_ROLES.contains(&role.as_str()))
}

/// Whether somebody manages everything: under a model its permissions say so, before there is one
/// it is whoever may choose a template.
pub(crate) fn may_manage(model: Option<&Model>, actor: &Actor) -> bool {
    model.map_or_else(|| may_choose(actor), |model| manages_all(model, actor))
}

/// A template that can be chosen.
#[derive(Clone, Debug)]
pub struct Template {
    pub reference: TemplateReference,
    pub title: String,
    pub description: String,
    pub definition: TemplateDefinition,
}

impl TryFrom<TemplateSummary> for Template {
    type Error = EngineError;

    fn try_from(row: TemplateSummary) -> Result<Self, EngineError> {
        let unreadable = |error: &dyn std::fmt::Display| {
            EngineError::Internal(format!("the published template “{}”: {error}", row.slug))
        };
        Ok(Self {
            reference: TemplateReference {
                slug: row.slug.parse().map_err(|error| unreadable(&error))?,
                version: row.version.parse().map_err(|error| unreadable(&error))?,
            },
            definition: serde_json::from_value(row.definition.0)
                .map_err(|error| unreadable(&error))?,
            title: row.title,
            description: row.description,
        })
    }
}

impl Engine {
    /// The newest version of each published template, by name.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn templates(&self, tenant: TenantId) -> Result<Vec<Template>, EngineError> {
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        let rows = crm_store::plugins::templates_list(&mut tx, None).await?;
        let mut newest: Vec<Template> = Vec::new();
        for row in rows {
            let template = Template::try_from(row)?;
            match newest.last_mut() {
                Some(last) if last.reference.slug == template.reference.slug => {
                    if last.reference.version < template.reference.version {
                        *last = template;
                    }
                }
                _ => newest.push(template),
            }
        }
        Ok(newest)
    }

    /// One published template: the version asked for, or the newest.
    ///
    /// # Errors
    /// [`EngineError::NotFound`].
    pub async fn template(
        &self,
        tenant: TenantId,
        slug: &TemplateSlug,
        version: Option<&Version>,
    ) -> Result<Template, EngineError> {
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        template_find(&mut tx, slug, version).await
    }

    /// Gives the tenant its template: its modules, fields, workflows and roles are there for the
    /// next request, its plugins are installed with what the template grants them.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] where one is chosen already, [`EngineError::NotFound`] for an
    /// unknown template or tenant, [`EngineError::Forbidden`].
    pub async fn template_select(
        &self,
        tenant: TenantId,
        actor: Actor,
        slug: TemplateSlug,
        version: Option<Version>,
        receipt: Option<ReceiptMaker<TemplateReference>>,
    ) -> Result<TemplateReference, EngineError> {
        if !may_choose(&actor) {
            return Err(EngineError::Forbidden(
                "only an owner or admin may choose a template",
            ));
        }
        let engine = self.clone();
        uncancelled(async move { engine.select(tenant, &actor, &slug, version, receipt).await })
            .await
    }

    async fn select(
        &self,
        tenant: TenantId,
        actor: &Actor,
        slug: &TemplateSlug,
        version: Option<Version>,
        receipt: Option<ReceiptMaker<TemplateReference>>,
    ) -> Result<TemplateReference, EngineError> {
        let mut tx = TenantTx::begin(self.store(), tenant).await?;
        if crm_store::models::tenant_name(&mut tx).await?.is_none() {
            return Err(EngineError::NotFound("tenant"));
        }
        let template = template_find(&mut tx, slug, version.as_ref()).await?;
        let Template {
            reference,
            definition,
            ..
        } = template;
        let (at, by) = (fresh::now(), &actor.user_id);
        crm_store::models::template_select(&mut tx, &reference.slug, &reference.version, at, by)
            .await?;
        for install in &definition.installs {
            let found =
                crm_store::plugins::plugin_manifest(&mut tx, &install.plugin, &install.version)
                    .await?;
            if found.is_none() {
                let message = format!(
                    "the template needs the plugin “{}” {}, which is not published here",
                    install.plugin, install.version
                );
                return Err(EngineError::Conflict(message));
            }
            crm_store::models::plugin_install(&mut tx, install, at, by).await?;
        }
        if let Some(source) = crm_store::models::model_source(&mut tx).await? {
            let model = Model::compile(source)?;
            schedules_settle(&mut tx, None, &model, at).await?;
            crm_store::jobs::concurrency_settle(&mut tx, &model.concurrency()).await?;
        }
        let act = Act {
            action: "template.selected",
            target: format!("templates/{}", reference.slug),
            before: None,
            after: Some(json!({ "template": reference, "installs": definition.installs })),
        };
        audit_write(&mut tx, actor, act).await?;
        receipt_keep(&mut tx, actor, receipt.as_ref(), &reference).await?;
        tx.commit().await?;
        self.model_forget(tenant);
        Ok(reference)
    }
}

async fn template_find(
    tx: &mut TenantTx,
    slug: &TemplateSlug,
    version: Option<&Version>,
) -> Result<Template, EngineError> {
    let rows = crm_store::plugins::templates_list(tx, Some(slug)).await?;
    let versions: Result<Vec<Template>, EngineError> =
        rows.into_iter().map(Template::try_from).collect();
    let found = versions?
        .into_iter()
        .filter(|template| version.is_none_or(|wanted| template.reference.version == *wanted))
        .max_by(|one, other| one.reference.version.cmp(&other.reference.version));
    found.ok_or_else(|| {
        EngineError::invalid(Violations::one(
            "/template_id",
            "unknown_template",
            match version {
                Some(version) => format!("there is no template “{slug}” of version {version}"),
                None => format!("there is no template “{slug}”"),
            },
        ))
    })
}
