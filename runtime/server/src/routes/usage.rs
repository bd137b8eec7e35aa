//! `/usage`: what the tenant has used of what it may; and, for whoever runs the installation, what
//! it may.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use crm_model::Violations;
use crm_model::quota::{QuotaChoice, QuotaName, QuotaUsage};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::Body;
use crate::page::List;
use crate::problem::{Kind, Problem, ProblemBody};

/// A quota.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QuotaUsage)]
pub(crate) struct QuotaUsageBody {
    /// `records` (not deleted), `api_calls`, `fuel` (of plugins), `jobs` (runs of workflows that
    /// wait or are under way), `running` (those that are under way), `component_bytes` (of
    /// components that the tenant brought along) or `interpreter_bytes` (of those among them of the
    /// class `interpreter`).
    #[schema(example = "api_calls")]
    quota: &'static str,
    /// Null: no limit.
    limit: Option<u64>,
    /// Whether the limit was set for this tenant, and is no default.
    overridden: bool,
    used: u64,
    /// How long a window lasts, after which `used` begins with nothing again; null for what is
    /// counted as it stands.
    window_seconds: Option<u32>,
    /// When this window ends.
    resets_at: Option<DateTime<Utc>>,
}

impl From<QuotaUsage> for QuotaUsageBody {
    fn from(usage: QuotaUsage) -> Self {
        Self {
            quota: usage.quota.name(),
            limit: usage.limit,
            overridden: usage.overridden,
            used: usage.used,
            window_seconds: usage.window_seconds,
            resets_at: usage.resets_at,
        }
    }
}

fn listed(quotas: Vec<QuotaUsage>) -> Json<List<QuotaUsageBody>> {
    Json(List::whole(
        quotas.into_iter().map(QuotaUsageBody::from).collect(),
    ))
}

/// What the tenant has used of each quota; for those who may manage all modules. This request
/// itself is not counted.
#[utoipa::path(get, path = "/usage", tag = "usage", responses(
    (status = 200, body = List<QuotaUsageBody>),
    (status = 403, body = ProblemBody),
))]
pub(crate) async fn usage_list(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<List<QuotaUsageBody>>, Problem> {
    let quotas = app.engine.quota_usage(caller.tenant, &caller.actor).await?;
    Ok(listed(quotas))
}

/// Quotas to set; those that are not named stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QuotasInput)]
pub(crate) struct QuotasInput {
    /// By name: a number, `"unlimited"`, or null for the default.
    #[schema(value_type = Object, example = json!({"records": 100000, "fuel": null}))]
    quotas: Map<String, Value>,
}

impl QuotasInput {
    fn read(self) -> Result<Vec<(QuotaName, QuotaChoice)>, Problem> {
        let mut violations = Violations::default();
        let mut wanted = Vec::with_capacity(self.quotas.len());
        for (name, value) in self.quotas {
            let pointer = format!("/quotas/{name}");
            let Ok(quota) = name.parse::<QuotaName>() else {
                violations.add(pointer, "unknown", "is no quota");
                continue;
            };
            match choice(&value) {
                Some(choice) => wanted.push((quota, choice)),
                None => violations.add(
                    pointer,
                    "type",
                    "is a whole number, \"unlimited\", or null for the default",
                ),
            }
        }
        violations.into_result().map_err(Problem::invalid)?;
        Ok(wanted)
    }
}

fn choice(value: &Value) -> Option<QuotaChoice> {
    match value {
        Value::Null => Some(QuotaChoice::Default),
        Value::String(text) if text == "unlimited" => Some(QuotaChoice::Unlimited),
        Value::Number(number) => number
            .as_u64()
            .filter(|number| *number <= QuotaChoice::MAX)
            .map(QuotaChoice::AtMost),
        _ => None,
    }
}

/// Sets quotas of a tenant: for super admins, who name it in `X-Tenant-Id`.
#[utoipa::path(patch, path = "/usage", tag = "usage",
    request_body = QuotasInput,
    responses(
        (status = 200, body = List<QuotaUsageBody>),
        (status = 403, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn quotas_set(
    State(app): State<App>,
    caller: Caller,
    Body(input): Body<QuotasInput>,
) -> Result<Json<List<QuotaUsageBody>>, Problem> {
    if !caller.is_acting {
        let detail = "a tenant's quotas are set by super admins, who name it in X-Tenant-Id";
        return Err(Problem::detailed(Kind::Forbidden, detail));
    }
    let wanted = input.read()?;
    let quotas = app
        .engine
        .quotas_set(caller.tenant, caller.actor, wanted)
        .await?;
    Ok(listed(quotas))
}
