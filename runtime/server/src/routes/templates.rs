//! `/templates`: what can be chosen, and choosing.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use crm_engine::select::Template;
use crm_model::Violations;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::segment;
use crate::once::{Answer, Keyed, once, receipt_of};
use crate::page::List;
use crate::problem::{Problem, ProblemBody};
use crate::routes::bootstrap::TemplateReferenceBody;

/// A template that can be chosen.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Template)]
pub(crate) struct TemplateBody {
    slug: String,
    version: String,
    title: String,
    description: String,
    /// Modules, fields, workflows, roles and installs, as its author wrote them.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    definition: serde_json::Value,
    /// None come with templates so far.
    dashboards: Vec<serde_json::Value>,
}

impl From<Template> for TemplateBody {
    fn from(template: Template) -> Self {
        Self {
            slug: template.reference.slug.to_string(),
            version: template.reference.version.to_string(),
            title: template.title,
            description: template.description,
            definition: serde_json::to_value(&template.definition).unwrap_or_default(),
            dashboards: Vec::new(),
        }
    }
}

/// Which template.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TemplateChoice {
    #[serde(alias = "templateId")]
    #[schema(example = "hospital")]
    template_id: String,
    /// The newest unless given.
    version: Option<String>,
    /// Must be the caller's own where given.
    #[serde(alias = "tenantId")]
    tenant_id: Option<String>,
    /// Templates bring no sample data so far: only false is accepted.
    sample_data: Option<bool>,
}

/// The newest version of each published template.
#[utoipa::path(get, path = "/templates", tag = "templates", responses(
    (status = 200, body = List<TemplateBody>),
))]
pub(crate) async fn templates_list(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<List<TemplateBody>>, Problem> {
    let templates = app.engine.templates(caller.tenant).await?;
    Ok(Json(List::whole(
        templates.into_iter().map(TemplateBody::from).collect(),
    )))
}

/// One template.
#[utoipa::path(get, path = "/templates/{slug}", tag = "templates",
    params(("slug" = String, Path)),
    responses((status = 200, body = TemplateBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn template_get(
    State(app): State<App>,
    caller: Caller,
    Path(slug): Path<String>,
) -> Result<Json<TemplateBody>, Problem> {
    let found = app
        .engine
        .template(caller.tenant, &segment(&slug)?, None)
        .await;
    // Here the name stands in the path: unknown is not found, not invalid.
    let template = found.map_err(|error| match error {
        crm_engine::EngineError::Refused(_) => Problem::not_found(),
        other => other.into(),
    })?;
    Ok(Json(template.into()))
}

/// Chooses the tenant's template; the CRM is there for the next request.
#[utoipa::path(post, path = "/templates/select", tag = "templates",
    params(("Idempotency-Key" = Option<String>, Header)),
    request_body = TemplateChoice,
    responses(
        (status = 201, body = TemplateReferenceBody),
        (status = 403, body = ProblemBody),
        (status = 409, body = ProblemBody, description = "One is chosen already"),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn template_select(
    State(app): State<App>,
    caller: Caller,
    Keyed { key, input: choice }: Keyed<TemplateChoice>,
) -> Result<Response, Problem> {
    let mut violations = Violations::default();
    let slug = choice.template_id.parse();
    if slug.is_err() {
        let message = format!("there is no template “{}”", choice.template_id);
        violations.add("/template_id".to_owned(), "unknown_template", message);
    }
    let version = choice.version.as_deref().map(str::parse).transpose();
    if version.is_err() {
        let message = "is not a version such as 1.2.3";
        violations.add("/version".to_owned(), "format", message);
    }
    if choice
        .tenant_id
        .is_some_and(|tenant| tenant != caller.tenant.to_string())
    {
        violations.add("/tenant_id".to_owned(), "tenant", "is not your own tenant");
    }
    if choice.sample_data == Some(true) {
        violations.add(
            "/sample_data".to_owned(),
            "unsupported",
            "templates bring none so far",
        );
    }
    let (Ok(slug), Ok(version), true) = (slug, version, violations.is_empty()) else {
        return Err(Problem::invalid(violations));
    };
    let answer = |chosen: &crm_model::model::TemplateReference| {
        let body = TemplateReferenceBody {
            slug: chosen.slug.to_string(),
            version: chosen.version.to_string(),
        };
        Answer::json(StatusCode::CREATED, &body)
    };
    once(&app, &caller, key, async |key| {
        let receipt = receipt_of(key, answer);
        let actor = caller.actor.clone();
        let chosen = app
            .engine
            .template_select(caller.tenant, actor, slug, version, receipt);
        Ok(answer(&chosen.await?))
    })
    .await
}
