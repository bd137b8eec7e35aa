//! `/bootstrap`: the first question of every client.

use axum::Json;
use axum::extract::State;
use crm_engine::bootstrap::Ready;
use crm_model::Actor;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::problem::Problem;
use crate::routes::modules::ModuleBody;

/// What a client needs to start.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Bootstrap)]
pub(crate) struct BootstrapBody {
    /// `template_required` or `ready`.
    state: &'static str,
    tenant: TenantBody,
    user: UserBody,
    template: Option<TemplateReferenceBody>,
    model_version: Option<i64>,
    modules: Vec<ModuleBody>,
    /// Module → actions.
    #[schema(value_type = Object)]
    permissions: BTreeMap<String, Vec<&'static str>>,
    /// Module → field → `masked` or `read_only`, where your roles leave a field less than open.
    /// What they hide does not stand here either.
    #[schema(value_type = Object)]
    field_permissions: BTreeMap<String, BTreeMap<String, &'static str>>,
    dashboards: Vec<DashboardBody>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tenant)]
struct TenantBody {
    id: String,
    name: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
struct UserBody {
    id: String,
    roles: Vec<String>,
    /// As the token's issuer has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

/// A template and its version.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TemplateReference)]
pub(crate) struct TemplateReferenceBody {
    pub(crate) slug: String,
    pub(crate) version: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Dashboard)]
struct DashboardBody {
    slug: String,
    title: String,
    layout: serde_json::Value,
}

fn field_permissions(
    ready: &Ready,
    reader: &Actor,
) -> BTreeMap<String, BTreeMap<String, &'static str>> {
    let modules = ready.permissions.keys();
    let modules = modules.filter_map(|slug| ready.model.module(slug));
    modules
        .filter_map(|module| {
            let sight = ready.model.sight(module, Some(reader));
            let fields = sight.limited();
            let fields = fields.map(|(key, access)| (key.to_string(), access.name()));
            let fields: BTreeMap<_, _> = fields.collect();
            (!fields.is_empty()).then(|| (module.definition().slug.to_string(), fields))
        })
        .collect()
}

/// Is a template chosen, and what may I see?
#[utoipa::path(get, path = "/bootstrap", tag = "bootstrap", responses(
    (status = 200, body = BootstrapBody),
    (status = 401, body = crate::problem::ProblemBody),
))]
pub(crate) async fn bootstrap_get(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<BootstrapBody>, Problem> {
    let bootstrap = app.engine.bootstrap(caller.tenant, &caller.actor).await?;
    let mut body = BootstrapBody {
        state: "template_required",
        tenant: TenantBody {
            id: bootstrap.tenant_id.to_string(),
            name: bootstrap.tenant_name,
        },
        user: UserBody {
            id: caller.actor.user_id.to_string(),
            roles: caller.actor.roles.iter().map(ToString::to_string).collect(),
            name: caller.profile.name,
            email: caller.profile.email,
        },
        template: None,
        model_version: None,
        modules: Vec::new(),
        permissions: BTreeMap::new(),
        field_permissions: BTreeMap::new(),
        dashboards: Vec::new(),
    };
    if let Some(ready) = bootstrap.ready {
        let template = ready.model.template();
        body.state = "ready";
        body.template = Some(TemplateReferenceBody {
            slug: template.slug.to_string(),
            version: template.version.to_string(),
        });
        body.model_version = Some(ready.model.version());
        body.modules = ready
            .model
            .modules()
            .filter(|module| ready.permissions.contains_key(&module.definition().slug))
            .filter(|module| !module.definition().hidden)
            .map(|module| ready.model.sight(module, Some(&caller.actor)).into())
            .collect();
        let roles = ready.model.roles_of(&caller.actor).into_iter();
        body.user.roles = roles.map(ToString::to_string).collect();
        body.field_permissions = field_permissions(&ready, &caller.actor);
        for (module, actions) in &ready.permissions {
            let actions = actions.iter().map(|action| action.name()).collect();
            body.permissions.insert(module.to_string(), actions);
        }
        body.dashboards = ready
            .dashboards
            .into_iter()
            .map(|(slug, title, layout)| DashboardBody {
                slug,
                title,
                layout,
            })
            .collect();
    }
    Ok(Json(body))
}
