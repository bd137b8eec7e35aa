//! `POST /records/{module}/aggregate`: numbers about groups of records.

use axum::Json;
use axum::extract::{Path, State};
use crm_engine::query::aggregated_rows;
use crm_model::query::{AggregateInput, GroupInput, MetricInput, Names};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, segment};
use crate::problem::{Problem, ProblemBody};

/// What to compute.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Aggregate)]
#[serde(deny_unknown_fields)]
pub(crate) struct AggregateBody {
    /// As in lists.
    #[schema(value_type = Option<Object>)]
    filter: Option<Value>,
    /// Up to three fields; moments and days as `{"field", "by": "hour" | "day" | "week" |
    /// "month" | "quarter" | "year"}` in the tenant's time zone.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    group_by: Vec<GroupInput>,
    /// `{"op": "count" | "sum" | "avg" | "min" | "max" | "median" | "distinct", "field", "as"}`;
    /// a count unless given.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    metrics: Vec<MetricInput>,
    /// Names of groups and metrics, `-` before those from the largest down.
    #[schema(value_type = Option<String>, example = "-total")]
    sort: Option<Names>,
    /// Groups in the answer: 1 to 1000.
    limit: Option<u32>,
}

/// Groups with their numbers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Aggregated)]
pub(crate) struct AggregatedBody {
    /// `group` holds the group's values; the metrics stand beside it, by their names. Counts are
    /// numbers, all others exact decimals in texts.
    #[schema(value_type = Vec<Object>)]
    data: Vec<Map<String, Value>>,
    /// Whether groups beyond the limit were left out.
    more: bool,
}

/// Numbers about groups of records.
#[utoipa::path(post, path = "/records/{module}/aggregate", tag = "records",
    params(("module" = String, Path)),
    request_body = AggregateBody,
    responses(
        (status = 200, body = AggregatedBody),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody, description = "Every violation, with its pointer"),
    ))]
pub(crate) async fn records_aggregate(
    State(app): State<App>,
    caller: Caller,
    Path(module): Path<String>,
    Body(body): Body<AggregateBody>,
) -> Result<Json<AggregatedBody>, Problem> {
    let input = AggregateInput {
        filter: body.filter,
        group_by: body.group_by,
        metrics: body.metrics,
        sort: body.sort,
        limit: body.limit,
    };
    let (aggregate, found) = app
        .engine
        .aggregate(caller.tenant, &caller.actor, &segment(&module)?, &input)
        .await?;
    Ok(Json(AggregatedBody {
        more: found.more,
        data: aggregated_rows(&aggregate, found),
    }))
}
