//! `GET /records/{module}` and `POST /records/{module}/query`: lists of records. The same
//! parameters, in a URL and in a body.

use axum::Json;
use axum::extract::{Path, State};
use crm_engine::query::{Expanded, RecordPage, Shown};
use crm_model::query::{Names, QueryInput};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

use super::records::RecordBody;
use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, Parameters, segment};
use crate::page::List;
use crate::problem::{Problem, ProblemBody};

/// A record of a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListedRecord)]
pub(crate) struct ListedBody {
    #[serde(flatten)]
    record: RecordBody,
    /// Related records by relation: one or null, or up to 50 of many.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    expanded: BTreeMap<String, ExpandedBody>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ExpandedBody {
    One(Option<Box<ListedBody>>),
    Many(Vec<ListedBody>),
}

impl From<Shown> for ListedBody {
    fn from(shown: Shown) -> Self {
        let expanded = shown.expanded.into_iter().map(|(relation, expanded)| {
            let body = match expanded {
                Expanded::One(one) => ExpandedBody::One(one.map(|one| Box::new((*one).into()))),
                Expanded::Many(many) => {
                    ExpandedBody::Many(many.into_iter().map(Self::from).collect())
                }
            };
            (relation, body)
        });
        Self {
            expanded: expanded.collect(),
            record: RecordBody::from(shown.found.record),
        }
    }
}

/// A list's parameters.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueryBody {
    /// `{"field", "op", "value"}`, `{"and": […]}`, `{"or": […]}` or `{"not": …}`; for relations
    /// to many `{"field", "op": "any" | "none", "where": …}`.
    #[schema(value_type = Option<Object>)]
    filter: Option<Value>,
    /// Fields with commas between them, `-` before those from the largest down.
    #[schema(value_type = Option<String>, example = "-price,name")]
    sort: Option<Names>,
    /// Fields of the data to show.
    #[schema(value_type = Option<String>)]
    fields: Option<Names>,
    /// Relations to bring along, up to two in a row.
    #[schema(value_type = Option<String>, example = "doctor,doctor.department")]
    expand: Option<Names>,
    /// Words that records have in their searchable fields; the last may be cut short.
    q: Option<String>,
    /// 1 to 200, 50 unless given.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// `total`: also count the whole list.
    include: Option<String>,
    /// `only`: the trash, for those who may delete.
    deleted: Option<String>,
}

impl From<QueryBody> for QueryInput {
    fn from(body: QueryBody) -> Self {
        Self {
            filter: body.filter,
            sort: body.sort,
            fields: body.fields,
            expand: body.expand,
            q: body.q,
            limit: body.limit,
            cursor: body.cursor,
            include: body.include,
            deleted: body.deleted,
            short: Vec::new(),
        }
    }
}

fn list(page: RecordPage) -> Json<List<ListedBody>> {
    Json(List {
        data: page.rows.into_iter().map(ListedBody::from).collect(),
        next_cursor: page.next_cursor,
        total: page.total.map(Into::into),
    })
}

/// A module's records, newest first unless sorted. Beside these parameters, conditions in the
/// short form: `status=eq.new&price=gte.100&cut=in.Fair,Ideal&made_on=within.last_7_days`.
#[utoipa::path(get, path = "/records/{module}", tag = "records",
    params(
        ("module" = String, Path),
        ("filter" = Option<String>, Query, description = "A filter as JSON, as in the body of `query`"),
        ("sort" = Option<String>, Query, description = "`-price,name`"),
        ("fields" = Option<String>, Query, description = "Fields of the data to show"),
        ("expand" = Option<String>, Query, description = "`doctor,doctor.department`"),
        ("q" = Option<String>, Query, description = "Words to look for"),
        ("limit" = Option<u32>, Query, description = "1 to 200, 50 unless given"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("include" = Option<String>, Query, description = "`total`: also count the whole list"),
        ("deleted" = Option<String>, Query, description = "`only`: the trash"),
    ),
    responses(
        (status = 200, body = List<ListedBody>),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody, description = "Every violation, with its pointer"),
    ))]
pub(crate) async fn records_list(
    State(app): State<App>,
    caller: Caller,
    Path(module): Path<String>,
    Parameters(parameters): Parameters<Vec<(String, String)>>,
) -> Result<Json<List<ListedBody>>, Problem> {
    let slug = segment(&module)?;
    let input = QueryInput::from_parameters(parameters).map_err(Problem::invalid)?;
    let page = app
        .engine
        .records(caller.tenant, &caller.actor, &slug, &input)
        .await?;
    Ok(list(page))
}

/// A module's records: the list's parameters as a body.
#[utoipa::path(post, path = "/records/{module}/query", tag = "records",
    params(("module" = String, Path)),
    request_body = QueryBody,
    responses(
        (status = 200, body = List<ListedBody>),
        (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody, description = "Every violation, with its pointer"),
    ))]
pub(crate) async fn records_query(
    State(app): State<App>,
    caller: Caller,
    Path(module): Path<String>,
    Body(body): Body<QueryBody>,
) -> Result<Json<List<ListedBody>>, Problem> {
    let slug = segment(&module)?;
    let page = app
        .engine
        .records(caller.tenant, &caller.actor, &slug, &body.into())
        .await?;
    Ok(list(page))
}
