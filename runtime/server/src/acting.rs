//! Acting for another tenant: `X-Tenant-Id`, for super admins alone. Each such request is written
//! down in the other tenant's audit log before anything else happens.

use axum::http::{HeaderName, request::Parts};
use crm_model::{Actor, RoleSlug, TenantId};

use crate::app::App;
use crate::auth::Caller;
use crate::problem::{Kind, Problem};

const TENANT_ID: HeaderName = HeaderName::from_static("x-tenant-id");
/// What a super admin is in a tenant that they act for.
const ROLE: &str = "owner";

/// Whose role it is to act for other tenants.
#[derive(Clone, Debug, Default)]
pub(crate) struct SuperAdmins {
    /// Nobody's, unless configured.
    pub(crate) role: Option<RoleSlug>,
}

impl SuperAdmins {
    /// Whether somebody with these roles, as their login names them, is one.
    pub(crate) fn include(&self, roles: &[RoleSlug]) -> bool {
        self.role.as_ref().is_some_and(|role| roles.contains(role))
    }
}

/// The caller as they are; or, with the header, as an owner of the tenant that it names.
pub(crate) async fn acting(
    app: &App,
    parts: &Parts,
    caller: Caller,
    is_super_admin: bool,
) -> Result<Caller, Problem> {
    let Some(wanted) = parts.headers.get(TENANT_ID) else {
        return Ok(caller);
    };
    // Asked first: whoever may not do this does not learn which tenants there are.
    if !(is_super_admin && caller.may_enter) {
        let detail = "X-Tenant-Id is for super admins: your tenant comes from your credential";
        return Err(Problem::detailed(Kind::Forbidden, detail));
    }
    let wanted = wanted.to_str().ok().and_then(|text| text.parse().ok());
    let tenant: TenantId = wanted.ok_or_else(Problem::not_found)?;
    let actor = Actor {
        user_id: caller.actor.user_id,
        roles: ROLE.parse().into_iter().collect(),
        scope: caller.actor.scope,
    };
    let path = parts.uri.path();
    let request = format!("{} {path}", parts.method);
    app.engine
        .tenant_enter(tenant, caller.tenant, &actor, &request)
        .await?;
    Ok(Caller {
        tenant,
        actor,
        profile: caller.profile,
        may_enter: caller.may_enter,
        is_acting: true,
    })
}
