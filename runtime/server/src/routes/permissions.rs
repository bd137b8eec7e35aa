//! `/permissions/explain`: why somebody may or may not do something, role by role.

use axum::Json;
use axum::extract::State;
use crm_engine::explain::{Explanation, Question, RuleReason};
use crm_model::permission::Action;
use crm_model::{ModuleSlug, RecordId, UserId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::auth::Caller;
use crate::extract::Parameters;
use crate::problem::{Problem, ProblemBody};

/// What is asked.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainParameters {
    /// Yourself unless given; others for those who manage everything. Of others, the roles that
    /// they have here count: what their login gives is not known.
    #[param(value_type = Option<String>)]
    user: Option<UserId>,
    #[param(value_type = String)]
    module: ModuleSlug,
    /// A record of the module.
    #[param(value_type = Option<String>)]
    id: Option<RecordId>,
    /// `read`, `create`, `update`, `delete`, `purge`, `manage`, `export` or `import`.
    #[param(value_type = String)]
    action: Action,
}

/// The answer, and how it came about.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Explanation)]
pub(crate) struct ExplanationBody {
    user: String,
    module: String,
    action: &'static str,
    allowed: bool,
    /// In a sentence.
    reason: String,
    roles: Vec<RoleReasonBody>,
    /// Field → `hidden`, `masked` or `read_only`, all roles taken together.
    #[schema(value_type = Object)]
    fields: BTreeMap<String, &'static str>,
}

/// What one role has to say.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RoleReason)]
struct RoleReasonBody {
    role: String,
    /// `login`, `member` or both: where the person has it from.
    from: Vec<&'static str>,
    /// False: the model has no such role.
    known: bool,
    allows: bool,
    /// The line of the role's permissions that allows it: the module, or `*`.
    rule: Option<String>,
    /// Field → how far this role opens it, where it says so.
    #[schema(value_type = Object)]
    fields: BTreeMap<String, &'static str>,
    /// By which rules it reaches records for this; null: it reaches all of them.
    records: Option<Vec<RuleReasonBody>>,
}

/// A rule for records.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RuleReason)]
struct RuleReasonBody {
    #[schema(example = "record.region in user.regions")]
    rule: String,
    /// Of the record that was asked about; null where none was, or none is there.
    holds: Option<bool>,
}

impl From<Explanation> for ExplanationBody {
    fn from(explanation: Explanation) -> Self {
        let named = |fields: BTreeMap<_, crm_model::definition::FieldAccess>| {
            let fields = fields.into_iter();
            fields
                .map(|(key, access): (crm_model::FieldKey, _)| (key.to_string(), access.name()))
                .collect()
        };
        let roles = explanation.roles.into_iter().map(|reason| {
            let from = [("login", reason.by_login), ("member", reason.by_membership)];
            let from = from.into_iter().filter(|(_, is_from)| *is_from);
            RoleReasonBody {
                role: reason.role.to_string(),
                from: from.map(|(name, _)| name).collect(),
                known: reason.is_known,
                allows: reason.rule.is_some(),
                rule: reason.rule,
                fields: named(reason.fields),
                records: reason.records.map(|rules| {
                    let body = |reason: RuleReason| RuleReasonBody {
                        rule: reason.rule,
                        holds: reason.holds,
                    };
                    rules.into_iter().map(body).collect()
                }),
            }
        });
        Self {
            user: explanation.user.to_string(),
            module: explanation.module.to_string(),
            action: explanation.action.name(),
            allowed: explanation.allowed,
            reason: explanation.reason,
            roles: roles.collect(),
            fields: named(explanation.fields),
        }
    }
}

/// Why somebody may or may not do something: which role says so, in which line.
#[utoipa::path(get, path = "/permissions/explain", tag = "permissions",
    params(ExplainParameters),
    responses(
        (status = 200, body = ExplanationBody),
        (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody),
    ))]
pub(crate) async fn permissions_explain(
    State(app): State<App>,
    caller: Caller,
    Parameters(parameters): Parameters<ExplainParameters>,
) -> Result<Json<ExplanationBody>, Problem> {
    let question = Question {
        user: parameters.user,
        module: parameters.module,
        record: parameters.id,
        action: parameters.action,
    };
    let explained = app
        .engine
        .explain(caller.tenant, &caller.actor, question)
        .await?;
    Ok(Json(explained.into()))
}
