//! `/audit`: what those who manage the tenant did to it.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use crm_model::AuditId;
use crm_store::audit::{AuditEntry, AuditFilter};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::auth::Caller;
use crate::extract::Parameters;
use crate::page::{List, PageParameters};
use crate::problem::{Problem, ProblemBody};

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditParameters {
    /// Rows on a page: 1 to 200, 50 unless given.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// `total`: also count the whole list.
    include: Option<String>,
    /// Who did it.
    actor: Option<String>,
    /// What was done.
    #[param(example = "module.edited")]
    action: Option<String>,
    /// To what it was done.
    #[param(example = "modules/patients")]
    target: Option<String>,
    /// Not before this moment.
    from: Option<DateTime<Utc>>,
    /// Before this moment.
    to: Option<DateTime<Utc>>,
}

/// An act.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(crate) struct AuditBody {
    id: String,
    at: DateTime<Utc>,
    /// The user.
    actor: String,
    /// The user's own tenant, where a super admin acted for this one.
    home_tenant: Option<String>,
    /// Such as `template.selected`, `module.added`, `field.edited`, `settings.edited`,
    /// `view.removed`, `record.purged`, `records.exported`, `import.run`, `tenant.suspended`,
    /// `tenant.entered`, `quotas.set`.
    #[schema(example = "module.edited")]
    action: String,
    /// The path of what it was done to, below `/api/crm/`.
    #[schema(example = "modules/patients")]
    target: String,
    /// How that was before, where there is something to compare.
    before: Option<Value>,
    after: Option<Value>,
    /// Where the request came from; null for what was done on the command line.
    address: Option<String>,
    request_id: Option<String>,
}

impl From<AuditEntry> for AuditBody {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id.to_string(),
            at: entry.at,
            actor: entry.actor.to_string(),
            home_tenant: entry.home_tenant.map(|tenant| tenant.to_string()),
            action: entry.action,
            target: entry.target,
            before: entry.before,
            after: entry.after,
            address: entry.address,
            request_id: entry.request_id,
        }
    }
}

/// The audit log, newest first; for those who may manage all modules.
#[utoipa::path(get, path = "/audit", tag = "audit", params(AuditParameters),
    responses(
        (status = 200, body = List<AuditBody>),
        (status = 403, body = ProblemBody),
    ))]
pub(crate) async fn audit_list(
    State(app): State<App>,
    caller: Caller,
    Parameters(parameters): Parameters<AuditParameters>,
) -> Result<Json<List<AuditBody>>, Problem> {
    let page = PageParameters {
        limit: parameters.limit,
        cursor: parameters.cursor,
        include: parameters.include,
    };
    let page = page.request::<AuditId>()?;
    let filter = AuditFilter {
        actor: parameters.actor,
        action: parameters.action,
        target: parameters.target,
        from: parameters.from,
        to: parameters.to,
    };
    let page = app
        .engine
        .audit(caller.tenant, &caller.actor, &filter, page)
        .await?;
    Ok(Json(List::page(
        page,
        |entry| entry.id.to_string(),
        AuditBody::from,
    )))
}
