//! `/limits`: what one call of a tenant's plugins and hooks may take, and where that comes from;
//! and, for whoever runs the installation, the tenant's plan.

use axum::Json;
use axum::extract::State;
use crm_engine::plans::TenantLimits;
use crm_model::GuestClass;
use crm_model::plan::{LimitOverrides, Plan};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::Body;
use crate::problem::{Kind, Problem, ProblemBody};

/// What calls may take.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Limits)]
pub(crate) struct LimitsBody {
    /// What the operator calls the tenant's plan; null where it has none, or one without a name.
    plan: Option<String>,
    data: Vec<LimitBody>,
    /// Always null: all limits are here.
    next_cursor: Option<String>,
}

/// One limit of one call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Limit)]
struct LimitBody {
    #[schema(example = "fuel_max_units")]
    limit: &'static str,
    /// Of plugins of which class: `standard`, or `interpreter`.
    #[schema(value_type = String, example = "standard")]
    class: GuestClass,
    value: u64,
    /// `plan`, or `default` of this installation.
    #[schema(example = "default")]
    source: &'static str,
    /// What a plan can say at most.
    maximum: u64,
}

impl From<TenantLimits> for LimitsBody {
    fn from(limits: TenantLimits) -> Self {
        let rows = limits.limits.into_iter();
        Self {
            plan: limits.plan.name,
            data: rows
                .map(|(class, limit)| LimitBody {
                    limit: limit.limit,
                    class,
                    value: limit.value,
                    source: match limit.is_planned {
                        true => "plan",
                        false => "default",
                    },
                    maximum: limit.cap,
                })
                .collect(),
            next_cursor: None,
        }
    }
}

/// What one call of the tenant's plugins and hooks may take, limit by limit, and whether the
/// tenant's plan says so; for those who may manage all modules.
#[utoipa::path(get, path = "/limits", tag = "usage", responses(
    (status = 200, body = LimitsBody),
    (status = 403, body = ProblemBody),
))]
pub(crate) async fn limits_list(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<LimitsBody>, Problem> {
    let limits = app
        .engine
        .tenant_limits(caller.tenant, &caller.actor)
        .await?;
    Ok(Json(limits.into()))
}

/// A tenant's plan, whole.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PlanInput)]
pub(crate) struct PlanInput {
    /// What the operator calls it.
    #[schema(example = "business")]
    plan: Option<String>,
    /// By name, as in the list of limits; what is left out, or null, is as it is by default.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"fuel_max_units": 5_000_000_000_u64}))]
    limits: LimitOverrides,
}

/// Sets a tenant's plan in the place of the one before; an empty one takes it back to the
/// defaults. Holds for the next call. For super admins, who name the tenant in `X-Tenant-Id`.
#[utoipa::path(put, path = "/limits", tag = "usage",
    request_body = PlanInput,
    responses(
        (status = 200, body = LimitsBody),
        (status = 403, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn plan_set(
    State(app): State<App>,
    caller: Caller,
    Body(input): Body<PlanInput>,
) -> Result<Json<LimitsBody>, Problem> {
    if !caller.is_acting {
        let detail = "a tenant's plan is set by super admins, who name it in X-Tenant-Id";
        return Err(Problem::detailed(Kind::Forbidden, detail));
    }
    let plan = Plan {
        name: input.plan,
        limits: input.limits,
    };
    let limits = app
        .engine
        .plan_set(caller.tenant, caller.actor, plan)
        .await?;
    Ok(Json(limits.into()))
}
